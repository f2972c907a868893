"""Level 0: all windows of a collection in one multi-analysis, and nothing more when all is well.

Count, both hash totals, the highest block and the totals of the audited
properties, by origin and window. The group null holds the events of other
producers, and events of ours that lost their stamps.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import attrs

from keen_client.errors import NotFoundError
from keen_client.eventlog.expectation import Window
from keen_client.eventlog.fold import Amount
from keen_client.queries import Analysis, Timeframe
from keen_client.verify.answer import (
    EXACT_MAX,
    QueryApi,
    instant_ms,
    real,
    record,
    refuse,
    row_list,
    whole,
    whole_or_none,
)
from keen_client.verify.report import Audit
from keen_client.verify.windows import INTERVALS, Scope

_GROUP: Final = "kc.o"
_STAMPS: Final = {
    "c": {"analysis_type": "count"},
    "h": {"analysis_type": "sum", "target_property": "kc.h"},
    "g": {"analysis_type": "sum", "target_property": "kc.g"},
    "b": {"analysis_type": "maximum", "target_property": "kc.b"},
}


@attrs.frozen
class Cell:
    """What the server shows of one origin in one window.

    ``block_max`` is the highest ``kc.b``, None when no event has one;
    ``amounts`` the sums of the audited properties by name.
    """

    n: int = 0
    h: int = 0
    g: int = 0
    block_max: int | None = None
    amounts: Mapping[str, int | float] = attrs.Factory(dict)


@attrs.frozen
class ServerWindow:
    """The server side of one window: our origins that occur in it, and counts of the rest.

    ``nameless`` is the size of the group null, ``others`` that of foreign origins.
    """

    by_origin: Mapping[str, Cell] = attrs.Factory(dict)
    nameless: int = 0
    others: int = 0

    @property
    def count(self) -> int:
        """Events of our origins."""
        return sum(cell.n for cell in self.by_origin.values())

    @property
    def foreign(self) -> int:
        """All other events."""
        return self.nameless + self.others


EMPTY: Final = ServerWindow()


def choose_audit(collection: str, windows: Iterable[Window]) -> Audit:
    """Which properties to compare: the numbers that every expected event of *windows* has."""
    count, totals = 0, dict[str, Amount]()
    for window in windows:
        total = window.total
        count += total.n
        for name, amount in total.amounts.items():
            totals.setdefault(name, Amount()).merge(amount)
    exact, rounded, left_out = [], [], []
    for name, amount in sorted(totals.items()):
        if amount.count != count:
            left_out.append((name, "not a number in every event"))
        elif not math.isfinite(amount.magnitude) or not math.isfinite(amount.real):
            left_out.append((name, "its sum is beyond what a double can hold"))
        elif amount.whole == amount.count and amount.magnitude <= EXACT_MAX:
            exact.append(name)
        else:
            rounded.append(name)
    return Audit(collection=collection, exact=tuple(exact), rounded=tuple(rounded), left_out=tuple(left_out))


def level_zero_query(scope: Scope, collection: str, properties: Sequence[str]) -> Analysis:
    """The one question; *scope* fits one query."""
    audited = {
        f"x{index}": {"analysis_type": "sum", "target_property": name}
        for index, name in enumerate(properties)
    }
    return Analysis(
        analysis_type="multi_analysis",
        event_collection=collection,
        analyses={**_STAMPS, **audited},
        timeframe=Timeframe(scope.start_ms, scope.end_ms),
        timezone="UTC",
        interval=INTERVALS[scope.width_ms],
        group_by=[_GROUP],
    )


def ask_level_zero(
    api: QueryApi, scope: Scope, collection: str, properties: Sequence[str], origins: Collection[str]
) -> dict[int, ServerWindow]:
    """What the server shows of *collection*, by window start. A collection it does not know holds nothing.

    Raises:
        ApiError: no answer, or not what was asked for.
    """
    try:
        result = api.query(level_zero_query(scope, collection, properties))
    except NotFoundError:
        return dict.fromkeys(scope.starts, EMPTY)
    return read_level_zero(result, scope, properties, origins)


def read_level_zero(
    result: Any, scope: Scope, properties: Sequence[str], origins: Collection[str]
) -> dict[int, ServerWindow]:
    """Read the answer: every window exactly once with its exact bounds, each group at most once.

    Raises:
        UnreadableResponseError: it is anything else.
    """
    labels = frozenset([_GROUP, *_STAMPS, *(f"x{index}" for index in range(len(properties)))])
    found: dict[int, ServerWindow] = {}
    for item in row_list(result, "the answer"):
        part = record(item, frozenset({"value", "timeframe"}), "a sub-timeframe")
        bounds = record(part["timeframe"], frozenset({"start", "end"}), "a timeframe")
        start_ms = instant_ms(bounds["start"], "a sub-timeframe's start")
        end_ms = instant_ms(bounds["end"], "a sub-timeframe's end")
        if start_ms not in scope.starts or end_ms != start_ms + scope.width_ms:
            refuse("a sub-timeframe was not asked for, or has other bounds")
        if start_ms in found:
            refuse("a sub-timeframe stands in the answer twice")
        found[start_ms] = _window(part["value"], labels, properties, origins)
    if len(found) != len(scope.starts):
        refuse(f"{len(scope.starts) - len(found)} of {len(scope.starts)} sub-timeframes are missing")
    return found


def _window(
    value: object, labels: frozenset[str], properties: Sequence[str], origins: Collection[str]
) -> ServerWindow:
    cells: dict[str, Cell] = {}
    seen: set[tuple[type, str]] = set()
    nameless = others = 0
    for item in row_list(value, "a sub-timeframe's value"):
        row = record(item, labels, "a group")
        origin = row[_GROUP]
        key = (type(origin), str(origin))
        if key in seen:
            refuse("a group stands in a sub-timeframe twice")
        seen.add(key)
        count = whole(row["c"], "a count")
        if origin is None:
            nameless = count
        elif not isinstance(origin, str) or origin not in origins:
            others += count
        else:
            cell = _cell(row, count, properties)
            if cell is not None:
                cells[origin] = cell
    return ServerWindow(cells, nameless, others)


def _cell(row: Mapping[str, Any], count: int, properties: Sequence[str]) -> Cell | None:
    """None for a group that was filled with noughts."""
    h, g = (whole_or_none(row[name], f"the sum {name}") or 0 for name in ("h", "g"))
    block_max = whole_or_none(row["b"], "the maximum b")
    amounts = {
        name: real(row[f"x{index}"], "an audited sum") if row[f"x{index}"] is not None else 0
        for index, name in enumerate(properties)
    }
    if count == 0:
        if h or g:
            refuse("a group without events has sums")
        return None
    return Cell(count, h, g, block_max, amounts)
