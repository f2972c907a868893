"""What was deleted at Keen on purpose, as far as this log was told: a verification would take it for lost.

The log keeps every event, so what somebody deletes at the server is missing
there, and what is missing is resent. A deletion is noted before it is asked
for; from then on what it may have taken is held back from every replay.
Which events its filters took only the server could say, so everything of the
collection that lies in the timeframe and was recorded before is held back.
What was before is told by the numbers of the entries, and not by clocks: one
that was wrong would bring back what had to go.

What is proven absent is written off, and expected no more, where the deletion
had no filters and the event was on its way by then (what was first sent later
arrived later, and is absent for another reason), or where somebody accepted
that all that is missing there is missing on purpose.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import attrs
import orjson

from keen_client.eventlog.entry import Entry
from keen_client.eventlog.intents import lapse_deleted
from keen_client.eventlog.ranges import ranges_at
from keen_client.eventlog.state import State
from keen_client.eventlog.watermarks import Watermark, Watermarks
from keen_client.events.identity import EntryId

#: So many are kept apart; beyond, those of one collection become one that covers them all.
DELETIONS_MAX: Final = 1_000

_FACT: Final = "deletions"
_MARKS_FACT: Final = "deletion_marks"

_UNMARKED: Final = Watermarks()


@attrs.frozen(order=True)
class Deletion:
    """Events of a collection with timestamps in [start, end) that were recorded before *at*. UTC milliseconds.

    ``is_accepted``: all that is missing there, and was first sent before *at*,
    is missing on purpose. ``is_decided``: somebody said so of all that is
    missing there, whenever it was sent. ``number`` tells in the log's own
    watermarks what had been recorded by then; 0: it was noted without them,
    and clocks have to tell.
    """

    collection: str
    start_ms: int
    end_ms: int
    at_ms: int
    is_accepted: bool = False
    is_decided: bool = False
    number: int = attrs.field(default=0, eq=False)

    def may_have_taken(self, entry: Entry, marks: Watermarks = _UNMARKED) -> bool:
        """Whether *entry* lies where this deletion went, and was recorded before."""
        if not self.covers(entry.collection, entry.timestamp_ms):
            return False
        if not self.number:
            return entry.recorded_ms <= self.at_ms
        return entry.seq <= marks.of(entry.origin, self.number).recorded

    def covers(self, collection: str, timestamp_ms: int) -> bool:
        """Whether an event of *collection* and this time lies where this deletion went, whenever it was recorded."""
        return collection == self.collection and self.start_ms <= timestamp_ms < self.end_ms


class Deletions:
    """The deletions that a log knows of. Thread-safe through its state; may be shared by processes."""

    def __init__(self, state: State) -> None:
        self._state = state

    def note(self, deletion: Deletion, marks: Mapping[str, Watermark] | None = None) -> None:
        """Hold back from now on what *deletion* may take, and what a run was to resend of it. On disk when this returns.

        *marks*: how far each segment is now; without them clocks have to tell what was recorded before.
        """
        with self._state.transaction():
            stored = self._marks()
            known = set(self.all()) - {deletion}
            if marks is not None:
                number = max([stored.last, *(each.number for each in known)]) + 1
                deletion = attrs.evolve(deletion, number=number)
                stored.add(number, marks)
            self._write(known | {deletion}, stored)
            lapse_deleted(self._state, deletion.covers)

    def withdraw(self, deletion: Deletion) -> None:
        """It surely was not carried out. One that has become part of a wider one stays."""
        with self._state.transaction():
            self._write(set(self.all()) - {deletion}, self._marks())

    def accept(self, deletion: Deletion) -> bool:
        """Let what is missing there be written off; False when there is no such deletion (any more)."""
        with self._state.transaction():
            known = set(self.all())
            meant = next((each for each in known if each == deletion), None)
            if meant is None:
                return False
            decided = attrs.evolve(meant, is_accepted=True, is_decided=True)
            self._write(known - {meant} | {decided}, self._marks())
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
        marks = self._marks()
        return frozenset(
            entry.id for entry in entries if any(each.may_have_taken(entry, marks) for each in deletions)
        )

    def written_off(self, entries: Iterable[Entry]) -> frozenset[EntryId]:
        """Those of *entries* that were deleted on purpose, if they are absent."""
        accepted = [each for each in self.all() if each.is_accepted]
        if not accepted:
            return frozenset()
        found, marks = list(entries), self._marks()
        sent_ms = self._first_sends(found)

        def was_sent(entry: Entry, deletion: Deletion) -> bool:
            if not deletion.number:
                return sent_ms.get(entry.id, 0) < deletion.at_ms
            return entry.seq <= marks.of(entry.origin, deletion.number).sent

        return frozenset(
            entry.id
            for entry in found
            if any(
                each.may_have_taken(entry, marks) and (each.is_decided or was_sent(entry, each))
                for each in accepted
            )
        )

    def _first_sends(self, entries: Iterable[Entry]) -> dict[EntryId, int]:
        """When each of *entries* was first sent (UTC ms), where that is known: a rebuilt ``state.db`` does not know it."""
        with self._state.reading() as db:
            rebuilt = {origin for (origin,) in db.execute("SELECT origin FROM origins WHERE rebuilt = 1")}
            places = ranges_at(db, [entry.id for entry in entries])
        return {entry_id: place.first_ms for entry_id, place in places.items() if place.origin not in rebuilt}

    def _marks(self) -> Watermarks:
        return Watermarks(self._state.fact(_MARKS_FACT))

    def _write(self, deletions: set[Deletion], marks: Watermarks) -> None:
        kept = bounded(deletions)
        self._state.note(_FACT, orjson.dumps([attrs.astuple(deletion) for deletion in kept]).decode())
        with self._state.reading() as db:
            is_over = {
                origin
                for (origin,) in db.execute(
                    "SELECT origin FROM origins WHERE status = 'reclaimed'"
                    " AND origin NOT IN (SELECT origin FROM kept)"
                )
            }
        marks.keep([each.number for each in kept], is_over)
        self._state.note(_MARKS_FACT, marks.to_json())


def bounded(deletions: Iterable[Deletion], most: int = DELETIONS_MAX) -> list[Deletion]:
    """*deletions* in order; where they are over *most*, one for each collection, which covers all of its own. Pure.

    Such a one covers more than they did, so nothing of it is accepted. Those that clocks have to tell of are one apart.
    """
    ordered = sorted(deletions)
    if len(ordered) <= most:
        return ordered
    hulls: dict[tuple[str, bool], Deletion] = {}
    for each in ordered:
        kind = (each.collection, each.number > 0)
        hull = hulls.get(kind, each)
        hulls[kind] = Deletion(
            each.collection,
            min(hull.start_ms, each.start_ms),
            max(hull.end_ms, each.end_ms),
            max(hull.at_ms, each.at_ms),
            number=max(hull.number, each.number),
        )
    return [hulls[kind] for kind in sorted(hulls)]
