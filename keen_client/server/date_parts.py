"""The add-on ``keen:date_time_parser``: the parts of a time, on the clock of the text itself."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from keen_client.server.moment import parse_local

_WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def date_parts(date_time: str) -> dict[str, int | str] | None:
    """The parts of *date_time*, an ISO 8601 time; None where it is not one.

    Weekdays count from Monday = 1; ``timezone_offset`` is in seconds from UTC.
    """
    try:
        moment = parse_local(date_time)
    except (ValueError, OverflowError):
        return None
    return {
        "year": moment.year,
        "month": moment.month,
        "day": moment.day,
        "hour": moment.hour,
        "minute": moment.minute,
        "second": moment.second,
        "millisecond": moment.microsecond // 1_000,
        "day_of_week": moment.isoweekday(),
        "day_of_week_string": _WEEKDAYS[moment.weekday()],
        "timezone_offset": (moment.utcoffset() or timedelta(0)) // timedelta(seconds=1),
    }
