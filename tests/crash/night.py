"""``python -m tests.crash.night --kills 50``: kill a nightly job at random moments of faulty nights, and run it again.

Each time the server is slow and does some of this: it loses events, cuts lines
after it stored, answers with errors and with half answers. Some events are
recorded and not sent yet, and some that were sent are lost. In the end all is
there once.
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import attrs

from tests.crash.conftest import HANGS_SECONDS, Arena, Served

#: Events that are there before the first kill, and those that each further life of the job finds new.
EVENTS: Final = 1_500
EVENTS_A_NIGHT: Final = 60
#: What the server does wrong with events while the job is killed. They are not delayed: the preset
#: that is used believes what it sees at once.
FAULTS_OF_WRITES: Final = {"lose": 0.03, "lose-keep-token": 0.01, "cut-after-store": 0.1}
#: What it does wrong with answers besides, some of it in every second life: a read that fails ends most.
FAULTS_OF_READS: Final = {
    "http-500": 0.05,
    "html-502": 0.05,
    "truncated": 0.03,
    "reordered-rows": 0.1,
}
#: Every answer takes so long, so that a kill often meets a request under way.
SLOW: Final = "100ms"
#: Nights without faults until all is mended: a resend that its token swallowed takes two more runs.
CALM_NIGHTS_MAX: Final = 6
#: Lives of a job that end before the kill comes, for each that does not.
LIVES_PER_KILL_MAX: Final = 3


@attrs.define
class Tally:
    """What came of a campaign: kills, those of them with a replay run or a request under way, and events at the end."""

    job: str
    lives: int = 0
    kills: int = 0
    in_a_run: int = 0
    in_flight: int = 0
    resent: int = 0
    events: int = 0

    def __str__(self) -> str:
        """One line for people."""
        return (
            f"{self.job}: {self.kills} kills in {self.lives} lives, {self.in_a_run} of them with a replay run under way"
            f" and {self.in_flight} with events in flight; {self.resent:,} resends in all,"
            f" and of {self.events:,} events each is there once"
        )


def kill_often(arena: Arena, job: list[str], kills: int, chance: random.Random) -> Tally:
    """Kill *job* so often at random moments, then let nights end it.

    Raises:
        AssertionError: an event is there twice, or not at all.
    """
    tally = Tally(" ".join(job))
    served = arena.serve()
    windows = [*_around_now(), "--json"]
    with served.client(arena.log) as client:
        client.add_event("purchases", {"number": -1})
    _end(
        arena, served, ["nightly", *windows], (0,)
    )  # has seen that tokens are honoured: a replay asks for that
    _record(arena, served, EVENTS, is_sent=True)
    life_seconds = _life_of(arena, served, windows)
    while tally.kills < kills:
        assert tally.lives < kills * LIVES_PER_KILL_MAX, "the jobs end too soon to be killed"
        _record(arena, served, EVENTS_A_NIGHT, is_sent=True)
        if job[0] == "nightly":  # a replay sends nothing new, and resends nothing beside what is not sent yet
            _record(arena, served, EVENTS_A_NIGHT, is_sent=False)
        before = _last_run(arena)
        until_a_run = tally.lives % 2 == 1
        faults: dict[str, object] = {"slow": SLOW, **FAULTS_OF_WRITES}
        if not until_a_run:
            drawn = chance.sample(sorted(FAULTS_OF_READS), 2)
            faults |= {name: FAULTS_OF_READS[name] for name in drawn}
        served.change_faults(faults)
        process = arena.command(served, *job, *windows)
        _wait(arena, process, chance, life_seconds, until_a_run=until_a_run)
        is_alive = process.poll() is None
        process.kill()
        process.communicate()
        served.change_faults(dict.fromkeys(faults))
        tally.lives += 1
        if is_alive:
            tally.kills += 1
            tally.in_a_run += _is_under_way(arena, before + 1)
            tally.in_flight += _in_flight(arena) > 0
        assert max(arena.arrived(served).values()) == 1, f"doubled by life {tally.lives}"
    _mend(arena, served, windows)
    tally.resent = _resent(arena)
    tally.events = len(arena.check_all_once(served))
    return tally


def _record(arena: Arena, served: Served, events: int, *, is_sent: bool) -> None:
    """Record *events*; of those that are sent the server loses 2 %."""
    with served.client(arena.log, unknown="resend") as client:
        client.add_events({"purchases": [{"number": number} for number in range(events)]})
        if is_sent:
            served.change_faults({"lose": 0.02})
            assert client.flush().is_drained
            served.change_faults({"lose": None})


def _wait(
    arena: Arena,
    process: subprocess.Popen[str],
    chance: random.Random,
    life_seconds: float,
    *,
    until_a_run: bool,
) -> None:
    """Return at a random moment of the job's life, or soon after it began a replay run, or when it ended before."""
    if not until_a_run:
        deadline = time.monotonic() + chance.uniform(0.3, 1.0) * life_seconds
        while time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.001)
        return
    deadline, before = time.monotonic() + HANGS_SECONDS, _last_run(arena)
    while time.monotonic() < deadline and process.poll() is None:
        if _last_run(arena) > before:
            time.sleep(chance.uniform(0.0, 0.3))
            return
        time.sleep(0.001)


def _life_of(arena: Arena, served: Served, windows: list[str]) -> float:
    """How long a job lives here that only reads, and half as long again: about what one lives that resends."""
    began = time.monotonic()
    arena.command(served, "verify", *windows).communicate(timeout=HANGS_SECONDS)
    return (time.monotonic() - began) * 1.5


def _mend(arena: Arena, served: Served, windows: list[str]) -> None:
    """Nights without faults, until nothing is missing and nothing was resent."""
    for _ in range(CALM_NIGHTS_MAX):
        report = _end(arena, served, ["nightly", *windows], (0, 4, 64, 68))
        if not report["after"]["summary"]["missing"] and not report["replay"]["run"]:
            return
    raise AssertionError(f"{CALM_NIGHTS_MAX} calm nights did not mend it: {report['after']['summary']}")


def _end(arena: Arena, served: Served, job: list[str], statuses: tuple[int, ...]) -> dict[str, Any]:
    process = arena.command(served, *job)
    out, err = process.communicate(timeout=HANGS_SECONDS)
    assert process.returncode in statuses, (process.returncode, out[-1500:], err)
    document: dict[str, Any] = json.loads(out)
    return document


def _around_now() -> list[str]:
    """The window options of an hour on both sides of now, and for as long as a campaign takes."""
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    edges = [hour - timedelta(hours=1), hour + timedelta(hours=3)]
    return ["--start", edges[0].isoformat(), "--end", edges[1].isoformat(), "--preset", "immediate"]


def _count(arena: Arena, sql: str) -> int:
    with closing(sqlite3.connect(arena.log / "state.db")) as db:
        return int(db.execute(sql).fetchone()[0])


def _last_run(arena: Arena) -> int:
    """The number of the last replay run that was begun; 0 when there was none."""
    return _count(arena, "SELECT coalesce(max(run), 0) FROM runs")


def _is_under_way(arena: Arena, first: int) -> bool:
    """Whether a replay run from number *first* on was begun and not ended: earlier ones are another job's."""
    return _count(arena, f"SELECT count(*) FROM runs WHERE done_ms IS NULL AND run >= {first:d}") > 0


def _in_flight(arena: Arena) -> int:
    return _count(arena, "SELECT count(*) FROM ranges WHERE state = 'inflight'")


def _resent(arena: Arena) -> int:
    return _count(arena, "SELECT count(*) FROM run_entries")


def main(arguments: list[str]) -> int:
    """Run what is asked for; an AssertionError says what is not as it should be."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.night", description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="how often each job is killed")
    parser.add_argument("--job", choices=("nightly", "replay"), action="append", help="default: both")
    parser.add_argument("--seed", type=int, default=1, help="decides the moments")
    chosen = parser.parse_args(arguments)
    for name in chosen.job or ("nightly", "replay"):
        with tempfile.TemporaryDirectory() as directory:
            arena = Arena(Path(directory))
            began = time.monotonic()
            try:
                tally = kill_often(arena, JOBS[name], chosen.kills, random.Random(chosen.seed))
            finally:
                arena.end()
            sys.stdout.write(f"{tally} ({time.monotonic() - began:.0f} s)\n")
            sys.stdout.flush()
    return 0


#: The jobs by name, as the command line takes them.
JOBS: Final = {"nightly": ["nightly"], "replay": ["replay", "--yes"]}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
