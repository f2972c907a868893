"""Random queries over random events: the engine agrees with a reference of plain Python."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from typing import Any, Final

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR, ms_to_iso
from keen_client.server import engine as engine_module
from keen_client.server.analysis import answer
from keen_client.server.engine import Engine
from keen_client.server.query import parse_query
from keen_client.server.tail import Entry

START_MS: Final = 1_790_812_800_000
DAYS: Final = 3
MISSING: Final = object()

scalars: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        True,
        False,
        0,
        1,
        -1,
        1.0,
        0.5,
        -0.0,
        2**53,
        2**53 + 1,
        10**18,
        "1",
        "",
        "x",
        "xy",
        'q"\\\u001b/é',
        "null",
    ]
)
values: st.SearchStrategy[Any] = scalars | st.lists(scalars, max_size=3) | st.just({"z": 1})
events: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"at": st.integers(0, DAYS * 24 - 1)},
    optional={
        "a": values,
        "b": values,
        "n": st.integers(-5, 5) | st.floats(-5, 5),
        "q": st.fixed_dictionaries({}, optional={'"uo\\te': values}),
    },
)
paths = st.sampled_from(["a", "b", "n", 'q."uo\\te', "a.z", "zz"])
leaves: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.fixed_dictionaries(
        {
            "property_name": paths,
            "operator": st.sampled_from(["eq", "ne", "contains", "not_contains"]),
            "property_value": scalars,
        }
    ),
    st.fixed_dictionaries(
        {"property_name": paths, "operator": st.just("in"), "property_value": st.lists(scalars, max_size=4)}
    ),
    st.fixed_dictionaries(
        {
            "property_name": paths,
            "operator": st.sampled_from(["lt", "lte", "gt", "gte"]),
            "property_value": st.sampled_from([0, 1, 0.5, -1, "x", "xx", ""]),
        }
    ),
    st.fixed_dictionaries(
        {"property_name": paths, "operator": st.just("exists"), "property_value": st.booleans()}
    ),
)
filters: st.SearchStrategy[dict[str, Any]] = st.recursive(
    leaves,
    lambda inner: st.fixed_dictionaries(
        {"operator": st.sampled_from(["or", "and"]), "operands": st.lists(inner, min_size=1, max_size=3)}
    ),
    max_leaves=4,
)
KINDS: Final = (
    "count",
    "count_unique",
    "sum",
    "minimum",
    "maximum",
    "average",
    "median",
    "percentile",
    "standard_deviation",
    "select_unique",
)
queries: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"filters": st.lists(filters, max_size=2), "group_by": st.lists(paths, max_size=2, unique=True)},
    optional={"interval": st.sampled_from(["hourly", "daily", "every_7_hours"])},
)


def resolve(event: dict[str, Any], path: str) -> Any:
    """The value at *path*, or MISSING."""
    node: Any = event
    for name in path.split("."):
        if not isinstance(node, dict) or name not in node:
            return MISSING
        node = node[name]
    return node


def key(value: Any) -> Any:
    """Something to compare values of JSON by: type first, numbers by value."""
    if value is MISSING or value is None:
        return ("null",)
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, (int, float)):
        return ("number", value)
    return (type(value).__name__, orjson.dumps(value))


def holds(item: dict[str, Any], event: dict[str, Any]) -> bool:
    """Whether a filter selects an event."""
    operator = item["operator"]
    if operator in ("or", "and"):
        return {"or": any, "and": all}[operator](holds(operand, event) for operand in item["operands"])
    value, wanted = resolve(event, item["property_name"]), item["property_value"]
    if operator == "exists":
        return (value is not MISSING) is wanted
    if operator == "ne":
        return not holds({**item, "operator": "eq"}, event)
    if operator == "not_contains":
        return not holds({**item, "operator": "contains"}, event)
    if operator == "in":
        return any(holds({**item, "operator": "eq", "property_value": one}, event) for one in wanted)
    if operator == "eq":
        in_list = wanted is not None and isinstance(value, list) and key(wanted) in map(key, value)
        return key(value) == key(wanted) or in_list
    if operator == "contains":
        if isinstance(value, list):
            return key(wanted) in map(key, value)
        return isinstance(value, str) and isinstance(wanted, str) and wanted in value
    if key(value)[0] != key(wanted)[0] or value is MISSING:
        return False
    compared: dict[str, bool] = {
        "lt": value < wanted,
        "lte": value <= wanted,
        "gt": value > wanted,
        "gte": value >= wanted,
    }
    return compared[operator]


def aggregate(kind: str, target: str, chosen: list[dict[str, Any]]) -> Any:
    """One analysis over the chosen events; unordered results come back as sets."""
    found = [resolve(event, target) for event in chosen]
    if kind == "count":
        return len(chosen)
    present = {key(value) for value in found if value is not MISSING and value is not None}
    if kind == "count_unique":
        return len(present)
    if kind == "select_unique":
        return present
    numbers = sorted(float(v) for v in found if isinstance(v, (int, float)) and not isinstance(v, bool))
    if kind == "sum":
        return math.fsum(numbers)
    if not numbers:
        return None
    if kind in ("median", "percentile"):
        share = 0.5 if kind == "median" else 0.9
        return numbers[max(1, math.ceil(share * len(numbers))) - 1]
    return {
        "minimum": numbers[0],
        "maximum": numbers[-1],
        "average": math.fsum(numbers) / len(numbers),
        "standard_deviation": statistics.pstdev(numbers),
    }[kind]


def parts_of(interval: str | None) -> Iterator[tuple[int, int]]:
    """The sub-timeframes, in hours from the start."""
    step = {None: DAYS * 24, "hourly": 1, "daily": 24, "every_7_hours": 7}[interval]
    for hour in range(0, DAYS * 24, step):
        yield hour, min(hour + step, DAYS * 24)


def same(got: Any, wanted: Any) -> bool:
    """Equal, but for the last digits of a double."""
    if isinstance(wanted, set):
        return {key(value) for value in got} == wanted and len(got) == len(wanted)
    if wanted is None or got is None:
        return got is wanted
    return math.isclose(got, wanted, rel_tol=1e-9, abs_tol=1e-6)


@pytest.fixture(scope="module")
def shared_engine() -> Iterator[Engine]:
    """One database for all examples; each drops its collection."""
    engine = Engine(None)
    yield engine
    engine.close()


@pytest.mark.parametrize("shred_from_rows", [0, 10**9], ids=["columns", "json"])
@settings(max_examples=60)
@given(data=st.data())
def test_the_engine_agrees_with_the_reference(
    shared_engine: Engine, shred_from_rows: int, data: st.DataObject
) -> None:
    """Filters, groups, intervals and all analyses, with shredded columns and without."""
    stored = data.draw(st.lists(events, min_size=1, max_size=12))
    given_query = data.draw(queries)
    target = data.draw(paths)
    analyses = {kind: {"analysis_type": kind, "target_property": target, "percentile": 90} for kind in KINDS}
    body = {
        **given_query,
        "event_collection": "c",
        "analyses": analyses,
        "timeframe": {"start": ms_to_iso(START_MS), "end": ms_to_iso(START_MS + DAYS * MS_PER_DAY)},
    }
    engine = shared_engine
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_module, "SHRED_FROM_ROWS", shred_from_rows)
        if engine.has("c"):
            engine.drop("c")
        engine.insert(
            [
                Entry(
                    seq, "c", START_MS + event["at"] * MS_PER_HOUR, 0, 0, None, orjson.dumps(event).decode()
                )
                for seq, event in enumerate(stored, start=1)
            ]
        )
        reply = orjson.loads(answer(engine, parse_query("multi_analysis", body, 0), now_ms=0))["result"]
    chosen = [event for event in stored if all(holds(item, event) for item in given_query["filters"])]
    group_by = given_query["group_by"]
    groups = {tuple(key(resolve(event, path)) for path in group_by) for event in chosen} if group_by else {()}
    interval = given_query.get("interval")
    replies = [part["value"] for part in reply] if interval else [reply]
    expected_parts = list(parts_of(interval))
    assert len(replies) == len(expected_parts)
    for part, (first, last) in zip(replies, expected_parts, strict=True):
        rows = part if group_by else [part]
        assert {tuple(key(row[path]) for path in group_by) for row in rows} == groups
        assert len(rows) == len(groups)
        for row in rows:
            group = tuple(key(row[path]) for path in group_by)
            members = [
                event
                for event in chosen
                if first <= event["at"] < last
                and (not group_by or tuple(key(resolve(event, path)) for path in group_by) == group)
            ]
            for kind in KINDS:
                assert same(row[kind], aggregate(kind, target, members)), (kind, row)
