"""Encoding: what is stored is what was given, and what cannot be stored is refused with its path."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from types import MappingProxyType
from typing import Any
from uuid import UUID

import attrs
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keen_client._foundation.clock import FIRST_MS, LAST_MS
from keen_client.errors import (
    EventTooLargeError,
    InvalidCollectionNameError,
    InvalidEventError,
    UsageError,
)
from keen_client.events.encoding import encode_event, parse_timestamp

names = st.text(st.characters(codec="utf-8", exclude_characters=".$"), min_size=1, max_size=12).filter(
    lambda name: name not in ("kc", "keen")
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)


@attrs.frozen
class Book:
    title: str
    pages: int


@dataclasses.dataclass
class Pen:
    color: str


class Plan(Enum):
    PRO = "pro"


class Level(IntEnum):
    HIGH = 3


class Name(str):
    __slots__ = ()


@given(st.dictionaries(names, values, max_size=6))
def test_what_is_stored_is_what_was_given(event: dict[str, Any]) -> None:
    """Plain JSON values come back equal, and the caller's object is not changed."""
    before = repr(event)

    encoded = encode_event("c", event)

    assert orjson.loads(encoded.body) == event
    assert repr(event) == before


def test_rich_values_have_a_json_form() -> None:
    """Times, amounts, ids, enums, records and mappings are encoded without loss of meaning."""
    encoded = encode_event(
        "c",
        {
            "at": datetime(2026, 10, 1, 2, tzinfo=timezone(timedelta(hours=2))),
            "day": date(2026, 10, 1),
            "amount": Decimal("10.10"),
            "id": UUID(int=1),
            "plan": Plan.PRO,
            "level": Level.HIGH,
            "name": Name("x"),
            "book": Book("T", 1),
            "pen": Pen("red"),
            "map": MappingProxyType({"a": (1, 2)}),
        },
    )

    assert '"amount":10.10' in encoded.body
    assert orjson.loads(encoded.body) == {
        "at": "2026-10-01T02:00:00+02:00",
        "day": "2026-10-01",
        "amount": 10.1,
        "id": "00000000-0000-0000-0000-000000000001",
        "plan": "pro",
        "level": 3,
        "name": "x",
        "book": {"title": "T", "pages": 1},
        "pen": {"color": "red"},
        "map": {"a": [1, 2]},
    }


def test_a_decimal_travels_with_its_digits() -> None:
    """As far as integers reach; what has a point or an exponent is a double at Keen, and has no such bound."""
    amounts = ("9223372036854775807", "-9223372036854775808", "12345678901234567890.5", "1E+30", "0.10", "-0")
    body = encode_event("c", {"a": [Decimal(amount) for amount in amounts]}).body
    assert body == f'{{"a":[{",".join(amounts)}]}}'


def test_a_record_can_be_the_event() -> None:
    """Classes of attrs and dataclasses are events as they are."""
    assert encode_event("c", Book("T", 1)).body == '{"title":"T","pages":1}'
    assert encode_event("c", Pen("red")).body == '{"color":"red"}'


@pytest.mark.parametrize(
    ("event", "path", "says"),
    [
        ({"a": {"b": [1, math.nan]}}, "a.b[1]", "NaN"),
        ({"a": math.inf}, "a", "infinite"),
        ({"a": Decimal("NaN")}, "a", "finite"),
        ({"a": 2**63}, "a", "integer"),
        ({"a": Decimal(2**63)}, "a", "integer"),
        ({"a": {"b": [Decimal(-(2**63) - 1)]}}, "a.b[0]", "integer"),
        ({"a": "x" * 10_000}, "a", "10,000"),
        ({"a": "\ud800"}, "a", "surrogate"),
        ({"a": object()}, "a", "is of type object, which has no JSON form"),
        ({"a": b"bytes"}, "a", "no JSON form"),
        ({"a": {1, 2}}, "a", "no JSON form"),
        ({"a": datetime(2026, 1, 1)}, "a", "without a zone"),
        ({"a": {"b.c": 1}}, "a", "'.'"),
        ({"$a": 1}, "", "'$'"),
        ({"": 1}, "", "empty"),
        ({"x" * 257: 1}, "", "256"),
        ({1: 1}, "", "not a string"),
        ({"kc": {}}, "kc", "reserved"),
        ({"keen": 5}, "keen", "object"),
        ({"keen": None}, "keen", "object"),
        ({"keen": {"uniqueness_token": "t"}}, "keen.uniqueness_token", "identity"),
        ({"keen": {"id": "t"}}, "keen.id", "server"),
        ({"keen": {"created_at": "t"}}, "keen.created_at", "server"),
        ({"keen": {"timestamp": 5}}, "keen.timestamp", "datetime"),
        ({"keen": {"timestamp": "yesterday"}}, "keen.timestamp", "ISO 8601"),
        ({"keen": {"timestamp": "2026-10-01T00:00:00"}}, "keen.timestamp", "without a zone"),
    ],
)
def test_what_cannot_be_stored_is_refused_with_its_path(event: Any, path: str, says: str) -> None:
    """The error names the field, says why, and that nothing was recorded."""
    with pytest.raises(InvalidEventError) as caught:
        encode_event("c", event)

    assert caught.value.path == path
    assert says in caught.value.message
    assert "nothing was recorded" in caught.value.message
    assert caught.value.hint


def test_a_cycle_is_refused() -> None:
    """An event that contains itself is refused, not followed for ever."""
    event: dict[str, Any] = {}
    event["self"] = event
    loop: list[Any] = []
    loop.append(loop)

    for bad in (event, {"l": loop}):
        with pytest.raises(InvalidEventError, match="deep"):
            encode_event("c", bad)


@pytest.mark.parametrize("event", [5, "text", None, [1], Book])
def test_what_is_no_mapping_is_no_event(event: Any) -> None:
    """An event is an object."""
    with pytest.raises(InvalidEventError, match="mapping"):
        encode_event("c", event)


@pytest.mark.parametrize(
    "name", ["", "x" * 65, "a$b", "_a", ".a", "a.", "a\nb", "a\0b", "Köln", "\x7f", None, 5, b"a"]
)
def test_collection_names_that_keen_refuses(name: Any) -> None:
    """Refused at the call: 1 to 64 printable ASCII characters, and the places of '$', '_' and '.'."""
    with pytest.raises(InvalidCollectionNameError):
        encode_event(name, {})


@pytest.mark.parametrize("name", ["a", "x" * 64, "a b/c", "a.b", "A-1_", "kc"])
def test_collection_names_that_keen_takes(name: str) -> None:
    """Spaces, dots within and slashes are allowed."""
    assert encode_event(name, {}).collection == name


def test_900_kilobytes_with_the_stamp_and_no_more() -> None:
    """The bound is on the bytes that travel, stamp included, not on characters."""
    fits = {f"p{n}": "x" * 9_900 for n in range(90)}
    assert encode_event("c", fits).size_bytes <= 900_000

    too_large = {f"p{n}": "é" * 9_900 for n in range(46)}
    with pytest.raises(EventTooLargeError, match="900,000"):
        encode_event("c", too_large)


def test_timestamps_are_truncated_to_milliseconds() -> None:
    """keen.timestamp is UTC, whole milliseconds, rounded down on both sides of 1970."""
    given_keen = encode_event("c", {"keen": {"timestamp": "2026-10-01T02:00:00.123999+02:00"}})
    assert given_keen.timestamp_ms == 1_790_812_800_123
    assert given_keen.keen == ""

    before = encode_event("c", {}, datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC))
    assert before.timestamp_ms == -1


@pytest.mark.parametrize(
    "time",
    [
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:00:00-05:00",
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-5))),
    ],
    ids=str,
)
def test_a_time_that_only_its_zone_holds_is_refused(time: datetime | str) -> None:
    """In UTC it lies in year 0 or 10000, where it could be neither sent nor exported."""
    with pytest.raises(InvalidEventError, match="outside the years 1 to 9999"):
        encode_event("purchases", {}, time)
    with pytest.raises(InvalidEventError, match="outside the years 1 to 9999"):
        encode_event("purchases", {"keen": {"timestamp": time}})


def test_the_first_and_the_last_millisecond_of_the_calendar_are_times() -> None:
    """The edges belong to it, in whatever zone they are written."""
    assert encode_event("purchases", {}, "0001-01-01T14:00:00+14:00").timestamp_ms == FIRST_MS
    assert encode_event("purchases", {}, "9999-12-31T18:59:59.999999-05:00").timestamp_ms == LAST_MS


def test_the_argument_wins_over_the_events_own_timestamp() -> None:
    """add_event's timestamp is the last word; other keen members stay."""
    encoded = encode_event(
        "c", {"keen": {"timestamp": "2020-01-01T00:00:00Z", "location": {}}}, "2026-10-01T00:00:00.123Z"
    )
    assert (encoded.timestamp_ms, encoded.keen) == (1_790_812_800_123, '{"location":{}}')


def test_naive_times_can_be_read_as_utc() -> None:
    """For those who migrate: naive_datetimes="utc"."""
    naive = datetime(2026, 10, 1, 0, 0, 0, 123_000)

    encoded = encode_event("c", {"at": naive}, naive, naive_datetimes="utc")

    assert encoded.timestamp_ms == 1_790_812_800_123
    assert encoded.body == '{"at":"2026-10-01T00:00:00.123000+00:00"}'


@given(st.text(max_size=30))
def test_any_text_is_a_time_or_a_clear_error(text: str) -> None:
    """The parser of timestamps raises nothing but a usage error."""
    with contextlib.suppress(UsageError):
        assert isinstance(parse_timestamp(text), int)


@given(st.dictionaries(st.text(max_size=5) | st.integers(), values | st.binary() | st.floats(), max_size=4))
def test_any_mapping_is_encoded_or_refused_clearly(event: dict[Any, Any]) -> None:
    """Whatever is thrown at it: JSON text without control characters, or an InvalidEventError."""
    try:
        encoded = encode_event("c", event)
    except InvalidEventError:
        return
    assert all(ord(c) >= 32 for c in encoded.body)
    assert encoded.body.startswith("{")
    assert encoded.body.endswith("}")
