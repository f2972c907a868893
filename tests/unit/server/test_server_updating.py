"""Updates of stored events: what they set, in which events, what they leave alone; and that they last."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keen_client.server import engine as engine_module
from keen_client.server.updating import PropertyUpdate
from tests.unit.server.workbench import Workbench

EVENTS = (
    {"n": 1, "user": {"age": 30, "plan": "free"}, "keen": {"timestamp": "2026-09-01T12:00:00Z"}},
    {"n": 2, "user": {"age": None}, "keen": {"timestamp": "2026-09-02T03:00:00Z"}},
    {"n": 3, "user": "text", "keen": {"timestamp": "2026-09-02T12:00:00Z"}},
    {"n": 4, "keen": {"timestamp": "2026-10-01T00:00:00Z"}},
)


@pytest.fixture(params=["memory", "directory"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Workbench]:
    """A server with four events, in memory or in a directory."""
    made = Workbench(None if request.param == "memory" else tmp_path / "data")
    made.write(*EVENTS)
    yield made
    made.store.close()


def _update(bench: Workbench, path: str, value: Any, *, upsert: bool | None = None, **more: Any) -> int:
    """How many events the update of one property changed."""
    update = {"property_name": path, "property_value": value}
    if upsert is not None:
        update["upsert_property"] = upsert
    reply = bench.call("PUT", "/events/c", json={"property_updates": [update], **more})
    assert reply.status_code == 200, reply.text
    assert list(reply.json()) == ["updated_events"]
    return int(reply.json()["updated_events"])


def _users(bench: Workbench) -> list[Any]:
    if bench.directory is not None:
        bench.restart()
    return [event.get("user", "none") for event in bench.stored()]


@pytest.mark.parametrize("shred_from_rows", [0, 10**9], ids=["columns", "json"])
def test_an_update_sets_the_property_where_it_is(
    bench: Workbench, shred_from_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A null one too; events without it stay as they are, and queries over it see the new value."""
    monkeypatch.setattr(engine_module, "SHRED_FROM_ROWS", shred_from_rows)
    assert bench.query("sum", target_property="user.age") == 30
    assert _update(bench, "user.age", 55) == 2
    assert _users(bench) == [{"age": 55, "plan": "free"}, {"age": 55}, "text", "none"]
    assert bench.query("sum", target_property="user.age") == 110
    assert bench.query("sum", target_property="n") == 10


@pytest.mark.parametrize("shred_from_rows", [0, 10**9], ids=["columns", "json"])
def test_an_upsert_gives_it_to_events_without_it(
    bench: Workbench, shred_from_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Objects on the way are made; a value on the way that is no object is the sender's, and stays."""
    monkeypatch.setattr(engine_module, "SHRED_FROM_ROWS", shred_from_rows)
    assert bench.query("count_unique", target_property="user.plan") == 1
    assert _update(bench, "user.plan", "pro", upsert=True) == 3
    assert _users(bench) == [
        {"age": 30, "plan": "pro"},
        {"age": None, "plan": "pro"},
        "text",
        {"plan": "pro"},
    ]
    pro = [{"property_name": "user.plan", "operator": "eq", "property_value": "pro"}]
    assert bench.query("count", filters=pro) == 3


def test_a_value_of_another_form_replaces_what_was_below(bench: Workbench) -> None:
    """``user`` as a number: ``user.age`` is gone, for queries over columns as well."""
    assert _update(bench, "user", 7) == 3
    assert _users(bench) == [7, 7, 7, "none"]
    assert bench.query("sum", target_property="user") == 21
    assert bench.query("count_unique", target_property="user.age") == 0


def test_only_what_timeframe_and_filters_select_is_updated(bench: Workbench) -> None:
    """Both must hold; the end of the timeframe is exclusive."""
    frame = {"start": "2026-09-01T12:00:00Z", "end": "2026-09-02T12:00:00Z"}
    later = [{"property_name": "n", "operator": "gte", "property_value": 2}]
    assert _update(bench, "n", 20, timeframe=frame, filters=later) == 1
    assert sorted(event["n"] for event in bench.stored()) == [1, 3, 4, 20]


def test_a_filter_on_what_is_updated_means_the_value_before(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many pieces the work is done in: an event is updated once, whether it still matches or now matches."""
    monkeypatch.setattr(engine_module, "_FOLD_ROWS", 1)
    small = [{"property_name": "n", "operator": "lte", "property_value": 3}]
    assert _update(bench, "n", 2, filters=small) == 3
    assert sorted(event["n"] for event in bench.stored()) == [2, 2, 2, 4]
    assert _update(bench, "n", 9, filters=small) == 3
    assert sorted(event["n"] for event in bench.stored()) == [4, 9, 9, 9]


def test_several_updates_are_one_change(bench: Workbench) -> None:
    """In their order, and an event that several of them change counts once."""
    updates = [
        {"property_name": "user", "property_value": {}},
        {"property_name": "user.plan", "property_value": "pro", "upsert_property": True},
    ]
    reply = bench.call("PUT", "/events/c", json={"property_updates": updates})
    assert reply.json() == {"updated_events": 4}
    assert _users(bench) == [{"plan": "pro"}] * 4


def test_an_event_keeps_its_identity_and_time(bench: Workbench) -> None:
    """What Keen keeps of an event is as it was."""
    body = {"event_collection": "c", "timeframe": "this_10_years", "property_names": ["keen"]}
    before = bench.call("POST", "/queries/extraction", json=body).json()
    assert _update(bench, "n", 0) == 4
    assert bench.call("POST", "/queries/extraction", json=body).json() == before


@pytest.mark.parametrize("path", ["keen.timestamp", "keen", "keen.id", "keen.own"])
def test_what_keen_keeps_of_an_event_cannot_be_updated(bench: Workbench, path: str) -> None:
    """403, even where another update of the request would be good; nothing is changed."""
    updates = [{"property_name": "n", "property_value": 0}, {"property_name": path, "property_value": 1}]
    refused = bench.refused("PUT", "/events/c", json={"property_updates": updates})
    assert refused == (403, "RequestForbiddenError")
    assert bench.query("sum", target_property="n") == 10


def _setting(path: str = "n", value: Any = 0, **more: Any) -> dict[str, Any]:
    return {"property_name": path, "property_value": value, **more}


BROKEN: Final[list[Any]] = [
    [],
    {},
    {"property_updates": []},
    {"property_updates": {"n": 1}},
    {"property_updates": [_setting()] * 101},
    {"property_updates": ["n"]},
    {"property_updates": [{"property_name": "n"}]},
    {"property_updates": [{"property_value": 1}]},
    {"property_updates": [_setting(upsert_property=1)]},
    {"property_updates": [_setting(value={"a.b": 1})]},
    {"property_updates": [_setting(value="x" * 10_000)]},
    {"property_updates": [_setting(value=2**63)]},
    {"property_updates": [_setting("a..b")]},
    {"property_updates": [_setting("$a")]},
    {"property_updates": [_setting(".".join("a" * 260), upsert_property=True)]},
    {"property_updates": [_setting()], "timeframe": "soon"},
    {"property_updates": [_setting()], "filters": [{}]},
]


def test_a_broken_update_is_refused_and_changes_nothing(bench: Workbench) -> None:
    """400, whatever is wrong with it: its form, a name, a value that no event may have."""
    for body in BROKEN:
        status, _ = bench.refused("PUT", "/events/c", json=body)
        assert status == 400, body
    assert bench.stored() == [{**event, "keen": {}} for event in EVENTS]


def test_an_unknown_collection_is_a_404_and_is_not_made(bench: Workbench) -> None:
    """Updating is no writing."""
    updates = [{"property_name": "n", "property_value": 0, "upsert_property": True}]
    refused = bench.refused("PUT", "/events/none", json={"property_updates": updates})
    assert refused == (404, "ResourceNotFoundError")
    assert bench.refused("GET", "/events/none") == (404, "ResourceNotFoundError")


def test_a_delayed_event_is_not_updated(bench: Workbench) -> None:
    """An update means what a query sees; a property is deleted from all events, seen or not."""
    bench.faults.change({"delay": "1:1h"})
    bench.write({"n": 5})
    bench.faults.change({"delay": None})
    assert _update(bench, "n", 0) == 4
    assert bench.call("DELETE", "/events/c/properties/n").status_code == 204
    bench.clock.sleep(7_200)
    assert [event.get("n") for event in bench.stored()] == [None] * 5


_NAMES = st.sampled_from("abc")
_TREES = st.recursive(
    st.none() | st.integers(0, 3),
    lambda below: st.dictionaries(_NAMES, below, max_size=3) | st.lists(below, max_size=2),
    max_leaves=6,
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(_NAMES, _TREES, max_size=3), st.lists(_NAMES, min_size=1, max_size=3), st.booleans())
def test_an_update_sets_one_path_or_nothing(event: dict[str, Any], names: list[str], upsert: bool) -> None:
    """Law: told that it was set, reading the path gives the value; told that it was not, the event is the same."""

    def read(node: Any) -> Any:
        for name in names:
            node = node[name] if isinstance(node, dict) and name in node else "missing"
        return node

    before, found = repr(event), read(event)
    was_set = PropertyUpdate(".".join(names), "new", upsert).apply(event)
    assert was_set or repr(event) == before
    assert not was_set or read(event) == "new"
    assert upsert or was_set == (found != "missing")
