"""A lost or damaged state.db is rebuilt from the segments: nothing becomes pending, nothing reclaimable, nothing forgotten silently."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keen_client._foundation.clock import MS_PER_DAY, ms_to_iso
from keen_client._foundation.randomness import SeededRandomness
from keen_client.errors import (
    EventLogBusyError,
    EventLogDamagedError,
    EventLogError,
    EventLogFullError,
    EventLogPermissionError,
    EventLogTooNewError,
)
from keen_client.eventlog.deletions import Deletion, Deletions
from keen_client.eventlog.doctor import examine
from keen_client.eventlog.entry import DeliveryState
from keen_client.eventlog.reclaim import Reclaimer
from keen_client.eventlog.recovery import copy_state, rebuild_state, recover_state
from keen_client.eventlog.repair import repair
from keen_client.eventlog.segment import SegmentReader, list_segments
from keen_client.eventlog.state import State
from keen_client.eventlog.watermarks import watermarks_now
from keen_client.events.identity import EntryId
from keen_client.verify.evidence import STICKY, Kind
from tests.bare_rights import bare_rights

MakeTill = Callable[..., Any]
BOOT_ID = "boot-1"


def always(collection: str, hour: int) -> bool:
    return True


def reclaimer(till: Any) -> Reclaimer:
    log = till.log
    return Reclaimer(log.directory, log.state, log.shelf, log.config, log.clock)


def totals(till: Any) -> list[Any]:
    with till.log.state.reading() as db:
        return list(
            db.execute(
                "SELECT origin, collection, hour, n, sum_h, sum_g, seq_lo, seq_hi FROM totals ORDER BY 1, 2, 3"
            )
        )


def ranges(till: Any) -> list[Any]:
    with till.log.state.reading() as db:
        return list(db.execute("SELECT origin, seq_lo, seq_hi, state, unsure FROM ranges ORDER BY 1, 2"))


def lose_state(till: Any) -> None:
    till.log.close()
    till.log.directory.state.unlink()


def test_lost_state_is_rebuilt_when_the_log_is_opened(make_till: MakeTill) -> None:
    """Cursors and totals are those of before; every entry is unknown, and unsure for good."""
    till = make_till()
    ids = till.record(5)
    till.send()
    till.record(3, "visits")
    till.send(DeliveryState.REJECTED)
    before = totals(till)
    lose_state(till)
    again = make_till()
    assert totals(again) == before
    assert ranges(again) == [(ids[0].origin, 1, 8, "unknown", 1)]
    assert again.log.outbox.claim(events_max=100, bytes_max=10_000) is None
    assert again.log.outbox.backlog().unknown == 8


def test_recording_goes_on_behind_the_rebuilt_cursor(make_till: MakeTill) -> None:
    """No number is given again, and what comes after is pending as ever."""
    till = make_till()
    till.record(2)
    lose_state(till)
    again = make_till()
    (after,) = again.record()
    assert after.seq == 3
    claim = again.log.outbox.claim(events_max=100, bytes_max=10_000)
    assert [claimed.stamped.entry.id for claimed in claim.entries] == [after]


def test_rebuilt_entries_count_as_attempted_now(make_till: MakeTill, clock: Any) -> None:
    """The settle clock starts anew: whoever lost the state may have sent a moment ago."""
    till = make_till()
    till.record()
    lose_state(till)
    clock.turn(3_600)
    again = make_till()
    with again.log.state.reading() as db:
        assert db.execute("SELECT attempted_ms FROM totals").fetchall() == [(clock.now_ms,)]


def test_a_rebuild_makes_no_token_younger(make_till: MakeTill, clock: Any) -> None:
    """The first attempt may have been right after the recording: a token that has expired since is not relied on."""
    till = make_till()
    till.record()
    sent_ms = clock.now_ms
    clock.turn(3_600)
    till.record(2)
    till.send()
    lose_state(till)
    clock.turn(40 * 86_400)
    outbox = make_till().log.outbox
    limits = {"events_max": 100, "bytes_max": 10_000}
    assert outbox.claim(**limits, resend_unknown_since_ms=sent_ms + 1) is None
    assert len(outbox.claim(**limits, resend_unknown_since_ms=sent_ms).entries) == 3


def test_an_event_recorded_by_a_clock_that_was_ahead_is_not_younger_than_the_rebuild(
    make_till: MakeTill, clock: Any
) -> None:
    """Or its token would be relied on for ever."""
    till = make_till()
    till.record()
    lose_state(till)
    clock.turn(-7_200)
    again = make_till()
    with again.log.state.reading() as db:
        assert db.execute("SELECT first_ms, last_ms FROM ranges").fetchall() == [(clock.now_ms, clock.now_ms)]


def test_runs_after_a_rebuild_are_numbered_above_any_before(make_till: MakeTill, clock: Any) -> None:
    """An attempt number on the wire names one run only."""
    till = make_till()
    till.record()
    lose_state(till)
    floor = int(make_till().log.state.fact("run_floor") or 0)
    assert floor == clock.now_ms // 1000


def test_nothing_rebuilt_is_reclaimed_before_it_is_final_anew(make_till: MakeTill) -> None:
    """Not even where unverified entries may go: nobody knows what was acknowledged."""
    till = make_till()
    ids = till.record(3)
    till.roll(61)
    till.drain()
    lose_state(till)
    again = make_till(reclaim_unverified=True)
    again.drain()
    assert again.status(ids[0].origin) == "drained"
    assert reclaimer(again).reclaim(lambda collection, hour: False).segments == 0
    assert reclaimer(again).reclaim(always).segments == 1


def test_windows_before_the_oldest_segment_present_are_unverifiable(make_till: MakeTill) -> None:
    """With no list of what was reclaimed nobody knows what was recorded then."""
    till = make_till()
    till.record()
    till.roll(3)
    till.drain()
    till.clock.turn(61 * 86_400)
    assert reclaimer(till).reclaim(always, clock_agrees=True).segments == 1
    (left,) = list_segments(till.log.directory.segments)
    lose_state(till)
    before = int(make_till().log.state.fact("unverifiable_before_ms") or 0)
    assert ms_to_iso(before)[:10] == left.day == "2026-11-26"


def test_segment_reclaimed_out_of_turn_moves_the_bound(make_till: MakeTill) -> None:
    """An older one is present and names a successor that is not: nobody knows what that held."""
    till = make_till()
    till.record()
    for _ in range(3):
        till.roll(1)
    lose_state(till)
    first, second, third, _ = list_segments(till.log.directory.segments)
    assert first.day < second.day < third.day
    shutil.rmtree(till.log.directory.path / "gone", ignore_errors=True)
    second.path_in(till.log.directory.segments).unlink()
    before = int(make_till().log.state.fact("unverifiable_before_ms") or 0)
    assert ms_to_iso(before)[:10] == third.day


def test_damaged_segment_does_not_stop_the_rebuild(make_till: MakeTill) -> None:
    """It is entered as damaged, with nothing folded of it; recovery sets it aside."""
    till = make_till()
    ids = till.record(2)
    till.roll()
    lose_state(till)
    old = list_segments(till.log.directory.segments)[0]
    path = old.path_in(till.log.directory.segments)
    path.chmod(0o600)
    path.write_bytes(b"no database " * 1000)
    again = make_till()
    assert again.status(ids[0].origin) == "damaged"
    assert {row[0] for row in totals(again)}.isdisjoint({ids[0].origin})


def test_segment_that_may_not_be_read_is_not_taken_for_damaged(make_till: MakeTill) -> None:
    """The rebuild waits for the right, and says so; then it finds every event."""
    till = make_till()
    till.record(3)
    lose_state(till)
    (name,) = list_segments(till.log.directory.segments)
    path = name.path_in(till.log.directory.segments)
    mode = path.stat().st_mode
    path.chmod(0o000)
    try:
        with bare_rights(), pytest.raises(EventLogPermissionError, match="was not rebuilt yet"):
            make_till()
        assert not till.log.directory.state.exists()
    finally:
        path.chmod(mode)
    again = make_till()
    assert ranges(again) == [(name.origin, 1, 3, "unknown", 1)]


def test_segment_of_a_later_version_is_not_taken_for_damaged(make_till: MakeTill) -> None:
    """Nothing is made; the version that wrote it can."""
    till = make_till()
    till.record(3)
    lose_state(till)
    (name,) = list_segments(till.log.directory.segments)
    connection = sqlite3.connect(name.path_in(till.log.directory.segments))
    connection.execute("UPDATE header SET format = 99")
    connection.commit()
    connection.close()
    with pytest.raises(EventLogTooNewError):
        make_till()
    assert not till.log.directory.state.exists()


def test_segment_that_could_not_be_read_once_is_taken_up_by_a_repair(
    make_till: MakeTill, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that failed while state.db was rebuilt costs nothing: who looks is told, and the events are unknown, not lost."""
    till = make_till()
    till.record(5)
    till.send()
    lose_state(till)
    (name,) = list_segments(till.log.directory.segments)

    def fails(*args: object) -> object:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_READ
        raise error

    with monkeypatch.context() as failing:
        failing.setattr(SegmentReader, "checked", fails)
        again = make_till()
    assert again.status(name.origin) == "damaged"
    assert [segment.name for segment in again.log.outbox.unreadable()] == [name]
    again.log.close()

    directory, config = again.log.directory, again.log.config
    told = [
        finding for finding in examine(directory, config, clock, boot_id=BOOT_ID) if finding.level == "damage"
    ]
    assert [finding.name for finding in told] == ["segments"]
    assert "can be now" in told[0].message
    repaired = [f.message for f in repair(directory, config, clock, SeededRandomness(1), boot_id=BOOT_ID)]
    assert (
        f"segment {name.origin} can be read again: 5 events of it are unknown until a query settles them"
        in repaired
    )

    mended = make_till()
    assert ranges(mended) == [(name.origin, 1, 5, "unknown", 1)]
    assert not mended.log.outbox.unreadable()
    assert mended.log.outbox.claim(events_max=100, bytes_max=10_000) is None
    mended.record(2)
    assert mended.send() == 2
    assert not [f for f in examine(directory, config, clock, boot_id=BOOT_ID) if f.level == "damage"]


def test_damaged_state_is_set_aside_whole_and_rebuilt(make_till: MakeTill, clock: Any) -> None:
    """Its bytes are kept under its name and the time."""
    till = make_till()
    till.record(4)
    till.log.close()
    directory = till.log.directory
    directory.state.write_bytes(b"no database " * 1000)
    with pytest.raises(EventLogDamagedError):
        State(directory.path)
    directory.damaged.write_text("a file where the directory is to be")
    with pytest.raises(EventLogError, match="it was not set aside, and nothing is lost"):
        recover_state(directory, till.log.config, clock)
    directory.damaged.unlink()
    moved = recover_state(directory, till.log.config, clock)
    assert moved.parent == directory.damaged
    assert moved.read_bytes() == b"no database " * 1000
    again = make_till()
    assert again.log.outbox.backlog().unknown == 4
    with again.log.state.reading() as db:
        assert db.execute("SELECT origin, file, salvaged, lost FROM damages").fetchall() == [
            ("", moved.name, 0, None)
        ]


def test_damaged_state_of_a_log_without_segments_is_rebuilt_too(make_till: MakeTill, clock: Any) -> None:
    """All that was recorded before this moment is unknown."""
    till = make_till()
    till.log.close()
    till.log.directory.state.write_bytes(b"no database " * 1000)
    recover_state(till.log.directory, till.log.config, clock)
    assert int(make_till().log.state.fact("unverifiable_before_ms") or 0) == clock.now_ms


def test_other_process_goes_over_to_the_rebuilt_state(make_till: MakeTill, clock: Any) -> None:
    """A connection to the file that was set aside writes no more into it."""
    till, other = make_till(), make_till()
    till.record(2)
    other.send()
    recover_state(till.log.directory, till.log.config, clock)
    other.log.state.note("said", "by the other")
    assert till.log.state.fact("said") == "by the other"
    assert till.log.outbox.backlog().unknown == 2


def test_state_that_is_gone_under_a_running_process_is_told(make_till: MakeTill) -> None:
    """It neither writes into a deleted file nor makes an empty one."""
    till = make_till()
    till.record()
    till.log.directory.state.unlink()
    with pytest.raises(EventLogDamagedError, match="is gone; nothing was recorded or changed"):
        till.log.state.note("fact", "value")
    assert not till.log.directory.state.exists()


def test_crash_in_the_middle_of_a_rebuild_leaves_it_to_be_done_again(
    make_till: MakeTill, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the finished file gets the name."""
    till = make_till()
    till.record(2)
    lose_state(till)

    def crash(*args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("keen_client.eventlog.recovery._unverifiable_before_ms", crash)
        with pytest.raises(KeyboardInterrupt):
            make_till()
    assert not till.log.directory.state.exists()
    assert make_till().log.outbox.backlog().unknown == 2
    assert not (till.log.directory.path / ".rebuild").exists()


def test_second_process_waits_for_the_first_s_rebuild(
    make_till: MakeTill, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And finds it done; when it takes too long, it says so."""
    till = make_till()
    till.record()
    config = till.log.config
    inode = till.log.directory.state.stat().st_ino
    rebuild_state(till.log.directory, config, clock)
    assert till.log.directory.state.stat().st_ino == inode
    monkeypatch.setattr("keen_client.eventlog.recovery._WAIT_SECONDS", 0.0)
    locks = till.log.directory.recorders_lock()
    with locks.held(till.log.directory.directory_byte()) as alone:
        assert alone
        with pytest.raises(EventLogBusyError, match="nothing was changed"):
            rebuild_state(till.log.directory, config, clock)


def test_a_disk_that_is_full_ends_a_rebuild_by_an_error_that_says_so(
    make_till: MakeTill, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is there then that could be taken for a whole state; the next one rebuilds it."""
    till = make_till()
    till.record()
    directory = till.log.directory
    till.log.close()
    directory.state.unlink()

    def full(_self: Path, _target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as here:
        here.setattr(Path, "replace", full)
        with pytest.raises(EventLogFullError, match="the segments hold every event as before"):
            rebuild_state(directory, till.log.config, clock)
    assert not directory.state.exists()
    rebuild_state(directory, till.log.config, clock)
    assert directory.state.exists()


# ---- the nightly copy -------------------------------------------------------------------


def test_copy_is_whole_private_and_replaces_the_former_one(make_till: MakeTill) -> None:
    """SQLite's own backup, so it can be taken while others write."""
    till = make_till()
    till.log.state.note("night", "first")
    copy_state(till.log.directory, till.log.state)
    till.log.state.note("night", "second")
    copy_state(till.log.directory, till.log.state)
    copy = till.log.directory.state_copy
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    connection = sqlite3.connect(copy)
    assert connection.execute("SELECT value FROM facts WHERE name = 'night'").fetchone() == ("second",)
    connection.close()
    assert not copy.with_suffix(".tmp").exists()


def test_copy_that_fails_leaves_the_former_one(make_till: MakeTill, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says so."""
    till = make_till()
    copy_state(till.log.directory, till.log.state)
    before = till.log.directory.state_copy.read_bytes()

    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(EventLogError, match="former copy is kept"):
        copy_state(till.log.directory, till.log.state)
    monkeypatch.undo()
    assert till.log.directory.state_copy.read_bytes() == before


def kept_dead_letter(make_till: MakeTill) -> Any:
    """A log whose only trace of one refused event is in state.db, copied by the nightly job."""
    till = make_till()
    till.record()
    till.send(DeliveryState.REJECTED)
    till.roll(61)
    till.drain()
    assert reclaimer(till).reclaim(always).kept == 1
    copy_state(till.log.directory, till.log.state)
    return till


def test_rebuild_takes_from_the_copy_what_lies_in_no_segment(make_till: MakeTill) -> None:
    """Kept entries, dead letters and totals of reclaimed segments come back."""
    till = kept_dead_letter(make_till)
    before = totals(till)
    (letter,) = till.log.dead_letters.list()
    lose_state(till)
    again = make_till()
    assert totals(again) == before
    assert again.log.dead_letters.list() == [letter]
    assert list(again.log.shelf.pick([letter.id])) == [letter.id]
    assert again.status(letter.id.origin) == "reclaimed"


def test_what_the_copy_says_is_to_be_sent_is_unknown(make_till: MakeTill) -> None:
    """It may have been sent since the copy was made."""
    till = kept_dead_letter(make_till)
    (letter,) = till.log.dead_letters.list()
    till.log.dead_letters.retry([letter.id])
    copy_state(till.log.directory, till.log.state)
    lose_state(till)
    again = make_till()
    assert (letter.id.origin, 1, 1, "unknown", 1) in ranges(again)
    assert again.log.outbox.claim(events_max=10, bytes_max=10_000) is None


def test_what_the_copy_says_was_never_sent_has_no_young_token(make_till: MakeTill) -> None:
    """It may have been sent at any time since it was recorded."""
    till = kept_dead_letter(make_till)
    (letter,) = till.log.dead_letters.list()
    recorded_ms = till.log.shelf.pick([letter.id])[letter.id].recorded_ms
    with till.log.state.transaction() as db:
        db.execute(
            "UPDATE ranges SET state = 'pending', a = -1, first_ms = 0 WHERE origin = ?", (letter.id.origin,)
        )
    copy_state(till.log.directory, till.log.state)
    lose_state(till)
    with make_till().log.state.reading() as db:
        assert db.execute(
            "SELECT state, a, first_ms FROM ranges WHERE origin = ?", (letter.id.origin,)
        ).fetchall() == [("unknown", 0, recorded_ms)]


def test_deletions_come_back_from_the_copy(make_till: MakeTill, clock: Any) -> None:
    """What somebody deleted at the server is held back from every replay as before, accepted or not."""
    till = make_till()
    till.record()
    noted = [Deletion("purchases", 0, clock.now_ms, clock.now_ms), Deletion("visits", 0, 1, 2, True)]
    for deletion in noted:
        Deletions(till.log.state).note(deletion)
    copy_state(till.log.directory, till.log.state)
    lose_state(till)
    assert Deletions(make_till().log.state).all() == noted


def test_what_deletions_are_compared_by_comes_back_from_the_copy(make_till: MakeTill, clock: Any) -> None:
    """What had been recorded by a deletion is told in the rebuilt log as before, whatever the clock said."""
    till = make_till()
    clock.now_ms += 7_200_000
    (before,) = till.record()
    clock.now_ms -= 7_200_000
    Deletions(till.log.state).note(
        Deletion("purchases", 0, 2**62, clock.now_ms), watermarks_now(till.log.state, till.log.shelf)
    )
    (after,) = till.record()
    copy_state(till.log.directory, till.log.state)
    lose_state(till)
    rebuilt = make_till().log
    entries = rebuilt.shelf.pick([before, after])
    assert Deletions(rebuilt.state).held_back(entries.values()) == {before}


def test_presence_of_events_that_are_still_in_the_log_comes_back_from_the_copy(make_till: MakeTill) -> None:
    """What was seen was seen; that something was absent has to be shown anew."""
    till = make_till()
    (seen,) = till.record()
    rows = [(seen.origin, seen.seq, kind.value, 1, 2, 3, 1) for kind in sorted(Kind)]
    with till.log.state.transaction() as db:
        db.executemany("INSERT INTO evidence VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    copy_state(till.log.directory, till.log.state)
    lose_state(till)
    with make_till().log.state.reading() as db:
        found = db.execute("SELECT * FROM evidence ORDER BY kind").fetchall()
    assert found == [row for row in rows if row[2] in STICKY]


def test_what_was_given_up_stays_given_up(make_till: MakeTill, clock: Any) -> None:
    """The copy knows of the decision; who was only refused is asked for again, and what is in no file stays out."""
    till = make_till()
    ids = till.record(3)
    till.send(DeliveryState.REJECTED)
    assert till.log.dead_letters.drop([ids[1], EntryId(ids[0].origin, 9)]) == 1
    span = ("purchases", clock.now_ms - MS_PER_DAY, clock.now_ms + MS_PER_DAY)
    (letter,) = till.log.dead_letters.list("dropped")
    with till.log.state.transaction() as db:
        db.execute(
            "INSERT INTO exceptions SELECT origin, 9, collection, ts, kind, h, g, amounts, at_ms FROM exceptions"
            " WHERE kind = 'dropped'"
        )
    copy_state(till.log.directory, till.log.state)
    lose_state(till)
    again = make_till()
    origin = ids[0].origin
    assert ranges(again) == [
        (origin, 1, 1, "unknown", 1),
        (origin, 2, 2, "dropped", 0),
        (origin, 3, 3, "unknown", 1),
    ]
    assert again.log.dead_letters.list("dropped") == [letter]
    assert again.log.totals.excepted(*span) == {(origin, 2)}
    (window,) = again.log.totals.hourly(*span, MS_PER_DAY).values()
    assert (window[origin].n, window[origin].amounts["price"].total) == (2, 0 + 4)


def test_damaged_copy_gives_nothing_and_stops_nothing(make_till: MakeTill) -> None:
    """The segments alone are enough to go on."""
    till = make_till()
    till.record(2)
    copy_state(till.log.directory, till.log.state)
    till.log.directory.state_copy.write_bytes(b"no database " * 1000)
    lose_state(till)
    assert make_till().log.outbox.backlog().unknown == 2
    assert till.log.directory.state_copy.read_bytes() == b"no database " * 1000


def test_day_of_the_bound_is_a_utc_midnight(make_till: MakeTill) -> None:
    """Windows are counted in UTC."""
    till = make_till()
    till.record()
    lose_state(till)
    assert int(make_till().log.state.fact("unverifiable_before_ms") or 0) % MS_PER_DAY == 0
