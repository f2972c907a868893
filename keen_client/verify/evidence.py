"""Evidence: what queries showed of single events. Presence is sticky, absence has to be shown again and again.

Only what is out of the ordinary is stored. That an event was present follows
from any read that accounted for its window while nothing was noted against
it; the moment an event is first found absent, that is looked up and, where it
had been seen, noted as presence: it *vanished*, and is never resent by itself.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from typing import Final

import attrs

from keen_client.eventlog.dead_letters import GIVEN_UP
from keen_client.eventlog.entry import DeliveryState, Entry
from keen_client.eventlog.ranges import Range, ranges_at
from keen_client.eventlog.shelf import Shelf
from keen_client.eventlog.state import State
from keen_client.events.identity import EntryId
from keen_client.verify.observations import Observations
from keen_client.verify.presets import Preset
from keen_client.verify.resends import Resends, may_be_resent, resends_between


class Kind(StrEnum):
    """What a query showed.

    For ``absent``, ``first_ms`` is the first absence that counts since the last
    attempt, ``last_ms`` the last one, ``reads`` how many, and ``copies`` the
    number of that attempt.
    """

    ABSENT = "absent"
    PRESENT = "present"
    DUPLICATE = "duplicate"
    CORRUPT = "corrupt"
    SHIFTED = "shifted"
    COLLISION = "collision"
    DISPUTED = "disputed"


#: Once shown, no ordinary replay resends the event: it, or something under its name, is or was there.
STICKY: Final = frozenset({Kind.PRESENT, Kind.DUPLICATE, Kind.CORRUPT, Kind.SHIFTED, Kind.COLLISION})
#: What reports go on naming until a read shows otherwise.
NAMED: Final = (Kind.DUPLICATE, Kind.CORRUPT, Kind.SHIFTED, Kind.COLLISION)
#: Delivery states in which an absent event may be resent: nobody is at work on it.
_SENT: Final = frozenset({DeliveryState.ACKNOWLEDGED, DeliveryState.UNKNOWN})
#: What is known of a dead letter of an entry that is none.
_NO_LETTER: Final = ("", 0, "")


@attrs.frozen
class Absence:
    """What is known of an event that a read did not show. Times are UTC milliseconds since 1970.

    ``reads``: absences that count, each far enough from the one before under
    the preset of its time and all later than its last send attempt, which ended
    at ``attempt_ms``; the first was at ``first_ms``, the last at ``last_ms``.
    ``vanished``: it had been seen before. ``is_at_rest``: it was sent, and
    nobody is at work on it. ``is_refused``: a later attempt was refused for
    good. ``is_given_up``: it was resent in vain, and waits for a person.
    ``resends``: what replay runs sent of it; None: nothing.
    """

    reads: int
    vanished: bool
    is_at_rest: bool
    is_refused: bool
    first_ms: int = 0
    last_ms: int = 0
    attempt_ms: int = 0
    is_given_up: bool = False
    resends: Resends | None = None

    def is_shown(self, preset: Preset) -> bool:
        """Whether it has been absent as often, as late and as far apart as *preset* asks, whichever counted it."""
        return (
            self.reads >= preset.reads_before_replay
            and self.first_ms >= self.attempt_ms + preset.settle_ms
            and self.last_ms - self.first_ms >= (preset.reads_before_replay - 1) * preset.reads_apart_ms
            and self.is_at_rest
        )

    def is_proven(self, preset: Preset) -> bool:
        """Whether something may be concluded from its absence under *preset*."""
        return self.is_shown(preset) and not self.vanished

    def is_eligible(self, preset: Preset) -> bool:
        """Whether a replay may resend it."""
        return (
            self.is_proven(preset)
            and not (self.is_refused or self.is_given_up)
            and may_be_resent(self.resends, preset, self.last_ms)
        )

    def is_hopeless(self, preset: Preset) -> bool:
        """Whether it is to be given up: proven absent after as many resends as runs make by themselves."""
        has_had_all = self.resends is not None and self.resends.are_spent
        return has_had_all and self.is_proven(preset) and not (self.is_refused or self.is_given_up)


class Evidence:
    """Stores and weighs evidence. Thread-safe through its state."""

    def __init__(self, state: State, observations: Observations) -> None:
        self._state = state
        self._observations = observations

    def note(self, kind: Kind, copies: Mapping[EntryId, int], at_ms: int) -> None:
        """Store that a read showed *kind* of these ids, with so many copies; absences in a row end by it."""
        if not copies:
            return
        with self._state.transaction() as db:
            for entry_id, count in copies.items():
                _upsert(db, entry_id, kind, at_ms, count)
                if kind in STICKY:
                    _end_absence(db, entry_id)

    def note_seen(self, ids: Collection[EntryId], at_ms: int) -> None:
        """Of *ids*, which a read showed whole, note those that had been missed or doubted before."""
        if not ids:
            return
        with self._state.transaction() as db:
            for entry_id in self.doubted().intersection(ids):
                _upsert(db, entry_id, Kind.PRESENT, at_ms, 1)
                _end_absence(db, entry_id)

    def doubted(self) -> set[EntryId]:
        """The ids that a read ever missed, or showed as anything but once and whole."""
        with self._state.reading() as db:
            return {EntryId(*row) for row in db.execute("SELECT DISTINCT origin, seq FROM evidence")}

    def missed(self, shelf: Shelf) -> list[Entry]:
        """The entries that the last reads did not show, as far as they can be read."""
        with self._state.reading() as db:
            rows = db.execute("SELECT origin, seq FROM evidence WHERE kind = ?", (Kind.ABSENT,)).fetchall()
        return list(shelf.pick(EntryId(*row) for row in rows).values())

    def named_since(self, at_ms: int) -> list[tuple[EntryId, Kind, int]]:
        """The ids that a read at *at_ms* or later showed as anything but whole, with what it showed and when last."""
        with self._state.reading() as db:
            rows = db.execute(
                "SELECT origin, seq, kind, last_ms FROM evidence WHERE last_ms >= ? AND kind IN (?, ?, ?, ?)"
                " ORDER BY origin, seq, kind",
                (at_ms, *NAMED),
            ).fetchall()
        return [(EntryId(origin, seq), Kind(kind), last_ms) for origin, seq, kind, last_ms in rows]

    def note_disputed(self, entries: Iterable[Entry], at_ms: int) -> None:
        """Store that a read could not tell of these *entries* whether they are there.

        That read vouches for none of them, so whether an earlier one did is looked up first.
        """
        disputed = {entry.id: entry for entry in entries}
        if not disputed:
            return
        with self._state.transaction() as db:
            known = _Known.of(db, disputed)
            for entry in disputed.values():
                if not known.is_doubted(entry.id):
                    self._look_back(db, entry, known, at_ms)
                _upsert(db, entry.id, Kind.DISPUTED, at_ms, 1)

    def note_absent(self, entries: Iterable[Entry], at_ms: int, preset: Preset) -> dict[EntryId, Absence]:
        """Count an absence of each of *entries*, where it may count; what is known of each then.

        The caller vouches that *at_ms* is later than the settle time after the last attempt.
        """
        missing = {entry.id: entry for entry in entries}
        with self._state.transaction() as db:
            known = _Known.of(db, missing)
            for entry in missing.values():
                self._count_absence(db, entry, known, at_ms, preset)
            return _absences(db, missing)

    def end_absences(self, ids: Iterable[EntryId]) -> None:
        """*ids* are expected no more: that they are absent says nothing against anything."""
        with self._state.transaction() as db:
            for entry_id in ids:
                _end_absence(db, entry_id)

    def absences(self, ids: Iterable[EntryId]) -> dict[EntryId, Absence]:
        """What is known of the absence of each of *ids*; changes nothing."""
        with self._state.reading() as db:
            return _absences(db, list(ids))

    def _count_absence(
        self, db: sqlite3.Connection, entry: Entry, known: _Known, at_ms: int, preset: Preset
    ) -> None:
        attempt, row = known.attempt(entry.id), known.absence(entry.id)
        if row is None:
            self._look_back(db, entry, known, at_ms)
            _put(db, entry.id, Kind.ABSENT, (at_ms, at_ms, 1, attempt.a))
        elif not row.is_of(attempt, preset.settle_ms) or row.last_ms > at_ms:
            # It was counted too early for this preset, or by a clock that went wrong.
            _put(db, entry.id, Kind.ABSENT, (at_ms, at_ms, 1, attempt.a))
        elif at_ms >= row.last_ms + preset.reads_apart_ms:
            is_early = row.first_ms < attempt.last_ms + preset.settle_ms  # then the last one alone counts
            first_ms, reads = (row.last_ms, 1) if is_early else (row.first_ms, row.reads)
            _put(db, entry.id, Kind.ABSENT, (first_ms, at_ms, reads + 1, attempt.a))

    def _look_back(self, db: sqlite3.Connection, entry: Entry, known: _Known, at_ms: int) -> None:
        """On the first absence or dispute: had a read accounted for it before, as present?"""
        since_ms = max(known.there_since_ms(entry), known.unvouched_until_ms(entry.id))
        seen_ms = self._observations.accounted_between(entry.collection, entry.timestamp_ms, since_ms, at_ms)
        if seen_ms is not None:
            _upsert(db, entry.id, Kind.PRESENT, seen_ms, 1)


@attrs.frozen
class _Attempt:
    """The last send of an entry: its number, its end, and where delivery stands with it now."""

    a: int
    last_ms: int
    state: DeliveryState


@attrs.frozen
class _Row:
    """One row of evidence; ``copies`` of an absence is the number of the attempt that it followed."""

    first_ms: int
    last_ms: int
    reads: int
    copies: int

    def is_of(self, attempt: _Attempt, settle_ms: int = 0) -> bool:
        """Whether this absence followed the very last attempt, by so much at least."""
        return self.copies == attempt.a and self.last_ms >= attempt.last_ms + settle_ms


@attrs.frozen
class _Known:
    """What is stored of some entries: delivery, evidence by kind, resends, and of dead letters status, time and name.

    Read at once: of thousands, row by row, it would take longer than all questions.
    """

    places: Mapping[EntryId, Range]
    rows: Mapping[EntryId, Mapping[str, _Row]]
    letters: Mapping[EntryId, tuple[str, int, str]]
    resends: Mapping[EntryId, Resends]

    @classmethod
    def of(cls, db: sqlite3.Connection, ids: Collection[EntryId]) -> _Known:
        """Read it; what lies between the *ids* comes along."""
        rows: dict[EntryId, dict[str, _Row]] = {}
        letters: dict[EntryId, tuple[str, int, str]] = {}
        spans = _spans(ids)
        for origin, first, last in spans:
            for seq, kind, *row in db.execute(
                "SELECT seq, kind, first_ms, last_ms, reads, copies FROM evidence"
                " WHERE origin = ? AND seq BETWEEN ? AND ?",
                (origin, first, last),
            ):
                rows.setdefault(EntryId(origin, seq), {})[kind] = _Row(*row)
            for seq, *letter in db.execute(
                "SELECT seq, status, at_ms, name FROM dead_letters WHERE origin = ? AND seq BETWEEN ? AND ?",
                (origin, first, last),
            ):
                letters[EntryId(origin, seq)] = (letter[0], letter[1], letter[2])
        return cls(ranges_at(db, ids), rows, letters, resends_between(db, spans))

    def attempt(self, entry_id: EntryId) -> _Attempt:
        """Its last send."""
        place = self.places.get(entry_id)
        if place is None:
            return _Attempt(-1, 0, DeliveryState.PENDING)
        return _Attempt(place.a, place.last_ms, place.state)

    def there_since_ms(self, entry: Entry) -> int:
        """From when on reads may have seen it: it was recorded then, or sent before, where a clock was ahead at its record."""
        return min(entry.recorded_ms, self.attempt(entry.id).last_ms or entry.recorded_ms)

    def unvouched_until_ms(self, entry_id: EntryId) -> int:
        """Until when no read vouched for it, whatever it said of its window: it was disputed, or a dead letter.

        While it was a dead letter it was not expected.
        """
        disputed = self.rows.get(entry_id, {}).get(Kind.DISPUTED)
        _, buried_ms, _ = self.letters.get(entry_id, _NO_LETTER)
        return max(buried_ms, disputed.last_ms + 1 if disputed else 0)

    def is_doubted(self, entry_id: EntryId) -> bool:
        """Whether the last read of it missed or disputed it, so that what was before has been looked up."""
        return not {Kind.ABSENT, Kind.DISPUTED}.isdisjoint(self.rows.get(entry_id, {}))

    def absence(self, entry_id: EntryId) -> _Row | None:
        """What is noted of its absence."""
        return self.rows.get(entry_id, {}).get(Kind.ABSENT)


def _absences(db: sqlite3.Connection, ids: Collection[EntryId]) -> dict[EntryId, Absence]:
    known, found = _Known.of(db, ids), dict[EntryId, Absence]()
    for entry_id in ids:
        attempt, row = known.attempt(entry_id), known.absence(entry_id)
        counts = row is not None and row.is_of(attempt)
        status, _, name = known.letters.get(entry_id, _NO_LETTER)
        found[entry_id] = Absence(
            reads=row.reads if row is not None and counts else 0,
            vanished=not STICKY.isdisjoint(known.rows.get(entry_id, {})),
            is_at_rest=attempt.state in _SENT,
            is_refused=status == "unsure",
            first_ms=row.first_ms if row is not None and counts else 0,
            last_ms=row.last_ms if row is not None and counts else 0,
            attempt_ms=attempt.last_ms,
            is_given_up=(status, name) == ("dead", GIVEN_UP),
            resends=known.resends.get(entry_id),
        )
    return found


def _spans(ids: Iterable[EntryId]) -> list[tuple[str, int, int]]:
    """(origin, first seq, last seq) of *ids*."""
    seqs: dict[str, list[int]] = {}
    for entry_id in ids:
        seqs.setdefault(entry_id.origin, []).append(entry_id.seq)
    return [(origin, min(numbers), max(numbers)) for origin, numbers in seqs.items()]


def _put(db: sqlite3.Connection, entry_id: EntryId, kind: Kind, values: tuple[int, int, int, int]) -> None:
    db.execute(
        "INSERT OR REPLACE INTO evidence (origin, seq, kind, first_ms, last_ms, reads, copies)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (entry_id.origin, entry_id.seq, kind, *values),
    )


def _upsert(db: sqlite3.Connection, entry_id: EntryId, kind: Kind, at_ms: int, copies: int) -> None:
    db.execute(
        "INSERT INTO evidence (origin, seq, kind, first_ms, last_ms, reads, copies) VALUES (?, ?, ?, ?, ?, 1, ?)"
        " ON CONFLICT (origin, seq, kind) DO UPDATE SET last_ms = max(last_ms, excluded.last_ms),"
        " reads = reads + 1, copies = max(copies, excluded.copies)",
        (entry_id.origin, entry_id.seq, kind, at_ms, at_ms, copies),
    )


def _end_absence(db: sqlite3.Connection, entry_id: EntryId) -> None:
    """What speaks for presence takes the place of what spoke against it; nobody has to decide any more."""
    db.execute(
        "DELETE FROM evidence WHERE origin = ? AND seq = ? AND kind IN (?, ?)",
        (entry_id.origin, entry_id.seq, Kind.ABSENT, Kind.DISPUTED),
    )
    db.execute(
        "DELETE FROM dead_letters WHERE origin = ? AND seq = ? AND status = 'dead' AND name = ?",
        (entry_id.origin, entry_id.seq, GIVEN_UP),
    )
