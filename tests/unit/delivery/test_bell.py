"""The bell of the background sender, in a thread that a signal handler interrupts while it rings."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from keen_client import KeenClient

PATIENCE_SECONDS = 30.0


class InterruptedEvent(threading.Event):
    """A handler runs in the middle of ``set``, where the event's own lock is held."""

    def __init__(self, handler: Callable[[], object]) -> None:
        super().__init__()
        self._handler = handler
        self.interruptions = 0

    def set(self) -> None:
        with self._cond:  # type: ignore[attr-defined]
            self.interruptions += 1
            if self.interruptions == 1:
                self._handler()
        super().set()


@pytest.mark.parametrize("what", ["records", "closes"])
def test_a_handler_may_interrupt_the_ringing(tmp_path: Any, what: str) -> None:
    """It does not wait for its own thread: an event that it records is recorded, and a client that it closes closed."""
    client = KeenClient("p", "w", base_url="http://127.0.0.1:9", log=tmp_path / "log")
    machinery = client._core.machinery
    assert machinery is not None
    courier = machinery.courier
    client.add_event("c", {"n": 0})
    handler = (lambda: client.add_event("c", {"n": 1})) if what == "records" else (lambda: client.close(0))
    bell = InterruptedEvent(handler)
    courier._wake = bell
    thread = threading.Thread(target=courier.notify, daemon=True)
    thread.start()
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()
    assert bell.interruptions == 1
    assert bell.is_set()
    assert courier._ringing == set()
    client.close(0)
