"""Flat rows of nested events: every leaf under its dotted name, and the event can be had back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from keen_client.results import flat_event
from keen_client.results.flat import picked_event

leaves = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text("ab", max_size=3), st.lists(st.integers(), max_size=2)
)


def _events(names: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(
        names,
        st.recursive(leaves, lambda inner: st.dictionaries(names, inner, max_size=3), max_leaves=8),
        max_size=4,
    )


def _nested(row: dict[str, Any]) -> dict[str, Any]:
    event: dict[str, Any] = {}
    for path, value in row.items():
        *way, name = path.split(".")
        place = event
        for step in way:
            place = place.setdefault(step, {})
        place[name] = value
    return event


@given(_events(st.text("abc", min_size=1, max_size=2)))
def test_an_event_can_be_made_again_from_its_row(event: dict[str, Any]) -> None:
    """Empty objects and lists included: opening loses nothing."""
    assert _nested(flat_event(event)) == event


@given(_events(st.text("ab.", max_size=3)))
def test_names_with_dots_lose_nothing(event: dict[str, Any]) -> None:
    """Where two leaves would meet under one name, the event stays as it is."""

    def count(value: Any) -> int:
        return sum(map(count, value.values())) if isinstance(value, dict) and value else 1

    assert sum(map(count, flat_event(event).values())) == (count(event) if event else 0)


def test_times_of_keen_are_datetimes_and_other_texts_are_not() -> None:
    """Whatever they look like; a time that is none stays what it is."""
    text = "2026-10-01T12:00:00.123Z"
    row = flat_event({"at": text, "keen": {"timestamp": text, "created_at": "soon", "id": "x"}})
    assert row == {
        "at": text,
        "keen.timestamp": datetime(2026, 10, 1, 12, 0, 0, 123_000, tzinfo=UTC),
        "keen.created_at": "soon",
        "keen.id": "x",
    }
    assert flat_event({"keen": {"timestamp": None}}) == {"keen.timestamp": None}


def test_a_time_without_zone_is_utc() -> None:
    """As Keen reads it; one with an offset keeps it."""
    row = flat_event(
        {"keen": {"timestamp": "2026-10-01T12:00:00", "created_at": "2026-10-01T12:00:00+02:00"}}
    )
    assert row["keen.timestamp"] == datetime(2026, 10, 1, 12, tzinfo=UTC)
    assert row["keen.created_at"].utcoffset() == timedelta(hours=2)


def test_picked_properties_are_exactly_those_asked_for() -> None:
    """In their order, null where the event has none, objects whole, and a name with a dot found as well."""
    event = {"a": {"b": 1, "c": {"d": 2}}, "x.y": 3, "z": None}
    assert picked_event(event, ["a.c", "a.b", "x.y", "a.b.c", "q"]) == {
        "a.c": {"d": 2},
        "a.b": 1,
        "x.y": 3,
        "a.b.c": None,
        "q": None,
    }
