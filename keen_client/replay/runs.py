"""Replay runs: named, journalled sets of resends.

The intent is written, synced, before anything leaves: one transaction makes
the run, its list and the state *replay* of each entry. Whoever holds the
sender lock sends them. A crash at any moment leaves either no run, or intents
that the next sender carries out unless the next job takes them back before, or
entries in flight, which become unknown.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence

import orjson

from keen_client._foundation.clock import Clock
from keen_client.eventlog.entry import DeliveryState, Entry
from keen_client.eventlog.intents import lapse_all
from keen_client.eventlog.ranges import change_entry, range_at
from keen_client.eventlog.state import State
from keen_client.events.identity import EntryId
from keen_client.replay.plan import Intent
from keen_client.verify.resends import Resends, resends_between

#: States from which an entry may be resent by a run: it was sent, and is not in somebody's hands now.
_RESENDABLE = frozenset({DeliveryState.ACKNOWLEDGED, DeliveryState.UNKNOWN})


class Runs:
    """Reads and writes replay runs in ``state.db``. Thread-safe through its :class:`State`."""

    def __init__(self, state: State, clock: Clock) -> None:
        self._state = state
        self._clock = clock

    def begin(
        self,
        intents: Sequence[Intent],
        entries: Mapping[EntryId, Entry],
        preset: str,
        scope: dict[str, object],
    ) -> int:
        """Journal a run of *intents*; its number, from 1. Entries that are being sent already are left to that."""
        now_ms = self._clock.wall_ms()
        with self._state.transaction() as db:
            run = self._next_run(db)
            db.execute(
                "INSERT INTO runs (run, made_ms, preset, scope) VALUES (?, ?, ?, ?)",
                (run, now_ms, preset, orjson.dumps(scope).decode()),
            )
            for intent in intents:
                self._intend(db, run, intent, entries[intent.id])
        return run

    def _next_run(self, db: sqlite3.Connection) -> int:
        last = db.execute("SELECT max(run) FROM runs").fetchone()[0] or 0
        return max(int(last), int(self._state.fact("run_floor") or 0)) + 1

    @staticmethod
    def _intend(db: sqlite3.Connection, run: int, intent: Intent, entry: Entry) -> None:
        origin, seq = intent.id.origin, intent.id.seq
        row = range_at(db, origin, seq)
        if row is None or row.state not in _RESENDABLE:
            return
        change_entry(
            db,
            origin,
            seq,
            state=DeliveryState.REPLAY,
            tier=intent.tier,
            run=run,
            failures=0,
            due_ms=0,
            batch_max=0,
            refused_batch=0,
            alone=0,
        )
        db.execute(
            "INSERT INTO run_entries VALUES (?, ?, ?, ?, ?, ?)",
            (run, origin, seq, entry.collection, entry.timestamp_ms, intent.tier),
        )

    def progress(self, run: int) -> dict[EntryId, DeliveryState]:
        """The delivery state of each entry of *run*."""
        with self._state.reading() as db:
            listed = db.execute("SELECT origin, seq FROM run_entries WHERE run = ?", (run,)).fetchall()
            found: dict[EntryId, DeliveryState] = {}
            for origin, seq in listed:
                row = range_at(db, origin, seq)
                if row is not None:
                    found[EntryId(origin, seq)] = row.state
        return found

    def is_under_way(self, run: int) -> bool:
        """Whether entries of *run* still wait to be sent or are in flight."""
        with self._state.reading() as db:
            row = db.execute(
                "SELECT 1 FROM ranges WHERE run = ? AND state IN ('replay', 'inflight', 'pending') LIMIT 1",
                (run,),
            ).fetchone()
        return row is not None

    def finish(self, run: int, stopped: str = "") -> None:
        """Note the end of *run*; without *stopped* what was noted of intents that it lost stays."""
        with self._state.transaction() as db:
            db.execute(
                "UPDATE runs SET done_ms = ?, stopped = coalesce(?, stopped) WHERE run = ?",
                (self._clock.wall_ms(), stopped or None, run),
            )

    def lapse(self) -> int:
        """Take back what earlier runs have not sent, and end those that did not end; how many intents.

        By the holder of ``nightly.lock``, before it sends: their jobs are
        over, and what they knew is old.
        """
        return lapse_all(self._state, self._clock.wall_ms())

    def earlier(self, ids: Iterable[EntryId]) -> dict[EntryId, Resends]:
        """What earlier runs resent of each of *ids* that was replayed."""
        with self._state.reading() as db:
            return resends_between(db, [(entry_id.origin, entry_id.seq, entry_id.seq) for entry_id in ids])
