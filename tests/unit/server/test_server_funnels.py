"""Funnels: who did step after step, through the API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from tests.unit.server.workbench import WIDE, Workbench


@pytest.fixture
def bench() -> Iterator[Workbench]:
    """Visits of a, b, c and 1; purchases of a and 1; complaints of a."""
    made = Workbench()
    made.write(*({"user": {"id": who}, "n": 1} for who in ("a", "b", "b", "c", 1, 1.0)), collection="visits")
    made.write({"user": {"id": None}}, {"other": "x"}, collection="visits")
    made.write(*({"buyer": who} for who in ("a", 1, "z")), collection="purchases")
    made.write({"who": "a"}, collection="complaints")
    yield made
    made.store.close()


def _step(collection: str, actor: Any = "user.id", **more: Any) -> dict[str, Any]:
    return {"event_collection": collection, "actor_property": actor, **more}


VISITS = _step("visits")
PURCHASES = _step("purchases", "buyer")
COMPLAINTS = _step("complaints", "who")


def _funnel(bench: Workbench, *steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return bench.answer("funnel", steps=list(steps), **more)


def test_each_step_counts_the_distinct_actors_of_all_steps_so_far(bench: Workbench) -> None:
    """Null and missing actors do not count; 1 and 1.0 are one actor."""
    assert _funnel(bench, VISITS, PURCHASES, COMPLAINTS)["result"] == [4, 2, 1]


def test_an_inverted_step_keeps_those_who_did_not(bench: Workbench) -> None:
    """And later steps go on from these."""
    assert _funnel(bench, VISITS, {**PURCHASES, "inverted": True}, COMPLAINTS)["result"] == [4, 2, 0]


def test_an_optional_step_is_counted_and_then_ignored(bench: Workbench) -> None:
    """The step after it goes on from the one before it."""
    steps = [VISITS, {**COMPLAINTS, "optional": True}, PURCHASES]
    assert _funnel(bench, *steps)["result"] == [4, 1, 2]
    both = {**COMPLAINTS, "optional": True, "inverted": True}
    assert _funnel(bench, VISITS, both, PURCHASES)["result"] == [4, 3, 2]


def test_actors_are_listed_where_they_are_asked_for(bench: Workbench) -> None:
    """A list parallel to the steps, null for the others; values keep their JSON type."""
    found = _funnel(bench, VISITS, {**PURCHASES, "with_actors": True}, COMPLAINTS)
    assert found["actors"] == [None, ["a", 1], None]
    assert "actors" not in _funnel(bench, VISITS)


def test_several_actor_properties_make_one_actor(bench: Workbench) -> None:
    """Each actor is then a list of values, and an event that lacks one of them does not count."""
    step = _step("visits", ["user.id", "n"], with_actors=True)
    found = _funnel(bench, step)
    assert found["result"] == [4]
    assert sorted(found["actors"][0], key=repr) == [["a", 1], ["b", 1], ["c", 1], [1, 1]]


def test_a_missing_collection_is_an_empty_set(bench: Workbench) -> None:
    """No 404: nobody did it yet, and everybody did not."""
    assert _funnel(bench, VISITS, _step("none"))["result"] == [4, 0]
    assert _funnel(bench, VISITS, _step("none", inverted=True))["result"] == [4, 4]
    assert _funnel(bench, _step("none", with_actors=True))["actors"] == [[]]


def test_steps_have_their_own_timeframe_or_that_of_the_root(bench: Workbench) -> None:
    """The echo tells which; a step without either is refused."""
    early = {"start": "1970-01-01T00:00:00Z", "end": "1971-01-01T00:00:00Z"}
    found = _funnel(bench, VISITS, {**PURCHASES, "timeframe": early})
    assert found["result"] == [4, 0]
    assert found["steps"] == [{**VISITS, "timeframe": WIDE}, {**PURCHASES, "timeframe": early}]
    lacking = bench.refused("POST", "/queries/funnel", key="R", json={"steps": [VISITS]})
    assert lacking == (400, "MissingParameterError")


def test_a_steps_timezone_moves_its_relative_timeframe(bench: Workbench) -> None:
    """At noon UTC, when all happened, it was still yesterday where clocks are thirteen hours behind."""
    steps = [{**VISITS, "timeframe": "today"}, {**PURCHASES, "timeframe": "today", "timezone": -13 * 3_600}]
    bench.clock.now_ms += 11 * 3_600_000
    assert _funnel(bench, *steps)["result"] == [4, 0]
    assert _funnel(bench, *[{**step, "timezone": None} for step in steps], timezone="UTC")["result"] == [4, 2]


def test_filters_of_a_step_are_its_own(bench: Workbench) -> None:
    """A pattern that does not compile is refused, not an internal error."""
    filters = [{"property_name": "user.id", "operator": "ne", "property_value": "a"}]
    assert _funnel(bench, {**VISITS, "filters": filters}, PURCHASES)["result"] == [3, 1]
    pattern = [{"property_name": "user.id", "operator": "regex", "property_value": "("}]
    body = {"timeframe": WIDE, "steps": [{**VISITS, "filters": pattern}]}
    assert bench.refused("POST", "/queries/funnel", key="R", json=body)[0] == 400


def test_a_funnel_by_get_is_the_same(bench: Workbench) -> None:
    """Steps and timeframe as JSON in the query string."""
    steps, frame = orjson.dumps([VISITS, PURCHASES]).decode(), orjson.dumps(WIDE).decode()
    reply = bench.call("GET", "/queries/funnel", key="R", params={"steps": steps, "timeframe": frame})
    assert reply.json() == _funnel(bench, VISITS, PURCHASES)


def test_metadata_counts_the_events_of_every_step(bench: Workbench) -> None:
    """Events in the timeframes, and the distinct properties that are touched."""
    found = _funnel(bench, VISITS, PURCHASES, include_metadata=True)["execution_metadata"]
    assert (found["events_scanned"], found["properties_per_event"]) == (11, 3)


@pytest.mark.parametrize(
    "steps",
    [
        None,
        [],
        "visits",
        ["visits"],
        [{**VISITS, "inverted": True}],
        [{**VISITS, "optional": True}],
        [{"event_collection": "visits"}],
        [{"actor_property": "user.id"}],
        [{**VISITS, "actor_property": [1]}],
        [VISITS] * 51,
    ],
)
def test_a_malformed_funnel_is_refused(bench: Workbench, steps: Any) -> None:
    """With 400; on the first step neither inverted nor optional makes sense."""
    status, _ = bench.refused("POST", "/queries/funnel", key="R", json={"steps": steps, "timeframe": WIDE})
    assert status == 400
