"""What is measured on the way: memory, descriptors and open work, and what the log counts at the end."""

from __future__ import annotations

import sqlite3
import statistics
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

import attrs
import psutil  # type: ignore[import-untyped]

from tests.crash.soak.plan import Plan

#: So many samples of each process in the length of a run.
_SAMPLES: Final = 400
_LOG_SAMPLES: Final = 100
#: By so much a process may grow in a life: it keeps up to eight segments open, each with its cache and three files.
GROWTH_MAX_BYTES: Final = 24_000_000
GROWTH_MAX_DESCRIPTORS: Final = 24


@attrs.frozen
class Sample:
    """One process at one moment of the run: how old it is, its resident bytes, its open descriptors."""

    name: str
    pid: int
    at_seconds: float
    age_seconds: float
    rss_bytes: int
    descriptors: int


@attrs.frozen
class Spread:
    """Least, middle and most of some figures."""

    least: float
    middle: float
    most: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of *values*, of which there is at least one."""
        return cls(min(values), statistics.median(values), max(values), len(values))


class Samples:
    """Memory and descriptors of the processes, and the events whose outcome is unknown, over the run."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._next_seconds = 0.0
        self._next_log_seconds = 0.0
        self.of_processes: Final[list[Sample]] = []
        self.unknown: Final[list[int]] = []

    def take(self, processes: Iterable[tuple[str, int, float]]) -> None:
        """Look at *processes* (name, process id, born at) if it is time to."""
        now = self._plan.elapsed_seconds
        if now >= self._next_seconds:
            self._next_seconds = now + self._plan.seconds / _SAMPLES
            for name, pid, born_seconds in processes:
                with suppress(psutil.Error):
                    process = psutil.Process(pid)
                    rss = process.memory_info().rss
                    self.of_processes.append(
                        Sample(name, pid, now, now - born_seconds, rss, process.num_fds())
                    )
        if now >= self._next_log_seconds:
            self._next_log_seconds = now + self._plan.seconds / _LOG_SAMPLES
            with suppress(sqlite3.Error):
                self.unknown.append(_states(self._plan.directory / "log").get("unknown", 0))

    def quarters(self, name: str) -> tuple[list[Sample], list[Sample]]:
        """The samples of *name* in the first and in the last quarter of the run."""
        mine = [sample for sample in self.of_processes if sample.name == name]
        return _ends(mine, 0, self._plan.seconds)

    def longest_life(self, name: str) -> tuple[list[Sample], list[Sample]]:
        """The samples of the longest life of *name*, of its first and of its last quarter."""
        ages: dict[int, float] = {}
        for sample in self.of_processes:
            if sample.name == name:
                ages[sample.pid] = max(ages.get(sample.pid, 0.0), sample.age_seconds)
        if not ages:
            return [], []
        oldest = max(ages, key=lambda pid: ages[pid])
        mine = [sample for sample in self.of_processes if sample.pid == oldest and sample.name == name]
        return _ends(mine, mine[0].at_seconds, mine[-1].at_seconds)


def growth(name: str, life: tuple[list[Sample], list[Sample]]) -> list[str]:
    """What *name* leaks, if its life began and ended with these samples."""
    if not (life[0] and life[1]):
        return []
    rss, descriptors = (
        [statistics.median(getattr(sample, figure) for sample in end) for end in life]
        for figure in ("rss_bytes", "descriptors")
    )
    found = []
    if rss[1] - rss[0] > GROWTH_MAX_BYTES:
        found.append(f"{name} grew from {rss[0] / 1e6:.0f} to {rss[1] / 1e6:.0f} MB")
    if descriptors[1] - descriptors[0] > GROWTH_MAX_DESCRIPTORS:
        found.append(f"{name} grew from {descriptors[0]:.0f} to {descriptors[1]:.0f} descriptors")
    return found


def _ends(samples: Sequence[Sample], first: float, last: float) -> tuple[list[Sample], list[Sample]]:
    quarter = (last - first) / 4
    return (
        [sample for sample in samples if sample.at_seconds <= first + quarter],
        [sample for sample in samples if sample.at_seconds >= last - quarter],
    )


@attrs.frozen
class LogFigures:
    """What the log holds and counted, read from its files."""

    segments: int
    size_bytes: int
    states: dict[str, int]
    counters: dict[str, int]
    dead: dict[str, int]
    runs: int
    resent: int
    evidence: dict[str, int]


def read_log(directory: Path) -> LogFigures:
    """Read the log at *directory*, which nobody else uses."""
    with closing(sqlite3.connect(directory / "state.db")) as db:

        def pairs(sql: str) -> dict[str, int]:
            return {str(name): int(count) for name, count in db.execute(sql)}

        def count(sql: str) -> int:
            return int(db.execute(sql).fetchone()[0])

        return LogFigures(
            segments=count("SELECT count(*) FROM origins"),
            size_bytes=sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()),
            states=_states(directory),
            counters=pairs("SELECT name, value FROM counters"),
            dead=pairs("SELECT name || ' (' || status || ')', count(*) FROM dead_letters GROUP BY 1"),
            runs=count("SELECT count(*) FROM runs"),
            resent=count("SELECT count(*) FROM run_entries"),
            evidence=pairs("SELECT kind, count(*) FROM evidence GROUP BY kind"),
        )


def _states(directory: Path) -> dict[str, int]:
    """Events by their delivery state."""
    with closing(sqlite3.connect(f"file:{directory / 'state.db'}?mode=ro", uri=True)) as db:
        rows = db.execute("SELECT state, sum(seq_hi - seq_lo + 1) FROM ranges GROUP BY state").fetchall()
    return {str(state): int(count) for state, count in rows}


def lines_of_samples(samples: Samples, names: Sequence[str]) -> list[str]:
    """A table of memory and descriptors, for people and for a page of Markdown."""
    lines = [
        "| process | what | first quarter: min / median / max | last quarter: min / median / max |",
        "| --- | --- | ---: | ---: |",
    ]
    for name in names:
        life = samples.longest_life(name)
        age_seconds = life[1][-1].age_seconds if life[1] else 0.0
        for title, ends in (
            (name, samples.quarters(name)),
            (f"{name}, its longest life ({age_seconds:.0f} s)", life),
        ):
            if not (ends[0] and ends[1]):
                continue
            memory = [Spread.of([sample.rss_bytes / 1e6 for sample in end]) for end in ends]
            files = [Spread.of([sample.descriptors for sample in end]) for end in ends]
            lines.append(f"| {title} | resident, MB | {_told(memory[0])} | {_told(memory[1])} |")
            lines.append(f"| {title} | descriptors | {_told(files[0])} | {_told(files[1])} |")
    return lines


def _told(spread: Spread) -> str:
    return f"{spread.least:.0f} / {spread.middle:.0f} / {spread.most:.0f}"


def tracebacks(directory: Path) -> list[str]:
    """The outputs in *directory* that show a traceback, which none ever should, with the last line of each."""
    found = []
    for path in sorted(directory.glob("*.err")):
        text = path.read_text(errors="replace")
        if "Traceback (most recent call last)" in text:
            found.append(f"{path.name}: {text.strip().splitlines()[-1][:200]}")
    return found


def night_figures(document: dict[str, Any]) -> dict[str, Any]:
    """What a report of ``nightly --json`` comes to."""
    before, after = document["before"]["summary"], document["after"]["summary"]
    return {
        "sent": document["send"]["acknowledged"],
        "missing": before["missing"],
        "replayed": document["replay"]["replayed"],
        "missing_after": after["missing"],
        "duplicate": after["duplicate"],
        "states": after["states"],
        "requests": document["before"]["cost"]["requests"] + document["after"]["cost"]["requests"],
        "exit": document["exit"],
    }
