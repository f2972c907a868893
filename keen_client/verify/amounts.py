"""Altered amounts: events whose stamps are whole and whose audited numbers are not those of the log."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from keen_client.eventlog.entry import Entry
from keen_client.eventlog.fold import Amount, amounts_of
from keen_client.events.identity import EntryId
from keen_client.queries import Analysis, Filter, Timeframe
from keen_client.verify.answer import QueryApi, row_list
from keen_client.verify.compare import amounts_agree
from keen_client.verify.level_zero import Cell

#: Events of one origin and window among which altered ones are looked for.
EVENTS_MAX: Final = 10_000


def altered_entries(
    api: QueryApi,
    collection: str,
    timeframe: Timeframe,
    origin: str,
    audited: Collection[str],
    copies: Mapping[EntryId, int],
    entries: Mapping[EntryId, Entry],
    cell: Cell,
) -> set[EntryId] | None:
    """None when the sighted *copies* explain the cell's amounts; else the altered events.

    The set is empty where there are too many events to look at each.

    Raises:
        ApiError: no answer, or not what was asked for.
    """
    names = sorted(audited)
    expected = {name: Amount() for name in names}
    for entry_id, count in copies.items():
        entry = entries.get(entry_id)
        for name, value in (amounts_of(entry.body, names) if entry else {}).items():
            for _ in range(count):
                expected[name].add(value)
    if all(amounts_agree(expected[name], cell.amounts.get(name, 0)) for name in names):
        return None
    if sum(copies.values()) > EVENTS_MAX:
        return set()
    query = Analysis(
        analysis_type="extraction",
        event_collection=collection,
        timeframe=timeframe,
        filters=[Filter("kc.o", "eq", origin)],
        property_names=["kc.id", *names],
    )
    altered: set[EntryId] = set()
    for event in row_list(api.query(query), "the extraction"):
        text = _member(event, "kc.id")
        try:
            entry_id = EntryId.parse(text if isinstance(text, str) else "")
        except ValueError:
            continue
        entry = entries.get(entry_id)
        if entry is not None and _differs(event, amounts_of(entry.body, names), names):
            altered.add(entry_id)
    return altered


def _differs(event: Any, own: Mapping[str, int | float], names: Collection[str]) -> bool:
    for name in names:
        shown = _member(event, name)
        shown = None if isinstance(shown, bool) or not isinstance(shown, int | float) else shown
        expected = own.get(name)
        if shown is None or expected is None:
            if shown is not expected:
                return True
        elif shown != expected and float(shown) != float(expected):
            return True
    return False


def _member(event: Any, path: str) -> Any:
    """A property by its dotted path; answers hold it nested, some under the path itself."""
    if isinstance(event, dict) and path in event:
        return event[path]
    for name in path.split("."):
        event = event.get(name) if isinstance(event, dict) else None
    return event
