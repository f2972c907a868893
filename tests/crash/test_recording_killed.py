"""Recording processes are killed, forked and cut short: acknowledged is on disk, and no number means two things."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path

import pytest

from keen_client.eventlog.directory import LogDirectory
from keen_client.eventlog.segment import SegmentReader, list_segments

PROLOGUE = """
import ctypes, os, resource, signal, sys, threading, warnings
from pathlib import Path
from keen_client._foundation.clock import SystemClock
from keen_client._foundation.randomness import SystemRandomness
from keen_client.eventlog.config import LogConfig
from keen_client.eventlog.directory import Binding
from keen_client.eventlog.log import EventLog
from keen_client.events.encoding import encode_event

warnings.simplefilter("ignore")
who = sys.argv[3]
log = EventLog(
    Path(sys.argv[1]),
    Binding("https://api.keen.io", "project-1"),
    LogConfig(durability=sys.argv[2], reserve_bytes=100_000),
    SystemClock(),
    SystemRandomness(),
)

def record(number):
    # One write of one line: whole in the file or not at all, and only after the receipt.
    receipt = log.record(encode_event("purchases", {"who": who, "number": number}))
    os.write(1, f"{receipt.id} {who} {number}\\n".encode())

def record_all(numbers):
    receipts = log.record_all([encode_event("purchases", {"who": who, "number": n}) for n in numbers])
    os.write(1, "".join(f"{r.id} {who} {n}\\n" for r, n in zip(receipts, numbers)).encode())
"""

DURABILITIES = ["full", "normal"]


class Recording:
    """A recording subprocess whose receipts go to a file."""

    def __init__(self, log: Path, durability: str, who: str, script: str) -> None:
        self.receipts = log.parent / f"receipts-{who}"
        with self.receipts.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PROLOGUE + textwrap.dedent(script), str(log), durability, who],
                stdin=subprocess.PIPE,
                stdout=out,
            )

    def wait_for(self, lines: int) -> None:
        """Return when so many receipts were given."""
        while self.receipts.read_bytes().count(b"\n") < lines:
            assert self.process.poll() is None, "the recording process ended early"
            time.sleep(0.002)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def end(self) -> None:
        self.process.communicate()
        assert self.process.returncode == 0


def acknowledged(log: Path) -> list[tuple[str, str]]:
    """(id, body) of every receipt that was given; each id once."""
    lines = [line for path in log.parent.glob("receipts-*") for line in path.read_text().splitlines()]
    pairs = []
    for line in lines:
        event_id, who, number = line.split()
        pairs.append((event_id, f'{{"who":"{who}","number":{number}}}'))
    assert max(Counter(event_id for event_id, _ in pairs).values()) == 1, "one number for two events"
    return pairs


def on_disk(log: Path) -> dict[str, str]:
    """What a fresh process finds; in each segment dense from 1."""
    found: dict[str, str] = {}
    directory = LogDirectory(log)
    for name in list_segments(directory.segments):
        reader = SegmentReader(directory.segments, name)
        assert reader.connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        entries = list(reader.entries(1, 2**62))
        reader.close()
        assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
        found.update((str(entry.id), entry.body) for entry in entries)
    return found


def check(log: Path, *, in_hand: int = 0) -> None:
    """Every receipt is a row with its own content; at most *in_hand* rows have none, and no event is twice."""
    receipts, rows = acknowledged(log), on_disk(log)
    missing = [pair for pair in receipts if rows.get(pair[0]) != pair[1]]
    assert missing == []
    assert len(receipts) <= len(rows) <= len(receipts) + in_hand
    assert max(Counter(rows.values()).values()) == 1


@pytest.mark.parametrize("durability", DURABILITIES)
def test_receipts_of_a_killed_process_are_rows(tmp_path: Path, durability: str, seed: int) -> None:
    """SIGKILL at any moment, again and again; the next process goes on without giving a number twice."""
    chance = random.Random(seed)
    log = tmp_path / "log"
    for life in range(4):
        recording = Recording(
            log, durability, f"life{life}", "n = 0\nwhile True:\n    record(n)\n    n += 1\n"
        )
        recording.wait_for(1 + chance.randrange(400))
        recording.kill()
    check(log, in_hand=4)


@pytest.mark.parametrize("durability", DURABILITIES)
def test_batches_of_a_killed_process_are_whole_or_absent(tmp_path: Path, durability: str, seed: int) -> None:
    """All or nothing holds at every instruction."""
    chance = random.Random(seed)
    log = tmp_path / "log"
    recording = Recording(
        log,
        durability,
        "batches",
        "n = 0\nwhile True:\n    record_all(range(n, n + 700))\n    n += 700\n",
    )
    recording.wait_for(700 * (1 + chance.randrange(8)))
    recording.kill()
    check(log, in_hand=700)
    assert len(on_disk(log)) % 700 == 0


@pytest.mark.parametrize("durability", DURABILITIES)
def test_threads_of_a_killed_process_lose_no_receipt(tmp_path: Path, durability: str) -> None:
    """Groups of callers that share a commit, killed in the middle."""
    log = tmp_path / "log"
    recording = Recording(
        log,
        durability,
        "threads",
        """
        def work(base):
            n = base
            while True:
                record(n)
                n += 1
        for base in range(0, 8_000_000, 1_000_000):
            threading.Thread(target=work, args=(base,)).start()
        """,
    )
    recording.wait_for(500)
    recording.kill()
    check(log, in_hand=8)


@pytest.mark.parametrize("durability", DURABILITIES)
def test_processes_on_one_log_lose_and_double_nothing(tmp_path: Path, durability: str) -> None:
    """Three record at once into the shared segment, one of them is killed."""
    log = tmp_path / "log"
    recordings = [
        Recording(log, durability, f"p{number}", "for n in range(300): record(n)\n") for number in range(2)
    ]
    victim = Recording(log, durability, "victim", "n = 0\nwhile True:\n    record(n)\n    n += 1\n")
    victim.wait_for(50)
    victim.kill()
    for recording in recordings:
        recording.end()
    check(log, in_hand=1)
    assert len(list_segments(LogDirectory(log).segments)) == 1


@pytest.mark.parametrize("durability", DURABILITIES)
@pytest.mark.parametrize(
    "fork", ["os.fork()", "ctypes.PyDLL(None).fork()"], ids=["Python's fork", "C's fork"]
)
def test_child_forked_from_a_recording_parent_keeps_its_receipts_when_the_parent_closes(
    tmp_path: Path, durability: str, fork: str
) -> None:
    """SQLite in the child believes it holds its parent's locks; the parent's last close must not take the WAL."""
    log = tmp_path / "log"
    recording = Recording(
        log,
        durability,
        "family",
        f"""
        record(0)
        to_child, to_parent = os.pipe(), os.pipe()
        pid = {fork}
        if pid == 0:
            record(1)
            os.write(to_parent[1], b".")
            os.read(to_child[0], 1)
            for n in range(2, 30):
                record(n)
            os._exit(0)
        os.read(to_parent[0], 1)
        record(100)
        log.close()
        record(101)
        os.write(to_child[1], b".")
        for n in range(102, 130):
            record(n)
        log.close()
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        """,
    )
    recording.end()
    check(log)
    assert len(acknowledged(log)) == 60


@pytest.mark.parametrize("durability", DURABILITIES)
@pytest.mark.parametrize(
    "fork", ["os.fork()", "ctypes.PyDLL(None).fork()"], ids=["Python's fork", "C's fork"]
)
def test_killed_child_and_killed_parent_keep_the_other_s_receipts(
    tmp_path: Path, durability: str, fork: str
) -> None:
    """Whoever dies, the other records on."""
    log = tmp_path / "log"
    recording = Recording(
        log,
        durability,
        "family",
        f"""
        record(0)
        def live(base, end):
            for n in range(base, end):
                record(n)
        first = {fork}
        if first == 0:
            live(1_000, 1_000_000)
        live(1, 100)
        os.kill(first, signal.SIGKILL)
        os.waitpid(first, 0)
        second = {fork}
        if second == 0:
            live(1_000_000, 1_000_200)
            os._exit(0)
        live(100, 150)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
    )
    recording.process.communicate()
    assert recording.process.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 60
    while " 1000199\n" not in recording.receipts.read_text() and time.monotonic() < deadline:
        time.sleep(0.01)
    check(log, in_hand=1)
    numbers = {int(line.split()[2]) for line in recording.receipts.read_text().splitlines()}
    assert set(range(150)) <= numbers
    assert set(range(1_000_000, 1_000_200)) <= numbers


def test_child_of_a_python_fork_goes_on_in_its_parent_s_segment(tmp_path: Path) -> None:
    """The hook closes the file first, so that workers of one parent share it."""
    log = tmp_path / "log"
    recording = Recording(
        log,
        "full",
        "family",
        """
        record(0)
        for child in range(3):
            pid = os.fork()
            if pid == 0:
                record(10 + child)
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        record(1)
        """,
    )
    recording.end()
    check(log)
    assert len(list_segments(LogDirectory(log).segments)) == 1


def test_fork_in_the_middle_of_other_threads_recording_leaves_both_usable(tmp_path: Path) -> None:
    """Locks held by threads that do not exist in the child are not waited for."""
    log = tmp_path / "log"
    recording = Recording(
        log,
        "full",
        "family",
        """
        stop = threading.Event()
        def work(base):
            n = base
            while not stop.is_set():
                record(n)
                n += 1
        threads = [threading.Thread(target=work, args=(base,)) for base in (1_000_000, 2_000_000)]
        for thread in threads:
            thread.start()
        for child in range(6):
            pid = os.fork()
            if pid == 0:
                record(child)
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        stop.set()
        for thread in threads:
            thread.join()
        """,
    )
    recording.end()
    check(log)


def test_write_that_the_operating_system_refuses_leaves_receipts_true(tmp_path: Path) -> None:
    """A limit on file sizes is a real I/O error at commit: what was given a receipt is there, the rest is not doubled."""
    log = tmp_path / "log"
    recording = Recording(
        log,
        "full",
        "limited",
        """
        from keen_client.errors import EventLogError
        for n in range(20):
            record(n)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        for limit in (200_000, 150_000, 120_000):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            for n in range(limit, limit + 100):
                try:
                    record(n)
                except EventLogError:
                    pass
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        for n in range(20, 30):
            record(n)
        """,
    )
    recording.end()
    check(log, in_hand=6)
    numbers = {int(line.split()[2]) for line in recording.receipts.read_text().splitlines()}
    assert set(range(30)) <= numbers


def test_wal_cut_anywhere_gives_a_prefix(tmp_path: Path, seed: int) -> None:
    """What a power loss may leave of the last moments: whole commits from the start, never a hole or a half."""
    log = tmp_path / "log"
    recording = Recording(log, "normal", "cut", "for n in range(200): record(n)\nos.kill(os.getpid(), 9)\n")
    recording.process.communicate()
    (name,) = list_segments(LogDirectory(log).segments)
    database = name.path_in(LogDirectory(log).segments)
    wal = Path(f"{database}-wal")
    size = wal.stat().st_size
    assert size > 100_000
    whole = on_disk_of(database, tmp_path / "whole", size)
    assert len(whole) == 200
    chance = random.Random(seed)
    offsets = [0, 1, 31, 32, size - 1, *(chance.randrange(size) for _ in range(40))]
    counts = []
    for offset in sorted(offsets):
        rows = on_disk_of(database, tmp_path / f"cut{offset}", offset)
        assert rows == whole[: len(rows)]
        counts.append(len(rows))
    assert counts == sorted(counts)
    assert counts[0] == 0
    assert counts[-1] == 199


def on_disk_of(database: Path, copy: Path, wal_bytes: int) -> list[tuple[int, str]]:
    """The rows of a copy of *database* whose WAL was cut to *wal_bytes*."""
    copy.mkdir(exist_ok=True)
    target = copy / database.name
    shutil.copy(database, target)
    shutil.copy(f"{database}-wal", f"{target}-wal")
    os.truncate(f"{target}-wal", wal_bytes)
    connection = sqlite3.connect(target)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    rows = connection.execute("SELECT seq, body FROM entries ORDER BY seq").fetchall()
    connection.close()
    return rows
