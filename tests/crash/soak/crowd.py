"""The crowd: every process of the soak, started by a fork, killed with SIGKILL, and started again at once."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import attrs
import psutil  # type: ignore[import-untyped]

from tests.crash.soak.figures import Samples
from tests.crash.soak.ledger import count_told
from tests.crash.soak.plan import Busy, Plan
from tests.crash.soak.roles import NIGHTLY, SENDERS, SERVER, WITNESS, WRITERS, run_role

_TICK_SECONDS: Final = 0.02
#: More than any process needs to end when it is asked to; whoever takes longer hangs.
HANGS_SECONDS: Final = 300.0
#: In the last quarter of the run one sender is spared, so that one lives long under load.
_SPARED_FROM: Final = 0.75
#: Nightly jobs that are begun in the length of a run, about.
_NIGHTS: Final = 30
#: The share of the kills of a writer that wait for it to be in a recording call, and for how long.
_AIMED_SHARE: Final = 0.75
_AIM_SECONDS: Final = 1.0
#: A call is left so long at most before the kill comes.
_CALL_SECONDS: Final = 0.01
#: The share of the forking writers' kills that their children get.
_CHILD_SHARE: Final = 0.5


@attrs.frozen
class Member:
    """One life of one process."""

    name: str
    life: int
    pid: int
    born_seconds: float


@attrs.define
class Record:
    """What happened: starts and kills by name, how processes ended by themselves, faults that struck at least.

    ``in_a_call`` are the kills of writers that were recording at that moment.
    """

    started: Counter[str] = attrs.Factory(Counter)
    killed: Counter[str] = attrs.Factory(Counter)
    in_a_call: Counter[str] = attrs.Factory(Counter)
    ended: Counter[tuple[str, int]] = attrs.Factory(Counter)
    struck: Counter[str] = attrs.Factory(Counter)

    @property
    def failed(self) -> list[str]:
        """Writers and servers that ended in another way than by a signal or when they were asked to."""
        names = {SERVER, *WRITERS}
        return [f"{name} ended with {status}" for name, status in self.ended if name in names and status > 0]


class Crowd:
    """Runs the soak's processes. One thread; the process itself opens nothing and forks what does."""

    def __init__(self, plan: Plan, master_key: str) -> None:
        self._plan = plan
        self._master_key = master_key
        self._chance = random.Random(plan.seed)
        self._alive: dict[str, Member] = {}
        self._told: Counter[str] = Counter()
        self._pids: set[int] = set()
        self._busy = Busy(WRITERS)
        # Every descendant holds the writing end: once it is closed here and reading ends, all are gone.
        self._all_gone, self._alive_end = os.pipe()
        self.record: Final = Record()
        self.samples: Final = Samples(plan)
        self.outputs: Final = plan.directory / "outputs"

    def rage(self, kills: int, tell: Callable[[str], None]) -> None:
        """Let all of them work, kill *kills* times at random moments, and end when the events are recorded."""
        plan = self._plan
        for name in (SERVER, *SENDERS, *WRITERS):
            self._start(name)
        moments = sorted(self._chance.uniform(0.01, 0.98) * plan.seconds for _ in range(kills))
        next_night = plan.seconds / _NIGHTS
        last_words = 0.0
        while moments or self._work_left():
            now = plan.elapsed_seconds
            for name in self._reap():
                if name == NIGHTLY:
                    next_night = now + self._chance.uniform(0.2, 1.8) * plan.seconds / _NIGHTS
                else:
                    self._start(name)
            if NIGHTLY not in self._alive and now >= next_night:
                self._start(NIGHTLY)
            if moments and now >= moments[0]:
                moments.pop(0)
                while not self._kill_one():
                    pass
            self.samples.take((m.name, m.pid, m.born_seconds) for m in self._alive.values())
            if now - last_words >= max(60.0, plan.seconds / 60):
                last_words = now
                tell(f"{now:5.0f} s: {self.record.killed.total():,} kills, {self._recorded():,} receipts")
            time.sleep(_TICK_SECONDS)
        self._end()

    def disperse(self) -> None:
        """Kill whoever is left. What they forked ends by itself."""
        for pid in list(self._pids):
            os.kill(pid, signal.SIGKILL)
            self._wait(pid)

    def call(self, act: Callable[[], int], name: str) -> int:
        """Run *act* in a process of its own, to its end; its exit status."""
        pid = self._fork(act, name)
        deadline = time.monotonic() + HANGS_SECONDS
        while time.monotonic() < deadline:
            status = self._ended(pid)
            if status is not None:
                return status
            time.sleep(_TICK_SECONDS)
        raise AssertionError(f"{name} hangs")

    def serve(self, act: Callable[[], int]) -> int:
        """Start a server that runs *act*; return its process id when it answers."""
        pid = self._fork(act, SERVER)
        deadline = time.monotonic() + HANGS_SECONDS
        while self._counters() is None:
            if time.monotonic() > deadline or self._ended(pid) is not None:
                raise AssertionError("the server did not start")
            time.sleep(_TICK_SECONDS)
        return pid

    def end_server(self, pid: int) -> None:
        """Have the server close its files and go."""
        os.kill(pid, signal.SIGTERM)
        assert self._wait(pid) == 0, "the server did not stop cleanly"

    # ---- one process --------------------------------------------------------------------

    def _start(self, name: str) -> None:
        plan = self._plan
        life = self.record.started[name] + 1
        self.record.started[name] = life
        have = self._told[name]
        self._busy.clear(name)
        pid = self._fork(lambda: run_role(plan, self._busy, name, life, have), f"{name}.{life}")
        self._alive[name] = Member(name, life, pid, plan.elapsed_seconds)

    def _fork(self, act: Callable[[], int], name: str) -> int:
        sys.stdout.flush()
        pid = os.fork()
        if pid:
            self._pids.add(pid)
            return pid
        status = 70
        try:
            os.close(self._all_gone)
            for descriptor, mode, suffix in (
                (0, os.O_RDONLY, ""),
                (1, os.O_WRONLY, "out"),
                (2, os.O_WRONLY, "err"),
            ):
                path = self.outputs / f"{name}.{suffix}" if suffix else Path(os.devnull)
                opened = os.open(path, mode | os.O_CREAT | os.O_APPEND, 0o600)
                os.dup2(opened, descriptor)
                os.close(opened)
            status = act()
        except BaseException:  # noqa: BLE001 - a forked child never returns into its parent's frames
            traceback.print_exc()
        finally:
            with suppress(OSError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def _wait(self, pid: int) -> int:
        """Wait until *pid* has ended; its exit status."""
        _, status = os.waitpid(pid, 0)
        self._pids.discard(pid)
        return os.waitstatus_to_exitcode(status)

    def _ended(self, pid: int) -> int | None:
        """The exit status of *pid*, if it has ended."""
        found, status = os.waitpid(pid, os.WNOHANG)
        if not found:
            return None
        self._pids.discard(pid)
        return os.waitstatus_to_exitcode(status)

    def _reap(self) -> list[str]:
        """The names of those that ended by themselves since the last look."""
        gone = []
        for name, member in list(self._alive.items()):
            status = self._ended(member.pid)
            if status is not None:
                self.record.ended[name, status] += 1
                self._bury(member)
                gone.append(name)
        return gone

    def _kill_one(self) -> bool:
        """Kill a random process and start it again; False when it had come to its end by itself."""
        spared = {WITNESS} | (
            {SENDERS[1]} if self._plan.elapsed_seconds > _SPARED_FROM * self._plan.seconds else set()
        )
        member = self._chance.choice([m for name, m in sorted(self._alive.items()) if name not in spared])
        if member.name == "forking" and self._chance.random() < _CHILD_SHARE and _kill_child(member.pid):
            self.record.killed["forked child"] += 1
            return True
        if member.name == SERVER:
            self.record.struck.update(self._counters() or {})
        if member.name in WRITERS and self._chance.random() < _AIMED_SHARE:
            self._aim(member.name)
        in_a_call = self._busy[member.name]
        os.kill(member.pid, signal.SIGKILL)
        status = self._wait(member.pid)
        self._bury(member)
        was_killed = status == -signal.SIGKILL
        if was_killed:
            self.record.killed[member.name] += 1
            self.record.in_a_call[member.name] += in_a_call
        else:
            self.record.ended[member.name, status] += 1
        self._start(member.name)
        return was_killed

    def _aim(self, name: str) -> None:
        """Wait until the writer *name* is in a call, and a random moment more."""
        deadline = time.monotonic() + _AIM_SECONDS
        while not self._busy[name] and time.monotonic() < deadline:
            time.sleep(0.0005)
        if self._chance.random() < 0.5:
            time.sleep(self._chance.uniform(0.0, _CALL_SECONDS))

    def _bury(self, member: Member) -> None:
        del self._alive[member.name]
        if member.name in WRITERS:
            for path in self._plan.ledgers.glob(f"{member.name}.{member.life}*"):
                self._told[member.name] += count_told(path)

    # ---- all of them --------------------------------------------------------------------

    def _recorded(self) -> int:
        alive = sum(
            count_told(path)
            for member in self._alive.values()
            for path in self._plan.ledgers.glob(f"{member.name}.{member.life}*")
        )
        return self._told.total() + alive

    def _work_left(self) -> bool:
        if self._plan.elapsed_seconds < self._plan.seconds:
            return True
        if self._plan.elapsed_seconds > 2 * self._plan.seconds + HANGS_SECONDS:
            raise AssertionError("the writers never record what they should")
        return self._recorded() < self._plan.events

    def _end(self) -> None:
        """Ask everybody to end, the server last, and wait until the last descendant has."""
        server = self._alive.pop(SERVER)
        for member in self._alive.values():
            os.kill(member.pid, signal.SIGTERM)
        deadline = time.monotonic() + HANGS_SECONDS
        while self._alive:
            self._reap()
            assert time.monotonic() < deadline, f"they hang: {sorted(self._alive)}"
            time.sleep(_TICK_SECONDS)
        self.record.struck.update(self._counters() or {})
        self.end_server(server.pid)
        os.close(self._alive_end)
        os.read(self._all_gone, 1)

    def _counters(self) -> dict[str, int] | None:
        """How often each fault struck in this life of the server; None where it does not answer in time."""
        connection = http.client.HTTPConnection("127.0.0.1", self._plan.port, timeout=5)
        try:
            connection.request("GET", "/_control/faults", headers={"Authorization": self._master_key})
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()
        return dict(answer["counters"])


def _kill_child(pid: int) -> bool:
    """Kill a process that *pid* forked; False when there is none that runs."""
    with suppress(psutil.Error):
        for child in psutil.Process(pid).children():
            if child.status() != psutil.STATUS_ZOMBIE:
                child.kill()
                return True
    return False
