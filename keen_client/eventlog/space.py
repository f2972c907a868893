"""Room for the log: its own size limit, the disk, and the reserve that keeps sending alive."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from keen_client._foundation.clock import Clock
from keen_client._foundation.files import allocate, free_bytes
from keen_client.errors import EventLogFullError
from keen_client.eventlog.config import SPACE_CHECK_SECONDS, LogConfig
from keen_client.eventlog.directory import LogDirectory

#: Free space beyond which a reserve that was given up is made again, as a multiple of its size.
_RESTORE_FACTOR: Final = 2
#: How often those who wait for room look for it.
_LOOK_AGAIN_SECONDS: Final = SPACE_CHECK_SECONDS / 10


def log_size_bytes(directory: LogDirectory) -> int:
    """What the log's files take, damaged ones included."""
    return sum(_size(path) for path in directory.path.rglob("*"))


def _size(path: Path) -> int:
    try:
        status = path.stat()
    except OSError:
        return 0
    return status.st_size if path.is_file() else 0


class Room:
    """Asked before each commit, and looks at the disk at most once a second."""

    def __init__(self, directory: LogDirectory, config: LogConfig, clock: Clock) -> None:
        self._directory = directory
        self._config = config
        self._clock = clock
        #: By the monotonic clock: before it, :meth:`check` has nothing to say.
        self.next_look_ns = 0
        self._next_wait_look_ns = 0
        self._had_room = False

    def check(self) -> None:
        """Return when there is room to record.

        Raises:
            EventLogFullError: the limit or the disk is reached; the event was not recorded.
        """
        now_ns = self._clock.monotonic_ns()
        if now_ns < self.next_look_ns:
            return
        self._look()
        self.next_look_ns = now_ns + int(SPACE_CHECK_SECONDS * 1e9)

    def time_is_up_ns(self) -> int:
        """Until when, by the monotonic clock, a call that begins now may wait for room."""
        return self._clock.monotonic_ns() + int(self._config.block_timeout_seconds * 1e9)

    def wait(self, time_is_up_ns: int) -> bool:
        """After a refusal: wait for room until then; False when the time is up. Holds no lock.

        Of several threads that wait one looks at the disk each time.
        """
        self.next_look_ns = 0
        while (now_ns := self._clock.monotonic_ns()) < time_is_up_ns:
            self._clock.sleep(min(_LOOK_AGAIN_SECONDS, (time_is_up_ns - now_ns) / 1e9))
            if self._has_room():
                return True
        return False

    def _has_room(self) -> bool:
        now_ns = self._clock.monotonic_ns()
        if now_ns >= self._next_wait_look_ns:
            self._next_wait_look_ns = now_ns + int(_LOOK_AGAIN_SECONDS * 1e9)
            try:
                self._look()
            except EventLogFullError:
                self._had_room = False
            else:
                self._had_room = True
        return self._had_room

    def _look(self) -> None:
        config, directory = self._config, self._directory
        size = log_size_bytes(directory)
        if size >= config.log_size_max_bytes:
            raise EventLogFullError(
                f"the log has reached its limit of {config.log_size_max_bytes:,} bytes; the event was not recorded",
                "raise log_size_max_bytes, or send, verify and let retention reclaim",
                path=directory.path,
            )
        if not directory.reserve.exists():
            try:
                free = free_bytes(directory.path)
                if free < _RESTORE_FACTOR * config.reserve_bytes:
                    raise OSError
                allocate(directory.reserve, config.reserve_bytes)
            except OSError:
                raise EventLogFullError(
                    "the disk that holds the log is full (its reserve is in use); the event was not recorded",
                    "free space; sending and reclaiming go on meanwhile",
                    path=directory.path,
                ) from None
