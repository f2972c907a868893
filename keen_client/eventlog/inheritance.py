"""What a forked child inherits of SQLite, and must keep its hands off.

SQLite counts, per process and file, the POSIX locks it holds. A fork copies
the counts and not the locks: a child that opens a file which its parent had
open believes itself protected and is not, so the parent's last close deletes a
WAL into which the child goes on recording (tried: acknowledged rows vanish and
their numbers are given again). Therefore

- before a fork through Python, everything that holds segments open closes them
  (:func:`take_part`), and the child inherits nothing;
- a file that was open all the same (a fork in C, a reader in another thread)
  is refused in the child (:func:`is_inherited`): it records in another
  segment, and the parent or any other process reads that one.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import Counter
from pathlib import Path
from typing import Final, Protocol

from keen_client._foundation.files import file_identity

#: How long a fork waits for a commit or a read in another thread to end.
FORK_WAIT_SECONDS: Final = 5.0

_Identity = tuple[int, int]


class Participant(Protocol):
    """Something that holds SQLite files open and can let go of them for the time of a fork."""

    def before_fork(self) -> None:
        """Close what is open and keep others from opening it, waiting at most a moment. Never raises."""

    def after_fork_in_parent(self) -> None:
        """Let the others go on."""

    def after_fork_in_child(self) -> None:
        """Start anew, with none of the parent's connections and locks."""


class _Book:
    """Which files this process has open in SQLite, and which its parent had at the fork."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.guard = threading.Lock()
        self.starting = threading.Lock()
        self.open: Counter[_Identity] = Counter()
        self.inherited: set[_Identity] = set()

    def mind_fork(self) -> None:
        if self.pid != os.getpid():
            self.guard = threading.Lock()
            self.starting = threading.Lock()
            self.inherited |= set(+self.open)
            self.open = Counter()
            self.pid = os.getpid()


_book: Final = _Book()
_participants: Final[list[weakref.ref[Participant]]] = []
#: Those told of the fork that is under way.
_told: Final[list[Participant]] = []


def take_part(participant: Participant) -> None:
    """Have *participant* told before and after each fork, for as long as it lives.

    The last to join is told first: who uses another one's files has let go of
    its own locks before the other is asked for them.
    """
    _participants[:] = [reference for reference in _participants if reference() is not None]
    _participants.append(weakref.ref(participant))


def note_open(path: Path) -> _Identity | None:
    """Note that *path* is about to be opened; hand what this returns to :func:`note_closed`."""
    identity = file_identity(path)
    if identity is not None:
        _book.mind_fork()
        with _book.guard:
            _book.open[identity] += 1
    return identity


def note_closed(identity: _Identity | None) -> None:
    """Note that a file noted by this process is closed."""
    if identity is not None:
        _book.mind_fork()
        with _book.guard:
            if _book.open[identity] > 0:
                _book.open[identity] -= 1


def is_inherited(path: Path) -> bool:
    """Whether the parent had *path* open at the fork, so that this process must not open it."""
    _book.mind_fork()
    return bool(_book.inherited) and file_identity(path) in _book.inherited


def forked_guard() -> threading.Lock:
    """The lock under which objects that find themselves in a forked child start anew."""
    _book.mind_fork()
    return _book.starting


def _before() -> None:
    _told[:] = [found for reference in reversed(_participants) if (found := reference()) is not None]
    for participant in _told:
        participant.before_fork()


def _after_in_parent() -> None:
    for participant in _told:
        participant.after_fork_in_parent()
    _told.clear()


def _after_in_child() -> None:
    _book.mind_fork()
    for participant in _told:
        participant.after_fork_in_child()
    _told.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
