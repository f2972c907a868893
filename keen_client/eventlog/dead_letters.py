"""Dead letters: events that the server refused for good, kept with its words until a person decides."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

import attrs

from keen_client._foundation.clock import Clock
from keen_client.eventlog.entry import DeliveryState, Entry
from keen_client.eventlog.fold import stamp_entry
from keen_client.eventlog.ranges import change_entry
from keen_client.eventlog.shelf import Shelf
from keen_client.eventlog.state import State
from keen_client.eventlog.totals import Totals
from keen_client.events.identity import EntryId

#: What is kept of the server's words.
MESSAGE_CHARS_MAX: Final = 2_000


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

    def retry(self, ids: Sequence[EntryId]) -> int:
        """Send these dead letters once more, with identity and timestamp unchanged; how many."""
        return self._decide(ids, "retried")

    def drop(self, ids: Sequence[EntryId]) -> int:
        """Give these dead letters up for good, counted; how many. They stay in the log until it rolls."""
        return self._decide(ids, "dropped")

    def _decide(self, ids: Sequence[EntryId], status: str) -> int:
        now_ms = self._clock.wall_ms()
        entries = self._shelf.pick(ids)
        done = 0
        with self._state.transaction() as db:
            for entry_id in ids:
                changed = db.execute(
                    "UPDATE dead_letters SET status = ?, at_ms = ? WHERE origin = ? AND seq = ? AND status = 'dead'",
                    (status, now_ms, entry_id.origin, entry_id.seq),
                ).rowcount
                if not changed:
                    continue
                done += 1
                origin, seq = entry_id.origin, entry_id.seq
                if status == "retried":
                    self._totals.expect_again(db, origin, seq)
                    change_entry(
                        db,
                        origin,
                        seq,
                        state=DeliveryState.PENDING,
                        due_ms=0,
                        batch_max=1,
                        refused_batch=0,
                        alone=0,
                    )
                else:
                    change_entry(db, origin, seq, state=DeliveryState.DROPPED)
                    entry = entries.get(entry_id)
                    if entry is not None:
                        audited = self._totals.audited_properties(entry.collection, entry.body)
                        self._totals.leave_out(db, stamp_entry(entry, audited), "dropped", now_ms)
            self._state.count(status, done)
        return done
