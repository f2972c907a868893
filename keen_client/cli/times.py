"""The grammar of times, durations and numbers on the command line.

Times are RFC 3339 with a zone, or a date, which means its midnight in UTC. A
time without a zone means something else on every machine and is refused.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Final

import click

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE, MS_PER_SECOND

#: Widths of ``--window``.
WINDOWS: Final = ("1m", "5m", "15m", "30m", "1h", "1d")
PRESETS: Final = ("immediate", "fast", "standard", "ledger")

_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_CLOCK: Final = r"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?"
_RFC_3339: Final = re.compile(
    rf"\d{{4}}-\d{{2}}-\d{{2}}[Tt ]{_CLOCK}(?P<zone>[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)?", re.ASCII
)
_DURATION: Final = re.compile(r"(\d{1,9})([smhd])", re.ASCII)
_UNIT_MS: Final = {"s": MS_PER_SECOND, "m": MS_PER_MINUTE, "h": MS_PER_HOUR, "d": MS_PER_DAY}
_TIME_HINT: Final = "write 2026-10-01T00:00:00Z, or 2026-10-01 for midnight UTC"


def parse_time(text: str) -> datetime:
    """The aware UTC datetime of *text*, truncated to microseconds. ValueError when it is none."""
    if _DATE.fullmatch(text):
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    found = _RFC_3339.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:60]!r} is not a time: {_TIME_HINT}")
    if found["zone"] is None:
        raise ValueError(f"{text[:60]!r} has no time zone: {_TIME_HINT}")
    return datetime.fromisoformat(text.upper()).astimezone(UTC)


def parse_duration(text: str) -> int:
    """The milliseconds of ``90s``, ``5m``, ``6h`` or ``10d``. ValueError when it is none."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:60]!r} is not a duration: write 90s, 5m, 6h or 10d")
    return int(found[1]) * _UNIT_MS[found[2]]


class Time(click.ParamType[datetime]):
    """An option that takes a time; the command gets an aware UTC datetime."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """See :func:`parse_time`."""
        if isinstance(value, datetime):
            return value
        try:
            return parse_time(str(value))
        except (ValueError, OverflowError) as error:
            self.fail(_message(error, str(value), _TIME_HINT), param, ctx)


class Duration(click.ParamType[str]):
    """An option that takes a duration; the command gets its checked text."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """See :func:`parse_duration`."""
        try:
            parse_duration(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return str(value)


class Seconds(click.ParamType[float]):
    """An option that takes a number of seconds, or a duration with its unit."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds, at least 0 and finite."""
        text = str(value)
        if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text, re.ASCII):
            return float(text)
        try:
            return parse_duration(text) / MS_PER_SECOND
        except ValueError:
            self.fail(f"{text[:60]!r} is not a number of seconds: write 30, 1.5 or 5m", param, ctx)


def _message(error: Exception, text: str, hint: str) -> str:
    """Our own words for what the standard library refuses in its (the 30th of February, say)."""
    ours = "is not a time" in str(error) or "has no time zone" in str(error)
    return str(error) if ours else f"{text[:60]!r} is not a time of the calendar: {hint}"
