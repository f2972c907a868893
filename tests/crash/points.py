"""``python -m tests.crash.points``: kill a process at every named point of an event's life, and go on with another.

The points stand in one table. A point is a call of the product's own code, told by its name and if need be by whose
caller it is, or an operation on the disk; the child that is to die there wraps the function, or asks the shim.
Nothing in the product knows of it. :func:`outlive` makes the child do real work against a real server, sees it die at
the point, has another process do the same work to its end, and then compares receipts, log and server.
"""

from __future__ import annotations

import argparse
import errno
import functools
import importlib
import inspect
import os
import signal
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs

from keen_client import KeenClient
from keen_client._foundation.clock import SystemClock
from keen_client._foundation.randomness import SystemRandomness
from keen_client.delivery.config import DeliveryConfig
from keen_client.eventlog.config import LogConfig
from keen_client.eventlog.directory import LogDirectory
from keen_client.eventlog.repair import repair
from tests.crash import shim
from tests.crash.nursery import Nursery

if TYPE_CHECKING:
    from tests.crash.conftest import Served

When = Literal["before", "after"]
#: Threads that record at once, and events of one call.
THREADS: Final = 4
CALL_EVENTS: Final = 7
#: Nights without faults that are enough to find and resend what was lost.
NIGHTS_MAX: Final = 4


@attrs.frozen
class Call:
    """A call of *function* (``module:Class.method``), *before* it or *after* it returned.

    ``within``: only where a function of this qualified name is among its callers. ``owner``: only where this one
    opened the transaction. ``where``: only where the text of an argument contains this. ``nth``: of the calls that
    qualify.
    """

    when: When
    function: str
    within: str = ""
    owner: str = ""
    where: str = ""
    nth: int = 1


@attrs.frozen
class Disk:
    """An operation on the disk: its kind (see shim.c), a part of its path, and which of them."""

    when: When
    kinds: str
    part: str
    nth: int = 1


@attrs.frozen
class Point:
    """Where a process dies. ``step``: of the life of an event, as the table in evidence.md names it. ``work``: what it does."""

    name: str
    step: str
    work: str
    at: Call | Disk


_LOG: Final = "keen_client.eventlog"


def _commit(step: str, work: str, what: str, owner: str, within: str = "") -> list[Point]:
    """Both sides of the commit of the transaction in ``state.db`` that the function *owner* opens."""
    commit = f"{_LOG}.state:State._commit"
    return _around(step, work, f"the commit of {what}", commit, owner=owner, within=within)


def _around(step: str, work: str, what: str, function: str, **rest: Any) -> list[Point]:
    return [
        Point(f"{step}: {when} {what}", step, work, Call(when, function, **rest))
        for when in ("before", "after")
    ]


_TRACE: Final = "keen_client.transport.httpx_transport:_Progress.note"

POINTS: Final[tuple[Point, ...]] = (
    # ---- a log comes to be
    *_around("log", "make", "log.json", f"{_LOG}.directory:write_whole"),
    *_around("log", "make", "the migration of state.db", f"{_LOG}.migrations:migrate"),
    Point("log: after the migration's commit", "log", "make", Call("after", f"{_LOG}.state:State._migrate")),
    *_around("segment", "one", "its schema and header", f"{_LOG}.segment:sync_file", within="make_segment"),
    *_around("segment", "one", "its name", "os:link", within="make_segment"),
    *_around("segment", "one", "the sync of its name", f"{_LOG}.segment:sync_directory"),
    # ---- record
    *_around(
        "record", "one", "an event's insert and commit", f"{_LOG}.segment:SegmentWriter.append_one", nth=3
    ),
    *_around(
        "record", "normal", "a normal insert and commit", f"{_LOG}.segment:SegmentWriter.append_one", nth=3
    ),
    Point("record: before a frame of the WAL", "record", "one", Disk("before", "w", ".db-wal", 12)),
    Point("record: after a frame of the WAL", "record", "one", Disk("after", "w", ".db-wal", 12)),
    Point("record: before the sync of the WAL", "record", "one", Disk("before", "s", ".db-wal", 4)),
    Point("record: after the sync of the WAL", "record", "one", Disk("after", "s", ".db-wal", 4)),
    Point(
        "call: in its transaction",
        "call",
        "many",
        Call("after", f"{_LOG}.segment:SegmentWriter.begin", nth=2),
    ),
    *_around("call", "many", "its inserts", f"{_LOG}.segment:SegmentWriter.append_many", nth=2),
    *_around(
        "call", "many", "its commit", f"{_LOG}.segment:SegmentWriter.commit", within="_insert_many", nth=2
    ),
    *_around("group", "threads", "its commit", f"{_LOG}.recorder:_insert_many", within="Group._lead"),
    *_around("group", "threads", "its waking", f"{_LOG}.group:Group._hand_over", nth=5),
    # ---- roll
    *_around("roll", "rolls", "all of it", f"{_LOG}.succession:Succession.roll"),
    *_around("roll", "rolls", "the seal", f"{_LOG}.segment:SegmentWriter.seal", within="Succession.roll"),
    Point(
        "seal: with its trigger, before its commit",
        "seal",
        "rolls",
        Call("before", f"{_LOG}.segment:SegmentWriter.commit", "SegmentWriter.seal"),
    ),
    Point(
        "seal: after its commit",
        "seal",
        "rolls",
        Call("after", f"{_LOG}.segment:SegmentWriter.commit", "SegmentWriter.seal"),
    ),
    *_around(
        "roll",
        "rolls",
        "the successor's making",
        f"{_LOG}.succession:Succession._make",
        within="Succession.roll",
    ),
    *_around("seal", "send", "one file is made of it", f"{_LOG}.segment:_become_one_file"),
    *_around("seal", "send", "it is read-only", "pathlib:Path.chmod", within="finish_sealed"),
    # ---- checkpoint
    Point("checkpoint: before its first page", "checkpoint", "checkpoints", Disk("before", "w", ".db$")),
    Point("checkpoint: after its first page", "checkpoint", "checkpoints", Disk("after", "w", ".db$")),
    Point("checkpoint: before its sync", "checkpoint", "checkpoints", Disk("before", "s", ".db$")),
    Point("checkpoint: after its sync", "checkpoint", "checkpoints", Disk("after", "s", ".db$")),
    # ---- send
    *_commit("claim", "send", "how the clocks stand", "mind_leap"),
    *_commit("claim", "send", "a new segment", "Cursors._enter"),
    *_around("claim", "send", "the sync of what was read", f"{_LOG}.shelf:Shelf.sync"),
    *_around("fold", "send", "the totals", f"{_LOG}.outbox:fold_entries"),
    *_commit("journal", "send", "a batch", "Outbox._claim_new"),
    *_around("send", "send", "the request", "keen_client.client.wiring:ApiUploader.upload"),
    Point(
        "send: the request is written",
        "send",
        "send",
        Call("after", _TRACE, where="send_request_body.complete"),
    ),
    Point(
        "send: the answer's headers are read",
        "send",
        "send",
        Call("after", _TRACE, where="receive_response_headers.complete"),
    ),
    Point(
        "send: the answer is read",
        "send",
        "send",
        Call("after", _TRACE, where="receive_response_body.complete"),
    ),
    *_commit("settle", "send", "the outcomes", "Outbox._settle"),
    *_commit("settle", "send", "a segment's end", "Cursors.note_end"),
    *_commit("unknown", "resend", "what is unknown", "Outbox.recover"),
    *_commit("unknown", "resend", "a batch again", "Outbox._claim_again"),
    # ---- the night
    *_around("night", "night", "the copy's name", "pathlib:Path.replace", within="copy_state"),
    *_commit("night", "night", "the probe sent", "_put", "TokenProbe.send"),
    *_commit("night", "night", "the probe read", "_put", "TokenProbe.read"),
    *_commit("night", "night", "what was seen", "Observations.add"),
    *_commit("night", "night", "what was learnt", "Lesson.learn"),
    *_commit("replay", "night", "what earlier runs left", "lapse_all"),
    *_commit("replay", "night", "the run", "Night._begin"),
    *_commit("replay", "night", "the run's batch", "Outbox._claim_again"),
    *_commit("replay", "night", "the run's end", "Runs.finish"),
    *_commit("night", "night", "the thinning", "Observations.thin"),
    # ---- reclaim
    *_commit("reclaim", "reclaim", "the intent", "Reclaimer._intend"),
    *_around("reclaim", "reclaim", "the segment's unlink", "pathlib:Path.unlink", within="Reclaimer._unlink"),
    Point(
        "reclaim: between the unlinks",
        "reclaim",
        "reclaim",
        Call("before", "pathlib:Path.unlink", "Reclaimer._unlink", nth=2),
    ),
    Point(
        "reclaim: after the last unlink",
        "reclaim",
        "reclaim",
        Call("before", f"{_LOG}.reclaim:sync_directory", "Reclaimer._unlink"),
    ),
    *_commit("reclaim", "reclaim", "its end", "Reclaimer._note_done"),
    # ---- what was lost is made again
    *_around("rebuild", "rebuild", "a segment", f"{_LOG}.recovery:_rebuild_segment"),
    *_around("rebuild", "rebuild", "its name", "pathlib:Path.replace", within="_rebuild"),
    # ---- the disk fails at a commit
    *_around("failed sync", "failing", "the look for what failed", f"{_LOG}.segment:SegmentWriter.in_doubt"),
    *_around(
        "failed sync",
        "failing",
        "the seal",
        f"{_LOG}.segment:SegmentWriter.seal",
        within="Recorder._after_io_error",
    ),
    *_around("failed sync", "failing", "the look for the rows", f"{_LOG}.recorder:Recorder._rows_up_to"),
    *_commit("failed sync", "hopeless", "the segment's abandoning", "EventLog._abandon"),
)


# ---- the life of a child ----------------------------------------------------------------------


def arm(at: Call, name: str) -> None:
    """Have this process die at a call, saying first that *name* was reached."""
    module, _, path = at.function.partition(":")
    owner: Any = importlib.import_module(module)
    *outer, attribute = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    wrapped = _dying(getattr(owner, attribute), at, name)
    is_static = isinstance(inspect.getattr_static(owner, attribute), staticmethod)
    setattr(owner, attribute, staticmethod(wrapped) if is_static else wrapped)


def _dying(function: Callable[..., Any], at: Call, name: str) -> Callable[..., Any]:
    calls = 0

    @functools.wraps(function)
    def dying(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        is_it = (
            (not at.within or at.within in _callers())
            and (not at.owner or _transaction_owner() == at.owner)
            and (not at.where or at.where in str((arguments, named)))
        )
        calls += is_it
        if is_it and calls == at.nth and at.when == "before":
            _die(name)
        result = function(*arguments, **named)
        if is_it and calls == at.nth and at.when == "after":
            _die(name)
        return result

    return dying


def _callers() -> Iterator[str]:
    """The qualified names of the functions under way, the innermost first."""
    frame = inspect.currentframe()
    while frame is not None:
        yield frame.f_code.co_qualname
        frame = frame.f_back


def _transaction_owner() -> str:
    """Who opened the transaction that is being committed: whoever left its ``with`` block."""
    callers = _callers()
    for name in callers:
        if name == "State.transaction":
            return next(name for name in callers if not name.startswith("_GeneratorContextManager"))
    return ""


def _die(name: str) -> None:
    say(f"reached {name}")
    os.kill(os.getpid(), signal.SIGKILL)


def say(line: str) -> None:
    """One write of one line: whole in the file or not at all."""
    os.write(1, f"{line}\n".encode())


def open_client(
    settings: dict[str, str],
    *,
    durability: Any = "full",
    entries: int = 1_000,
    background: bool = False,
    **config: Any,
) -> KeenClient:
    """A client whose segments take so many *entries*; unless asked for without a background thread."""
    return KeenClient(
        settings["project_id"],
        settings["write_key"],
        settings["read_key"],
        base_url=settings["url"],
        log=settings["log"],
        background=background,
        log_config=LogConfig(
            durability=durability, segment_entries_max=entries, reserve_bytes=100_000, **config
        ),
        delivery_config=DeliveryConfig(unknown="resend", batch_events_max=6),
    )


def record(client: KeenClient, settings: dict[str, str], numbers: range) -> None:
    """Record events one by one; each is said before it is tried, and its receipt once it is there."""
    for number in numbers:
        say(f"try {number}")
        receipt = client.add_event(settings["collection"], {"number": number}, an_hour_that_is_over())
        say(f"receipt {receipt.id} {number}")


def an_hour_that_is_over() -> datetime:
    """A timestamp for events: what lies in an hour to come is kept for ever."""
    return datetime.now(UTC) - timedelta(hours=3)


def record_call(client: KeenClient, settings: dict[str, str], numbers: range) -> None:
    for number in numbers:
        say(f"try {number}")
    bodies = [
        {"number": number, "keen": {"timestamp": an_hour_that_is_over().isoformat()}} for number in numbers
    ]
    receipts = client.add_events({settings["collection"]: bodies})[settings["collection"]]
    for receipt, number in zip(receipts, numbers, strict=True):
        say(f"receipt {receipt.id} {number}")


def _make(settings: dict[str, str], base: int) -> None:
    with open_client(settings) as client:
        record(client, settings, range(base, base + 2))


def _one(settings: dict[str, str], base: int) -> None:
    with open_client(settings) as client:
        record(client, settings, range(base, base + 8))


def _normal(settings: dict[str, str], base: int) -> None:
    with open_client(settings, durability="normal") as client:
        record(client, settings, range(base, base + 8))


def _many(settings: dict[str, str], base: int) -> None:
    with open_client(settings) as client:
        for first in range(base, base + 3 * CALL_EVENTS, CALL_EVENTS):
            record_call(client, settings, range(first, first + CALL_EVENTS))


def _threads(settings: dict[str, str], base: int) -> None:
    with open_client(settings) as client:
        spans = [range(base + 100 * number, base + 100 * number + 25) for number in range(THREADS)]
        threads = [threading.Thread(target=record, args=(client, settings, span)) for span in spans]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def _rolls(settings: dict[str, str], base: int) -> None:
    with open_client(settings, entries=5) as client:
        record(client, settings, range(base, base + 12))


def _checkpoints(settings: dict[str, str], base: int) -> None:
    segment: Any = importlib.import_module("keen_client.eventlog.segment")
    segment.WAL_PAGES_MAX = 6
    with open_client(settings) as client:
        record(client, settings, range(base, base + 12))


def _send(settings: dict[str, str], base: int) -> None:
    with open_client(settings, entries=10) as client:
        record(client, settings, range(base, base + 14))
        assert client.flush().is_drained
    with open_client(settings, entries=10) as client:  # who comes next looks after what is sealed
        assert client.flush().is_drained


def _resend(settings: dict[str, str], base: int) -> None:
    if base:  # the first life stopped between journal and request
        with open_client(settings) as client:
            assert client.flush().is_drained
        return
    raise AssertionError("only the second life has something to resend")


def _night(settings: dict[str, str], base: int) -> None:
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    with open_client(settings) as client:
        record(client, settings, range(base, base + 3))
        for _ in range(NIGHTS_MAX):
            report = client.nightly(
                now - timedelta(hours=5),
                now + timedelta(hours=2),
                collections=[settings["collection"]],
                preset="immediate",
            )
            summary = report.after.document()["summary"]
            if not summary["missing"] and report.replay.run is None:
                return
    raise AssertionError(f"{NIGHTS_MAX} nights did not mend it: {summary}")


def _reclaim(settings: dict[str, str], base: int) -> None:
    for _ in range(2):  # who comes next looks after what was sent
        with open_client(settings, entries=5, retention_days=0.0, reclaim_unverified=True) as client:
            record(client, settings, range(base, base + 7))
            assert client.flush().is_drained
        base += 100


def _rebuild(settings: dict[str, str], base: int) -> None:
    with suppress(FileNotFoundError):
        Path(settings["log"], "state.db").unlink()
    with open_client(settings) as client:
        record(client, settings, range(base, base + 3))


def _failing(settings: dict[str, str], base: int) -> None:
    with open_client(settings) as client:
        record(client, settings, range(base, base + 3))
        shim.refuse("s", errno.EIO, part=".db-wal", count=1)
        record(client, settings, range(base + 3, base + 6))


def _hopeless(settings: dict[str, str], base: int) -> None:
    with open_client(settings) as client:
        record(client, settings, range(base, base + 3))
        shim.refuse("s", errno.EIO, part=".db-wal")
        record(client, settings, range(base + 3, base + 6))


WORKS: Final[dict[str, Callable[[dict[str, str], int], None]]] = {
    "make": _make,
    "one": _one,
    "normal": _normal,
    "many": _many,
    "threads": _threads,
    "rolls": _rolls,
    "checkpoints": _checkpoints,
    "send": _send,
    "resend": _resend,
    "night": _night,
    "reclaim": _reclaim,
    "rebuild": _rebuild,
    "failing": _failing,
    "hopeless": _hopeless,
}


def live(
    settings: dict[str, str],
    work: str,
    base: int,
    call: dict[str, Any] | None = None,
    disk: dict[str, Any] | None = None,
    name: str = "",
) -> None:
    """One life of a child: *work* with numbers from *base* on, to its end or to the point that *call* or *disk* is."""
    shim.watch(Path(settings["log"]))
    if disk is not None:
        at = Disk(**disk)
        shim.kill(at.kinds, part=at.part, nth=at.nth, after=at.when == "after")
    if call is not None:
        arm(Call(**call), name)
    WORKS[work](settings, base)


def settle(settings: dict[str, str], *, repairs: bool) -> None:
    """The last life: after ``doctor --repair``, if so, what waits is sent, and what is unknown again under its token."""
    if repairs:
        repair(LogDirectory(Path(settings["log"])), LogConfig(), SystemClock(), SystemRandomness())
    with open_client(settings) as client:
        report = client.flush()
        assert report.is_drained, report


def settings_of(served: Served, directory: Path) -> dict[str, str]:
    """What a child needs to know: the server, a log of its own in *directory*, and a collection that nobody used."""
    return {
        "project_id": served.project_id,
        "write_key": served.write_key,
        "read_key": served.read_key,
        "url": served.url,
        "log": str(directory / "disk" / "log"),
        "collection": f"c{time.time_ns()}",
    }


# ---- the judge --------------------------------------------------------------------------------

_CLAIMED: Final = "journal: after the commit of a batch"
#: What the next process does where it cannot do the same: the disk is well again.
_THEN: Final = {"failing": "one", "hopeless": "one", "rebuild": "one"}


@attrs.frozen
class Outlived:
    """What was found after the last life at *point*: receipts given, and events that arrived."""

    point: Point
    receipts: int
    arrived: int


def outlive(nursery: Nursery, served: Served, directory: Path, point: Point) -> Outlived:
    """Kill a process at *point*, have others go on, and compare receipts, log and server.

    Raises:
        AssertionError: the point was not reached, or an event is lost, doubled or not what was recorded.
    """
    lines, settings = directory / "lines", settings_of(served, directory)
    Path(settings["log"]).parent.mkdir()

    def life(work: str, base: int, dies_at: Point | None = None) -> None:
        armed: dict[str, Any] = {}
        if dies_at is not None:
            kind = "disk" if isinstance(dies_at.at, Disk) else "call"
            armed = {kind: attrs.asdict(dies_at.at), "name": dies_at.name}
        status = nursery.live(
            "tests.crash.points:live", lines, settings=settings, work=work, base=base, **armed
        )
        printed = lines.read_text()
        assert status == (-9 if dies_at else 0), (point.name, work, status, printed[-600:])
        if dies_at is not None and isinstance(dies_at.at, Call):
            assert f"reached {dies_at.name}" in printed, (point.name, "was not reached")

    if point.work == "resend":
        life("send", 100, next(known for known in POINTS if known.name == _CLAIMED))
    elif point.work == "rebuild":
        life("send", 100)
    elif point.work == "night":
        served.change_faults({"lose": {"times": 2}})
        life("send", 100)
        served.change_faults({"lose": None})
    life(point.work, 1_000, point)
    life(_THEN.get(point.work, point.work), 5_000)
    # A segment that was abandoned is set apart until somebody repairs the log; nothing else needs that.
    repairs = point.work == "hopeless"
    status = nursery.live("tests.crash.points:settle", lines, settings=settings, repairs=repairs)
    assert status == 0, lines.read_text()[-600:]
    return Outlived(point, *judge(served, settings, point.name, lines))


def judge(
    served: Served, settings: dict[str, str], name: str, lines: Path, *, years: int = 0
) -> tuple[int, int]:
    """Hold log and server to what the children said; how many receipts were given, and events arrived.

    The server is asked for a day around the timestamps of the children, and *years* on both sides.

    Raises:
        AssertionError: naming *name* and what is lost, doubled, or there although it was refused.
    """
    told = [line.split() for line in lines.read_text().splitlines()]
    receipts = {event_id: int(number) for word, event_id, number in (t for t in told if t[0] == "receipt")}
    tried = {int(words[1]) for words in told if words[0] == "try"}
    refused = {int(words[1]) for words in told if words[0] == "refused"}
    assert len(receipts) == sum(words[0] == "receipt" for words in told), "one number for two receipts"
    log = Path(settings["log"])
    with served.client(log) as client:
        logged = {logged.id: logged.event["number"] for logged in client.log.entries()}
        around = {
            "start": (an_hour_that_is_over() - timedelta(days=1 + 365 * years)).isoformat(),
            "end": (an_hour_that_is_over() + timedelta(days=1 + 365 * years)).isoformat(),
        }
        events = client.extraction(
            settings["collection"], timeframe=around, property_names=["kc.id", "number"]
        )
    arrived = {event["kc"]["id"]: event["number"] for event in events}
    with closing(sqlite3.connect(log / "state.db")) as db:
        gone = {origin for (origin,) in db.execute("SELECT origin FROM origins WHERE status = 'reclaimed'")}
        half_gone = db.execute("SELECT origin FROM reclaims WHERE done_ms IS NULL").fetchall()
    gone_ids = {event_id for event_id in arrived if event_id.split("-")[0] in gone}
    place = f"{name}: "
    assert half_gone == [], place + "a reclaim that was begun was not ended"
    assert len(arrived) == len(events), place + "doubled at the server"
    assert max(Counter(arrived.values()).values(), default=1) == 1, place + "one event under two ids"
    assert receipts.items() <= arrived.items(), place + "a receipt did not arrive"
    assert {i for i in receipts if i not in gone_ids} <= logged.keys(), place + "a receipt is not in the log"
    assert logged.items() <= arrived.items(), place + "something in the log did not arrive"
    assert arrived.keys() <= logged.keys() | gone_ids, place + "from nowhere"
    assert set(arrived.values()) <= tried, place + "an event that nobody recorded"
    assert refused.isdisjoint(arrived.values()), place + "there, although it was said not to be recorded"
    return len(receipts), len(arrived)


def main(arguments: list[str]) -> int:
    """Die at each point that is asked for; 1 when something was not as it should be."""
    from tests.crash.conftest import Arena

    parser = argparse.ArgumentParser(prog="python -m tests.crash.points", description=__doc__)
    parser.add_argument("--point", action="append", help="part of a name; default: all points")
    parser.add_argument("--rounds", type=int, default=1, help="how often each")
    chosen = parser.parse_args(arguments)
    points = [p for p in POINTS if not chosen.point or any(part in p.name for part in chosen.point)]
    began = time.monotonic()
    deaths = failed = receipts = arrived = 0
    with tempfile.TemporaryDirectory() as directory:
        arena = Arena(Path(directory))
        nursery = Nursery(shim.build(Path(directory)))
        try:
            served = arena.serve()
            for number, point in enumerate(points * chosen.rounds):
                place = Path(directory, str(number))
                place.mkdir()
                try:
                    found = outlive(nursery, served, place, point)
                except AssertionError as error:
                    failed += 1
                    sys.stdout.write(f"FAILED {point.name}: {error}\n")
                    continue
                deaths, receipts, arrived = deaths + 1, receipts + found.receipts, arrived + found.arrived
                sys.stdout.write(
                    f"{point.name}: {found.receipts} receipts, {found.arrived} arrived, each once\n"
                )
                sys.stdout.flush()
        finally:
            nursery.end()
            arena.end()
    sys.stdout.write(
        f"{deaths} processes killed at {len(points)} points: {receipts:,} receipts, {arrived:,} events at the server,"
        f" none lost, none doubled; {failed} failed ({time.monotonic() - began:.0f} s)\n"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
