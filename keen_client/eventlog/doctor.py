"""The doctor: looks at a log from outside and says what is not as it should be. Changes nothing.

It opens every file read-only and works where the log itself refuses to open.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Final

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE, Clock, ms_to_iso
from keen_client._foundation.files import (
    SEALED_FILE_MODE,
    filesystem_type,
    free_bytes,
    is_memory_filesystem,
    is_network_filesystem,
)
from keen_client._foundation.files import boot_id as machine_boot_id
from keen_client.errors import EventLogError, EventLogPermissionError
from keen_client.eventlog.checkup import (
    SegmentCheck,
    abandoned_origins,
    check_segment,
    check_state,
    log_files,
    recorded_ms,
)
from keen_client.eventlog.config import LogConfig
from keen_client.eventlog.directory import LOG_FORMAT, LogDirectory
from keen_client.eventlog.finding import REPAIR, Finding
from keen_client.eventlog.ownership import closure, identities, permissions
from keen_client.eventlog.retention import SIZE_HORIZON
from keen_client.eventlog.rights import may_write
from keen_client.eventlog.segment import SegmentName, list_segments
from keen_client.eventlog.space import log_size_bytes
from keen_client.eventlog.state import State
from keen_client.eventlog.succession import recording_span
from keen_client.eventlog.unreadable import gone_segments, misjudged_origins

#: Times this far in the future are the clock's fault, not a rounding.
CLOCK_TOLERANCE_MS: Final = 5 * MS_PER_MINUTE
#: An event that nobody has tried to send for so long means that nobody sends.
UNSENT_WARN_MS: Final = MS_PER_HOUR

_RIGHTS: Final = "check the owner, the mode and the mount of the log's files"


def examine(
    directory: LogDirectory,
    config: LogConfig,
    clock: Clock,
    *,
    boot_id: str | None = None,
    thorough: bool = False,
) -> list[Finding]:
    """Look at everything; the findings, one "ok" for each thing that is in order.

    *thorough* also compares indexes with their tables. Takes as long as
    reading the log once.
    """
    return list(
        _Examination(directory, config, clock, boot_id or machine_boot_id(), thorough=thorough).findings()
    )


class _Examination:
    def __init__(
        self, directory: LogDirectory, config: LogConfig, clock: Clock, boot_id: str, *, thorough: bool
    ) -> None:
        self._directory = directory
        self._config = config
        self._now_ms = clock.wall_ms()
        self._boot_id = boot_id
        self._thorough = thorough
        self._segments: list[SegmentCheck] = []
        self._state: State | None = None

    def findings(self) -> Iterator[Finding]:
        try:
            is_there = self._directory.lies(self._directory.path)
        except EventLogError as error:
            yield Finding("warning", "permissions", error.message, error.hint or "")
            return
        if not (is_there and self._directory.path.is_dir()):
            yield Finding(
                "warning",
                "directory",
                f"there is no log at {self._directory.path}",
                "record an event first, or name the log with --log",
            )
            return
        if (closed := closure(self._directory)) is not None:
            yield closed
            return
        yield from self._of("directory", self._binding())
        yield from self._of("permissions", permissions(self._directory))
        yield from self._of("filesystem", self._filesystem())
        yield from self._of("space", self._space())
        yield from self._of("state", self._look_at_state())
        self._segments = [
            check_segment(self._directory, name, thorough=self._thorough)
            for name in list_segments(self._directory.segments)
        ]
        try:
            yield from self._of("segments", chain(self._damaged(), self._gone()))
            yield from self._of("clock", self._clock_faults())
            yield from self._of("sealing", self._unsealed())
            yield from self._of(
                "identity", identities(self._directory, self._segments, self._state, self._boot_id)
            )
            yield from self._of("abandoned", self._abandoned())
            yield from self._of("sender", self._sender())
            yield from self._of("journal", self._journals())
        finally:
            if self._state is not None:
                self._state.close()

    @staticmethod
    def _of(name: str, found: Iterator[Finding]) -> Iterator[Finding]:
        """The findings, or one that all is well."""
        nothing = True
        for finding in found:
            nothing = False
            yield finding
        if nothing:
            yield Finding("ok", name, _WELL[name])

    # ---- the directory ------------------------------------------------------------------

    def _binding(self) -> Iterator[Finding]:
        try:
            self._directory.binding()
        except EventLogError as error:
            yield Finding("damage", "directory", error.message, error.hint or "")

    def _filesystem(self) -> Iterator[Finding]:
        kind = filesystem_type(self._directory.path)
        if is_network_filesystem(kind):
            yield Finding(
                "warning",
                "filesystem",
                f"the log lies on a network file system ({kind}): its locks and syncs cannot be relied on",
                "move the log to a local disk",
            )
        if is_memory_filesystem(kind):
            yield Finding(
                "warning",
                "filesystem",
                f"the log lies in memory ({kind}): a restart of the machine forgets it",
                "move the log to a disk",
            )

    def _space(self) -> Iterator[Finding]:
        size, limit = log_size_bytes(self._directory), self._config.log_size_max_bytes
        if size >= SIZE_HORIZON * limit:
            yield Finding(
                "warning",
                "space",
                f"the log has {size:,} bytes of {limit:,}; at the limit recording refuses events",
                "send and verify so that retention can reclaim, or raise log_size_max_bytes",
            )
        free = free_bytes(self._directory.path)
        if free < 2 * self._config.reserve_bytes:
            yield Finding(
                "warning",
                "space",
                f"the disk has {free:,} bytes left; recording refuses events before it is full",
                "free space",
            )
        if not self._directory.reserve.exists() and list_segments(self._directory.segments):
            yield Finding(
                "warning",
                "space",
                "the reserve for sending on a full disk was used up; nothing is lost",
                "free space; " + REPAIR,
            )

    # ---- content ------------------------------------------------------------------------

    def _look_at_state(self) -> Iterator[Finding]:
        if not self._directory.state.exists():
            if list_segments(self._directory.segments):
                yield Finding(
                    "damage",
                    "state",
                    "state.db is gone: what was sent is not known; the events are still in the segments",
                    REPAIR + ": it is rebuilt, and every event is unknown until a query settles it",
                )
            return
        try:
            fault = check_state(self._directory, thorough=self._thorough)
        except EventLogPermissionError:
            yield Finding("warning", "permissions", "state.db was not examined: it cannot be opened", _RIGHTS)
            return
        if fault:
            yield Finding(
                "damage",
                "state",
                f"state.db is damaged ({fault}); the events are still in the segments",
                REPAIR + ": it is set aside and rebuilt; the nightly copy gives back what it can",
            )
            return
        try:
            self._state = State(self._directory.path, read_only=True)
        except EventLogError as error:
            yield Finding("damage", "state", error.message, error.hint or "")

    def _damaged(self) -> Iterator[Finding]:
        misjudged = misjudged_origins(self._state) if self._state is not None else set()
        for check in self._segments:
            if check.denied:
                yield Finding(
                    "warning",
                    "permissions",
                    f"{check.name.file} was not examined: user {os.geteuid()} cannot open it ({check.denied})",
                    _RIGHTS,
                )
            is_open = check.header is not None and not check.header.is_sealed
            if is_open and not may_write(check.name.path_in(self._directory.segments)):
                yield Finding(
                    "warning",
                    "permissions",
                    f"{check.name.file} is open and cannot be written: recording goes on in another segment",
                    f"run `chmod u+w {check.name.file}` in segments/",
                )
            if check.fault:
                yield Finding(
                    "damage",
                    "segments",
                    f"{check.name.file} is damaged ({check.fault}); recording goes on in another segment",
                    REPAIR + ": it is set aside, and what can be read is saved",
                )
            elif check.name.origin in misjudged and not check.denied:
                yield Finding(
                    "damage",
                    "segments",
                    f"{check.name.file} could not be read at an earlier time, and can be now: nothing more of it is sent",
                    REPAIR + ": its events are unknown then, until a query settles them",
                )

    def _gone(self) -> Iterator[Finding]:
        if self._state is None:
            return
        for segment in gone_segments(self._directory, self._state):
            if segment.is_gone:  # the others were set aside: the journal tells
                yield Finding(
                    "damage",
                    "segments",
                    f"{segment}, and was never reclaimed: what was recorded there and not sent is lost with it",
                    f"put it back from a backup if there is one; else {REPAIR}: it is given up, and what it had is named",
                )

    def _clock_faults(self) -> Iterator[Finding]:
        latest_ms = max((check.newest_ms for check in self._segments), default=0)
        if latest_ms > self._now_ms + CLOCK_TOLERANCE_MS:
            yield Finding(
                "warning",
                "clock",
                f"an event was recorded at {ms_to_iso(latest_ms)}, which has not come yet: the clock was wrong, or is",
                "set the machine's clock",
            )
        ahead = [
            path.name
            for path in log_files(self._directory)
            if _modified_ms(path) > self._now_ms + CLOCK_TOLERANCE_MS
        ]
        if ahead:
            yield Finding(
                "warning",
                "clock",
                f"{len(ahead)} files were changed in the future, {ahead[0]} among them: the clock was wrong, or is",
                "set the machine's clock",
            )

    def _unsealed(self) -> Iterator[Finding]:
        for check in self._segments:
            if check.header is None or check.fault:
                continue
            _, end_ms = recording_span(check.name)
            if not check.header.is_sealed and end_ms <= self._now_ms:
                yield Finding(
                    "warning",
                    "sealing",
                    f"{check.name.file} is of an earlier day and still open: it cannot be reclaimed",
                    "record or send something; " + REPAIR,
                )
            elif (
                check.header.is_sealed
                and end_ms + MS_PER_DAY <= self._now_ms
                and not _is_finished(self._directory, check.name)
            ):
                yield Finding(
                    "warning",
                    "sealing",
                    f"{check.name.file} is sealed and still has a write-ahead log: a process has had it open for days",
                    REPAIR,
                )

    # ---- what is going on ---------------------------------------------------------------

    def _abandoned(self) -> Iterator[Finding]:
        listed = set(abandoned_origins(self._directory, self._state))
        for origin in sorted(listed):
            yield Finding(
                "warning",
                "abandoned",
                f"segment {origin} was abandoned after a disk error or a restored backup: "
                "what it holds past its last sync is not sent",
                REPAIR + ": it is sealed and read again",
            )

    def _sender(self) -> Iterator[Finding]:
        oldest_ms = self._oldest_unsent_ms()
        if oldest_ms is None or oldest_ms > self._now_ms - UNSENT_WARN_MS:
            return
        since = f"an event recorded at {ms_to_iso(oldest_ms)} is not sent yet"
        try:
            lock = self._directory.sender_lock()
        except EventLogPermissionError:
            yield Finding(
                "warning", "sender", f"{since}, and who is sending cannot be told without the lock", _RIGHTS
            )
            return
        holder = lock.holder()
        if holder is not None or lock.holds():
            yield Finding(
                "warning",
                "sender",
                f"{since}, although process {holder or os.getpid()} is the sender: it is stuck, "
                "the server cannot be reached, or its key is refused",
                "look at that process and at `keen-client status`",
            )
        else:
            yield Finding(
                "warning",
                "sender",
                f"{since}, and no process is sending",
                "run `keen-client send`, or keep `keen-client send --follow` running",
            )

    def _oldest_unsent_ms(self) -> int | None:
        if self._state is None:
            return None
        with self._state.reading() as db:
            cursors = dict(db.execute("SELECT origin, cursor FROM origins"))
            row_by_origin = dict(
                db.execute(
                    "SELECT origin, min(seq_lo) FROM ranges WHERE state = 'pending' AND due_ms <= ? GROUP BY origin",
                    (self._now_ms,),
                )
            )
        oldest: list[int] = []
        for check in self._segments:
            if check.fault:
                continue
            origin, cursor = check.name.origin, cursors.get(check.name.origin, 0)
            first = row_by_origin.get(origin) or (cursor + 1 if check.last_seq > cursor else None)
            if first is not None:
                oldest.extend(recorded_ms(self._directory, check.name, first))
        return min(oldest, default=None)

    def _journals(self) -> Iterator[Finding]:
        if self._state is None:
            return
        with self._state.reading() as db:
            (reclaims,) = db.execute("SELECT count(*) FROM reclaims WHERE done_ms IS NULL").fetchone()
            files = {file for (file,) in db.execute("SELECT file FROM damages")}
            since_ms = self._now_ms - self._config.retention_days * MS_PER_DAY
            (lost,) = db.execute(
                "SELECT count(*) FROM damages WHERE (lost IS NULL OR lost > 0) AND at_ms > ?", (since_ms,)
            ).fetchone()
        if reclaims:
            yield Finding("warning", "journal", f"{reclaims} reclaims were begun and not completed", REPAIR)
        aside = self._directory.damaged.glob("*.db.*Z*") if self._directory.damaged.is_dir() else iter(())
        open_ends = [
            p.name for p in aside if not p.name.endswith(("-wal", "-shm", "-journal")) and p.name not in files
        ]
        if open_ends:
            yield Finding(
                "warning",
                "journal",
                f"{open_ends[0]} was set aside, and what can be read of it is not saved yet",
                REPAIR,
            )
        if lost:
            yield Finding(
                "warning",
                "journal",
                f"{lost} files were damaged or gone, and not all of their events could be read",
                "their windows are unverifiable, and what is left of the files is kept in damaged/; this is told"
                f" for as long as events are kept, {self._config.retention_days:g} days",
            )


_WELL: Final = {
    "directory": f"log.json is readable, format {LOG_FORMAT}",
    "permissions": "the owner can use the log's files, and nobody else",
    "filesystem": "the log lies on a local disk",
    "space": "there is room, and the reserve is kept",
    "state": "state.db is sound",
    "segments": "every segment is sound",
    "clock": "nothing lies in the future",
    "sealing": "no earlier segment is open",
    "identity": "one machine writes to this log",
    "abandoned": "no segment is abandoned",
    "sender": "nothing waits long to be sent",
    "journal": "nothing was left half-done",
}


def _modified_ms(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns // 1_000_000
    except OSError:
        return 0


def _is_finished(directory: LogDirectory, name: SegmentName) -> bool:
    try:
        return stat.S_IMODE(name.path_in(directory.segments).stat().st_mode) == SEALED_FILE_MODE
    except FileNotFoundError:
        return True
