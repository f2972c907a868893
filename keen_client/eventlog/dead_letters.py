"""Dead letters: events that the server refused for good, kept with its words until a person decides.

So are events *given up*: resent as often as replay runs do by themselves, and
absent all the same. They stay expected at the server until somebody decides.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

import attrs

from keen_client._foundation.clock import Clock
from keen_client.eventlog.entry import DeliveryState, Entry
from keen_client.eventlog.fold import stamp_entry
from keen_client.eventlog.ranges import Range, change_entry, range_at
from keen_client.eventlog.shelf import Shelf
from keen_client.eventlog.state import State
from keen_client.eventlog.totals import Totals
from keen_client.events.identity import EntryId

#: What is kept of the server's words.
MESSAGE_CHARS_MAX: Final = 2_000
#: The name, of our own, of a dead letter that was given up.
GIVEN_UP: Final = "GivenUp"
#: Delivery states of a dead letter that nobody is at work on.
_AT_REST: Final = frozenset({DeliveryState.REJECTED, DeliveryState.ACKNOWLEDGED, DeliveryState.UNKNOWN})
#: Evidence that the very event, with our stamps, is at the server.
_THERE: Final = ("present", "duplicate")


@attrs.frozen
class DeadLetter:
    """One refused event. Times are UTC milliseconds since 1970; ``name`` and ``message`` are the server's.

    ``status``: ``dead``; ``unsure`` (an earlier attempt's outcome is not
    known, so a query has to show first that it is not there); ``retried``;
    ``dropped``.
    """

    id: EntryId
    collection: str
    timestamp_ms: int
    at_ms: int
    name: str
    #: Not shown: the server may repeat what an event held.
    message: str = attrs.field(repr=False)
    status: str


def bury(db: sqlite3.Connection, entry: Entry, name: str, message: str, status: str, at_ms: int) -> None:
    """Note a refused entry, within the transaction that settles it."""
    db.execute(
        "INSERT OR REPLACE INTO dead_letters VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            entry.origin,
            entry.seq,
            entry.collection,
            entry.timestamp_ms,
            at_ms,
            name,
            message[:MESSAGE_CHARS_MAX],
            status,
        ),
    )


class DeadLetters:
    """Lists, retries and drops dead letters. Thread-safe through its :class:`State`."""

    def __init__(self, state: State, shelf: Shelf, totals: Totals, clock: Clock) -> None:
        self._state = state
        self._shelf = shelf
        self._totals = totals
        self._clock = clock

    def list(self, status: str = "dead", collection: str | None = None) -> list[DeadLetter]:
        """The dead letters of a *status*, oldest first."""
        with self._state.reading() as db:
            rows = db.execute(
                "SELECT origin, seq, collection, ts, at_ms, name, message, status FROM dead_letters"
                " WHERE status = ? AND (? IS NULL OR collection = ?) ORDER BY at_ms, origin, seq",
                (status, collection, collection),
            ).fetchall()
        return [DeadLetter(EntryId(row[0], row[1]), *row[2:]) for row in rows]

    def find(self, entry_id: EntryId) -> DeadLetter | None:
        """The dead letter of one event, whatever its status."""
        with self._state.reading() as db:
            row = db.execute(
                "SELECT collection, ts, at_ms, name, message, status FROM dead_letters WHERE origin = ? AND seq = ?",
                (entry_id.origin, entry_id.seq),
            ).fetchone()
        return None if row is None else DeadLetter(entry_id, *row)

    def given_up(self) -> int:
        """How many events were given up, and wait for a decision."""
        with self._state.reading() as db:
            row = db.execute(
                "SELECT count(*) FROM dead_letters WHERE status = 'dead' AND name = ?", (GIVEN_UP,)
            ).fetchone()
        return int(row[0])

    def there(self, ids: Sequence[EntryId]) -> tuple[EntryId, ...]:
        """Those of *ids* that are dead letters although a query showed them at the server: no retry sends them."""
        with self._state.reading() as db:
            return tuple(entry_id for entry_id in ids if _is_dead(db, entry_id) and _is_there(db, entry_id))

    def retry(self, ids: Sequence[EntryId]) -> int:
        """Send these dead letters once more, with identity and timestamp unchanged; how many.

        What a query showed at the server is not sent: it counts as acknowledged
        and is expected there from now on. What was given up goes under a token
        that it never had: its last one may have swallowed it.
        """
        return self._decide(ids, "retried")

    def drop(self, ids: Sequence[EntryId]) -> int:
        """Give these dead letters up for good, counted; how many. They stay in the log until it rolls."""
        return self._decide(ids, "dropped")

    def _decide(self, ids: Sequence[EntryId], status: str) -> int:
        now_ms = self._clock.wall_ms()
        entries = self._shelf.pick(ids)
        done = there = 0
        with self._state.transaction() as db:
            for entry_id in ids:
                place = range_at(db, entry_id.origin, entry_id.seq)
                if place is None or place.state not in _AT_REST or not _is_dead(db, entry_id):
                    continue
                if status == "retried" and _is_there(db, entry_id):
                    self._accept(db, entry_id)
                    there += 1
                elif status == "retried":
                    self._send_again(db, entry_id, place)
                elif not self._drop(db, entry_id, place, entries.get(entry_id), now_ms):
                    continue
                done += 1
                db.execute(
                    "UPDATE dead_letters SET status = ?, at_ms = ? WHERE origin = ? AND seq = ?",
                    (status, now_ms, entry_id.origin, entry_id.seq),
                )
            self._state.count(status, done - there)
            self._state.count("acknowledged", there)
        return done

    def _accept(self, db: sqlite3.Connection, entry_id: EntryId) -> None:
        """The server refused it and stored it: it is there, so it is expected there, and no dead letter."""
        origin, seq = entry_id.origin, entry_id.seq
        self._totals.expect_again(db, origin, seq)
        change_entry(
            db, origin, seq, state=DeliveryState.ACKNOWLEDGED, unsure=0, failures=0, due_ms=0, batch_max=0
        )
        db.execute("DELETE FROM dead_letters WHERE origin = ? AND seq = ?", (origin, seq))

    def _send_again(self, db: sqlite3.Connection, entry_id: EntryId, place: Range) -> None:
        self._totals.expect_again(db, entry_id.origin, entry_id.seq)
        change_entry(
            db,
            entry_id.origin,
            entry_id.seq,
            state=DeliveryState.PENDING,
            tier=place.tier + (place.state is not DeliveryState.REJECTED),
            due_ms=0,
            batch_max=1,
            refused_batch=0,
            alone=0,
        )

    def _drop(
        self, db: sqlite3.Connection, entry_id: EntryId, place: Range, entry: Entry | None, now_ms: int
    ) -> bool:
        """Expect it no more; False for one that still is expected, and cannot be read."""
        origin, seq = entry_id.origin, entry_id.seq
        if entry is None and place.state is not DeliveryState.REJECTED:
            return False
        change_entry(db, origin, seq, state=DeliveryState.DROPPED, unsure=0, due_ms=0, batch_max=0)
        # That it is absent says nothing against anything any more.
        db.execute(
            "DELETE FROM evidence WHERE origin = ? AND seq = ? AND kind IN ('absent', 'disputed')",
            (origin, seq),
        )
        if entry is not None:
            audited = self._totals.audited_properties(entry.collection, entry.body)
            self._totals.leave_out(db, stamp_entry(entry, audited), "dropped", now_ms)
        return True


def _is_dead(db: sqlite3.Connection, entry_id: EntryId) -> bool:
    """Whether it waits for a decision."""
    return bool(
        db.execute(
            "SELECT 1 FROM dead_letters WHERE origin = ? AND seq = ? AND status = 'dead'",
            (entry_id.origin, entry_id.seq),
        ).fetchone()
    )


def _is_there(db: sqlite3.Connection, entry_id: EntryId) -> bool:
    """Whether a query showed it at the server."""
    return bool(
        db.execute(
            "SELECT 1 FROM evidence WHERE origin = ? AND seq = ? AND kind IN (?, ?)",
            (entry_id.origin, entry_id.seq, *_THERE),
        ).fetchone()
    )
