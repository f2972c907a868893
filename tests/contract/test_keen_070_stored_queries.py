"""The official client, PyPI keen 0.7.0, unchanged: saved queries and cached datasets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from keen_client.server import LocalServer
from tests.contract.official import KeenApiError, official_client
from tests.contract.reckoning import TIMEFRAME, Reckoning, orders

ORDERS: Final = orders(seed=72, count=200)
WITHIN: Final = Reckoning(ORDERS).within(TIMEFRAME["start"], TIMEFRAME["end"])
BOOKS: Final = [{"property_name": "item", "operator": "eq", "property_value": "book"}]
QUERY: Final = {
    "analysis_type": "sum",
    "event_collection": "orders",
    "target_property": "price_cents",
    "timeframe": TIMEFRAME,
}


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    """A server that holds the orders."""
    with LocalServer() as running, official_client(running) as client:
        client.add_events({"orders": ORDERS})
        yield running


@pytest.fixture
def client(server: LocalServer) -> Iterator[Any]:
    """The official client."""
    with official_client(server) as made:
        yield made


def test_a_saved_query_is_made_listed_shown_and_deleted(client: Any) -> None:
    """Under its name, with its definition, until it is gone."""
    definition = {"query": QUERY, "refresh_rate": 0, "metadata": {"display_name": "Turnover"}}
    made = client.saved_queries.create("turnover", definition)
    assert made["query_name"] == "turnover"
    assert made["metadata"] == {"display_name": "Turnover"}
    assert made["query"].items() >= QUERY.items()
    assert client.saved_queries.get("turnover") == made
    assert client.saved_queries.all() == [made]
    assert client.saved_queries.delete("turnover") is True
    assert client.saved_queries.all() == []
    with pytest.raises(KeenApiError, match="ResourceNotFoundError"):
        client.saved_queries.get("turnover")


def test_results_are_those_of_the_query_itself(client: Any) -> None:
    """A sum, groups over days, and a multi-analysis: what plain Python has, beside the definition."""
    grouped = {**QUERY, "group_by": ["paid"], "interval": "daily"}
    several = {
        "analysis_type": "multi_analysis",
        "event_collection": "orders",
        "timeframe": TIMEFRAME,
        "analyses": {"n": {"analysis_type": "count"}},
    }
    for name, query in (("plain", QUERY), ("grouped", grouped), ("several", several)):
        client.saved_queries.create(name, {"query": query, "refresh_rate": 0})
    plain = client.saved_queries.results("plain")
    assert plain["query_name"] == "plain"
    assert plain["result"] == WITHIN.answer("sum", "price_cents")
    parts = client.saved_queries.results("grouped")["result"]
    for part, (timeframe, day) in zip(parts, WITHIN.daily(), strict=True):
        assert part["timeframe"] == timeframe
        assert {row["paid"]: row["result"] for row in part["value"]} == {
            paid: group.answer("sum", "price_cents") for (paid,), group in day.by("paid").items()
        }
    assert client.saved_queries.results("several")["result"] == {"n": WITHIN.answer("count")}
    for name in ("plain", "grouped", "several"):
        assert client.saved_queries.delete(name) is True


def test_a_saved_funnel_holds_its_whole_answer(client: Any) -> None:
    """Steps and results, where the client's user finds them."""
    step = {"event_collection": "orders", "actor_property": "user.id", "timeframe": TIMEFRAME}
    query = {"analysis_type": "funnel", "steps": [step, {**step, "filters": BOOKS}]}
    client.saved_queries.create("path", {"query": query, "refresh_rate": 0})
    answer = client.saved_queries.results("path")["result"]
    books = WITHIN.where(lambda event: event.get("item") == "book")
    assert answer["result"] == [len(WITHIN.actors("user.id")), len(books.actors("user.id"))]
    assert client.saved_queries.delete("path") is True


def test_an_update_changes_what_it_names_and_keeps_the_rest(client: Any) -> None:
    """`update` merges into what is there, a new name included; `update_full` replaces everything."""
    definition = {"query": QUERY, "refresh_rate": 0, "metadata": {"display_name": "Turnover", "tags": ["a"]}}
    made = client.saved_queries.create("turnover", definition)
    told = client.saved_queries.update(
        "turnover", {"query": {"filters": BOOKS}, "metadata": {"tags": ["b"]}, "query_name": "books-turnover"}
    )
    assert told["query_name"] == "books-turnover"
    assert told["query"] == {**made["query"], "filters": BOOKS}
    assert told["metadata"] == {"display_name": "Turnover", "tags": ["b"]}
    books = WITHIN.where(lambda event: event.get("item") == "book")
    assert client.saved_queries.results("books-turnover")["result"] == books.answer("sum", "price_cents")
    told = client.saved_queries.update_full(
        "books-turnover", {"query": {**QUERY, "analysis_type": "maximum"}, "refresh_rate": 0}
    )
    assert not told["metadata"]
    assert not told["query"]["filters"]
    assert client.saved_queries.results("books-turnover")["result"] == WITHIN.answer("maximum", "price_cents")
    assert [found["query_name"] for found in client.saved_queries.all()] == ["books-turnover"]
    assert client.saved_queries.delete("books-turnover") is True


def test_a_cached_query_shows_when_it_was_computed(client: Any, server: LocalServer) -> None:
    """With a refresh rate it keeps its result: an event that comes later is not in it yet."""
    client.add_event("ticks", {"n": 1})
    query = {"analysis_type": "count", "event_collection": "ticks", "timeframe": "this_2_days"}
    client.saved_queries.create("ticks", {"query": query, "refresh_rate": 14_400})
    assert client.saved_queries.results("ticks")["result"] == 1
    client.add_event("ticks", {"n": 2})
    assert client.count("ticks", timeframe="this_2_days") == 2
    told = client.saved_queries.results("ticks")
    assert (told["result"], told["refresh_rate"]) == (1, 14_400)
    assert told["run_information"]
    assert client.saved_queries.delete("ticks") is True


def test_a_dataset_is_made_listed_shown_and_deleted(client: Any) -> None:
    """Under its name, with its index as a list, until it is gone."""
    query = {**QUERY, "interval": "daily"}
    made = client.cached_datasets.create("by-user", query, "user.id", "Turnover by user")
    assert (made["dataset_name"], made["display_name"]) == ("by-user", "Turnover by user")
    assert made["index_by"] == ["user.id"]
    assert client.cached_datasets.get("by-user") == made
    listed = client.cached_datasets.all()
    assert (listed["datasets"], listed["count"]) == ([made], 1)
    assert client.cached_datasets.delete("by-user") is True
    assert client.cached_datasets.all()["datasets"] == []
    with pytest.raises(KeenApiError, match="ResourceNotFoundError"):
        client.cached_datasets.get("by-user")


def test_a_datasets_results_are_those_of_one_index_value(client: Any) -> None:
    """A bare value where there is one index property, an object where there are two; each day as plain Python has it."""
    query = {**QUERY, "interval": "daily"}
    client.cached_datasets.create("by-user", query, ["user.id"], "By user")
    client.cached_datasets.create("by-both", query, ["user.id", "paid"], "By both")
    for user in sorted(WITHIN.actors("user.id")):
        own = WITHIN.by("user.id")[user,]
        told = client.cached_datasets.results("by-user", user, TIMEFRAME)["result"]
        assert [(part["timeframe"], part["value"]) for part in told] == [
            (timeframe, day.answer("sum", "price_cents")) for timeframe, day in own.daily()
        ]
        paid = own.where(lambda event: event["paid"])
        told = client.cached_datasets.results("by-both", {"user.id": user, "paid": True}, TIMEFRAME)["result"]
        assert [part["value"] for part in told] == [
            day.answer("sum", "price_cents") for _, day in paid.daily()
        ]
    for name in ("by-user", "by-both"):
        assert client.cached_datasets.delete(name) is True


def test_reading_needs_no_master_key_and_changing_does(server: LocalServer) -> None:
    """With the read key alone results can be read, and nothing can be made, changed or deleted."""
    with official_client(server) as owner:
        owner.saved_queries.create("mine", {"query": QUERY, "refresh_rate": 0})
        owner.cached_datasets.create("mine", {**QUERY, "interval": "daily"}, "user.id", "Mine")
    with official_client(server, master_key=server.read_key) as reader:
        assert reader.saved_queries.results("mine")["result"] == WITHIN.answer("sum", "price_cents")
        assert reader.cached_datasets.get("mine")["dataset_name"] == "mine"
        calls: list[Callable[[], Any]] = [
            lambda: reader.saved_queries.create("mine", {"query": QUERY, "refresh_rate": 0}),
            lambda: reader.saved_queries.delete("mine"),
            lambda: reader.cached_datasets.delete("mine"),
        ]
        for call in calls:
            with pytest.raises(KeenApiError, match="AdminOnlyEndpointError"):
                call()
    with official_client(server) as owner:
        assert owner.saved_queries.delete("mine") is True
        assert owner.cached_datasets.delete("mine") is True
