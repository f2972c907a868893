"""Relative timeframes, resolved: the bounds that Keen would take at that moment."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR, datetime_to_ms, ms_to_datetime
from keen_client.errors import InvalidQueryError
from keen_client.queries.relative import resolve, zone_of
from keen_client.queries.timeframe import RelativeTimeframe, Timeframe
from keen_client.server.timeframe import parse_timeframe, parse_zone

#: A Wednesday.
NOW = datetime_to_ms(datetime(2026, 10, 14, 13, 45, 30, 123_000, tzinfo=UTC))
ZONES = ["UTC", "US/Pacific", "Europe/London", "Asia/Kolkata", "Australia/Sydney", -28800, 3600, 19800, None]


def _resolved(text: str, zone: str | int | None = None, now_ms: int = NOW) -> tuple[str, str]:
    found = resolve(RelativeTimeframe(text), zone, now_ms)
    return tuple(ms_to_datetime(ms).strftime("%Y-%m-%dT%H:%M") for ms in (found.start_ms, found.end_ms))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("today", "2026-10-14T00:00", "2026-10-15T00:00"),
        ("yesterday", "2026-10-13T00:00", "2026-10-14T00:00"),
        ("this_7_days", "2026-10-08T00:00", "2026-10-15T00:00"),
        ("previous_7_days", "2026-10-07T00:00", "2026-10-14T00:00"),
        ("last_2_hours", "2026-10-14T11:00", "2026-10-14T13:00"),
        ("this_minute", "2026-10-14T13:45", "2026-10-14T13:46"),
        ("this_week", "2026-10-11T00:00", "2026-10-18T00:00"),
        ("previous_week", "2026-10-04T00:00", "2026-10-11T00:00"),
        ("previous_1_month", "2026-09-01T00:00", "2026-10-01T00:00"),
        ("this_12_months", "2025-11-01T00:00", "2026-11-01T00:00"),
        ("previous_year", "2025-01-01T00:00", "2026-01-01T00:00"),
    ],
)
def test_units_are_those_of_the_calendar(text: str, start: str, end: str) -> None:
    """``this`` ends with the current unit, ``previous`` before it; weeks start on Sunday."""
    assert _resolved(text) == (start, end)


def test_units_are_those_of_the_zone() -> None:
    """A day in California begins at seven in the morning UTC while its clocks are on summer time."""
    assert _resolved("today", "US/Pacific") == ("2026-10-14T07:00", "2026-10-15T07:00")
    assert _resolved("today", -28800) == ("2026-10-14T08:00", "2026-10-15T08:00")


def test_a_day_that_loses_or_gains_an_hour_is_one_day() -> None:
    """Calendar days, not 24 hours: Berlin's clocks go back on 2026-10-25."""
    now = datetime_to_ms(datetime(2026, 10, 25, 12, tzinfo=UTC))
    found = resolve(RelativeTimeframe("today"), "Europe/Berlin", now)
    assert found.duration_ms == 25 * MS_PER_HOUR


def test_a_day_that_has_no_midnight_begins_when_it_begins() -> None:
    """São Paulo's clocks went from 00:00 to 01:00 on 2018-11-04."""
    now = datetime_to_ms(datetime(2018, 11, 4, 12, tzinfo=UTC))
    found = resolve(RelativeTimeframe("today"), "America/Sao_Paulo", now)
    assert (found.start_ms, found.duration_ms) == (
        datetime_to_ms(datetime(2018, 11, 4, 3, tzinfo=UTC)),
        23 * MS_PER_HOUR,
    )


@given(
    st.sampled_from(["this", "previous", "last"]),
    st.integers(1, 40),
    st.sampled_from(["minute", "hour", "day", "week", "month", "year"]),
    st.sampled_from(ZONES),
    st.integers(NOW - 20 * 365 * MS_PER_DAY, NOW + 20 * 365 * MS_PER_DAY),
)
def test_client_and_server_mean_the_same(
    which: str, number: int, unit: str, zone: str | int | None, now_ms: int
) -> None:
    """The local server, which shares no code with this, resolves to the same bounds."""
    text = f"{which}_{number}_{unit}s"
    theirs = parse_timeframe(text, parse_zone(zone), now_ms)
    assert resolve(RelativeTimeframe(text), zone, now_ms) == Timeframe(theirs.start_ms, theirs.end_ms)


@pytest.mark.parametrize("zone", ["Nowhere/City", "../etc/passwd", 10**9, True, "", "a\0b"])
def test_a_zone_that_is_none_is_refused(zone: str | int) -> None:
    """In words, with nothing sent."""
    with pytest.raises(InvalidQueryError, match="nothing was sent"):
        zone_of(zone)


def test_what_the_calendar_cannot_hold_is_refused() -> None:
    """There is no year 0."""
    with pytest.raises(InvalidQueryError, match="out of the years"):
        resolve(RelativeTimeframe("previous_5000_years"), None, NOW)
