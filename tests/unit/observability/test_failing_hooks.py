"""Hooks are the user's code: what they do wrong is counted, and changes nothing here."""

from __future__ import annotations

import logging

import pytest

from keen_client.observability.hooks import HookSet
from keen_client.observability.signals import BatchAcknowledged, DeliveryResumed, Signal


def test_failing_hook_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The next hook gets the signal all the same; the failure is counted each time and logged once, by its class alone."""
    seen: list[Signal] = []

    def fail(signal: Signal) -> None:
        raise ValueError("with a secret in it")

    hooks = HookSet([fail, seen.append])
    with caplog.at_level(logging.INFO, logger="keen_client"):
        hooks.emit(DeliveryResumed())
        hooks.emit(DeliveryResumed())
    assert len(seen) == 2
    assert hooks.failures == 2
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == ["a hook failed (ValueError); delivery goes on"]


def test_signal_is_logged_at_its_own_level(caplog: pytest.LogCaptureFixture) -> None:
    """Debug signals are silent at INFO; the line is the class and its fields."""
    with caplog.at_level(logging.INFO, logger="keen_client"):
        HookSet().emit(BatchAcknowledged(3, 0.5))
        HookSet().emit(DeliveryResumed())
    assert [record.getMessage() for record in caplog.records] == ["DeliveryResumed "]
