"""The log as one object: what the floors above hold in their hands."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from itertools import chain
from pathlib import Path
from typing import Final

from keen_client._foundation.clock import Clock
from keen_client._foundation.files import PRIVATE_FILE_MODE
from keen_client._foundation.files import boot_id as machine_boot_id
from keen_client._foundation.locks import check_platform
from keen_client._foundation.randomness import Randomness
from keen_client.errors import ClientClosedError, EventLogDamagedError, EventLogError
from keen_client.eventlog.checkup import ABANDONED_MARK
from keen_client.eventlog.config import LogConfig
from keen_client.eventlog.dead_letters import DeadLetters
from keen_client.eventlog.description import note_binding, noted_binding
from keen_client.eventlog.directory import Binding, LogDirectory, bound_elsewhere
from keen_client.eventlog.entry import Entry, Recorded
from keen_client.eventlog.expectation import Expectation
from keen_client.eventlog.holes import Around
from keen_client.eventlog.outbox import Outbox
from keen_client.eventlog.recorder import Recorder
from keen_client.eventlog.recovery import rebuild_state, recover_state, state_is_missing
from keen_client.eventlog.restoration import note_restoration
from keen_client.eventlog.retention import Horizon
from keen_client.eventlog.segment import SegmentName, finish_sealed, list_segments
from keen_client.eventlog.shelf import Shelf
from keen_client.eventlog.state import State
from keen_client.eventlog.succession import Succession
from keen_client.eventlog.totals import Totals
from keen_client.eventlog.unverified import UnverifiedReclaim, note_reader
from keen_client.events.encoding import EncodedEvent
from keen_client.events.identity import SEQ_MAX
from keen_client.observability.hooks import LOGGER

#: How often the sender looks for what may be reclaimed unverified.
_RECLAIM_SECONDS: Final = 3_600.0
#: How long recording waits for ``state.db``, before it goes without: at most ``lock_timeout_seconds``.
_STATE_WAIT_SECONDS: Final = 1.0


class EventLog:
    """One log, for recording, sending and reading. Thread-safe; usable after a fork.

    ``outbox`` is for the holder of the sender lock; ``totals`` and
    ``expectation`` say what the server should show; ``shelf`` reads entries.
    """

    def __init__(
        self,
        path: Path,
        binding: Binding | None,
        config: LogConfig,
        clock: Clock,
        randomness: Randomness,
        *,
        make: bool = True,
        boot_id: str | None = None,
    ) -> None:
        """Open the log at *path*; with *make* it is made when there is none.

        *binding* None opens whatever project's log it is, to look at it.

        Raises:
            UnsupportedPlatformError, EventLogBoundElsewhereError, EventLogTooNewError,
            EventLogPermissionError, EventLogDamagedError, EventLogFullError, EventLogError:
                nothing was changed.
        """
        check_platform()
        self.directory: Final = LogDirectory(path)
        self.config: Final = config
        self.clock: Final = clock
        if binding is not None and make:
            self._refuse_to_rebind(binding)
            self.directory.make(binding, clock.wall_ms())
        if not self.directory.exists():
            self.directory.binding()  # says what is missing
        self.directory.check_owner()
        if binding is not None:
            self.directory.check_binding(binding)
        self.binding: Final = self.directory.binding()
        if state_is_missing(self.directory):
            rebuild_state(self.directory, config, clock)
        self._next_reclaim_ns = 0
        #: Abandoned, and the disk took neither the transaction nor the mark that say so.
        self._unmarked: Final[set[SegmentName]] = set()
        self.state: Final = self._open_state()
        self.shelf: Final = Shelf(self.directory, self.state)
        self.totals: Final = Totals(self.state, config)
        self.outbox: Final = Outbox(self.state, self.shelf, self.totals, clock)
        self.dead_letters: Final = DeadLetters(self.state, self.shelf, self.totals, clock)
        self.expectation: Final = Expectation(self.state, self.shelf, self.totals)
        note_binding(self.state, self.binding)
        note_restoration(self.state, self.shelf, clock.wall_ms())
        self._enter_marks()
        self._succession: Final = Succession(
            self.directory, config, clock, randomness, boot_id or machine_boot_id(), self._cursor_soon
        )
        self._recorder: Final = Recorder(self.directory, config, clock, self._succession, self._abandon)

    def _refuse_to_rebind(self, binding: Binding) -> None:
        """A log whose ``log.json`` is gone is still the project's whose events it holds."""
        if self.directory.exists() or self.directory.is_unmade():
            return
        noted = noted_binding(self.directory)
        if noted not in {None, binding}:
            raise bound_elsewhere(self.directory.path, noted, binding)

    def _open_state(self) -> State:
        """Open ``state.db``; where it is damaged and nobody else is at work, set it aside and rebuild it."""
        try:
            return State(self.directory.path)
        except EventLogDamagedError:
            directory = self.directory
            with directory.nightly_lock().held() as no_night, directory.sender_lock().held() as no_sender:
                if not (no_night and no_sender):
                    raise
                moved = recover_state(directory, self.config, self.clock)
            LOGGER.error(
                "state.db was damaged: it lies in damaged/%s now, and was rebuilt; what was sent is unknown until it is verified",
                moved.name,
            )
            return State(self.directory.path)

    # ---- recording ----------------------------------------------------------------------

    def record(self, event: EncodedEvent) -> Recorded:
        """Record one event; see :meth:`Recorder.append` for what its return promises."""
        return self._recorder.append(event)

    def record_all(self, events: Sequence[EncodedEvent]) -> list[Recorded]:
        """Record all *events* or none."""
        return self._recorder.append_all(events)

    # ---- reading ------------------------------------------------------------------------

    def entries(
        self, collection: str | None = None, start_ms: int | None = None, end_ms: int | None = None
    ) -> Iterator[Entry]:
        """All entries that lie in the log, by segment and seq; ``keen.timestamp`` in [start, end).

        Those that outlived their segment come first.

        Raises:
            EventLogDamagedError: at the end, when all that can be read was given: there are others, which cannot.
        """
        present = [name.origin for name in list_segments(self.directory.segments)]
        with self.state.reading() as db:
            kept = [origin for (origin,) in db.execute("SELECT DISTINCT origin FROM kept ORDER BY origin")]
        around = Around(self.state, self.shelf)
        outlived = (self.shelf.entries(origin, 1, SEQ_MAX) for origin in kept if origin not in present)
        for entries in chain(outlived, map(around.segment, present)):
            for entry in entries:
                if collection is not None and entry.collection != collection:
                    continue
                if start_ms is not None and entry.timestamp_ms < start_ms:
                    continue
                if end_ms is not None and entry.timestamp_ms >= end_ms:
                    continue
                yield entry
        around.miss_gone(self.directory)
        around.raise_if_missed("all others were given")

    def check_tails(self) -> None:
        """Read what no sender has folded yet: totals count the rest, and this is counted as it is read.

        Raises:
            EventLogDamagedError: some of it cannot be read.
        """
        around = Around(self.state, self.shelf)
        for _ in around.tails():
            pass
        around.miss_gone(self.directory)
        around.raise_if_missed("no totals were given")

    def origins(self) -> set[str]:
        """Every origin that this log ever had, reclaimed ones included."""
        with self.state.reading() as db:
            known = {origin for (origin,) in db.execute("SELECT origin FROM origins")}
        return known | {name.origin for name in self.shelf.names()}

    # ---- upkeep, by the holder of the sender lock ---------------------------------------

    def tend(self) -> list[Horizon]:
        """Seal segments of earlier days and make sealed ones single read-only files, as far as nobody uses them.

        Where entries may go unverified, because nobody verifies this log or
        because that was permitted, it is done here, once an hour; elsewhere
        the nightly job reclaims what is final. Returns what is to be warned of.
        """
        self._enter_marks()
        names = list_segments(self.directory.segments)
        current = next((n for n in reversed(names) if self._succession.fits_today(n)), None)
        locks = self.directory.recorders_lock()
        if current is not None:
            with locks.held(self.directory.directory_byte()) as alone:
                if alone:
                    self._succession.seal_older(current)
        for name in names:
            if self.shelf.is_sealed(name.origin):
                self._finish(name)
        now_ns = self.clock.monotonic_ns()
        if now_ns < self._next_reclaim_ns:
            return []
        self._next_reclaim_ns = now_ns + int(_RECLAIM_SECONDS * 1e9)
        warnings, _ = UnverifiedReclaim(self.directory, self.state, self.shelf, self.config, self.clock).run()
        return warnings

    def note_reader(self) -> None:
        """Note that somebody can verify this log: from now on nothing goes from it unverified, unless that is permitted.

        Raises:
            EventLogError: the disk took no note.
        """
        note_reader(self.state, self.clock.wall_ms())

    def mark_abandoned(self) -> None:
        """Note what was abandoned while the disk took no note. Before anything is sent: none of it may be.

        Raises:
            EventLogError: the disk still takes none.
        """
        while self._unmarked:
            name = self._unmarked.pop()
            self._abandon(name)
            if name in self._unmarked:
                raise EventLogError(
                    f"the disk fails, and takes no note that {name.origin} is set apart; nothing was sent",
                    "repair the disk: what has a receipt is in the log",
                    path=self.directory.path,
                )

    def _finish(self, name: SegmentName) -> None:
        self.shelf.release(name.origin)
        with self.directory.recorders_lock().held(self.directory.segment_byte(name.origin)) as alone:
            if alone:
                try:
                    finish_sealed(self.directory.segments, name)
                except OSError:
                    return  # gone, or not ours to change: `doctor` tells

    # ---- life ---------------------------------------------------------------------------

    def close(self) -> None:
        """Close all connections, also where one cannot be closed. What was recorded stays; nothing is sent."""
        with ExitStack() as closing:
            closing.callback(self.state.close)
            closing.callback(self.shelf.close)
            self._recorder.close()

    def after_fork(self) -> None:
        """Start anew in a forked child; called by the owner when it sees another pid."""
        self.outbox.after_fork()

    def _cursor_of(self, origin: str) -> tuple[str, int] | None:
        with self.state.reading() as db:
            row = db.execute("SELECT status, cursor FROM origins WHERE origin = ?", (origin,)).fetchone()
        return None if row is None else (row[0], row[1])

    def _cursor_soon(self, origin: str) -> tuple[str, int] | None:
        with self.state.reading_soon(min(_STATE_WAIT_SECONDS, self.config.lock_timeout_seconds)) as db:
            row = db.execute("SELECT status, cursor FROM origins WHERE origin = ?", (origin,)).fetchone()
        return None if row is None else (row[0], row[1])

    def _abandon(self, name: SegmentName) -> None:
        now_ms = self.clock.wall_ms()
        try:
            with self.state.transaction() as db:
                db.execute(
                    "INSERT INTO origins (origin, day, made_ms, status, changed_ms) VALUES (?, ?, ?, 'abandoned', ?)"
                    " ON CONFLICT (origin) DO UPDATE SET status = 'abandoned', changed_ms = excluded.changed_ms",
                    (name.origin, name.day, now_ms, now_ms),
                )
        except (EventLogError, ClientClosedError):
            # The disk fails for state.db too: leave a mark that needs no transaction.
            mark = self.directory.path / f"{ABANDONED_MARK}{name.origin}"
            try:
                os.close(os.open(mark, os.O_CREAT | os.O_WRONLY, PRIVATE_FILE_MODE))
            except OSError:
                self._unmarked.add(name)

    def _enter_marks(self) -> None:
        """Enter into ``state.db`` what it could not be told when a segment was abandoned."""
        for mark in self.directory.path.glob(f"{ABANDONED_MARK}*"):
            origin = mark.name.removeprefix(ABANDONED_MARK)
            present = next((name for name in self.shelf.names() if name.origin == origin), None)
            if present is not None:
                self._abandon(present)
            known = self._cursor_of(origin)
            if present is None or (known is not None and known[0] != "open"):
                with suppress(OSError):  # it does no harm: the next look finds it again
                    mark.unlink(missing_ok=True)
