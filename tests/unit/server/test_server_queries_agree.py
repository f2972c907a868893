"""Random queries over random events, through the API: the server agrees with a reference of plain Python."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keen_client.server import columns
from keen_client.server import engine as engine_module
from tests.unit.server.plain_reference import (
    aggregate,
    funnel,
    group_key,
    instant,
    key,
    members,
    parts_of,
    timeframe_of,
    zone_of,
)
from tests.unit.server.workbench import Workbench

#: Both changes of the clocks, in Europe and in the United States, lie in the days of the events.
FIRST: Final = datetime(2026, 10, 20, tzinfo=UTC)
DAYS: Final = 18
NOW: Final = datetime(2026, 11, 4, 10, 30, 7, tzinfo=UTC)
ZONES: Final = (None, 0, 5_400, -28_800, "Europe/Berlin", "US/Pacific", "Asia/Kolkata", "America/Sao_Paulo")

_SCALARS: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, 1, -1, 1.0, 0.5, -0.0, 2**53, 2**53 + 1, 10**18),
    *("1", "", "x", "xy", 'q"\\\u001b/é', "null", "[0, 2)"),
)
scalars = st.sampled_from(_SCALARS)
values: st.SearchStrategy[Any] = scalars | st.lists(scalars, max_size=3) | st.just({"z": 1})
moments = st.one_of(
    st.integers(0, DAYS * 24 * 4).map(lambda quarters: FIRST + timedelta(minutes=15 * quarters)),
    st.integers(0, DAYS * 86_400_000).map(lambda ms: FIRST + timedelta(milliseconds=ms)),
).map(lambda moment: moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"))
places = st.tuples(st.integers(-170, 170), st.integers(-80, 80)).map(list)
events: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "keen": st.fixed_dictionaries(
            {"timestamp": moments}, optional={"location": st.fixed_dictionaries({"coordinates": places})}
        )
    },
    optional={
        "a": values,
        "b": values,
        "n": st.integers(-5, 5) | st.floats(-5, 5),
        "q": st.fixed_dictionaries({}, optional={'"uo\\te': values}),
    },
)
paths = st.sampled_from(["a", "b", "n", 'q."uo\\te', "a.z", "zz"])


def _filter(path: st.SearchStrategy[str], operators: str, value: st.SearchStrategy[Any]) -> Any:
    return st.fixed_dictionaries(
        {
            "property_name": path,
            "operator": st.sampled_from(operators.split()),
            "property_value": value,
        }
    )


leaves = st.one_of(
    _filter(paths, "eq ne contains not_contains", scalars),
    _filter(paths, "in", st.lists(scalars, max_size=4)),
    _filter(paths, "lt lte gt gte", st.sampled_from([0, 1, 0.5, -1, "x", "xx", ""])),
    _filter(paths, "exists", st.booleans()),
    _filter(paths, "regex", st.sampled_from(["x", "^x$", "^$", "[a-z0-9]+", "(x|1)y?$", "é"])),
    _filter(st.just("keen.timestamp"), "eq ne lt lte gt gte", moments),
    _filter(
        st.just("keen.location.coordinates"),
        "within",
        st.fixed_dictionaries({"coordinates": places, "max_distance_miles": st.integers(0, 6_000)}),
    ),
)
filters: st.SearchStrategy[dict[str, Any]] = st.recursive(
    leaves,
    lambda inner: st.fixed_dictionaries(
        {"operator": st.sampled_from(["or", "and"]), "operands": st.lists(inner, min_size=1, max_size=3)}
    ),
    max_leaves=4,
)
absolute = (
    st.tuples(moments, moments)
    .filter(lambda pair: pair[0] != pair[1])
    .map(lambda pair: dict(zip(("start", "end"), sorted(pair, key=instant), strict=True)))
)
relative = st.builds(
    "{}_{}_{}s".format,
    st.sampled_from(["this", "previous"]),
    st.integers(1, 16),
    st.sampled_from(["hour", "day", "week", "month", "year"]),
)
chosen = st.fixed_dictionaries(
    {"timeframe": absolute | relative, "filters": st.lists(filters, max_size=2)},
    optional={"timezone": st.sampled_from(ZONES)},
)
#: By how many sub-timeframes they make of a timeframe; too many would be refused, which is tested elsewhere.
COARSE: Final = ("weekly", "monthly", "yearly", "every_3_weeks", "every_2_months", "every_1_years")
MIDDLE: Final = (*COARSE, "daily", "every_2_days")
FINE: Final = (*MIDDLE, "hourly", "every_7_hours", "every_90_minutes")
groups: st.SearchStrategy[Any] = paths | st.fixed_dictionaries(
    {"property_name": paths, "buckets": st.fixed_dictionaries({"size": st.sampled_from([2, 0.5])})}
)
KINDS: Final = (
    *("count", "count_unique", "sum", "minimum", "maximum", "average"),
    *("median", "percentile", "standard_deviation", "select_unique"),
)
percentiles = st.integers(1, 100) | st.sampled_from([0, 0.01, 33.33, 99.99])


@st.composite
def aggregations(draw: st.DrawFn) -> dict[str, Any]:
    """The parameters of a multi-analysis with every aggregation."""
    asked: dict[str, Any] = draw(chosen)
    target, percentile = draw(paths), draw(percentiles)
    asked["analyses"] = {
        kind: {"analysis_type": kind, "target_property": target, "percentile": percentile} for kind in KINDS
    }
    frame = asked["timeframe"]
    is_long = isinstance(frame, str) and not frame.endswith(("_hours", "_days"))
    fitting = FINE if not is_long else COARSE if frame.endswith("_years") else MIDDLE
    interval = draw(st.none() | st.sampled_from(fitting))
    if interval is not None:
        asked["interval"] = interval
    group_by = draw(st.lists(groups, max_size=2, unique_by=name_of))
    if group_by:
        asked["group_by"] = group_by
        orders = st.sampled_from(
            [*(kind for kind in KINDS if kind != "select_unique"), *map(name_of, group_by)]
        )
        directions = st.sampled_from(["ASC", "DESC"])
        order = st.fixed_dictionaries({"property_name": orders, "direction": directions})
        asked["order_by"] = draw(st.lists(order, max_size=2))
        if asked["order_by"]:
            asked["limit"] = draw(st.integers(1, 5))
    return asked


def name_of(group: Any) -> str:
    """The property of a group."""
    return str(group if isinstance(group, str) else group["property_name"])


@pytest.fixture(scope="module")
def bench() -> Iterator[Workbench]:
    """One server for all examples; each deletes its collection."""
    made = Workbench()
    made.clock.now_ms = round(NOW.timestamp() * 1_000)
    yield made
    made.store.close()


@pytest.fixture(scope="module", params=[0, 10**9], ids=["columns", "json"])
def shredded(request: pytest.FixtureRequest) -> Iterator[None]:
    """With columns for the properties that are asked for, and without."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_module, "SHRED_FROM_ROWS", request.param)
        if request.param:
            patch.setattr(columns, "EARLY_SHREDDED", 0)
        yield


def _fill(bench: Workbench, stored: list[dict[str, Any]]) -> None:
    bench.call("DELETE", "/events/c")
    assert all(result["success"] for result in bench.write(*stored))


def _ask(bench: Workbench, kind: str, parameters: dict[str, Any], *, by_get: bool) -> dict[str, Any]:
    parameters = {"event_collection": "c", **parameters}
    if by_get:
        texts = {
            name: value if isinstance(value, str) else orjson.dumps(value).decode()
            for name, value in parameters.items()
            if value is not None
        }
        reply = bench.call("GET", f"/queries/{kind}", key="R", params=texts)
    else:
        reply = bench.call("POST", f"/queries/{kind}", key="R", json=parameters)
    assert reply.status_code == 200, reply.text
    answered: dict[str, Any] = reply.json()
    return answered


def same(got: Any, wanted: Any) -> bool:
    """Equal, but for the last digits of a double."""
    if isinstance(wanted, set):
        return {key(value) for value in got} == wanted and len(got) == len(wanted)
    if wanted is None or got is None:
        return got is wanted
    return math.isclose(got, wanted, rel_tol=1e-9, abs_tol=1e-6)


def ranks(rows: list[dict[str, Any]], asked: dict[str, Any]) -> list[list[Any]]:
    """Where each row stands by the keys of order_by: null, then booleans, numbers, and all others by their text.

    A bucket stands where its lower bound does.
    """
    bucketed = {name_of(group) for group in asked["group_by"] if not isinstance(group, str)}

    def rank(name: str, value: Any) -> tuple[int, Any]:
        if name in bucketed and value is not None:
            return 2, float(value[1 : value.index(",")])
        kind = {"null": 0, "bool": 1, "number": 2}.get(key(value)[0], 3)
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
        return kind, (text if kind == 3 else value or 0)

    names = [order["property_name"] for order in asked["order_by"]]
    return [[rank(name, row[name]) for name in names] for row in rows]


def check_order(rows: list[dict[str, Any]], unordered: list[dict[str, Any]], asked: dict[str, Any]) -> None:
    """*rows* are the first ones of the *unordered*, in the order that was asked for."""
    wanted = ranks(unordered, asked)
    for at, order in reversed(list(enumerate(asked["order_by"]))):
        wanted.sort(key=lambda rank: rank[at], reverse=order["direction"] == "DESC")
    assert ranks(rows, asked) == wanted[: asked["limit"]]


def check_value(value: Any, asked: dict[str, Any], found: list[dict[str, Any]], known: set[Any]) -> None:
    """One sub-timeframe (or the whole): its rows, or its values, are those of the events *found* in it."""
    by = asked.get("group_by", [])
    rows = value if by else [value]
    keys = [tuple(key(row[name_of(group)]) for group in by) for row in rows]
    assert len(set(keys)) == len(keys) == min(len(known), asked.get("limit", len(known)))
    assert set(keys) <= known
    for row, row_key in zip(rows, keys, strict=True):
        inside = [event for event in found if tuple(group_key(event, group) for group in by) == row_key]
        for kind, analysis in asked["analyses"].items():
            assert same(row[kind], aggregate(analysis, inside)), (kind, row)


@settings(max_examples=40, deadline=None)
@given(stored=st.lists(events, min_size=1, max_size=12), asked=aggregations(), by_get=st.booleans())
def test_every_aggregation_agrees_with_the_reference(
    bench: Workbench, shredded: None, stored: list[dict[str, Any]], asked: dict[str, Any], by_get: bool
) -> None:
    """Filters, timeframes, timezones, intervals, groups, buckets, order and limit, by GET and by POST."""
    _fill(bench, stored)
    result = _ask(bench, "multi_analysis", asked, by_get=by_get)["result"]
    if asked.get("order_by"):
        unordered = {name: value for name, value in asked.items() if name not in ("order_by", "limit")}
        plain = _ask(bench, "multi_analysis", unordered, by_get=by_get)["result"]
        for part, all_rows in zip(result, plain, strict=True) if "interval" in asked else [(result, plain)]:
            if "interval" in asked:
                check_order(part["value"], all_rows["value"], asked)
            else:
                check_order(part, all_rows, asked)
    everything = members(stored, asked, NOW)
    zone = zone_of(asked.get("timezone"))
    start, end = timeframe_of(asked["timeframe"], zone, NOW)
    known = {tuple(group_key(event, group) for group in asked.get("group_by", ())) for event in everything}
    if "group_by" not in asked:
        known = {()}
    if "interval" not in asked:
        check_value(result, asked, everything, known)
        return
    bounds = parts_of(start, end, asked["interval"], zone)
    assert [instant(part["timeframe"]["start"]) for part in result] == bounds[:-1]
    assert [instant(part["timeframe"]["end"]) for part in result] == bounds[1:]
    for part, (first, last) in zip(result, pairwise(bounds), strict=True):
        inside = [event for event in everything if first <= instant(event["keen"]["timestamp"]) < last]
        check_value(part["value"], asked, inside, known)


def _plain(event: dict[str, Any]) -> bytes:
    keen = {name: value for name, value in event["keen"].items() if name not in ("id", "created_at")}
    return orjson.dumps({**event, "keen": keen}, option=orjson.OPT_SORT_KEYS)


@settings(max_examples=40, deadline=None)
@given(
    stored=st.lists(events, min_size=1, max_size=12),
    asked=chosen,
    latest=st.none() | st.integers(1, 5),
    by_get=st.booleans(),
)
def test_an_extraction_agrees_with_the_reference(
    bench: Workbench,
    shredded: None,
    stored: list[dict[str, Any]],
    asked: dict[str, Any],
    latest: int | None,
    by_get: bool,
) -> None:
    """The newest first, as they were sent; of equally old ones in any order."""
    _fill(bench, stored)
    result = _ask(bench, "extraction", {**asked, "latest": latest}, by_get=by_get)["result"]
    wanted = members(stored, asked, NOW)[::-1]
    times = [event["keen"]["timestamp"] for event in wanted]
    assert [event["keen"]["timestamp"] for event in result] == times[:latest]
    got = sorted(map(_plain, result))
    left = sorted(map(_plain, wanted))
    assert len(got) == len(left[:latest])
    for body in got:
        left.remove(body)


@settings(max_examples=40, deadline=None)
@given(stored=st.lists(events, min_size=1, max_size=12), data=st.data(), by_get=st.booleans())
def test_a_funnel_agrees_with_the_reference(
    bench: Workbench, shredded: None, stored: list[dict[str, Any]], data: st.DataObject, by_get: bool
) -> None:
    """Counts and actors of up to four steps, inverted and optional ones among them."""
    _fill(bench, stored)
    step = st.tuples(
        chosen,
        st.lists(paths, min_size=1, max_size=2, unique=True),
        st.fixed_dictionaries({}, optional={"inverted": st.booleans(), "optional": st.booleans()}),
    )
    drawn = data.draw(st.lists(step, min_size=1, max_size=4))
    steps = [
        {
            "event_collection": "c",
            **frame,
            "actor_property": actors,
            "with_actors": True,
            **(flags if at else {}),
        }
        for at, (frame, actors, flags) in enumerate(drawn)
    ]
    if any(len(step["actor_property"]) != len(steps[0]["actor_property"]) for step in steps):
        steps = steps[:1]
    reply = _ask(bench, "funnel", {"steps": steps}, by_get=by_get)
    wanted = funnel(stored, steps, NOW)
    assert reply["result"] == [len(actors) for actors in wanted]
    for given_step, got, actors in zip(steps, reply["actors"], wanted, strict=True):
        listed = got if len(given_step["actor_property"]) > 1 else [[value] for value in got]
        assert {tuple(key(value) for value in actor) for actor in listed} == actors


@settings(max_examples=20, deadline=None)
@given(stored=st.lists(events, min_size=1, max_size=12), asked=chosen)
def test_a_deletion_leaves_what_the_reference_does_not_choose(
    bench: Workbench, shredded: None, stored: list[dict[str, Any]], asked: dict[str, Any]
) -> None:
    """Timeframe, timezone and filters mean the same as in a query."""
    _fill(bench, stored)
    texts = {name: orjson.dumps(value).decode() for name, value in asked.items() if value is not None}
    assert bench.call("DELETE", "/events/c", params=texts).status_code == 204
    wide = {"timeframe": {"start": "2000-01-01T00:00:00Z", "end": "2100-01-01T00:00:00Z"}}
    result = _ask(bench, "extraction", wide, by_get=False)["result"]
    gone = {id(event) for event in members(stored, asked, NOW)}
    assert sorted(map(_plain, result)) == sorted(_plain(event) for event in stored if id(event) not in gone)
