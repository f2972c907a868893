"""Delivery beside a segment that cannot be read: nothing is called drained, and who listens is told once."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from keen_client._foundation.clock import Clock, SystemClock
from keen_client._foundation.randomness import SeededRandomness, SystemRandomness
from keen_client.delivery.config import DeliveryConfig
from keen_client.delivery.courier import Courier, FlushReport
from keen_client.delivery.sender import Sender
from keen_client.eventlog.config import LogConfig
from keen_client.eventlog.directory import Binding
from keen_client.eventlog.log import EventLog
from keen_client.events.encoding import encode_event
from keen_client.observability.hooks import HookSet
from keen_client.observability.signals import SegmentUnreadable, Signal
from keen_client.testing.clocks import VirtualClock
from keen_client.testing.uploaders import ScriptedUploader


def open_log(path: Path, clock: Clock) -> EventLog:
    return EventLog(path, Binding("http://127.0.0.1:1", "p"), LogConfig(), clock, SystemRandomness())


def record(log: EventLog, count: int) -> None:
    log.record_all([encode_event("c", {"n": n}) for n in range(count)])


def courier_of(log: EventLog, clock: Clock, signals: list[Signal], *, background: bool = False) -> Courier:
    hooks = HookSet([signals.append])
    sender = Sender(
        log, ScriptedUploader(), DeliveryConfig(), clock, SeededRandomness(7), hooks, lambda: True
    )
    return Courier(sender, clock, hooks, background=background)


def flush_of(log: EventLog, clock: VirtualClock, signals: list[Signal]) -> Callable[[], FlushReport]:
    return courier_of(log, clock, signals).flush


def test_a_flush_is_not_drained_and_tells_it_once_for_as_long_as_it_lasts(tmp_path: Path) -> None:
    """What can be sent is sent; a file that is back is told again when it goes again."""
    clock, signals = VirtualClock(), list[Signal]()
    log = open_log(tmp_path / "log", clock)
    record(log, 3)
    (name,) = log.shelf.names()
    log.close()
    path = name.path_in(tmp_path / "log" / "segments")
    sound = path.read_bytes()
    os.truncate(path, 0)
    log = open_log(tmp_path / "log", clock)
    record(log, 2)
    flush = flush_of(log, clock, signals)
    report = flush()
    assert (report.acknowledged, report.pending, report.unreadable, report.is_drained) == (2, 0, 1, False)
    assert name.file in report.reason
    for _ in range(3):
        clock.advance(60)
        assert flush().reason == report.reason
    told = [signal for signal in signals if isinstance(signal, SegmentUnreadable)]
    assert [(signal.segment, signal.level) for signal in told] == [(name.file, "ERROR")]
    path.write_bytes(sound)
    clock.advance(60)
    report = flush()
    assert (report.acknowledged, report.unreadable, report.reason, report.is_drained) == (3, 0, "", True)
    log.shelf.release(name.origin)
    path.unlink()
    clock.advance(60)
    assert not flush().is_drained
    assert len([signal for signal in signals if isinstance(signal, SegmentUnreadable)]) == 2
    log.directory.sender_lock().release()
    log.close()


def test_what_waits_again_in_a_drained_segment_that_cannot_be_read_has_a_reason(tmp_path: Path) -> None:
    """It is counted as pending; why it is not sent would be told by nobody else."""
    clock = VirtualClock()
    log = open_log(tmp_path / "log", clock)
    record(log, 3)
    flush = flush_of(log, clock, [])
    assert flush().is_drained
    (name,) = log.shelf.names()
    with log.state.transaction() as db:
        db.execute("UPDATE ranges SET state = 'pending', due_ms = 0")
        db.execute("UPDATE origins SET status = 'drained'")
    log.shelf.release(name.origin)
    path = name.path_in(tmp_path / "log" / "segments")
    for sidecar in ("-wal", "-shm"):
        Path(f"{path}{sidecar}").unlink(missing_ok=True)
    os.truncate(path, 0)
    report = flush()
    assert (report.pending, report.unreadable) == (3, 1)
    assert name.file in report.reason
    log.directory.sender_lock().release()
    log.close()


def test_a_flush_beside_a_background_sender_ends_when_all_that_can_be_read_is_sent(tmp_path: Path) -> None:
    """What waits behind a bad page is counted, and not waited for; the report says why it stays."""
    clock = SystemClock()
    log = open_log(tmp_path / "log", clock)
    record(log, 400)
    (name,) = log.shelf.names()
    log.close()
    path = name.path_in(tmp_path / "log" / "segments")
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    with path.open("r+b") as file:
        file.seek(path.read_bytes().index(b'{"n":200}') // 4096 * 4096)
        file.write(b"\xa5" * 4096)
    log = open_log(tmp_path / "log", clock)
    courier = courier_of(log, clock, [], background=True)
    try:
        report = courier.flush()
        assert 0 < report.acknowledged <= 200
        assert (report.pending, report.unreadable) == (400 - report.acknowledged, 1)
        assert f"entry {report.acknowledged + 1} cannot be read" in report.reason
    finally:
        courier.close(5)
        log.close()
