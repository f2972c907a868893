"""From the body of an answer to rows, whatever its shape (Keen API, shapes of responses).

A row has the same columns in every shape: ``timeframe.start`` and
``timeframe.end`` where the query has an interval, then each property that it
groups by, then ``result``, or the labels of a multi-analysis.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from keen_client.errors import InvalidQueryError, UnreadableResponseError
from keen_client.queries.analysis import Analysis
from keen_client.queries.definition import Query
from keen_client.queries.funnel import Funnel
from keen_client.results.columns import Columns, ColumnType, Kind
from keen_client.results.flat import MOMENTS, as_moment, flat_event

RESULT: Final = "result"
TIMEFRAME_START: Final = "timeframe.start"
TIMEFRAME_END: Final = "timeframe.end"
#: The columns of a funnel, one row a step; ``actors`` too where the answer has them.
FUNNEL_COLUMNS: Final = ("step", "event_collection", RESULT)
ACTORS: Final = "actors"

_INTEGER: Final = ColumnType(Kind.SMALL_INTEGER)
_NUMBER: Final = ColumnType(Kind.NUMBER)
_MOMENT: Final = ColumnType(Kind.TIMESTAMP)
_LIST: Final = ColumnType(is_list=True)
#: What an analysis answers with, whichever values happen to be there. An average of 2 is no integer.
_EXPECTED: Final = {
    "count": _INTEGER,
    "count_unique": _INTEGER,
    "average": _NUMBER,
    "standard_deviation": _NUMBER,
    "select_unique": _LIST,
}
#: The same, where nothing but null is there.
_OTHERWISE: Final = dict.fromkeys(("sum", "minimum", "maximum", "median", "percentile"), _NUMBER)

Row = dict[str, Any]


def group_names(query: Analysis) -> tuple[str, ...]:
    """The properties that *query* groups by, in its order."""
    grouping = query.group_by
    members = grouping if isinstance(grouping, tuple) else () if grouping is None else (grouping,)
    return tuple(member["property_name"] if isinstance(member, Mapping) else member for member in members)


def labels(query: Analysis) -> tuple[str, ...]:
    """The names of its results."""
    return (RESULT,) if query.analyses is None else tuple(query.analyses)


def check_columns(query: Query) -> None:
    """Refuse a query whose answer could not be told apart as rows.

    Raises:
        InvalidQueryError: Two columns would have one name. Nothing was sent.
    """
    if isinstance(query, Funnel) or query.analysis_type == "extraction":
        return
    names = _columns(query)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidQueryError(
            f"two columns of the result would be named {twice[0][:60]!r}; nothing was sent",
            "rename the label; a property of that name, or one given twice, cannot be grouped by here: use query()",
        )


def rows_of(query: Query, body: Mapping[str, Any]) -> list[Row]:
    """The rows of the answer *body* to *query*, in the answer's order. Pure.

    One row a group, a sub-timeframe, both, or a funnel's step; of a plain
    ``select_unique`` one a value, of an extraction one an event, its objects
    opened (see :func:`~keen_client.results.flat.flat_event`). A sub-timeframe
    in which no group occurs has no row. Times are aware datetimes.

    Raises:
        UnreadableResponseError: The body has not the shape that such a query is answered in.
    """
    if "result" not in body:
        raise _unreadable("has no result")
    result = body["result"]
    if isinstance(query, Funnel):
        return _funnel_rows(query, body)
    if query.analysis_type == "extraction":
        # One that goes out by mail is answered by a sentence.
        events = [{RESULT: result}] if isinstance(result, str) else _objects(result)
        return [flat_event(event) for event in events]
    if query.interval is None:
        return list(_value_rows(query, result))
    rows: list[Row] = []
    for entry in _objects(result):
        frame = entry.get("timeframe")
        if not isinstance(frame, Mapping) or "value" not in entry:
            raise _unreadable("has a sub-timeframe without timeframe or value")
        stretch = {TIMEFRAME_START: as_moment(frame.get("start")), TIMEFRAME_END: as_moment(frame.get("end"))}
        rows.extend(stretch | row for row in _value_rows(query, entry["value"]))
    return rows


def columns_of(query: Query, rows: Sequence[Row]) -> Columns:
    """The columns of *rows* with their types. Those of the query are there even where no row is."""
    if isinstance(query, Funnel):
        columns = Columns(FUNNEL_COLUMNS)
    elif query.analysis_type == "extraction":
        columns = Columns(_asked_for(query, rows))
    else:
        columns = Columns(_columns(query))
    for row in rows:
        columns.observe(row)
    if isinstance(query, Analysis) and query.interval is not None:
        columns.widen(TIMEFRAME_START, _MOMENT)
        columns.widen(TIMEFRAME_END, _MOMENT)
    if isinstance(query, Funnel):
        columns.widen(RESULT, _INTEGER)
    elif query.analysis_type == "multi_analysis":
        for label, analysis in query.analyses.items():
            _widen(columns, label, analysis["analysis_type"])
    elif query.analysis_type != "extraction":
        is_plain_list = query.analysis_type == "select_unique" and not (query.group_by or query.interval)
        _widen(columns, RESULT, "" if is_plain_list else query.analysis_type)
    return columns


def _asked_for(query: Analysis, rows: Sequence[Row]) -> list[str]:
    """The properties asked for, as columns; not those that are objects, whose members are columns instead."""
    opened = {name[: at + 1] for row in rows for name in row for at, sign in enumerate(name) if sign == "."}
    return [name for name in query.property_names if f"{name}." not in opened]


def _widen(columns: Columns, label: str, analysis_type: str) -> None:
    expected = _EXPECTED.get(analysis_type)
    if expected is None and columns.types[label].kind is Kind.NULL:
        expected = _OTHERWISE.get(analysis_type)
    if expected is not None:
        columns.widen(label, expected)


def _columns(query: Analysis) -> list[str]:
    frame = [] if query.interval is None else [TIMEFRAME_START, TIMEFRAME_END]
    return [*frame, *group_names(query), *labels(query)]


def _value_rows(query: Analysis, value: Any) -> Iterator[Row]:
    """The rows of one value: of the whole answer, or of one sub-timeframe."""
    wanted = labels(query)
    if query.group_by is not None:
        for entry in _objects(value):
            if not all(label in entry for label in wanted):
                raise _unreadable("has a group without its result")
            groups = {name: _group_value(name, entry.get(name)) for name in group_names(query)}
            # Whatever else the server says of a group is kept, as columns of their own.
            others = {name: member for name, member in entry.items() if name not in groups}
            yield {**groups, **{label: entry[label] for label in wanted}, **others}
    elif query.analyses is not None:
        if not isinstance(value, Mapping) or not all(label in value for label in wanted):
            raise _unreadable("has not a value for each label")
        yield {label: value[label] for label in wanted}
    elif query.analysis_type == "select_unique" and query.interval is None:
        if not isinstance(value, list):
            raise _unreadable("is not a list of values")
        yield from ({RESULT: member} for member in value)
    else:
        yield {RESULT: value}


def _group_value(name: str, value: Any) -> Any:
    return as_moment(value) if name in MOMENTS else value


def _funnel_rows(query: Funnel, body: Mapping[str, Any]) -> list[Row]:
    counts, actors = body["result"], body.get(ACTORS)
    if not isinstance(counts, list) or len(counts) != len(query.steps):
        raise _unreadable("has not one number for each step")
    if actors is not None and (not isinstance(actors, list) or len(actors) != len(counts)):
        raise _unreadable("has not a list of actors or null for each step")
    rows = [
        dict(zip(FUNNEL_COLUMNS, (number, step.event_collection, count), strict=True))
        for number, (step, count) in enumerate(zip(query.steps, counts, strict=True), start=1)
    ]
    return rows if actors is None else [{**row, ACTORS: who} for row, who in zip(rows, actors, strict=True)]


def _objects(value: Any) -> list[Mapping[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(member, Mapping) for member in value):
        raise _unreadable("is not a list of objects")
    return value


def _unreadable(what: str) -> UnreadableResponseError:
    return UnreadableResponseError(
        f"the answer's result {what}, as the answer to such a query does",
        "look at the answer itself: query(analysis, all_keys=True)",
        status=200,
    )
