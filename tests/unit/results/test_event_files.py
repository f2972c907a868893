"""Files of events: whole or not there, the same events in every format, constant memory."""

from __future__ import annotations

import csv
import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keen_client.errors import UsageError
from keen_client.results import event_files, flat_event
from keen_client.results.event_files import FORMATS, event_file, format_of
from keen_client.results.text import cell_text

EVENTS: list[dict[str, Any]] = [
    {"item": "book", "price": 10, "user": {"id": 1}, "keen": {"timestamp": "2026-10-01T00:00:00.000Z"}},
    {"item": 'a "quoted",\nname', "price": 2.5, "tags": ["x", "y"]},
    {"item": None, "price": 2**70, "late": {"column": True}},
    {},
]

events = st.lists(
    st.dictionaries(
        st.text("abc", min_size=1, max_size=2),
        st.recursive(
            st.one_of(
                st.none(),
                st.booleans(),
                st.integers(-(2**70), 2**70),
                st.floats(allow_nan=False, allow_infinity=False),
                st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
            ),
            lambda inner: st.one_of(
                st.lists(inner, max_size=2), st.dictionaries(st.text("xy", min_size=1), inner, max_size=2)
            ),
            max_leaves=4,
        ),
        max_size=4,
    ),
    max_size=8,
)


def _write(path: Path, written: list[dict[str, Any]], names: tuple[str, ...] = ()) -> None:
    with event_file(path, names) as file:
        for event in written:
            file.write(event)
        assert file.events == len(written)


@given(events)
def test_ndjson_holds_the_events_as_they_are(
    tmp_path_factory: pytest.TempPathFactory, written: list[dict[str, Any]]
) -> None:
    """One a line, in their order, integers of any size."""
    path = tmp_path_factory.mktemp("n") / "c.ndjson"
    _write(path, written)
    assert [json.loads(line) for line in path.read_bytes().splitlines()] == written


@given(events)
def test_csv_holds_every_leaf_of_every_event(
    tmp_path_factory: pytest.TempPathFactory, written: list[dict[str, Any]]
) -> None:
    """Under a header that has the columns of all events, those that came late too."""
    path = tmp_path_factory.mktemp("c") / "c.csv"
    _write(path, written)
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = list(csv.reader(file))
    flat = [flat_event(event) for event in written]
    assert header == list(dict.fromkeys(name for row in flat for name in row))
    if header:
        assert rows == [[cell_text(row.get(name)) for name in header] for row in flat]


@given(events)
def test_parquet_holds_every_event(
    tmp_path_factory: pytest.TempPathFactory, written: list[dict[str, Any]]
) -> None:
    """In their order, in as many row groups as it takes."""
    path = tmp_path_factory.mktemp("p") / "c.parquet"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(event_files, "ROW_GROUP", 3)
        _write(path, written)
    file = pyarrow.parquet.ParquetFile(path)
    names = list(dict.fromkeys(name for event in written for name in flat_event(event)))
    assert file.schema_arrow.names == names
    if names:
        assert file.metadata.num_rows == len(written)
        assert file.metadata.num_row_groups == -(-len(written) // 3)


def test_parquet_and_csv_agree(tmp_path: Path) -> None:
    """On columns and on values."""
    _write(tmp_path / "c.parquet", EVENTS)
    _write(tmp_path / "c.csv", EVENTS)
    table = pyarrow.parquet.read_table(tmp_path / "c.parquet")
    with (tmp_path / "c.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == table.column_names
    assert [row["price"] for row in rows] == ["10", "2.5", str(2**70), ""]
    assert [row["item"] for row in rows] == ["book", 'a "quoted",\nname', "", ""]
    assert rows[1]["tags"] == '["x","y"]'
    assert rows[0]["keen.timestamp"] == "2026-10-01T00:00:00.000Z"
    # Beside a fraction a large integer would lose digits as a double.
    assert table.column("price").to_pylist() == ["10", "2.5", str(2**70), None]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_named_properties_are_the_columns(tmp_path: Path, suffix: str) -> None:
    """In the order given, also where no event has one."""
    path = tmp_path / f"c.{suffix}"
    _write(path, EVENTS, ("price", "user.id", "nobody", "user"))
    if suffix == "csv":
        with path.open(encoding="utf-8", newline="") as file:
            assert list(csv.reader(file)) == [
                ["price", "user.id", "nobody", "user"],
                ["10", "1", "", '{"id":1}'],
                ["2.5", "", "", ""],
                [str(2**70), "", "", ""],
                ["", "", "", ""],
            ]
    else:
        table = pyarrow.parquet.read_table(path)
        assert table.column_names == ["price", "user.id", "nobody", "user"]
        assert table.num_rows == len(EVENTS)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_half_file_is_no_file(tmp_path: Path, suffix: str) -> None:
    """Before the end nothing stands under the name; after an error what stood there stands there still."""
    path = tmp_path / f"c{suffix}"
    path.write_bytes(b"from yesterday")

    def run() -> Iterator[None]:
        with event_file(path) as file:
            file.write(EVENTS[0])
            yield
            raise RuntimeError("the server went away")

    running = run()
    next(running)
    assert path.read_bytes() == b"from yesterday"
    with pytest.raises(RuntimeError, match="went away"):
        next(running)
    assert [path.name for path in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == b"from yesterday"


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("names", [(), ("item",)])
def test_a_whole_file_is_private_and_alone(tmp_path: Path, suffix: str, names: tuple[str, ...]) -> None:
    """Readable by its owner only, and no spool is left beside it."""
    path = tmp_path / f"c{suffix}"
    _write(path, EVENTS, names)
    assert [path.name for path in tmp_path.iterdir()] == [path.name]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("suffix", FORMATS)
def test_no_events_are_a_file_too(tmp_path: Path, suffix: str) -> None:
    """Nothing was there is an answer."""
    path = tmp_path / f"c{suffix}"
    _write(path, [])
    assert path.is_file()


@pytest.mark.parametrize("name", ["c", "c.txt", "c.csv.gz", ".csv"])
def test_a_name_that_says_nothing_is_refused(tmp_path: Path, name: str) -> None:
    """Before anything is written."""
    with pytest.raises(UsageError, match="nothing was written"), event_file(tmp_path / name):
        pass
    assert list(tmp_path.iterdir()) == []


def test_suffixes_are_read_in_any_case() -> None:
    """``.CSV`` is CSV."""
    assert format_of(Path("A.CSV")) == "csv"
