"""A guard: a lock between threads that no forked child inherits."""

from __future__ import annotations

import os
import threading
from typing import Final


class Guard:
    """A lock between the threads of a process; not reentrant, for ``with`` alone.

    Each process has its own: a child finds it free though another thread of
    its parent held it at the fork, also where that was a fork in C, which runs
    no hook. So what it guards has to be whole between any two of its statements.
    """

    def __init__(self) -> None:
        self._locks: Final[dict[int, threading.Lock]] = {os.getpid(): threading.Lock()}

    def __enter__(self) -> None:
        """Wait for the other threads of this process."""
        pid = os.getpid()
        lock = self._locks.get(pid)
        if lock is None:
            lock = self._locks.setdefault(pid, threading.Lock())
        lock.acquire()

    def __exit__(self, *exc_info: object) -> None:
        """Let the next one in."""
        self._locks[os.getpid()].release()
