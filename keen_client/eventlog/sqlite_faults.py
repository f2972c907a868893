"""What an SQLite error means for the data, told by its code and never by its text."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path
from typing import Final

from keen_client.errors import (
    EventLogBusyError,
    EventLogDamagedError,
    EventLogError,
    EventLogFullError,
    EventLogPermissionError,
)

#: The message of the trigger that sealing installs; the only text we compare, and it is ours.
SEALED_MESSAGE: Final = "keen_client: this segment is sealed"

_PRIMARY_MASK: Final = 0xFF
_RIGHTS_HINT: Final = "run this as the log's owner; check the modes of its files, and the mount"


def primary_code(error: sqlite3.Error) -> int:
    """The primary result code of *error*; 0 when it carries none."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & _PRIMARY_MASK


def is_sealed(error: sqlite3.Error) -> bool:
    """Whether an insert met the seal."""
    return primary_code(error) == sqlite3.SQLITE_CONSTRAINT and str(error) == SEALED_MESSAGE


def is_segment_full(error: sqlite3.Error) -> bool:
    """Whether an insert met the bound on seq."""
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_CONSTRAINT_CHECK


def is_disk_full(error: sqlite3.Error) -> bool:
    """Whether there was no room. What was to be written is surely absent."""
    return primary_code(error) == sqlite3.SQLITE_FULL


def is_read_only(error: sqlite3.Error) -> bool:
    """Whether the connection may only read: the file, or its file system, could not be written when it was opened."""
    return primary_code(error) == sqlite3.SQLITE_READONLY


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection held the file."""
    return primary_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file's content is not what SQLite wrote."""
    return primary_code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_io_error(error: sqlite3.Error) -> bool:
    """Whether the disk failed: what was to be committed may or may not be there."""
    return primary_code(error) == sqlite3.SQLITE_IOERR


def is_denied(error: sqlite3.Error) -> bool:
    """Whether the file could not be opened or written for want of a right: nothing is said of its content."""
    return primary_code(error) in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)


def translate(error: sqlite3.Error, path: Path, consequence: str) -> EventLogError:
    """The typed error for *error* on *path*; *consequence* says what became of the data."""
    if is_disk_full(error):
        return EventLogFullError(
            f"the disk that holds the log is full; {consequence}",
            "free space, or let `keen-client send` and retention make room",
            path=path,
        )
    if is_busy(error):
        return EventLogBusyError(
            f"another process holds {path.name}; {consequence}",
            "look for a stopped process with `keen-client doctor`",
            path=path,
        )
    if is_damage(error):
        return EventLogDamagedError(
            f"{path.name} is damaged ({error}); {consequence}",
            "run `keen-client doctor --repair`; it sets the file aside and salvages what can be read",
            path=path,
        )
    if is_denied(error):
        return EventLogPermissionError(
            f"{path} cannot be opened for reading and writing by user {os.geteuid()}; {consequence}",
            _RIGHTS_HINT,
            path=path,
        )
    return EventLogError(
        f"SQLite failed on {path.name} ({getattr(error, 'sqlite_errorname', 'unknown')}: {error}); {consequence}",
        "run `keen-client doctor`",
        path=path,
    )


def translate_os_error(error: OSError, path: Path, consequence: str) -> EventLogError:
    """The typed error for an operating system's *error* on *path*."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return EventLogFullError(
            f"the disk that holds the log is full; {consequence}",
            "free space, or let `keen-client send` and retention make room",
            path=path,
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return EventLogPermissionError(
            f"{path} cannot be used by user {os.geteuid()} ({error.strerror}); {consequence}",
            _RIGHTS_HINT,
            path=path,
        )
    return EventLogError(
        f"{path} cannot be used ({error.strerror}); {consequence}", "run `keen-client doctor`", path=path
    )
