"""The uniqueness tokens that an event has travelled under."""

from __future__ import annotations

from collections.abc import Iterable

from keen_client.eventlog.ranges import range_at
from keen_client.eventlog.state import State
from keen_client.events.identity import EntryId


def tokens_of(state: State, ids: Iterable[EntryId]) -> dict[EntryId, tuple[str, ...]]:
    """For each id its tokens: the id itself, and ``id~n`` for each tier n that a replay has used."""
    found: dict[EntryId, tuple[str, ...]] = {}
    with state.reading() as db:
        for entry_id in ids:
            row = range_at(db, entry_id.origin, entry_id.seq)
            tiers = range(1, (row.tier if row is not None else 0) + 1)
            found[entry_id] = (str(entry_id), *(f"{entry_id}~{tier}" for tier in tiers))
    return found
