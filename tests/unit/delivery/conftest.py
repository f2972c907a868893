"""A log, its clock, and senders and couriers that follow a script instead of a network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keen_client._foundation.randomness import SeededRandomness, SystemRandomness
from keen_client.delivery.config import DeliveryConfig
from keen_client.delivery.courier import Courier
from keen_client.delivery.sender import Sender, StepKind
from keen_client.delivery.uploader import Uploader
from keen_client.eventlog.config import LogConfig
from keen_client.eventlog.directory import Binding
from keen_client.eventlog.log import EventLog
from keen_client.events.encoding import encode_event
from keen_client.observability.hooks import HookSet
from keen_client.observability.signals import Signal
from keen_client.testing.clocks import VirtualClock


class Post:
    """One log and one clock in one hand, with as many senders as a test needs, one after another."""

    def __init__(self, path: Path) -> None:
        self.clock = VirtualClock()
        self.signals: list[Signal] = []
        self.path = path
        #: Whether tokens are said to be honoured.
        self.honoured = True
        self.log = self.open()

    def open(self) -> EventLog:
        """The log, opened anew."""
        return EventLog(
            self.path, Binding("http://127.0.0.1:1", "p"), LogConfig(), self.clock, SystemRandomness()
        )

    def record(self, count: int = 1, collection: str = "c") -> list[str]:
        """Record *count* events; their ids."""
        events = [encode_event(collection, {"n": n}) for n in range(count)]
        return [str(recorded.id) for recorded in self.log.record_all(events)]

    def sender(self, uploader: Uploader, **settings: Any) -> Sender:
        """A sender that is the log's; the one before has gone."""
        self.log.directory.sender_lock().release()
        sender = Sender(
            self.log,
            uploader,
            DeliveryConfig(**settings),
            self.clock,
            SeededRandomness(7),
            HookSet([self.signals.append]),
            lambda: self.honoured,
        )
        assert sender.acquire()
        return sender

    def courier(self, sender: Sender, *, background: bool = False) -> Courier:
        """A courier of *sender*."""
        return Courier(sender, self.clock, HookSet([self.signals.append]), background=background)

    def drain(self, sender: Sender, steps: int = 200) -> None:
        """Step until nothing is due, letting time pass where the sender waits."""
        for _ in range(steps):
            step = sender.step()
            if step.kind is StepKind.WAITING:
                self.clock.advance(70)
            elif step.kind is StepKind.IDLE:
                due = self.log.outbox.next_due_ms(sender.resend_unknown_since_ms())
                if due is None:
                    return
                self.clock.advance(max(0.001, (due - self.clock.wall_ms()) / 1000))
        message = "the sender did not come to rest"
        raise AssertionError(message)

    def states(self) -> dict[str, int]:
        """How many entries are in which state."""
        with self.log.state.reading() as db:
            rows = db.execute("SELECT state, sum(seq_hi - seq_lo + 1) FROM ranges GROUP BY state").fetchall()
        return {state: int(count) for state, count in rows}


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    """One log of its own."""
    post = Post(tmp_path / "log")
    yield post
    post.log.directory.sender_lock().release()
    post.log.close()
