"""A night on a full disk: it does what the reserve has room for, and above all it lets go what may go."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from keen_client._foundation.files import allocate
from keen_client.eventlog import recovery
from keen_client.eventlog.state import State

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.replay.conftest import Rig

RESERVE_BYTES = 100_000


class FullDisk:
    """From the moment it is full, there is room for a transaction only once the reserve is given up, and for no copy."""

    def __init__(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = rig.client._core.need_machinery().log.directory
        #: So many transactions still find room.
        self.left: int | None = None
        begin = State._begin

        def begin_where_there_is_room(state: State) -> None:
            begin(state)
            if self.left is None:
                return
            is_full = self.left <= 0 and self.reserve.exists()
            self.left -= 1
            state._connection.execute(f"PRAGMA max_page_count={1 if is_full else 1_000_000}")
            if is_full:
                state._connection.execute(f"CREATE TABLE ballast AS SELECT zeroblob({RESERVE_BYTES})")

        def copy(path: Path) -> None:
            if self.left is not None:
                raise OSError(errno.ENOSPC, f"No space left on device for {path.name}")

        monkeypatch.setattr(State, "_begin", begin_where_there_is_room)
        monkeypatch.setattr(recovery, "sync_file", copy)

    @property
    def reserve(self) -> Path:
        return self.directory.reserve

    def fill(self, left: int = 0) -> None:
        """After *left* transactions there is only the reserve."""
        self.left = None
        if not self.reserve.exists():
            allocate(self.reserve, RESERVE_BYTES)
        self.left = left


@pytest.fixture
def disk(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> FullDisk:
    """A disk with room yet; the log's first segment may go."""
    rig.record_and_send(5)
    for _ in range(3):
        rig.advance(hours=26)
        rig.nightly()
    rig.advance(hours=11 * 24)
    rig.nightly()
    rig.advance(hours=60 * 24)
    rig.record(1, "later")
    return FullDisk(rig, monkeypatch)


def test_a_night_on_a_full_disk_sends_verifies_and_reclaims(rig: Rig, disk: FullDisk) -> None:
    """One run: what waited is sent, the old segment goes, and that no copy could be made is told and not the end."""
    disk.fill()
    report = rig.nightly()
    assert not disk.reserve.exists()
    assert (report.sent.acknowledged, report.sent.pending) == (1, 0)
    assert report.reclaimed.segments == 1
    (warning,) = report.warnings
    assert warning.startswith("no new copy of state.db could be made: the disk that holds the log is full")
    assert warning in report.document()["warnings"]


def test_the_former_copy_stays_and_a_half_made_one_does_not(rig: Rig, disk: FullDisk) -> None:
    """What could not be finished takes no room, and the copy of the night before is as it was."""
    former = disk.directory.state_copy.read_bytes()
    disk.fill()
    rig.nightly()
    assert disk.directory.state_copy.read_bytes() == former
    assert [path.name for path in disk.directory.path.glob("*.tmp")] == []


def test_no_write_of_a_night_ends_it_while_there_is_a_reserve(rig: Rig, disk: FullDisk) -> None:
    """Whichever of its transactions (every eighteenth is tried) finds no room first, a night that resends comes to its end."""
    rig.nightly("immediate")
    for left in range(0, 108, 18):
        disk.left = None
        rig.record_and_send(2, lose=1)
        disk.fill(left)
        report = rig.nightly("immediate")
        assert (len(report.replay.replayed), report.exit_status()) == (1, 0)
        if disk.reserve.exists():
            break
    else:
        pytest.fail("each night needed the reserve")
    assert left > 10
