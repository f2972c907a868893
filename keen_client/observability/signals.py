"""Signals: frozen facts about delivery and the log. They carry ids, counts and times, never content or keys."""

from __future__ import annotations

from typing import ClassVar

import attrs


@attrs.frozen
class Signal:
    """The base of all signals.

    ``level`` is the one it is logged at, by consequence:

    DEBUG nothing to see; INFO a change of state; WARNING nothing is lost, but
    somebody may want to look; ERROR data waits for a person.
    """

    level: ClassVar[str] = "INFO"


@attrs.frozen
class BatchAcknowledged(Signal):
    """The server answered success for each of ``count`` events, after ``elapsed_seconds``."""

    level: ClassVar[str] = "DEBUG"
    count: int
    elapsed_seconds: float


@attrs.frozen
class EventsRejected(Signal):
    """``count`` events of ``collection`` became dead letters; ``name`` is the server's name for why."""

    level: ClassVar[str] = "ERROR"
    collection: str
    name: str
    count: int


@attrs.frozen
class OutcomeUnknown(Signal):
    """``count`` events were sent and no usable answer came; they stay in the log until that is settled."""

    level: ClassVar[str] = "WARNING"
    count: int
    reason: str


@attrs.frozen
class DeliveryPaused(Signal):
    """Delivery waits ``wait_seconds`` because of ``reason``; every event stays in the log."""

    level: ClassVar[str] = "WARNING"
    reason: str
    hint: str
    wait_seconds: float


@attrs.frozen
class DeliveryResumed(Signal):
    """The server accepts events again."""

    level: ClassVar[str] = "INFO"


@attrs.frozen
class InflightRecovered(Signal):
    """A sender had died with ``count`` events in flight, or could not settle them; their outcome is unknown."""

    level: ClassVar[str] = "WARNING"
    count: int


@attrs.frozen
class SegmentUnreadable(Signal):
    """The file of ``segment`` cannot be read, or is gone: what of it waits to be sent is not known, and stays unsent.

    Told once, and again only after it could be read meanwhile.
    """

    level: ClassVar[str] = "ERROR"
    segment: str
    reason: str


@attrs.frozen
class HorizonNear(Signal):
    """``count`` events reach the end of their retention in ``days`` days, unsent or not verified yet."""

    level: ClassVar[str] = "WARNING"
    count: int
    days: float


@attrs.frozen
class SenderFailed(Signal):
    """The background sender met an error it cannot name; it goes on after a wait. Every event stays in the log."""

    level: ClassVar[str] = "ERROR"
    error: str
