"""How a query cuts its timeframe into sub-timeframes."""

from __future__ import annotations

import calendar
import re
from datetime import datetime
from typing import Final

import attrs

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE, ms_to_datetime
from keen_client.errors import InvalidQueryError
from keen_client.queries.timeframe import Timeframe

#: Keen's documented cap on sub-timeframes of one query.
SUB_TIMEFRAMES_MAX: Final = 2_500

_NAMED: Final = {
    "minutely": "minute",
    "hourly": "hour",
    "daily": "day",
    "weekly": "week",
    "monthly": "month",
    "yearly": "year",
}
_EVERY: Final = re.compile(r"every_([1-9]\d{0,5})_(minute|hour|day|week|month|year)s?")
_FIXED_MS: Final = {
    "minute": MS_PER_MINUTE,
    "hour": MS_PER_HOUR,
    "day": MS_PER_DAY,
    "week": 7 * MS_PER_DAY,
}
# 1970-01-01 was a Thursday; Keen's weeks start on Sunday.
_FIRST_SUNDAY_MS: Final = 3 * MS_PER_DAY
_MONTHS: Final = {"month": 1, "year": 12}
_MONTHS_PER_YEAR: Final = 12


@attrs.frozen
class Interval:
    """``hourly``, ``daily``, ..., or ``every_<n>_<unit>s``.

    Named intervals break at the calendar's boundaries in the query's
    timezone; ``every_n`` counts from the start of the timeframe. The first
    and last sub-timeframes are clipped to it.

    Raises:
        InvalidQueryError: Not such a word. Nothing was sent.
    """

    text: str

    def __attrs_post_init__(self) -> None:
        """Refuse what Keen would not understand."""
        if self.text not in _NAMED and _EVERY.fullmatch(self.text) is None:
            raise InvalidQueryError(
                f"{self.text[:60]!r} is not an interval; nothing was sent",
                "minutely, hourly, daily, weekly, monthly, yearly, or such as every_15_minutes",
            )

    @property
    def unit(self) -> str:
        """The calendar unit, singular: ``minute`` to ``year``."""
        return _NAMED[self.text] if self.is_named else self._every()[1]

    @property
    def count(self) -> int:
        """How many units one sub-timeframe spans; 1 for the named ones."""
        return 1 if self.is_named else int(self._every()[0])

    @property
    def is_named(self) -> bool:
        """True for ``hourly`` and its like, which follow the calendar."""
        return self.text in _NAMED

    def to_json(self) -> str:
        """Keen's form: the word itself."""
        return self.text

    def sub_timeframe_count(self, timeframe: Timeframe, offset_seconds: int = 0) -> int:
        """Into how many pieces this interval cuts *timeframe*, at least 1.

        Args:
            timeframe: An absolute one.
            offset_seconds: The query's timezone as seconds east of UTC. Zones
                with daylight saving are not modelled.
        """
        start_ms = timeframe.start_ms + offset_seconds * 1000
        end_ms = timeframe.end_ms + offset_seconds * 1000
        if self.unit in _FIXED_MS:
            step_ms = _FIXED_MS[self.unit] * self.count
            if not self.is_named:
                return -((start_ms - end_ms) // step_ms)
            origin_ms = _FIRST_SUNDAY_MS if self.unit == "week" else 0
            return (end_ms - 1 - origin_ms) // step_ms - (start_ms - origin_ms) // step_ms + 1
        step = _MONTHS[self.unit] * self.count
        start, last = ms_to_datetime(start_ms), ms_to_datetime(end_ms - 1)
        if self.is_named:
            return _month_index(last) // step - _month_index(start) // step + 1
        # Pieces that begin at or before the last millisecond.
        months = _month_index(last) - _month_index(start)
        if _clipped(start, last) > last:
            months -= 1
        return months // step + 1

    def _every(self) -> tuple[str, str]:
        # Checked when the interval was made: every_<n>_<unit>.
        _, count, unit = self.text.split("_")
        return count, unit.removesuffix("s")


def parse_interval(value: Interval | str | None) -> Interval | None:
    """Read an interval as callers of the official client pass it.

    Raises:
        InvalidQueryError: Not an interval. Nothing was sent.
    """
    if value is None or isinstance(value, Interval):
        return value
    if isinstance(value, str):
        return Interval(value)
    raise InvalidQueryError(
        f"an interval is a string, not {type(value).__name__}; nothing was sent", "such as 'daily'"
    )


def check_sub_timeframes(interval: Interval, timeframe: Timeframe, offset_seconds: int = 0) -> None:
    """Refuse a query over Keen's cap on sub-timeframes.

    Raises:
        InvalidQueryError: More than :data:`SUB_TIMEFRAMES_MAX` pieces. Nothing was sent.
    """
    count = interval.sub_timeframe_count(timeframe, offset_seconds)
    if count > SUB_TIMEFRAMES_MAX:
        raise InvalidQueryError(
            f"{interval.text} cuts this timeframe into {count} pieces, and Keen allows"
            f" {SUB_TIMEFRAMES_MAX}; nothing was sent",
            "ask for a shorter timeframe or a longer interval, or split the query",
        )


def _month_index(moment: datetime) -> int:
    return moment.year * _MONTHS_PER_YEAR + moment.month - 1


def _clipped(start: datetime, target: datetime) -> datetime:
    """*start* moved into the month of *target*, its day clipped to that month's length."""
    days = calendar.monthrange(target.year, target.month)[1]
    return start.replace(year=target.year, month=target.month, day=min(start.day, days))
