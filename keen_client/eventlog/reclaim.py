"""Reclaiming: old segments are unlinked so that the log rolls, journalled step by step.

Intent (with what has to stay copied to ``kept``, in one synced transaction),
then the database, ``-wal`` and ``-shm`` in this order, then done. A crash
between any two steps is made good by the next run. Recording is never waited
for: a sealed file has no writers.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import attrs
import orjson

from keen_client._foundation.clock import MS_PER_HOUR, Clock, datetime_to_ms
from keen_client._foundation.files import sync_directory
from keen_client.eventlog.config import LogConfig
from keen_client.eventlog.directory import LogDirectory
from keen_client.eventlog.entry import DeliveryState, Entry
from keen_client.eventlog.ranges import COLUMNS, Range
from keen_client.eventlog.retention import (
    KEPT_ENTRIES_MAX,
    CellFacts,
    ClockLook,
    Decision,
    Horizon,
    IsFinal,
    SegmentFacts,
    Unsettled,
    is_near_horizon,
    look_at_clock,
    plan_horizons,
    plan_reclaim,
)
from keen_client.eventlog.segment import SegmentName
from keen_client.eventlog.shelf import Shelf
from keen_client.eventlog.space import log_size_bytes
from keen_client.eventlog.sqlite_faults import translate_os_error
from keen_client.eventlog.state import State
from keen_client.events.identity import EntryId

#: The fact under which the last look at the clock is kept.
_CLOCK: Final = "reclaim_clock"
#: Evidence that an entry is not, or not whole, at the server: it stays, whatever becomes of its file.
_AGAINST: Final = ("absent", "corrupt", "shifted", "collision", "disputed")
#: Delivery states that need nothing more, and that a decision has settled.
_SETTLED: Final = (DeliveryState.ACKNOWLEDGED, DeliveryState.DROPPED, DeliveryState.SUPERSEDED)


@attrs.frozen
class Reclaimed:
    """What one run did. ``decisions`` are those about every segment present, with what pins each."""

    segments: int = 0
    entries: int = 0
    unverified: int = 0
    kept: int = 0
    decisions: tuple[Decision, ...] = ()


class Reclaimer:
    """Reclaims, and warns before. For one process at a time: the holder of the sender lock or of the nightly lock.

    Made anew for each run, before *is_final* is asked anything: what another
    process observes from then on counts against a decision.
    """

    def __init__(
        self, directory: LogDirectory, state: State, shelf: Shelf, config: LogConfig, clock: Clock
    ) -> None:
        self._directory = directory
        self._state = state
        self._shelf = shelf
        self._config = config
        self._clock = clock
        with state.reading() as db:
            #: The last observation that a decision can rest on.
            self._observed = db.execute("SELECT coalesce(max(id), 0) FROM observations").fetchone()[0]

    def reclaim(
        self,
        is_final: IsFinal,
        *,
        clock_agrees: bool | None = None,
        unverified_of: Collection[str] | None = None,
    ) -> Reclaimed:
        """Finish what was begun, then reclaim what may go. See :data:`IsFinal` for what *is_final* answers for.

        *unverified_of*: only of these origins anything goes unverified, where
        that is allowed at all; None: of all.

        *clock_agrees*: whether the server's clock says the same as this
        machine's; None: it was not asked. While the clock is in doubt nothing
        goes, and nothing is decided.

        Raises:
            EventLogError: the disk failed; what was journalled is finished by the next run.
        """
        self.finish()
        if not self._look_at_clock(agrees=clock_agrees).is_trusted:
            return Reclaimed()
        decisions = plan_reclaim(
            self.facts(everything=True),
            now_ms=self._clock.wall_ms(),
            config=self._config,
            log_size_bytes=log_size_bytes(self._directory),
            is_final=is_final,
        )
        if unverified_of is not None:
            decisions = [
                attrs.evolve(decision, pins=(*decision.pins, "its events are not verified"))
                if decision.unverified and decision.name.origin not in unverified_of
                else decision
                for decision in decisions
            ]
        done = [decision for decision in decisions if decision.may_go and self._intend(decision)]
        self.finish()
        return Reclaimed(
            segments=len(done),
            entries=sum(decision.entries for decision in done),
            unverified=sum(decision.unverified for decision in done),
            kept=sum(len(decision.keep) for decision in done),
            decisions=tuple(decisions),
        )

    def horizons(self, is_final: IsFinal) -> list[Horizon]:
        """Warnings of what nears the end of its retention unsent or unverified; changes nothing."""
        return plan_horizons(
            self.facts(everything=False),
            now_ms=self._clock.wall_ms(),
            config=self._config,
            is_final=is_final,
        )

    def unfinished(self) -> list[str]:
        """The origins whose reclaim was journalled and not completed."""
        with self._state.reading() as db:
            rows = db.execute("SELECT origin FROM reclaims WHERE done_ms IS NULL ORDER BY origin").fetchall()
        return [origin for (origin,) in rows]

    def finish(self) -> int:
        """Complete every journalled reclaim; how many."""
        unfinished = self.unfinished()
        for origin in unfinished:
            self._shelf.release(origin)
            with self._directory.recorders_lock().held(self._directory.segment_byte(origin)) as alone:
                if alone:
                    self._unlink(origin)
                    self._note_done(origin)
        return len(unfinished)

    # ---- the steps ----------------------------------------------------------------------

    def _look_at_clock(self, *, agrees: bool | None) -> ClockLook:
        noted = self._state.fact(_CLOCK)
        last = None if noted is None else ClockLook(*orjson.loads(noted))
        look = look_at_clock(last, self._clock.wall_ms(), agrees=agrees)
        self._state.note(_CLOCK, orjson.dumps(attrs.astuple(look)).decode())
        return look

    def _intend(self, decision: Decision) -> bool:
        """Journal the intent and copy what stays; False when what is known of it has changed since: it stays."""
        origin, now_ms = decision.name.origin, self._clock.wall_ms()
        entries = self._shelf.pick(EntryId(origin, seq) for seq, _ in decision.keep)
        if len(entries) != len(decision.keep):
            return False
        with self._state.transaction() as db:
            if not self._still_holds(db, decision):
                return False
            for seq, reason in decision.keep:
                keep_entry(db, entries[EntryId(origin, seq)], reason)
            db.execute(
                "INSERT INTO reclaims (origin, intended_ms, entries, unverified, hour_lo, hour_hi)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (origin, now_ms, decision.entries, decision.unverified, decision.hour_lo, decision.hour_hi),
            )
            db.execute(
                "UPDATE origins SET status = 'reclaimed', changed_ms = ? WHERE origin = ?", (now_ms, origin)
            )
            self._state.count("reclaimed", decision.entries - len(decision.keep))
            self._state.count("reclaimed_unverified", decision.unverified)
            self._state.count("kept", len(decision.keep))
        return True

    def _still_holds(self, db: sqlite3.Connection, decision: Decision) -> bool:
        """Whether what *decision* rested on is so still: somebody else may verify, or retry a dead letter, meanwhile.

        A read that is no match, of whatever width, may have found an event gone.
        """
        origin = decision.name.origin
        row = db.execute("SELECT status FROM origins WHERE origin = ?", (origin,)).fetchone()
        if row != ("drained",) or _reasons(db, origin) != dict(decision.unsettled):
            return False
        (has_differed,) = db.execute(
            "SELECT EXISTS (SELECT 1 FROM observations AS seen JOIN totals ON totals.collection = seen.collection"
            " AND seen.start_ms < (totals.hour + 1) * ? AND seen.end_ms > totals.hour * ?"
            " WHERE seen.id > ? AND seen.verdict <> 'match' AND totals.origin = ?)",
            (MS_PER_HOUR, MS_PER_HOUR, self._observed, origin),
        ).fetchone()
        return not has_differed

    def _unlink(self, origin: str) -> None:
        """The database first: without it, a WAL that a crash leaves behind can revive nothing."""
        try:
            for path in self._files_of(origin):
                path.unlink(missing_ok=True)
            sync_directory(self._directory.segments)
        except OSError as error:
            raise translate_os_error(
                error, self._directory.segments, f"what is left of {origin} goes with the next run"
            ) from error

    def _files_of(self, origin: str) -> list[Path]:
        databases = {
            *self._directory.segments.glob(f"*-{origin}.db"),
            *(Path(str(path)[:-4]) for path in self._directory.segments.glob(f"*-{origin}.db-wal")),
            *(Path(str(path)[:-4]) for path in self._directory.segments.glob(f"*-{origin}.db-shm")),
        }
        return [Path(f"{path}{suffix}") for suffix in ("", "-wal", "-shm") for path in sorted(databases)]

    def _note_done(self, origin: str) -> None:
        with self._state.transaction() as db:
            db.execute("UPDATE reclaims SET done_ms = ? WHERE origin = ?", (self._clock.wall_ms(), origin))

    # ---- what is known ------------------------------------------------------------------

    def facts(self, *, everything: bool) -> list[SegmentFacts]:
        """What is known of the segments present; without *everything* only of those near a horizon."""
        now_ms = self._clock.wall_ms()
        return [
            self._facts_of(name, now_ms)
            for name in self._shelf.names()
            if everything or is_near_horizon(_day_ms(name), now_ms, self._config)
        ]

    def _facts_of(self, name: SegmentName, now_ms: int) -> SegmentFacts:
        origin = name.origin
        with self._state.reading() as db:
            known = db.execute(
                "SELECT cursor, status, rebuilt FROM origins WHERE origin = ?", (origin,)
            ).fetchone()
            cells = db.execute(
                "SELECT collection, hour, n, seq_lo, seq_hi FROM totals WHERE origin = ? ORDER BY collection, hour",
                (origin,),
            ).fetchall()
            reasons = _reasons(db, origin)
        cursor, status, rebuilt = known or (0, "open", 0)
        last = self._shelf.last_seq(origin)
        newest = self._shelf.page(origin, last, last) if last else []
        ids = [EntryId(origin, seq) for seq in reasons]
        unsettled = [_unsettled(entry, reasons[entry.seq]) for entry in self._shelf.pick(ids).values()]
        future = [
            _unsettled(entry, "future")
            for collection, hour, _, low, high in cells
            if (hour + 1) * MS_PER_HOUR > now_ms
            for entry in self._shelf.entries(origin, low, high)
            if (entry.collection, entry.timestamp_ms // MS_PER_HOUR) == (collection, hour)
        ]
        is_whole = last == cursor and bool(newest or not last) and len(unsettled) == len(ids)
        return SegmentFacts(
            name=name,
            is_drained=status == "drained" and last == cursor,
            is_readable=self._shelf.is_sealed(origin) is not None and (is_whole or status != "drained"),
            newest_ms=newest[0].recorded_ms if newest else _day_ms(name),
            size_bytes=sum(_size(path) for path in self._files_of(origin)),
            cells=tuple(CellFacts(collection, hour, n) for collection, hour, n, _, _ in cells),
            unsettled=tuple(sorted(unsettled, key=lambda entry: entry.seq)),
            future=tuple(sorted(future, key=lambda entry: entry.seq)),
            unfolded=max(0, (last or 0) - cursor) if status in {"open", "sealed"} else 0,
            rebuilt=bool(rebuilt),
        )


def keep_entry(db: sqlite3.Connection, entry: Entry, reason: str) -> None:
    """Copy *entry* to ``kept``, within the open transaction; an earlier copy stays."""
    db.execute(
        "INSERT OR IGNORE INTO kept VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            entry.origin,
            entry.seq,
            entry.collection,
            entry.timestamp_ms,
            entry.recorded_ms,
            entry.body,
            entry.keen,
            reason,
        ),
    )


def _reasons(db: sqlite3.Connection, origin: str) -> dict[int, str]:
    """Unsettled entries of *origin* by seq; when there are too many to keep, not all of them: they pin the file."""
    reasons: dict[int, str] = {}
    marks = ", ".join("?" * len(_SETTLED))
    rows = db.execute(
        f"SELECT {COLUMNS} FROM ranges WHERE origin = ? AND state NOT IN ({marks}) ORDER BY seq_lo",  # noqa: S608
        (origin, *_SETTLED),
    ).fetchall()
    for row in map(Range.of, rows):
        last = min(row.seq_hi, row.seq_lo + KEPT_ENTRIES_MAX)
        reasons.update(dict.fromkeys(range(row.seq_lo, last + 1), row.state.value))
    marks = ", ".join("?" * len(_AGAINST))
    against = db.execute(
        # A read that showed the entry ends its absences in a row.
        f"SELECT seq, kind FROM evidence WHERE origin = ? AND kind IN ({marks}) AND reads > 0 ORDER BY seq, kind",  # noqa: S608
        (origin, *_AGAINST),
    ).fetchall()
    for seq, kind in against:
        reasons.setdefault(seq, kind)
    return reasons


def _unsettled(entry: Entry, reason: str) -> Unsettled:
    return Unsettled(entry.seq, entry.collection, entry.timestamp_ms, reason)


def _day_ms(name: SegmentName) -> int:
    return datetime_to_ms(datetime.fromisoformat(name.day).replace(tzinfo=UTC))


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0
