"""``python -m tests.bench.peers install DIR`` and ``… run DIR``: this client and the others, side by side.

``install`` makes a virtual environment with the pinned versions of
requirements.txt; ``run`` measures and prints the table, and with ``--write`` puts it
into docs/explanation/evidence.md.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import attrs

from keen_client._foundation.clock import SystemClock, ms_to_day
from tests.bench.peers.counting_sink import Counts
from tests.bench.peers.running import OWN, measure
from tests.bench.peers.scenarios import SCENARIOS, Outcome, Scenario
from tests.bench.peers.table import NAMES, plain, section, with_section
from tests.bench.rounds import machine

PAGE: Final = Path(__file__).parents[3] / "docs" / "explanation" / "evidence.md"
REQUIREMENTS: Final = Path(__file__).with_name("requirements.txt")
#: Peer -> the package whose version is told.
PACKAGES: Final = {
    "keen": "keen",
    "segment": "segment-analytics-python",
    "posthog": "posthog",
    "snowplow": "snowplow-tracker",
    "mixpanel": "mixpanel",
    "amplitude": "amplitude-analytics",
    "rudder": "rudder-sdk-python",
    "sentry": "sentry-sdk",
    "otel": "opentelemetry-sdk",
}
#: Programs that mostly wait, run at once.
_AT_ONCE: Final = 8


def install(directory: Path) -> None:
    """An environment with the peers in it, in *directory*, which it replaces where it is one already."""
    if directory.exists() and not (directory / "pyvenv.cfg").is_file():
        raise SystemExit(f"{directory} is there already, and no virtual environment")
    shutil.rmtree(directory, ignore_errors=True)
    venv.create(directory, with_pip=True)
    python = directory / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", REQUIREMENTS], check=True)


def versions(python: Path) -> dict[str, str]:
    """Peer -> the version that is installed."""
    program = "import importlib.metadata, json, sys; print(json.dumps([importlib.metadata.version(n) for n in sys.argv[1:]]))"
    done = subprocess.run(
        [python, "-c", program, *PACKAGES.values()], check=True, capture_output=True, text=True
    )
    own = {OWN: importlib.metadata.version("keen-client")}
    return own | dict(zip(PACKAGES, json.loads(done.stdout), strict=True))


def run(
    scenarios: Sequence[Scenario], peers: Sequence[str], rounds: int, python: Path, directory: Path | None
) -> Iterator[Outcome]:
    """Each scenario for each peer, once a round; the peers in a turned order."""
    jobs = [
        (scenario, peer)
        for number in range(rounds)
        for scenario in scenarios
        for peer in [*peers[number % len(peers) :], *peers[: number % len(peers)]]
    ]

    def one(job: tuple[Scenario, str]) -> Outcome:
        scenario, peer = job
        return measure(scenario, peer, sys.executable if peer == OWN else str(python), directory)

    yield from map(one, [job for job in jobs if job[0].runs_alone])
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield from pool.map(one, [job for job in jobs if not job[0].runs_alone])


def read_outcome(found: dict[str, Any]) -> Outcome:
    """An outcome from its JSON document."""
    counts = {name: Counts(**found.pop(name)) for name in ("at_exit", "at_last")}
    return Outcome(**{**found, **counts, "dead_letters": tuple(found["dead_letters"])})


class Results:
    """What was measured, on what and when: a file of JSON lines, where one is named, that a later run goes on from."""

    def __init__(self, path: Path | None, head: dict[str, Any]) -> None:
        self._path = path
        self.outcomes: list[Outcome] = []
        self.head = head
        if path is not None and path.exists():
            first, *lines = path.read_text(encoding="utf-8").splitlines()
            self.head = json.loads(first)
            self.outcomes += (read_outcome(json.loads(line)) for line in lines)
        else:
            self._keep(head)

    def add(self, outcome: Outcome) -> None:
        """Keep one more, and show it."""
        self.outcomes.append(outcome)
        self._keep(attrs.asdict(outcome))

    def _keep(self, document: dict[str, Any]) -> None:
        line = json.dumps(document)
        sys.stderr.write(f"{line}\n")
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as results:
                results.write(f"{line}\n")


def _chosen(given: str | None, known: Sequence[str], what: str) -> list[str]:
    names = list(known) if given is None else given.split(",")
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"no such {what}: {', '.join(unknown)}; there are: {', '.join(known)}")
    return names


def main() -> None:
    """Install, or run."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.peers", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    installing = commands.add_parser("install", help="make the environment of the peers")
    installing.add_argument("environment", type=Path)
    running = commands.add_parser("run", help="measure, and print the table")
    running.add_argument("environment", type=Path, help="where install has put the peers")
    running.add_argument("--rows", help=f"some of: {','.join(scenario.key for scenario in SCENARIOS)}")
    running.add_argument("--peers", help=f"some of: {','.join(NAMES)}")
    running.add_argument("--rounds", type=int, default=3, help="0: show again what --results holds")
    running.add_argument("--directory", type=Path, help="a directory on the disk to measure")
    running.add_argument(
        "--results", type=Path, help="outcomes to go on from, one a line; new ones are added"
    )
    running.add_argument(
        "--write", action="store_true", help="put the table into docs/explanation/evidence.md"
    )
    given = parser.parse_args()
    if given.command == "install":
        install(given.environment)
        return
    rows = _chosen(given.rows, [scenario.key for scenario in SCENARIOS], "row")
    peers = _chosen(given.peers, list(NAMES), "peer")
    python = given.environment / "bin" / "python"
    where = machine((given.directory or Path(tempfile.gettempdir())).resolve()).rpartition("; ")[0]
    head = {"machine": where, "day": ms_to_day(SystemClock().wall_ms()), "versions": versions(python)}
    results = Results(given.results, head)
    scenarios = [scenario for scenario in SCENARIOS if scenario.key in rows]
    for outcome in run(scenarios, peers, given.rounds, python, given.directory):
        results.add(outcome)
    text = section(results.outcomes, **results.head)
    sys.stdout.write(plain(text) + "\n")
    if given.write:
        PAGE.write_text(with_section(PAGE.read_text(encoding="utf-8"), text), encoding="utf-8")


if __name__ == "__main__":
    main()
