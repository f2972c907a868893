"""Times, durations and seconds of the command line: one grammar, and words for what is outside of it."""

from __future__ import annotations

from datetime import UTC, datetime

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keen_client.cli.times import Duration, Seconds, Time, parse_duration, parse_time


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-10-01", datetime(2026, 10, 1, tzinfo=UTC)),
        ("2026-10-01T00:00:00Z", datetime(2026, 10, 1, tzinfo=UTC)),
        ("2026-10-01t02:30:00z", datetime(2026, 10, 1, 2, 30, tzinfo=UTC)),
        ("2026-10-01 02:30:00+02:30", datetime(2026, 10, 1, tzinfo=UTC)),
        ("2026-09-30T19:00:00-05:00", datetime(2026, 10, 1, tzinfo=UTC)),
        ("2026-10-01T00:00:00.123Z", datetime(2026, 10, 1, microsecond=123_000, tzinfo=UTC)),
        ("2026-10-01T00:00:00.123456789Z", datetime(2026, 10, 1, microsecond=123_456, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_as_utc(text: str, expected: datetime) -> None:
    """RFC 3339 with a zone, or a date for midnight UTC, becomes one instant."""
    found = parse_time(text)
    assert found == expected
    assert found.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "2026-10-01T00:00:00",
        "2026-10-01T00:00Z",
        "2026-10-01T24:00:00Z",
        "2026-10-01T00:00:60Z",
        "2026-W40-4",
        "20261001",
        "2026-10-01T00:00:00,5Z",
        "2026-10-01T00:00:00+0200",
        "2026-13-01",
        "2026-02-30",
        "0001-01-01T00:00:00+10:00",
        "\u0662\u0660\u0662\u0666-10-01",
        "yesterday",
        "1",
        "",
    ],
)
def test_no_other_form_of_time_is_taken(text: str) -> None:
    """What is not RFC 3339 with a zone, nor a date of the calendar, is a usage error that shows the form."""
    with pytest.raises(click.UsageError) as caught:
        Time().convert(text, None, None)
    assert "2026-10-01T00:00:00Z" in caught.value.format_message()


def test_a_time_without_zone_is_told_so() -> None:
    """The message for a missing zone says that it is the zone that is missing."""
    with pytest.raises(click.UsageError, match="no time zone"):
        Time().convert("2026-10-01T00:00:00", None, None)


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(9998, 1, 1)))
def test_every_instant_can_be_written(moment: datetime) -> None:
    """The ISO form of any instant is read back as that instant."""
    aware = moment.replace(tzinfo=UTC)
    assert parse_time(aware.isoformat(sep="T", timespec="microseconds").replace("+00:00", "Z")) == aware


@pytest.mark.parametrize(
    ("text", "expected_ms"),
    [("0s", 0), ("90s", 90_000), ("5m", 300_000), ("24h", 86_400_000), ("8d", 691_200_000)],
)
def test_a_duration_is_a_number_and_a_unit(text: str, expected_ms: int) -> None:
    """s, m, h and d count seconds, minutes, hours and days."""
    assert parse_duration(text) == expected_ms
    assert Duration().convert(text, None, None) == text


@pytest.mark.parametrize(
    "text", ["5", "5 m", "-5m", "1.5h", "5w", "500ms", "", "m", "\u0665m", "9999999999d"]
)
def test_no_other_form_of_duration_is_taken(text: str) -> None:
    """Anything else is a usage error that shows the form."""
    with pytest.raises(click.UsageError, match="90s, 5m, 6h or 10d"):
        Duration().convert(text, None, None)


@pytest.mark.parametrize(("text", "expected"), [("0", 0.0), ("1.5", 1.5), ("30", 30.0), ("5m", 300.0)])
def test_seconds_may_have_a_unit(text: str, expected: float) -> None:
    """A bare number counts seconds, a duration says its unit."""
    assert Seconds().convert(text, None, None) == expected


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "1e9", "soon"])
def test_seconds_are_finite_and_not_negative(text: str) -> None:
    """What could not be waited for is a usage error."""
    with pytest.raises(click.UsageError, match="number of seconds"):
        Seconds().convert(text, None, None)
