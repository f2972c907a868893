"""Groups: what ``group_by`` names, and the buckets into which numbers can be put first.

A bucketed group is ``{"property_name": ..., "buckets": {"size": 10}}`` (every
bucket equally wide, from zero) or ``{"property_name": ..., "ranges": [{"from":
0, "to": 50}, ...]}``. The lower bound belongs to a bucket, the upper one does
not; its label says so: ``"[0, 50)"``. What is no number, or in no range, is in
the group ``null``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from keen_client.server.columns import Column, Parameters
from keen_client.server.refusal import INVALID_PARAMETER, bad_request

MAX_RANGES: Final = 1_000


@attrs.frozen
class Group:
    """One property of ``group_by``: by value, in buckets of ``size``, or in ``ranges`` (from, to)."""

    property_name: str
    size: float | None = None
    ranges: tuple[tuple[float, float], ...] = ()

    @property
    def is_bucketed(self) -> bool:
        """Whether its rows are labelled by buckets."""
        return self.size is not None or bool(self.ranges)

    def keys(self, column: Column, parameters: Parameters) -> tuple[str, str]:
        """The SQL of the two columns that a row's group is read from: a JSON text, and a number."""
        if not self.is_bucketed:
            return f"nullif({column.text}, 'null')", column.number
        if self.size is not None:
            # Nine digits: as doubles, 0.3 / 0.1 is a little less than 3.
            ratio = f"round({column.number} / {parameters.bind(self.size, 'DOUBLE')}, 9)"
            return "NULL::VARCHAR", f"floor({ratio})"
        cases = " ".join(
            f"WHEN {column.number} >= {parameters.bind(start, 'DOUBLE')}"
            f" AND {column.number} < {parameters.bind(end, 'DOUBLE')} THEN {index}"
            for index, (start, end) in enumerate(self.ranges)
        )
        return "NULL::VARCHAR", f"(CASE {cases} END)::DOUBLE"

    def label(self, number: float | None) -> str | None:
        """What a row says for bucket *number*."""
        if number is None:
            return None
        if self.size is None:
            start, end = self.ranges[int(number)]
        else:
            start, end = number * self.size, (number + 1) * self.size
        return f"[{_bound(start)}, {_bound(end)})"


def parse_groups(value: object) -> tuple[Group, ...]:
    """The ``group_by`` parameter: a name, an object, or a list of them. Raises a 400 refusal."""
    if value is None or value == "":
        return ()
    groups = [_parse_one(item) for item in (value if isinstance(value, list) else [value])]
    distinct = tuple(dict.fromkeys(groups))
    if len({group.property_name for group in distinct}) < len(distinct):
        raise bad_request(INVALID_PARAMETER, "group_by names a property twice, in different buckets.")
    return distinct


def _parse_one(item: object) -> Group:
    if isinstance(item, str) and item:
        return Group(item)
    name = item.get("property_name") if isinstance(item, Mapping) else None
    if not isinstance(item, Mapping) or not isinstance(name, str) or not name:
        text = "group_by must be a property name, an object with property_name, or a list of these."
        raise bad_request(INVALID_PARAMETER, text)
    buckets, ranges = item.get("buckets"), item.get("ranges")
    if buckets is not None and ranges is not None:
        raise bad_request(INVALID_PARAMETER, "A group has either buckets or ranges.")
    if buckets is not None:
        size = buckets.get("size") if isinstance(buckets, Mapping) else None
        if size is None or not _is_number(size) or not 0 < size < math.inf:
            raise bad_request(INVALID_PARAMETER, 'buckets must be {"size": <a number above 0>}.')
        return Group(name, size=float(size))
    return Group(name) if ranges is None else Group(name, ranges=_parse_ranges(ranges))


def _parse_ranges(ranges: object) -> tuple[tuple[float, float], ...]:
    if not isinstance(ranges, Sequence) or isinstance(ranges, str) or not 0 < len(ranges) <= MAX_RANGES:
        raise bad_request(INVALID_PARAMETER, f"ranges must be a list of 1 to {MAX_RANGES} ranges.")
    parsed = []
    for item in ranges:
        given = item if isinstance(item, Mapping) else {"from": "wrong"}
        start, end = given.get("from"), given.get("to")
        numbers = [bound for bound in (start, end) if bound is not None]
        if not numbers or not all(map(_is_number, numbers)):
            raise bad_request(
                INVALID_PARAMETER, 'A range is {"from": <number>, "to": <number>}, one may be absent.'
            )
        low = -math.inf if start is None else float(start)
        high = math.inf if end is None else float(end)
        if low >= high:
            raise bad_request(INVALID_PARAMETER, "A range must end above its start.")
        parsed.append((low, high))
    return tuple(parsed)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _bound(value: float) -> str:
    # Twelve digits: 3 * 0.1 is to be read as 0.3.
    return f"{value + 0.0:.12g}"
