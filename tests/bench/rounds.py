"""Rounds: every case once a round in a turned order, the event they all use, and what a table row says."""

from __future__ import annotations

import gc
import os
import platform
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

#: (elapsed, CPU time of the process), in seconds an event.
Timed = tuple[float, float]
Case = Callable[[], Timed]


def event(number: int) -> dict[str, Any]:
    """An event of 15 properties; some 370 bytes as JSON."""
    return {
        "item": {
            "sku": f"SKU-{number % 1_000_000:06d}",
            "name": "Golden Gate T-shirt",
            "price": 19.99,
            "currency": "USD",
            "qty": 2,
        },
        "user": {"id": f"u_{number * 7919 % 10_000_000:08d}", "plan": "pro", "country": "NZ"},
        "session": {
            "id": "0f8fad5b-d9cb-469f-a165-70867728950e",
            "page": "/checkout/confirm",
            "referrer": "https://example.com/cart",
        },
        "total": 39.98,
        "discount": 0.15,
        "coupon": "SPRING25",
        "first_purchase": False,
        "tags": ["web", "promo"],
    }


@attrs.frozen
class Result:
    """One case: medians in microseconds an event, and its speed as a share of the baseline's in the same round."""

    name: str
    micros: float
    ratio: float
    cpu_micros: float
    cpu_ratio: float


def interleave(cases: Mapping[str, Case], rounds: int) -> list[Result]:
    """Run each case once a round; the first is the baseline."""
    names = list(cases)
    seen: dict[str, list[Timed]] = {name: [] for name in names}
    for number in range(rounds + 1):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            gc.collect()
            seconds = cases[name]()
            if number:  # the first round warms up
                seen[name].append(seconds)
    results = []
    for name in names:
        figures: list[float] = []
        for kind in range(2):
            pairs = zip(seen[names[0]], seen[name], strict=True)
            ratio = statistics.median(base[kind] / own[kind] for base, own in pairs)
            figures += [statistics.median(own[kind] for own in seen[name]) * 1e6, ratio]
        results.append(Result(name, *figures))
    return results


def timed(work: Callable[[], object], events: int) -> Timed:
    """What *work* takes for each of *events*."""
    started, cpu = time.perf_counter(), time.process_time()
    work()
    return (time.perf_counter() - started) / events, (time.process_time() - cpu) / events


def table(title: str, note: str, results: list[Result]) -> str:
    """A Markdown section."""
    lines = [
        f"## {title}",
        "",
        note,
        "",
        "| case | us an event | of the baseline's speed | CPU us an event | of the baseline's, by CPU |",
        "|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {r.name}{' (baseline)' if not index else ''} | {r.micros:,.1f} | {r.ratio:.2f}"
        f" | {r.cpu_micros:,.1f} | {r.cpu_ratio:.2f} |"
        for index, r in enumerate(results)
    ]
    return "\n".join([*lines, ""])


def machine(directory: Path) -> str:
    """What the figures were measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{os.cpu_count()} cores, {memory / 2**30:.0f} GiB, {platform.system()} "
        f"{platform.machine()}, {_filesystem(directory)}; {platform.python_implementation()} {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}; load when it began: {load}; `{' '.join(['python -m tests.bench', *sys.argv[1:]])}`"
    )


def _filesystem(directory: Path) -> str:
    """The kind of file system that *directory* lies on; where the system does not say: unknown."""
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    except OSError:
        return "file system unknown"
    under = [words for words in mounts if directory.is_relative_to(words[1])]
    return max(under, key=lambda words: len(words[1]))[2]
