"""Days that begin late, last longer or do not happen: intervals and relative timeframes follow the zone's calendar."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keen_client._foundation.clock import datetime_to_ms, ms_to_datetime, ms_to_iso
from keen_client.server.timeframe import Timeframe, divide, parse_interval, parse_timeframe

if TYPE_CHECKING:
    from tests.unit.server.conftest import Desk

#: Clocks go forward at midnight: 2018-11-04 begins at 01:00 in São Paulo, 2017-10-01 in Asunción.
SAO_PAULO = ZoneInfo("America/Sao_Paulo")
ASUNCION = ZoneInfo("America/Asuncion")
#: Clocks go back at 01:00: 2018-11-04 has midnight twice in Havana. 2011-12-30 did not happen in Apia.
HAVANA = ZoneInfo("America/Havana")
APIA = ZoneInfo("Pacific/Apia")


def _ms(text: str) -> int:
    return datetime_to_ms(datetime.fromisoformat(text))


def _bounds(start: str, end: str, zone: ZoneInfo, interval: str) -> list[str]:
    asked = parse_interval(interval)
    assert asked is not None
    return [ms_to_iso(at) for at in divide(Timeframe(_ms(start), _ms(end), zone), asked).bounds]


@pytest.mark.parametrize("interval", ["daily", "every_1_days"])
def test_the_day_after_one_without_midnight_begins_at_midnight(interval: str) -> None:
    """The day begins with its first instant, 01:00, and ends at the next midnight, as do all after it."""
    assert _bounds("2018-11-04T03:00Z", "2018-11-07T02:00Z", SAO_PAULO, interval) == [
        "2018-11-04T03:00:00.000Z",
        "2018-11-05T02:00:00.000Z",
        "2018-11-06T02:00:00.000Z",
        "2018-11-07T02:00:00.000Z",
    ]


def test_steps_over_a_day_without_midnight_begin_it_late() -> None:
    """From the days before, 2018-11-04 is reached at its first instant."""
    assert _bounds("2018-11-02T03:00Z", "2018-11-06T02:00Z", SAO_PAULO, "daily") == [
        "2018-11-02T03:00:00.000Z",
        "2018-11-03T03:00:00.000Z",
        "2018-11-04T03:00:00.000Z",
        "2018-11-05T02:00:00.000Z",
        "2018-11-06T02:00:00.000Z",
    ]


def test_months_after_one_that_begins_late_begin_at_midnight() -> None:
    """October 2017 began at 01:00 in Asunción, and November at midnight."""
    assert _bounds("2017-10-01T04:00Z", "2017-12-01T03:00Z", ASUNCION, "monthly") == [
        "2017-10-01T04:00:00.000Z",
        "2017-11-01T03:00:00.000Z",
        "2017-12-01T03:00:00.000Z",
    ]


def test_a_day_with_two_midnights_begins_at_the_first() -> None:
    """It lasts 25 hours."""
    assert _bounds("2018-11-04T04:00Z", "2018-11-06T05:00Z", HAVANA, "daily") == [
        "2018-11-04T04:00:00.000Z",
        "2018-11-05T05:00:00.000Z",
        "2018-11-06T05:00:00.000Z",
    ]


def test_a_day_that_did_not_happen_is_no_interval() -> None:
    """From 29 December 2011 Apia went on to the 31st."""
    assert _bounds("2011-12-29T10:00Z", "2012-01-01T10:00Z", APIA, "daily") == [
        "2011-12-29T10:00:00.000Z",
        "2011-12-30T10:00:00.000Z",
        "2011-12-31T10:00:00.000Z",
        "2012-01-01T10:00:00.000Z",
    ]


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("this_1_days", "2018-11-04T03:00Z", "2018-11-05T02:00Z"),
        ("previous_1_days", "2018-11-03T03:00Z", "2018-11-04T03:00Z"),
        ("this_2_days", "2018-11-03T03:00Z", "2018-11-05T02:00Z"),
        ("this_1_weeks", "2018-11-04T03:00Z", "2018-11-11T02:00Z"),
        ("previous_1_weeks", "2018-10-28T03:00Z", "2018-11-04T03:00Z"),
    ],
)
def test_relative_timeframes_on_a_day_without_midnight(asked: str, start: str, end: str) -> None:
    """They begin and end with local days, 2018-11-04 with its first instant. It was a Sunday."""
    frame = parse_timeframe(asked, SAO_PAULO, _ms("2018-11-04T15:00Z"))
    assert (frame.start_ms, frame.end_ms) == (_ms(start), _ms(end))


def test_the_parts_of_days_without_midnight_add_up(desk: Desk) -> None:
    """Each event of four days is counted once, in the part of its local day."""
    hours = [datetime(2018, 11, 3, 3, tzinfo=UTC) + timedelta(hours=hour) for hour in range(4 * 24 - 1)]
    desk.write(*({"keen": {"timestamp": at.isoformat()}} for at in hours))
    reply = desk.query(
        timeframe={"start": "2018-11-03T03:00:00Z", "end": "2018-11-07T02:00:00Z"},
        timezone="America/Sao_Paulo",
        interval="daily",
    )
    parts = reply.json()["result"]
    assert [part["value"] for part in parts] == [24, 23, 24, 24]
    assert [part["timeframe"]["start"] for part in parts] == [
        "2018-11-03T00:00:00.000-03:00",
        "2018-11-04T01:00:00.000-02:00",
        "2018-11-05T00:00:00.000-02:00",
        "2018-11-06T00:00:00.000-02:00",
    ]


@given(
    zone=st.sampled_from(
        [SAO_PAULO, ASUNCION, HAVANA, APIA, ZoneInfo("Africa/Cairo"), ZoneInfo("Asia/Beirut")]
    ),
    start=st.datetimes(datetime(2005, 1, 1), datetime(2025, 1, 1)),
    days=st.integers(1, 400),
    unit=st.sampled_from(["daily", "weekly", "monthly", "yearly"]),
)
def test_every_bound_within_a_timeframe_is_the_first_instant_of_a_local_day(
    zone: ZoneInfo, start: datetime, days: int, unit: str
) -> None:
    """A millisecond before it was another local day; the parts follow each other, and hold what the whole holds."""
    start_ms = datetime_to_ms(start.replace(tzinfo=UTC))
    end_ms = start_ms + days * 86_400_000
    interval = parse_interval(unit)
    assert interval is not None
    bounds = divide(Timeframe(start_ms, end_ms, zone), interval).bounds
    assert (bounds[0], bounds[-1]) == (start_ms, end_ms)
    assert all(one < other for one, other in pairwise(bounds))
    for bound in bounds[1:-1]:
        before, at = (ms_to_datetime(bound - less).astimezone(zone) for less in (1, 0))
        assert before.date() < at.date()
        assert (at.hour, at.minute) in ((0, 0), (1, 0))
