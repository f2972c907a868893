"""Deletions: of events by timeframe and filters, of whole collections, of one property; and that they last."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from keen_client.server import engine as engine_module
from tests.unit.server.workbench import Workbench


@pytest.fixture(params=["memory", "directory"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Workbench]:
    """A server with four events, in memory or in a directory."""
    made = Workbench(None if request.param == "memory" else tmp_path / "data")
    made.write(
        {"n": 1, "a": {"b": {"c": 1}, "d": "x"}, "keen": {"timestamp": "2026-09-01T12:00:00Z"}},
        {"n": 2, "a": {"b": None}, "keen": {"timestamp": "2026-09-02T03:00:00Z"}},
        {"n": 3, "a": "text", "keen": {"timestamp": "2026-09-02T12:00:00Z"}},
        {"n": 4, "a": [1], "keen": {"timestamp": "2026-10-01T00:00:00Z"}},
    )
    yield made
    made.store.close()


def _delete(bench: Workbench, path: str, **parameters: Any) -> int:
    texts = {
        name: value if isinstance(value, str) else orjson.dumps(value).decode()
        for name, value in parameters.items()
    }
    return bench.call("DELETE", f"/events/{path}", params=texts).status_code


def _left(bench: Workbench) -> list[int]:
    if bench.directory is not None:
        bench.restart()
    return sorted(event["n"] for event in bench.stored())


def test_a_timeframe_deletes_what_is_in_it(bench: Workbench) -> None:
    """Start inclusive, end exclusive."""
    frame = {"start": "2026-09-01T12:00:00Z", "end": "2026-09-02T12:00:00Z"}
    assert _delete(bench, "c", timeframe=frame) == 204
    assert _left(bench) == [3, 4]


def test_filters_and_a_timeframe_must_both_hold(bench: Workbench) -> None:
    """Filters are ANDed; a group of them counts as one."""
    either = [
        {"property_name": "n", "operator": "eq", "property_value": 1},
        {"property_name": "n", "operator": "gte", "property_value": 3},
    ]
    filters = [{"operator": "or", "operands": either}]
    frame = {"start": "2026-09-01T00:00:00Z", "end": "2026-09-30T00:00:00Z"}
    assert _delete(bench, "c", timeframe=frame, filters=filters) == 204
    assert _left(bench) == [2, 4]


def test_a_timezone_moves_a_relative_timeframe(bench: Workbench) -> None:
    """Midnight UTC of the first of October was still September in New York; a quoted name is a name."""
    assert _delete(bench, "c", timeframe="this_1_month", timezone='"US/Eastern"') == 204
    assert _left(bench) == [1, 2, 3, 4]
    assert _delete(bench, "c", timeframe="this_1_month", timezone="0") == 204
    assert _left(bench) == [1, 2, 3]


def test_without_timeframe_and_filters_the_collection_goes(bench: Workbench) -> None:
    """And is unknown from then on, until an event makes it again."""
    assert _delete(bench, "c") == 204
    if bench.directory is not None:
        bench.restart()
    assert bench.refused("DELETE", "/events/c") == (404, "ResourceNotFoundError")
    bench.write({"n": 9})
    assert _left(bench) == [9]


@pytest.mark.parametrize("shred_from_rows", [0, 10**9], ids=["columns", "json"])
def test_a_deleted_property_is_gone_from_every_event(
    bench: Workbench, shred_from_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is below it too, a null one too; other shapes at its path stay, and so do queries over them."""
    monkeypatch.setattr(engine_module, "SHRED_FROM_ROWS", shred_from_rows)
    for path in ("a", "a.b", "a.b.c", "a.d", "n"):
        bench.query("count_unique", target_property=path)
    assert _delete(bench, "c/properties/a.b") == 204
    if bench.directory is not None:
        bench.restart()
    assert [event["a"] for event in bench.stored()] == [{"d": "x"}, {}, "text", [1]]
    assert bench.query("count_unique", target_property="a.b.c") == 0
    assert bench.query("count_unique", target_property="a.d") == 1
    assert sorted(bench.query("select_unique", target_property="a"), key=repr) == [
        "text",
        [1],
        {"d": "x"},
        {},
    ]
    missing = [{"property_name": "a.b", "operator": "exists", "property_value": False}]
    assert bench.query("count", filters=missing) == 4
    assert bench.query("sum", target_property="n") == 10
    schema = bench.call("GET", "/events/c").json()["properties"]
    assert not {name for name in schema if name.startswith("a.b")}


def test_a_property_that_nobody_has_is_a_404(bench: Workbench) -> None:
    """As is one of a collection that does not exist."""
    assert bench.refused("DELETE", "/events/c/properties/zz") == (404, "ResourceNotFoundError")
    assert bench.refused("DELETE", "/events/none/properties/n") == (404, "ResourceNotFoundError")


def test_what_stands_in_a_list_is_no_property(bench: Workbench) -> None:
    """Even under a name that the database reads as the place in a list: 404, and the list stays."""
    bench.write({"n": 5, "a": [{"*": 1}]})
    assert bench.refused("DELETE", "/events/c/properties/a.0.*") == (404, "ResourceNotFoundError")
    assert bench.stored()[-1]["a"] in ([1], [{"*": 1}])


@pytest.mark.parametrize("path", ["keen.timestamp", "keen", "keen.id"])
def test_what_keen_keeps_of_an_event_cannot_be_deleted(bench: Workbench, path: str) -> None:
    """403, and the events are as they were."""
    assert bench.refused("DELETE", f"/events/c/properties/{path}") == (403, "RequestForbiddenError")
    assert _left(bench) == [1, 2, 3, 4]


def test_a_name_that_only_begins_like_keen_is_the_senders(bench: Workbench) -> None:
    """``keenness`` is a property like any other."""
    bench.write({"n": 5, "keenness": 1})
    assert _delete(bench, "c/properties/keenness") == 204


@pytest.mark.parametrize("key", ["R", "W"])
def test_only_the_master_key_deletes(bench: Workbench, key: str) -> None:
    """Events or a property."""
    for path in ("/events/c", "/events/c/properties/n"):
        assert bench.refused("DELETE", path, key=key) == (401, "AdminOnlyEndpointError")
    assert _left(bench) == [1, 2, 3, 4]
