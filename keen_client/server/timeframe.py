"""Timeframes, timezones and intervals: which stretch of time a query reads, and how it is divided.

All instants are milliseconds since 1970; a timezone moves unit boundaries and
the form in which times are written, never the instants of an absolute
timeframe.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

import attrs

from keen_client._foundation.clock import (
    MS_PER_DAY,
    MS_PER_HOUR,
    MS_PER_MINUTE,
    datetime_to_ms,
    ms_to_datetime,
    ms_to_iso,
)
from keen_client.server.moment import parse_moment
from keen_client.server.refusal import (
    INVALID_PARAMETER,
    INVALID_TIMEFRAME,
    MISSING_PARAMETER,
    bad_request,
)

MAX_SUBTIMEFRAMES: Final = 2_500

_NAMED_INTERVALS: Final = {
    "minutely": "minute",
    "hourly": "hour",
    "daily": "day",
    "weekly": "week",
    "monthly": "month",
    "yearly": "year",
}
_UNITS: Final = "minute|hour|day|week|month|year"
_CUSTOM_INTERVAL: Final = re.compile(rf"every_(\d{{1,6}})_({_UNITS})s?")
_RELATIVE: Final = re.compile(rf"(this|previous|last)_(?:(\d{{1,6}})_)?({_UNITS})s?")
_ALIASES: Final = {"today": "this_1_days", "yesterday": "previous_1_days"}
_FIXED_MS: Final = {
    "minute": MS_PER_MINUTE,
    "hour": MS_PER_HOUR,
    "day": MS_PER_DAY,
    "week": 7 * MS_PER_DAY,
}
_SUNDAY: Final = 3 * MS_PER_DAY  # 1970-01-04: Keen's weeks start on Sunday.


@attrs.frozen
class Timeframe:
    """[start, end) in milliseconds, and the timezone of unit boundaries and of written times."""

    start_ms: int
    end_ms: int
    zone: tzinfo = UTC

    def write(self, at_ms: int) -> str:
        """An instant as replies write it: ``Z`` for UTC, else with the zone's offset."""
        if self.zone is UTC:
            return ms_to_iso(at_ms)
        local = ms_to_datetime(at_ms).astimezone(self.zone)
        return local.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@attrs.frozen
class Interval:
    """``count`` units per sub-timeframe; aligned to the calendar, or counted from the timeframe's start."""

    unit: str
    count: int = 1
    aligned: bool = True


@attrs.frozen
class Division:
    """A timeframe's sub-timeframes: ``bounds[i]`` to ``bounds[i + 1]``.

    ``step_ms`` and ``origin_ms`` are set where all are equally long (but for a
    clipped first and last): the number of an instant's sub-timeframe is then
    ``(instant - origin) // step``.
    """

    bounds: tuple[int, ...]
    origin_ms: int = 0
    step_ms: int | None = None

    def index(self, at_ms: int) -> int:
        """The number of the sub-timeframe that holds *at_ms*."""
        return bisect_right(self.bounds, at_ms) - 1


def parse_zone(value: object) -> tzinfo:
    """A timezone parameter: seconds from UTC (number or text), or an IANA name; absent is UTC."""
    if value is None or value == "":
        return UTC
    if isinstance(value, bool):
        raise bad_request(INVALID_PARAMETER, "timezone must be a number of seconds or a name.")
    try:
        if isinstance(value, (int, float)) or re.fullmatch(r"[+-]?\d+", str(value)):
            seconds = int(str(value).partition(".")[0])
            return UTC if seconds == 0 else timezone(timedelta(seconds=seconds))
        name = str(value)
        return UTC if name.upper() in ("UTC", "ETC/UTC", "GMT", "Z") else ZoneInfo(name)
    except (ValueError, OverflowError, OSError, KeyError):
        raise bad_request(
            INVALID_PARAMETER, f"Unknown timezone. You specified: '{str(value)[:64]}'."
        ) from None


def parse_timeframe(value: object, zone: tzinfo, now_ms: int) -> Timeframe:
    """A timeframe parameter, absolute or relative to *now_ms*. Raises a 400 refusal."""
    if value is None or value == "":
        raise bad_request(MISSING_PARAMETER, "timeframe is required.")
    if isinstance(value, Mapping):
        return _absolute(value, zone)
    found = _RELATIVE.fullmatch(_ALIASES.get(str(value), str(value)))
    if found is None:
        raise bad_request(INVALID_TIMEFRAME, f"Not a timeframe. You specified: '{str(value)[:64]}'.")
    which, number, unit = found.groups()
    units = int(number or 1)
    if units < 1:
        raise bad_request(INVALID_TIMEFRAME, "A timeframe needs at least one unit.")
    try:
        current = _floor(now_ms, unit, zone)
        if which == "this":
            start, end = _step(current, unit, 1 - units, zone), _step(current, unit, 1, zone)
        else:
            start, end = _step(current, unit, -units, zone), current
    except (ValueError, OverflowError):
        raise bad_request(INVALID_TIMEFRAME, "The timeframe reaches beyond the calendar.") from None
    return Timeframe(start, end, zone)


def parse_interval(value: object) -> Interval | None:
    """An interval parameter; None and the empty text mean: not divided."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        if value in _NAMED_INTERVALS:
            return Interval(_NAMED_INTERVALS[value])
        found = _CUSTOM_INTERVAL.fullmatch(value)
        if found is not None and int(found[1]) > 0:
            return Interval(found[2], int(found[1]), aligned=False)
    raise bad_request(INVALID_PARAMETER, f"Not an interval. You specified: '{str(value)[:64]}'.")


def divide(timeframe: Timeframe, interval: Interval) -> Division:
    """The sub-timeframes of *timeframe*, the first and last clipped to it; 400 when over 2,500."""
    step_ms = _fixed_step(interval, timeframe)
    start, end = timeframe.start_ms, timeframe.end_ms
    if step_ms is None:
        return _calendar(timeframe, interval)
    origin = start
    if interval.aligned:
        shift = _offset_ms(start, timeframe.zone)
        if interval.unit == "week":
            shift -= _SUNDAY
        origin = (start + shift) // step_ms * step_ms - shift
    if (end - origin + step_ms - 1) // step_ms > MAX_SUBTIMEFRAMES:
        raise _too_many()
    inner = range(origin + step_ms, end, step_ms)
    return Division((start, *inner, end), origin, step_ms)


def _fixed_step(interval: Interval, timeframe: Timeframe) -> int | None:
    fixed = _FIXED_MS.get(interval.unit)
    if fixed is None:
        return None
    if interval.unit in ("day", "week") and isinstance(timeframe.zone, ZoneInfo):
        return None
    return fixed * interval.count


def _calendar(timeframe: Timeframe, interval: Interval) -> Division:
    start, end, zone = timeframe.start_ms, timeframe.end_ms, timeframe.zone
    origin = _floor(start, interval.unit, zone) if interval.aligned else start
    bounds = [start]
    number = 0
    while True:
        number += 1
        try:
            bound = _step(origin, interval.unit, number * interval.count, zone)
        except (ValueError, OverflowError):
            bound = end
        if bound >= end:
            break
        if (
            bound == bounds[-1]
        ):  # the calendar of a zone that changed its side of the date line left a day out
            continue
        if len(bounds) >= MAX_SUBTIMEFRAMES:
            raise _too_many()
        bounds.append(bound)
    return Division((*bounds, end))


def _absolute(value: Mapping[str, object], zone: tzinfo) -> Timeframe:
    start, end = value.get("start"), value.get("end")
    if not isinstance(start, str) or not isinstance(end, str):
        raise bad_request(INVALID_TIMEFRAME, "An absolute timeframe needs the texts 'start' and 'end'.")
    try:
        frame = Timeframe(parse_moment(start), parse_moment(end), zone)
    except (ValueError, OverflowError) as error:
        raise bad_request(INVALID_TIMEFRAME, f"The timeframe has a start or end that is {error}.") from None
    if frame.end_ms <= frame.start_ms:
        raise bad_request(INVALID_TIMEFRAME, "The timeframe must end after it starts.")
    return frame


def _offset_ms(at_ms: int, zone: tzinfo) -> int:
    offset = ms_to_datetime(at_ms).astimezone(zone).utcoffset() or timedelta(0)
    return offset // timedelta(milliseconds=1)


def _floor(at_ms: int, unit: str, zone: tzinfo) -> int:
    """The start of the unit that holds *at_ms*."""
    local = ms_to_datetime(at_ms).astimezone(zone).replace(second=0, microsecond=0)
    if unit == "minute":
        return datetime_to_ms(local)
    if unit == "hour":
        return datetime_to_ms(local.replace(minute=0))
    local = local.replace(hour=0, minute=0, fold=0)
    backwards: dict[str, Callable[[datetime], datetime]] = {
        "day": lambda day: day,
        "week": lambda day: day - timedelta(days=(day.weekday() + 1) % 7),
        "month": lambda day: day.replace(day=1),
        "year": lambda day: day.replace(month=1, day=1),
    }
    return datetime_to_ms(backwards[unit](local).astimezone(UTC))


def _step(at_ms: int, unit: str, count: int, zone: tzinfo) -> int:
    """*count* units after *at_ms*; days and longer by the zone's calendar.

    From the first instant of a day it leads to the first instant of another, also where a day has no
    midnight and begins at 01:00.
    """
    if unit in ("minute", "hour"):
        return at_ms + count * _FIXED_MS[unit]
    local = ms_to_datetime(at_ms).astimezone(zone)
    if at_ms == _floor(at_ms, "day", zone):
        local = local.replace(hour=0, minute=0)
    if unit in ("day", "week"):
        return datetime_to_ms((local + timedelta(days=count * (7 if unit == "week" else 1))).astimezone(UTC))
    months = local.year * 12 + local.month - 1 + count * (12 if unit == "year" else 1)
    year, month = divmod(months, 12)
    day = min(local.day, _days_in(year, month + 1))
    return datetime_to_ms(local.replace(year=year, month=month + 1, day=day, fold=0).astimezone(UTC))


def _days_in(year: int, month: int) -> int:
    following = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    return (following - timedelta(days=1)).day


def _too_many() -> Exception:
    return bad_request(
        INVALID_TIMEFRAME,
        f"The interval divides the timeframe into more than {MAX_SUBTIMEFRAMES} sub-timeframes.",
    )
