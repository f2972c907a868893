"""A receipt means on disk; a batch is all or nothing; a failed disk never makes a number mean two things."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from keen_client.errors import (
    BatchTooLargeError,
    EventLogBusyError,
    EventLogDamagedError,
    EventLogFullError,
    EventLogPermissionError,
    RecordOutcomeUnknownError,
)
from keen_client.eventlog import group as group_module
from keen_client.eventlog.directory import LogDirectory
from keen_client.eventlog.entry import Entry
from keen_client.eventlog.segment import SegmentName, SegmentReader, SegmentWriter, list_segments
from keen_client.events.encoding import EncodedEvent, encode_event
from keen_client.events.limits import CALL_EVENTS_MAX

MakeDesk = Callable[..., Any]

DURABILITIES = ["full", "normal"]


def event(number: int = 0) -> EncodedEvent:
    return encode_event("purchases", {"number": number})


def entries(directory: LogDirectory) -> list[Entry]:
    found: list[Entry] = []
    for name in list_segments(directory.segments):
        reader = SegmentReader(directory.segments, name)
        found.extend(reader.entries(1, 2**62))
        reader.close()
    return found


def io_error() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
    error.sqlite_errorname = "SQLITE_IOERR_FSYNC"
    return error


def full_error() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    return error


# ---- receipts ---------------------------------------------------------------------------


@pytest.mark.parametrize("durability", DURABILITIES)
def test_receipt_names_the_row(
    directory: LogDirectory, make_desk: MakeDesk, clock: Any, durability: str
) -> None:
    """Id and timestamp of the receipt are those that lie in the file."""
    desk = make_desk(durability=durability)
    given = desk.recorder.append(event(1))
    clock.turn(1)
    dated = desk.recorder.append(encode_event("purchases", {"number": 2}, "2020-01-01T00:00:00.5Z"))
    first, second = entries(directory)
    assert (first.id, first.timestamp_ms, first.recorded_ms) == (
        given.id,
        given.timestamp_ms,
        clock.now_ms - 1000,
    )
    assert first.timestamp_ms == first.recorded_ms
    assert (second.id, second.timestamp_ms) == (dated.id, 1_577_836_800_500)
    assert second.timestamp_ms == dated.timestamp_ms
    assert second.recorded_ms == clock.now_ms


@pytest.mark.parametrize("durability", DURABILITIES)
def test_threads_get_dense_unique_ids_of_their_own_events(
    directory: LogDirectory, make_desk: MakeDesk, durability: str
) -> None:
    """Nobody gets another's receipt, in groups or alone."""
    desk = make_desk(durability=durability)
    with ThreadPoolExecutor(8) as pool:
        receipts = list(pool.map(lambda number: desk.recorder.append(event(number)), range(200)))
    by_id = {entry.id: entry.body for entry in entries(directory)}
    assert [by_id[receipt.id] for receipt in receipts] == [event(number).body for number in range(200)]
    assert sorted(entry_id.seq for entry_id in by_id) == list(range(1, 201))


def test_callers_who_wait_share_one_commit(make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one commit runs, the others queue up and form the next one."""
    desk = make_desk()
    desk.record()
    groups: list[int] = []
    append_many = SegmentWriter.append_many

    def counted(self: SegmentWriter, rows: Any) -> tuple[int, int]:
        groups.append(len(rows))
        return append_many(self, rows)

    monkeypatch.setattr(SegmentWriter, "append_many", counted)
    with ThreadPoolExecutor(8) as pool:
        with desk.recorder._commit_lock:
            waiting = [pool.submit(desk.recorder.append, event(number)) for number in range(8)]
            while len(desk.recorder._group._queue) < 8:
                threading.Event().wait(0.001)
        ids = {future.result().id.seq for future in waiting}
    assert groups == [8]
    assert ids == set(range(2, 10))


def test_group_is_bounded_and_the_rest_forms_the_next(
    make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lead is handed on; nobody is forgotten at the boundary."""
    monkeypatch.setattr(group_module, "GROUP_EVENTS_MAX", 3)
    desk = make_desk()
    with ThreadPoolExecutor(8) as pool:
        with desk.recorder._commit_lock:
            waiting = [pool.submit(desk.recorder.append, event(number)) for number in range(8)]
            while len(desk.recorder._group._queue) < 8:
                threading.Event().wait(0.001)
        assert {future.result().id.seq for future in waiting} == set(range(1, 9))
    assert desk.recorder._group._leader is None


def test_error_of_a_group_reaches_each_caller_in_a_copy_of_its_own(
    directory: LogDirectory, make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tracebacks of threads must not grow on one shared exception."""
    desk = make_desk()
    desk.record()

    def fail(self: SegmentWriter, rows: Any) -> tuple[int, int]:
        raise full_error()

    monkeypatch.setattr(SegmentWriter, "append_many", fail)
    with ThreadPoolExecutor(3) as pool:
        with desk.recorder._commit_lock:
            waiting = [pool.submit(desk.recorder.append, event(number)) for number in range(3)]
            while len(desk.recorder._group._queue) < 3:
                threading.Event().wait(0.001)
        errors = [future.exception() for future in waiting]
    assert all(isinstance(error, EventLogFullError) for error in errors)
    assert len({id(error) for error in errors}) == 3
    assert len(entries(directory)) == 1
    monkeypatch.undo()
    assert desk.record()


class _InterruptedWake:
    """A wake-up call in whose wait the interpreter raises KeyboardInterrupt, before or after the lead arrives."""

    def __init__(self, wake: Any, *, after: bool) -> None:
        self._wake = wake
        self._after = after

    def acquire(self) -> None:
        if self._after:
            self._wake.acquire()
        raise KeyboardInterrupt

    def locked(self) -> bool:
        return bool(self._wake.locked())

    def release(self) -> None:
        self._wake.release()


@pytest.mark.parametrize("after", [False, True], ids=["while waiting", "with the lead in hand"])
def test_interrupted_waiter_does_not_hold_up_those_behind_it(
    make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    """The lead goes past it, or it passes the lead on before it leaves; what it was to record is not recorded."""
    monkeypatch.setattr(group_module, "GROUP_EVENTS_MAX", 1)
    desk = make_desk()
    real = group_module._Waiting

    def interrupted(encoded: EncodedEvent) -> Any:
        waiting = real(encoded)
        if encoded.body == event(1).body:
            waiting.wake = _InterruptedWake(waiting.wake, after=after)  # type: ignore[assignment]
        return waiting

    monkeypatch.setattr(group_module, "_Waiting", interrupted)
    outcomes: dict[int, Any] = {}

    def record(number: int) -> None:
        try:
            outcomes[number] = desk.recorder.append(event(number))
        except KeyboardInterrupt:
            outcomes[number] = None

    threads = [threading.Thread(target=record, args=(number,)) for number in range(3)]
    with desk.recorder._commit_lock:
        for count, thread in enumerate(threads, start=1):
            thread.start()
            while len(desk.recorder._group._queue) < count:
                threading.Event().wait(0.001)
    for thread in threads:
        thread.join()
    assert outcomes[1] is None
    assert [outcomes[0].id.seq, outcomes[2].id.seq] == [1, 2]
    assert desk.recorder._group._leader is None
    assert desk.record()


# ---- batches ----------------------------------------------------------------------------


@pytest.mark.parametrize("durability", DURABILITIES)
@pytest.mark.parametrize("count", [1, 2, 500, 501, 1_700])
def test_batch_is_in_one_segment_in_its_order(
    directory: LogDirectory, make_desk: MakeDesk, durability: str, count: int
) -> None:
    """Receipt i belongs to event i; numbers are consecutive."""
    desk = make_desk(durability=durability)
    desk.record()
    receipts = desk.recorder.append_all([event(number) for number in range(count)])
    assert [receipt.id.seq for receipt in receipts] == list(range(2, count + 2))
    assert [entry.body for entry in entries(directory)[1:]] == [event(number).body for number in range(count)]


def test_no_event_makes_no_commit(directory: LogDirectory, make_desk: MakeDesk) -> None:
    """An empty call opens nothing."""
    assert make_desk().recorder.append_all([]) == []
    assert list_segments(directory.segments) == []


def test_batch_that_fails_in_the_middle_leaves_nothing(
    directory: LogDirectory, make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second statement finds the disk full; the first one's rows are gone with it."""
    desk = make_desk()
    desk.record()
    pages = desk.recorder._hand.writer.connection.execute("PRAGMA page_count").fetchone()[0]
    desk.recorder._hand.writer.connection.execute(f"PRAGMA max_page_count={pages + 20}")
    with pytest.raises(EventLogFullError, match="not recorded"):
        desk.recorder.append_all([event(number) for number in range(10_000)])
    assert len(entries(directory)) == 1
    assert desk.record().endswith("-2")


def test_batch_over_the_limits_is_refused_unrecorded(directory: LogDirectory, make_desk: MakeDesk) -> None:
    """One transaction has a bound by name."""
    with pytest.raises(BatchTooLargeError, match="nothing was recorded"):
        make_desk().recorder.append_all([event()] * (CALL_EVENTS_MAX + 1))
    assert list_segments(directory.segments) == []


def test_batch_that_meets_the_number_bound_goes_whole_into_the_next_segment(
    directory: LogDirectory, make_desk: MakeDesk
) -> None:
    """All or nothing, in one segment."""
    desk = make_desk()
    first = desk.record()
    desk.recorder._hand.writer.connection.execute(
        "INSERT INTO entries VALUES (2097151, 'purchases', 0, 0, '{}', '')"
    )
    receipts = desk.recorder.append_all([event(1), event(2)])
    assert {receipt.id.origin for receipt in receipts} == {receipts[0].id.origin} != {first[:10]}
    assert [receipt.id.seq for receipt in receipts] == [1, 2]


# ---- a disk that fails at commit --------------------------------------------------------


class _FailingDisk:
    """The next commit fails with an I/O error; whether its rows are there is the test's choice."""

    def __init__(self, patch: pytest.MonkeyPatch, *, rows_are_there: bool, seal_fails: bool = False) -> None:
        append_one, commit, seal = SegmentWriter.append_one, SegmentWriter.commit, SegmentWriter.seal
        self.armed = True

        def failing_one(writer: SegmentWriter, *args: Any) -> int:
            if not self.armed:
                return append_one(writer, *args)
            given = writer._given
            writer.begin()
            append_one(writer, *args)
            writer._given = given
            failing_commit(writer)
            raise AssertionError("unreachable")

        def failing_commit(writer: SegmentWriter) -> None:
            if not self.armed:
                commit(writer)
                return
            self.armed = False
            writer.connection.execute("COMMIT" if rows_are_there else "ROLLBACK")
            raise io_error()

        def failing_seal(writer: SegmentWriter, *args: Any) -> None:
            if seal_fails:
                raise io_error()
            seal(writer, *args)

        patch.setattr(SegmentWriter, "append_one", failing_one)
        patch.setattr(SegmentWriter, "commit", failing_commit)
        patch.setattr(SegmentWriter, "seal", failing_seal)


@pytest.mark.parametrize("durability", DURABILITIES)
@pytest.mark.parametrize("count", [1, 3])
def test_row_that_is_there_after_a_failed_commit_keeps_its_number(
    directory: LogDirectory, make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch, durability: str, count: int
) -> None:
    """The seal settles that it is there; it is not recorded a second time."""
    desk = make_desk(durability=durability)
    origin = desk.record()[:10]
    _FailingDisk(monkeypatch, rows_are_there=True)
    receipts = desk.recorder.append_all([event(number) for number in range(count)])
    assert [str(receipt.id) for receipt in receipts] == [f"{origin}-{seq}" for seq in range(2, count + 2)]
    assert len(entries(directory)) == count + 1
    after = desk.record()
    assert after[:10] != origin
    reader = SegmentReader(directory.segments, list_segments(directory.segments)[0])
    reader.close()
    assert desk.abandoned == []


@pytest.mark.parametrize("durability", DURABILITIES)
@pytest.mark.parametrize("count", [1, 3])
def test_row_that_is_absent_after_a_failed_commit_is_recorded_in_the_successor(
    directory: LogDirectory, make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch, durability: str, count: int
) -> None:
    """The sealed file can never bring it back, so it is recorded once."""
    desk = make_desk(durability=durability)
    origin = desk.record()[:10]
    _FailingDisk(monkeypatch, rows_are_there=False)
    receipts = desk.recorder.append_all([event(number) for number in range(count)])
    assert {receipt.id.origin for receipt in receipts}.isdisjoint({origin})
    assert [receipt.id.seq for receipt in receipts] == list(range(1, count + 1))
    assert len(entries(directory)) == count + 1
    reader = SegmentReader(directory.segments, SegmentName("2026-11-23", origin))
    assert reader.header().successor_origin == receipts[0].id.origin
    reader.close()


@pytest.mark.parametrize("durability", DURABILITIES)
def test_twin_recorded_in_the_same_millisecond_is_not_taken_for_the_lost_row(
    directory: LogDirectory, make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch, durability: str
) -> None:
    """Equal content and time at the end of the file prove nothing; the number does."""
    desk = make_desk(durability=durability)
    twin = desk.recorder.append(event(7))
    _FailingDisk(monkeypatch, rows_are_there=False)
    other = desk.recorder.append(event(7))
    assert other.id != twin.id
    assert len(entries(directory)) == 2


def test_failed_seal_leaves_the_outcome_open_and_the_segment_abandoned(
    directory: LogDirectory, make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller is told so, the log is told which segment, and recording goes on elsewhere."""
    desk = make_desk()
    origin = desk.record()[:10]
    _FailingDisk(monkeypatch, rows_are_there=False, seal_fails=True)
    with pytest.raises(RecordOutcomeUnknownError, match=origin):
        desk.record(1)
    assert [name.origin for name in desk.abandoned] == [origin]
    monkeypatch.undo()
    assert desk.record(2)[:10] != origin


def test_full_disk_at_commit_is_told_as_not_recorded(
    directory: LogDirectory, make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite rolls back by itself; nothing has to be sealed."""
    desk = make_desk()
    first = desk.record()

    def fail(self: SegmentWriter) -> None:
        raise full_error()

    monkeypatch.setattr(SegmentWriter, "commit", fail)
    with pytest.raises(EventLogFullError, match="not recorded"):
        desk.recorder.append_all([event(1), event(2)])
    monkeypatch.undo()
    assert desk.record() == f"{first[:10]}-2"


def test_damaged_file_is_left_and_the_event_recorded_elsewhere(
    directory: LogDirectory, make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller does not pay for a bad block; the file is kept for recovery."""
    desk = make_desk()
    origin = desk.record()[:10]
    append_one = SegmentWriter.append_one

    def damaged_once(self: SegmentWriter, *args: Any) -> int:
        if self.name.origin == origin:
            error = sqlite3.DatabaseError("database disk image is malformed")
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error
        return append_one(self, *args)

    monkeypatch.setattr(SegmentWriter, "append_one", damaged_once)
    assert desk.record()[:10] != origin
    assert SegmentName("2026-11-23", origin) in list_segments(directory.segments)


def test_unexpected_error_rolls_back_and_is_the_caller_s(
    make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug above leaves no transaction open below."""
    desk = make_desk()
    desk.record()

    def bug(self: SegmentWriter) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(SegmentWriter, "commit", bug)
    with pytest.raises(ZeroDivisionError):
        desk.recorder.append_all([event(1), event(2)])
    monkeypatch.undo()
    assert desk.record().endswith("-2")


# ---- others who hold things up ----------------------------------------------------------

_HOLDER = """
import sys
from pathlib import Path
from keen_client.eventlog.directory import LogDirectory
directory = LogDirectory(Path(sys.argv[1]))
assert directory.recorders_lock().acquire(int(sys.argv[2]), 5)
print("held", flush=True)
sys.stdin.read()
"""


def hold(directory: LogDirectory, byte: int) -> subprocess.Popen[str]:
    """Another process that holds a byte of the recorders' lock until its stdin closes."""
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(directory.path), str(byte)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def let_go(holder: subprocess.Popen[str]) -> None:
    holder.communicate()


def test_stuck_segment_is_left_for_one_of_our_own(directory: LogDirectory, make_desk: MakeDesk) -> None:
    """A stopped process holds the lock of the shared file: recording does not wait for ever."""
    desk = make_desk(lock_timeout_seconds=0.1)
    shared = desk.record()[:10]
    holder = hold(directory, directory.segment_byte(shared))
    try:
        own = [desk.record(), desk.record()]
    finally:
        let_go(holder)
    assert {event_id[:10] for event_id in own} == {own[0][:10]} != {shared}
    assert len(list_segments(directory.segments)) == 2
    assert len(entries(directory)) == 3


def test_stuck_directory_lock_does_not_stop_the_first_event(
    directory: LogDirectory, make_desk: MakeDesk
) -> None:
    """Somebody died in the middle of making a segment, and is still there: then one of our own is made."""
    holder = hold(directory, directory.directory_byte())
    try:
        assert make_desk(lock_timeout_seconds=0.1).record()
    finally:
        let_go(holder)


def test_stuck_roll_leaves_the_old_file_to_the_sender(
    directory: LogDirectory, make_desk: MakeDesk, clock: Any
) -> None:
    """At midnight the old file's lock is held: the new day begins all the same, and the old file stays open."""
    desk = make_desk(lock_timeout_seconds=0.1)
    old = desk.record()[:10]
    clock.turn(86_400)
    holder = hold(directory, directory.segment_byte(old))
    try:
        # The lock is asked for before the day is looked at.
        assert desk.record()[:10] != old
    finally:
        let_go(holder)
    reader = SegmentReader(directory.segments, SegmentName("2026-11-23", old))
    assert not reader.header().is_sealed
    reader.close()


def test_other_connection_s_open_transaction_is_a_typed_error(
    directory: LogDirectory, make_desk: MakeDesk
) -> None:
    """A person at the sqlite3 shell has begun a write: the event was not recorded, and the error says so."""
    desk = make_desk(lock_timeout_seconds=0.05)
    desk.record()
    (name,) = list_segments(directory.segments)
    shell = sqlite3.connect(name.path_in(directory.segments), isolation_level=None)
    shell.execute("BEGIN IMMEDIATE")
    with pytest.raises(EventLogBusyError, match="not recorded"):
        desk.record()
    shell.execute("ROLLBACK")
    shell.close()
    assert desk.record().endswith("-2")


# ---- life -------------------------------------------------------------------------------


def test_closed_recorder_opens_anew(make_desk: MakeDesk) -> None:
    """Close lets go of the file; the next event goes on in it."""
    desk = make_desk()
    first = desk.record()
    desk.recorder.close()
    desk.recorder.close()
    assert desk.record() == f"{first[:10]}-2"


def test_directory_that_cannot_be_written_is_told(
    directory: LogDirectory, make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever runs this may be root, so the refusal is the operating system's own, staged."""

    def refuse(*args: Any, **kwargs: Any) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("keen_client.eventlog.succession.make_segment", refuse)
    with pytest.raises(EventLogPermissionError, match="not recorded"):
        make_desk().record()


@pytest.mark.parametrize("durability", DURABILITIES)
def test_handler_that_interrupts_recording_and_records_is_refused(
    directory: LogDirectory, make_desk: MakeDesk, clock: Any, monkeypatch: pytest.MonkeyPatch, durability: str
) -> None:
    """It would wait for its own thread for ever: it gets an error, what it interrupted is recorded, and later both are."""
    desk = make_desk(durability=durability)
    desk.recorder.append(event(1))
    real = clock.wall_ms
    refused: list[EventLogBusyError] = []

    def interrupted() -> int:
        with pytest.raises(EventLogBusyError, match="that event was not recorded") as one:
            desk.recorder.append(event(2))
        with pytest.raises(EventLogBusyError, match="that event was not recorded") as many:
            desk.recorder.append_all([event(3)])
        refused.extend((one.value, many.value))
        return int(real())

    with monkeypatch.context() as patch:
        patch.setattr(clock, "wall_ms", interrupted)
        desk.recorder.append(event(4))
        desk.recorder.append_all([event(5), event(6)])
    desk.recorder.append(event(7))
    assert len(refused) >= 4
    assert [entry.body for entry in entries(directory)] == [event(n).body for n in (1, 4, 5, 6, 7)]


def test_tries_are_bounded(
    directory: LogDirectory, make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log in which every file is damaged ends in an error, not in a loop."""

    def damaged(self: SegmentWriter, *args: Any) -> int:
        error = sqlite3.DatabaseError("malformed")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error

    monkeypatch.setattr(SegmentWriter, "append_one", damaged)
    with pytest.raises((EventLogBusyError, EventLogDamagedError), match="not recorded"):
        make_desk().record()


@pytest.mark.parametrize("durability", DURABILITIES)
def test_segment_that_was_opened_on_a_read_only_file_system_is_opened_anew(
    directory: LogDirectory, make_desk: MakeDesk, durability: str
) -> None:
    """As soon as it can be written recording goes on, in the same segment and with the next number."""
    desk = make_desk(durability=durability)
    first = desk.recorder.append(event(1))
    desk.recorder._hand.writer.connection.execute("PRAGMA query_only=1")
    second = desk.recorder.append(event(2))
    assert (second.id.origin, second.id.seq) == (first.id.origin, 2)
    assert [entry.body for entry in entries(directory)] == [event(1).body, event(2).body]


def test_segment_that_stays_read_only_in_this_process_is_left_for_another(
    directory: LogDirectory, make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader may hold its shared memory as it was opened on a read-only file system: recording goes on elsewhere."""
    desk = make_desk()
    first = desk.recorder.append(event(1))
    real = SegmentWriter.append_one

    def refused(writer: SegmentWriter, *rest: Any) -> int:
        if writer.name.origin == first.id.origin:
            error = sqlite3.OperationalError("attempt to write a readonly database")
            error.sqlite_errorcode = sqlite3.SQLITE_READONLY
            raise error
        return real(writer, *rest)

    monkeypatch.setattr(SegmentWriter, "append_one", refused)
    second = desk.recorder.append(event(2))
    assert second.id.origin != first.id.origin
    assert {entry.id for entry in entries(directory)} == {first.id, second.id}


def test_segment_whose_schema_was_written_over_is_left_for_another(
    directory: LogDirectory, make_desk: MakeDesk
) -> None:
    """Whatever bytes SQLite quotes from it: the next event lies in a fresh segment."""
    desk = make_desk()
    first = desk.recorder.append(event(1))
    desk.recorder.close()
    (name,) = list_segments(directory.segments)
    path = name.path_in(directory.segments)
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE", b"CREAT\xed TABLE"))
    second = desk.recorder.append(event(2))
    assert second.id.origin != first.id.origin
