"""``python -m tests.bench.serving [--write] [--events N] [--data DIR]``: what the local server takes for its work.

Fills a server of its own process over HTTP, asks it for aggregates of all that
it holds, and writes to it; each case beside a baseline of the same rounds. With
``--data`` the server's directory is kept, and filled on where it is.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import duckdb
import httpx
import psutil  # type: ignore[import-untyped]

from tests.bench.rounds import event, machine

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "performance.md"
TITLE = "## The local server"
DAY_MS = 1_790_812_800_000
BATCH = 5_000
COUNTRIES = ("NZ", "DE", "BR", "JP", "ZA", "US", "IN", "FR")
FRAME = {"start": "2026-10-01T00:00:00.000Z", "end": "2026-10-02T00:00:00.000Z"}
QUESTION = {
    "event_collection": "orders",
    "timeframe": FRAME,
    "interval": "hourly",
    "group_by": "user.country",
    "analyses": {
        "n": {"analysis_type": "count"},
        "s": {"analysis_type": "sum", "target_property": "total"},
        "p": {"analysis_type": "percentile", "target_property": "total", "percentile": 90},
    },
}
BARE = """
SELECT (ts - 1790812800000) // 3600000, country, count(*), sum(total), quantile_disc(total, 0.9)
FROM orders GROUP BY 1, 2 ORDER BY 1, 2
"""

#: (elapsed, CPU time of the process that did the work), in seconds.
Timed = tuple[float, float]
Case = Callable[[], Timed]


@attrs.frozen
class Row:
    """A case: elapsed time (median, and the least) and CPU time (mean), in milliseconds.

    ``ratio``: its speed as a share of the baseline's in the same round. CPU time is a
    mean because the kernel gives that of another process in steps of 10 ms.
    """

    name: str
    millis: float
    least_millis: float
    cpu_millis: float
    ratio: float


class Served:
    """A server in a process of its own."""

    def __init__(self, directory: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "keen_client", "serve", "--data", str(directory), "--json"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        ready = json.loads(self._process.stdout.readline())
        self._watched = psutil.Process(self._process.pid)
        self._base = f"{ready['url']}/3.0/projects/{ready['project_id']}"
        headers = {"Authorization": ready["master_key"]}
        self._client = httpx.Client(headers=headers, timeout=600, trust_env=False)

    def post(self, path: str, body: bytes) -> Any:
        """The answer to one request."""
        reply = self._client.post(self._base + path, content=body)
        assert reply.status_code in (200, 201), reply.text
        return reply.json()

    def held(self, collection: str) -> int:
        """How many events *collection* has."""
        query = f"?event_collection={collection}&timeframe={json.dumps(FRAME)}"
        reply = self._client.get(f"{self._base}/queries/count{query}")
        return int(reply.json()["result"]) if reply.status_code == 200 else 0

    def timed(self, work: Callable[[], object]) -> Timed:
        """What *work* takes, and the CPU that the server takes for it."""
        cpu, started = self._cpu(), time.perf_counter()
        work()
        return time.perf_counter() - started, self._cpu() - cpu

    def _cpu(self) -> float:
        times = self._watched.cpu_times()
        return float(times.user + times.system)

    def end(self) -> None:
        """Stop it."""
        self._client.close()
        self._process.terminate()
        self._process.wait()


@contextmanager
def serving(directory: Path) -> Iterator[Served]:
    """A server that is stopped in the end."""
    served = Served(directory)
    try:
        yield served
    finally:
        served.end()


def batch(collection: str, first: int, count: int, of: int) -> bytes:
    """A bulk body of *count* events from number *first* on, of *of* spread over the day."""
    made = json.dumps(event(0))[1:-1].replace('"total": 39.98', '"total": %s').replace('"NZ"', '"%s"')
    stamp = '{%s, "keen": {"timestamp": "2026-10-01T%02d:%02d:%02d.%03dZ"}}'
    texts = []
    for number in range(first, first + count):
        seconds, millis = divmod(number * 86_400_000 // of, 1_000)
        body = made % (COUNTRIES[number % 8], number * 7_919 % 100_000 / 100)
        texts.append(stamp % (body, seconds // 3600, seconds // 60 % 60, seconds % 60, millis))
    return f'{{"{collection}": [{", ".join(texts)}]}}'.encode()


def compared(cases: Mapping[str, Case], rounds: int) -> list[Row]:
    """Each case once a round, in a turned order; the first is the baseline, and the first round warms up."""
    names = list(cases)
    seen: dict[str, list[Timed]] = {name: [] for name in names}
    for number in range(rounds + 1):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            gc.collect()
            took = cases[name]()
            if number:
                seen[name].append(took)
    rows = []
    for name in names:
        elapsed, cpu = ([took[kind] * 1_000 for took in seen[name]] for kind in range(2))
        pairs = zip(seen[names[0]], seen[name], strict=True)
        ratio = statistics.median(base[0] / own[0] for base, own in pairs)
        rows.append(Row(name, statistics.median(elapsed), min(elapsed), statistics.mean(cpu), ratio))
    return rows


def table(rows: list[Row]) -> str:
    """A Markdown table."""
    lines = ["| case | ms | least ms | CPU ms | of the baseline's speed |", "|---|---:|---:|---:|---:|"]
    lines += [
        f"| {row.name}{' (baseline)' if not index else ''} | {row.millis:,.1f} | {row.least_millis:,.1f}"
        f" | {row.cpu_millis:,.1f} | {row.ratio:.2f} |"
        for index, row in enumerate(rows)
    ]
    return "\n".join([*lines, ""])


def queries(served: Served, events: int, rounds: int) -> str:
    """Fill the server, and ask it."""
    bare = duckdb.connect()
    bare.execute("CREATE TABLE orders (ts BIGINT, country VARCHAR, total DOUBLE)")
    bare.execute(
        "INSERT INTO orders SELECT $1 + i * 86400000 // $2, $3[i % 8 + 1], (i * 7919 % 100000) / 100"
        " FROM range($2) AS r(i)",
        [DAY_MS, events, list(COUNTRIES)],
    )
    for first in range(served.held("orders"), events, BATCH):
        served.post("/events", batch("orders", first, min(BATCH, events - first), events))
    question = json.dumps(QUESTION).encode()
    first_time, _ = served.timed(lambda: served.post("/queries/multi_analysis", question))
    result = served.post("/queries/multi_analysis", question)["result"]
    assert sum(row["n"] for part in result for row in part["value"]) == events

    def bare_query() -> Timed:
        cpu, began = time.process_time(), time.perf_counter()
        bare.execute(BARE).fetchall()
        return time.perf_counter() - began, time.process_time() - cpu

    rows = compared(
        {
            "DuckDB alone, a table of just these three typed columns": bare_query,
            "count, sum and percentile by hour and group": lambda: served.timed(
                lambda: served.post("/queries/multi_analysis", question)
            ),
        },
        rounds,
    )
    return (
        f"{events:,} events over one day, 24 hours x 8 groups, {rounds} rounds. The first query"
        f" of the filled server took {first_time * 1_000:,.0f} ms.\n\n{table(rows)}"
    )


def writes(served: Served, directory: Path, rounds: int) -> str:
    """Bulk and single writes, and the query after a write, beside what the disk takes for the same bytes."""
    numbers = iter(range(0, 10**9, BATCH))
    one = json.dumps(event(1)).encode()
    count = json.dumps({"event_collection": "writes", "timeframe": FRAME}).encode()
    raw = os.open(directory / "raw", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    stored = [0]

    def to_disk(body: bytes) -> Timed:
        cpu, began = time.process_time(), time.perf_counter()
        os.write(raw, body)
        os.fsync(raw)
        return time.perf_counter() - began, time.process_time() - cpu

    def bulk() -> Timed:
        body = batch("writes", next(numbers), BATCH, 10**9)
        stored[0] += BATCH
        return served.timed(lambda: served.post("/events", body))

    def next_query() -> Timed:
        bulk()
        found = []
        took = served.timed(lambda: found.append(served.post("/queries/count", count)["result"]))
        assert found == [stored[0]], "a write must be seen by the very next query"
        return took

    many = batch("writes", 0, BATCH, 10**9)
    bulks = compared(
        {
            "append the same bytes to a file, and sync it": lambda: to_disk(many),
            f"bulk write of {BATCH:,} events": bulk,
            f"count that follows such a write, and sees all {BATCH:,}": next_query,
        },
        rounds,
    )
    singles = compared(
        {
            "append the same bytes to a file, and sync it": lambda: to_disk(one),
            "write of one event": lambda: served.timed(lambda: served.post("/events/singles", one)),
        },
        rounds * 5,
    )
    os.close(raw)
    size = len(many) / 2**20
    return (
        f"A body of {size:.1f} MiB, {rounds} rounds; answered once it is synced.\n\n{table(bulks)}\n"
        f"One event of {len(one)} bytes, {rounds * 5} rounds; answered once it is synced.\n\n{table(singles)}\n"
        f"What the server itself takes for it, its CPU and the disk's sync as the baseline had it:"
        f" {singles[1].cpu_millis + singles[0].millis:.1f} ms.\n"
    )


def with_section(page: str, section: str) -> str:
    """*page* with its part about the local server, which is its last one, replaced by *section*."""
    return f"{page.partition(TITLE)[0].rstrip()}\n\n{section.strip()}\n"


def section_of(page: str) -> str:
    """The part of *page* about the local server; empty where there is none."""
    _, title, rest = page.partition(TITLE)
    return title + rest


def main() -> None:
    """Measure; print the section, and keep it on the page if that is asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.serving", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write it into docs/reference/performance.md")
    parser.add_argument("--events", type=int, default=5_000_000, help="how many are asked over")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--directory", type=Path, default=None, help="a directory on the disk to measure")
    parser.add_argument("--data", type=Path, default=None, help="the server's directory, to be kept")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="keen-bench-", dir=given.directory) as scratch:
        directory = Path(scratch)
        command = " ".join(["python -m tests.bench.serving", *sys.argv[1:]])
        where = f"{machine(directory).rpartition('; ')[0]}, at niceness {os.nice(0)}"
        head = (
            f"{TITLE}\n\nWritten by `{command}` on {time.strftime('%Y-%m-%d', time.gmtime())}: {where}, DuckDB"
            f" {duckdb.__version__}. Elapsed times are medians beside the least of all rounds, CPU times means: of the"
            " process that does the work, all its threads; the server's includes HTTP and JSON.\n\n"
        )
        with serving(directory / "server") as served:
            text = head + writes(served, directory, given.rounds * 3) + "\n"
        with serving(given.data or directory / "filled") as served:
            text += queries(served, given.events, given.rounds)
    sys.stdout.write(text)
    if given.write:
        PAGE.write_text(with_section(PAGE.read_text(encoding="utf-8"), text), encoding="utf-8")


if __name__ == "__main__":
    main()
