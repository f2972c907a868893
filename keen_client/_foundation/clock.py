"""Time, behind one seam.

Two questions that must never be mixed: what the calendar says
(:meth:`Clock.wall_ms`) and how much time has passed
(:meth:`Clock.monotonic_ns`). Only this module asks the operating system.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, Protocol

MS_PER_SECOND: Final = 1_000
MS_PER_MINUTE: Final = 60_000
MS_PER_HOUR: Final = 3_600_000
MS_PER_DAY: Final = 86_400_000

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """What the rest of the package may ask about time."""

    def wall_ms(self) -> int:
        """Milliseconds since 1970-01-01T00:00:00Z, rounded down. May step."""

    def monotonic_ns(self) -> int:
        """Nanoseconds from an arbitrary start. Never goes back."""

    def wait(self, event: threading.Event, timeout_seconds: float | None) -> bool:
        """Wait until *event* is set or the time is over; True when it was set."""

    def sleep(self, seconds: float) -> None:
        """Let *seconds* pass."""


class SystemClock:
    """The machine's own clocks. Thread-safe."""

    def wall_ms(self) -> int:
        """See :meth:`Clock.wall_ms`."""
        return time.time_ns() // 1_000_000

    def monotonic_ns(self) -> int:
        """See :meth:`Clock.monotonic_ns`."""
        return time.monotonic_ns()

    def wait(self, event: threading.Event, timeout_seconds: float | None) -> bool:
        """See :meth:`Clock.wait`."""
        return event.wait(timeout_seconds)

    def sleep(self, seconds: float) -> None:
        """See :meth:`Clock.sleep`."""
        time.sleep(seconds)


def datetime_to_ms(moment: datetime) -> int:
    """Milliseconds since 1970 of an aware *moment*, rounded down (exact, no floats)."""
    if moment.tzinfo is None:
        message = "datetime_to_ms needs an aware datetime"
        raise AssertionError(message)
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def ms_to_datetime(ms: int) -> datetime:
    """The aware UTC datetime of *ms* since 1970."""
    return _EPOCH + timedelta(milliseconds=ms)


def ms_to_iso(ms: int) -> str:
    """ISO 8601 in UTC with milliseconds: ``2026-10-01T00:00:00.123Z``."""
    second, rest = divmod(ms, 1000)
    return f"{_second_to_iso(second)}.{rest:03d}Z"


@lru_cache(maxsize=4096)
def _second_to_iso(second: int) -> str:
    moment = ms_to_datetime(second * 1000)
    return f"{moment.year:04d}-{moment:%m-%dT%H:%M:%S}"


def ms_to_day(ms: int) -> str:
    """The UTC day of *ms* since 1970: ``2026-10-01``."""
    return ms_to_datetime(ms).date().isoformat()
