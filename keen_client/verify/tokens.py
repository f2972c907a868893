"""The uniqueness tokens that an event has travelled under."""

from __future__ import annotations

from collections.abc import Iterable

from keen_client.eventlog.ranges import ranges_at
from keen_client.eventlog.state import State
from keen_client.events.identity import EntryId


def tokens_of(state: State, ids: Iterable[EntryId]) -> dict[EntryId, tuple[str, ...]]:
    """For each id its tokens: the id itself, and ``id~n`` for each tier n that a replay has used."""
    wanted = list(ids)
    with state.reading() as db:
        places = ranges_at(db, wanted)
    tiers = {entry_id: place.tier for entry_id, place in places.items()}
    return {
        entry_id: (str(entry_id), *(f"{entry_id}~{tier + 1}" for tier in range(tiers.get(entry_id, 0))))
        for entry_id in wanted
    }
