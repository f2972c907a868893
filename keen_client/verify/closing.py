"""Closing: whether the totals, when all suspects were asked for, still are what they were."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from keen_client.errors import NotFoundError
from keen_client.queries import Analysis, Timeframe
from keen_client.verify.answer import EXACT_MAX, QueryApi, record, refuse, row_list, whole, whole_or_none
from keen_client.verify.level_zero import EMPTY, ServerWindow, ask_level_zero
from keen_client.verify.locate import LATE, Differing
from keen_client.verify.verdict import CONTRADICTION
from keen_client.verify.windows import Scope

_GROUP: Final = "kc.o"
_LABELS: Final = frozenset([_GROUP, "c", "h", "g"])

#: Count and hash totals by origin.
Totals = dict[str, tuple[int, int, int]]


def still_the_same(
    api: QueryApi,
    collection: str,
    windows: Sequence[Differing],
    answered: Mapping[int, ServerWindow],
    origins: Collection[str],
) -> dict[int, str]:
    """The windows (of equal width, ascending) whose totals are others now, by start, with what that means.

    One row an origin tells that nothing changed from the first to the last of
    them, the *answered* ones in between included; else each is read again.

    Raises:
        ApiError: no answer, or not what was asked for.
    """
    start_ms, end_ms = windows[0].local.start_ms, windows[-1].local.end_ms
    width_ms = windows[0].local.end_ms - start_ms
    starts = range(start_ms, end_ms, width_ms)
    if all(start in answered for start in starts):
        before = _totals(answered[start] for start in starts)
        is_exact = all(max(totals) <= EXACT_MAX for totals in before.values())
        if is_exact and _ask_totals(api, collection, Timeframe(start_ms, end_ms), origins) == before:
            return {}
    return _changed(api, collection, windows, Scope(start_ms, end_ms, width_ms), origins)


def _changed(
    api: QueryApi,
    collection: str,
    windows: Sequence[Differing],
    scope: Scope,
    origins: Collection[str],
) -> dict[int, str]:
    now: dict[int, ServerWindow] = {}
    for part in scope.queries():
        now.update(ask_level_zero(api, part, collection, (), origins))
    changed: dict[int, str] = {}
    for window in windows:
        start = window.local.start_ms
        before, after = _totals([window.server]), _totals([now.get(start, EMPTY)])
        if after != before:
            more = {
                origin: after.get(origin, (0,))[0] - before.get(origin, (0,))[0]
                for origin in {*after, *before}
            }
            rises = min(more.values()) >= 0 and max(more.values()) > 0
            changed[start] = LATE if rises else CONTRADICTION
    return changed


def _totals(windows: Iterable[ServerWindow]) -> Totals:
    found: Totals = {}
    for window in windows:
        for origin, cell in window.by_origin.items():
            n, h, g = found.get(origin, (0, 0, 0))
            found[origin] = (n + cell.n, h + cell.h, g + cell.g)
    return found


def _ask_totals(api: QueryApi, collection: str, timeframe: Timeframe, origins: Collection[str]) -> Totals:
    query = Analysis(
        analysis_type="multi_analysis",
        event_collection=collection,
        analyses={
            "c": {"analysis_type": "count"},
            "h": {"analysis_type": "sum", "target_property": "kc.h"},
            "g": {"analysis_type": "sum", "target_property": "kc.g"},
        },
        timeframe=timeframe,
        timezone="UTC",
        group_by=[_GROUP],
    )
    try:
        rows = row_list(api.query(query), "the answer")
    except NotFoundError:
        return {}
    found: Totals = {}
    for item in rows:
        row: Mapping[str, Any] = record(item, _LABELS, "a group")
        origin = row[_GROUP]
        if not isinstance(origin, str) or origin not in origins:
            continue
        if origin in found:
            refuse("a group stands in the answer twice")
        count = whole(row["c"], "a count")
        h, g = (whole_or_none(row[name], f"the sum {name}") or 0 for name in ("h", "g"))
        if count:
            found[origin] = (count, h, g)
    return found
