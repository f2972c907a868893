"""What an update of stored events asks for, and what is refused before anything is sent."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keen_client.api.project import Project
from keen_client.api.steps import carry_out
from keen_client.api.updating import update_events
from keen_client.errors import InvalidEventError, InvalidQueryError, UnreadableResponseError, UsageError
from keen_client.transport.message import Request, Response
from keen_client.transport.secret import Secret

PROJECT = Project(id="P", master_key=Secret("mmmm"))
PENS = [{"property_name": "item", "operator": "eq", "property_value": "pen"}]


def _asked(
    properties: Any,
    *,
    timeframe: Any = None,
    timezone: Any = None,
    filters: Any = None,
    upsert: bool = False,
    answer: bytes = b'{"updated_events": 3}',
) -> tuple[Request, int | None]:
    """The one request of an update, and what came of it."""
    asked: list[Request] = []

    def run(operation: Any) -> Any:
        asked.append(operation.request(PROJECT))
        return operation.parse(Response(status=200, body=answer))

    steps = update_events("c d", properties, timeframe, timezone, filters, upsert=upsert)
    count = carry_out(steps, run)
    (request,) = asked
    return request, count


def _updates(properties: Any, **more: Any) -> Any:
    request, _ = _asked(properties, **more)
    assert request.body is not None
    return orjson.loads(request.body)["property_updates"]


def test_an_update_is_a_put_on_the_collection_with_the_master_key() -> None:
    """Properties, timeframe, timezone and filters are in the body, and nothing is in the query string."""
    request, count = _asked({"user.plan": "pro", "n": 1}, timeframe="today", timezone="UTC", filters=PENS)
    assert (request.method, request.path, request.params) == ("PUT", "/3.0/projects/P/events/c%20d", ())
    assert (request.kind, count) == ("write", 3)
    assert request.key is not None
    assert request.key.reveal() == "mmmm"
    assert orjson.loads(request.body or b"") == {
        "property_updates": [
            {"property_name": "user.plan", "property_value": "pro"},
            {"property_name": "n", "property_value": 1},
        ],
        "timeframe": "today",
        "timezone": "UTC",
        "filters": PENS,
    }


def test_an_upsert_is_asked_for_with_each_property() -> None:
    """Only where it is wanted: without it the server's own rule holds."""
    assert _updates({"a": 1, "b": None}, upsert=True) == [
        {"property_name": "a", "property_value": 1, "upsert_property": True},
        {"property_name": "b", "property_value": None, "upsert_property": True},
    ]


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (datetime(2026, 10, 1, tzinfo=UTC), "2026-10-01T00:00:00+00:00"),
        (Decimal("12.50"), 12.5),
        ([1, {"a": None}], [1, {"a": None}]),
        ({"a": {"b": True}}, {"a": {"b": True}}),
    ],
)
def test_values_become_json_as_those_of_events_do(value: Any, sent: Any) -> None:
    """Times, decimals, lists and objects."""
    assert _updates({"x.y": value}) == [{"property_name": "x.y", "property_value": sent}]


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        2**63,
        "x" * 10_000,
        "\ud800",
        {"a.b": 1},
        {"": 1},
        object(),
        datetime(2026, 1, 1),
    ],
    ids=["nan", "infinity", "integer", "text", "surrogate", "dotted", "nameless", "object", "naive"],
)
def test_a_value_that_no_event_may_have_is_refused(value: Any) -> None:
    """As at recording; the error names the path, and nothing is sent."""
    with pytest.raises(InvalidEventError, match="nothing was sent") as caught:
        _asked({"x.y": value})
    assert caught.value.path.startswith("x.y")


@pytest.mark.parametrize("path", ["kc", "kc.h", "keen", "keen.timestamp", "keen.own"])
def test_stamps_and_what_keen_keeps_are_not_updated(path: str) -> None:
    """Beside other properties too; a name that only begins alike is the user's."""
    with pytest.raises(InvalidQueryError, match="cannot be updated; nothing was sent"):
        _asked({"fine": 1, path: 1})
    assert _updates({f"{path.partition('.')[0]}ness": 1})


@pytest.mark.parametrize(
    "properties", [{}, None, [], "a", {"": 1}, {1: 1}, {"a..b": 1}, {"$a": 1}, {"a.": 1}]
)
def test_properties_are_paths_with_values(properties: Any) -> None:
    """Anything else is refused before it is sent."""
    with pytest.raises(UsageError, match="nothing was sent"):
        _asked(properties)


@pytest.mark.parametrize("given", [{"filters": []}, {"timezone": "UTC"}, {"filters": [], "timezone": 0}])
def test_what_selects_nothing_is_not_taken_for_everything(given: dict[str, Any]) -> None:
    """As with a deletion: the whole collection is meant only where neither is given."""
    with pytest.raises(InvalidQueryError, match="events to update, so it would be the whole collection"):
        _asked({"a": 1}, **given)
    assert _asked({"a": 1})[1] == 3


@pytest.mark.parametrize("answer", [b"{}", b'{"updated_events": "many"}'])
def test_an_answer_without_a_count_is_none_and_not_nought(answer: bytes) -> None:
    """Nothing is made up; an answer that is not Keen's leaves the outcome open."""
    assert _asked({"a": 1}, answer=answer)[1] is None
    with pytest.raises(UnreadableResponseError, match="may or may not have been updated"):
        _asked({"a": 1}, answer=b"<html>")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=3), st.lists, max_leaves=5
    )
)
def test_plain_values_arrive_as_they_are(value: Any) -> None:
    """Law: what JSON can hold is sent unchanged."""
    assert _updates({"x.y": value}) == [{"property_name": "x.y", "property_value": value}]
