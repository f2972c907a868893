"""The official client, PyPI keen 0.7.0, unchanged, against the local server: events, their schema, and queries.

Every test runs twice, with the client as an object and with the module's
functions. What a query answers is held against plain Python over the events
that were sent.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import attrs
import httpx
import pytest

from keen_client.server import LocalServer
from tests.contract.official import (
    CachedDatasetsInterface,
    KeenApiError,
    KeenClient,
    SavedQueriesInterface,
    keen,
    official_client,
    official_module,
)
from tests.contract.reckoning import ABSENT, TIMEFRAME, Reckoning, at_path, orders

ORDERS: Final = orders(seed=70, count=300)
WITHIN: Final = Reckoning(ORDERS).within(TIMEFRAME["start"], TIMEFRAME["end"])
#: Kinds of analysis with their parameters.
KINDS: Final[list[tuple[str, dict[str, Any]]]] = [
    ("count", {}),
    ("sum", {"target_property": "price_cents"}),
    ("minimum", {"target_property": "price_cents"}),
    ("maximum", {"target_property": "user.age"}),
    ("average", {"target_property": "price_cents"}),
    ("median", {"target_property": "price_cents"}),
    ("percentile", {"target_property": "price_cents", "percentile": 99.5}),
    ("percentile", {"target_property": "user.age", "percentile": 10}),
    ("count_unique", {"target_property": "user.id"}),
    ("select_unique", {"target_property": "item"}),
]
IDS: Final = [f"{kind} {given.get('target_property', '')}".strip() for kind, given in KINDS]


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    """A server that holds the orders, written by the official client."""
    with LocalServer() as running, official_client(running) as client:
        written = client.add_events({"orders": ORDERS})
        assert written == {"orders": [{"success": True}] * len(ORDERS)}
        yield running


@pytest.fixture(params=["object", "module"])
def client(server: LocalServer, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The official client."""
    with (official_client if request.param == "object" else official_module)(server) as made:
        yield made


def _expected(reckoning: Reckoning, kind: str, given: dict[str, Any]) -> Any:
    result = reckoning.answer(kind, given.get("target_property", ""), given.get("percentile", 50))
    return pytest.approx(result, rel=1e-12) if kind == "average" and result is not None else result


def _plain(kind: str, result: Any) -> Any:
    """A result in the form of a reckoning: the order of unique values is nobody's promise, nor is null among them."""
    return sorted(value for value in result if value is not None) if kind == "select_unique" else result


@pytest.mark.parametrize(("kind", "given"), KINDS, ids=IDS)
def test_each_analysis_answers_as_plain_python_does(client: Any, kind: str, given: dict[str, Any]) -> None:
    """Plainly, by day, by group, and by both: each value is that of the same events reckoned without a server."""
    ask: Callable[..., Any] = getattr(client, kind)
    given = {"timeframe": TIMEFRAME, **given}
    assert _plain(kind, ask("orders", **given)) == _expected(WITHIN, kind, given)
    for part, (timeframe, day) in zip(ask("orders", interval="daily", **given), WITHIN.daily(), strict=True):
        assert part["timeframe"] == timeframe
        assert _plain(kind, part["value"]) == _expected(day, kind, given)
    groups = WITHIN.by("item", "paid")
    rows = ask("orders", group_by=["item", "paid"], **given)
    assert len(rows) == len(groups)
    for row in rows:
        assert _plain(kind, row["result"]) == _expected(groups[row["item"], row["paid"]], kind, given)
    parts = ask("orders", group_by="item", interval="daily", timezone="UTC", **given)
    for part, (_, day) in zip(parts, WITHIN.daily(), strict=True):
        groups = day.by("item")
        assert {row["item"] for row in part["value"]} == {item for (item,) in WITHIN.by("item")}
        for row in part["value"]:
            group = groups.get((row["item"],), Reckoning([]))
            assert _plain(kind, row["result"]) == _expected(group, kind, given)


def _number_of(event: dict[str, Any], path: str) -> float | None:
    value = at_path(event, path)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _text_of(event: dict[str, Any], path: str) -> str | None:
    value = at_path(event, path)
    return value if isinstance(value, str) else None


FILTERS: Final[list[tuple[str, str, Any, Callable[[dict[str, Any]], bool]]]] = [
    ("item", "eq", "book", lambda event: event.get("item") == "book"),
    ("item", "ne", "book", lambda event: event.get("item") != "book"),
    ("item", "eq", 'a "b" & <c>', lambda event: event.get("item") == 'a "b" & <c>'),
    ("item", "in", ["pen", "Größe 三"], lambda event: event.get("item") in ("pen", "Größe 三")),
    ("item", "exists", False, lambda event: at_path(event, "item") is ABSENT),
    ("item", "contains", "oo", lambda event: "oo" in (_text_of(event, "item") or "")),
    ("item", "not_contains", "oo", lambda event: "oo" not in (_text_of(event, "item") or "")),
    ("price_cents", "gte", 500, lambda event: (_number_of(event, "price_cents") or -1) >= 500),
    ("price_cents", "lt", 500, lambda event: (_number_of(event, "price_cents") or 500) < 500),
    ("paid", "eq", True, lambda event: event["paid"] is True),
    ("tags", "eq", "gift", lambda event: "gift" in event.get("tags", [])),
    ("keen.timestamp", "gt", "2024-01-02T00:00:00.000Z", lambda e: e["keen"]["timestamp"] > "2024-01-02"),
]


@pytest.mark.parametrize(
    ("name", "operator", "value", "holds"), FILTERS, ids=[f"{row[0]} {row[1]} {row[2]}" for row in FILTERS]
)
def test_each_filter_leaves_the_events_that_plain_python_leaves(
    client: Any, name: str, operator: str, value: Any, holds: Callable[[dict[str, Any]], bool]
) -> None:
    """Alone, and beside a second one that must hold too."""
    first = {"property_name": name, "operator": operator, "property_value": value}
    second = {"property_name": "user.age", "operator": "lte", "property_value": 50}
    left = WITHIN.where(holds)
    if name == "keen.timestamp":
        left = left.where(lambda event: event["keen"]["timestamp"] != value)
    assert 0 < len(left.events) < len(WITHIN.events)
    assert client.count("orders", timeframe=TIMEFRAME, filters=[first]) == left.answer("count")
    both = left.where(lambda event: event["user"]["age"] <= 50)
    assert client.sum("orders", "price_cents", timeframe=TIMEFRAME, filters=[first, second]) == both.answer(
        "sum", "price_cents"
    )


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
def test_rows_come_in_order_and_only_so_many(client: Any, direction: str) -> None:
    """``order_by`` sorts by the result, ``limit`` keeps the first rows; each is a true row."""
    order = {"property_name": "result", "direction": direction}
    rows = client.count("orders", timeframe=TIMEFRAME, group_by="user.id", order_by=order, limit=4)
    counts = {user: group.answer("count") for (user,), group in WITHIN.by("user.id").items()}
    assert all(counts[row["user.id"]] == row["result"] for row in rows)
    assert [row["result"] for row in rows] == sorted(counts.values(), reverse=direction == "DESC")[:4]


def test_a_multi_analysis_names_its_values(client: Any) -> None:
    """Labels come back: plainly, by interval and by group, each with the value that plain Python has."""
    analyses = {
        "how many": {"analysis_type": "count"},
        "cents": {"analysis_type": "sum", "target_property": "price_cents"},
        "p90": {"analysis_type": "percentile", "target_property": "price_cents", "percentile": 90},
    }

    def expected(reckoning: Reckoning) -> dict[str, Any]:
        return {
            "how many": reckoning.answer("count"),
            "cents": reckoning.answer("sum", "price_cents"),
            "p90": reckoning.answer("percentile", "price_cents", 90),
        }

    given: dict[str, Any] = {"analyses": analyses, "timeframe": TIMEFRAME}
    assert client.multi_analysis("orders", **given) == expected(WITHIN)
    parts = client.multi_analysis("orders", interval="daily", group_by="item", **given)
    for part, (_, day) in zip(parts, WITHIN.daily(), strict=True):
        groups = day.by("item")
        for row in part["value"]:
            group = groups.get((row.pop("item"),), Reckoning([]))
            assert row == expected(group)


def test_an_extraction_is_newest_first_and_can_be_narrowed(client: Any) -> None:
    """Complete events, with what the server adds; ``latest`` and ``property_names``, a string or a list."""
    events = client.extraction("orders", timeframe=TIMEFRAME)
    times = [event["keen"]["timestamp"] for event in events]
    assert times == sorted(times, reverse=True)
    for event in events:
        assert len(event["keen"].pop("id")) == 24
        assert event["keen"].pop("created_at")
    assert sorted(events, key=lambda event: event["number"]) == list(WITHIN.events)
    some = client.extraction("orders", timeframe=TIMEFRAME, latest=7, property_names=["number", "user.id"])
    assert len(some) == 7
    assert all(row == {"number": row["number"], "user": {"id": _user(row["number"])}} for row in some)
    some = client.extraction("orders", timeframe=TIMEFRAME, latest=3, property_names="number")
    assert [set(row) for row in some] == [{"number"}] * 3


def _user(number: int) -> str:
    return str(ORDERS[number]["user"]["id"])


def test_a_funnel_counts_the_actors_that_are_left(client: Any) -> None:
    """Each step keeps who did it too; inverted keeps who did not; optional keeps nobody out of the next one."""

    def step(item: str, **more: Any) -> dict[str, Any]:
        return {
            "event_collection": "orders",
            "actor_property": "user.id",
            "timeframe": TIMEFRAME,
            "filters": [{"property_name": "item", "operator": "eq", "property_value": item}],
            **more,
        }

    def who(item: str) -> set[Any]:
        return WITHIN.where(lambda event: event.get("item") == item).actors("user.id")

    steps = [step("book"), step("pen"), step("mug")]
    left = [who("book"), who("book") & who("pen"), who("book") & who("pen") & who("mug")]
    assert client.funnel(steps) == [len(actors) for actors in left]
    steps = [step("book", with_actors=True), step("pen", optional=True), step("mug", inverted=True)]
    document = client.funnel(steps, all_keys=True)
    stayed = who("book") - who("mug")
    assert document["result"] == [len(who("book")), len(who("book") & who("pen")), len(stayed)]
    assert set(document["actors"][0]) == who("book")
    assert document["actors"][1:] == [None, None]
    assert [shown["event_collection"] for shown in document["steps"]] == ["orders"] * 3


def test_single_events_and_relative_timeframes(client: Any) -> None:
    """An event of now is in this day and the last; one with a timestamp of the past is not."""
    collection = f"visits {_face(client)}"
    client.add_event(collection, {"page": "a"})
    client.add_event(collection, {"page": "b"}, timestamp=datetime(2024, 1, 1, tzinfo=UTC))
    client.add_event(collection, {"page": "c"}, timestamp=datetime(2024, 1, 1, 12, 30, 1, 5_999))
    assert client.count(collection, timeframe="this_2_days") == 1
    assert client.count(collection, timeframe="today", timezone=3_600, max_age=300, filters=[]) <= 1
    assert client.count(collection, timeframe="previous_100_years") >= 2
    dated = client.extraction(collection, timeframe={"start": "2024-01-01", "end": "2024-01-02"})
    assert [event["keen"]["timestamp"] for event in dated] == [
        "2024-01-01T12:30:01.005Z",
        "2024-01-01T00:00:00.000Z",
    ]


def test_schemas_name_every_property_with_its_type(client: Any) -> None:
    """One collection's and all collections': flat paths, and the types of the values."""
    properties = client.get_collection("orders")["properties"]
    assert (
        properties.items()
        >= {
            "number": "num",
            "item": "string",
            "user.id": "string",
            "user.age": "num",
            "paid": "bool",
            "tags": "array",
            "keen.timestamp": "datetime",
        }.items()
    )
    (listed,) = [found for found in client.get_all_collections() if found["name"] == "orders"]
    assert listed["properties"] == properties


def test_deleting_takes_exactly_the_events_that_match(client: Any) -> None:
    """By timeframe and filters; what is left is what plain Python leaves; without either, the collection is gone."""
    collection = f"doomed {_face(client)}"
    client.add_events({collection: ORDERS})
    books = [{"property_name": "item", "operator": "eq", "property_value": "book"}]
    assert client.delete_events(collection, timeframe=TIMEFRAME, timezone=0, filters=books) is True
    wide = {"start": "2023-01-01T00:00:00Z", "end": "2025-01-01T00:00:00Z"}
    gone = {event["number"] for event in WITHIN.events if event.get("item") == "book"}
    left = client.select_unique(collection, "number", timeframe=wide)
    assert set(left) == {event["number"] for event in ORDERS} - gone
    assert client.delete_events(collection) is True
    with pytest.raises(KeenApiError, match="ResourceNotFoundError"):
        client.get_collection(collection)


def test_an_image_beacon_records(server: LocalServer) -> None:
    """The URL that the client makes, unescaped base64 and all, stores its event; the key has to be bytes."""
    with official_client(server, write_key=server.write_key.encode()) as client, official_module(server):
        at = datetime(2024, 1, 1, 1, 2, 3, tzinfo=UTC)
        urls = [client.generate_image_beacon("beacons", {"text": "é>?~ÿþ"}, timestamp=at)]
        keen.write_key = server.write_key.encode()
        urls.append(keen.generate_image_beacon("beacons", {"text": "三"}, timestamp=at))
        for url in urls:
            response = httpx.get(url, headers={"accept": "image/png,image/*"})
            assert (response.status_code, response.headers["content-type"]) == (200, "image/gif")
        stored = client.extraction("beacons", timeframe=TIMEFRAME)
    assert {event["text"] for event in stored} == {"é>?~ÿþ", "三"}
    assert {event["keen"]["timestamp"] for event in stored} == {"2024-01-01T01:02:03.000Z"}


def test_errors_reach_the_client_by_name(client: Any, server: LocalServer) -> None:
    """Both ``message`` and ``error_code`` are there, or the client would crash; a refused event of a batch is told."""
    with pytest.raises(KeenApiError, match="ResourceNotFoundError"):
        client.count("nowhere", timeframe="today")
    with pytest.raises(KeenApiError, match="InvalidPropertyNameError"):
        client.add_event("orders", {"a.b": 1})
    with pytest.raises(KeenApiError, match="timeframe is required"):
        client.count("orders")
    told = client.add_events({"refusals": [{"$a": 1}, {"a": 1}]})["refusals"]
    assert [result["success"] for result in told] == [False, True]
    assert told[0]["error"]["name"] == "InvalidPropertyNameError"
    with official_client(server, write_key="nobody", read_key="nobody", master_key="nobody") as stranger:
        calls: list[Callable[[], Any]] = [
            lambda: stranger.add_event("orders", {"a": 1}),
            lambda: stranger.count("orders", timeframe=TIMEFRAME),
            lambda: stranger.delete_events("orders"),
        ]
        for call in calls:
            with pytest.raises(KeenApiError, match="InvalidApiKeyError"):
                call()


def _face(client: Any) -> str:
    return "object" if isinstance(client, KeenClient) else "module"


#: What makes no request: the check of the project id, and what every query encodes its parameters with.
LOCAL: Final = {"check_project_id", "get_params"}


@attrs.frozen
class Named:
    """What the tests of the official client call, and name in their tables."""

    attributes: frozenset[str]
    words: frozenset[str]

    @classmethod
    def in_tests(cls) -> Named:
        attributes, words = set(), set()
        for path in Path(__file__).parent.glob("test_keen_070_*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Attribute):
                    inner = f"{node.value.attr}." if isinstance(node.value, ast.Attribute) else ""
                    attributes |= {node.attr, f"{inner}{node.attr}"}
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    words.add(node.value)
        return cls(frozenset(attributes), frozenset(words))


def test_no_method_of_the_official_client_is_left_out() -> None:
    """Each public method, of saved queries and datasets too, and each function of the module is called by a test."""

    def public(thing: object) -> set[str]:
        return {name for name, _ in inspect.getmembers(thing, inspect.isroutine) if not name.startswith("_")}

    named = Named.in_tests()
    assert public(KeenClient) - LOCAL <= named.attributes | named.words
    assert {f"saved_queries.{name}" for name in public(SavedQueriesInterface)} <= named.attributes
    assert {f"cached_datasets.{name}" for name in public(CachedDatasetsInterface)} <= named.attributes
    assert public(keen) <= public(KeenClient)
