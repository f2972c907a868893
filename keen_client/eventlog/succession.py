"""Which segment is written to: finding it, making it, rolling it over.

Order of locks, everywhere: the directory's byte first, then a segment's.
Sealing is one transaction that names the successor; a late writer's insert
meets the seal, is rolled back whole, and the writer goes to the file that the
seal names.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from keen_client._foundation.clock import MS_PER_DAY, Clock, datetime_to_ms, ms_to_day
from keen_client._foundation.files import SEALED_FILE_MODE, file_identity
from keen_client._foundation.randomness import Randomness
from keen_client.errors import ClientClosedError, EventLogBusyError, EventLogError
from keen_client.eventlog.config import LogConfig
from keen_client.eventlog.directory import LogDirectory
from keen_client.eventlog.segment import (
    SegmentName,
    SegmentReader,
    SegmentWriter,
    list_segments,
    make_segment,
)
from keen_client.eventlog.sqlite_faults import translate, translate_os_error
from keen_client.events.identity import new_origin

#: ``cursor_of(origin)``: (status, last folded seq) as ``state.db`` has it; None for an unknown origin.
#: EventLogBusyError when it is held: recording does not wait for it as a sender does.
CursorOf = Callable[[str], "tuple[str, int] | None"]

#: ``state.db`` cannot be asked: a stopped process holds it, or who recorded on closed it meanwhile.
_UNASKED: Final = (EventLogBusyError, ClientClosedError)
_TRIES: Final = 8
_NOT_RECORDED: Final = "the event was not recorded"


def recording_span(name: SegmentName) -> tuple[int, int]:
    """[first, end) in UTC milliseconds of what *name* takes: its day, and the day before for a clock stepped back."""
    day_ms = datetime_to_ms(datetime.fromisoformat(name.day).replace(tzinfo=UTC))
    return day_ms - MS_PER_DAY, day_ms + MS_PER_DAY


class Succession:
    """Finds, makes and rolls the segment that this process writes to."""

    def __init__(
        self,
        directory: LogDirectory,
        config: LogConfig,
        clock: Clock,
        randomness: Randomness,
        boot_id: str,
        cursor_of: CursorOf,
    ) -> None:
        self._directory = directory
        self._config = config
        self._clock = clock
        self._randomness = randomness
        self._boot_id = boot_id
        self._cursor_of = cursor_of
        self._locks = directory.recorders_lock()
        #: Segments that this process must not write to, whatever their header says.
        self.shunned: Final[set[str]] = set()

    def find(self) -> SegmentWriter:
        """The segment to write to; made when there is none.

        Raises:
            EventLogError: no segment can be opened or made; nothing was recorded.
        """
        try:
            return self._shared()
        except _UNASKED:
            # It knows what numbers were given: a fresh origin has given none.
            return self.own()

    def _shared(self) -> SegmentWriter:
        writer = self._existing()
        if writer is not None:
            return writer
        byte = self._directory.directory_byte()
        with self._locks.held(byte, self._config.lock_timeout_seconds) as alone:
            # Without the lock a stopped process holds it: then a segment of our own is safe.
            writer = self._existing() if alone else None
            if writer is not None:
                return writer
            return self._make(self._planned_successor())

    def own(self) -> SegmentWriter:
        """A fresh segment of this process's own, for when the shared one is stuck."""
        return self._make(None)

    def fits_today(self, name: SegmentName) -> bool:
        """Whether *name*'s day takes what is recorded now."""
        first_ms, end_ms = recording_span(name)
        return first_ms <= self._clock.wall_ms() < end_ms

    def roll(self, name: SegmentName) -> None:
        """Seal *name* and every older open segment, and make sure that a successor exists.

        What cannot be locked now is left to the sender.
        """
        byte = self._directory.directory_byte()
        with self._locks.held(byte, self._config.lock_timeout_seconds) as alone:
            if not alone:
                self.shunned.add(name.origin)
                return
            try:
                successor = self._existing(avoid=name.origin)
                planned = successor.name if successor is not None else self._planned_successor()
            except _UNASKED:
                self.shunned.add(name.origin)  # see find
                return
            if successor is not None:
                successor.close()
            planned = planned or self.fresh_name()
            sealed = self.seal(name, planned)
            if successor is None:
                self._make(planned).close()
            if not sealed:
                self.shunned.add(name.origin)  # held or damaged: the sender seals it when it can
            self.seal_older(planned)

    def seal_older(self, current: SegmentName) -> int:
        """Seal open segments of earlier days in favour of *current*; how many. Under the directory's lock."""
        return sum(
            self.seal(name, current)
            for name in list_segments(self._directory.segments, _NOT_RECORDED)
            if name.day < current.day and not self.fits_today(name) and not self._is_finished(name)
        )

    def seal(self, name: SegmentName, successor: SegmentName, timeout_seconds: float = 0.2) -> bool:
        """Seal *name*; False when it is held, gone, damaged or sealed already."""
        if file_identity(name.path_in(self._directory.segments)) is None:
            return False
        with self._locks.held(self._directory.segment_byte(name.origin), timeout_seconds) as alone:
            if not alone:
                return False
            try:
                writer = self._open(name)
            except (sqlite3.Error, EventLogError):
                return False
            try:
                if writer.header().is_sealed:
                    return False
                writer.seal(self._clock.wall_ms(), successor)
            except (sqlite3.Error, EventLogError):
                return False
            finally:
                writer.close()
            return True

    def _existing(self, avoid: str = "") -> SegmentWriter | None:
        """The newest open segment that may be written to.

        Raises:
            EventLogBusyError, ClientClosedError: ``state.db`` cannot be asked.
        """
        for name in reversed(list_segments(self._directory.segments, _NOT_RECORDED)):
            if name.origin == avoid or name.origin in self.shunned or not self.fits_today(name):
                continue
            writer = self._usable(name)
            if writer is not None:
                return writer
        return None

    def _usable(self, name: SegmentName) -> SegmentWriter | None:
        if self._is_finished(name):
            return None
        try:
            writer = self._open(name)
        except (sqlite3.Error, EventLogError):
            return None
        try:
            if not writer.header().is_sealed and writer.is_itself(self._boot_id) and self._continues(writer):
                return writer
        except _UNASKED:
            writer.close()
            raise
        except (sqlite3.Error, EventLogError):
            pass
        writer.close()
        return None

    def _continues(self, writer: SegmentWriter) -> bool:
        """Whether the next seq was never given: not so after a restored backup."""
        known = self._cursor_of(writer.name.origin)
        if known is None:
            return True
        status, cursor = known
        last = writer.last_seq()
        return status == "open" and cursor <= last < self._config.segment_entries_max

    def _planned_successor(self) -> SegmentName | None:
        """A successor that a seal names and nobody made yet (a crash came between)."""
        for name in reversed(list_segments(self._directory.segments, _NOT_RECORDED)):
            if self._is_finished(name):
                continue
            try:
                reader = SegmentReader(self._directory.segments, name)
                try:
                    successor = reader.header().successor
                finally:
                    reader.close()
            except (sqlite3.Error, EventLogError):
                continue
            if successor is not None and self.fits_today(successor) and self._is_new(successor.origin):
                return successor
        return None

    def _is_new(self, origin: str) -> bool:
        """Whether *origin* was never used on this log, so that no number is given twice."""
        if self._cursor_of(origin) is not None:
            return False
        return not any(self._directory.path.rglob(f"*{origin}*"))

    def fresh_name(self) -> SegmentName:
        """A name of today that nobody has used."""
        return SegmentName(ms_to_day(self._clock.wall_ms()), new_origin(self._randomness))

    def _make(self, name: SegmentName | None) -> SegmentWriter:
        name = name or self.fresh_name()
        path = name.path_in(self._directory.segments)
        try:
            make_segment(
                self._directory.segments,
                name,
                made_ms=self._clock.wall_ms(),
                boot_id=self._boot_id,
                scratch=new_origin(self._randomness),
            )
            return self._open(name)
        except sqlite3.Error as error:
            raise translate(error, path, _NOT_RECORDED) from error
        except OSError as error:
            raise translate_os_error(error, self._directory.segments, _NOT_RECORDED) from error

    def _open(self, name: SegmentName) -> SegmentWriter:
        return SegmentWriter(
            self._directory.segments, name, self._config.durability, self._config.lock_timeout_seconds
        )

    def _is_finished(self, name: SegmentName) -> bool:
        """Whether the file is sealed and made one, told by its mode and without opening it."""
        try:
            return name.path_in(self._directory.segments).stat().st_mode & 0o777 == SEALED_FILE_MODE
        except FileNotFoundError:
            return True
