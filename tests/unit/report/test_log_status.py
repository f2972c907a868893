"""The state of a log at a glance: right before anything was sent, and a look that changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from keen_client._foundation.clock import MS_PER_DAY, SystemClock
from keen_client._foundation.randomness import SystemRandomness
from keen_client.eventlog.config import LogConfig
from keen_client.eventlog.directory import Binding
from keen_client.eventlog.log import EventLog
from keen_client.events.encoding import encode_event
from keen_client.report.log_status import LogStatus, read_status
from keen_client.verify.presets import PRESETS


def open_log(tmp_path: Path, **config: object) -> EventLog:
    return EventLog(
        tmp_path / "log",
        Binding("http://127.0.0.1:1", "project"),
        LogConfig(**config),  # type: ignore[arg-type]
        SystemClock(),
        SystemRandomness(),
    )


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    log = open_log(tmp_path)
    yield log
    log.close()


def look(log: EventLog) -> LogStatus:
    return read_status(log, PRESETS["standard"], log.clock.wall_ms())


def test_an_empty_log_waits_for_nothing(log: EventLog) -> None:
    """Nothing recorded: nothing pending, no oldest, no horizon."""
    status = look(log)
    assert status.backlog.unsent == 0
    assert status.oldest_unsent_ms is None
    assert not status.is_past_horizon
    assert not status.is_sender_running


def test_the_oldest_unsent_event_is_the_first_that_nobody_took(log: EventLog) -> None:
    """Its age is that of its recording, and it moves on when earlier entries are acknowledged."""
    first = log.record(encode_event("things", {"n": 1}))
    log.record(encode_event("things", {"n": 2}))
    status = look(log)
    assert status.backlog.pending == 2
    assert status.oldest_unsent_ms == first.timestamp_ms
    claim = log.outbox.claim(events_max=1, bytes_max=10_000)
    assert claim is not None
    assert look(log).oldest_unsent_ms == first.timestamp_ms  # in flight is not done


def test_looking_changes_nothing(log: EventLog) -> None:
    """No origin is entered, no counter moves, no cursor advances."""
    log.record(encode_event("things", {"n": 1}))
    before = log.state.path.read_bytes()
    look(log)
    assert log.state.path.read_bytes() == before


def test_a_log_near_its_size_limit_is_past_a_horizon(tmp_path: Path) -> None:
    """Before recording refuses events, status says so."""
    log = open_log(tmp_path, log_size_max_bytes=100_000)
    try:
        (log.directory.path / "ballast").write_bytes(bytes(90_000))
        assert look(log).is_past_horizon
    finally:
        log.close()


def test_unverified_events_near_the_end_of_retention_are_named(tmp_path: Path) -> None:
    """Who would be reclaimed unverified within days stands in the document, with counts."""
    log = open_log(tmp_path, retention_days=1.0, warn_days=7.0)
    try:
        log.record(encode_event("things", {"n": 1}, "2026-01-01T00:00:00Z"))
        status = read_status(log, PRESETS["standard"], log.clock.wall_ms() + MS_PER_DAY)
        assert status.is_past_horizon
        (horizon,) = status.document()["horizons"]
        assert horizon["unsent"] == 1
    finally:
        log.close()
