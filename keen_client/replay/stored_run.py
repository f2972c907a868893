"""A replay run as it is stored: its list, what became of each event, and how it could be undone."""

from __future__ import annotations

from typing import Any, Final

import attrs
import orjson

from keen_client._foundation.clock import ms_to_iso
from keen_client.errors import UsageError
from keen_client.eventlog.entry import DeliveryState
from keen_client.eventlog.ranges import range_at
from keen_client.eventlog.state import State
from keen_client.events.identity import EntryId
from keen_client.events.stamps import ATTEMPTS_PER_RUN
from keen_client.replay.undo import Deletion, undo_of

SCHEMA: Final = 1


@attrs.frozen
class RunEvent:
    """One event of a run. ``state`` is that of its delivery now; ``attempt`` the number of its last send.

    ``state`` None: delivery knows nothing of it any more.
    """

    id: EntryId
    collection: str
    timestamp_ms: int
    tier: int
    state: DeliveryState | None
    attempt: int | None


@attrs.frozen(kw_only=True)
class StoredRun:
    """A run. Times are UTC milliseconds since 1970; ``done_ms`` None: it did not end."""

    run: int
    made_ms: int
    done_ms: int | None
    preset: str
    scope: dict[str, Any]
    stopped: str
    events: tuple[RunEvent, ...]

    @property
    def undo(self) -> tuple[Deletion, ...]:
        """How it could be undone; nothing while it did not end, or where nothing was sent."""
        if self.done_ms is None:
            return ()
        sent = [event for event in self.events if self._was_sent(event)]
        return undo_of(self.run, [(event.collection, event.id) for event in sent])

    def _was_sent(self, event: RunEvent) -> bool:
        # An event of a later run was sent by this one before, as far as anybody knows.
        return event.attempt is None or event.attempt >= self.run * ATTEMPTS_PER_RUN

    def document(self) -> dict[str, Any]:
        """The JSON document of ``replay --show-run --json``."""
        return {
            "schema": SCHEMA,
            "run": self.run,
            "made": ms_to_iso(self.made_ms),
            "done": None if self.done_ms is None else ms_to_iso(self.done_ms),
            "preset": self.preset,
            "scope": self.scope,
            "stopped": self.stopped or None,
            "events": [
                {
                    "id": str(event.id),
                    "collection": event.collection,
                    "timestamp": ms_to_iso(event.timestamp_ms),
                    "tier": event.tier,
                    "state": None if event.state is None else str(event.state),
                    "attempt": event.attempt,
                }
                for event in self.events
            ],
            "undo": [deletion.document() for deletion in self.undo],
        }


def read_run(state: State, run: int) -> StoredRun:
    """The run of that number.

    Raises:
        UsageError: there is none; the hint names the numbers that there are.
    """
    with state.reading() as db:
        row = db.execute(
            "SELECT made_ms, done_ms, preset, scope, stopped FROM runs WHERE run = ?", (run,)
        ).fetchone()
        if row is None:
            last = db.execute("SELECT max(run) FROM runs").fetchone()[0]
            hint = (
                "there was none yet" if last is None else f"runs are numbered from 1; the last one is {last}"
            )
            raise UsageError(f"this log has no replay run {run}; nothing was done", hint)
        events: list[RunEvent] = []
        for origin, seq, collection, ts, tier in db.execute(
            "SELECT origin, seq, collection, ts, tier FROM run_entries WHERE run = ? ORDER BY origin, seq",
            (run,),
        ).fetchall():
            place = range_at(db, origin, seq)
            known = (None, None) if place is None else (place.state, place.a)
            events.append(RunEvent(EntryId(origin, seq), collection, ts, tier, *known))
    made_ms, done_ms, preset, scope, stopped = row
    return StoredRun(
        run=run,
        made_ms=made_ms,
        done_ms=done_ms,
        preset=preset,
        scope=orjson.loads(scope),
        stopped=stopped or "",
        events=tuple(events),
    )
