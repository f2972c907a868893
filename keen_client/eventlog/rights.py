"""Rights: what the user of this process may not do with a log's files, though it would have to.

Told by asking the operating system, never by opening: a plain open and close
of a segment would cancel SQLite's locks. What cannot be opened for want of a
right is not damaged, and nothing may be set aside or rebuilt for it.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs

from keen_client.eventlog.directory import LogDirectory

_READ: Final = os.R_OK
_WRITE: Final = os.R_OK | os.W_OK
_ENTER: Final = os.R_OK | os.X_OK
_USE: Final = os.R_OK | os.W_OK | os.X_OK

_LOCKS: Final = ("recorders.lock", "sender.lock", "nightly.lock")
#: What the command of a hint names, at most.
_NAMED_MAX: Final = 5


@attrs.frozen
class Denial:
    """One file or directory of the log that this user may not read, or not write, and would have to."""

    path: Path
    is_directory: bool
    is_readable: bool
    is_foreign: bool

    @property
    def lacking(self) -> str:
        """What is denied, as a word: ``read`` or ``write``."""
        return "write" if self.is_readable else "read"


def barriers(directory: LogDirectory) -> list[Denial]:
    """The directories of the log that this user may not list and enter: of what lies in them nothing can be said."""
    return _denied([(path, _ENTER) for path in _directories(directory)])


def hindrances(directory: LogDirectory) -> list[Denial]:
    """What keeps this user from changing anything: the directories, ``state.db``, the locks. Segments are apart."""
    files = [directory.state, *(directory.path / name for name in _LOCKS)]
    return _denied([*((path, _USE) for path in _directories(directory)), *((path, _WRITE) for path in files)])


def denials(directory: LogDirectory) -> list[Denial]:
    """All that this user may not do with the log and would have to, what matters most first."""
    return [*hindrances(directory), *_denied(_to_read(directory))]


def _to_read(directory: LogDirectory) -> Iterator[tuple[Path, int]]:
    yield directory.description, _READ
    yield directory.state_copy, _READ
    for path in sorted(directory.segments.glob("*.db*")):
        # A sealed segment is only read, and whether it is sealed stands in it; its companions serve open ones.
        yield path, _READ if path.suffix == ".db" else _WRITE


def _directories(directory: LogDirectory) -> list[Path]:
    # In this order: of what lies in the first nothing is known where it cannot be entered.
    paths = [directory.path]
    if _may(directory.path, _ENTER):
        paths += [path for path in (directory.segments, directory.damaged) if path.is_dir()]
    return paths


def _denied(wanted: Sequence[tuple[Path, int]] | Iterator[tuple[Path, int]]) -> list[Denial]:
    found = []
    for path, mode in wanted:
        if _may(path, mode):
            continue
        try:
            status = path.stat()
        except OSError:  # not there, or beyond a barrier that is told by itself
            continue
        is_directory = path.is_dir()
        found.append(
            Denial(
                path,
                is_directory,
                _may(path, _ENTER if is_directory else _READ),
                status.st_uid != os.geteuid(),
            )
        )
    return found


def may_write(path: Path) -> bool:
    """Whether this user may read and write *path*."""
    return _may(path, _WRITE)


def _may(path: Path, mode: int) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def told(denied: Sequence[Denial]) -> tuple[str, str]:
    """What the *denied* are, and the command that mends it: (message, hint)."""
    first, others = denied[0], len(denied) - 1
    subject = str(first.path) if first.is_directory else first.path.name
    message = f"user {os.geteuid()} cannot {first.lacking} {subject}" + (
        f" and {others} more of the log's files" if others else ""
    )
    quoted = " ".join(shlex.quote(str(denial.path)) for denial in denied[:_NAMED_MAX])
    if any(denial.is_foreign for denial in denied):
        return message, f"run `chown {os.geteuid()} {quoted}` as an administrator, then doctor again"
    return message, f"run `chmod u+rwX {quoted}`; where that changes nothing, look at the mount"
