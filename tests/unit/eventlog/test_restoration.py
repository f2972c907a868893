"""A log that was put back from a backup, or copied, sends nothing of before until a query has settled it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keen_client.errors import EventLogError
from keen_client.eventlog import doctor, restoration
from keen_client.eventlog.damage import Salvager
from keen_client.eventlog.doctor import examine
from keen_client.eventlog.recovery import copy_state
from keen_client.eventlog.segment import list_segments
from keen_client.eventlog.shelf import Shelf

MakeTill = Callable[..., Any]

BOOT_ID = "boot-1"
LIMITS = {"events_max": 100, "bytes_max": 100_000}


def back_up(till: Any, tmp_path: Path) -> Path:
    """A copy of the whole log, with nobody at work."""
    till.log.close()
    return Path(shutil.copytree(till.log.directory.path, tmp_path / "backup"))


def put_back(backup: Path, log: Path) -> None:
    shutil.rmtree(log)
    shutil.copytree(backup, log)


def ranges(till: Any) -> list[Any]:
    with till.log.state.reading() as db:
        return list(
            db.execute(
                "SELECT seq_lo, seq_hi, state, a, unsure, first_ms, last_ms FROM ranges ORDER BY origin, seq_lo"
            )
        )


def restored_log(make_till: MakeTill, tmp_path: Path, count: int = 3) -> tuple[Any, int]:
    """A log whose *count* events were sent after its backup was made; when they were recorded."""
    till = make_till()
    till.record(count)
    recorded_ms = till.clock.now_ms
    backup = back_up(till, tmp_path)
    till = make_till()
    assert till.send() == count
    till.log.close()
    put_back(backup, till.log.directory.path)
    till.clock.turn(35 * 86_400)
    return make_till(), recorded_ms


def test_what_waited_in_a_backup_that_is_put_back_is_unknown(make_till: MakeTill, tmp_path: Path) -> None:
    """It may have been sent since: not even a token counts as younger than the recording."""
    till, recorded_ms = restored_log(make_till, tmp_path)
    assert till.log.outbox.recover() == 0
    assert ranges(till) == [(1, 3, "unknown", 0, 1, recorded_ms, till.clock.now_ms)]
    assert till.log.outbox.claim(**LIMITS, resend_unknown_since_ms=recorded_ms + 1) is None
    with till.log.state.reading() as db:
        assert db.execute("SELECT n, attempted_ms FROM totals").fetchall() == [(3, till.clock.now_ms)]


def test_what_is_recorded_after_a_backup_was_put_back_is_sent_under_numbers_never_given(
    make_till: MakeTill, tmp_path: Path
) -> None:
    """A new segment begins, and only what lay there before is in doubt, however late a sender comes."""
    till, _ = restored_log(make_till, tmp_path)
    (old,) = till.log.origins()
    (fresh,) = till.record()
    till.log.close()
    till = make_till()
    till.log.outbox.recover()
    assert fresh.origin != old
    assert [c.stamped.entry.id for c in till.log.outbox.claim(**LIMITS).entries] == [fresh]
    assert till.log.outbox.backlog().unknown == 3


def test_a_state_db_that_was_put_back_alone_doubts_what_it_has_not_folded(make_till: MakeTill) -> None:
    """The segments are the same files; nobody writes to them again all the same, as numbers may be given twice."""
    till = make_till()
    till.record(2)
    copy_state(till.log.directory, till.log.state)
    till.send()
    directory = till.log.directory
    till.log.close()
    directory.state.unlink()
    shutil.copy(directory.state_copy, directory.state)
    till = make_till()
    (old,) = till.log.origins()
    (fresh,) = till.record()
    till.log.outbox.recover()
    assert fresh.origin != old
    assert [row[:3] for row in ranges(till)] == [(1, 2, "unknown")]


def test_what_was_to_be_sent_again_is_unknown_and_absences_are_shown_anew(
    make_till: MakeTill, tmp_path: Path
) -> None:
    """Refused before the backup, or resent by a run: each may have gone since, and a run's number may have been used."""
    till = make_till()
    (first, *_) = till.record(4)
    recorded_ms = till.clock.now_ms
    till.clock.turn(60)
    till.send()
    with till.log.state.transaction() as db:
        db.execute("DELETE FROM ranges")
        for seq, state, a, first_ms in (
            (1, "pending", -1, 0),
            (2, "replay", 3, 77),
            (3, "acknowledged", 0, 77),
        ):
            db.execute(
                "INSERT INTO ranges (origin, seq_lo, seq_hi, state, a, first_ms) VALUES (?, ?, ?, ?, ?, ?)",
                (first.origin, seq, seq + (seq == 3), state, a, first_ms),
            )
        for kind in ("absent", "present"):
            db.execute("INSERT INTO evidence VALUES (?, 3, ?, 1, 1, 2, 0)", (first.origin, kind))
    backup = back_up(till, tmp_path)
    put_back(backup, till.log.directory.path)
    till = make_till()
    till.log.outbox.recover()
    now_ms = till.clock.now_ms
    assert ranges(till) == [
        (1, 1, "unknown", 0, 1, recorded_ms, now_ms),
        (2, 2, "unknown", 3, 1, 77, now_ms),
        (3, 4, "acknowledged", 0, 0, 77, 0),
    ]
    with till.log.state.reading() as db:
        assert db.execute("SELECT kind FROM evidence").fetchall() == [("present",)]
    assert int(till.log.state.fact("run_floor") or 0) == now_ms // 1_000


def test_a_backup_is_doubted_once(make_till: MakeTill, tmp_path: Path) -> None:
    """From then on the log is itself again."""
    till, _ = restored_log(make_till, tmp_path)
    till.log.outbox.recover()
    (fresh,) = till.record()
    till.log.close()
    till = make_till()
    till.log.outbox.recover()
    assert [c.stamped.entry.id for c in till.log.outbox.claim(**LIMITS).entries] == [fresh]


@pytest.mark.parametrize("change", ["nothing", "moved", "rebuilt"])
def test_a_log_that_is_no_copy_sends_on(make_till: MakeTill, tmp_path: Path, change: str) -> None:
    """Opened again, moved within its file system, or with a state.db that was rebuilt before: what waits is sent."""
    till = make_till()
    path = till.log.directory.path
    if change == "rebuilt":
        till.record()
        till.log.close()
        till.log.directory.state.unlink()
        till = make_till()
        till.record()
    else:
        till.record()
    till.log.close()
    if change == "moved":
        path.rename(tmp_path / "away")
        (tmp_path / "away").rename(path)
    till = make_till()
    till.log.outbox.recover()
    assert len(till.log.outbox.claim(**LIMITS).entries) == 1


@pytest.mark.parametrize("is_told_later", [True, False])
def test_where_no_birth_can_be_told_the_number_of_the_inode_has_to_do(
    make_till: MakeTill, monkeypatch: pytest.MonkeyPatch, is_told_later: bool
) -> None:
    """A file system or a library that does not know it is no reason to doubt anything, nor is one that comes to know it."""
    with monkeypatch.context() as patch:
        patch.setattr("keen_client.eventlog.state.birth_ns", lambda path: None)
        till = make_till()
        assert till.log.state.is_itself()
        till.log.state.note("identity", "7/")
        assert not till.log.state.is_itself()
        till.log.state.note_identity()
        if not is_told_later:
            assert till.log.state.is_itself()
    if is_told_later:
        assert till.log.state.is_itself()


def test_an_inode_that_was_given_again_is_another_file(make_till: MakeTill) -> None:
    """File systems give the number of a file that was removed to the next one."""
    state = make_till().log.state
    number, _, born_ns = state.fact("identity").partition("/")
    assert born_ns
    state.note("identity", f"{number}/{int(born_ns) - 1}")
    assert not state.is_itself()


def test_a_crash_while_it_is_doubted_leaves_the_rest_to_the_next_sender(
    make_till: MakeTill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each entry is folded once, and none is sent in between."""
    monkeypatch.setattr(restoration, "PAGE_ENTRIES", 2)
    till, _ = restored_log(make_till, tmp_path, 5)
    sync, synced = Shelf.sync, list[str]()

    def fail_once(shelf: Shelf, origin: str) -> None:
        synced.append(origin)
        if len(synced) == 2:
            raise EventLogError("the disk failed", "", path=tmp_path)
        sync(shelf, origin)

    monkeypatch.setattr(Shelf, "sync", fail_once)
    with pytest.raises(EventLogError, match="the disk failed"):
        till.log.outbox.recover()
    assert till.log.outbox.recover() == 0
    assert sum(row[1] - row[0] + 1 for row in ranges(till) if row[2] == "unknown") == 5
    with till.log.state.reading() as db:
        assert db.execute("SELECT n FROM totals").fetchall() == [(5,)]


def test_a_damaged_segment_that_was_put_back_is_not_sent_before_or_after_its_repair(
    make_till: MakeTill, tmp_path: Path
) -> None:
    """Nobody can read how far it goes: what is saved of it later is unknown as well."""
    till, _ = restored_log(make_till, tmp_path, 5)
    (name,) = list_segments(till.log.directory.segments)
    path = name.path_in(till.log.directory.segments)
    till.log.close()
    whole = {each: each.read_bytes() for each in path.parent.iterdir()}
    path.write_bytes(b"no database " * 1_000)
    till = make_till()
    till.log.outbox.recover()
    assert till.status(name.origin) == "damaged"
    till.log.close()
    for each, content in whole.items():
        each.write_bytes(content)
    till = make_till()
    till.log.outbox.recover()
    assert till.log.outbox.claim(**LIMITS) is None
    log = till.log
    salvager = Salvager(log.directory, log.state, log.shelf, log.config, log.clock)
    assert salvager.set_aside(name, "test").salvaged == 5
    assert [row[:3] for row in ranges(till)] == [(1, 5, "unknown")]


def test_doctor_warns_of_a_log_that_was_put_back_until_a_sender_has_seen_to_it(
    make_till: MakeTill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One warning, which says what to do; then none, on the same day and long after."""
    monkeypatch.setattr(doctor, "filesystem_type", lambda path: "ext4")
    monkeypatch.setattr(doctor, "_modified_ms", lambda path: 0)
    till = make_till()
    till.record(3)
    put_back(back_up(till, tmp_path), till.log.directory.path)

    def warnings(till: Any) -> list[tuple[str, str]]:
        found = examine(till.log.directory, till.log.config, till.clock, boot_id=BOOT_ID)
        return [(finding.name, finding.hint) for finding in found if finding.level != "ok"]

    untouched = warnings(till)
    till = make_till()
    assert untouched == warnings(till) == [("identity", "run `keen-client nightly`")]
    till.log.outbox.recover()
    assert warnings(till) == []
    till.record(1)
    till.send()
    till.clock.turn(2 * 86_400)
    till.record(1)
    till.log.tend()
    till.send()
    assert warnings(till) == []
