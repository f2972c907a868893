"""Signals are facts: frozen, named by consequence, and logged without failing anybody."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import get_type_hints

import attrs
import pytest

import keen_client.observability.signals as module
from keen_client.observability.hooks import LOGGER, HookSet
from keen_client.observability.signals import DeliveryPaused, DeliveryResumed, Signal

KINDS = sorted(
    (
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Signal) and value is not Signal
    ),
    key=lambda kind: kind.__name__,
)


@contextmanager
def filtered(filter_: logging.Filter) -> Iterator[None]:
    LOGGER.addFilter(filter_)
    try:
        yield
    finally:
        LOGGER.removeFilter(filter_)


@pytest.mark.parametrize("kind", KINDS)
def test_a_signal_is_a_frozen_value_of_plain_members(kind: type[Signal]) -> None:
    """Numbers and short texts only: nothing in which an event or a key could travel; a level that logging knows."""
    members = {field.name for field in attrs.fields(kind)}
    hints = get_type_hints(kind)
    assert {hints[name] for name in members} <= {int, float, str}
    assert kind.level in logging.getLevelNamesMapping()
    assert kind.__doc__
    made = kind(**{name: hints[name](1) for name in members})
    assert made == attrs.evolve(made)
    for name in members:
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(made, name, 2)


def test_the_logger_is_silent_until_somebody_listens() -> None:
    """A library writes nothing of its own accord: the logger has a handler that does nothing."""
    assert LOGGER.name == "keen_client"
    assert any(isinstance(handler, logging.NullHandler) for handler in LOGGER.handlers)
    assert LOGGER.level == logging.NOTSET


def test_the_applications_logging_may_fail_too() -> None:
    """A filter that raises is counted like a hook, and the hooks are called all the same."""

    class Failing(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            raise LookupError("in somebody's logging")

    heard: list[Signal] = []
    hooks = HookSet([heard.append])
    with filtered(Failing()):
        hooks.emit(DeliveryPaused("r", "h", 1.0))
        hooks.emit(DeliveryPaused("r", "h", 2.0))
    assert [getattr(signal, "wait_seconds", None) for signal in heard] == [1.0, 2.0]
    assert hooks.failures == 2


def test_an_exit_is_no_failure_of_a_hook() -> None:
    """What is no Exception goes through: a hook may end the program."""

    def leave(signal: Signal) -> None:
        raise SystemExit

    with pytest.raises(SystemExit):
        HookSet([leave]).emit(DeliveryResumed())
