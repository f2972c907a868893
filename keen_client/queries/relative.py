"""What a relative timeframe means at one moment, in one timezone.

Keen resolves ``this_7_days`` anew for each query. Who asks in several queries
for what belongs together has to fix the bounds first, on this side.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from keen_client._foundation.clock import datetime_to_ms, ms_to_datetime
from keen_client.errors import InvalidQueryError
from keen_client.queries.timeframe import RelativeTimeframe, Timeframe

_PARTS: Final = re.compile(r"(this|previous|last)_(?:(\d+)_)?(minute|hour|day|week|month|year)s?")
_ALIASES: Final = {"today": "this_1_days", "yesterday": "previous_1_days"}
_FIXED: Final = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1)}
_DAYS: Final = {"day": 1, "week": 7}
_MONTHS: Final = {"month": 1, "year": 12}
_MONTHS_PER_YEAR: Final = 12


def resolve(relative: RelativeTimeframe, zone: str | int | None, now_ms: int) -> Timeframe:
    """The absolute timeframe that Keen would take *relative* for at *now_ms*.

    Units are those of the calendar in *zone* (a name, or seconds east of UTC;
    None is UTC), weeks start on Sunday. ``this_`` ends with the current unit,
    in the future as a rule; ``previous_`` before it.

    Raises:
        InvalidQueryError: No such zone, or the calendar does not reach that far. Nothing was sent.
    """
    found = _PARTS.fullmatch(_ALIASES.get(relative.text, relative.text))
    if found is None:
        raise AssertionError(f"a relative timeframe was let through that is none: {relative.text}")
    which, number, unit = found[1], int(found[2] or 1), found[3]
    at = ms_to_datetime(now_ms).astimezone(zone_of(zone))
    current = _floor(at, unit)
    try:
        if which == "this":
            start, end = _step(current, unit, 1 - number), _step(current, unit, 1)
        else:
            start, end = _step(current, unit, -number), current
        return Timeframe(datetime_to_ms(start), datetime_to_ms(end))
    except (ValueError, OverflowError):
        raise InvalidQueryError(
            f"{relative.text} reaches out of the years 1 to 9999; nothing was sent", "take fewer units"
        ) from None


def zone_of(zone: str | int | None) -> tzinfo:
    """The zone of a query's ``timezone``; None is UTC.

    Raises:
        InvalidQueryError: No such zone, or not on this machine. Nothing was sent.
    """
    if zone is None:
        return UTC
    try:
        if isinstance(zone, int) and not isinstance(zone, bool):
            return timezone(timedelta(seconds=zone))
        return ZoneInfo(str(zone))
    except (TypeError, ValueError, OverflowError, OSError, KeyError):
        raise InvalidQueryError(
            f"timezone {str(zone)[:64]!r} is not one that this machine knows; nothing was sent",
            "such as 'US/Pacific' or -28800; where no name is known: pip install tzdata",
        ) from None


def _floor(at: datetime, unit: str) -> datetime:
    """The beginning of the calendar unit that holds *at*, in its own zone."""
    if unit in _FIXED:
        begun = at.replace(second=0, microsecond=0)
        return begun if unit == "minute" else begun.replace(minute=0)
    day = at.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if unit == "week":
        return day - timedelta(days=day.isoweekday() % 7)
    if unit == "month":
        return day.replace(day=1)
    return day if unit == "day" else day.replace(month=1, day=1)


def _step(begun: datetime, unit: str, count: int) -> datetime:
    """The beginning of the unit *count* units later: by elapsed time up to hours, by the calendar from days on."""
    if unit in _FIXED:
        return (begun.astimezone(UTC) + count * _FIXED[unit]).astimezone(begun.tzinfo)
    if unit in _DAYS:
        # Arithmetic within one zone is that of its wall clock: 24 h, 23 h and 25 h are one day each.
        return begun + timedelta(days=count * _DAYS[unit])
    months = begun.year * _MONTHS_PER_YEAR + begun.month - 1 + count * _MONTHS[unit]
    return begun.replace(year=months // _MONTHS_PER_YEAR, month=months % _MONTHS_PER_YEAR + 1)
