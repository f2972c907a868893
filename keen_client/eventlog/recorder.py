"""Recording: from an encoded event to a receipt that means "on disk".

``full``: the callers who wait form one transaction and share its sync.
``normal``: one autocommit insert an event. Ids are counted from rowids, and
given out after COMMIT.

A recorder takes the recorders' lock of its segment for each commit: a fair
queue between processes, where SQLite's own waiting starves for seconds.

A signal handler's exception may come between any two steps: it leaves neither
lock nor transaction behind, and what it left of the commit is told.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from typing import Final

import attrs

from keen_client._foundation.clock import Clock
from keen_client._foundation.files import file_identity
from keen_client.errors import (
    BatchTooLargeError,
    EventLogBusyError,
    EventLogError,
    EventLogFullError,
    RecordOutcomeUnknownError,
)
from keen_client.eventlog.config import LogConfig
from keen_client.eventlog.directory import LogDirectory
from keen_client.eventlog.entry import Recorded
from keen_client.eventlog.group import Group, Outcome
from keen_client.eventlog.inheritance import FORK_WAIT_SECONDS, forked_guard, take_part
from keen_client.eventlog.segment import SegmentName, SegmentReader, SegmentWriter
from keen_client.eventlog.space import Room
from keen_client.eventlog.sqlite_faults import (
    is_damage,
    is_io_error,
    is_read_only,
    is_sealed,
    is_segment_full,
    translate,
    translate_os_error,
)
from keen_client.eventlog.state import leak
from keen_client.eventlog.succession import Succession, recording_span
from keen_client.events.encoding import EncodedEvent
from keen_client.events.identity import SEQ_MAX, EntryId
from keen_client.events.limits import CALL_EVENTS_MAX, CALL_SIZE_MAX_BYTES

_Row = tuple[str, int, int, str, str]

#: Rolls, seals met and stuck segments that one call may meet before it gives up.
_TRIES_MAX: Final = 8
#: How long :meth:`Recorder.close` waits for another thread's commit, which closes the connection itself then.
_CLOSE_WAIT_SECONDS: Final = 1.0


@attrs.frozen(slots=True)
class _InHand:
    """The segment that this process writes to, and what makes it unfit."""

    writer: SegmentWriter
    origin: str
    path: str
    lock_byte: int
    device: int
    inode: int
    first_ms: int
    end_ms: int


class Recorder:
    """Writes entries for one process. Thread-safe; a forked child starts anew with its own connection."""

    def __init__(
        self,
        directory: LogDirectory,
        config: LogConfig,
        clock: Clock,
        succession: Succession,
        on_abandoned: Callable[[SegmentName], None],
    ) -> None:
        self._directory = directory
        self._config = config
        self._is_normal = config.durability == "normal"
        self._blocks = config.on_full == "block"
        self._lock_timeout_seconds = config.lock_timeout_seconds
        self._segment_size_max_bytes = config.segment_size_max_bytes
        self._entries_max = config.segment_entries_max
        self._clock = clock
        self._succession = succession
        self._on_abandoned = on_abandoned
        self._locks = directory.recorders_lock()
        self._room = Room(directory, config, clock)
        self._hand: _InHand | None = None
        self._forget()
        take_part(self)

    def _forget(self) -> None:
        self._locks.mind_fork()
        self._hand = None
        self._commit_lock = threading.Lock()
        self._outcome = Outcome()
        self._group = Group(self._directory.path, self._commit_lock, self._commit, self._outcome)
        self._is_closing = False
        self._parked = False
        #: The threads that record just now; one of them may be interrupted by a handler that wants to.
        self._inside: set[int] = set()
        self._pid = os.getpid()  # last: another thread of a forked child may look at it meanwhile

    def append(self, event: EncodedEvent) -> Recorded:
        """Record one event; returns when it is on disk at the chosen durability.

        Raises:
            EventLogFullError, EventLogBusyError, EventLogPermissionError, EventLogError:
                it was not recorded.
            RecordOutcomeUnknownError: the disk failed at commit; see the class.
        """
        if self._pid != os.getpid():
            self._mind_fork()
        thread = threading.get_ident()
        if thread in self._inside:
            raise _interrupted(self._directory)
        time_is_up_ns = self._room.time_is_up_ns() if self._blocks else 0
        try:
            self._inside.add(thread)
            while True:
                try:
                    if self._is_normal:
                        with self._commit_lock:
                            return self._commit((event,))[0]
                    return self._group.append(event)
                except EventLogFullError:
                    if not self._room.wait(time_is_up_ns):
                        raise
        finally:
            self._inside.discard(thread)

    def append_all(self, events: Sequence[EncodedEvent]) -> list[Recorded]:
        """Record all *events* or none, in one transaction of one segment.

        Raises:
            BatchTooLargeError: over 100,000 events or 256 MB; nothing was recorded.
            EventLogError: as for :meth:`append`, for all of them.
        """
        self._mind_fork()
        if not events:
            return []
        size = sum(event.size_bytes for event in events) if len(events) > 1 else 0
        if len(events) > CALL_EVENTS_MAX or size > CALL_SIZE_MAX_BYTES:
            raise BatchTooLargeError(
                f"{len(events):,} events of {size:,} bytes are more than one call takes "
                f"({CALL_EVENTS_MAX:,} and {CALL_SIZE_MAX_BYTES:,}); nothing was recorded",
                "split the call",
            )
        thread = threading.get_ident()
        if thread in self._inside:
            raise _interrupted(self._directory)
        time_is_up_ns = self._room.time_is_up_ns() if self._blocks else 0
        try:
            self._inside.add(thread)
            while True:
                try:
                    with self._commit_lock:
                        return self._commit(events)
                except EventLogFullError:
                    if not self._room.wait(time_is_up_ns):
                        raise
        finally:
            self._inside.discard(thread)

    def close(self) -> None:
        """Close the connection. What was recorded stays; recording again opens anew.

        Where a commit is under way it closes at the end of that: in a handler
        that interrupted the thread which commits, and after a second elsewhere.
        """
        if self._pid != os.getpid():
            return
        self._is_closing = True
        is_interrupted = threading.get_ident() in self._inside
        if self._commit_lock.acquire(timeout=0 if is_interrupted else _CLOSE_WAIT_SECONDS):
            try:
                self._is_closing = False
                self._drop_writer()
            finally:
                self._commit_lock.release()

    # ---- one commit ---------------------------------------------------------------------

    def _commit(self, events: Sequence[EncodedEvent]) -> list[Recorded]:
        """Record *events* in one commit, through rolls, seals and stuck holders. Under the commit lock."""
        self._outcome.landed = ()
        try:
            if self._clock.monotonic_ns() >= self._room.next_look_ns:
                self._room.check()
            return self._commit_somewhere(events)
        except OSError as error:
            # Not a handler's own, a TimeoutError say.
            if error.errno is None or self._outcome.landed is None or self._outcome.landed:
                raise
            raise translate_os_error(error, self._directory.segments, "the event was not recorded") from error
        finally:
            if self._is_closing:
                self._is_closing = False
                self._drop_writer()

    def _commit_somewhere(self, events: Sequence[EncodedEvent]) -> list[Recorded]:
        """Insert *events* into a good segment under its lock. This is the hot path: it calls as little as it can."""
        is_reopened = False
        for _ in range(_TRIES_MAX):
            hand = self._hand or self._take(self._succession.find())
            claim = None
            try:
                claim = self._locks.take(hand.lock_byte, self._lock_timeout_seconds)
                if claim is None:
                    # A stopped process holds it; several open segments are legal.
                    self._succession.shunned.add(hand.writer.name.origin)
                    self._drop_writer()
                    self._take(self._succession.own())
                    continue
                try:
                    now_ms, given = self._clock.wall_ms(), hand.writer._given  # noqa: SLF001 — for an interruption
                    # Before every commit, so the text of the path, which costs less than the Path.
                    status = os.stat(hand.path)  # noqa: PTH116
                    if (
                        status.st_ino == hand.inode
                        and status.st_dev == hand.device
                        and hand.first_ms <= now_ms < hand.end_ms
                        and status.st_size < self._segment_size_max_bytes
                        # At the full bound the table's own CHECK refuses; a smaller one has to be asked for.
                        and (self._entries_max == SEQ_MAX or hand.writer.last_seq() < self._entries_max)
                    ):
                        self._outcome.landed = None
                        self._outcome.landed = landed = _insert(hand.writer, events, now_ms)
                        return landed
                    self._drop_writer()
                except FileNotFoundError:
                    self._drop_writer()
                except sqlite3.Error as error:
                    if is_read_only(error) and not is_reopened:
                        # Opened while the file system could not be written, it stays read-only for ever.
                        is_reopened = True
                        self._outcome.landed = ()
                        self._drop_writer()
                        continue
                    outcome = self._after(error, hand.writer, events, now_ms)
                    self._outcome.landed = outcome or ()
                    if outcome is not None:
                        return outcome
                except UnicodeDecodeError:
                    # What SQLite has to say of a damaged schema quotes it: nothing was inserted.
                    self._outcome.landed = ()
                    self._succession.shunned.add(hand.writer.name.origin)
                    self._drop_writer()
                except BaseException:
                    if self._outcome.landed is None:
                        self._outcome.landed = _left_by_interruption(hand.writer, given, events, now_ms)
                    raise
                finally:
                    self._locks.give_back(hand.lock_byte, claim)
            except BaseException:
                self._drop_writer()
                if claim is not None:
                    self._locks.give_back(hand.lock_byte, claim)  # the first time it may have been broken off
                raise
            self._succession.roll(hand.writer.name)
        raise EventLogBusyError(
            f"no segment of {self._directory.path} took the event in {_TRIES_MAX} tries; it was not recorded",
            "look at the log with `keen-client doctor`",
            path=self._directory.path,
        )

    def _after(
        self, error: sqlite3.Error, writer: SegmentWriter, events: Sequence[EncodedEvent], now_ms: int
    ) -> list[Recorded] | None:
        """After a failed commit: None means try elsewhere, anything else is the commit's result."""
        if is_io_error(error):
            return self._after_io_error(error, writer, events, now_ms)
        writer.rollback()
        if is_sealed(error) or is_segment_full(error):
            self._drop_writer()
            return None
        if is_damage(error) or is_read_only(error):
            # Read-only still: a reader of this process holds its shared memory as it was opened then.
            self._succession.shunned.add(writer.name.origin)
            self._drop_writer()
            return None
        self._drop_writer()
        self._outcome.landed = ()
        raise translate(error, writer.path, "the event was not recorded") from error

    def _after_io_error(
        self, error: sqlite3.Error, writer: SegmentWriter, events: Sequence[EncodedEvent], now_ms: int
    ) -> list[Recorded] | None:
        """The rows look absent, and WAL recovery could revive them: seal first, then look.

        Only a seal that committed and synced overwrites what recovery could
        revive, so only then is the outcome read.
        """
        name = writer.name
        self._succession.shunned.add(name.origin)
        successor = self._succession.fresh_name()
        try:
            last = writer.in_doubt()
            self._drop_writer()
            fresh = SegmentWriter(
                self._directory.segments, name, self._config.durability, self._config.lock_timeout_seconds
            )
            try:
                fresh.seal(self._clock.wall_ms(), successor)
            finally:
                fresh.close()
            found = self._rows_up_to(name, last, _rows(events, now_ms)) if last else []
        except (sqlite3.Error, EventLogError) as seal_error:
            self._drop_writer()
            self._on_abandoned(name)
            raise RecordOutcomeUnknownError(
                f"the disk failed at commit ({error}); the event may or may not be in {name.origin}",
                "run `keen-client doctor`: the segment is set apart until it can be read",
                path=name.path_in(self._directory.segments),
            ) from seal_error
        return found or None

    def _rows_up_to(self, name: SegmentName, last: int, rows: list[_Row]) -> list[Recorded]:
        """*rows* as recorded up to seq *last* of the sealed segment; empty when they are not there."""
        reader = SegmentReader(self._directory.segments, name)
        try:
            entries = list(reader.entries(last - len(rows) + 1, last))
        finally:
            reader.close()
        there = [(e.collection, e.timestamp_ms, e.recorded_ms, e.body, e.keen) for e in entries]
        if there != rows:
            return []
        return [Recorded(entry.id, entry.timestamp_ms) for entry in entries]

    # ---- the segment in hand ------------------------------------------------------------

    def _take(self, writer: SegmentWriter) -> _InHand:
        try:
            identity = file_identity(writer.path) or (-1, -1)
        except BaseException:
            writer.close()
            raise
        byte = self._directory.segment_byte(writer.name.origin)
        self._hand = _InHand(
            writer, writer.name.origin, str(writer.path), byte, *identity, *recording_span(writer.name)
        )
        return self._hand

    def _drop_writer(self) -> None:
        hand, self._hand = self._hand, None
        if hand is not None:
            hand.writer.close()

    # ---- forks --------------------------------------------------------------------------

    def _mind_fork(self) -> None:
        if self._pid != os.getpid():
            with forked_guard():
                if self._pid != os.getpid():
                    if self._hand is not None:
                        leak(self._hand.writer.connection)
                    self._forget()

    def before_fork(self) -> None:
        """Let a commit end and close the connection, so that a child inherits none."""
        self._mind_fork()
        self._parked = self._commit_lock.acquire(timeout=FORK_WAIT_SECONDS)
        if self._parked:
            self._drop_writer()

    def after_fork_in_parent(self) -> None:
        """Let other threads go on."""
        if self._parked:
            self._parked = False
            self._commit_lock.release()

    def after_fork_in_child(self) -> None:
        """Start anew."""
        self._mind_fork()


def _interrupted(directory: LogDirectory) -> EventLogBusyError:
    """What a signal handler or a finalizer gets that records while its own thread does: waiting would never end."""
    return EventLogBusyError(
        "this thread is recording already, and was interrupted by a handler that records; that event was not recorded",
        "have the handler set a flag, or hand the event to another thread",
        path=directory.path,
    )


def _insert(writer: SegmentWriter, events: Sequence[EncodedEvent], now_ms: int) -> list[Recorded]:
    if len(events) > 1:
        return _insert_many(writer, events, now_ms)
    timestamp_ms = events[0].timestamp_ms
    if timestamp_ms is None:
        timestamp_ms = now_ms
    seq = writer.append_one(events[0], timestamp_ms, now_ms)
    return [Recorded(EntryId(writer.name.origin, seq), timestamp_ms)]


def _insert_many(writer: SegmentWriter, events: Sequence[EncodedEvent], now_ms: int) -> list[Recorded]:
    rows = _rows(events, now_ms)
    writer.begin()
    _, last = writer.append_many(rows)
    writer.commit()
    return _receipts(writer, last, rows)


def _receipts(writer: SegmentWriter, last: int, rows: Sequence[_Row]) -> list[Recorded]:
    """For *rows* that lie in the segment up to seq *last*."""
    origin, first = writer.name.origin, last - len(rows) + 1
    return [Recorded(EntryId(origin, first + index), row[1]) for index, row in enumerate(rows)]


def _left_by_interruption(
    writer: SegmentWriter, given: int, events: Sequence[EncodedEvent], now_ms: int
) -> Sequence[Recorded] | None:
    """What an insert left that something other than SQLite broke off; None when SQLite cannot say.

    *given* is the seq of the last row that this connection had committed before;
    what it rolls back stays in its memory, so it is not to be used again.
    """
    try:
        if writer.connection.in_transaction:
            writer.rollback()
            return ()
        last = int(writer.connection.execute("SELECT last_insert_rowid()").fetchone()[0])
    except sqlite3.Error:
        return None
    return _receipts(writer, last, _rows(events, now_ms)) if last > given else ()


def _rows(events: Sequence[EncodedEvent], now_ms: int) -> list[_Row]:
    return [
        (e.collection, now_ms if e.timestamp_ms is None else e.timestamp_ms, now_ms, e.body, e.keen)
        for e in events
    ]
