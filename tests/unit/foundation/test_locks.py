"""Locks between processes and threads: exclusive, fair, given up in time, and never inherited."""

from __future__ import annotations

import _thread
import errno
import fcntl
import os
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from keen_client._foundation import locks
from keen_client._foundation.locks import LockFile


def start(path: Path, script: str) -> subprocess.Popen[str]:
    """Another process with ``lock`` at *path*, ``say`` and ``wait`` (for a line); returned when it said ready."""
    prologue = f"""
        import sys
        from pathlib import Path
        from keen_client._foundation.locks import LockFile
        lock = LockFile.at(Path({str(path)!r}))
        def say(*words): print(*words, flush=True)
        def wait(): return sys.stdin.readline()
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(prologue) + textwrap.dedent(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert hear(process) == "ready"
    return process


def hear(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def end(process: subprocess.Popen[str]) -> int:
    process.communicate()
    return process.returncode


HOLDER = """
    assert lock.acquire(7, 5)
    say("ready")
    wait()
    lock.release(7)
    say("released")
    wait()
"""


def test_lock_excludes_other_processes_until_it_is_released(tmp_path: Path) -> None:
    """Byte by byte: another byte of the same file is free."""
    lock = LockFile.at(tmp_path / "locks")
    holder = start(tmp_path / "locks", HOLDER)
    assert not lock.try_acquire(7)
    assert lock.is_taken_elsewhere(7)
    assert lock.try_acquire(8)
    lock.release(8)
    tell(holder)
    assert hear(holder) == "released"
    assert lock.try_acquire(7)
    assert lock.holds(7)
    lock.release(7)
    assert not lock.holds(7)
    end(holder)


def test_holder_is_named_by_its_process_and_looking_keeps_nobody_out(tmp_path: Path) -> None:
    """A look does not take the lock, not for a moment."""
    lock = LockFile.at(tmp_path / "locks")
    assert lock.holder(7) is None
    holder = start(tmp_path / "locks", HOLDER)
    assert lock.holder(7) == holder.pid
    assert lock.holder(8) is None
    assert lock.is_taken_elsewhere(7)
    end(holder)
    assert not lock.is_taken_elsewhere(7)
    with lock.held(7) as alone:
        assert alone
        assert lock.holder(7) is None
        assert lock.is_taken_elsewhere(7)


def test_death_frees_the_lock(tmp_path: Path) -> None:
    """SIGKILL is the kernel's release."""
    lock = LockFile.at(tmp_path / "locks")
    holder = start(tmp_path / "locks", HOLDER)
    assert not lock.try_acquire(7)
    holder.kill()
    end(holder)
    assert lock.acquire(7, 5)
    lock.release(7)


def test_lock_excludes_the_threads_of_one_process(tmp_path: Path) -> None:
    """POSIX locks alone would let them all in."""
    lock = LockFile.at(tmp_path / "locks")
    inside, most = 0, 0
    guard = threading.Lock()

    def enter(_: int) -> None:
        nonlocal inside, most
        with lock.held(3, 10) as alone:
            assert alone
            with guard:
                inside += 1
                most = max(most, inside)
            threading.Event().wait(0.0005)
            with guard:
                inside -= 1

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(enter, range(60)))
    assert most == 1


def test_same_file_by_another_name_is_the_same_lock_file(tmp_path: Path) -> None:
    """A second descriptor of the file would drop the first one's locks when closed."""
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    assert LockFile.at(tmp_path / "locks") is LockFile.at(tmp_path / "link" / "locks")


def test_lock_file_made_anew_is_another_one(tmp_path: Path) -> None:
    """A log directory that was deleted and made again does not share the old one's locks."""
    old = LockFile.at(tmp_path / "locks")
    assert old.try_acquire()
    (tmp_path / "locks").unlink()
    new = LockFile.at(tmp_path / "locks")
    assert new is not old
    assert new.try_acquire()
    new.release()
    old.release()


def test_caller_gives_up_in_time_and_the_next_one_gets_the_lock(tmp_path: Path) -> None:
    """The thread left in the kernel's queue is joined by the next caller, not left in its way."""
    lock = LockFile.at(tmp_path / "locks")
    holder = start(tmp_path / "locks", HOLDER)
    assert not lock.acquire(7, 0.02)
    assert not lock.acquire(7, 0.02)
    with ThreadPoolExecutor(1) as pool:
        patient = pool.submit(lock.acquire, 7, 30)
        tell(holder)
        assert patient.result()
    assert lock.holds(7)
    lock.release(7)
    end(holder)


def test_where_threads_are_greenlets_nobody_waits_in_the_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A greenlet in the kernel's queue would stop all others: it asks again, starts no thread, and gives up in time."""
    real = _thread.start_new_thread

    def start_greenlet(*arguments: Any) -> int:  # as gevent's monkey.patch_all puts one there
        return real(*arguments)

    lock = LockFile.at(tmp_path / "locks")
    holder = start(tmp_path / "locks", HOLDER)
    monkeypatch.setattr(_thread, "start_new_thread", start_greenlet)
    assert not lock.acquire(7, 0.02)
    assert [thread.name for thread in threading.enumerate() if thread.name == "keen-client-lock"] == []
    tell(holder)
    assert lock.acquire(7, 30)
    assert lock.holds(7)
    lock.release(7)
    assert end(holder) == 0


def test_lock_that_arrives_when_nobody_wants_it_is_given_back(tmp_path: Path) -> None:
    """An abandoned place in the queue must not keep other processes out."""
    lock = LockFile.at(tmp_path / "locks")
    holder = start(tmp_path / "locks", HOLDER)
    assert not lock.acquire(7, 0.02)
    tell(holder)
    assert hear(holder) == "released"
    other = start(tmp_path / "locks", 'say("ready")\nwait()\nsay(lock.acquire(7, 30))\nwait()')
    tell(other)
    assert hear(other) == "True"
    assert not lock.holds(7)
    end(other)
    assert lock.acquire(7, 30)
    lock.release(7)
    end(holder)


def test_waiter_gets_the_lock_from_one_who_takes_it_again_and_again(tmp_path: Path) -> None:
    """The kernel's queue is fair: a saturating holder is passed within a hand-over."""
    greedy = start(
        tmp_path / "locks",
        """
        import threading
        stop = threading.Event()
        def take():
            while not stop.is_set():
                with lock.held(7, 30):
                    pass
        thread = threading.Thread(target=take)
        thread.start()
        say("ready")
        wait()
        stop.set()
        thread.join()
        """,
    )
    lock = LockFile.at(tmp_path / "locks")
    for _ in range(20):
        assert lock.acquire(7, 30)
        lock.release(7)
    end(greedy)


def test_kernel_s_false_deadlock_does_not_lose_the_waiter(tmp_path: Path) -> None:
    """Two threads of ours, two of another process, each waiting across: nobody is stuck, everybody is served.

    The kernel sees processes that wait for each other and refuses to queue the
    second one (EDEADLK). What it refused must be asked for again.
    """
    lock = LockFile.at(tmp_path / "locks")
    other = start(
        tmp_path / "locks",
        """
        import threading
        assert lock.acquire(1, 5)
        say("ready")
        wait()
        # Byte 2 is held by the other process, whose other thread waits for byte 1.
        got = threading.Thread(target=lambda: say("two", lock.acquire(2, 60)))
        got.start()
        say("asked")
        wait()
        lock.release(1)
        got.join()
        lock.release(2)
        wait()
        """,
    )
    assert lock.acquire(2, 5)
    with ThreadPoolExecutor(1) as pool:
        one = pool.submit(lock.acquire, 1, 60)
        while 1 not in lock._waiters:
            threading.Event().wait(0.001)
        tell(other)
        assert hear(other) == "asked"
        threading.Event().wait(0.05)  # long enough for the kernel to have refused
        lock.release(2)
        assert hear(other) == "two True"
        tell(other)
        assert one.result()
    # Python's own thread holds it now, whichever thread asked.
    lock.release(1)
    assert lock.acquire(2, 30)
    lock.release(2)
    end(other)


FORKS = {
    "Python's fork": "os.fork()",
    "C's fork": "ctypes.PyDLL(None).fork()",
}


@pytest.mark.parametrize("fork", FORKS.values(), ids=FORKS.keys())
def test_forked_child_holds_none_of_its_parent_s_locks_and_frees_none(tmp_path: Path, fork: str) -> None:
    """Release, collection and exit in the child leave the parent's lock alone; the child can wait for it."""
    parent = start(
        tmp_path / "locks",
        f"""
        import ctypes, os
        assert lock.acquire(7, 5)
        pid = {fork}
        if pid == 0:
            assert not lock.holds(7)
            lock.release(7)
            assert not lock.try_acquire(7)
            assert lock.try_acquire(9)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        say("ready")
        wait()
        assert lock.holds(7)
        """,
    )
    lock = LockFile.at(tmp_path / "locks")
    assert not lock.try_acquire(7)
    assert lock.try_acquire(9)
    lock.release(9)
    assert end(parent) == 0
    assert lock.acquire(7, 5)
    lock.release(7)


@pytest.mark.parametrize("fork", FORKS.values(), ids=FORKS.keys())
def test_child_does_not_keep_a_dead_parent_s_lock(tmp_path: Path, fork: str) -> None:
    """The parent is killed while it holds the lock; its child lives on and holds nothing."""
    parent = start(
        tmp_path / "locks",
        f"""
        import ctypes, os
        assert lock.acquire(7, 5)
        pid = {fork}
        if pid == 0:
            wait()
            os._exit(0)
        say("ready")
        say(pid)
        import signal
        signal.pause()
        """,
    )
    child = int(hear(parent))
    parent.kill()
    parent.wait()
    os.kill(child, 0)  # it is there
    lock = LockFile.at(tmp_path / "locks")
    assert lock.acquire(7, 5)
    lock.release(7)
    end(parent)


@pytest.mark.parametrize(
    "fork", ["os.fork()", "ctypes.PyDLL(None).fork()"], ids=["Python's fork", "C's fork"]
)
def test_fork_while_another_thread_holds_every_guard_leaves_a_usable_child(tmp_path: Path, fork: str) -> None:
    """Locks of threads that do not exist in the child are not waited for, whether or not a hook ran."""
    parent = start(
        tmp_path / "locks",
        f"""
        import ctypes, os, warnings
        from keen_client._foundation import locks
        warnings.simplefilter("ignore")
        lock._guard.acquire()
        locks._registry_guard.__enter__()
        pid = {fork}
        if pid == 0:
            assert lock.acquire(7, 1)
            assert LockFile.at(lock._path) is lock
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        say("ready")
        say(code)
        """,
    )
    assert hear(parent) == "0"
    end(parent)


# ---- what comes between ------------------------------------------------------------------


def test_a_kernel_that_refuses_leaves_the_byte_to_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its table of locks is full (ENOLCK): the caller is told, and the thread after it is not kept out."""
    lock = LockFile.at(tmp_path / "locks")

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "lockf", refuse)
        with pytest.raises(OSError, match="No locks available"):
            lock.acquire(7)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lock.acquire, 7).result()
    lock.release(7)


def test_a_waiter_that_dies_tells_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file system fails while it waits: the caller gets that error, and the next one the lock."""
    holder = start(tmp_path / "locks", HOLDER)
    lock = LockFile.at(tmp_path / "locks")
    real = fcntl.lockf

    def fail(descriptor: int, command: int, *where: int) -> None:
        if command == fcntl.LOCK_EX:
            raise OSError(errno.EIO, "Input/output error")
        real(descriptor, command, *where)

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "lockf", fail)
        with pytest.raises(OSError, match="Input/output error"):
            lock.acquire(7, 60)
    assert lock._waiters == {}
    end(holder)
    assert lock.acquire(7, 60)
    lock.release(7)


def test_a_handler_s_exception_while_waiting_gives_the_lock_back_when_it_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody holds it for ever whom nobody can ask to let go."""
    holder = start(tmp_path / "locks", HOLDER)
    lock = LockFile.at(tmp_path / "locks")

    real = locks._Waiter.__init__

    def interrupted(_: float) -> bool:
        raise KeyboardInterrupt

    def begin(waiter: Any, *arguments: Any) -> None:
        real(waiter, *arguments)
        waiter.acquired.wait = interrupted

    with monkeypatch.context() as patch:
        patch.setattr(locks._Waiter, "__init__", begin)
        with pytest.raises(KeyboardInterrupt):
            lock.acquire(7, 60)
    end(holder)
    other = start(tmp_path / "locks", "assert lock.acquire(7, 60); say('ready'); wait()")
    end(other)
    assert lock.acquire(7, 60)
    lock.release(7)


def test_the_thread_that_holds_a_byte_is_refused_at_once(tmp_path: Path) -> None:
    """A handler that asks for what its own thread holds would wait for itself; what that thread holds it keeps."""
    lock = LockFile.at(tmp_path / "locks")
    with lock.held(7) as got:
        assert got
        with lock.held(7, 3_600) as again:
            assert not again
        assert lock.holds(7)
    assert not lock.holds(7)
