"""A log in a temporary directory, with a clock that the test turns and a seeded origin generator."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from keen_client._foundation.randomness import SeededRandomness
from keen_client.eventlog.config import LogConfig
from keen_client.eventlog.directory import Binding, LogDirectory
from keen_client.eventlog.entry import DeliveryState
from keen_client.eventlog.log import EventLog
from keen_client.eventlog.outbox import Settlement
from keen_client.eventlog.recorder import Recorder
from keen_client.eventlog.segment import SegmentName
from keen_client.eventlog.state import State
from keen_client.eventlog.succession import Succession
from keen_client.events.encoding import EncodedEvent, encode_event
from keen_client.events.identity import EntryId

#: 2026-11-23T12:00:00Z
NOON_MS = 1_795_435_200_000
BOOT_ID = "boot-1"
BINDING = Binding("https://api.keen.io", "project-1")


class TurnedClock:
    """A clock that stands still until it is turned; sleeping turns it."""

    def __init__(self, now_ms: int = NOON_MS) -> None:
        self.now_ms = now_ms
        self.passed_ns = 0

    def wall_ms(self) -> int:
        return self.now_ms

    def monotonic_ns(self) -> int:
        return self.passed_ns

    def wait(self, event: threading.Event, timeout_seconds: float | None) -> bool:
        self.turn(timeout_seconds or 0.0)
        return event.is_set()

    def sleep(self, seconds: float) -> None:
        self.turn(seconds)

    def turn(self, seconds: float) -> None:
        self.now_ms += round(seconds * 1000)
        self.passed_ns += round(seconds * 1e9)


@attrs.define
class Desk:
    """One process's way to record into a log, with every part at hand."""

    directory: LogDirectory
    config: LogConfig
    clock: TurnedClock
    succession: Succession
    recorder: Recorder
    cursors: dict[str, tuple[str, int]]
    abandoned: list[SegmentName]

    def record(self, number: int = 0, collection: str = "purchases") -> str:
        """Record one event; its id."""
        return str(self.recorder.append(event(number, collection)).id)


def event(number: int = 0, collection: str = "purchases") -> EncodedEvent:
    return encode_event(collection, {"number": number})


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
def directory(tmp_path: Path, clock: TurnedClock) -> LogDirectory:
    made = LogDirectory(tmp_path / "log")
    made.make(BINDING, clock.wall_ms())
    return made


@pytest.fixture
def state(directory: LogDirectory) -> Iterator[State]:
    opened = State(directory.path)
    yield opened
    opened.close()


@attrs.define
class Till:
    """A whole log, and the ways to record, send and roll it."""

    log: EventLog
    clock: TurnedClock

    def record(
        self, count: int = 1, collection: str = "purchases", timestamp: str | None = None
    ) -> list[EntryId]:
        events = [encode_event(collection, {"number": n, "price": 2 * n}, timestamp) for n in range(count)]
        return [recorded.id for recorded in self.log.record_all(events)]

    def send(self, state: DeliveryState = DeliveryState.ACKNOWLEDGED) -> int:
        """Claim all that is due and settle it alike; how many entries."""
        sent = 0
        while claim := self.log.outbox.claim(events_max=1_000, bytes_max=10_000_000):
            self.log.outbox.settle(claim, [Settlement(state)] * len(claim.entries))
            sent += len(claim.entries)
        return sent

    def roll(self, days: float = 1.0) -> None:
        """Let days pass and record one event, so that what is older is sealed."""
        self.clock.turn(days * 86_400)
        self.record(collection="later")
        self.log.tend()

    def drain(self) -> None:
        """Send all, and let the sender leave what is sealed."""
        self.send()
        self.log.outbox.claim(events_max=1, bytes_max=1)

    def status(self, origin: str) -> str:
        with self.log.state.reading() as db:
            return str(db.execute("SELECT status FROM origins WHERE origin = ?", (origin,)).fetchone()[0])


@pytest.fixture
def make_till(tmp_path: Path, clock: TurnedClock, seed: int) -> Iterator[Callable[..., Till]]:
    """Open the log of this test; keyword arguments go into the configuration."""
    tills: list[Till] = []
    randomness = SeededRandomness(seed)

    def make(**settings: object) -> Till:
        config = LogConfig(**settings)  # type: ignore[arg-type]
        log = EventLog(tmp_path / "log", BINDING, config, clock, randomness, boot_id=BOOT_ID)
        tills.append(Till(log, clock))
        return tills[-1]

    yield make
    for till in tills:
        till.log.close()


@pytest.fixture
def make_desk(directory: LogDirectory, clock: TurnedClock, seed: int) -> Iterator[Callable[..., Desk]]:
    """Make a desk; keyword arguments go into the configuration, ``boot_id`` into the machine."""
    desks: list[Desk] = []
    # One source for all desks of a test: two of them must not draw the same origins.
    randomness = SeededRandomness(seed)

    def make(boot_id: str = BOOT_ID, **settings: object) -> Desk:
        config = LogConfig(**settings)  # type: ignore[arg-type]
        cursors: dict[str, tuple[str, int]] = {}
        abandoned: list[SegmentName] = []
        succession = Succession(directory, config, clock, randomness, boot_id, cursors.get)
        recorder = Recorder(directory, config, clock, succession, abandoned.append)
        desks.append(Desk(directory, config, clock, succession, recorder, cursors, abandoned))
        return desks[-1]

    yield make
    for desk in desks:
        desk.recorder.close()
