"""Rows of answers: every shape that Keen answers in, and nothing lost or doubled."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keen_client._foundation.clock import datetime_to_ms, ms_to_iso
from keen_client.errors import InvalidQueryError, UnreadableResponseError
from keen_client.queries.analysis import PROPERTY_ANALYSES, Analysis
from keen_client.queries.definition import Query
from keen_client.queries.funnel import Funnel
from keen_client.results import QueryResult, check_columns, rows_of
from keen_client.results.columns import ColumnType, Kind
from keen_client.results.rows import TIMEFRAME_END, TIMEFRAME_START

START = datetime(2026, 10, 1, tzinfo=UTC)
GROUPS = ("item", "user.name", "result.kind")

numbers = st.one_of(
    st.none(), st.integers(-5, 5), st.integers(2**53, 2**64), st.floats(allow_nan=False, allow_infinity=False)
)
group_values = st.one_of(st.none(), st.booleans(), st.integers(0, 3), st.text("ab", max_size=2))


@st.composite
def answers(draw: st.DrawFn) -> tuple[Analysis, dict[str, Any]]:
    """An analysis in one of the shapes, and a body that answers it."""
    kind = draw(st.sampled_from(["count", "sum", "select_unique", "multi_analysis"]))
    groups = draw(st.lists(st.sampled_from(GROUPS), unique=True, max_size=2))
    interval = draw(st.sampled_from([None, "daily", "every_2_hours"]))
    labels = draw(st.lists(st.sampled_from(["n", "total", "a.b"]), unique=True, min_size=1, max_size=3))
    query = Analysis(
        analysis_type=kind,
        event_collection="c",
        target_property="x" if kind in PROPERTY_ANALYSES else None,
        analyses={label: {"analysis_type": "count"} for label in labels}
        if kind == "multi_analysis"
        else None,
        timeframe="this_7_days",
        interval=interval,
        group_by=groups if len(groups) > 1 else groups[0] if groups else None,
    )
    value = st.lists(group_values, max_size=3) if kind == "select_unique" else numbers

    def results() -> dict[str, Any]:
        return {label: draw(value) for label in (labels if kind == "multi_analysis" else ["result"])}

    def one_value() -> Any:
        if groups:
            rows = [
                {**{name: draw(group_values) for name in groups}, **results()}
                for _ in range(draw(st.integers(0, 3)))
            ]
            return [dict(draw(st.permutations(list(row.items())))) for row in rows]
        return results() if kind == "multi_analysis" else results()["result"]

    if interval is None:
        return query, {"result": one_value()}
    count = draw(st.integers(0, 3))
    frames = [
        {"start": ms_to_iso(ms), "end": ms_to_iso(ms + 3_600_000)}
        for ms in (datetime_to_ms(START + timedelta(hours=n)) for n in range(count))
    ]
    return query, {"result": [{"value": one_value(), "timeframe": frame} for frame in frames]}


def _answer(query: Analysis, rows: Sequence[dict[str, Any]], frames: list[Any]) -> Any:
    """The answer again, from its rows; *frames* names sub-timeframes, of which some have no row."""
    if query.interval is None:
        return _value(query, rows)
    return [
        {
            "value": _value(query, [_without_frame(row) for row in rows if row[TIMEFRAME_START] == start]),
            "timeframe": {"start": ms_to_iso(datetime_to_ms(start)), "end": ms_to_iso(datetime_to_ms(end))},
        }
        for start, end in frames
    ]


def _without_frame(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if not name.startswith("timeframe.")}


def _value(query: Analysis, rows: Sequence[dict[str, Any]]) -> Any:
    if query.group_by is not None:
        return list(rows)
    if query.analysis_type == "select_unique" and query.interval is None:
        return [row["result"] for row in rows]
    (row,) = rows
    return row if query.analysis_type == "multi_analysis" else row["result"]


@given(answers())
def test_an_answer_can_be_made_again_from_its_rows(answer: tuple[Analysis, dict[str, Any]]) -> None:
    """In every shape: no row is lost, doubled or moved, and no value changed."""
    query, body = answer
    rows = rows_of(query, body)
    frames = []
    if query.interval is not None:
        frames = [
            tuple(datetime.fromisoformat(entry["timeframe"][edge]) for edge in ("start", "end"))
            for entry in body["result"]
        ]
    assert _answer(query, rows, frames) == body["result"]


@given(answers())
def test_rows_have_the_columns_of_the_query(answer: tuple[Analysis, dict[str, Any]]) -> None:
    """The same in every row, in the query's order, and there even where no row is."""
    query, body = answer
    result = QueryResult(query, body)
    frame = [TIMEFRAME_START, TIMEFRAME_END] if query.interval else []
    groups = (
        []
        if query.group_by is None
        else query.group_by
        if isinstance(query.group_by, tuple)
        else [query.group_by]
    )
    labels = ["result"] if query.analyses is None else list(query.analyses)
    assert list(result.columns) == [*frame, *groups, *labels]
    assert all(list(row) == list(result.columns) for row in result.rows)
    table = result.to_arrow()
    assert table.num_rows == len(result.rows)
    assert table.column_names == list(result.columns)


def _analysis(kind: str = "count", **parameters: Any) -> Analysis:
    target = "x" if kind in PROPERTY_ANALYSES else None
    return Analysis(
        analysis_type=kind, event_collection="c", target_property=target, timeframe="today", **parameters
    )


def test_a_plain_value_is_one_row() -> None:
    """Null too: an average of nothing is a row without a number."""
    assert rows_of(_analysis(), {"result": 7}) == [{"result": 7}]
    assert rows_of(_analysis("average"), {"result": None}) == [{"result": None}]


def test_a_sub_timeframe_without_groups_has_no_row() -> None:
    """There is no group to speak of, not one that is null."""
    query = _analysis(group_by="item", interval="daily")
    day = {"start": "2026-10-01T00:00:00.000Z", "end": "2026-10-02T00:00:00.000Z"}
    body = {
        "result": [
            {"value": [], "timeframe": day},
            {"value": [{"item": None, "result": 1}], "timeframe": day},
        ]
    }
    assert [row["item"] for row in rows_of(query, body)] == [None]


def test_times_keep_the_zone_they_came_with() -> None:
    """A day of Berlin begins at midnight there; tables have UTC."""
    query = _analysis(interval="daily", timezone="Europe/Berlin")
    frame = {"start": "2026-10-01T00:00:00.000+02:00", "end": "2026-10-02T00:00:00.000+02:00"}
    result = QueryResult(query, {"result": [{"value": 1, "timeframe": frame}]})
    (row,) = result.rows
    assert row[TIMEFRAME_START].isoformat() == "2026-10-01T00:00:00+02:00"
    stored = result.to_arrow().column(TIMEFRAME_START)[0].as_py()
    assert stored == row[TIMEFRAME_START]
    assert str(result.to_arrow().schema.field(TIMEFRAME_START).type) == "timestamp[ms, tz=UTC]"


def test_a_bucketed_group_is_under_its_property() -> None:
    """And whatever else the server tells of a group is kept."""
    query = _analysis(group_by={"property_name": "score", "buckets": {"size": 10}})
    body = {"result": [{"score": "0-10", "result": 3, "bucket": {"from": 0}}]}
    assert rows_of(query, body) == [{"score": "0-10", "result": 3, "bucket": {"from": 0}}]


STEPS = [
    {"event_collection": "visits", "actor_property": "user.id"},
    {"event_collection": "orders", "actor_property": "user.id"},
]


def test_a_funnel_is_a_row_for_each_step() -> None:
    """Numbered from 1, with its actors where the answer has them."""
    query = Funnel(steps=STEPS, timeframe="today")
    assert rows_of(query, {"result": [3, 1], "steps": STEPS}) == [
        {"step": 1, "event_collection": "visits", "result": 3},
        {"step": 2, "event_collection": "orders", "result": 1},
    ]
    rows = rows_of(query, {"result": [2, 1], "actors": [["a", "b"], None]})
    assert [row["actors"] for row in rows] == [["a", "b"], None]
    table = QueryResult(query, {"result": [2, 1], "actors": [["a", "b"], None]}).to_arrow()
    assert table.to_pylist() == rows


def test_an_extraction_is_a_row_for_each_event() -> None:
    """Objects opened; the events as they came are the value."""
    events = [{"n": 1, "user": {"id": 7}, "keen": {"timestamp": "2026-10-01T00:00:00.000Z"}}, {}]
    result = QueryResult(_analysis("extraction"), {"result": events})
    assert result.value is events
    assert result.rows == [{"n": 1, "user.id": 7, "keen.timestamp": START}, {}]
    assert result.to_arrow().num_rows == 2


def test_a_mailed_extraction_is_one_sentence() -> None:
    """The events come by mail; the answer says so."""
    query = _analysis("extraction", email="a@b.example")
    assert rows_of(query, {"result": "Processing."}) == [{"result": "Processing."}]


def test_properties_asked_for_are_columns_in_their_order() -> None:
    """Also one that no event has; one that is an object stands as its members."""
    query = _analysis("extraction", property_names=["b", "a", "user"])
    columns = QueryResult(query, {"result": [{"a": 1, "user": {"id": 2}}]}).columns
    assert list(columns) == ["b", "a", "user.id"]


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("count", [], Kind.SMALL_INTEGER),
        ("average", [2], Kind.NUMBER),
        ("average", [None], Kind.NUMBER),
        ("average", [2**60], Kind.INTEGER),
        ("sum", [0], Kind.SMALL_INTEGER),
        ("sum", [0, 0.5], Kind.NUMBER),
        ("minimum", [None], Kind.NUMBER),
        ("median", [2**60], Kind.INTEGER),
        ("sum", [2**70], Kind.LARGE_INTEGER),
    ],
)
def test_the_type_of_a_result_is_that_of_its_analysis(kind: str, body: list[Any], expected: Kind) -> None:
    """So that one day's table fits to the next day's, as far as no digit is lost."""
    query = _analysis(kind, group_by="g")
    result = QueryResult(query, {"result": [{"g": "a", "result": value} for value in body]})
    assert result.columns.types["result"] == ColumnType(expected)


def test_lists_of_distinct_values_are_lists() -> None:
    """Beside a group; by themselves a row each, also where there are none."""
    grouped = QueryResult(_analysis("select_unique", group_by="g"), {"result": [{"g": 1, "result": []}]})
    assert grouped.columns.types["result"].is_list
    assert rows_of(_analysis("select_unique"), {"result": []}) == []
    assert rows_of(_analysis("select_unique"), {"result": ["a", None]}) == [{"result": "a"}, {"result": None}]


@pytest.mark.parametrize(
    "query",
    [
        _analysis(group_by="result"),
        _analysis(group_by=["item", "item"]),
        _analysis(group_by="timeframe.start", interval="daily"),
        _analysis("multi_analysis", analyses={"item": {"analysis_type": "count"}}, group_by="item"),
    ],
    ids=["result", "twice", "timeframe", "label"],
)
def test_two_columns_of_one_name_are_refused(query: Query) -> None:
    """The answer has one member for both; nothing was sent."""
    with pytest.raises(InvalidQueryError, match="nothing was sent"):
        check_columns(query)


@given(answers())
def test_other_queries_are_let_through(answer: tuple[Analysis, dict[str, Any]]) -> None:
    """Dotted names and labels are no clash."""
    check_columns(answer[0])
    check_columns(_analysis("extraction"))
    check_columns(Funnel(steps=STEPS, timeframe="today"))


DAY = {"start": "2026-10-01T00:00:00.000Z", "end": "2026-10-02T00:00:00.000Z"}


@pytest.mark.parametrize(
    ("query", "body"),
    [
        (_analysis(), {}),
        (_analysis(group_by="g"), {"result": 7}),
        (_analysis(group_by="g"), {"result": [7]}),
        (_analysis(group_by="g"), {"result": [{"g": 1}]}),
        (_analysis(interval="daily"), {"result": 7}),
        (_analysis(interval="daily"), {"result": [{"value": 7}]}),
        (_analysis(interval="daily"), {"result": [{"timeframe": DAY}]}),
        (_analysis(interval="daily", group_by="g"), {"result": [{"value": None, "timeframe": DAY}]}),
        (_analysis("select_unique"), {"result": 7}),
        (_analysis("extraction"), {"result": [7]}),
        (_analysis("multi_analysis", analyses={"n": {"analysis_type": "count"}}), {"result": 7}),
        (_analysis("multi_analysis", analyses={"n": {"analysis_type": "count"}}), {"result": {"m": 7}}),
        (Funnel(steps=STEPS, timeframe="today"), {"result": 7}),
        (Funnel(steps=STEPS, timeframe="today"), {"result": [1]}),
        (Funnel(steps=STEPS, timeframe="today"), {"result": [1, 2], "actors": [None]}),
    ],
)
def test_an_answer_of_another_shape_is_told(query: Query, body: dict[str, Any]) -> None:
    """Rows are not made up of what is not understood."""
    with pytest.raises(UnreadableResponseError, match="the answer's result"):
        rows_of(query, body)


def test_answers_of_stored_queries_are_the_same_rows() -> None:
    """Of a saved query, of a dataset with its null members, and of a saved funnel in both of its forms."""
    definition = {"analysis_type": "count", "event_collection": "c", "timeframe": "today", "filters": []}
    nulls = {
        "group_by": "g",
        "interval": "daily",
        "target_property": None,
        "timezone": None,
        "project_id": "p",
    }
    saved = {"query_name": "q", "refresh_rate": 0, "query": definition, "result": 7}
    assert QueryResult.of_stored(saved["query"], saved).rows == [{"result": 7}]  # type: ignore[arg-type]
    body = {"result": [{"value": [{"g": 1, "result": 2}], "timeframe": DAY}], "metadata": {}}
    (row,) = QueryResult.of_stored({**definition, **nulls}, body).rows
    assert (row["g"], row["result"]) == (1, 2)
    funnel = {"analysis_type": "funnel", "steps": STEPS, "timeframe": "today"}
    inner = {"result": [3, 1], "steps": STEPS}
    beside, within = (QueryResult.of_stored(funnel, answer) for answer in (inner, {"result": inner}))
    assert beside.rows == within.rows
    with pytest.raises(InvalidQueryError):
        QueryResult.of_stored({"analysis_type": "count"}, saved)


def test_metadata_is_what_the_query_cost() -> None:
    """None where it was not asked for."""
    cost = {"events_scanned": 3}
    result = QueryResult(_analysis(include_metadata=True), {"result": 11711, "execution_metadata": cost})
    assert result.metadata == cost
    assert QueryResult(_analysis(), {"result": 1}).metadata is None


def _days(*values: Any) -> dict[str, Any]:
    return {"result": [{"value": value, "timeframe": DAY} for value in values]}


@pytest.mark.parametrize(
    ("query", "body", "shown"),
    [
        (_analysis(), {"result": 11711}, "count of c: 11711"),
        (_analysis(), {"result": None}, "count of c: None"),
        (
            _analysis(interval="daily"),
            _days(0, 1, 2, 3, 4, 5, 6),
            "count of c: 7 rows of timeframe.start, timeframe.end, result: 0, 1, 2, 3, 4, ...",
        ),
        (
            _analysis(group_by="mail"),
            {"result": [{"mail": "secret@x", "result": 1}]},
            "count of c: 1 row of mail, result",
        ),
        (
            Analysis(
                analysis_type="select_unique", event_collection="c", target_property="x", timeframe="today"
            ),
            {"result": ["secret", 5]},
            "select_unique of c: 2 rows of result",
        ),
        (
            Analysis(analysis_type="extraction", event_collection="c", timeframe="today"),
            {"result": [{f"p{n}": "secret" for n in range(9)} | {"result": 5}]},
            "extraction of c: 1 row of p0, p1, p2, p3, p4, p5, p6, p7, ...",
        ),
        (
            Funnel(steps=STEPS),
            {"result": [3, 1], "actors": [["secret"], None]},
            "funnel: 2 rows of step, event_collection, result, actors: 3, 1",
        ),
        (_analysis(), {"result": "secret"}, "count of c: 1 row of result"),
        (_analysis(group_by="mail"), {}, "count of c: None"),
        (
            _analysis(group_by="mail"),
            {"result": "secret"},
            "count of c: the answer's result is not a list of objects, as the answer to such a query does",
        ),
    ],
)
def test_a_repr_shows_the_answer_and_nothing_of_events(
    query: Query, body: dict[str, Any], shown: str
) -> None:
    """Numbers where they are the answer, else which rows there are; what is in events stays out of logs."""
    text = repr(QueryResult(query, body))
    assert text == f"<QueryResult {shown}>"
    assert "secret" not in text
    assert len(text) < 200
