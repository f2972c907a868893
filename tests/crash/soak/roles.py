"""The processes of the soak: five kinds of writers, and the commands of the command line.

Each runs in a process that was forked from one that has imported everything,
has opened nothing and runs no thread. It lives until it is killed, or until
SIGTERM asks it to come to an end.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import attrs

from keen_client import KeenClient, Receipt
from keen_client._foundation.clock import SystemClock, datetime_to_ms, ms_to_iso
from keen_client.cli.app import app
from keen_client.eventlog.config import LogConfig
from tests.crash.soak.ledger import Ledger, Told, collection_of, event_of
from tests.crash.soak.plan import Busy, Pace, Plan

#: What the server does wrong while processes are killed.
FAULTS: Final = (
    "lose=0.01",
    "duplicate=0.0005",
    "delay=0.05:2s",
    "cut-after-store=0.03",
    "http-500=0.03",
    "html-502=0.01",
    "partial-reads=0.00001",
    "truncated=0.01",
    "rate-limit=60",
    "tokens=edge",
)
#: Longer than the server's longest delay, so that no event is resent beside one that is on its way.
SETTLE: Final = "5s"
#: What the commands import when they are called; imported once, before the first fork.
_LATE: Final = (
    *("keen_client.cli.nightly", "keen_client.cli.record", "keen_client.cli.send", "keen_client.cli.serve"),
    *("keen_client.cli.draining", "keen_client.cli.ndjson", "keen_client.cli.proof"),
    *("keen_client.server.running", "keen_client.report.run", "keen_client.report.terminal"),
)


def import_all() -> None:
    """Import what the processes need, so that a new one costs a fork and no more."""
    for name in _LATE:
        importlib.import_module(name)


def run_command(arguments: Sequence[str], ahead_ms: int = 0) -> int:
    """Run the command line in this process, its clock *ahead_ms* in the future; its exit status.

    The clock is :class:`SystemClock`, the one place where the package asks for time. Both that it tells are ahead, as if
    it had passed: the wall clock alone would have leapt.
    """
    if ahead_ms:

        def wall_ms(self: SystemClock) -> int:
            return time.time_ns() // 1_000_000 + ahead_ms

        def monotonic_ns(self: SystemClock) -> int:
            return time.monotonic_ns() + ahead_ms * 1_000_000

        # For the life of this process.
        SystemClock.wall_ms = wall_ms  # type: ignore[method-assign]
        SystemClock.monotonic_ns = monotonic_ns  # type: ignore[method-assign]
    try:
        app.main(list(arguments), prog_name="keen-client")
    except SystemExit as end:
        return int(end.code or 0)


@attrs.frozen
class Writer:
    """One life of a writer."""

    plan: Plan
    kind: str
    by: str
    pace: Pace
    busy: Busy
    chance: random.Random
    ledger: Ledger

    def record(self, client: KeenClient, numbers: range) -> None:
        """Record *numbers* in one call, and write down what was said."""
        self.ledger.intend(numbers)
        events: dict[str, list[dict[str, Any]]] = {}
        places: dict[str, list[int]] = {}
        for n in numbers:
            collection = collection_of(self.by, n)
            events.setdefault(collection, []).append(self._dated(n))
            places.setdefault(collection, []).append(n)
        with self.busy(self.kind):
            given = client.add_events(events)
        self.ledger.tell(
            _told(n, receipt)
            for collection, numbers_there in places.items()
            for n, receipt in zip(numbers_there, given[collection], strict=True)
        )

    def record_one(self, client: KeenClient, n: int) -> None:
        """Record one event by itself."""
        self.ledger.intend(range(n, n + 1))
        collection, event, moment = collection_of(self.by, n), event_of(self.by, n), self.plan.story_ms()
        with self.busy(self.kind):
            receipt = client.add_event(collection, event, ms_to_iso(moment))
        self.ledger.tell([_told(n, receipt)])

    def _dated(self, n: int) -> dict[str, Any]:
        return {**event_of(self.by, n), "keen": {"timestamp": ms_to_iso(self.plan.story_ms())}}


def _told(n: int, receipt: Receipt) -> Told:
    if receipt.id is None:
        raise AssertionError("recording is switched off")
    return Told(n, receipt.id, datetime_to_ms(receipt.timestamp))


def single(writer: Writer) -> None:
    """One event a call, each synced before its receipt."""
    with KeenClient(background=False) as client:
        n = 0
        while writer.pace.next(1):
            writer.record_one(client, n)
            n += 1


def bulk(writer: Writer) -> None:
    """Hundreds of events a call, all or none, synced."""
    with KeenClient(background=False) as client:
        _record_in_bulk(writer, client)


def bulk_normal(writer: Writer) -> None:
    """The same with durability *normal*, in small segments, so that one is rolled again and again."""
    config = LogConfig(durability="normal", segment_entries_max=50_000)
    with KeenClient(background=False, log_config=config) as client:
        _record_in_bulk(writer, client)


def _record_in_bulk(writer: Writer, client: KeenClient) -> None:
    n = 0
    while writer.pace.next(count := writer.plan.batch(writer.chance, 20, 1_000)):
        writer.record(client, range(n, n + count))
        n += count


def forking(writer: Writer) -> None:
    """Records, and forks children that record on, beside their parent and after its death."""
    with KeenClient(background=False) as client:
        n = child = 0
        while writer.pace.next(count := writer.chance.randrange(40, 120)):
            writer.record(client, range(n, n + count // 2))
            n += count // 2
            child += 1
            pid = os.fork()
            if pid == 0:
                _record_as_child(writer, client, child, count // 2)
            writer.record_one(client, n)
            n += 1
            os.waitpid(pid, 0)


def _record_as_child(writer: Writer, client: KeenClient, child: int, count: int) -> None:
    status = 1
    try:
        by = f"{writer.by}.{child}"
        heir = attrs.evolve(writer, by=by, ledger=Ledger(writer.plan.ledgers, by))
        for n in range(count - 10):
            heir.record_one(client, n)
        heir.record(client, range(count - 10, count))
        client.close()
        status = 0
    finally:
        os._exit(status)


def own_sender(writer: Writer) -> None:
    """Records, and stands for election with a background sender of its own."""
    with KeenClient() as client:
        n = 0
        while writer.pace.next(4):
            writer.record_one(client, n)
            writer.record(client, range(n + 1, n + 4))
            n += 4


def recording(writer: Writer) -> int:
    """``keen-client record`` with the events on its stdin; one life is one file."""
    if not writer.pace.next(count := writer.plan.batch(writer.chance, 50, 4_000)):
        return 0
    numbers, collection = range(count), collection_of(writer.by, 0)
    feed = writer.plan.directory / f"{writer.by}.ndjson"
    with feed.open("w") as lines:
        for n in numbers:
            event = {**event_of(writer.by, n), "keen": {"timestamp": ms_to_iso(writer.plan.story_ms())}}
            lines.write(json.dumps(event) + "\n")
    writer.ledger.intend(numbers)
    descriptor = os.open(feed, os.O_RDONLY)
    feed.unlink()
    os.dup2(descriptor, 0)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with writer.busy(writer.kind):
        status = run_command(["record", collection, "--json"])
    if status == 0:
        writer.ledger.promise(numbers)
    return status


#: The kinds of writers and what share of the events each records.
WRITERS: Final[Mapping[str, tuple[float, Callable[[Writer], int | None]]]] = MappingProxyType(
    {
        "single": (0.04, single),
        "witness": (0.01, single),
        "bulk": (0.40, bulk),
        "bulk-normal": (0.30, bulk_normal),
        "forking": (0.10, forking),
        "own-sender": (0.05, own_sender),
        "record": (0.10, recording),
    }
)
SERVER: Final = "server"
NIGHTLY: Final = "nightly"
SENDERS: Final = ("sender-1", "sender-2")
#: Is never killed: what a process that lives for the whole run holds on to shows in it.
WITNESS: Final = "witness"


def record_first(plan: Plan) -> int:
    """Make the log, with one event."""
    kind, by = "single", "first"
    writer = Writer(
        plan, kind, by, Pace(plan, 1.0, 0), Busy(WRITERS), random.Random(plan.seed), Ledger(plan.ledgers, by)
    )
    with KeenClient(background=False) as client:
        writer.record_one(client, 0)
    return 0


def run_role(plan: Plan, busy: Busy, name: str, life: int, have: int) -> int:
    """Be the process *name* in its *life* (from 1), of a kind that has recorded *have* events; the exit status."""
    by = f"{name}.{life}"
    if name in WRITERS:
        share, work = WRITERS[name]
        chance, ledger = random.Random(f"{plan.seed}/{by}"), Ledger(plan.ledgers, by)
        return work(Writer(plan, name, by, Pace(plan, share, have), busy, chance, ledger)) or 0
    if name == SERVER:
        return run_command(plan.serve(*FAULTS, life=life))
    if name == NIGHTLY:
        return run_command(
            [
                *("nightly", "--json", "--preset", "immediate", "--settle", SETTLE),
                *("--send-timeout", "10"),
                *plan.windows(),
            ]
        )
    return run_command(["send", "--follow", "--json"])
