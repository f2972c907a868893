"""What the crash tests share: a Keen server in a process of its own, and scripts that are run and killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keen_client import KeenClient
from keen_client.client.settings import ENVIRONMENT
from tests.crash import shim
from tests.crash.nursery import Nursery

# The campaign of kills is a module of its own, also where the checkout is not on the path.
ROOT = str(Path(__file__).parents[2])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

#: More than any script needs; whoever waits longer hangs.
HANGS_SECONDS = 120

PROLOGUE = """
import ctypes, multiprocessing, os, signal, sys, threading, time, warnings
from keen_client import KeenClient
from keen_client.delivery.config import DeliveryConfig

warnings.simplefilter("ignore")

def say(line):
    # One write of one line: whole in the file or not at all.
    os.write(1, f"{line}\\n".encode())

def add(client, number, collection="purchases"):
    # The receipt is told only after it was given, with how long the caller waited.
    started = time.monotonic_ns()
    receipt = client.add_event(collection, {"number": number})
    say(f"receipt {receipt.id} {number} {(time.monotonic_ns() - started) // 1000}")
"""


class Served:
    """A server process: where it listens, its keys, and what it holds."""

    def __init__(self, document: Mapping[str, str], process: subprocess.Popen[str]) -> None:
        self.url = document["url"]
        self.project_id = document["project_id"]
        self.write_key = document["write_key"]
        self.read_key = document["read_key"]
        self.master_key = document["master_key"]
        self._process = process

    def environment(self, log: Path) -> dict[str, str]:
        """What a client process needs to know."""
        return {
            **os.environ,
            ENVIRONMENT["project_id"]: self.project_id,
            ENVIRONMENT["write_key"]: self.write_key,
            ENVIRONMENT["read_key"]: self.read_key,
            ENVIRONMENT["base_url"]: self.url,
            ENVIRONMENT["log"]: str(log),
        }

    def client(self, log: Path, **settings: Any) -> KeenClient:
        """A client in the test's own process, without a background thread."""
        return KeenClient(
            self.project_id,
            self.write_key,
            self.read_key,
            base_url=self.url,
            log=log,
            background=False,
            **settings,
        )

    def change_faults(self, faults: Mapping[str, Any]) -> None:
        """Change the faults while the server runs."""
        request = urllib.request.Request(
            f"{self.url}/_control/faults",
            data=json.dumps(faults).encode(),
            headers={"Authorization": self.master_key, "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 200

    def stop(self) -> None:
        """End the server process. Idempotent."""
        self._process.terminate()
        self._process.wait(HANGS_SECONDS)
        if self._process.stdout is not None:
            self._process.stdout.close()


class Script:
    """A client process whose lines go to a file; it may be killed at any moment."""

    def __init__(self, served: Served, log: Path, lines: Path, script: str) -> None:
        self.lines = lines
        path = lines.with_suffix(".py")
        path.write_text(PROLOGUE + textwrap.dedent(script))
        with lines.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, str(path)],
                env=served.environment(log),
                stdin=subprocess.PIPE,
                stdout=out,
                cwd=lines.parent,
            )

    def wait_for(self, text: str, times: int = 1) -> None:
        """Return when a line that starts with *text* was written so often."""
        deadline = time.monotonic() + HANGS_SECONDS
        while sum(line.startswith(text) for line in self.lines.read_text().splitlines()) < times:
            assert self.process.poll() is None, "the process ended early"
            assert time.monotonic() < deadline, "the process hangs"
            time.sleep(0.002)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.communicate()

    def end(self) -> int:
        """Wait for the process to end by itself; its exit status."""
        self.process.communicate(timeout=HANGS_SECONDS)
        return self.process.returncode

    def receipts(self) -> dict[str, int]:
        """Microseconds that the call took, by the id of each receipt that was given."""
        found: dict[str, int] = {}
        for line in self.lines.read_text().splitlines():
            if line.startswith("receipt "):
                _, event_id, _, micros = line.split()
                assert event_id not in found, "one number for two events"
                found[event_id] = int(micros)
        return found


class Arena:
    """One log, its server processes and its client processes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory / "log"
        self._served: list[Served] = []
        self._scripts: list[Script] = []

    def serve(self, *options: str, environment: Mapping[str, str] | None = None) -> Served:
        """Start a server process."""
        process = subprocess.Popen(
            [sys.executable, "-m", "keen_client", "serve", "--json", "--seed", "1", *options],
            stdout=subprocess.PIPE,
            text=True,
            cwd=self.directory,
            env={**os.environ, **(environment or {})},
        )
        assert process.stdout is not None
        served = Served(json.loads(process.stdout.readline()), process)
        self._served.append(served)
        return served

    def run(self, served: Served, script: str) -> Script:
        """Start a client process."""
        lines = self.directory / f"script{len(self._scripts)}.out"
        self._scripts.append(Script(served, self.log, lines, script))
        return self._scripts[-1]

    def command(self, served: Served, *arguments: str) -> subprocess.Popen[str]:
        """Start a command of the command line."""
        return subprocess.Popen(
            [sys.executable, "-m", "keen_client", *arguments],
            env=served.environment(self.log),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.directory,
        )

    def send(self, served: Served) -> None:
        """Have another process send all that is left."""
        process = self.command(served, "send", "--json")
        out, err = process.communicate(timeout=HANGS_SECONDS)
        assert process.returncode == 0, (out, err)

    def logged(self, served: Served) -> set[str]:
        """The ids that lie in the log."""
        with served.client(self.log) as client:
            return {logged.id for logged in client.log.entries()}

    def arrived(self, served: Served, collection: str = "purchases") -> Counter[str]:
        """How often the server shows each id."""
        now = datetime.now(UTC)
        timeframe = {
            "start": (now - timedelta(days=2)).isoformat(),
            "end": (now + timedelta(days=2)).isoformat(),
        }
        with served.client(self.log) as client:
            events = client.extraction(collection, timeframe=timeframe, property_names=["kc.id"])
        return Counter(event["kc"]["id"] for event in events)

    def check_all_once(self, served: Served) -> set[str]:
        """What lies in the log is at the server, each event once, and nothing else; the ids."""
        arrived = self.arrived(served)
        logged = self.logged(served)
        assert {event_id: n for event_id, n in arrived.items() if n > 1} == {}, "doubled"
        assert logged - arrived.keys() == set(), "forgotten"
        assert arrived.keys() - logged == set(), "from nowhere"
        return logged

    def end(self) -> None:
        """Kill what still runs."""
        for script in self._scripts:
            script.kill()
        for served in self._served:
            served.stop()


@pytest.fixture
def arena(tmp_path: Path) -> Iterator[Arena]:
    """A log that nobody has used, and processes that end with the test."""
    arena = Arena(tmp_path)
    yield arena
    arena.end()


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """Where processes are born with everything imported, and the shim between them and the disk."""
    nursery = Nursery(shim.build(tmp_path_factory.mktemp("shim")))
    yield nursery
    nursery.end()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all the logs of a module."""
    arena = Arena(tmp_path_factory.mktemp("served"))
    yield arena.serve()
    arena.end()
