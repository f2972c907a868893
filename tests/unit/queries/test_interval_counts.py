"""Intervals: Keen's words, and how many pieces they cut."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keen_client._foundation.clock import datetime_to_ms
from keen_client.errors import InvalidQueryError
from keen_client.queries import SUB_TIMEFRAMES_MAX, Analysis, Interval, Timeframe
from keen_client.queries.interval import parse_interval

HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("interval", "start", "end", "pieces"),
    [
        ("hourly", "2026-10-01T00:00Z", "2026-10-02T00:00Z", 24),
        ("hourly", "2026-10-01T00:30Z", "2026-10-01T01:30Z", 2),
        ("every_1_hours", "2026-10-01T00:30Z", "2026-10-01T01:30Z", 1),
        ("every_7_hours", "2026-10-01T00:00Z", "2026-10-02T00:00Z", 4),
        ("minutely", "2026-10-01T00:00Z", "2026-10-01T00:00:00.001Z", 1),
        ("weekly", "2015-01-01", "2015-01-18", 3),  # 1st to 4th, then weeks from Sundays
        ("weekly", "2015-01-04", "2015-01-11", 1),
        ("monthly", "2026-01-31", "2026-03-01", 2),
        ("yearly", "2025-12-31T23:59:59.999Z", "2026-01-01T00:00:00.001Z", 2),
        ("every_2_weeks", "2026-01-01", "2026-01-29", 2),
        ("every_1_months", "2026-01-31", "2026-03-01", 2),
        ("every_1_months", "2026-01-31", "2026-02-28", 1),
        ("every_3_months", "2026-01-01", "2027-01-01", 4),
        ("every_3_months", "2026-01-01", "2027-01-01T00:00:00.001Z", 5),
        ("every_2_years", "2020-02-29", "2026-02-28", 3),
    ],
)
def test_pieces_are_counted_as_keen_cuts(interval: str, start: str, end: str, pieces: int) -> None:
    """Named intervals follow the calendar, every_n counts from the start."""
    assert Interval(interval).sub_timeframe_count(Timeframe.between(start, end)) == pieces


def test_timezone_moves_the_calendar() -> None:
    """A UTC day is part of two days elsewhere."""
    day = Timeframe.between("2026-10-01", "2026-10-02")
    assert Interval("daily").sub_timeframe_count(day) == 1
    assert Interval("daily").sub_timeframe_count(day, -28_800) == 2


@given(
    st.integers(1, 60),
    st.sampled_from(["minutes", "hours", "days"]),
    st.integers(0, 10**9),
    st.integers(1, 10**10),
)
def test_every_n_covers_the_timeframe_exactly(n: int, unit: str, start_ms: int, duration_ms: int) -> None:
    """One piece less would be too short, and the last piece begins inside."""
    step_ms = n * {"minutes": 60_000, "hours": HOUR_MS, "days": 24 * HOUR_MS}[unit]
    pieces = Interval(f"every_{n}_{unit}").sub_timeframe_count(Timeframe(start_ms, start_ms + duration_ms))
    assert (pieces - 1) * step_ms < duration_ms <= pieces * step_ms


@pytest.mark.parametrize("bad", ["", "fortnightly", "every_0_days", "every_day", "Daily", 5])
def test_bad_interval_is_refused(bad: object) -> None:
    """Nothing is sent that Keen would not understand."""
    with pytest.raises(InvalidQueryError, match="nothing was sent"):
        parse_interval(bad)  # type: ignore[arg-type]


def test_singular_unit_is_understood() -> None:
    """Keen takes both spellings; the word goes out as it came."""
    interval = Interval("every_1_hour")
    assert (interval.unit, interval.count, interval.to_json()) == ("hour", 1, "every_1_hour")


def _minutes(count: int) -> Timeframe:
    start_ms = datetime_to_ms(datetime(2026, 10, 1, tzinfo=UTC))
    return Timeframe(start_ms, start_ms + count * 60_000)


def test_cap_on_pieces_is_exact() -> None:
    """2,500 pieces are asked for, 2,501 are not."""
    ask = {"analysis_type": "count", "event_collection": "c", "interval": "minutely"}
    Analysis(**ask, timeframe=_minutes(SUB_TIMEFRAMES_MAX))  # type: ignore[arg-type]
    with pytest.raises(InvalidQueryError, match="2501 pieces"):
        Analysis(**ask, timeframe=_minutes(SUB_TIMEFRAMES_MAX + 1))  # type: ignore[arg-type]


def test_pieces_in_a_named_zone_are_left_to_the_server() -> None:
    """Daylight saving is not ours to model."""
    analysis = Analysis(
        analysis_type="count",
        event_collection="c",
        interval="minutely",
        timezone="US/Pacific",
        timeframe=_minutes(SUB_TIMEFRAMES_MAX + 1),
    )
    assert analysis.to_json()["timezone"] == "US/Pacific"
