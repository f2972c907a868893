"""A guard keeps the threads of one process apart, and no forked child waits for a thread that it does not have."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import suppress

import pytest

from keen_client._foundation.guard import Guard

FORKS = {"Python's fork": "os.fork()", "C's fork": "ctypes.PyDLL(None).fork()"}
#: What is made, and how a child uses it while a thread of its parent is within its guard.
USES = {
    "guard": ("Guard()", "it", "it.__enter__(); it.__exit__()"),
    "meter": ("Meter()", "it._guard", "it.note_unanswered(); assert it.cost.requests == 1"),
    "query rate": ("QueryRate(SystemClock())", "it._guard", "assert it.wait_seconds() == 0"),
    "the process's rates": ("None", "rate._shared_guard", "assert rate.query_rate('https://api.keen.io')"),
}


def test_guard_lets_one_thread_in_at_a_time() -> None:
    """The second waits until the first has left, also by an error."""
    guard, order = Guard(), []

    def second() -> None:
        with guard:
            order.append("second")

    thread = threading.Thread(target=second)
    with suppress(ValueError), guard:
        thread.start()
        thread.join(0.05)
        order.append("first")
        raise ValueError
    thread.join(10)
    assert order == ["first", "second"]


@pytest.mark.parametrize("fork", FORKS.values(), ids=FORKS.keys())
@pytest.mark.parametrize(("made", "guard", "use"), USES.values(), ids=USES.keys())
def test_child_finds_free_what_a_thread_of_its_parent_held(
    fork: str, made: str, guard: str, use: str
) -> None:
    """Forked while another thread is within, it goes in; the parent's thread is still within, and leaves."""
    script = f"""
import ctypes, os, signal, threading, warnings
from keen_client._foundation.clock import SystemClock
from keen_client._foundation.guard import Guard
from keen_client.api import rate
from keen_client.api.cost import Meter
from keen_client.api.rate import QueryRate
warnings.simplefilter("ignore")
it = {made}
within, done = threading.Event(), threading.Event()
def hold():
    with {guard}:
        within.set()
        done.wait()
thread = threading.Thread(target=hold)
thread.start()
within.wait()
pid = {fork}
if pid == 0:
    signal.alarm(20)
    {use}
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, "the child waited"
done.set()
thread.join()
{use}
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 0, ended.stderr
