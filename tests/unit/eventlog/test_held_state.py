"""Somebody stopped holds ``state.db``: recording goes on without it, in a segment whose numbers nobody can have given."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from keen_client.errors import EventLogBusyError
from keen_client.eventlog.segment import list_segments

MakeDesk = Callable[..., Any]
MakeTill = Callable[..., Any]

#: Less than a sender waits for the file, and long enough for a busy machine.
PATIENCE_SECONDS = 25.0


@contextmanager
def held(till: Any) -> Iterator[None]:
    """Another connection has the file for itself."""
    shell = sqlite3.connect(till.log.state.path, isolation_level=None, check_same_thread=False)
    shell.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        shell.execute("ROLLBACK")
        shell.close()


def in_time(call: Callable[[], Any]) -> Any:
    """What *call* returns; a thread waits for it, so that it need not end."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(call()), daemon=True)
    thread.start()
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()
    return found[0]


def test_first_event_of_a_process_does_not_wait_for_state(make_till: MakeTill) -> None:
    """It lies in a segment of its own, and nothing is lost of what lay there before."""
    (first,) = make_till().record()
    till = make_till(lock_timeout_seconds=0.1)
    with held(till):
        (second,) = in_time(till.record)
    assert second.origin != first.origin
    assert {entry.id for entry in till.log.entries()} == {first, second}


def test_first_event_does_not_wait_for_the_sender_s_thread(make_till: MakeTill) -> None:
    """That one waits for another process, and this one for neither."""
    (first,) = make_till().record()
    till = make_till(lock_timeout_seconds=0.1)
    begun, over = threading.Event(), threading.Event()

    def work() -> None:
        with till.log.state.transaction():
            begun.set()
            over.wait(PATIENCE_SECONDS * 2)

    sender = threading.Thread(target=work)
    sender.start()
    begun.wait()
    try:
        (second,) = in_time(till.record)
    finally:
        over.set()
        sender.join()
    assert second.origin != first.origin


def test_roll_does_not_wait_for_state(make_till: MakeTill) -> None:
    """At midnight the new day begins all the same, and the sender seals the old file when it can."""
    till = make_till(lock_timeout_seconds=0.1)
    (first,) = till.record()
    till.clock.turn(86_400)
    with held(till):
        (second,) = in_time(till.record)
    assert second.origin != first.origin
    till.log.tend()
    assert till.log.shelf.is_sealed(first.origin)


def test_state_is_waited_for_once(make_desk: MakeDesk) -> None:
    """Not for every segment that lies there: the whole wait is the caller's."""
    desk = make_desk()
    for _ in range(3):
        desk.record()
        desk.succession.shunned.add(list_segments(desk.directory.segments)[-1].origin)
        desk.recorder.close()
    desk.succession.shunned.clear()
    asked: list[str] = []

    def busy(origin: str) -> None:
        asked.append(origin)
        raise EventLogBusyError("state.db is held; nothing was changed", "wait")

    desk.succession._cursor_of = busy
    known = {name.origin for name in list_segments(desk.directory.segments)}
    assert desk.record()[:10] not in known
    assert len(asked) == 1


def test_waiting_less_does_not_outlast_the_look(make_till: MakeTill) -> None:
    """The sender waits as long as ever, after recording did not."""
    till = make_till(lock_timeout_seconds=0.1)
    till.record()
    with till.log.state.reading() as db:
        before = db.execute("PRAGMA busy_timeout").fetchone()
    with till.log.state.reading_soon(0.01) as db:
        assert db.execute("PRAGMA busy_timeout").fetchone() == (10,)
    with held(till), pytest.raises(EventLogBusyError), till.log.state.reading_soon(0.01) as db:
        db.execute("SELECT count(*) FROM origins").fetchone()
    with till.log.state.reading() as db:
        assert db.execute("PRAGMA busy_timeout").fetchone() == before
