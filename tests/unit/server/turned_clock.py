"""The clock of a server in process: the test turns it."""

from __future__ import annotations

import threading
from typing import Final

NOON_MS: Final = 1_790_856_000_000  # 2026-10-01T12:00:00Z


class TurnedClock:
    """A clock that stands still until the test moves ``now_ms``."""

    def __init__(self) -> None:
        self.now_ms = NOON_MS

    def wall_ms(self) -> int:
        return self.now_ms

    def monotonic_ns(self) -> int:
        return self.now_ms * 1_000_000

    def wait(self, event: threading.Event, timeout_seconds: float | None) -> bool:
        return event.is_set()

    def sleep(self, seconds: float) -> None:
        self.now_ms += round(seconds * 1_000)
