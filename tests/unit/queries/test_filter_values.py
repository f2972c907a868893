"""Filters: what Keen understands passes, the rest is refused with its reason."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from keen_client.errors import InvalidQueryError
from keen_client.queries import AllOf, AnyOf, Filter
from keen_client.queries.filters import OPERATORS, parse_filter, parse_filters

PLAIN = {"property_name": "item", "operator": "eq", "property_value": "book"}
VALUES: dict[str, Any] = {
    "exists": True,
    "in": ["a", 1, None],
    "within": {"coordinates": [-122.4, 37.8], "max_distance_miles": 10},
}


@pytest.mark.parametrize("operator", sorted(OPERATORS))
def test_every_operator_goes_out_as_it_came(operator: str) -> None:
    """A dict of the official client and its parsed form are the same on the wire."""
    name = "keen.location.coordinates" if operator == "within" else "a.b"
    given = {"property_name": name, "operator": operator, "property_value": VALUES.get(operator, "x")}
    assert parse_filter(given).to_json() == given


def test_compound_filters_nest() -> None:
    """Or and and carry operands, as values or as dicts."""
    wire = {"operator": "or", "operands": [PLAIN, {"operator": "and", "operands": [PLAIN]}]}
    assert parse_filter(wire).to_json() == wire
    value = AnyOf([Filter("item", "eq", "book"), AllOf([PLAIN])])
    assert value.to_json() == wire
    assert parse_filter(wire) == value


def test_filter_keeps_nothing_of_the_callers() -> None:
    """A list changed later does not change the query."""
    values = ["a"]
    one = Filter("item", "in", values)
    values.append("b")
    assert one.to_json()["property_value"] == ["a"]


def test_datetime_value_is_sent_as_text() -> None:
    """An aware datetime becomes ISO 8601 in UTC."""
    one = Filter("keen.created_at", "gte", datetime(2026, 10, 1, tzinfo=UTC))
    assert one.to_json()["property_value"] == "2026-10-01T00:00:00.000Z"


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("item", "a filter is a dict, not str"),
        ({"property_name": "a", "operator": "eq"}, "exactly property_name, operator"),
        ({**PLAIN, "extra": 1}, "exactly property_name, operator"),
        ({**PLAIN, "operator": "equals"}, "'equals' is not a filter operator"),
        ({**PLAIN, "property_name": ""}, "property_name is empty"),
        ({**PLAIN, "property_name": 5}, "property_name is int"),
        ({**PLAIN, "operator": "exists"}, "exists takes True or False"),
        ({**PLAIN, "operator": "in"}, "in takes a list"),
        ({**PLAIN, "operator": "within"}, "within works on keen.location.coordinates"),
        (
            {"property_name": "keen.location.coordinates", "operator": "within", "property_value": {}},
            "max_distance_miles",
        ),
        ({**PLAIN, "property_value": float("nan")}, "not a finite number"),
        ({**PLAIN, "property_value": datetime(2026, 1, 1)}, "without a zone"),
        ({**PLAIN, "property_value": b"x"}, "bytes, which JSON cannot hold"),
        ({**PLAIN, "property_value": "\ud800"}, "surrogate"),
        ({**PLAIN, "property_value": {1: 2}}, "member name that is not a string"),
        ({"operator": "or"}, "exactly operator and operands"),
        ({"operator": "and", "operands": []}, "no operands"),
        ({"operator": "or", "operands": PLAIN}, "operands is a list"),
    ],
)
def test_bad_filter_is_refused_with_its_reason(bad: object, reason: str) -> None:
    """Nothing is sent, and the message says why."""
    with pytest.raises(InvalidQueryError, match="nothing was sent") as caught:
        parse_filter(bad)  # type: ignore[arg-type]
    assert reason in str(caught.value)


def test_filters_are_a_list() -> None:
    """A lone dict is a common slip, and named."""
    with pytest.raises(InvalidQueryError, match="list of filters, not dict"):
        parse_filters(PLAIN)  # type: ignore[arg-type]
    assert parse_filters(None) == ()


def test_nesting_is_bounded() -> None:
    """A filter that holds itself, so to speak, does not exhaust the stack."""
    deep: dict[str, Any] = PLAIN
    for _ in range(30):
        deep = {"operator": "or", "operands": [deep]}
    with pytest.raises(InvalidQueryError, match="nested over"):
        parse_filter(deep)
    value: list[Any] = []
    for _ in range(100):
        value = [value]
    with pytest.raises(InvalidQueryError, match="nested over"):
        Filter("a", "eq", value)
