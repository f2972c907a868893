"""A clock that passes time only when it is told to, or when somebody sleeps on it."""

from __future__ import annotations

import threading

from keen_client._foundation.clock import MS_PER_SECOND

_START_MS = 1_790_812_800_000  # 2026-10-01T00:00:00Z


class VirtualClock:
    """Wall and monotonic time under the test's control. Sleeping and waiting return at once, time having passed.

    Satisfies :class:`keen_client._foundation.clock.Clock`. Thread-safe.
    """

    def __init__(self, wall_ms: int = _START_MS) -> None:
        self._wall_ms = wall_ms
        self._monotonic_ns = 0
        self._lock = threading.Lock()

    def wall_ms(self) -> int:
        """UTC milliseconds since 1970."""
        with self._lock:
            return self._wall_ms

    def monotonic_ns(self) -> int:
        """Nanoseconds since the clock was made."""
        with self._lock:
            return self._monotonic_ns

    def wait(self, event: threading.Event, timeout_seconds: float | None) -> bool:
        """True when *event* is set; otherwise the time passes at once and it is False."""
        if not event.is_set() and timeout_seconds is not None:
            self.advance(timeout_seconds)
        return event.is_set()

    def sleep(self, seconds: float) -> None:
        """Let *seconds* pass at once."""
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass on both clocks."""
        with self._lock:
            self._wall_ms += round(seconds * MS_PER_SECOND)
            self._monotonic_ns += round(seconds * 1e9)

    def step_wall(self, seconds: float) -> None:
        """Step the wall clock alone, as an administrator or NTP does; *seconds* may be negative."""
        with self._lock:
            self._wall_ms += round(seconds * MS_PER_SECOND)
