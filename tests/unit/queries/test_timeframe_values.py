"""Timeframes: absolute ones are exact, relative ones are Keen's words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keen_client.errors import InvalidQueryError
from keen_client.queries import RelativeTimeframe, Timeframe
from keen_client.queries.timeframe import parse_timeframe

DAY = {"start": "2026-10-01T00:00:00.000Z", "end": "2026-10-02T00:00:00.000Z"}


def test_absolute_timeframe_is_sent_in_utc_with_milliseconds() -> None:
    """The wire form is ISO 8601 with Z and three digits."""
    assert Timeframe(1790812800123, 1790812800124).to_json() == {
        "start": "2026-10-01T00:00:00.123Z",
        "end": "2026-10-01T00:00:00.124Z",
    }


@pytest.mark.parametrize(
    "given_as",
    [
        DAY,
        {"start": "2026-10-01", "end": "2026-10-02"},
        {"start": "2026-10-01T00:00Z", "end": "2026-10-02T00:00:00"},
        {"start": "2026-10-01T02:00:00+02:00", "end": "2026-10-01T19:00:00-0500"},
        {"start": datetime(2026, 10, 1, tzinfo=UTC), "end": datetime(2026, 10, 2, tzinfo=UTC)},
    ],
)
def test_dicts_of_the_official_client_are_read(given_as: dict[str, object]) -> None:
    """Any ISO 8601 form, zones included, comes out as the same day."""
    timeframe = parse_timeframe(given_as)
    assert timeframe is not None
    assert timeframe.to_json() == DAY


def test_edge_finer_than_a_millisecond_keeps_the_same_events_inside() -> None:
    """Events have whole milliseconds, so an edge moves up to the next one."""
    timeframe = Timeframe.between("2026-10-01T00:00:00.000001Z", "2026-10-01T00:00:01.000999Z")
    assert timeframe.to_json() == {"start": "2026-10-01T00:00:00.001Z", "end": "2026-10-01T00:00:01.001Z"}


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2100, 1, 1)), st.integers(1, 10**9))
def test_absolute_timeframe_survives_its_own_wire_form(start: datetime, duration_ms: int) -> None:
    """Reading back what is sent gives the same value."""
    start_ms = (start.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    timeframe = Timeframe(start_ms, start_ms + duration_ms)
    assert parse_timeframe(timeframe.to_json()) == timeframe


@pytest.mark.parametrize(
    "word",
    [
        "this_7_days",
        "previous_1_day",
        "this_month",
        "previous_minute",
        "last_3_weeks",
        "today",
        "yesterday",
        "this_1_days",
        "previous_12_hours",
        "this_2_years",
    ],
)
def test_relative_words_are_passed_on(word: str) -> None:
    """A word of Keen's goes out as it came."""
    assert parse_timeframe(word) == RelativeTimeframe(word)
    assert RelativeTimeframe(word).to_json() == word


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("", "not a relative timeframe"),
        ("this_0_days", "not a relative timeframe"),
        ("next_7_days", "not a relative timeframe"),
        ("this_7_days ", "not a relative timeframe"),
        ("this_7_fortnights", "not a relative timeframe"),
        ({"start": "2026-10-01"}, "exactly start and end"),
        ({}, "exactly start and end"),
        ({**DAY, "timezone": "UTC"}, "exactly start and end"),
        ({"start": "2026-10-02", "end": "2026-10-01"}, "not after its start"),
        ({"start": "2026-10-01", "end": "2026-10-01"}, "not after its start"),
        ({"start": "soon", "end": "2026-10-01"}, "start 'soon' is not an ISO 8601 time"),
        ({"start": 5, "end": "2026-10-01"}, "start is int"),
        ({"start": "2026-10-01", "end": datetime(2026, 10, 2)}, "end is a datetime without a zone"),
        ({"start": "0001-01-01T00:00:00+14:00", "end": "2026-10-01"}, "outside the years"),
        ({"start": "2026-10-01", "end": "9999-12-31T23:59:59.999999Z"}, "outside the years"),
        (7, "a string or a dict, not int"),
        ([], "a string or a dict, not list"),
    ],
)
def test_bad_timeframe_is_refused_with_its_reason(bad: object, reason: str) -> None:
    """Nothing is sent, and the message says why and that."""
    with pytest.raises(InvalidQueryError, match="nothing was sent") as caught:
        parse_timeframe(bad)  # type: ignore[arg-type]
    assert reason in str(caught.value)
    assert caught.value.hint


def test_no_timeframe_is_left_to_the_server() -> None:
    """None stays None."""
    assert parse_timeframe(None) is None


def test_zone_of_a_datetime_counts() -> None:
    """The instant decides, not the digits."""
    zone = timezone(timedelta(hours=9))
    start = datetime(2026, 10, 1, 9, tzinfo=zone)
    assert Timeframe.between(start, start + timedelta(days=1)).to_json() == DAY
