"""Which file is written to: by day, by identity, by what was already sent; and what follows a seal."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR
from keen_client.errors import ConfigurationError, EventLogDamagedError, EventLogError
from keen_client.eventlog.config import SEGMENT_SIZE_MIN_BYTES, LogConfig
from keen_client.eventlog.directory import LogDirectory
from keen_client.eventlog.segment import (
    SegmentName,
    SegmentReader,
    SegmentWriter,
    finish_sealed,
    list_segments,
)
from keen_client.eventlog.succession import recording_span
from keen_client.events.encoding import encode_event

#: The desk and the clock of this folder's conftest.
MakeDesk = Callable[..., Any]


def origins(directory: LogDirectory) -> list[str]:
    return [name.origin for name in list_segments(directory.segments)]


def header_of(directory: LogDirectory, name: SegmentName) -> Any:
    reader = SegmentReader(directory.segments, name)
    try:
        return reader.header()
    finally:
        reader.close()


def test_first_event_makes_the_first_segment_and_a_second_process_joins_it(
    directory: LogDirectory, make_desk: MakeDesk
) -> None:
    """All writers of a machine share one file."""
    first, second = make_desk(), make_desk()
    ids = [first.record(), second.record(), first.record()]
    (origin,) = origins(directory)
    assert ids == [f"{origin}-{seq}" for seq in (1, 2, 3)]


def test_span_of_a_segment_is_its_day_and_the_day_before() -> None:
    """A smaller step back of the clock records on."""
    first_ms, end_ms = recording_span(SegmentName("2026-11-23", "4kq7x2m9pz"))
    assert (first_ms, end_ms) == (1_795_305_600_000, 1_795_478_400_000)


def test_new_day_seals_the_old_file_and_names_the_new_one(
    directory: LogDirectory, make_desk: MakeDesk, clock: Any
) -> None:
    """The old file's header leads to the new one; both stay readable."""
    desk = make_desk()
    old_id = desk.record()
    clock.turn(86_400)
    new_id = desk.record()
    old, new = list_segments(directory.segments)
    assert (old.day, new.day) == ("2026-11-23", "2026-11-24")
    assert (old_id, new_id) == (f"{old.origin}-1", f"{new.origin}-1")
    assert header_of(directory, old).successor == new
    assert not header_of(directory, new).is_sealed


def test_two_processes_roll_into_one_successor(
    directory: LogDirectory, make_desk: MakeDesk, clock: Any
) -> None:
    """The second finds the seal, or the day, and goes to the file that the first made."""
    first, second = make_desk(), make_desk()
    first.record()
    second.record()
    clock.turn(86_400)
    ids = [first.record(), second.record()]
    _, new = list_segments(directory.segments)
    assert ids == [f"{new.origin}-1", f"{new.origin}-2"]


def test_clock_one_day_back_records_on_and_two_days_back_does_not(
    directory: LogDirectory, make_desk: MakeDesk, clock: Any
) -> None:
    """A daylight or time server correction makes no new file; a wrong year does."""
    desk = make_desk()
    first_id = desk.record()
    clock.now_ms -= MS_PER_DAY
    assert desk.record()[:10] == first_id[:10]
    clock.now_ms -= MS_PER_DAY
    assert desk.record()[:10] != first_id[:10]
    assert len(origins(directory)) == 2


def test_after_a_wrong_clock_is_put_right_a_fresh_file_is_used(
    directory: LogDirectory, make_desk: MakeDesk, clock: Any
) -> None:
    """A file dated in the far future takes nothing of today."""
    clock.now_ms += 400 * MS_PER_DAY
    desk = make_desk()
    future_id = desk.record()
    clock.now_ms -= 400 * MS_PER_DAY
    today_id = desk.record()
    assert today_id[:10] != future_id[:10]
    assert make_desk().record()[:10] == today_id[:10]


def test_number_bound_rolls_to_a_successor_of_the_same_day(
    directory: LogDirectory, make_desk: MakeDesk
) -> None:
    """A full segment is sealed; several of one day are legal."""
    desk = make_desk(segment_entries_max=2)
    ids = [desk.record(number) for number in range(5)]
    assert len({event_id[:10] for event_id in ids}) == 3
    sealed = [header_of(directory, name).is_sealed for name in list_segments(directory.segments)]
    assert sorted(sealed) == [False, True, True]


def test_size_bound_rolls_too(directory: LogDirectory, make_desk: MakeDesk) -> None:
    """The bytes of the file, without its WAL, decide."""
    desk = make_desk(segment_size_max_bytes=SEGMENT_SIZE_MIN_BYTES)
    first = desk.recorder.append(encode_event("purchases", {"text": ["x" * 9_000] * 20})).id
    assert desk.record() == f"{first.origin}-2"
    (name,) = list_segments(directory.segments)
    sqlite3.connect(name.path_in(directory.segments)).execute("PRAGMA wal_checkpoint").connection.close()
    assert desk.record()[:10] != first.origin


def test_size_bound_that_no_segment_meets_is_refused() -> None:
    """An empty segment over the bound would be rolled for ever."""
    with pytest.raises(ConfigurationError, match="segment_size_max_bytes"):
        LogConfig(segment_size_max_bytes=SEGMENT_SIZE_MIN_BYTES - 1)


def test_restored_backup_starts_a_new_origin(
    directory: LogDirectory, make_desk: MakeDesk, tmp_path: Path
) -> None:
    """A file copied over the one in use has another inode: its numbers may have been given already."""
    desk = make_desk()
    desk.record()
    desk.recorder.close()
    (name,) = list_segments(directory.segments)
    backup = shutil.copy2(name.path_in(directory.segments), tmp_path / "backup")
    lost = [desk.record(), desk.record()]
    desk.recorder.close()
    Path(backup).replace(name.path_in(directory.segments))
    after = make_desk().record()
    assert after not in lost
    assert after[:10] != name.origin


def test_process_notices_a_file_replaced_under_it(
    directory: LogDirectory, make_desk: MakeDesk, tmp_path: Path
) -> None:
    """The identity is asked before each commit, by stat."""
    desk = make_desk()
    desk.record()
    (name,) = list_segments(directory.segments)
    copy = Path(shutil.copy2(name.path_in(directory.segments), tmp_path / "copy"))
    copy.replace(name.path_in(directory.segments))
    assert desk.record()[:10] != name.origin


def test_process_notices_that_its_file_was_deleted(directory: LogDirectory, make_desk: MakeDesk) -> None:
    """Recording goes on in a fresh file; nothing is written into the void."""
    desk = make_desk()
    first = desk.record()
    (name,) = list_segments(directory.segments)
    name.path_in(directory.segments).unlink()
    after = desk.record()
    assert after[:10] != first[:10]
    assert origins(directory) == [after[:10]]


def test_reboot_starts_a_new_origin(directory: LogDirectory, make_desk: MakeDesk) -> None:
    """With `normal` durability a power loss may have taken rows whose numbers were given out."""
    first = make_desk().record()
    assert make_desk(boot_id="boot-2").record()[:10] != first[:10]


def test_file_that_ends_before_its_cursor_is_not_continued(
    directory: LogDirectory, make_desk: MakeDesk
) -> None:
    """A backup written over the same inode: the numbers up to the cursor are at the server."""
    first = make_desk().record()
    desk = make_desk()
    desk.cursors[first[:10]] = ("open", 2)
    assert desk.record()[:10] != first[:10]


@pytest.mark.parametrize("status", ["sealed", "drained", "abandoned", "damaged", "reclaimed"])
def test_origin_that_state_knows_as_closed_is_not_continued(
    directory: LogDirectory, make_desk: MakeDesk, status: str
) -> None:
    """Whatever the file says of itself."""
    first = make_desk().record()
    desk = make_desk()
    desk.cursors[first[:10]] = (status, 1)
    assert desk.record()[:10] != first[:10]


def test_cursor_at_the_last_entry_records_on(directory: LogDirectory, make_desk: MakeDesk) -> None:
    """That is the ordinary case: all is sent."""
    first = make_desk().record()
    desk = make_desk()
    desk.cursors[first[:10]] = ("open", 1)
    assert desk.record() == f"{first[:10]}-2"


def test_successor_that_was_named_and_never_made_is_made(
    directory: LogDirectory, make_desk: MakeDesk
) -> None:
    """A crash between seal and making: the header's promise is kept."""
    desk = make_desk()
    desk.record()
    (name,) = list_segments(directory.segments)
    promised = SegmentName(name.day, "5555555555")
    writer = SegmentWriter(directory.segments, name, "full", 1.0)
    writer.seal(1, promised)
    writer.close()
    assert desk.record() == "5555555555-1"
    assert list_segments(directory.segments) == sorted([name, promised])


def test_promised_successor_that_was_used_already_is_not_made_again(
    directory: LogDirectory, make_desk: MakeDesk
) -> None:
    """It may be reclaimed or set aside: its numbers are taken."""
    desk = make_desk()
    desk.record()
    (name,) = list_segments(directory.segments)
    writer = SegmentWriter(directory.segments, name, "full", 1.0)
    writer.seal(1, SegmentName(name.day, "5555555555"))
    writer.close()
    desk.cursors["5555555555"] = ("reclaimed", 7)
    assert desk.record()[:10] != "5555555555"


def test_roll_seals_every_older_open_segment(
    directory: LogDirectory, make_desk: MakeDesk, clock: Any
) -> None:
    """A segment left open by a reboot is closed by the next roll."""
    make_desk().record()
    desk = make_desk(boot_id="boot-2")
    desk.record()
    clock.turn(86_400)
    desk.record()
    sealed = {name.day: header_of(directory, name).is_sealed for name in list_segments(directory.segments)}
    assert sealed == {"2026-11-23": True, "2026-11-24": False}
    assert all(
        header_of(directory, name).is_sealed
        for name in list_segments(directory.segments)
        if name.day == "2026-11-23"
    )


def test_yesterday_s_file_is_not_sealed_while_the_clock_may_still_step_back_into_it(
    directory: LogDirectory, make_desk: MakeDesk, clock: Any
) -> None:
    """What fits today is left open; `seal_older` takes only what cannot be written to any more."""
    desk = make_desk()
    desk.record()
    (name,) = list_segments(directory.segments)
    assert desk.succession.seal_older(SegmentName("2026-11-24", "5555555555")) == 0
    clock.now_ms += 12 * MS_PER_HOUR
    assert desk.succession.seal_older(SegmentName("2026-11-24", "5555555555")) == 1
    assert header_of(directory, name).successor_day == "2026-11-24"


def test_finished_segment_is_passed_over_unopened(directory: LogDirectory, make_desk: MakeDesk) -> None:
    """Its mode tells; opening it for writing would make a WAL beside it."""
    desk = make_desk()
    desk.record()
    desk.recorder.close()
    (name,) = list_segments(directory.segments)
    assert desk.succession.seal(name, SegmentName(name.day, "5555555555"))
    assert finish_sealed(directory.segments, name)
    assert make_desk().record()[:10] != name.origin
    assert not Path(f"{name.path_in(directory.segments)}-wal").exists()


def test_damaged_segment_is_passed_over(directory: LogDirectory, make_desk: MakeDesk) -> None:
    """Recording goes on in a fresh file; the damaged one stays as it is for recovery."""
    SegmentName("2026-11-23", "zzzzzzzzzz").path_in(directory.segments).write_bytes(b"no database " * 500)
    event_id = make_desk().record()
    assert event_id[:10] != "zzzzzzzzzz"
    assert (directory.segments / "2026-11-23-zzzzzzzzzz.db").read_bytes() == b"no database " * 500


def test_sealing_what_is_gone_held_or_sealed_does_nothing(
    directory: LogDirectory, make_desk: MakeDesk
) -> None:
    """False each time, and no file appears."""
    desk = make_desk()
    desk.record()
    (name,) = list_segments(directory.segments)
    successor = SegmentName(name.day, "5555555555")
    assert not desk.succession.seal(SegmentName(name.day, "6666666666"), successor)
    byte = directory.segment_byte(name.origin)
    with directory.recorders_lock().held(byte) as alone:
        assert alone
        assert not desk.succession.seal(name, successor, timeout_seconds=0.0)
    assert desk.succession.seal(name, successor)
    assert not desk.succession.seal(name, successor)
    assert list_segments(directory.segments) == [name]


def test_state_that_cannot_be_asked_leads_to_a_fresh_segment(
    directory: LogDirectory, make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the cursor nobody knows which numbers were sent: none of an old file is given again."""
    first = make_desk().record()
    desk = make_desk()

    def fail(origin: str) -> None:
        raise EventLogDamagedError("state.db is damaged")

    monkeypatch.setattr(desk.succession, "_cursor_of", fail)
    assert desk.record()[:10] != first[:10]


def test_segment_that_cannot_be_made_is_told_apart_from_a_recorded_event(
    directory: LogDirectory, make_desk: MakeDesk
) -> None:
    """The error says that nothing was recorded, and nothing half-made stays."""
    directory.segments.rmdir()
    directory.segments.write_text("in the way")
    with pytest.raises((EventLogError, sqlite3.Error), match="not recorded"):
        make_desk().record()
    assert directory.segments.read_text() == "in the way"
