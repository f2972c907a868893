"""Room: the log's own limit, a full disk, the reserve, and waits that end."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keen_client.errors import EventLogFullError
from keen_client.eventlog import space
from keen_client.eventlog.directory import LogDirectory
from keen_client.eventlog.segment import SegmentWriter
from keen_client.eventlog.space import log_size_bytes
from keen_client.eventlog.state import State

MakeDesk = Callable[..., Any]


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """What the disk says is free."""
    answer = {"bytes": 10**12}
    monkeypatch.setattr(space, "free_bytes", lambda path: answer["bytes"])
    return answer


def test_size_of_the_log_is_that_of_all_its_files(directory: LogDirectory, make_desk: MakeDesk) -> None:
    """Sidecars, the reserve and damaged files take room too."""
    desk = make_desk()
    desk.record()
    directory.damaged.mkdir()
    (directory.damaged / "old").write_bytes(b"x" * 1_000)
    files = [path for path in directory.path.rglob("*") if path.is_file()]
    assert log_size_bytes(directory) == sum(path.stat().st_size for path in files)
    assert directory.reserve in files


def test_first_event_puts_the_reserve_aside(directory: LogDirectory, make_desk: MakeDesk) -> None:
    """Really allocated, not a hole."""
    make_desk(reserve_bytes=1_000_000).record()
    status = directory.reserve.stat()
    assert status.st_size == 1_000_000
    assert status.st_blocks * 512 >= 1_000_000


def test_limit_of_the_log_refuses_by_name(directory: LogDirectory, make_desk: MakeDesk) -> None:
    """The event was not recorded, and the message says which setting did it."""
    desk = make_desk(log_size_max_bytes=1)
    with pytest.raises(EventLogFullError, match="limit of 1 bytes; the event was not recorded"):
        desk.record()


def test_recording_stops_before_it_touches_the_reserve(
    directory: LogDirectory, make_desk: MakeDesk, free: dict[str, int], clock: Any
) -> None:
    """Once `state.db` has used the reserve, events wait until there is room for it again."""
    desk = make_desk(reserve_bytes=1_000_000)
    desk.record()
    directory.reserve.unlink()
    free["bytes"] = 1_999_999
    clock.turn(2)
    with pytest.raises(EventLogFullError, match="reserve is in use"):
        desk.record()
    free["bytes"] = 2_000_000
    assert desk.record()
    assert directory.reserve.exists()


def test_disk_is_looked_at_once_a_second(
    directory: LogDirectory, make_desk: MakeDesk, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look costs more than an event."""
    looks: list[None] = []
    real = space.log_size_bytes

    def counted(asked: LogDirectory) -> int:
        looks.append(None)
        return real(asked)

    monkeypatch.setattr(space, "log_size_bytes", counted)
    desk = make_desk()
    for _ in range(10):
        desk.record()
    assert len(looks) == 1
    clock.turn(1)
    desk.record()
    assert len(looks) == 2


def test_blocking_waits_until_there_is_room(
    directory: LogDirectory,
    make_desk: MakeDesk,
    free: dict[str, int],
    clock: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Somebody frees space meanwhile: the caller notices nothing but the time."""
    free["bytes"] = 0
    desk = make_desk(on_full="block", block_timeout_seconds=30)
    sleep = clock.sleep

    def free_some(seconds: float) -> None:
        sleep(seconds)
        if clock.passed_ns > 5e9:
            free["bytes"] = 10**12

    monkeypatch.setattr(clock, "sleep", free_some)
    assert desk.record()
    assert 5e9 < clock.passed_ns < 6e9


def test_blocking_ends_at_its_timeout(make_desk: MakeDesk, free: dict[str, int], clock: Any) -> None:
    """A wait has a limit by name."""
    free["bytes"] = 0
    desk = make_desk(on_full="block", block_timeout_seconds=30)
    with pytest.raises(EventLogFullError):
        desk.record()
    assert 30e9 <= clock.passed_ns < 31e9


def test_blocking_ends_even_when_only_sqlite_finds_the_disk_full(
    make_desk: MakeDesk, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every look says there is room and every commit says there is none: that must not go on for ever."""

    def full(self: SegmentWriter, *args: Any) -> int:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    monkeypatch.setattr(SegmentWriter, "append_one", full)
    desk = make_desk(on_full="block", block_timeout_seconds=3)
    with pytest.raises(EventLogFullError):
        desk.record()
    assert 3e9 <= clock.passed_ns < 4e9


def test_state_gives_the_reserve_up_when_the_disk_is_full(directory: LogDirectory, state: State) -> None:
    """The first change that finds no room frees the reserve; the next try fits."""
    directory.reserve.write_bytes(b"\0" * 1_000)
    with state.reading() as db:
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(EventLogFullError, match="undone"):
        state.note("large", "x" * 100_000)
    assert not directory.reserve.exists()
    assert state.fact("large") is None
    with state.reading() as db:
        db.execute("PRAGMA max_page_count=1000000")
    state.note("large", "x" * 100_000)
    assert state.fact("large") is not None


def test_vanishing_file_does_not_disturb_the_count(directory: LogDirectory, tmp_path: Path) -> None:
    """A WAL that is checkpointed away between listing and looking has no size."""
    (directory.path / "dangling").symlink_to(tmp_path / "nowhere")
    assert log_size_bytes(directory) > 0
