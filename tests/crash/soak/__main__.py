"""``python -m tests.crash.soak``: record a million events while every process is killed again and again, and judge.

Writers, senders, nightly jobs and the server are real processes over one log;
each that is killed is started again at once. The server loses, doubles, delays
and cuts meanwhile. Then the faults end, three nights pass (the processes'
clocks are put forward by 25 hours each), and a judge that reads the server's
own files says whether every receipt is there exactly once.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import secrets
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from keen_client._foundation.clock import MS_PER_HOUR
from keen_client.client.settings import ENVIRONMENT
from tests.crash.soak.crowd import Crowd
from tests.crash.soak.figures import LogFigures, growth, lines_of_samples, night_figures, read_log, tracebacks
from tests.crash.soak.judge import Verdict, accounts, judge, stored_events
from tests.crash.soak.plan import Plan
from tests.crash.soak.roles import (
    NIGHTLY,
    SENDERS,
    SERVER,
    WITNESS,
    import_all,
    record_first,
    run_command,
)

#: A window rests for 24 hours after its last send before a night concludes anything from it, and a
#: loss takes three nights: noticed, resent, confirmed.
NIGHTS: Final = 3
NIGHTS_APART_MS: Final = 25 * MS_PER_HOUR


@attrs.frozen
class Outcome:
    """What a soak came to; ``nights`` are the figures of the calm nights, ``days`` those of the jobs before."""

    verdict: Verdict
    log: LogFigures
    nights: list[dict[str, Any]]
    days: list[dict[str, Any]]
    troubles: list[str]

    @property
    def is_clean(self) -> bool:
        """Nothing lost, doubled, altered, invented or given up; nothing left open; no process met a bug or leaked."""
        left = self.log.states.keys() - {"acknowledged"}
        return not (
            self.verdict.faults or left or self.log.dead or self.troubles or self.nights[-1]["missing_after"]
        )


def soak(plan: Plan, kills: int) -> tuple[Crowd, Outcome]:
    """Run one soak in the folder of *plan*.

    Raises:
        AssertionError: a process hung, or the server did not start.
    """
    master_key = _enter(plan)
    import_all()
    crowd = Crowd(plan, master_key)
    try:
        return crowd, _run(crowd, plan, kills)
    finally:
        crowd.disperse()


def _run(crowd: Crowd, plan: Plan, kills: int) -> Outcome:
    assert crowd.call(lambda: record_first(plan), "first") == 0
    # Has seen that tokens are honoured before anything goes wrong: replays within the run ask for that.
    server = crowd.serve(lambda: run_command(plan.serve()))
    assert crowd.call(lambda: run_command(["nightly", "--json", "--preset", "immediate"]), "probe") == 0
    crowd.end_server(server)
    crowd.rage(kills, _tell)
    _tell(f"killed {crowd.record.killed.total():,} times; now {NIGHTS} nights without faults")
    nights = [_night(crowd, plan, number) for number in range(1, NIGHTS + 1)]
    windows = [window for night in nights for window in night["after"]["windows"]]
    named = {event_id for window in windows for event_id in window["duplicate"]}
    verdict = judge(accounts(plan.ledgers), stored_events(plan.directory / "server"), named)
    return Outcome(
        verdict=verdict,
        log=read_log(plan.directory / "log"),
        nights=[night_figures(night) for night in nights],
        days=[night_figures(json.loads(text)) for text in _outputs(crowd, NIGHTLY)],
        troubles=[
            *tracebacks(crowd.outputs),
            *crowd.record.failed,
            *(
                leak
                for name in (*SENDERS, WITNESS)
                for leak in growth(name, crowd.samples.longest_life(name))
            ),
        ],
    )


def _enter(plan: Plan) -> str:
    """Make the folders and the project, for this process and all that are forked from it; the master key."""
    for name in ("ledgers", "outputs", "server"):
        (plan.directory / name).mkdir(parents=True)
    keys = {name: secrets.token_hex(32).upper() for name in ("write_key", "read_key", "master_key")}
    settings = {
        **keys,
        "project_id": secrets.token_hex(12),
        "base_url": f"http://127.0.0.1:{plan.port}",
        "log": str(plan.directory / "log"),
    }
    os.environ.update({ENVIRONMENT[name]: value for name, value in settings.items()})
    return keys["master_key"]


def _night(crowd: Crowd, plan: Plan, number: int) -> dict[str, Any]:
    """One night with all clocks put forward: server and nightly job, both without faults."""
    ahead_ms = number * NIGHTS_APART_MS
    server = crowd.serve(lambda: run_command(plan.serve(), ahead_ms))
    name = f"night-{number}"
    status = crowd.call(lambda: run_command(["nightly", "--json"], ahead_ms), name)
    crowd.end_server(server)
    document: dict[str, Any] = json.loads((crowd.outputs / f"{name}.out").read_text())
    if "after" not in document:
        raise AssertionError(f"night {number} ended with {status}: {document}")
    _tell(f"night {number}: {night_figures(document)}")
    return document


def _outputs(crowd: Crowd, name: str) -> list[str]:
    """The documents of the lives of *name* that came to their end."""
    texts = [path.read_text() for path in sorted(crowd.outputs.glob(f"{name}.*.out"))]
    return [text for text in texts if text.endswith("\n") and '"after"' in text]


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def report(crowd: Crowd, outcome: Outcome) -> list[str]:
    """The lines of the report, in Markdown."""
    verdict, log, record = outcome.verdict, outcome.log, crowd.record
    queries, replayed = (sum(day[name] for day in outcome.days) for name in ("requests", "replayed"))
    lines = [
        f"killed: {record.killed.total():,} ({_counts(record.killed)})",
        f"killed while they recorded: {record.in_a_call.total():,} ({_counts(record.in_a_call)})",
        f"started: {_counts(record.started)}",
        f"ended by themselves (name, exit status): {_counts(record.ended)}",
        f"faults that struck, at least: {_counts(record.struck)}",
        f"receipts: {verdict.receipts:,}",
        f"said by keen-client record to be recorded: {verdict.promised:,}",
        f"recorded by writers that were killed before they could tell: {verdict.unreceipted:,}",
        f"rows at the server: {verdict.rows:,}; by a second or later send: {verdict.resent:,}",
        f"lost: {verdict.lost.count:,}",
        f"doubled by the client: {verdict.doubled.count:,}",
        f"altered: {verdict.altered.count:,}",
        f"recorded by nobody: {verdict.foreign.count:,}",
        f"doubled by the server and named: {verdict.server_copies:,}; not named: {verdict.unnamed.count:,}",
        f"dead letters: {_counts(log.dead) or 'none'}",
        f"events by state: {_counts(log.states)}",
        f"log: {log.size_bytes / 1e6:,.0f} MB in {log.segments:,} segments",
        f"write requests: {log.counters.get('batches', 0):,}",
        f"replay runs: {log.runs:,} with {log.resent:,} events",
        f"evidence: {_counts(log.evidence)}",
        f"unknown at one moment of the run, at most: {max(crowd.samples.unknown, default=0):,}",
        f"nightly jobs of the run that came to their end: {len(outcome.days)} with {queries:,} queries and {replayed:,} replays",
    ]
    lines += [f"night {number}: {night}" for number, night in enumerate(outcome.nights, start=1)]
    lines += ["", *lines_of_samples(crowd.samples, [*SENDERS, SERVER, WITNESS])]
    for name, finding in verdict.faults.items():
        lines += ["", f"{name.upper()} {finding.count:,}", *finding.some]
    if outcome.troubles:
        lines += ["", "TROUBLES", *outcome.troubles]
    return lines


def _counts(counts: Any) -> str:
    return ", ".join(
        f"{' '.join(map(str, k)) if isinstance(k, tuple) else k} {n:,}" for k, n in sorted(counts.items())
    )


def free_port() -> int:
    """A port of loopback that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for; 1 when anything is not as it should be."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="how long events are recorded")
    parser.add_argument("--kills", type=int, default=1_000, help="how often a process is killed")
    parser.add_argument("--events", type=int, default=1_000_000, help="how many receipts, at least")
    parser.add_argument("--seed", type=int, default=1, help="decides the moments and the faults")
    parser.add_argument("--keep", type=Path, help="a new folder for log, server and ledgers, which stays")
    chosen = parser.parse_args(arguments)
    directory = chosen.keep or Path(tempfile.mkdtemp())
    plan = Plan(
        directory=directory,
        events=chosen.events,
        seconds=chosen.minutes * 60,
        seed=chosen.seed,
        port=free_port(),
        began_ms=time.time_ns() // 1_000_000,
        began_seconds=time.monotonic(),
    )
    _tell(
        f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} CPUs, seed {plan.seed}"
    )
    try:
        crowd, outcome = soak(plan, chosen.kills)
        for line in report(crowd, outcome):
            _tell(line)
    finally:
        if not chosen.keep:
            shutil.rmtree(directory)
    _tell("CLEAN" if outcome.is_clean else "NOT CLEAN")
    return 0 if outcome.is_clean else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
