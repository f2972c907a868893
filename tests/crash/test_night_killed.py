"""The nightly job and the replay are killed at any moment and run again: what was lost is resent once."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.crash.conftest import Arena, Served

EVENTS = 5_000
JOB_KILLS = 10


def around_now() -> list[str]:
    """The window options of an hour on both sides of now."""
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    edges = [hour - timedelta(hours=1), hour + timedelta(hours=2)]
    return ["--start", edges[0].isoformat(), "--end", edges[1].isoformat(), "--preset", "immediate"]


def lose_some(arena: Arena, served: Served, events: int) -> None:
    """Record and send *events*, of which the server loses 2 %."""
    served.change_faults({"lose": 0.02})
    with served.client(arena.log, unknown="resend") as client:
        client.add_events({"purchases": [{"number": number} for number in range(events)]})
        assert client.flush().is_drained
    served.change_faults({"lose": None})


def unfinished_runs(arena: Arena) -> int:
    """Replay runs that were begun and not ended."""
    with closing(sqlite3.connect(arena.log / "state.db")) as db:
        return int(db.execute("SELECT count(*) FROM runs WHERE done_ms IS NULL").fetchone()[0])


def moment_of_a_kill(
    arena: Arena,
    process: subprocess.Popen[str],
    chance: random.Random,
    life_seconds: float,
    *,
    in_a_run: bool,
) -> bool:
    """Return at a random moment of the job's life, or soon after it began a replay run; True when it ended before."""
    deadline = time.monotonic() + (60.0 if in_a_run else chance.uniform(0.3, 1.0) * life_seconds)
    runs = unfinished_runs(arena)
    while time.monotonic() < deadline and process.poll() is None:
        if in_a_run and unfinished_runs(arena) > runs:
            time.sleep(chance.uniform(0.0, 0.03))
            break
        time.sleep(0.001)
    return process.poll() is not None


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("job", [["nightly"], ["replay", "--yes"]], ids=["nightly", "replay"])
def test_job_killed_ten_times_resends_each_lost_event_once(arena: Arena, job: list[str], seed: int) -> None:
    """Ten kills at random moments of a job's life, new losses before each; then a night ends it: all is there once."""
    chance = random.Random(seed)
    served = arena.serve()
    windows = [*around_now(), "--json"]
    if job[0] == "replay":  # it does not probe: a night before it has seen that tokens are honoured
        with served.client(arena.log) as client:
            client.add_event("purchases", {"number": -1})
        night = arena.command(served, "nightly", *windows)
        out, err = night.communicate()
        assert night.returncode == 0, (out[-1500:], err)
    lose_some(arena, served, EVENTS)
    assert 0 < len(arena.logged(served)) - sum(arena.arrived(served).values()) < EVENTS // 10
    began = time.monotonic()
    arena.command(served, "verify", *windows).communicate()
    life_seconds = (time.monotonic() - began) * 1.5
    kills = in_a_run = known_runs = 0
    for number in range(JOB_KILLS):
        process = arena.command(served, *job, *windows)
        ended = moment_of_a_kill(arena, process, chance, life_seconds, in_a_run=number % 2 == 1)
        before = unfinished_runs(arena)
        process.kill()
        process.communicate()
        kills += not ended
        in_a_run += before > known_runs
        known_runs = before
        assert max(arena.arrived(served).values()) == 1, "doubled"
        lose_some(arena, served, 200)
    for again in ([*job], ["nightly"]):
        process = arena.command(served, *again, *windows)
        out, err = process.communicate()
        assert process.returncode in ((0,) if again == ["nightly"] else (0, 64)), (out[-1500:], err)
    assert json.loads(out)["after"]["summary"]["missing"] == 0
    there = arena.check_all_once(served)
    assert len(there) >= EVENTS + JOB_KILLS * 200
    print(
        f"\n{job[0]} killed {kills} times in {JOB_KILLS} runs, {in_a_run} of them with a replay run under way;"
        f" {len(there):,} events, each there once"
    )
