"""What a verification costs: one collection, one day, some events missing at random. A program, no test.

::

    python tests/bench/verify_cost.py [--events 1000000] [--missing 10000,1000,10,1,0]

Records the events, sends all but the largest number of missing ones to a
server in a process of its own, and verifies the day with each number missing,
each time in a fresh process over a copy of the log. Prints requests, bytes of
answers, CPU seconds and the peak of resident memory of that process, and the
questions in their order.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from keen_client._foundation.clock import MS_PER_DAY, SystemClock
from keen_client._foundation.randomness import SystemRandomness
from keen_client.api.keen_api import KeenApi
from keen_client.api.project import Project
from keen_client.eventlog.config import LogConfig
from keen_client.eventlog.directory import Binding
from keen_client.eventlog.entry import DeliveryState
from keen_client.eventlog.log import EventLog
from keen_client.eventlog.outbox import Settlement
from keen_client.events.encoding import encode_event
from keen_client.events.stamps import wire_event
from keen_client.queries import Analysis
from keen_client.transport.secret import Secret
from keen_client.verify.presets import preset
from keen_client.verify.verifier import Verifier
from keen_client.verify.windows import Scope

DAY = 1_790_812_800_000
COLLECTION = "purchases"
BATCH = 5_000


@attrs.frozen
class Place:
    """Where the server is, and its keys."""

    url: str
    project_id: str
    write_key: str
    read_key: str

    def api(self) -> KeenApi:
        """A client of it."""
        project = Project(
            id=self.project_id,
            base_url=self.url,
            write_key=Secret(self.write_key),
            read_key=Secret(self.read_key),
        )
        return KeenApi.open(project)

    def log(self, path: Path) -> EventLog:
        """A log bound to it."""
        binding = Binding(self.url, self.project_id)
        return EventLog(path, binding, LogConfig(durability="normal"), SystemClock(), SystemRandomness())


class Questions:
    """An API that notes each question and the size of its answer."""

    def __init__(self, api: KeenApi) -> None:
        self._api = api
        self.asked: list[tuple[str, int]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._api, name)

    def query(self, analysis: Analysis, *, all_keys: bool = False) -> Any:
        before = self._api.cost
        result = self._api.query(analysis, all_keys=all_keys)
        interval = "" if analysis.interval is None else f" {analysis.interval.text}"
        groups = ",".join(map(str, analysis.group_by or ()))
        self.asked.append(
            (f"{analysis.analysis_type}{interval} by {groups}", (self._api.cost - before).bytes)
        )
        return result


def record(log: EventLog, count: int) -> None:
    """Record *count* events, spread evenly over the day."""
    body = {"item": "book", "price": 10, "customer": {"id": "c-123456", "plan": "pro"}, "quantity": 3}
    made = encode_event(COLLECTION, body)
    for first in range(0, count, 50_000):
        log.record_all(
            [
                attrs.evolve(made, timestamp_ms=DAY + number * MS_PER_DAY // count)
                for number in range(first, min(count, first + 50_000))
            ]
        )


def send(log: EventLog, api: KeenApi, held: set[int]) -> dict[int, str]:
    """Fold everything, and send all but the events with the numbers *held*; their texts."""
    kept: dict[int, str] = {}
    number = 0
    while claim := log.outbox.claim(events_max=BATCH, bytes_max=9_000_000):
        texts = []
        for claimed in claim.entries:
            e, s = claimed.stamped.entry, claimed.stamped
            text = wire_event(e.origin, e.seq, e.timestamp_ms, e.body, e.keen, (s.h, s.g), claimed.a)
            if number in held:
                kept[number] = text
            else:
                texts.append(text)
            number += 1
        upload(api, texts)
        log.outbox.settle(claim, [Settlement(DeliveryState.ACKNOWLEDGED)] * len(claim.entries))
    return kept


def upload(api: KeenApi, texts: list[str]) -> None:
    """Store events at the server."""
    for first in range(0, len(texts), BATCH):
        part = ",".join(texts[first : first + BATCH])
        response = api.post_batch(f'{{"{COLLECTION}":[{part}]}}'.encode())
        assert response.status == 200, response.status


def measure(place: Place, path: Path) -> dict[str, Any]:
    """Verify the day; what it cost this process."""
    log, api = place.log(path), place.api()
    questions = Questions(api)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    before, started = time.process_time(), time.perf_counter()
    report = Verifier(log, questions, SystemClock(), preset("immediate")).verify(Scope(DAY, DAY + MS_PER_DAY))
    figures = {
        "requests": report.cost.requests,
        "bytes": report.cost.bytes,
        "cpu": round(time.process_time() - before, 2),
        "seconds": round(time.perf_counter() - started, 2),
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "rss_before_mb": before_kb // 1024,
        "missing": sum(len(window.missing) for window in report.windows),
        "states": sorted({str(window.state) for window in report.windows}),
        "asked": questions.asked,
    }
    log.close()
    api.close()
    return figures


def serve(directory: Path) -> tuple[subprocess.Popen[str], Place]:
    """A server in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "keen_client", "serve", "--port", "0", "--data", str(directory), "--json"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    ready = json.loads(process.stdout.readline())
    names = ("url", "project_id", "write_key", "read_key")
    return process, Place(*(ready[name] for name in names))


def runs(events: int, missing: list[int], base: Path) -> Iterator[dict[str, Any]]:
    """One measurement for each number of missing events, the largest first."""
    server, place = serve(base / "server")
    try:
        log, api = place.log(base / "log"), place.api()
        record(log, events)
        left = random.Random(1).sample(range(events), max(missing))
        texts = send(log, api, set(left))
        log.close()
        for count in sorted(missing, reverse=True):
            upload(api, [texts[number] for number in left[count:]])
            left = left[:count]
            shutil.copytree(base / "log", base / "copy")
            command = [sys.executable, __file__, "--measure", str(base / "copy")]
            done = subprocess.run(
                command,
                check=True,
                capture_output=True,
                text=True,
                env={**os.environ, "BENCH_PLACE": json.dumps(attrs.asdict(place))},
            )
            shutil.rmtree(base / "copy")
            yield {"lost": count, **json.loads(done.stdout)}
        api.close()
    finally:
        server.terminate()
        server.wait()


def main() -> None:
    """Measure, or run all measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--missing", default="10000,1000,10,1,0")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure is not None:
        place = Place(**json.loads(os.environ["BENCH_PLACE"]))
        sys.stdout.write(json.dumps(measure(place, given.measure)))
        return
    with tempfile.TemporaryDirectory() as base:
        for figures in runs(given.events, [int(n) for n in given.missing.split(",")], Path(base)):
            asked = figures.pop("asked")
            sys.stdout.write(f"{json.dumps(figures)}\n")
            for what in dict.fromkeys(name for name, _ in asked):
                sizes = [size for name, size in asked if name == what]
                sys.stdout.write(f"    {len(sizes):4} x {what:40} {sum(sizes):9} bytes\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
