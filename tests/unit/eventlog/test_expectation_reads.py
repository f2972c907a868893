"""What is expected, collection by collection: what is open is read once for all, and anew when it has changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR, ms_to_datetime
from keen_client._foundation.randomness import SeededRandomness
from keen_client.eventlog.config import LogConfig
from keen_client.eventlog.directory import Binding
from keen_client.eventlog.entry import DeliveryState, Entry
from keen_client.eventlog.expectation import Expectation, Window
from keen_client.eventlog.log import EventLog
from keen_client.eventlog.outbox import Settlement
from keen_client.eventlog.shelf import Shelf
from keen_client.events.encoding import encode_event
from keen_client.testing.clocks import VirtualClock

NAMES = [f"c{number}" for number in range(8)]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    log = EventLog(
        tmp_path / "log",
        Binding("https://api.keen.io", "p1"),
        LogConfig(durability="normal"),
        VirtualClock(),
        SeededRandomness(1),
    )
    yield log
    log.close()


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Entry]:
    """The entries that were read."""
    read: list[Entry] = []
    entries = Shelf.entries

    def counted(self: Shelf, origin: str, low: int, high: int) -> Iterator[Entry]:
        for entry in entries(self, origin, low, high):
            read.append(entry)
            yield entry

    monkeypatch.setattr(Shelf, "entries", counted)
    return read


def record(log: EventLog, each: int) -> None:
    for name in NAMES:
        for number in range(each):
            log.record(encode_event(name, {"n": number}, timestamp=ms_to_datetime(log.clock.wall_ms())))


def settle(log: EventLog, events: int, state: DeliveryState) -> None:
    claim = log.outbox.claim(events_max=events, bytes_max=10**7)
    assert claim is not None
    log.outbox.settle(claim, [Settlement(state)] * len(claim.entries))


def expected(log: EventLog, by: Expectation) -> list[dict[int, Window]]:
    """The windows of each collection."""
    start_ms = log.clock.wall_ms() // MS_PER_DAY * MS_PER_DAY
    return [by.windows(name, start_ms, start_ms + MS_PER_DAY, MS_PER_HOUR) for name in NAMES]


def test_what_is_open_is_not_read_again_for_each_collection(log: EventLog, read: list[Entry]) -> None:
    """Half of it unknown, half not yet folded: each entry is read at most twice, however many collections ask how often."""
    record(log, 20)
    settle(log, 80, DeliveryState.UNKNOWN)
    read.clear()
    for _ in range(3):
        expected(log, log.expectation)
    by_id = {entry.id for entry in read}
    assert len(by_id) == 160
    assert len(read) <= 80 + 4 * 80  # the tail once for its shape, and what is a collection's own each time


def test_what_was_read_is_never_older_than_the_log(log: EventLog) -> None:
    """Recorded, sent, settled in between: the same windows as somebody sees who looks for the first time."""
    steps: list[Callable[[], object]] = [
        lambda: record(log, 3),
        lambda: settle(log, 5, DeliveryState.UNKNOWN),
        lambda: record(log, 1),
        lambda: settle(log, 9, DeliveryState.ACKNOWLEDGED),
        lambda: settle(log, 9, DeliveryState.PENDING),
        lambda: log.clock.sleep(3600),
        lambda: record(log, 2),
    ]
    for step in steps:
        step()
        fresh = Expectation(log.state, log.shelf, log.totals)
        assert expected(log, log.expectation) == expected(log, fresh)
