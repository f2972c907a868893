"""The stretch of time that a query looks at.

Timeframes are by ``keen.timestamp``; the start is inside, the end is not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import attrs

from keen_client._foundation.clock import FIRST_MS, LAST_MS, datetime_to_ms, ms_to_iso
from keen_client.errors import InvalidQueryError

_RELATIVE: Final = re.compile(
    r"(?:this|previous|last)_(?:[1-9]\d{0,5}_)?(?:minute|hour|day|week|month|year)s?"
)
_DAY_NAMES: Final = frozenset({"today", "yesterday"})
_JUST_UNDER_ONE_MS: Final = timedelta(microseconds=999)


@attrs.frozen
class Timeframe:
    """An absolute timeframe [start, end), both in milliseconds since 1970 UTC.

    Raises:
        InvalidQueryError: The end is not after the start, or a year is out of 1..9999. Nothing was sent.
    """

    start_ms: int
    end_ms: int

    def __attrs_post_init__(self) -> None:
        """Refuse an empty or reversed timeframe."""
        if not FIRST_MS <= self.start_ms <= LAST_MS or not FIRST_MS <= self.end_ms <= LAST_MS:
            raise InvalidQueryError(
                "the timeframe lies outside the years 1 to 9999; nothing was sent",
                "give milliseconds since 1970",
            )
        if self.end_ms <= self.start_ms:
            raise InvalidQueryError(
                f"the timeframe ends at {ms_to_iso(self.end_ms)}, not after its start"
                f" {ms_to_iso(self.start_ms)}; nothing was sent",
                "the end is exclusive: one day runs from midnight to the next midnight",
            )

    @classmethod
    def between(cls, start: datetime | str, end: datetime | str) -> Timeframe:
        """From aware datetimes or ISO 8601 strings (without a zone: UTC, as Keen reads them).

        Events have whole milliseconds, so a finer edge is rounded up to the
        next one: the same events lie inside.
        """
        return cls(_edge_ms(start, "start"), _edge_ms(end, "end"))

    @property
    def duration_ms(self) -> int:
        """The length in milliseconds, at least 1."""
        return self.end_ms - self.start_ms

    def to_json(self) -> dict[str, str]:
        """Keen's form: ``{"start": "...Z", "end": "...Z"}``."""
        return {"start": ms_to_iso(self.start_ms), "end": ms_to_iso(self.end_ms)}


@attrs.frozen
class RelativeTimeframe:
    """A timeframe in Keen's words: ``this_7_days``, ``previous_month``, ``today``.

    Its unit boundaries are those of the query's timezone; weeks start on
    Sunday; ``previous_`` never includes the current unit, ``this_`` does.

    Raises:
        InvalidQueryError: Not such a word. Nothing was sent.
    """

    text: str

    def __attrs_post_init__(self) -> None:
        """Refuse what Keen would not understand."""
        if self.text not in _DAY_NAMES and _RELATIVE.fullmatch(self.text) is None:
            raise InvalidQueryError(
                f"{self.text[:60]!r} is not a relative timeframe; nothing was sent",
                "such as this_7_days, previous_2_hours, this_month, today; or {'start': ..., 'end': ...}",
            )

    def to_json(self) -> str:
        """Keen's form: the word itself."""
        return self.text


#: What a query's ``timeframe`` may be given as.
TimeframeLike = Timeframe | RelativeTimeframe | str | Mapping[str, Any]


def parse_timeframe(value: TimeframeLike | None) -> Timeframe | RelativeTimeframe | None:
    """Read a timeframe as callers of the official client pass it.

    Args:
        value: A word (``this_7_days``), a mapping with exactly ``start`` and
            ``end``, a timeframe, or None (Keen's current API then refuses
            most queries; the decision is left to the server).

    Raises:
        InvalidQueryError: Anything else, with the reason. Nothing was sent.
    """
    if value is None or isinstance(value, Timeframe | RelativeTimeframe):
        return value
    if isinstance(value, str):
        return RelativeTimeframe(value)
    if isinstance(value, Mapping):
        if set(value) != {"start", "end"}:
            names = ", ".join(sorted(str(name)[:30] for name in value)) or "nothing"
            raise InvalidQueryError(
                f"a timeframe has exactly start and end, this one has {names}; nothing was sent",
                "such as {'start': '2026-10-01T00:00:00Z', 'end': '2026-10-02T00:00:00Z'}",
            )
        return Timeframe.between(value["start"], value["end"])
    raise InvalidQueryError(
        f"a timeframe is a string or a dict, not {type(value).__name__}; nothing was sent",
        "such as 'this_7_days', or {'start': ..., 'end': ...}",
    )


def _edge_ms(value: object, name: str) -> int:
    moment = value
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise InvalidQueryError(
                f"the timeframe's {name} {value[:60]!r} is not an ISO 8601 time; nothing was sent",
                "such as 2026-10-01T00:00:00Z",
            ) from None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
    if not isinstance(moment, datetime):
        raise InvalidQueryError(
            f"the timeframe's {name} is {type(value).__name__}, not a time; nothing was sent",
            "give an ISO 8601 string or a datetime with a zone",
        )
    if moment.tzinfo is None:
        raise InvalidQueryError(
            f"the timeframe's {name} is a datetime without a zone; nothing was sent",
            "add one: datetime(..., tzinfo=UTC)",
        )
    try:
        return datetime_to_ms(moment + _JUST_UNDER_ONE_MS)
    except OverflowError:
        raise InvalidQueryError(
            f"the timeframe's {name} lies outside the years 1 to 9999; nothing was sent", "check the year"
        ) from None
