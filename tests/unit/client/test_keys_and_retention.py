"""Whose log is verified is read from the log: the keys of one process decide nothing for the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from keen_client import KeenClient
from keen_client._foundation.randomness import SystemRandomness
from keen_client.client.wiring import Seams
from keen_client.eventlog.config import LogConfig
from keen_client.eventlog.entry import DeliveryState
from keen_client.eventlog.log import EventLog
from keen_client.eventlog.outbox import Settlement
from keen_client.observability.signals import HorizonNear, Signal
from keen_client.testing.clocks import VirtualClock

#: Old after three days, warned of from the first on.
CONFIG = LogConfig(retention_days=3.0, warn_days=2.0, durability="normal")


@pytest.mark.parametrize("reader_key", ["r" * 64, None])
def test_a_worker_without_a_read_key_lets_nothing_go_from_a_log_that_another_process_verifies(
    make_client: Callable[..., KeenClient], tmp_path: Any, reader_key: str | None
) -> None:
    """What runs nightly has the read key; where nobody has one, it goes after retention and was warned of."""
    clock, signals = VirtualClock(), list[Signal]()
    settings = {"log": tmp_path / "log", "log_config": CONFIG, "seams": Seams(clock=clock)}
    make_client(**settings, read_key=reader_key)
    worker = make_client(**settings, read_key=None, hooks=[signals.append])

    log = EventLog(tmp_path / "log", None, CONFIG, clock, SystemRandomness())
    worker.add_events({"purchases": [{"n": n} for n in range(3)]})
    for day in range(6):
        if day < 2:
            worker.add_event("heartbeats", {"day": day})
        while claim := log.outbox.claim(events_max=100, bytes_max=100_000):
            log.outbox.settle(claim, [Settlement(DeliveryState.ACKNOWLEDGED)] * len(claim.entries))
        worker.flush()
        clock.advance(86_400 + 60)
    log.close()

    left = sum(1 for _ in worker.log.entries("purchases"))
    told = [signal for signal in signals if isinstance(signal, HorizonNear)]
    assert (left, bool(told)) == ((0, True) if reader_key is None else (3, False))
