"""Moments, durations and window widths as people write them. No zone is an error, never a guess."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Final

from keen_client._foundation.clock import (
    MS_PER_DAY,
    MS_PER_HOUR,
    MS_PER_MINUTE,
    MS_PER_SECOND,
    datetime_to_ms,
)
from keen_client.errors import UsageError
from keen_client.verify.windows import WIDTHS_MS

#: An aware datetime, a date (UTC midnight), or either as RFC 3339 text.
Moment = datetime | date | str

_DURATION: Final = re.compile(r"(\d{1,9})(s|m|h|d)")
_UNITS_MS: Final = {"s": MS_PER_SECOND, "m": MS_PER_MINUTE, "h": MS_PER_HOUR, "d": MS_PER_DAY}
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_RFC3339: Final = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})")


def moment_ms(moment: Moment) -> int:
    """UTC milliseconds since 1970 of *moment*, rounded down.

    Raises:
        UsageError: it is no moment, has no zone, or lies outside the years 1 to 9999 in UTC. Nothing was asked.
    """
    if isinstance(moment, str):
        moment = _parse(moment)
    if not isinstance(moment, datetime):
        return datetime_to_ms(datetime.fromisoformat(f"{moment.isoformat()}T00:00:00+00:00"))
    if moment.utcoffset() is None:
        raise UsageError(
            f"{moment.isoformat()} has no zone; nothing was asked", "give an aware datetime, e.g. in UTC"
        )
    try:
        return datetime_to_ms(moment)
    except OverflowError:
        raise UsageError(
            f"{moment.isoformat()} lies outside the years 1 to 9999 in UTC; nothing was asked",
            "correct the time",
        ) from None


def _parse(text: str) -> datetime | date:
    try:
        if _DATE.fullmatch(text):
            return date.fromisoformat(text)
        if _RFC3339.fullmatch(text):
            return datetime.fromisoformat(text)
    except ValueError:
        pass
    raise UsageError(
        f"{text[:60]!r} is not a time with a zone; nothing was asked",
        "write 2026-10-01T00:00:00Z, or 2026-10-01 for UTC midnight",
    )


def duration_ms(text: str) -> int:
    """Milliseconds of a duration such as ``90s``, ``5m``, ``24h``, ``8d``.

    Raises:
        UsageError: it is none. Nothing was asked.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise UsageError(
            f"{text[:40]!r} is not a duration; nothing was asked", "a number and s, m, h or d, such as 24h"
        )
    return int(match[1]) * _UNITS_MS[match[2]]


def width_ms(text: str) -> int:
    """Milliseconds of a window width.

    Raises:
        UsageError: there are no such windows. Nothing was asked.
    """
    if text not in WIDTHS_MS:
        raise UsageError(
            f"{text[:40]!r} is not a window; nothing was asked", "one of " + ", ".join(WIDTHS_MS)
        )
    return WIDTHS_MS[text]
