"""The log's directory: where things lie, whose it is, and which project it belongs to."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Final

import attrs
import orjson

from keen_client._foundation.clock import ms_to_iso
from keen_client._foundation.files import make_private_directory, write_whole
from keen_client._foundation.locks import LockFile
from keen_client.errors import (
    EventLogBoundElsewhereError,
    EventLogDamagedError,
    EventLogError,
    EventLogPermissionError,
    EventLogTooNewError,
)
from keen_client.eventlog.sqlite_faults import translate_os_error
from keen_client.eventlog.state import RESERVE_FILE, STATE_FILE, UNCHANGED
from keen_client.events.identity import ORIGIN_ALPHABET

LOG_FORMAT: Final = 1

#: Bytes of ``recorders.lock``: one for making and rolling segments, then one for each origin.
_DIRECTORY_BYTE: Final = 0
_ORIGIN_BYTES_START: Final = 16


@lru_cache(maxsize=1024)
def _segment_byte(origin: str) -> int:
    number = 0
    for character in origin:
        number = number * len(ORIGIN_ALPHABET) + ORIGIN_ALPHABET.index(character)
    return _ORIGIN_BYTES_START + number


@attrs.frozen
class Binding:
    """The (base URL, project) whose events a log holds. ``base_url`` is the part before ``/3.0``."""

    base_url: str
    project_id: str


@attrs.frozen
class LogDirectory:
    """Names inside one log directory."""

    path: Path

    @property
    def segments(self) -> Path:
        """Where the segments lie."""
        return self.path / "segments"

    @property
    def damaged(self) -> Path:
        """Where damaged files are set aside."""
        return self.path / "damaged"

    @property
    def description(self) -> Path:
        """``log.json``: format, project, when made."""
        return self.path / "log.json"

    @property
    def state(self) -> Path:
        """``state.db``."""
        return self.path / STATE_FILE

    @property
    def state_copy(self) -> Path:
        """The copy of ``state.db`` that the last nightly job made."""
        return self.path / "state-copy.db"

    @property
    def reserve(self) -> Path:
        """Space kept for ``state.db`` on a full disk."""
        return self.path / RESERVE_FILE

    def recorders_lock(self) -> LockFile:
        """The recorders' locks: a byte for the directory and one for each segment. Raises as :meth:`sender_lock`."""
        return self._lock_file("recorders.lock")

    def sender_lock(self) -> LockFile:
        """The lock of the elected sender.

        Raises:
            EventLogFullError, EventLogPermissionError, EventLogError: its file is missing, and cannot be made.
        """
        return self._lock_file("sender.lock")

    def nightly_lock(self) -> LockFile:
        """The lock of a running nightly or replay job. Raises as :meth:`sender_lock`."""
        return self._lock_file("nightly.lock")

    def _lock_file(self, name: str) -> LockFile:
        try:
            return LockFile.at(self.path / name)
        except OSError as error:
            raise translate_os_error(error, self.path / name, UNCHANGED) from error

    @staticmethod
    def directory_byte() -> int:
        """The recorders' lock for making and rolling segments. Taken before any segment's."""
        return _DIRECTORY_BYTE

    @staticmethod
    def segment_byte(origin: str) -> int:
        """The recorders' lock of one segment: held for a commit, a checkpoint or a seal."""
        return _segment_byte(origin)

    def exists(self) -> bool:
        """Whether a log was made here.

        Raises:
            EventLogPermissionError, EventLogError: that cannot be told; nothing was read or changed.
        """
        return self.lies(self.description)

    def is_unmade(self) -> bool:
        """Whether there is no log here, nor what is left of a damaged one. Raises as :meth:`exists`."""
        return not any(self.lies(path) for path in (self.description, self.state, self.segments))

    def lies(self, path: Path) -> bool:
        """Whether there is something at *path*, in this directory. Raises as :meth:`exists`."""
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            self.check_owner()  # whose log it is says more than that it is closed
            raise translate_os_error(error, path, "nothing was read or changed") from error
        return True

    def make(self, binding: Binding, now_ms: int) -> None:
        """Make the directory of a new log; nothing happens where one exists.

        Raises:
            EventLogPermissionError, EventLogFullError, EventLogError: nothing was recorded.
        """
        try:
            make_private_directory(self.path)
            self.check_owner()  # it may have been there, put up by somebody who wants to read along
            make_private_directory(self.segments)
            if not self.description.exists():
                content = {
                    "format": LOG_FORMAT,
                    "project_id": binding.project_id,
                    "base_url": binding.base_url,
                    "made": ms_to_iso(now_ms),
                }
                write_whole(self.description, orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n")
        except OSError as error:
            raise translate_os_error(error, self.path, "nothing was recorded") from error

    def check_owner(self) -> None:
        """Refuse a log of another user: files made here would lock its owner out.

        Raises:
            EventLogPermissionError: nothing was read or changed.
        """
        try:
            status = self.path.stat()
        except OSError as error:
            raise translate_os_error(error, self.path, "nothing was read or changed") from error
        if status.st_uid != os.geteuid():
            raise EventLogPermissionError(
                f"the log {self.path} belongs to user {status.st_uid}, you are {os.geteuid()}; "
                "nothing was read or changed",
                "run this as the user who owns the log",
                path=self.path,
            )

    def binding(self) -> Binding:
        """What ``log.json`` says of the project.

        Raises:
            EventLogError: there is no log here, it is of a later version, or ``log.json`` is damaged.
        """
        try:
            content = orjson.loads(self.description.read_bytes())
            log_format, texts = content["format"], (content["base_url"], content["project_id"])
            if not all(isinstance(text, str) for text in texts):
                raise TypeError("both are texts")
            bound = Binding(*texts)
        except FileNotFoundError:
            if self.lies(self.state):  # which is made after it
                raise self._undescribed("is gone") from None
            raise EventLogError(
                f"there is no log at {self.path}; nothing was read",
                "record an event first, or name the log with --log",
                path=self.path,
            ) from None
        except OSError as error:
            raise translate_os_error(error, self.description, "nothing was read") from error
        except (ValueError, KeyError, TypeError) as error:
            raise self._undescribed("is damaged") from error
        if not isinstance(log_format, int) or log_format > LOG_FORMAT:
            raise EventLogTooNewError(
                f"the log {self.path} has format {log_format}; this version knows up to {LOG_FORMAT}; "
                "nothing was read or changed",
                "upgrade keen_client",
                path=self.path,
            )
        return bound

    def _undescribed(self, what: str) -> EventLogDamagedError:
        return EventLogDamagedError(
            f"{self.description} {what}; nothing was changed",
            "run `keen-client doctor --repair`; where that cannot tell whose log it is, write it anew for the project"
            ' that the events were recorded for: {"format": 1, "project_id": "...", "base_url": "https://api.keen.io"}',
            path=self.description,
        )

    def check_binding(self, binding: Binding) -> None:
        """Refuse to mix projects or servers in one log.

        Raises:
            EventLogBoundElsewhereError: naming both; nothing was read or changed.
        """
        bound = self.binding()
        if bound != binding:
            raise bound_elsewhere(self.path, bound, binding)


def bound_elsewhere(path: Path, bound: Binding, wanted: Binding) -> EventLogBoundElsewhereError:
    """The error for the log at *path*, which belongs to *bound*, when it was to be used for *wanted*."""
    return EventLogBoundElsewhereError(
        f"the log {path} belongs to project {bound.project_id} at {bound.base_url}, "
        f"not to project {wanted.project_id} at {wanted.base_url}; nothing was read or changed",
        "use another log directory for this project, or the settings the log was made with",
        path=path,
    )
