"""``python -m tests.crash.faults``: refuse each n-th operation on the disk while a child records, sends and verifies.

A disk that is full, one that fails, and a file system that went read-only: from the n-th operation on, once or for a
while. The child may get errors of the library's own and no others. Then the fault ends, and the same process goes on;
what had a receipt arrives once, and what was said not to be recorded does not.
"""

from __future__ import annotations

import argparse
import errno
import itertools
import sys
import tempfile
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from keen_client import KeenClient
from keen_client.errors import KeenError, RecordOutcomeUnknownError
from tests.crash import shim
from tests.crash.nursery import Nursery
from tests.crash.points import (
    CALL_EVENTS,
    an_hour_that_is_over,
    judge,
    open_client,
    record,
    record_call,
    say,
    settings_of,
)

if TYPE_CHECKING:
    from tests.crash.conftest import Served


@attrs.frozen
class Fault:
    """What a disk does: refuses these kinds of operations (see shim.c) with this error."""

    name: str
    kinds: str
    error: int


FAULTS: Final = {
    fault.name: fault
    for fault in (
        Fault("full", shim.OF_A_FULL_DISK, errno.ENOSPC),
        Fault("failing", shim.OF_A_FAILING_DISK, errno.EIO),
        Fault("read-only", shim.OF_A_READ_ONLY_DISK, errno.EROFS),
    )
}
DURABILITIES: Final = ("full", "normal")
#: How many operations in a row are refused.
LENGTHS: Final = (1, 30)


def count(settings: dict[str, str], kinds: str) -> None:
    """A life without a fault; says how many operations of *kinds* there are to refuse."""
    shim.watch(Path(settings["log"]).parent)
    shim.count(kinds)
    client = _live_through(settings)
    say(f"operations {shim.relent()[0]}")
    assert client is not None
    client.close()


def endure(settings: dict[str, str], kinds: str, error: int, first: int, length: int) -> None:
    """A life under a fault, and a good day after it in the same process, with the same client where there is one."""
    shim.watch(Path(settings["log"]).parent)
    shim.refuse(kinds, error, first=first, count=length)
    client = _live_through(settings)
    say(f"met {shim.relent()[1]}")
    for base in (1_000, 2_000):
        with client or _open(settings) as client:
            record(client, settings, range(base, base + 10))
            report = client.flush()
            assert report.pending == report.unknown == 0, report
            say(f"unreadable {report.unreadable}")
            _night(settings, client)
        client = None


def _open(settings: dict[str, str]) -> KeenClient:
    durability = settings["durability"]
    return open_client(
        settings, durability=durability, entries=8, retention_days=0.0, reclaim_unverified=True
    )


def _live_through(settings: dict[str, str]) -> KeenClient | None:
    """Record, send, roll, verify and reclaim; every error has to be one of ours. The client, if it could be opened."""
    with suppress(KeenError), _open(settings) as client:
        _try(settings, client, range(5))
        _try_call(settings, client, range(100, 100 + CALL_EVENTS))
        with suppress(KeenError):
            client.flush(5)
        _try(settings, client, range(5, 10))
    second: KeenClient | None = None
    with suppress(KeenError):
        second = _open(settings)
        with suppress(KeenError):
            second.flush(5)
        _try(settings, second, range(10, 14))
        with suppress(KeenError):
            _night(settings, second)
    return second


def _try(settings: dict[str, str], client: KeenClient, numbers: range) -> None:
    for number in numbers:
        try:
            record(client, settings, range(number, number + 1))
        except RecordOutcomeUnknownError:
            say(f"unknown {number}")
        except KeenError:
            say(f"refused {number}")


def _try_call(settings: dict[str, str], client: KeenClient, numbers: range) -> None:
    try:
        record_call(client, settings, numbers)
    except RecordOutcomeUnknownError:
        say(f"unknown {numbers.start}")
    except KeenError:
        for number in numbers:
            say(f"refused {number}")


def _night(settings: dict[str, str], client: KeenClient) -> None:
    hour = timedelta(hours=1)
    now = an_hour_that_is_over().replace(minute=0, second=0, microsecond=0)
    client.nightly(now - 2 * hour, now + 2 * hour, collections=[settings["collection"]], preset="immediate")


def step(settings: dict[str, str], seconds: list[float]) -> None:
    """A life whose calendar steps by each of *seconds* between batches, while a thread of the client sends."""
    shim.watch(Path(settings["log"]).parent)
    with open_client(settings, background=True) as client:
        for number, by in enumerate([0.0, *seconds]):
            shim.step_clock(by)
            record(client, settings, range(100 * number, 100 * number + 8))
            record_call(client, settings, range(100 * number + 8, 100 * number + 12))
            client.flush(10)
        report = client.flush(30)
        assert report.is_drained, report


# ---- the judge --------------------------------------------------------------------------------


@attrs.define
class Tally:
    """What came of a sweep under one fault and durability: lives, those that met it, receipts given, events that arrived."""

    name: str
    lives: int = 0
    met: int = 0
    refused: int = 0
    unknown: int = 0
    receipts: int = 0
    arrived: int = 0
    #: Without a receipt, and there all the same: the outcome was said to be unknown.
    doubtful: int = 0

    def __str__(self) -> str:
        """One line for people."""
        return (
            f"{self.name}: {self.lives:,} lives, {self.met:,} met the fault; {self.receipts:,} receipts,"
            f" {self.refused:,} events refused, {self.unknown:,} outcomes unknown; {self.arrived:,} arrived, each once"
        )


def operations_of(nursery: Nursery, served: Served, directory: Path, fault: Fault, durability: str) -> int:
    """How many operations of a life this fault can refuse."""
    lines, settings = directory / "lines", {**settings_of(served, directory), "durability": durability}
    Path(settings["log"]).parent.mkdir(parents=True)
    status = nursery.live("tests.crash.faults:count", lines, settings=settings, kinds=fault.kinds)
    assert status == 0, lines.read_text()[-2000:]
    return int(lines.read_text().rpartition("operations ")[2])


def endured(
    nursery: Nursery,
    served: Served,
    directory: Path,
    fault: Fault,
    durability: str,
    first: int,
    length: int,
    tally: Tally,
) -> None:
    """One life under *fault* from its *first* operation on, for *length* operations; what came of it goes to *tally*.

    Raises:
        AssertionError: a promise is broken, or the child got an error that is none of the library's.
    """
    lines, settings = directory / "lines", {**settings_of(served, directory), "durability": durability}
    Path(settings["log"]).parent.mkdir(parents=True)
    name = f"{fault.name}, {durability}, from operation {first}, {length} times"
    arguments = {
        "settings": settings,
        "kinds": fault.kinds,
        "error": fault.error,
        "first": first,
        "length": length,
    }
    status = nursery.live("tests.crash.faults:endure", lines, **arguments)
    printed = lines.read_text()
    assert status == 0, (name, status, printed[-2500:])
    # A segment that was abandoned is set apart until somebody repairs the log; nothing else needs that.
    is_abandoned = "unknown " in printed
    assert is_abandoned or printed.count("unreadable 0") == printed.count("unreadable "), (
        name,
        printed[-2500:],
    )
    status = nursery.live("tests.crash.points:settle", lines, settings=settings, repairs=is_abandoned)
    assert status == 0, (name, lines.read_text()[-2500:])
    receipts, arrived = judge(served, settings, name, lines)
    tally.lives += 1
    tally.met += int(printed.rpartition("met ")[2].split()[0]) > 0
    tally.refused += printed.count("refused ")
    tally.unknown += printed.count("unknown ")
    tally.receipts += receipts
    tally.arrived += arrived
    tally.doubtful += arrived - receipts


def stepped(nursery: Nursery, served: Served, directory: Path, seconds: list[float]) -> int:
    """One life whose calendar steps by each of *seconds*; how many events arrived.

    Raises:
        AssertionError: an event is lost or doubled, or the child ended in an error.
    """
    lines, settings = directory / "lines", settings_of(served, directory)
    Path(settings["log"]).parent.mkdir(parents=True)
    status = nursery.live("tests.crash.faults:step", lines, settings=settings, seconds=seconds)
    assert status == 0, (seconds, lines.read_text()[-2500:])
    _, arrived = judge(served, settings, f"steps of {seconds} s", lines, years=12)
    return arrived


def main(arguments: list[str]) -> int:
    """Refuse each operation in turn, by each fault; 1 when something was not as it should be."""
    from tests.crash.conftest import Arena

    parser = argparse.ArgumentParser(prog="python -m tests.crash.faults", description=__doc__)
    parser.add_argument("--fault", choices=tuple(FAULTS), action="append", help="default: all")
    parser.add_argument("--durability", choices=DURABILITIES, action="append", help="default: both")
    parser.add_argument("--every", type=int, default=1, help="only each so-many-th operation")
    chosen = parser.parse_args(arguments)
    failed_at_all = 0
    for name, durability in itertools.product(chosen.fault or FAULTS, chosen.durability or DURABILITIES):
        began, failed, tally = time.monotonic(), 0, Tally(f"{name}, {durability}")
        with tempfile.TemporaryDirectory() as base:
            arena = Arena(Path(base))
            nursery = Nursery(shim.build(Path(base)))
            try:
                served = arena.serve()
                count = operations_of(nursery, served, Path(base, "count"), FAULTS[name], durability)
                for first in range(1, count + 1, chosen.every):
                    for length in LENGTHS:
                        with tempfile.TemporaryDirectory(dir=base) as place:
                            try:
                                endured(
                                    *(nursery, served, Path(place), FAULTS[name], durability),
                                    *(first, length, tally),
                                )
                            except AssertionError as error:
                                failed += 1
                                sys.stdout.write(f"FAILED {error}\n")
                                sys.stdout.flush()
            finally:
                nursery.end()
                arena.end()
        sys.stdout.write(
            f"{tally}; of {count} operations; {failed} failed ({time.monotonic() - began:.0f} s)\n"
        )
        sys.stdout.flush()
        failed_at_all += failed
    return 1 if failed_at_all else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
