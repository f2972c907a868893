"""Draining a log against a bare httpx loop, and the memory that a million events take."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import httpx

from keen_client import KeenClient
from keen_client.delivery.batch import build_batch
from keen_client.delivery.config import DeliveryConfig
from keen_client.eventlog.entry import DeliveryState
from keen_client.eventlog.outbox import Outbox, Settlement
from tests.bench.rounds import Timed, event, interleave, table, timed
from tests.bench.sink import COLLECTION

BATCH = 500
_MEMORY_CHUNK = 100


def drain(directory: Path, url: str, batches: int, rounds: int) -> str:
    """Read, stamp, fold, join, POST and settle, against posting ready bodies of the same size."""
    count = batches * BATCH
    client = KeenClient(
        "p",
        "w",
        base_url=url,
        log=directory / "drain",
        background=False,
        delivery_config=DeliveryConfig(batch_events_max=BATCH),
    )
    outbox = _outbox(client)
    client.add_events({COLLECTION: [event(n) for n in range(BATCH)]})
    claim = outbox.claim(events_max=BATCH, bytes_max=8_000_000)
    assert claim is not None
    ready = build_batch(claim.entries).body
    outbox.settle(claim, [Settlement(DeliveryState.ACKNOWLEDGED)] * BATCH)
    bare = httpx.Client()

    def post() -> None:
        for _ in range(batches):
            bare.post(f"{url}/3.0/projects/p/events", content=ready).raise_for_status()

    def flush() -> None:
        report = client.flush()
        assert report.acknowledged == count, report

    def flushed() -> Timed:
        client.add_events({COLLECTION: [event(n) for n in range(count)]})
        return timed(flush, count)

    def prepared() -> Timed:
        client.add_events({COLLECTION: [event(n) for n in range(count)]})

        def work() -> None:
            for _ in range(batches):
                claim = outbox.claim(events_max=BATCH, bytes_max=8_000_000)
                assert claim is not None
                build_batch(claim.entries)
                outbox.settle(claim, [Settlement(DeliveryState.ACKNOWLEDGED)] * len(claim.entries))

        return timed(work, count)

    results = interleave(
        {
            "bare httpx loop, ready bodies": lambda: timed(post, count),
            "flush: claim, join, POST, settle": flushed,
            "claim, join and settle alone": prepared,
        },
        rounds,
    )
    client.close(0)
    bare.close()
    return table(
        "Draining",
        f"{batches} batches of {BATCH} events a round, {rounds} rounds, one connection, no pause between batches; "
        "the sink answers each event.",
        results,
    )


def _outbox(client: KeenClient) -> Outbox:
    log = client._core.event_log
    assert log is not None
    return log.outbox


def memory(directory: Path, url: str, events: int) -> str:
    """What the process holds after a tenth of *events* and after all of them, each time flushed."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.draining", str(directory / "memory"), url, str(events)],
        check=True,
        capture_output=True,
        text=True,
    )
    start, tenth, whole = (float(word) for word in done.stdout.split())
    return "\n".join(
        [
            "## Memory",
            "",
            f"One process records with `add_events` ({_MEMORY_CHUNK} a call), sends meanwhile, and is measured after a flush.",
            "",
            "| events recorded and sent | resident MB | over the start |",
            "|---:|---:|---:|",
            f"| 1,000 | {start:.1f} | |",
            f"| {events // 10:,} | {tenth:.1f} | {tenth - start:.1f} |",
            f"| {events:,} | {whole:.1f} | {whole - start:.1f} |",
            "",
        ]
    )


def _resident_mb() -> float:
    """Resident memory now; where the system does not say, its peak."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # bytes on macOS
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _measure_memory(log: str, url: str, events: int) -> None:
    client = KeenClient("p", "w", base_url=url, log=log, durability="normal")
    recorded = 0
    for goal in (1_000, events // 10, events):
        while recorded < goal:
            client.add_events({COLLECTION: [event(n) for n in range(recorded, recorded + _MEMORY_CHUNK)]})
            recorded += _MEMORY_CHUNK
        report = client.flush()
        assert report.is_drained, report
        sys.stdout.write(f"{_resident_mb()}\n")
    client.close()


if __name__ == "__main__":
    _measure_memory(sys.argv[1], sys.argv[2], int(sys.argv[3]))
