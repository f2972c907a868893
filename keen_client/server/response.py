"""The shapes of Keen's replies: plain, by interval, by group, by both; and rows ready for JSON.

A group that occurs anywhere in the timeframe is listed in each sub-timeframe,
with the analysis' empty value where it has no events there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from keen_client.server.columns import EXACT
from keen_client.server.query import Analysis, Order, Query
from keen_client.server.timeframe import Division

#: Group value tuples to the values of the analyses, in the order of their labels.
Cells = Mapping[tuple[Any, ...], Sequence[Any]]

_EMPTY: Final[Mapping[str, Any]] = {"count": 0, "count_unique": 0, "sum": 0, "select_unique": ()}


def number(value: float | None) -> int | float | None:
    """A double as JSON prints it: whole numbers that are surely exact without a fraction."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= EXACT:
        return int(value)
    return value


def property_value(text: str | None, value: float | None) -> Any:
    """The JSON value of a shredded property (see :mod:`keen_client.server.engine`)."""
    return number(value) if text is None else orjson.loads(text)


def empty(analysis: Analysis) -> Any:
    """The value of an analysis over no events."""
    return _EMPTY.get(analysis.kind)


def shape(
    query: Query, division: Division | None, buckets: Mapping[int, Cells], groups: Iterable[tuple[Any, ...]]
) -> Any:
    """The ``result`` of an aggregation.

    *buckets* holds the cells of each sub-timeframe by its number (0 where there
    is no interval); *groups* the JSON texts of all group values that occur.
    """
    known = list(groups)
    if division is None:
        return _value(query, buckets.get(0, {}), known)
    write = query.timeframe.write
    bounds = division.bounds
    return [
        {
            "value": _value(query, buckets.get(index, {}), known),
            "timeframe": {"start": write(bounds[index]), "end": write(bounds[index + 1])},
        }
        for index in range(len(bounds) - 1)
    ]


def _value(query: Query, cells: Cells, groups: Sequence[tuple[Any, ...]]) -> Any:
    blank = [empty(analysis) for analysis in query.analyses.values()]
    if not query.group_by:
        values = cells.get((), blank)
        return dict(zip(query.analyses, values, strict=True)) if query.is_multi else values[0]
    rows: list[dict[str, Any]] = []
    for group in groups:
        row = {
            key.property_name: property_value(*pair) for key, pair in zip(query.group_by, group, strict=True)
        }
        row.update(zip(query.analyses, cells.get(group, blank), strict=True))
        rows.append(row)
    for order in reversed(query.order_by):
        rows.sort(key=_sort_key(order), reverse=order.descending)
    rows = rows[: query.limit]
    for key in query.group_by:
        if key.is_bucketed:
            # Labelled last: buckets are ordered by their numbers, not by their labels.
            for row in rows:
                row[key.property_name] = key.label(row[key.property_name])
    return rows


def _sort_key(order: Order) -> Any:
    def key(row: Mapping[str, Any]) -> tuple[int, Any]:
        value = row[order.property_name]
        if value is None:
            return (0, 0)
        if isinstance(value, bool):
            return (1, value)
        if isinstance(value, (int, float)):
            return (2, value)
        return (3, value if isinstance(value, str) else orjson.dumps(value).decode())

    return key


def picked(event: Mapping[str, Any], property_names: Sequence[str]) -> dict[str, Any]:
    """The members of *event* that an extraction asked for, nested as they were."""
    result: dict[str, Any] = {}
    for path in property_names:
        *parents, last = path.split(".")
        node: Any = event
        for name in parents:
            node = node.get(name) if isinstance(node, dict) else None
        if not isinstance(node, dict) or last not in node:
            continue
        place = result
        for name in parents:
            inner = place.setdefault(name, {})
            if not isinstance(inner, dict):
                break
            place = inner
        else:
            place[last] = node[last]
    return result
