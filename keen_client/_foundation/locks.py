"""Advisory locks between processes and threads, on byte ranges of small files.

``fcntl.lockf`` is the one kind that is freed in every sort of fork and that
queues its waiters fairly. It has two traps: it is dropped when *any*
descriptor of the file is closed in the process, and it does not exclude the
threads of one process. So there is one :class:`LockFile` a file and process,
kept for the life of the process, and a thread claims a byte before it asks the
kernel. An exception of a signal handler may come at any moment of that, and
leaves neither claim nor lock behind.

Where greenlets stand in for threads (gevent's ``monkey.patch_all``), waiting in
the kernel would stop the whole process, the holder of another lock included:
there a waiter asks again and again, and the other greenlets go on.
"""

from __future__ import annotations

import _thread
import errno
import os
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import BuiltinFunctionType
from typing import Final

from keen_client._foundation.clock import SystemClock
from keen_client._foundation.files import PRIVATE_FILE_MODE
from keen_client._foundation.guard import Guard
from keen_client.errors import UnsupportedPlatformError

if sys.platform != "win32":
    import fcntl

    _TAKE: Final = fcntl.LOCK_EX | fcntl.LOCK_NB

#: How often a waiter asks again when the kernel will not queue it.
_ASK_AGAIN_SECONDS: Final = 0.01
#: How often a greenlet asks, which has no queue at all: about as long as a commit takes.
_GREENLET_ASKS_AGAIN_SECONDS: Final = 0.002

#: What a thread has that claimed a byte: told by identity, and holding the thread's own id.
Claim = tuple[int]

#: ``struct flock`` of this system: its layout, and the order of its members.
_FLOCK: Final = (
    ("qqihh", ("start", "len", "pid", "type", "whence"))
    if sys.platform == "darwin"
    else ("hhqqi4x", ("type", "whence", "start", "len", "pid"))
)

#: The kernel's queue cannot be simulated, and neither is the time spent in it.
_clock: Final = SystemClock()

_registry_guard: Final = Guard()
_registry: dict[tuple[int, int], LockFile] = {}


def check_platform() -> None:
    """Refuse a system without POSIX record locks. Touches nothing.

    Raises:
        UnsupportedPlatformError: this is one; nothing was recorded, and no file was made.
    """
    if sys.platform == "win32":
        raise UnsupportedPlatformError(
            "the local log needs POSIX record locks, which Windows does not have; nothing was recorded",
            "run it under Linux, macOS or WSL",
        )


class LockFile:
    """One file whose bytes are locks. Thread-safe; usable in a forked child, which holds none of them."""

    def __init__(self, path: Path) -> None:
        """Use :meth:`at` instead: two of these on one file would drop each other's locks."""
        self._path: Final = path
        self._descriptor: Final = os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE_FILE_MODE)
        status = os.fstat(self._descriptor)
        self._identity: Final = (status.st_dev, status.st_ino)
        self._forget()

    def _forget(self) -> None:
        """Start without locks: at birth, and in a forked child."""
        self._guard = threading.Lock()
        #: Which thread's each byte is, in this process: it has the kernel's lock, or asks for it.
        self._claims: dict[int, Claim] = {}
        self._claims_change = threading.Condition()
        self._claimants = 0
        self._waiters: dict[int, _Waiter] = {}
        #: Whose each lock is that this process has.
        self._held: dict[int, Claim] = {}
        self._pid = os.getpid()  # last: another thread of a forked child may look at it meanwhile

    @classmethod
    def at(cls, path: Path) -> LockFile:
        """The lock file at *path*, made when it is missing.

        Raises:
            UnsupportedPlatformError: on a system without POSIX record locks.
            OSError: the file cannot be made or opened.
        """
        check_platform()
        with _registry_guard:
            try:
                status = path.stat()
                known = _registry.get((status.st_dev, status.st_ino))
            except FileNotFoundError:
                known = None
            if known is None:
                known = cls(path)
                _registry[known._identity] = known
            return known

    def try_acquire(self, offset: int = 0) -> bool:
        """Take the lock at byte *offset* if it is free; False when anybody holds it."""
        return self.acquire(offset, timeout_seconds=0.0)

    def acquire(self, offset: int = 0, timeout_seconds: float = 0.0) -> bool:
        """Take the lock at byte *offset*, waiting in a fair queue; False when the time ran out."""
        self.mind_fork()
        return self.take(offset, timeout_seconds) is not None

    def take(self, offset: int, timeout_seconds: float) -> Claim | None:
        """:meth:`acquire` for a caller who has minded forks in the same call: one look at the pid is enough.

        What it returns is for :meth:`give_back`; None when the time ran out, or
        at once when this very thread holds the byte, interrupted by a handler.
        """
        claim = (threading.get_ident(),)
        try:
            # One call into C, after which the claim itself says whose the byte is: no exception comes between.
            holder = self._claims.setdefault(offset, claim)
            if holder is not claim:
                if holder[0] == claim[0] or timeout_seconds <= 0:
                    return None
                started_ns = _clock.monotonic_ns()
                if not self._claim_in_time(offset, claim, timeout_seconds):
                    return None
                timeout_seconds = max(0.0, timeout_seconds - (_clock.monotonic_ns() - started_ns) / 1e9)
            # Only who has the claim adds a waiter for this byte, so without one none can appear now.
            if offset not in self._waiters:
                try:
                    fcntl.lockf(self._descriptor, _TAKE, 1, offset)
                except (BlockingIOError, PermissionError):
                    pass
                else:
                    self._held[offset] = claim
                    return claim
            if self._acquire_from_processes(offset, timeout_seconds):
                self._held[offset] = claim
                return claim
            del self._claims[offset]
            if self._claimants:
                self._tell_claimants()
        except BaseException:
            self._withdraw(offset, claim)
            raise
        return None

    def _claim_in_time(self, offset: int, claim: Claim, timeout_seconds: float) -> bool:
        with self._claims_change:
            self._claimants += 1
            try:
                return self._claims_change.wait_for(
                    lambda: self._claims.setdefault(offset, claim) is claim, timeout_seconds
                )
            finally:
                self._claimants -= 1

    def _tell_claimants(self) -> None:
        with self._claims_change:
            self._claims_change.notify_all()

    def _withdraw(self, offset: int, claim: Claim) -> None:
        """After an exception while the lock was taken: leave nothing of it."""
        if self._claims.get(offset) is claim:
            with self._guard:
                waiter = self._waiters.get(offset)
                if waiter is not None and waiter.acquired.is_set():
                    del self._waiters[offset]
                elif waiter is not None:
                    waiter.wanted = False
            self.give_back(offset, claim)

    def _acquire_from_processes(self, offset: int, timeout_seconds: float) -> bool:
        with self._guard:
            waiter = self._waiters.get(offset)
            if waiter is None:
                if self._try_lockf(offset):
                    return True
                if timeout_seconds <= 0:
                    return False
                if not _has_greenlets():
                    waiter = self._waiters[offset] = _Waiter(self, offset)
            if waiter is not None:
                waiter.wanted = True
        if waiter is None:
            return self._ask_until_free(offset, timeout_seconds)
        waiter.acquired.wait(timeout_seconds)
        with self._guard:
            if not waiter.acquired.is_set():
                waiter.wanted = False
                return False
            self._waiters.pop(offset, None)
        if waiter.error is not None:
            raise waiter.error
        return True

    def _ask_until_free(self, offset: int, timeout_seconds: float) -> bool:
        deadline_ns = _clock.monotonic_ns() + int(timeout_seconds * 1e9)
        while not self._try_lockf(offset):
            if _clock.monotonic_ns() >= deadline_ns:
                return False
            _clock.sleep(_GREENLET_ASKS_AGAIN_SECONDS)
        return True

    def _try_lockf(self, offset: int) -> bool:
        try:
            fcntl.lockf(self._descriptor, _TAKE, 1, offset)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def release(self, offset: int = 0) -> None:
        """Give the lock back. In a forked child that inherited the object this does nothing."""
        if self._pid == os.getpid() and offset in self._held:
            self.give_back(offset, self._claims[offset])

    def give_back(self, offset: int, claim: Claim) -> None:
        """Give back what :meth:`take` got, in the same call; nothing happens when that was done already."""
        if self._claims.get(offset) is claim:
            try:
                fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, offset)
            finally:
                # No call in between, after which a handler could run.
                if offset in self._held:
                    del self._held[offset]
                del self._claims[offset]
                if self._claimants:
                    self._tell_claimants()

    def holds(self, offset: int = 0) -> bool:
        """Whether this process holds the lock at byte *offset*."""
        return self._pid == os.getpid() and offset in self._held

    def is_taken_elsewhere(self, offset: int = 0) -> bool:
        """Whether anybody holds the lock at this moment (a look, not a promise; it keeps nobody out)."""
        return self.holds(offset) or self.holder(offset) is not None

    def holder(self, offset: int = 0) -> int | None:
        """The id of the *other* process that holds the lock at byte *offset*; None when none does."""
        layout, answer_at = _FLOCK
        asked = {"type": fcntl.F_WRLCK, "whence": os.SEEK_SET, "start": offset, "len": 1, "pid": 0}
        question = struct.pack(layout, *(asked[name] for name in answer_at))
        answer = fcntl.fcntl(self._descriptor, fcntl.F_GETLK, question)
        told = dict(zip(answer_at, struct.unpack(layout, answer), strict=True))
        return None if told["type"] == fcntl.F_UNLCK else int(told["pid"])

    @contextmanager
    def held(self, offset: int = 0, timeout_seconds: float = 0.0) -> Iterator[bool]:
        """Hold the lock for a ``with`` block; yields whether it was obtained."""
        self.mind_fork()
        claim = self.take(offset, timeout_seconds)
        try:
            yield claim is not None
        finally:
            if claim is not None and self._pid == os.getpid():
                self.give_back(offset, claim)

    def mind_fork(self) -> None:
        """In a forked child: forget the parent's locks, once."""
        if self._pid != os.getpid():
            with _registry_guard:
                if self._pid != os.getpid():
                    self._forget()


class _Waiter:
    """A thread that waits in the kernel's queue for one byte, so that its caller can give up in time.

    A caller who gave up leaves it in the queue; the next caller joins it. When
    the lock arrives and nobody wants it any more it is given back at once.
    """

    def __init__(self, lock_file: LockFile, offset: int) -> None:
        #: Set when the lock has arrived, or when it never will: then *error* says why.
        self.acquired: Final = threading.Event()
        self.error: OSError | None = None
        self.wanted = True
        self._file = lock_file
        self._offset = offset
        threading.Thread(target=self._wait, name="keen-client-lock", daemon=True).start()

    def _wait(self) -> None:
        try:
            self._queue_up()
        except OSError as error:
            self.error = error
        with self._file._guard:  # noqa: SLF001
            if self.wanted:
                self.acquired.set()
            else:
                # In this order: whoever finds no waiter takes the lock without the guard.
                fcntl.lockf(self._file._descriptor, fcntl.LOCK_UN, 1, self._offset)  # noqa: SLF001
                self._file._waiters.pop(self._offset, None)  # noqa: SLF001

    def _queue_up(self) -> None:
        """Return with the lock.

        The kernel looks for deadlocks among processes and knows nothing of
        threads: when one thread here waits for a process whose thread waits for
        what another thread here holds, it refuses to queue us (EDEADLK), though
        nobody is stuck. Then we ask again and again.
        """
        while True:
            try:
                # The descriptor lives as long as the process, so this cannot land on another file.
                fcntl.lockf(self._file._descriptor, fcntl.LOCK_EX, 1, self._offset)  # noqa: SLF001 — one mechanism
            except OSError as error:
                if error.errno not in (errno.EDEADLK, errno.ENOLCK):
                    raise
                _clock.sleep(_ASK_AGAIN_SECONDS)
            else:
                return


def _has_greenlets() -> bool:
    """Whether what starts as a thread here is a greenlet: the interpreter's own function was replaced."""
    return not isinstance(_thread.start_new_thread, BuiltinFunctionType)


def _forget_in_child() -> None:
    for lock_file in _registry.values():
        lock_file._forget()  # noqa: SLF001


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
