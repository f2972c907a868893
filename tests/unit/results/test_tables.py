"""Answers as tables of pyarrow, pandas and polars; and what is said where these are not installed."""

from __future__ import annotations

import importlib
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from keen_client.errors import MissingExtraError
from keen_client.queries.analysis import Analysis
from keen_client.results import QueryResult
from keen_client.results.event_files import event_file
from keen_client.results.text import HTML_ROWS_MAX

DAY = {"start": "2026-10-01T00:00:00.000Z", "end": "2026-10-02T00:00:00.000Z"}
NEXT = {"start": "2026-10-02T00:00:00.000Z", "end": "2026-10-03T00:00:00.000Z"}


@pytest.fixture
def result() -> QueryResult:
    """Counts by day and item, one of them of no item."""
    query = Analysis(
        analysis_type="count", event_collection="c", timeframe="today", interval="daily", group_by="item"
    )
    rows = [{"item": "book", "result": 2**53 + 1}, {"item": None, "result": 0}]
    return QueryResult(
        query, {"result": [{"value": rows, "timeframe": DAY}, {"value": rows[:1], "timeframe": NEXT}]}
    )


def test_arrow_has_the_types_of_the_columns(result: QueryResult) -> None:
    """Timestamps in UTC, integers as integers."""
    table = result.to_arrow()
    assert [(field.name, str(field.type)) for field in table.schema] == [
        ("timeframe.start", "timestamp[ms, tz=UTC]"),
        ("timeframe.end", "timestamp[ms, tz=UTC]"),
        ("item", "string"),
        ("result", "int64"),
    ]
    assert table.to_pylist() == result.rows


def test_pandas_keeps_integers_beside_null() -> None:
    """No float is made of an integer because another row has none."""
    query = Analysis(
        analysis_type="maximum", event_collection="c", target_property="x", timeframe="today", group_by="g"
    )
    body = {"result": [{"g": True, "result": 2**53 + 1}, {"g": None, "result": None}]}
    frame = QueryResult(query, body).to_pandas()
    assert [str(dtype) for dtype in frame.dtypes] == ["boolean", "Int64"]
    assert frame["result"].iloc[0] == 2**53 + 1
    assert frame["result"].isna().tolist() == [False, True]


def test_pandas_has_times_with_their_zone(result: QueryResult) -> None:
    """Ready for resampling and plots."""
    frame = result.to_pandas()
    assert str(frame["timeframe.start"].dtype) == "datetime64[ms, UTC]"
    assert frame["timeframe.start"].iloc[2] == datetime(2026, 10, 2, tzinfo=UTC)
    assert len(frame) == 3


def test_polars_has_the_types_of_the_table(result: QueryResult) -> None:
    """Through Arrow, so nothing is guessed anew."""
    frame = result.to_polars()
    assert [str(dtype) for dtype in frame.dtypes] == [
        "Datetime(time_unit='ms', time_zone='UTC')",
        "Datetime(time_unit='ms', time_zone='UTC')",
        "String",
        "Int64",
    ]
    assert frame.height == 3


def test_every_kind_of_column_reaches_pandas_and_polars() -> None:
    """Lists, JSON text, large integers and columns of nothing but null among them."""
    events: list[dict[str, Any]] = [
        {
            "s": "a",
            "b": True,
            "i": 2**63 - 1,
            "big": 2**64,
            "f": 0.5,
            "l": [1, 2],
            "j": [{"x": 1}],
            "n": None,
        },
        {},
    ]
    query = Analysis(analysis_type="extraction", event_collection="c", timeframe="today")
    result = QueryResult(query, {"result": events})
    assert len(result.to_pandas()) == 2
    frame = result.to_polars()
    assert frame["i"].to_list() == [2**63 - 1, None]
    assert [int(value) for value in frame["big"].drop_nulls()] == [2**64]
    assert frame["j"].to_list() == ['[{"x":1}]', None]


@pytest.mark.parametrize(
    ("package", "method", "command"),
    [
        ("pyarrow", "to_arrow", "pip install 'keen-client[tables]'"),
        ("pyarrow", "to_pandas", "pip install 'keen-client[tables]'"),
        ("pandas", "to_pandas", "pip install pandas"),
        ("polars", "to_polars", "pip install polars"),
    ],
)
def test_what_is_not_installed_is_named(
    result: QueryResult, monkeypatch: pytest.MonkeyPatch, package: str, method: str, command: str
) -> None:
    """With the command that installs it; values and rows are there without."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=f"the package {package}") as raised:
        getattr(result, method)()
    assert raised.value.hint == command
    assert len(result.rows) == 3


def test_parquet_without_pyarrow_is_refused_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """Nobody extracts for an hour to be told then."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtraError, match="a Parquet file needs"), event_file(tmp_path / "c.parquet"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_package_that_is_broken_is_not_called_missing(
    result: QueryResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it lacks itself is another matter, and is not hidden."""

    def broken(name: str) -> Any:
        raise ModuleNotFoundError("No module named 'numpy'", name="numpy")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(ModuleNotFoundError, match="numpy") as raised:
        result.to_arrow()
    assert not isinstance(raised.value, MissingExtraError)


def test_a_notebook_shows_the_first_rows_with_everything_escaped() -> None:
    """Names and values come from events; null is told from the text null; the rest is counted."""
    query = Analysis(analysis_type="count", event_collection="c", timeframe="today", group_by="<b>item")
    values = ["<script>alert(1)</script>", None, "null", *map(str, range(40))]
    body = {"result": [{"<b>item": value, "result": 1} for value in values]}
    html = QueryResult(query, body)._repr_html_()
    assert "<script" not in html
    assert "<b>" not in html
    assert "&lt;script&gt;" in html
    assert html.count("<tr>") == HTML_ROWS_MAX + 1
    assert "<td><i>null</i></td>" in html
    assert "<td>null</td>" in html
    assert f"{len(values)} rows, of which {HTML_ROWS_MAX} are shown" in html
