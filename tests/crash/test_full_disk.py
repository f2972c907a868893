"""On a disk that is really full: nothing acknowledged is lost, sending goes on, recording resumes when there is room."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from keen_client._foundation.clock import SystemClock
from keen_client._foundation.randomness import SystemRandomness
from keen_client.errors import EventLogFullError
from keen_client.eventlog.config import Durability, LogConfig
from keen_client.eventlog.directory import Binding
from keen_client.eventlog.entry import DeliveryState
from keen_client.eventlog.log import EventLog
from keen_client.eventlog.outbox import Settlement
from keen_client.eventlog.segment import SegmentReader, list_segments
from keen_client.events.encoding import encode_event

DISK_BYTES = 12_000_000


def _mount(path: Path) -> bool:
    if sys.platform != "linux":
        return False
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(path)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with 12 MB; where it cannot be mounted, a directory: then the tests limit the files."""
    place = tmp_path / "disk"
    place.mkdir()
    is_mounted = _mount(place)
    yield place
    if is_mounted:
        subprocess.run(["umount", "-l", str(place)], check=True)


def open_log(place: Path, durability: Durability = "full") -> EventLog:
    is_small = place.is_mount()
    return EventLog(
        place / "log",
        Binding("https://api.keen.io", "project-1"),
        LogConfig(
            durability=durability,
            reserve_bytes=1_000_000,
            log_size_max_bytes=10**12 if is_small else DISK_BYTES,
        ),
        SystemClock(),
        SystemRandomness(),
    )


def fill(log: EventLog) -> list[str]:
    """Record until there is no room; the ids of all receipts."""
    ids: list[str] = []
    text = ["x" * 9_000] * 10

    def go_on() -> None:
        while True:
            ids.extend(str(r.id) for r in log.record_all([encode_event("purchases", {"text": text})] * 3))

    with pytest.raises(EventLogFullError, match="not recorded"):
        go_on()
    return ids


def present(log: EventLog) -> list[str]:
    found: list[str] = []
    for name in list_segments(log.directory.segments):
        reader = SegmentReader(log.directory.segments, name)
        found.extend(str(entry.id) for entry in reader.entries(1, 2**62))
        reader.close()
    return found


@pytest.mark.parametrize("durability", ["full", "normal"])
def test_every_receipt_given_before_the_disk_was_full_is_a_row(
    small_disk: Path, durability: Durability
) -> None:
    """And there is no row without a receipt: what was refused is absent."""
    log = open_log(small_disk, durability)
    ids = fill(log)
    assert len(ids) > 30
    assert sorted(present(log)) == sorted(ids)
    log.close()
    assert sorted(present(log)) == sorted(ids)


@pytest.mark.parametrize("durability", ["full", "normal"])
def test_sending_goes_on_when_the_disk_is_full(small_disk: Path, durability: Durability) -> None:
    """`state.db` gives the reserve up for it; recording waits meanwhile."""
    log = open_log(small_disk, durability)
    ids = fill(log)
    sent: list[str] = []
    while claim := log.state.with_reserve(lambda: log.outbox.claim(events_max=10, bytes_max=10_000_000)):
        sent.extend(str(claimed.stamped.entry.id) for claimed in claim.entries)
        outcome = [Settlement(DeliveryState.ACKNOWLEDGED)] * len(claim.entries)
        log.outbox.settle(claim, outcome)
    assert sorted(sent) == sorted(ids)
    log.close()


def test_recording_resumes_when_there_is_room_again(small_disk: Path) -> None:
    """With the next number, and without a restart."""
    log = open_log(small_disk)
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"\0" * 4_000_000)
    ids = fill(log)
    ballast.unlink()
    if not small_disk.is_mount():
        log.close()
        log = EventLog(
            small_disk / "log", None, LogConfig(reserve_bytes=1_000_000), SystemClock(), SystemRandomness()
        )
    after = log.record(encode_event("purchases", {"n": 1}))
    assert str(after.id) not in ids
    assert sorted(present(log)) == sorted([*ids, str(after.id)])
    log.close()
