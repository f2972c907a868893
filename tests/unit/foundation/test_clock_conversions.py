"""Milliseconds and moments: exact both ways, before 1970 and at the ends of the calendar."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keen_client._foundation.clock import (
    FIRST_MS,
    LAST_MS,
    SystemClock,
    datetime_to_ms,
    ms_to_datetime,
    ms_to_day,
    ms_to_iso,
)

ANY_MS = st.integers(FIRST_MS, LAST_MS)


@pytest.mark.parametrize(
    ("ms", "iso"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (-1000, "1969-12-31T23:59:59.000Z"),
        (1_790_812_800_123, "2026-10-01T00:00:00.123Z"),
        (FIRST_MS, "0001-01-01T00:00:00.000Z"),
        (LAST_MS, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_text_of_a_moment(ms: int, iso: str) -> None:
    """ISO 8601 in UTC, four digits of year, three of milliseconds; the day is its beginning."""
    assert ms_to_iso(ms) == iso
    assert ms_to_day(ms) == iso[:10]
    assert datetime_to_ms(datetime.fromisoformat(iso)) == ms


@given(ANY_MS)
def test_there_and_back(ms: int) -> None:
    """A number becomes a moment, a text and a number again without a loss."""
    moment = ms_to_datetime(ms)
    assert moment.utcoffset() == timedelta(0)
    assert datetime_to_ms(moment) == ms
    assert datetime_to_ms(datetime.fromisoformat(ms_to_iso(ms))) == ms


@given(ANY_MS, st.integers(0, 999), st.integers(-14 * 60, 14 * 60))
def test_microseconds_are_rounded_down_in_any_zone(ms: int, micros: int, offset_minutes: int) -> None:
    """Before 1970 too: down means earlier, not towards zero."""
    moment = ms_to_datetime(ms) + timedelta(microseconds=micros)
    try:
        moment = moment.astimezone(timezone(timedelta(minutes=offset_minutes)))
    except OverflowError:
        return  # that zone has no such moment within the calendar
    assert datetime_to_ms(moment) == ms


@given(st.lists(ANY_MS, min_size=2, max_size=2))
def test_texts_sort_as_their_moments(pair: list[int]) -> None:
    """Which is what lets a database compare them."""
    assert (pair[0] < pair[1]) == (ms_to_iso(pair[0]) < ms_to_iso(pair[1]))


@pytest.mark.parametrize("ms", [FIRST_MS - 1, LAST_MS + 1])
def test_outside_the_calendar_is_an_overflow(ms: int) -> None:
    """Never a wrapped or clamped moment."""
    with pytest.raises(OverflowError):
        ms_to_datetime(ms)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:00:00-05:00"])
def test_a_moment_that_only_its_zone_holds_is_an_overflow(text: str) -> None:
    """Nobody could write it in UTC again."""
    with pytest.raises(OverflowError):
        datetime_to_ms(datetime.fromisoformat(text))


@pytest.mark.parametrize(
    ("ms", "iso"),
    [
        (FIRST_MS - 1, "0000-12-31T23:59:59.999Z"),
        (LAST_MS + 1, "+10000-01-01T00:00:00.000Z"),
        (FIRST_MS - 366 * 86_400_000 - 1, "-0001-12-31T23:59:59.999Z"),
        (-(10**17), "-3166904-02-24T14:13:20.000Z"),
    ],
)
def test_text_of_a_number_out_of_the_calendar_is_that_of_iso_8601(ms: int, iso: str) -> None:
    """What a log holds can always be told."""
    assert ms_to_iso(ms) == iso


def test_a_naive_moment_is_a_bug_of_ours() -> None:
    """Callers refuse naive times with words; what gets this far is no KeenError to be swallowed."""
    with pytest.raises(AssertionError):
        datetime_to_ms(datetime(2026, 10, 1))


def test_the_system_clock_agrees_with_itself() -> None:
    """Wall time is of this era, monotonic time does not go back, and a set event ends a wait at once."""
    clock = SystemClock()
    before = clock.monotonic_ns()
    assert ms_to_datetime(clock.wall_ms()) > datetime(2026, 1, 1, tzinfo=UTC)
    event = threading.Event()
    assert not clock.wait(event, 0)
    event.set()
    assert clock.wait(event, None)
    clock.sleep(0)
    assert clock.monotonic_ns() >= before
