"""Funnels: steps as the official client passes them become the request's JSON, or are refused here."""

from __future__ import annotations

from typing import Any

import pytest

from keen_client.errors import InvalidQueryError
from keen_client.queries import Funnel, FunnelStep
from keen_client.queries.definition import checked_query

FIRST = {"event_collection": "signups", "actor_property": "user.id"}
DAY = {"start": "2026-10-01T00:00:00.000Z", "end": "2026-10-02T00:00:00.000Z"}


def test_steps_become_json_as_they_were_given() -> None:
    """Every member of a step and of the funnel; what was not given, or is None or False, stays out."""
    second = {
        "event_collection": "purchases",
        "actor_property": ["user.id", "user.shop"],
        "timeframe": DAY,
        "timezone": -28_800,
        "filters": [{"property_name": "x", "operator": "eq", "property_value": 1}],
        "inverted": True,
        "optional": True,
        "with_actors": True,
    }
    funnel = Funnel(
        steps=[FIRST | {"with_actors": False, "filters": None}, second],
        timeframe="this_7_days",
        timezone="US/Pacific",
        max_age=60,
    )
    assert funnel.to_json() == {
        "steps": [FIRST, second],
        "timeframe": "this_7_days",
        "timezone": "US/Pacific",
        "max_age": 60,
    }
    assert Funnel(steps=[FunnelStep(**FIRST)]).to_json() == {"steps": [FIRST]}  # type: ignore[arg-type]


def test_a_funnel_does_not_change_with_what_it_was_made_from() -> None:
    """It is a value: the caller's lists and dicts are copied."""
    filters: list[dict[str, Any]] = [{"property_name": "x", "operator": "in", "property_value": [1]}]
    step = FIRST | {"filters": filters}
    funnel = Funnel(steps=[step])
    before = funnel.to_json()
    filters[0]["property_value"].append(2)
    filters.clear()
    step["event_collection"] = "others"
    assert funnel.to_json() == before


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([], "one step or more"),
        (None, "one step or more"),
        (FIRST, "one step or more"),
        (["signups"], "a funnel step is a dict"),
        ([{"event_collection": "c"}], "no actor_property"),
        ([{"actor_property": "x"}], "no event_collection"),
        ([FIRST | {"event_collection": ""}], "event_collection is empty"),
        ([FIRST | {"actor_property": ""}], "actor_property is empty"),
        ([FIRST | {"actor_property": []}], "not a string or a list of strings"),
        ([FIRST | {"actor_property": [5]}], "is int, not a string"),
        ([FIRST | {"with_actor": True}], "no member with_actor"),
        ([FIRST | {"with_actors": "yes"}], "with_actors is not True or False"),
        ([FIRST | {"inverted": True}], "first step of a funnel cannot be inverted"),
        ([FIRST | {"optional": True}], "first step of a funnel cannot be optional"),
        ([FIRST, FIRST | {"timeframe": "some_day"}], "not a relative timeframe"),
        ([FIRST, FIRST | {"timezone": True}], "timezone is not"),
        ([FIRST, FIRST | {"filters": {"a": 1}}], "is a list of filters"),
    ],
)
def test_a_bad_step_is_refused(steps: Any, words: str) -> None:
    """With the reason, and nothing was sent."""
    with pytest.raises(InvalidQueryError, match=words) as caught:
        Funnel(steps=steps)
    assert "nothing was sent" in str(caught.value)


def test_the_funnel_itself_is_checked_too() -> None:
    """Its timeframe, timezone and max_age, like any analysis'."""
    for given in ({"timeframe": "x"}, {"timezone": 1.5}, {"max_age": 0}):
        with pytest.raises(InvalidQueryError):
            Funnel(steps=[FIRST], **given)


def test_a_stored_definition_is_checked_as_what_it_is() -> None:
    """Analysis or funnel; members that no ad-hoc query has are let through, and the copy is plain."""
    funnel = {"analysis_type": "funnel", "steps": [FIRST], "timezone": None}
    assert checked_query(funnel) == funnel
    count = {"analysis_type": "count", "event_collection": "c", "project_id": "P", "filters": []}
    copy = checked_query(count)
    assert copy == count
    assert copy["filters"] is not count["filters"]
    with pytest.raises(InvalidQueryError, match="cannot be inverted"):
        checked_query(funnel | {"steps": [FIRST | {"inverted": True}]})
    with pytest.raises(InvalidQueryError, match="needs a target_property"):
        checked_query({"analysis_type": "sum", "event_collection": "c"})
