"""Drill-down: one window down to its minutes and to the events that were ever out of the ordinary. Asks nothing."""

from __future__ import annotations

from typing import Any, Final

import attrs

from keen_client._foundation.clock import MS_PER_MINUTE, Clock, ms_to_iso
from keen_client.errors import UsageError
from keen_client.eventlog.log import EventLog
from keen_client.eventlog.ranges import Range, range_at
from keen_client.events.identity import EntryId
from keen_client.verify.finality import SilentApi
from keen_client.verify.observations import Observation, Observations
from keen_client.verify.presets import Preset
from keen_client.verify.state import WindowState
from keen_client.verify.verifier import Verifier
from keen_client.verify.windows import Scope

SCHEMA: Final = 1


@attrs.frozen
class Shown:
    """What reads showed of an event. Times are UTC milliseconds.

    Of an absence, since the last send: ``first_ms`` the first that counts,
    ``last_ms`` the last, ``reads`` how many.
    """

    kind: str
    first_ms: int
    last_ms: int
    reads: int
    copies: int


@attrs.frozen
class ShownEvent:
    """One event with evidence, and its delivery; ``delivery`` None: it was not folded yet."""

    id: EntryId
    timestamp_ms: int
    delivery: Range | None
    evidence: tuple[Shown, ...]

    def document(self) -> dict[str, Any]:
        """The member of ``ids``."""
        place = self.delivery
        return {
            "id": str(self.id),
            "timestamp": ms_to_iso(self.timestamp_ms),
            "delivery": None if place is None else str(place.state),
            "attempt": None if place is None or place.a < 0 else place.a,
            "last_attempt": None if place is None or not place.last_ms else ms_to_iso(place.last_ms),
            "run": None if place is None or not place.run else place.run,
            "unsure": place is not None and bool(place.unsure),
            "evidence": [
                {
                    "kind": shown.kind,
                    "first": ms_to_iso(shown.first_ms),
                    "last": ms_to_iso(shown.last_ms),
                    "reads": shown.reads,
                    "copies": None if shown.kind == "absent" else shown.copies,
                }
                for shown in self.evidence
            ],
        }


@attrs.frozen
class Minute:
    """One minute with events: how many are expected, and those with evidence."""

    start_ms: int
    events: int
    ids: tuple[ShownEvent, ...]


@attrs.frozen(kw_only=True)
class DrillDown:
    """One window of one collection, from what is stored."""

    collection: str
    start_ms: int
    end_ms: int
    state: WindowState | None
    reads: tuple[Observation, ...]
    minutes: tuple[Minute, ...]

    def document(self) -> dict[str, Any]:
        """The JSON document of ``verify --show --json``."""
        state = self.state
        return {
            "schema": SCHEMA,
            "collection": self.collection,
            "start": ms_to_iso(self.start_ms),
            "end": ms_to_iso(self.end_ms),
            "state": None if state is None else str(state.state),
            "reason": "" if state is None else state.reason,
            "due": None if state is None or state.due_ms is None else ms_to_iso(state.due_ms),
            "observations": [
                {
                    "at": ms_to_iso(read.at_ms),
                    "verdict": str(read.verdict),
                    "reason": read.reason,
                    "expected": read.expected,
                    "counted": read.counted,
                }
                for read in self.reads
            ],
            "minutes": [
                {
                    "start": ms_to_iso(minute.start_ms),
                    "events": minute.events,
                    "ids": [event.document() for event in minute.ids],
                }
                for minute in self.minutes
            ],
        }


def drill_down(
    log: EventLog, clock: Clock, chosen: Preset, collection: str, start_ms: int, width_ms: int
) -> DrillDown:
    """Look at the window of *collection* that starts at *start_ms*; changes nothing.

    Raises:
        UsageError: there is no such window.
    """
    scope = Scope(start_ms, start_ms + width_ms, width_ms, (collection,))
    entries = log.expectation.entries(collection, scope.start_ms, scope.end_ms)
    reads = Observations(log.state).read(collection, scope.start_ms, scope.end_ms, width_ms).get(start_ms, [])
    outlook = Verifier(log, SilentApi(), clock, chosen).outlook(scope)
    if not entries and not reads and not outlook:
        raise UsageError(
            f"the log has no events and no reads of this window at {ms_to_iso(start_ms)}; nothing was asked",
            "name a window of the report, with the --window it was made with: --show COLLECTION@START",
        )
    evidence = _evidence(log, {entry.id for entry in entries})
    counts: dict[int, int] = {}
    shown: dict[int, list[ShownEvent]] = {}
    with log.state.reading() as db:
        for entry in entries:
            minute_ms = entry.timestamp_ms - entry.timestamp_ms % MS_PER_MINUTE
            counts[minute_ms] = counts.get(minute_ms, 0) + 1
            if entry.id in evidence:
                place = range_at(db, entry.origin, entry.seq)
                shown.setdefault(minute_ms, []).append(
                    ShownEvent(entry.id, entry.timestamp_ms, place, tuple(evidence[entry.id]))
                )
    return DrillDown(
        collection=collection,
        start_ms=scope.start_ms,
        end_ms=scope.end_ms,
        state=outlook.get((collection, start_ms)),
        reads=tuple(reads),
        minutes=tuple(
            Minute(minute_ms, counts[minute_ms], tuple(shown.get(minute_ms, ())))
            for minute_ms in sorted(counts)
        ),
    )


def _evidence(log: EventLog, ids: set[EntryId]) -> dict[EntryId, list[Shown]]:
    found: dict[EntryId, list[Shown]] = {}
    with log.state.reading() as db:
        for origin, seq, *shown in db.execute(
            "SELECT origin, seq, kind, first_ms, last_ms, reads, copies FROM evidence ORDER BY first_ms, kind"
        ):
            entry_id = EntryId(origin, seq)
            if entry_id in ids:
                found.setdefault(entry_id, []).append(Shown(*shown))
    return found
