"""What a segment that cannot be read does to a verification: its day is unverifiable, and the report says why."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from keen_client._foundation.clock import MS_PER_DAY
from keen_client.replay.plan import ReplayReport
from keen_client.verify.verdict import Verdict

if TYPE_CHECKING:
    from tests.unit.verify.conftest import World

#: The world begins in the first hour of a day.
DAY = 1_790_812_800_000
#: A scope in which there is nothing.
NEXT_DAY: dict[str, Any] = {"start_ms": DAY + MS_PER_DAY, "end_ms": DAY + 2 * MS_PER_DAY}


def harm(world: World, origin: str, *, is_gone: bool) -> None:
    """Delete or empty the segment's file."""
    world.log.shelf.release(origin)
    (path,) = world.log.directory.segments.glob(f"*-{origin}.db")
    for sidecar in ("-wal", "-shm"):
        Path(f"{path}{sidecar}").unlink(missing_ok=True)
    if is_gone:
        path.unlink()
    else:
        os.truncate(path, 0)


@pytest.mark.parametrize("is_gone", [False, True])
def test_no_window_of_its_day_matches_and_others_do(world: World, *, is_gone: bool) -> None:
    """All that was folded is there, and what was not may lie anywhere: 32 as long as it lasts."""
    old = world.record(3)
    world.send()
    world.advance(hours=48)
    new = world.record(2, at_ms=DAY + 2 * MS_PER_DAY)
    world.send()
    world.advance(hours=3)
    scope: dict[str, Any] = {"end_ms": DAY + 3 * MS_PER_DAY}
    assert [window.state for window in world.verify(**scope).windows] == [Verdict.FINAL] * 2
    assert old[0].origin != new[0].origin
    harm(world, old[0].origin, is_gone=is_gone)
    report = world.verify(**scope)
    first, second = report.windows
    assert (first.state, second.state) == (Verdict.UNVERIFIABLE, Verdict.FINAL)
    assert old[0].origin in first.reason
    assert [segment.name.origin for segment in report.unreadable] == [old[0].origin]
    (warning,) = report.warnings
    assert old[0].origin in warning
    assert report.exit_status() == 32
    assert world.verify(start_ms=DAY + 2 * MS_PER_DAY, end_ms=DAY + 3 * MS_PER_DAY).exit_status() == 32


def test_window_of_another_day_with_events_of_it_does_not_match(world: World) -> None:
    """A timestamp may be given: the origin of what is expected there tells."""
    ids = world.record(3, at_ms=DAY - 3 * MS_PER_DAY)
    world.send()
    world.advance(hours=1)
    harm(world, ids[0].origin, is_gone=True)
    (window,) = world.verify(start_ms=DAY - 4 * MS_PER_DAY, end_ms=DAY).windows
    assert (window.start_ms, window.state) == (DAY - 3 * MS_PER_DAY, Verdict.UNVERIFIABLE)


@pytest.mark.parametrize("is_gone", [False, True])
def test_log_of_which_nothing_was_read_is_not_an_empty_one(world: World, *, is_gone: bool) -> None:
    """No window is left, and the report is no match all the same; nor is a replay of it, dry or not."""
    ids = world.record(3)
    world.log.outbox.claim(events_max=1, bytes_max=1)  # the segment is listed
    world.record(3)
    harm(world, ids[0].origin, is_gone=is_gone)
    report = world.verify(**NEXT_DAY)
    assert (report.windows, report.exit_status()) == ((), 32)
    assert len(report.warnings) == len(report.unreadable) == 1
    for is_dry_run in (True, False):
        assert ReplayReport(is_dry_run=is_dry_run, verification=report).exit_status() == 32


def test_unsent_entry_in_the_middle_that_cannot_be_read_is_noticed(world: World) -> None:
    """The end and the next entry can be read, so that only reading all of them tells."""
    world.record(3)
    world.send()
    for number in range(400):
        world.record(price=number)
    (name,) = world.log.shelf.names()
    assert world.verify().unreadable == ()
    path = name.path_in(world.log.directory.segments)
    world.log.shelf.release(name.origin)
    _overwrite_the_page_of(path, b'{"item":"book","price":200}')
    assert world.log.outbox.backlog().unreadable == ()
    (unreadable,) = world.verify().unreadable
    assert unreadable.name == name


def _overwrite_the_page_of(path: Path, text: bytes) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    offset = path.read_bytes().index(text) // 4096 * 4096
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xa5" * 4096)


def test_repaired_log_has_its_windows_unverifiable_and_the_report_is_whole_again(world: World) -> None:
    """What was journalled as lost makes no bit of its own: only windows that it has a share in."""
    ids = world.record(3)
    world.send()
    world.advance(hours=1)
    harm(world, ids[0].origin, is_gone=True)
    before = world.verify()
    with world.log.state.transaction() as db:
        db.execute("UPDATE origins SET status = 'damaged'")
        db.execute("INSERT INTO damages VALUES (1, 1, ?, 'f', 'its file is gone', 0, NULL)", (ids[0].origin,))
    after = world.verify()
    assert [report.windows[0].state for report in (before, after)] == [Verdict.UNVERIFIABLE] * 2
    assert (after.unreadable, after.warnings, after.common_bits) == ((), (), 0)
    assert world.verify(**NEXT_DAY).exit_status() == 0
