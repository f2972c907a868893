"""The bundled week is what its documentation says, and repeats without end."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from importlib import resources
from itertools import islice, pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from keen_client._foundation.clock import datetime_to_ms, ms_to_datetime
from keen_client.errors import UsageError
from keen_client.sample import EVENTS_PER_WEEK, MS_PER_WEEK, WEEK_START_MS, SampleEvent, load_flights

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "sample-data.md"


@pytest.fixture(scope="module")
def week() -> list[SampleEvent]:
    return list(load_flights(EVENTS_PER_WEEK))


def test_week_holds_every_departure_of_the_source_in_two_collections(week: list[SampleEvent]) -> None:
    """6,114 departures were scheduled; 48 of them never left."""
    assert Counter(event.collection for event in week) == {"flights": 6_066, "cancellations": 48}
    assert all("dep_time" in event.properties for event in week if event.collection == "flights")
    assert not any("dep_time" in event.properties for event in week if event.collection == "cancellations")


def test_first_departure_is_the_source_s_row_at_its_true_instant(week: list[SampleEvent]) -> None:
    """US 1117 to Charlotte, scheduled for 05:00 in New York, is an event of 10:00 UTC."""
    assert week[0] == SampleEvent(
        "flights",
        datetime_to_ms(datetime(2013, 1, 7, 10, 0, tzinfo=UTC)),
        {
            "carrier": "US",
            "tailnum": "N566UW",
            "origin": "EWR",
            "dest": "CLT",
            "flight": 1117,
            "sched_dep_time": 500,
            "dep_time": 454,
            "dep_delay": -6,
            "sched_arr_time": 648,
            "arr_time": 637,
            "arr_delay": -11,
            "air_time": 86,
            "distance": 529,
        },
    )


def test_every_timestamp_is_the_scheduled_local_departure(week: list[SampleEvent]) -> None:
    """The instant, told in New York's time, is the row's own HHMM, within the seven days."""
    new_york = ZoneInfo("America/New_York")
    start = datetime(2013, 1, 7, tzinfo=new_york)
    for event in week:
        local = ms_to_datetime(event.timestamp_ms).astimezone(new_york)
        assert local.hour * 100 + local.minute == event.properties["sched_dep_time"]
        assert start <= local < start + timedelta(days=7)


def test_order_is_by_time_then_carrier_then_flight(week: list[SampleEvent]) -> None:
    """The order is total: no two departures share all three."""
    keys = [(e.timestamp_ms, str(e.properties["carrier"]), int(e.properties["flight"])) for e in week]
    assert all(one < other for one, other in pairwise(keys))


def test_what_the_source_does_not_know_is_absent(week: list[SampleEvent]) -> None:
    """Every value is a text or a whole number; the distance is always known."""
    assert {type(value) for event in week for value in event.properties.values()} == {str, int}
    assert not any(value in {"", "NA"} for event in week for value in event.properties.values())
    assert all("distance" in event.properties for event in week)
    assert sum("arr_delay" not in event.properties for event in week) == 65


def test_later_weeks_are_the_first_moved_by_whole_weeks(week: list[SampleEvent]) -> None:
    """The event one week on differs in nothing but its timestamp, by exactly seven days."""
    later = list(islice(load_flights(3 * EVENTS_PER_WEEK), 2 * EVENTS_PER_WEEK, None))
    assert [(e.collection, e.properties) for e in later] == [(e.collection, e.properties) for e in week]
    assert {b.timestamp_ms - a.timestamp_ms for a, b in zip(week, later, strict=True)} == {2 * MS_PER_WEEK}


@pytest.mark.parametrize("count", [1, EVENTS_PER_WEEK, EVENTS_PER_WEEK + 1])
def test_weeks_end_where_the_caller_says(count: int) -> None:
    """The last week needed ends at *ending_ms*; the whole keeps its shape."""
    ending_ms = datetime_to_ms(datetime(2026, 11, 22, 5, tzinfo=UTC))
    weeks = -(-count // EVENTS_PER_WEEK)
    moved = [event.timestamp_ms for event in load_flights(count, ending_ms=ending_ms)]
    original = [event.timestamp_ms for event in load_flights(count)]
    shift_ms = ending_ms - (WEEK_START_MS + weeks * MS_PER_WEEK)
    assert moved == [timestamp_ms + shift_ms for timestamp_ms in original]
    assert max(moved) < ending_ms


def test_no_two_events_share_their_properties() -> None:
    """What a caller adds to one event is seen in no other."""
    events = list(load_flights(EVENTS_PER_WEEK + 1))
    events[0].properties["seat"] = "12A"
    assert "seat" not in events[EVENTS_PER_WEEK].properties


def test_an_empty_sample_is_empty() -> None:
    """Zero events are a sample too."""
    assert list(load_flights(0)) == []


def test_a_negative_count_is_refused_at_the_call() -> None:
    """The error comes from the call itself, not from the first step of the iterator."""
    with pytest.raises(UsageError, match="-1"):
        load_flights(-1)


def test_file_is_the_documented_one() -> None:
    """The digest, the row count and the size on the reference page are those of the file shipped."""
    packed = (resources.files("keen_client.sample") / "flights.ndjson.gz").read_bytes()
    text = gzip.decompress(packed)
    page = PAGE.read_text(encoding="utf-8")
    assert re.findall(r"\b[0-9a-f]{64}\b", page)[-1] == hashlib.sha256(text).hexdigest()
    rows = text.count(b"\n")
    assert f"{rows:,} rows" in page
    assert f"{len(packed):,} bytes" in page
    assert len(packed) < 300_000
