"""Controls: events that are believed to be there. An answer that does not show one shows no absence either."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from keen_client._foundation.clock import MS_PER_HOUR
from keen_client.eventlog.entry import Entry
from keen_client.eventlog.log import EventLog
from keen_client.events.identity import EntryId
from keen_client.verify.answer import QueryApi, refuse
from keen_client.verify.evidence import Evidence
from keen_client.verify.locate import kind_of
from keen_client.verify.observations import Observations
from keen_client.verify.sightings import HORIZON, Sighting, sight_ids

#: Controls that are tried: one may have gone since it was last counted.
CONTROLS_MAX: Final = 3


def sight_with_control(
    log: EventLog,
    api: QueryApi,
    collection: str,
    entries: Collection[Entry],
    tokens: Mapping[EntryId, tuple[str, ...]],
    names_max: int,
) -> dict[EntryId, list[Sighting]]:
    """What all time shows of *entries*, by answers that show a control too, where there is an event that can be one.

    Raises:
        ApiError: no answer, or none that shows a control; nothing was found out.
    """
    is_asked = False
    for control in _controls(log, collection, entries):
        is_asked = True
        found = sight_ids(api, collection, HORIZON, tokens, control.id, names_max)
        if any(kind_of(control, shown) == "present" for shown in found.pop(control.id)):
            return found
    if is_asked:
        refuse(f"the answer on single events of {collection} did not show those that are known to be there")
    return sight_ids(api, collection, HORIZON, tokens, names_max=names_max)


def _controls(log: EventLog, collection: str, entries: Collection[Entry]) -> Iterator[Entry]:
    """At most :data:`CONTROLS_MAX` events that nothing speaks against.

    One that shares an hour with one of *entries*, which was read not long ago; then of windows that matched.
    """
    left = CONTROLS_MAX
    doubted = Evidence(log.state, Observations(log.state)).doubted() | {entry.id for entry in entries}
    hours = sorted({entry.timestamp_ms // MS_PER_HOUR for entry in entries})
    spans = [(hour * MS_PER_HOUR, (hour + 1) * MS_PER_HOUR) for hour in hours]
    near = next((entry for span in spans if (entry := _first(log, collection, span, doubted))), None)
    matched = Observations(log.state).matched(collection, CONTROLS_MAX)
    for entry in (near, *(_first(log, collection, span, doubted) for span in matched)):
        if entry is not None and left:
            left -= 1
            doubted.add(entry.id)
            yield entry


def _first(
    log: EventLog, collection: str, span: tuple[int, int], doubted: Collection[EntryId]
) -> Entry | None:
    """The first expected event of [start, end) that is not *doubted* and can be read."""
    for page in log.expectation.pages(collection, *span, log.origins(), is_stamped=False):
        for seq in page.seqs:
            entry_id = EntryId(page.origin, seq)
            if entry_id not in doubted:
                return log.shelf.pick([entry_id]).get(entry_id)
    return None
