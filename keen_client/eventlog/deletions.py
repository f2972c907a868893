"""What was deleted at Keen on purpose, as far as this log was told: a verification would take it for lost.

The log keeps every event, so what somebody deletes at the server is missing
there, and what is missing is resent. A deletion is noted before it is asked
for; from then on what it may have taken is held back from every replay.
Which events its filters took only the server could say, so everything of the
collection that lies in the timeframe and was recorded before is held back.
What is proven absent is written off, and expected no more, where the deletion
had no filters and the event was on its way by then (what was first sent later
arrived later, and is absent for another reason), or where somebody accepted
that all that is missing there is missing on purpose.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs
import orjson

from keen_client.eventlog.entry import Entry
from keen_client.eventlog.intents import lapse_deleted
from keen_client.eventlog.ranges import ranges_at
from keen_client.eventlog.state import State
from keen_client.events.identity import EntryId

#: So many are kept apart; beyond, those of one collection become one that covers them all.
DELETIONS_MAX: Final = 1_000

_FACT: Final = "deletions"


@attrs.frozen(order=True)
class Deletion:
    """Events of a collection with timestamps in [start, end) that were recorded before *at*. UTC milliseconds.

    ``is_accepted``: all that is missing there, and was first sent before *at*,
    is missing on purpose. ``is_decided``: somebody said so of all that is
    missing there, whenever it was sent.
    """

    collection: str
    start_ms: int
    end_ms: int
    at_ms: int
    is_accepted: bool = False
    is_decided: bool = False

    def may_have_taken(self, entry: Entry) -> bool:
        """Whether *entry* lies where this deletion went."""
        return self.covers(entry.collection, entry.timestamp_ms) and entry.recorded_ms <= self.at_ms

    def covers(self, collection: str, timestamp_ms: int) -> bool:
        """Whether an event of *collection* and this time lies where this deletion went, whenever it was recorded."""
        return collection == self.collection and self.start_ms <= timestamp_ms < self.end_ms


class Deletions:
    """The deletions that a log knows of. Thread-safe through its state; may be shared by processes."""

    def __init__(self, state: State) -> None:
        self._state = state

    def note(self, deletion: Deletion) -> None:
        """Hold back from now on what *deletion* may take, and what a run was to resend of it. On disk when this returns."""
        with self._state.transaction():
            self._write({*self.all(), deletion})
            lapse_deleted(self._state, deletion.covers)

    def withdraw(self, deletion: Deletion) -> None:
        """It surely was not carried out. One that has become part of a wider one stays."""
        with self._state.transaction():
            self._write(set(self.all()) - {deletion})

    def accept(self, deletion: Deletion) -> bool:
        """Let what is missing there be written off; False when there is no such deletion (any more)."""
        with self._state.transaction():
            known = set(self.all())
            if deletion not in known:
                return False
            self._write(known - {deletion} | {attrs.evolve(deletion, is_accepted=True, is_decided=True)})
        return True

    def all(self) -> list[Deletion]:
        """Every deletion, by collection and time."""
        noted = self._state.fact(_FACT)
        return [Deletion(*members) for members in orjson.loads(noted)] if noted else []

    def held_back(self, entries: Iterable[Entry]) -> frozenset[EntryId]:
        """Those of *entries* that a deletion may have taken."""
        deletions = self.all()
        if not deletions:
            return frozenset()
        return frozenset(
            entry.id for entry in entries if any(each.may_have_taken(entry) for each in deletions)
        )

    def written_off(self, entries: Iterable[Entry]) -> frozenset[EntryId]:
        """Those of *entries* that were deleted on purpose, if they are absent."""
        accepted = [each for each in self.all() if each.is_accepted]
        found = list(entries) if accepted else []
        sent_ms = self._first_sends(found)
        return frozenset(
            entry.id
            for entry in found
            if any(
                each.may_have_taken(entry) and (each.is_decided or sent_ms.get(entry.id, 0) < each.at_ms)
                for each in accepted
            )
        )

    def _first_sends(self, entries: Iterable[Entry]) -> dict[EntryId, int]:
        """When each of *entries* was first sent (UTC ms), where that is known: a rebuilt ``state.db`` does not know it."""
        with self._state.reading() as db:
            rebuilt = {origin for (origin,) in db.execute("SELECT origin FROM origins WHERE rebuilt = 1")}
            places = ranges_at(db, [entry.id for entry in entries])
        return {entry_id: place.first_ms for entry_id, place in places.items() if place.origin not in rebuilt}

    def _write(self, deletions: set[Deletion]) -> None:
        rows = [attrs.astuple(deletion) for deletion in bounded(deletions)]
        self._state.note(_FACT, orjson.dumps(rows).decode())


def bounded(deletions: Iterable[Deletion], most: int = DELETIONS_MAX) -> list[Deletion]:
    """*deletions* in order; where they are over *most*, one for each collection, which covers all of its own. Pure.

    Such a one covers more than they did, so nothing of it is accepted.
    """
    ordered = sorted(deletions)
    if len(ordered) <= most:
        return ordered
    hulls: dict[str, Deletion] = {}
    for each in ordered:
        hull = hulls.get(each.collection, each)
        hulls[each.collection] = Deletion(
            each.collection,
            min(hull.start_ms, each.start_ms),
            max(hull.end_ms, each.end_ms),
            max(hull.at_ms, each.at_ms),
        )
    return [hulls[name] for name in sorted(hulls)]
