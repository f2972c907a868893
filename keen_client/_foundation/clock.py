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

#: The calendar: 0001-01-01T00:00:00.000Z and 9999-12-31T23:59:59.999Z.
FIRST_MS: Final = -62_135_596_800_000
LAST_MS: Final = 253_402_300_799_999

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: After so many years the calendar repeats itself.
_CYCLE_YEARS: Final = 400
_CYCLE_SECONDS: Final = 146_097 * 86_400


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
    """Milliseconds since 1970 of an aware *moment*, rounded down (exact, no floats).

    Raises:
        OverflowError: in UTC it is outside of the years 1 to 9999, where only its own zone still holds it.
    """
    if moment.tzinfo is None:
        message = "datetime_to_ms needs an aware datetime"
        raise AssertionError(message)
    ms = (moment - _EPOCH) // timedelta(milliseconds=1)
    if not FIRST_MS <= ms <= LAST_MS:
        message = "the moment is outside of the years 1 to 9999 in UTC"
        raise OverflowError(message)
    return ms


def ms_to_datetime(ms: int) -> datetime:
    """The aware UTC datetime of *ms* since 1970.

    Raises:
        OverflowError: it is outside of the years 1 to 9999.
    """
    return _EPOCH + timedelta(milliseconds=ms)


def ms_to_iso(ms: int) -> str:
    """ISO 8601 in UTC with milliseconds: ``2026-10-01T00:00:00.123Z``.

    Years of more than four digits have a sign, as ISO 8601 has it: ``+10000-01-01T00:00:00.000Z``.
    """
    second, rest = divmod(ms, 1000)
    return f"{_second_to_iso(second)}.{rest:03d}Z"


@lru_cache(maxsize=4096)
def _second_to_iso(second: int) -> str:
    cycles = 0 if FIRST_MS <= second * 1000 <= LAST_MS else second // _CYCLE_SECONDS
    moment = ms_to_datetime((second - cycles * _CYCLE_SECONDS) * 1000)
    year = moment.year + cycles * _CYCLE_YEARS
    digits = f"{year:04d}" if 0 <= year <= 9999 else f"{year:+05d}"
    return f"{digits}-{moment:%m-%dT%H:%M:%S}"


def ms_to_day(ms: int) -> str:
    """The UTC day of *ms* since 1970: ``2026-10-01``."""
    return ms_to_datetime(ms).date().isoformat()
