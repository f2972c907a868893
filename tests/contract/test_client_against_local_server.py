"""Every call of the administration by both clients, against the local server: what one asks the other answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, assert_type

import httpx
import pytest

from keen_client import (
    AccessKey,
    AsyncKeenClient,
    AuthenticationError,
    CollectionSchema,
    Dataset,
    ForbiddenError,
    InvalidRequestError,
    KeenClient,
    NotFoundError,
    SavedQuery,
    scoped_keys,
)
from keen_client.queries import Analysis
from keen_client.server import LocalServer

DAY = datetime(2026, 10, 1, tzinfo=UTC)
SPAN = {"start": "2026-10-01T00:00:00Z", "end": "2026-10-02T00:00:00Z"}
#: (item, user, hour)
SALES = [("book", "u1", 0), ("book", "u2", 1), ("pen", "u1", 2), ("ink", "u3", 3)]


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    """One server for all."""
    with LocalServer(seed=1) as server:
        yield server


def _settings(server: LocalServer, log: Path, **changes: Any) -> dict[str, Any]:
    return {
        "project_id": server.project_id,
        "write_key": server.write_key,
        "read_key": server.read_key,
        "master_key": server.master_key,
        "base_url": server.url,
        "log": log,
        "background": False,
        **changes,
    }


@pytest.fixture(scope="module")
def keen(server: LocalServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeenClient]:
    """A client whose few sales have arrived."""
    with KeenClient(**_settings(server, tmp_path_factory.mktemp("keen") / "log")) as client:
        for item, user, hour in SALES:
            client.add_event("sales", {"item": item, "user": {"id": user}}, DAY + timedelta(hours=hour))
        assert client.flush().acknowledged == len(SALES)
        yield client


def _step(item: str, **more: Any) -> dict[str, Any]:
    filters = [{"property_name": "item", "operator": "eq", "property_value": item}]
    return {"event_collection": "sales", "actor_property": "user.id", "filters": filters, **more}


def test_funnels(keen: KeenClient) -> None:
    """Actors in each step and all before; inverted, optional and with their names."""
    assert keen.funnel([_step("book"), _step("pen")], SPAN) == [2, 1]
    assert keen.funnel([_step("book"), _step("pen", inverted=True)], SPAN) == [2, 1]
    assert keen.funnel([_step("book"), _step("ink", optional=True), _step("pen")], SPAN) == [2, 0, 1]
    body = keen.funnel([_step("book", with_actors=True), _step("pen")], SPAN, all_keys=True)
    assert body["result"] == [2, 1]
    assert sorted(body["actors"][0]) == ["u1", "u2"]
    assert body["actors"][1] is None
    assert len(body["steps"]) == 2


def test_metadata_and_buckets(keen: KeenClient) -> None:
    """What a query cost, beside its result; and groups of numbers by size."""
    counted = Analysis(analysis_type="count", event_collection="sales", timeframe=SPAN, include_metadata=True)
    body = keen.query(counted, all_keys=True)
    assert (body["result"], body["execution_metadata"]["events_scanned"]) == (4, 4)
    keen.add_events({"scores": [{"n": n, "keen": {"timestamp": DAY}} for n in (1, 2, 12)]})
    keen.flush()
    rows = keen.count("scores", SPAN, group_by={"property_name": "n", "buckets": {"size": 10}})
    assert sorted(row["result"] for row in rows) == [1, 2]


def test_schemas_and_the_project(keen: KeenClient, server: LocalServer) -> None:
    """Collections, one property, the project with its key masked, and the API's versions."""
    schema = keen.get_collection("sales")
    assert_type(schema, CollectionSchema)
    assert schema["properties"]["user.id"] == "string"
    everything = keen.get_all_collections()
    assert_type(everything, list[CollectionSchema])
    assert "sales" in {each.get("name") for each in everything}
    assert keen.get_property("sales", "user.id")["type"] == "string"
    project = keen.get_project()
    assert project["id"] == server.project_id
    assert project["api_key"].reveal() == server.master_key
    assert server.master_key not in repr(project)
    assert [each["id"] for each in keen.get_projects()] == [server.project_id]
    assert "3.0" in {each["version"] for each in keen.get_versions()}
    assert keen.get_query_links()["count_url"].endswith("/queries/count")
    with pytest.raises(NotFoundError):
        keen.get_collection("never_seen")


def test_a_property_is_deleted_from_all_events(keen: KeenClient) -> None:
    """It is gone from the answers; the log has it still."""
    keen.add_event("doomed", {"a": 1, "b": 2}, DAY)
    keen.flush()
    assert keen.delete_property("doomed", "b") is True
    (event,) = keen.extraction("doomed", SPAN)
    assert (event["a"], "b" in event) == (1, False)
    assert [entry.event["b"] for entry in keen.log.entries("doomed")] == [2]
    with pytest.raises(ForbiddenError, match="nothing was deleted"):
        keen.delete_property("doomed", "keen.timestamp")


def test_events_are_updated_where_they_match(keen: KeenClient) -> None:
    """A property where it is, and with upsert where it is not; the log keeps what was recorded."""
    keen.add_events(
        {"plans": [{"n": 1, "user": {"plan": "free"}}, {"n": 2}, {"n": 3, "user": {"plan": "free"}}]}
    )
    keen.flush()
    odd = [{"property_name": "n", "operator": "ne", "property_value": 3}]
    assert keen.update_events("plans", {"user.plan": "pro"}, filters=odd) == 1
    assert keen.update_events("plans", {"user.plan": "trial"}, "this_1_days", filters=odd, upsert=True) == 2
    plans = {event["n"]: event["user"]["plan"] for event in keen.extraction("plans", "this_1_days")}
    assert plans == {1: "trial", 2: "trial", 3: "free"}
    assert [entry.event.get("user") for entry in keen.log.entries("plans")] == [
        {"plan": "free"},
        None,
        {"plan": "free"},
    ]
    with pytest.raises(NotFoundError, match="nothing was updated"):
        keen.update_events("never_seen", {"n": 1})


def test_the_life_of_an_access_key(keen: KeenClient, server: LocalServer, tmp_path: Path) -> None:
    """Made, found, changed part by part, used, revoked and given back, deleted."""
    made = keen.create_access_key(
        "Bob", permitted=["queries"], options={"queries": {"filters": _step("book")["filters"]}}
    )
    assert_type(made, AccessKey)
    key = made["key"]
    assert keen.get_access_key(key) == made
    assert keen.list_access_keys(name="Bob") == [made]
    assert keen.list_access_keys(name="Nobody") == []
    with KeenClient(**_settings(server, tmp_path / "log", read_key=key)) as bob:
        assert bob.count("sales", SPAN) == 2  # the key's own filter
        assert keen.revoke_access_key(key)["is_active"] is False
        with pytest.raises(AuthenticationError):
            bob.count("sales", SPAN)
        assert keen.unrevoke_access_key(key)["is_active"] is True
        assert keen.update_access_key_options(key, {})["options"].get("queries") in (None, {})
        assert bob.count("sales", SPAN) == 4
        assert keen.update_access_key_permissions(key, ["schema"])["permitted"] == ["schema"]
        with pytest.raises(ForbiddenError):
            bob.count("sales", SPAN)
    assert keen.add_access_key_permissions(key, ["writes", "schema"])["permitted"] == ["schema", "writes"]
    assert keen.remove_access_key_permissions(key, ["schema"])["permitted"] == ["writes"]
    renamed = keen.update_access_key_name(key, "Robert")
    assert (renamed["name"], renamed["permitted"], renamed["key"]) == ("Robert", ["writes"], key)
    full = keen.update_access_key_full(key, "R", False, ["queries"], {})
    assert (full["name"], full["is_active"], full["permitted"]) == ("R", False, ["queries"])
    assert keen.delete_access_key(key) is True
    with pytest.raises(NotFoundError, match="nothing was deleted"):
        keen.delete_access_key(key)


def test_an_autofill_of_an_access_key_is_in_every_event(
    keen: KeenClient, server: LocalServer, tmp_path: Path
) -> None:
    """What is recorded with such a key arrives with what the key adds."""
    made = keen.create_access_key(
        "Filler", permitted=["writes"], options={"writes": {"autofill": {"shop": 7}}}
    )
    with KeenClient(**_settings(server, tmp_path / "log", write_key=made["key"])) as shop:
        shop.add_event("filled", {"a": 1}, DAY)
        assert shop.flush().acknowledged == 1
    assert keen.count("filled", SPAN, group_by="shop") == [{"shop": 7, "result": 1}]


def test_scoped_keys_open_what_they_say(keen: KeenClient, server: LocalServer, tmp_path: Path) -> None:
    """A key made of the master key reads with its filters, and writes only if it may."""
    options = {"allowed_operations": ["read"], "filters": _step("pen")["filters"]}
    scoped = scoped_keys.encrypt(server.master_key, options)
    with KeenClient(**_settings(server, tmp_path / "log", read_key=scoped, write_key=scoped)) as reader:
        assert reader.count("sales", SPAN) == 1
        reader.add_event("sales", {})
        assert reader.flush().acknowledged == 0


def test_the_life_of_a_saved_query(keen: KeenClient) -> None:
    """Saved, listed, read with its result, changed in part and in whole, renamed, deleted."""
    count = {"analysis_type": "count", "event_collection": "sales", "timeframe": SPAN}
    made = keen.saved_queries.create("by-item", {"query": count, "metadata": {"display_name": "By item"}})
    assert_type(made, SavedQuery)
    assert (made["query_name"], made["refresh_rate"]) == ("by-item", 0)
    assert "by-item" in {each["query_name"] for each in keen.saved_queries.all()}
    assert keen.saved_queries.results("by-item")["result"] == 4
    changed = keen.saved_queries.update("by-item", {"query": {"group_by": "item"}})
    assert changed["query"]["event_collection"] == "sales"
    assert changed.get("metadata") == {"display_name": "By item"}
    rows = keen.saved_queries.results("by-item")["result"]
    assert {row["item"]: row["result"] for row in rows} == {"book": 2, "pen": 1, "ink": 1}
    cleared = keen.saved_queries.update("by-item", {"query": {"group_by": None}})
    assert not cleared["query"].get("group_by")
    full = keen.saved_queries.update_full("by-item", {"query": count | {"timeframe": "this_10_years"}})
    assert not full.get("metadata")
    assert keen.saved_queries.update("by-item", {"query_name": "renamed"})["query_name"] == "renamed"
    assert keen.saved_queries.get("renamed")["query"]["analysis_type"] == "count"
    assert keen.saved_queries.delete("renamed") is True
    with pytest.raises(NotFoundError):
        keen.saved_queries.results("renamed")


def test_the_life_of_a_dataset(keen: KeenClient) -> None:
    """Made, found on its page, asked by the value of its index, deleted."""
    query = {
        "analysis_type": "count",
        "event_collection": "sales",
        "timeframe": "this_10_years",
        "interval": "monthly",
    }
    for name in ("d1", "d2", "d3"):
        made = keen.cached_datasets.create(name, query, "user.id", name.upper())
        assert_type(made, Dataset)
    assert made["index_by"] == ["user.id"]
    assert keen.cached_datasets.get("d1")["dataset_name"] == "d1"
    page = keen.cached_datasets.all(limit=2)
    assert [each["dataset_name"] for each in page["datasets"]] == ["d1", "d2"]
    assert [each["dataset_name"] for each in keen.cached_datasets.iterate(limit=2)] == ["d1", "d2", "d3"]
    results = keen.cached_datasets.results(
        "d1", "u1", {"start": "2026-10-01T00:00:00Z", "end": "2026-11-01T00:00:00Z"}
    )
    assert [each["value"] for each in results["result"]] == [2]
    for name in ("d1", "d2", "d3"):
        assert keen.cached_datasets.delete(name) is True
    with pytest.raises(NotFoundError):
        keen.cached_datasets.get("d1")


def test_a_beacon_records_when_it_is_loaded(keen: KeenClient) -> None:
    """The address alone is enough; the log knows nothing of it."""
    url = keen.generate_image_beacon("opened", {"text": "é>?~ÿþ"}, DAY)
    for _ in range(2):
        assert httpx.get(url, headers={"accept": "image/*"}).status_code == 200
    assert keen.count("opened", SPAN, group_by="text") == [{"text": "é>?~ÿþ", "result": 2}]
    assert list(keen.log.entries("opened")) == []


def test_the_servers_word_on_a_bad_query_is_kept(keen: KeenClient) -> None:
    """What can only be judged there is refused there."""
    with pytest.raises(InvalidRequestError):
        keen.funnel([_step("book")])


Ask = Callable[[AsyncKeenClient], Any]


def test_the_async_client_asks_the_same(server: LocalServer, tmp_path: Path) -> None:
    """The same names, awaited, with the same results and types."""

    async def run() -> None:
        async with AsyncKeenClient(**_settings(server, tmp_path / "log")) as keen:
            await keen.add_event("async_sales", {"item": "pen", "user": {"id": "u1"}}, DAY)
            assert (await keen.flush()).acknowledged == 1
            schema = await keen.get_collection("async_sales")
            assert_type(schema, CollectionSchema)
            assert schema["properties"]["item"] == "string"
            step = {"event_collection": "async_sales", "actor_property": "user.id"}
            assert await keen.funnel([step], SPAN) == [1]
            key = await keen.create_access_key("Async", permitted=["queries"])
            assert_type(key, AccessKey)
            renamed = await keen.update_access_key_name(key["key"], "Renamed")
            assert (renamed["name"], renamed["permitted"]) == ("Renamed", ["queries"])
            assert await keen.delete_access_key(key["key"]) is True
            count = {"analysis_type": "count", "event_collection": "async_sales", "timeframe": SPAN}
            saved = await keen.saved_queries.create("async-count", {"query": count})
            assert_type(saved, SavedQuery)
            await keen.saved_queries.update("async-count", {"refresh_rate": 0})
            assert (await keen.saved_queries.results("async-count"))["result"] == 1
            assert await keen.saved_queries.delete("async-count") is True
            dataset = count | {"timeframe": "this_10_years", "interval": "monthly"}
            await keen.cached_datasets.create("async-d", dataset, "user.id", "D")
            assert [each["dataset_name"] async for each in keen.cached_datasets.iterate()] == ["async-d"]
            assert await keen.cached_datasets.delete("async-d") is True
            assert await keen.delete_events("async_sales") is True
            url = keen.generate_image_beacon("async_opened", {})
            assert url.startswith(f"{keen.base_url}/3.0/projects/{keen.project_id}/events/async_opened?")

    asyncio.run(run())
