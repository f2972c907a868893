"""A damaged segment is set aside whole; what can be read keeps its identity; what cannot is counted."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from keen_client.errors import EventLogBusyError, EventLogDamagedError
from keen_client.eventlog import damage as damage_module
from keen_client.eventlog.damage import Damage, Salvager
from keen_client.eventlog.entry import DeliveryState
from keen_client.eventlog.outbox import Settlement
from keen_client.eventlog.salvage import salvage_segment
from keen_client.eventlog.segment import SegmentName, SegmentWriter, list_segments, make_segment
from keen_client.events.identity import EntryId

MakeTill = Callable[..., Any]


def salvager(till: Any) -> Salvager:
    log = till.log
    return Salvager(log.directory, log.state, log.shelf, log.config, log.clock)


def only_segment(till: Any) -> tuple[SegmentName, Path]:
    (name,) = list_segments(till.log.directory.segments)
    return name, name.path_in(till.log.directory.segments)


def ranges(till: Any, origin: str) -> list[Any]:
    with till.log.state.reading() as db:
        return list(
            db.execute("SELECT seq_lo, seq_hi, state FROM ranges WHERE origin = ? ORDER BY 1", (origin,))
        )


def checkpoint(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def page_of(path: Path, text: bytes) -> tuple[int, int]:
    """(offset, size) of the page that holds *text*."""
    content = path.read_bytes()
    size = int.from_bytes(content[16:18], "big")
    return content.index(text) // size * size, size


def destroy(path: Path, text: bytes) -> None:
    """Overwrite the page that holds *text*, as a bad block would."""
    offset, size = page_of(path, text)
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * size)


def damaged_log(make_till: MakeTill) -> tuple[Any, SegmentName, Path]:
    """A log whose only segment has 400 sent entries and 200 unsent ones, all in the database file."""
    till = make_till()
    till.record(400)
    till.send()
    till.record(200)
    name, path = only_segment(till)
    till.log.close()
    checkpoint(path)
    return make_till(), name, path


# ---- reading what can be read -----------------------------------------------------------


def test_whole_file_is_salvaged_whole(make_till: MakeTill) -> None:
    """Nothing is lost where nothing is damaged, the WAL included."""
    till = make_till()
    ids = till.record(3_000)
    name, path = only_segment(till)
    salvage = salvage_segment(path, name.origin, 0)
    assert [entry.id for entry in salvage.entries] == ids
    assert (salvage.last, salvage.lost(0), salvage.lost(3_005)) == (3_000, 0, 5)


def test_bad_page_loses_its_own_rows_only(make_till: MakeTill) -> None:
    """The rows before and after it are read, by ranges and one by one."""
    _, name, path = damaged_log(make_till)
    destroy(path, b'{"number":200,')
    salvage = salvage_segment(path, name.origin, 400)
    seqs = [entry.seq for entry in salvage.entries]
    lost = sorted(set(range(1, 601)) - set(seqs))
    assert 201 in lost
    assert len(lost) < 100
    assert lost == list(range(lost[0], lost[-1] + 1))
    assert salvage.lost(400) == len(lost)


def test_a_tree_that_ends_too_soon_is_not_said_to_be_whole(make_till: MakeTill) -> None:
    """The last page was cut off: what is behind it leaves no gap, so nobody can tell how much is gone."""
    till = make_till()
    ids = till.record(200)
    name, path = only_segment(till)
    till.log.close()
    checkpoint(path)
    _, size = page_of(path, b'{"number":199,')
    os.truncate(path, path.stat().st_size - size + 16)
    salvage = salvage_segment(path, name.origin, 0)
    found = [entry.id for entry in salvage.entries]
    assert 0 < len(found) < len(ids)
    assert found == ids[: len(found)]
    assert (salvage.is_sound, salvage.lost(0), salvage.lost(len(found))) == (False, None, None)
    till = make_till()
    done = salvager(till).set_aside(name, "cut off")
    assert (done.salvaged, done.lost) == (len(found), None)


def test_a_number_that_no_segment_reaches_is_damage_and_nobody_counts_up_to_it(make_till: MakeTill) -> None:
    """All others are given, the reader is told of the damage, and a repair saves them."""
    till = make_till()
    ids = till.record(5)
    name, path = only_segment(till)
    till.log.close()
    checkpoint(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA ignore_check_constraints=1")
        connection.execute("INSERT INTO entries VALUES (1 << 60, 'c', 1, 1, '{}', '')")
    till = make_till()
    read: list[EntryId] = []
    with pytest.raises(EventLogDamagedError, match=name.origin):
        read.extend(entry.id for entry in till.log.entries())
    assert read == ids
    assert (till.log.shelf.last_seq(name.origin), till.send()) == (None, 5)
    done = salvager(till).set_aside(name, "test")
    assert (done.salvaged, done.lost) == (5, None)


def test_file_that_is_no_database_gives_nothing_and_says_so(tmp_path: Path) -> None:
    """How much it held cannot be told."""
    path = tmp_path / "2026-11-23-4kq7x2m9pz.db"
    path.write_bytes(b"no database " * 1000)
    salvage = salvage_segment(path, "4kq7x2m9pz", 7)
    assert (salvage.entries, salvage.last, salvage.lost(7)) == ((), None, None)
    assert path.read_bytes() == b"no database " * 1000


def test_row_that_is_no_event_counts_as_lost(tmp_path: Path) -> None:
    """Damage that SQLite does not notice is noticed by the JSON, and never sent."""
    name = SegmentName("2026-11-23", "4kq7x2m9pz")
    make_segment(tmp_path, name, made_ms=0, boot_id="b", scratch="s")
    writer = SegmentWriter(tmp_path, name, "full", 1.0)
    writer.begin()
    writer.append_many(
        [
            ("c", 1, 1, body, keen)
            for body, keen in (("{}", ""), ('{"a":', ""), ("[]", ""), ("{}", "x"), ("{}", "{}"))
        ]
    )
    writer.commit()
    writer.close()
    salvage = salvage_segment(name.path_in(tmp_path), name.origin, 0)
    assert [entry.seq for entry in salvage.entries] == [1, 5]
    assert salvage.lost(0) == 3


# ---- setting aside ----------------------------------------------------------------------


def test_damaged_file_is_set_aside_under_its_name_and_the_time(make_till: MakeTill) -> None:
    """Byte for byte, with its WAL; nothing stays in its place."""
    till = make_till()
    till.record(3)
    name, path = only_segment(till)
    wal = Path(f"{path}-wal").read_bytes()
    content = path.read_bytes()
    done = salvager(till).set_aside(name, "test")
    moved = till.log.directory.damaged / done.file
    assert done.file == f"{path.name}.20261123T120000000Z"
    assert moved.read_bytes() == content
    assert Path(f"{moved}-wal").read_bytes() == wal
    assert list(till.log.directory.segments.iterdir()) == []
    assert done == Damage(name.origin, done.file, "test", 3, 0)


def test_second_file_set_aside_in_the_same_millisecond_gets_its_own_name(make_till: MakeTill) -> None:
    """Nothing in ``damaged/`` is ever overwritten."""
    till = make_till()
    till.record()
    name, path = only_segment(till)
    first = salvager(till).set_aside(name, "test")
    path.write_bytes(b"a restored copy")
    second = salvager(till).set_aside(name, "again")
    assert second.file == f"{first.file}.1"
    assert (till.log.directory.damaged / second.file).read_bytes() == b"a restored copy"


def test_salvaged_entries_keep_identity_and_state(make_till: MakeTill) -> None:
    """Sent stays sent, unsent can still be sent, lost holds nobody up; totals stay; counts are journalled."""
    till, name, path = damaged_log(make_till)
    destroy(path, b'{"number":100,')
    with till.log.state.reading() as db:
        (folded,) = db.execute("SELECT sum(n) FROM totals").fetchone()
    done = salvager(till).set_aside(name, "bad block")
    assert done.salvaged + (done.lost or 0) == 600
    assert till.status(name.origin) == "damaged"
    states = ranges(till, name.origin)
    assert states[0][:1] + states[0][2:] == (1, "acknowledged")
    assert sum(high - low + 1 for low, high, state in states if state != "acknowledged") == 200
    with till.log.state.reading() as db:
        row = db.execute("SELECT origin, file, reason, salvaged, lost FROM damages").fetchone()
        expected = db.execute("SELECT sum(n) FROM totals").fetchone()
        kept = db.execute("SELECT count(*), min(reason), max(reason) FROM kept").fetchone()
    assert row == (name.origin, done.file, "bad block", done.salvaged, done.lost)
    assert folded == 400
    assert expected == (folded + sum(h - low + 1 for low, h, state in states if state == "pending"),)
    assert kept == (done.salvaged, "salvaged", "salvaged")
    pending = sum(high - low + 1 for low, high, state in states if state == "pending")
    assert till.send() == pending > 0
    assert till.log.outbox.backlog().unsent == 0


def test_lost_entry_among_pending_ones_does_not_hold_up_those_behind_it(make_till: MakeTill) -> None:
    """It is given up, stays expected, and its window short; one that may be there waits for a query."""
    till = make_till()
    till.record(300)
    for state in (DeliveryState.PENDING, DeliveryState.UNKNOWN):
        claim = till.log.outbox.claim(events_max=150, bytes_max=10_000_000)
        till.log.outbox.settle(claim, [Settlement(state, due_ms=till.clock.now_ms + 1)] * 150)
    name, path = only_segment(till)
    till.log.close()
    checkpoint(path)
    destroy(path, b'{"number":50,')
    destroy(path, b'{"number":250,')
    till = make_till()
    done = salvager(till).set_aside(name, "bad blocks")
    states = ranges(till, name.origin)
    assert {state for _, _, state in states} == {"pending", "dropped", "unknown"}
    dropped = sum(high - low + 1 for low, high, state in states if state == "dropped")
    assert 0 < dropped < (done.lost or 0)
    till.clock.turn(1)
    assert till.send() == 150 - dropped
    with till.log.state.reading() as db:
        assert db.execute("SELECT sum(n) FROM totals").fetchone() == (300,)
    covered = [seq for low, high, _ in ranges(till, name.origin) for seq in range(low, high + 1)]
    assert covered == list(range(1, 301))


def test_tail_of_a_rebuilt_segment_is_unknown(make_till: MakeTill) -> None:
    """The rebuild could not read it, so nobody knows what of it was sent, and when: at the earliest as it was recorded."""
    till, name, path = damaged_log(make_till)
    recorded_ms = till.clock.now_ms
    till.log.close()
    till.log.directory.state.unlink()
    destroy(path, b'{"number":100,')
    till = make_till()
    assert till.status(name.origin) == "damaged"
    till.clock.turn(40 * 86_400)
    done = salvager(till).set_aside(name, "bad block")
    with till.log.state.reading() as db:
        assert set(db.execute("SELECT first_ms, last_ms FROM ranges WHERE state = 'unknown'")) == {
            (recorded_ms, till.clock.now_ms)
        }
    states = ranges(till, name.origin)
    assert {state for _, _, state in states} == {"unknown", "dropped"}
    assert sum(high - low + 1 for low, high, state in states if state == "unknown") == done.salvaged
    assert till.send() == 0


def test_recording_goes_on_in_a_fresh_segment(make_till: MakeTill) -> None:
    """A process with the file in hand notices before its next commit."""
    till = make_till()
    (before,) = till.record()
    name, _ = only_segment(till)
    salvager(till).set_aside(name, "test")
    (after,) = till.record()
    assert after.origin != before.origin
    assert {entry.id for entry in till.log.shelf.pick([before, after]).values()} == {before, after}
    assert [entry.id for entry in till.log.entries()] == [before, after]


def test_segment_that_a_process_holds_is_left_alone(
    make_till: MakeTill, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a commit nothing is moved."""
    till = make_till()
    till.record()
    name, path = only_segment(till)
    monkeypatch.setattr(damage_module, "_LOCK_SECONDS", 0.0)
    with till.log.directory.recorders_lock().held(till.log.directory.segment_byte(name.origin)) as alone:
        assert alone
        with pytest.raises(EventLogBusyError, match="nothing was changed"):
            salvager(till).set_aside(name, "test")
    assert path.exists()


@pytest.mark.parametrize("steps", range(7))
def test_crash_at_any_step_is_finished_by_the_next_run(
    make_till: MakeTill, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """Links of -wal, -shm and database, then the unlinks, then the journal: never a database without its WAL."""
    till = make_till()
    ids = till.record(5)
    name, path = only_segment(till)
    link, unlink = os.link, Path.unlink
    done = 0

    def step() -> None:
        nonlocal done
        if done == steps:
            raise KeyboardInterrupt
        done += 1

    def counted_link(source: Any, target: Any) -> None:
        step()
        link(source, target)

    def counted_unlink(self: Path, *, missing_ok: bool = False) -> None:
        step()
        unlink(self, missing_ok=missing_ok)

    def counted_salvage(*args: Any) -> Any:
        step()
        return salvage_segment(*args)

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", counted_link)
        patch.setattr(Path, "unlink", counted_unlink)
        patch.setattr(damage_module, "salvage_segment", counted_salvage)
        with pytest.raises(KeyboardInterrupt):
            salvager(till).set_aside(name, "test")
    again = salvager(till)
    finished = again.finish()
    if steps < 3:  # the database was not linked yet: all is as before
        assert finished == []
        assert again.set_aside(name, "test").salvaged == 5
    else:
        assert [(damage.salvaged, damage.lost) for damage in finished] == [(5, 0)]
    assert not path.exists()
    assert not Path(f"{path}-wal").exists()
    assert again.unfinished() == []
    assert list(till.log.shelf.pick(ids)) == ids
    assert till.send() == 5


def test_file_set_aside_is_not_doubled_by_another_run(make_till: MakeTill) -> None:
    """Finishing when all is journalled does nothing."""
    till = make_till()
    till.record(2)
    name, _ = only_segment(till)
    salvager(till).set_aside(name, "test")
    assert salvager(till).finish() == []
    assert till.log.state.counter("salvaged") == 2


def test_writer_of_another_process_moves_on_from_a_file_set_aside(make_till: MakeTill) -> None:
    """It has the file open and recorded into it before; its next event is not lost in it."""
    till = make_till()
    till.record()
    script = """
import sys
from pathlib import Path
from keen_client._foundation.clock import SystemClock
from keen_client._foundation.randomness import SystemRandomness
from keen_client.eventlog.config import LogConfig
from keen_client.eventlog.log import EventLog
from keen_client.events.encoding import encode_event
log = EventLog(Path(sys.argv[1]), None, LogConfig(), SystemClock(), SystemRandomness())
for line in sys.stdin:
    print(log.record(encode_event("purchases", {"n": 1})).id, flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", script, str(till.log.directory.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
        first = writer.stdout.readline().strip()
        name = next(n for n in list_segments(till.log.directory.segments) if n.origin == first[:10])
        assert salvager(till).set_aside(name, "test").salvaged >= 1
        writer.stdin.write("\n")
        writer.stdin.flush()
        second = writer.stdout.readline().strip()
    assert second[:10] != first[:10]
    found = {str(entry.id) for entry in till.log.entries()}
    assert second in found
