"""The same call on keen 0.7.0 and on our client gives the same result, one after the other on one server."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from keen_client import KeenClient
from keen_client.compat.client import KeenClient as KeenClientOfBefore
from keen_client.server import LocalServer

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the client of 2021 and today's Python
    import keen.client

TIMEFRAME: Final = {"start": "2024-01-01T00:00:00.000Z", "end": "2024-01-04T00:00:00.000Z"}
EVENTS: Final = [
    ("2024-01-01T00:00:00.000Z", {"item": "book", "price": 10, "user": {"id": "u1"}}),
    ("2024-01-01T12:30:00.000Z", {"item": "book", "price": 20, "user": {"id": "u2"}}),
    ("2024-01-02T00:00:00.000Z", {"item": "pen", "price": 5, "user": {"id": "u1"}}),
    ("2024-01-03T00:00:00.000Z", {"price": 40, "user": {"id": "u2"}}),
]
BOOKS: Final = [{"property_name": "item", "operator": "eq", "property_value": "book"}]
STEPS: Final = [
    {"event_collection": "purchases", "actor_property": "user.id", "filters": BOOKS, "with_actors": True},
    {"event_collection": "purchases", "actor_property": "user.id"},
]
COUNT: Final = {"analysis_type": "count", "event_collection": "purchases", "timeframe": "this_10_years"}

Ask = Callable[[Any], Any]


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, KeenClient]]:
    """The official client and ours, of one project with a few events, an access key, a saved query and a dataset."""
    with LocalServer(seed=1) as server:
        keys: dict[str, Any] = {
            "write_key": server.write_key,
            "read_key": server.read_key,
            "master_key": server.master_key,
            "base_url": server.url,
        }
        official = keen.client.KeenClient(server.project_id, **keys)
        official.add_events({"purchases": [event | {"keen": {"timestamp": at}} for at, event in EVENTS]})
        official.saved_queries.create("by-item", {"query": COUNT | {"group_by": "item"}, "refresh_rate": 0})
        official.create_access_key("Shown", permitted=["queries"])
        official.cached_datasets.create("by-user", COUNT | {"interval": "yearly"}, "user.id", "By user")
        with KeenClient(
            server.project_id, log=tmp_path_factory.mktemp("log") / "log", background=False, **keys
        ) as ours:
            yield official, ours
        official.api.session.close()


def _settled(value: Any) -> Any:
    """*value* with its rows in one order, and without what changes from call to call."""
    if isinstance(value, dict):
        return {name: _settled(member) for name, member in value.items() if name != "milliseconds_behind"}
    if isinstance(value, list):
        return sorted((_settled(member) for member in value), key=repr)
    return value


READS: Final[dict[str, Ask]] = {
    "count": lambda client: client.count("purchases", timeframe=TIMEFRAME),
    "count-grouped": lambda client: client.count(
        "purchases", timeframe=TIMEFRAME, interval="daily", group_by=["item", "user.id"], filters=BOOKS
    ),
    "sum-ordered": lambda client: client.sum(
        "purchases",
        "price",
        TIMEFRAME,
        None,
        None,
        None,
        "item",
        {"property_name": "result", "direction": "DESC"},
        None,
        1,
    ),
    "percentile": lambda client: client.percentile("purchases", "price", 90, TIMEFRAME),
    "select_unique": lambda client: client.select_unique("purchases", "user.id", TIMEFRAME),
    "extraction": lambda client: client.extraction("purchases", TIMEFRAME, property_names="item"),
    "multi_analysis": lambda client: client.multi_analysis(
        "purchases", {"n": {"analysis_type": "count"}}, TIMEFRAME, "daily"
    ),
    "funnel": lambda client: client.funnel(STEPS, TIMEFRAME),
    "funnel-all-keys": lambda client: client.funnel(STEPS, TIMEFRAME, None, None, True),
    "get_collection": lambda client: client.get_collection("purchases"),
    "get_all_collections": lambda client: client.get_all_collections(),
    "list_access_keys": lambda client: client.list_access_keys(),
    "saved-all": lambda client: client.saved_queries.all(),
    "saved-get": lambda client: client.saved_queries.get("by-item"),
    "saved-results": lambda client: client.saved_queries.results("by-item"),
    "datasets-all": lambda client: client.cached_datasets.all(),
    "datasets-get": lambda client: client.cached_datasets.get("by-user"),
    "datasets-results": lambda client: client.cached_datasets.results("by-user", "u1", "this_2_years"),
    "datasets-results-list": lambda client: client.cached_datasets.results(
        "by-user", {"user.id": "u1"}, {"start": "2024-01-01T00:00:00.000Z", "end": "2025-01-01T00:00:00.000Z"}
    ),
}


@pytest.mark.parametrize("name", sorted(READS))
def test_a_read_gives_the_same(clients: tuple[Any, KeenClient], name: str) -> None:
    """Value for value, down to the shape of what is returned."""
    official, ours = clients
    theirs = READS[name](official)
    assert theirs, "an empty answer would compare nothing"
    assert _settled(READS[name](ours)) == _settled(theirs)


CHANGES: Final[dict[str, Ask]] = {
    "update_access_key_name": lambda client: _amended(client, "update_access_key_name", "New"),
    "update_access_key_permissions": lambda client: _amended(
        client, "update_access_key_permissions", ["schema"]
    ),
    "update_access_key_options": lambda client: _amended(
        client, "update_access_key_options", {"queries": {"filters": BOOKS}}
    ),
    "add_access_key_permissions": lambda client: _amended(client, "add_access_key_permissions", ["schema"]),
    "remove_access_key_permissions": lambda client: _amended(
        client, "remove_access_key_permissions", ["queries"]
    ),
    "update_access_key_full": lambda client: _amended(
        client, "update_access_key_full", "New", False, ["writes"], {}
    ),
    "revoke_access_key": lambda client: _amended(client, "revoke_access_key"),
    "saved-update": lambda client: _saved(
        client,
        lambda queries: queries.update("s", {"query": {"interval": "monthly"}, "metadata": {"a": {"b": 1}}}),
    ),
    "saved-update-full": lambda client: _saved(
        client, lambda queries: queries.update_full("s", {"query": COUNT, "refresh_rate": 14_400})
    ),
    "saved-delete": lambda client: _saved(client, lambda queries: queries.delete("s")),
    "dataset-create": lambda client: _dataset(client)[0],
    "dataset-delete": lambda client: _dataset(client)[1],
    "delete_events": lambda client: client.delete_events(
        "purchases", timeframe="today", timezone=0, filters=BOOKS
    ),
}
#: Made by the server, and another one each time.
_MADE: Final = {"key", "created_date", "last_modified_date", "user_last_modified_date"}


def _amended(client: Any, method: str, *arguments: Any) -> Any:
    key = client.create_access_key("Bob", True, ["queries"], {})["key"]
    try:
        return getattr(client, method)(key, *arguments)
    finally:
        assert client.delete_access_key(key) is True


def _saved(client: Any, change: Ask) -> Any:
    client.saved_queries.create("s", {"query": COUNT, "refresh_rate": 0, "metadata": {"a": {"c": 2}}})
    return change(client.saved_queries)


def _dataset(client: Any) -> tuple[Any, Any]:
    made = client.cached_datasets.create("d", COUNT | {"interval": "monthly"}, ["user.id"], "D")
    return made, client.cached_datasets.delete("d")


def _chosen(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _settled(member) for name, member in value.items() if name not in _MADE}
    return value


@pytest.mark.parametrize("name", [*CHANGES])
def test_a_change_does_and_gives_the_same(clients: tuple[Any, KeenClient], name: str) -> None:
    """Each from the same beginning; what the server makes anew each time is not compared."""
    official, ours = clients
    theirs = CHANGES[name](official)
    assert _chosen(CHANGES[name](ours)) == _chosen(theirs)


@pytest.mark.parametrize("name", ["", "$bad", "_bad", "x" * 65, "b\0d", "b\u00e9d"])
def test_a_collection_with_a_bad_name_keeps_no_other_out(
    clients: tuple[Any, KeenClient], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The good events succeed, each of the bad collection fails by Keen's name of the error, as under keen 0.7."""
    official, _ = clients
    monkeypatch.setenv("KEEN_LOG", str(tmp_path / "log"))
    events = {"before": [{"a": 1}], name: [{"a": 2}, {"a": 3}], "after": [{"a": 4}], "none": []}
    with KeenClientOfBefore(
        official.project_id, official.api.write_key, base_url=official.api.base_url
    ) as moved:
        results = moved.add_events(events)
        recorded = [(entry.collection, entry.event["a"]) for entry in moved.log.entries()]

    def told(results: Any) -> Any:
        return {
            collection: [(result["success"], result.get("error", {}).get("name")) for result in of_events]
            for collection, of_events in results.items()
        }

    assert told(results) == told(official.add_events(events))
    assert sorted(recorded) == [("after", 4), ("before", 1)]
