"""Signal handlers in the middle of recording: what they raise is their own thread's alone, and what they close is closed."""

from __future__ import annotations

import gc
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Self

import pytest

from keen_client.errors import EventLogFullError, RecordOutcomeUnknownError
from keen_client.eventlog.directory import LogDirectory
from keen_client.eventlog.segment import SegmentReader, SegmentWriter, list_segments
from keen_client.events.encoding import EncodedEvent, encode_event

MakeDesk = Callable[..., Any]

#: Long enough for a machine that is busy, and what a thread that hangs costs.
PATIENCE_SECONDS = 30.0


class SoftTimeLimitExceeded(Exception):  # noqa: N818 — as the task runner names it
    """What a task runner's alarm raises in the thread that it interrupts."""


class Alarm:
    """A handler that raises once, at the *nth* moment at which this thread would run one.

    The interpreter runs handlers when a Python function begins and when a call
    into C has ended; the profiler is told of the same moments.
    """

    def __init__(self, nth: int) -> None:
        self._left = nth
        self.rang = ""

    def __enter__(self) -> Self:
        # What is raised in a callback of the collector (hypothesis has one) is raised nowhere.
        gc.disable()
        sys.setprofile(self._look)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        gc.enable()

    def _look(self, frame: Any, event: str, _: object) -> None:
        if event not in ("call", "c_return") or not _is_ours(frame):
            return
        if self._left == 0:
            self.rang = f"{event} in {frame.f_code.co_qualname}, line {frame.f_lineno}"
            sys.setprofile(None)
            raise SoftTimeLimitExceeded
        self._left -= 1


def _is_ours(frame: Any) -> bool:
    while frame is not None:
        if "/keen_client/" in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False


def event(number: int) -> EncodedEvent:
    return encode_event("purchases", {"number": number})


def bodies(directory: LogDirectory) -> list[str]:
    found: list[str] = []
    for name in list_segments(directory.segments):
        reader = SegmentReader(directory.segments, name)
        found.extend(entry.body for entry in reader.entries(1, 2**62))
        reader.close()
    return found


def run(call: Callable[[], object]) -> threading.Thread:
    """Run *call* in a thread; a hang is told by its being alive, and does not outlive the tests."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    return thread


def join(*threads: threading.Thread) -> None:
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"


class Crowd:
    """This thread leads, and two others wait for what it commits."""

    def __init__(self, desk: Any, first: int) -> None:
        self._recorder = desk.recorder
        self._numbers = (first, first + 1, first + 2)
        self.outcomes: dict[int, Any] = {}

    def record(self, alarm: Alarm) -> None:
        """Record with the alarm set; returns when all three are back."""
        own, *others = self._numbers
        is_back = threading.Event()
        self._recorder._commit_lock.acquire()
        gate = run(lambda: self._let_in(is_back))
        try:
            with alarm:
                self._recorder.append(event(own))
        except SoftTimeLimitExceeded:
            pass
        finally:
            is_back.set()
        join(gate)
        join(*self._followers)
        assert set(self.outcomes) == set(others)

    def _let_in(self, is_back: threading.Event) -> None:
        queue = self._recorder._group._queue
        self._followers: list[threading.Thread] = []
        while not queue and not is_back.wait(0.0005):
            pass
        for number in self._numbers[1:]:
            self._followers.append(run(lambda number=number: self._follow(number)))  # type: ignore[misc]
        while sum(not waiting.has_left for waiting in list(queue)) < (2 if is_back.is_set() else 3):
            threading.Event().wait(0.0005)
        self._recorder._commit_lock.release()

    def _follow(self, number: int) -> None:
        try:
            self.outcomes[number] = self._recorder.append(event(number))
        except BaseException as error:  # noqa: BLE001 — whatever it is, it is what the test is about
            self.outcomes[number] = error


def every_moment(stride: int = 1) -> Iterator[Alarm]:
    """One alarm for each moment (each *stride*-th) of what is done under it, until one does not ring."""
    nth = 0
    while True:
        alarm = Alarm(nth)
        yield alarm
        if not alarm.rang:
            break
        nth += stride
    assert nth > 20


#: Broken off between SQLite's call and the name for what it gave, a connection is closed by its last reference;
#: Python 3.13 warns of that.
UNNAMED = pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")


@UNNAMED
@pytest.mark.parametrize("is_open", [True, False], ids=["segment in hand", "segment to be found"])
def test_what_a_handler_raises_in_the_leader_reaches_no_other_thread(
    directory: LogDirectory, make_desk: MakeDesk, is_open: bool
) -> None:
    """Wherever it comes the others are recorded, once, and have their receipts; and recording goes on."""
    desk = make_desk(lock_timeout_seconds=60.0, durability="full")
    desk.record(0)
    interrupted: list[str] = []
    others: list[str] = []
    # Looking for a segment is long, and none of it is the group's.
    for alarm in every_moment(1 if is_open else 17):
        if not is_open:
            desk.recorder.close()
        first = 1 + 3 * len(interrupted)
        crowd = Crowd(desk, first)
        crowd.record(alarm)
        failed = [outcome for outcome in crowd.outcomes.values() if isinstance(outcome, BaseException)]
        assert not failed, alarm.rang
        interrupted.append(event(first).body)
        others += [event(first + 1).body, event(first + 2).body]
    recorded = Counter(bodies(directory))
    assert [recorded[body] for body in others] == [1] * len(others)
    assert max(recorded.values()) == 1
    assert 0 < sum(recorded[body] for body in interrupted) < len(interrupted)
    assert len(list_segments(directory.segments)) == 1


@UNNAMED
@pytest.mark.parametrize("many", [False, True], ids=["one event", "a call of three"])
@pytest.mark.parametrize("durability", ["full", "normal"])
def test_what_a_handler_raises_leaves_no_lock_and_no_transaction(
    directory: LogDirectory, make_desk: MakeDesk, durability: str, many: bool
) -> None:
    """The next event is recorded by the same thread, by another, and by another process's recorder."""
    desk = make_desk(durability=durability, lock_timeout_seconds=60.0)
    other = make_desk(durability=durability, lock_timeout_seconds=60.0)
    desk.record(0)
    moments = 0
    for alarm in every_moment():
        try:
            with alarm:
                if many:
                    desk.recorder.append_all([event(1), event(2), event(3)])
                else:
                    desk.recorder.append(event(1))
        except SoftTimeLimitExceeded:
            pass
        join(run(lambda: desk.record(4)))
        assert desk.record(5)
        assert other.record(6)
        moments += 1
    assert len(bodies(directory)) >= 3 * moments
    assert len(list_segments(directory.segments)) == 1


def test_a_fault_of_the_leader_s_commit_is_not_the_followers(
    directory: LogDirectory, make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is certainly not recorded stays in the queue, and the next one leads."""
    desk = make_desk()
    desk.record(0)
    commit, faults = SegmentWriter.commit, [ZeroDivisionError()]

    def faulty(writer: SegmentWriter) -> None:
        if faults:
            raise faults.pop()
        commit(writer)

    monkeypatch.setattr(SegmentWriter, "commit", faulty)
    crowd = Crowd(desk, 1)
    with pytest.raises(ZeroDivisionError):
        crowd.record(Alarm(-1))
    join(*crowd._followers)
    assert not any(isinstance(outcome, BaseException) for outcome in crowd.outcomes.values())
    assert bodies(directory).count(event(1).body) == 0


def test_followers_are_told_where_nobody_knows_what_became_of_their_events(
    make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite cannot say any more: they get the library's error for that, never the leader's own."""
    desk = make_desk()
    desk.record(0)

    def gone(writer: SegmentWriter, rows: Any) -> tuple[int, int]:
        writer.connection.close()
        raise SoftTimeLimitExceeded

    crowd = Crowd(desk, 1)
    monkeypatch.setattr(SegmentWriter, "append_many", gone)
    crowd.record(Alarm(-1))
    assert {type(outcome) for outcome in crowd.outcomes.values()} == {RecordOutcomeUnknownError}
    monkeypatch.undo()
    assert desk.record(4)


# ---- close ------------------------------------------------------------------------------


@pytest.mark.parametrize("durability", ["full", "normal"])
def test_a_handler_may_close_what_it_interrupts(
    directory: LogDirectory, make_desk: MakeDesk, clock: Any, monkeypatch: pytest.MonkeyPatch, durability: str
) -> None:
    """The usual handler of SIGTERM: it waits for nothing, the event is recorded, and then the file is let go."""
    desk = make_desk(durability=durability)
    desk.record(1)
    real = clock.wall_ms

    def interrupted() -> int:
        desk.recorder.close()
        return int(real())

    with monkeypatch.context() as patch:
        patch.setattr(clock, "wall_ms", interrupted)
        join(run(lambda: desk.record(2)))
    assert bodies(directory) == [event(1).body, event(2).body]
    assert desk.recorder._hand is None
    assert desk.record(3)


# ---- waiting for room -------------------------------------------------------------------


@pytest.mark.parametrize("durability", ["full", "normal"])
def test_who_waits_for_room_holds_nobody_up(
    make_desk: MakeDesk, clock: Any, monkeypatch: pytest.MonkeyPatch, durability: str
) -> None:
    """Others wait each for itself, and close need not wait."""
    desk = make_desk(durability=durability, on_full="block", block_timeout_seconds=3, log_size_max_bytes=1)
    sleep, naps = clock.sleep, 0

    def close_meanwhile(seconds: float) -> None:
        nonlocal naps
        naps += 1
        assert not desk.recorder._commit_lock.locked()
        desk.recorder.close()
        sleep(seconds)

    monkeypatch.setattr(clock, "sleep", close_meanwhile)
    with pytest.raises(EventLogFullError):
        desk.record()
    assert naps


def test_waiting_for_room_is_timed_from_the_beginning_of_the_call(
    make_desk: MakeDesk, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the call did before it had to wait counts."""
    desk = make_desk(on_full="block", block_timeout_seconds=3, log_size_max_bytes=1)
    check = desk.recorder._room.check

    def slow() -> None:
        clock.turn(2)
        check()

    monkeypatch.setattr(desk.recorder._room, "check", slow)
    with pytest.raises(EventLogFullError):
        desk.record()
    assert 3e9 <= clock.passed_ns < 4e9
