"""The official client, PyPI keen 0.7.0, unchanged: access keys and scoped keys, made with it and used by it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest

from keen_client.server import LocalServer
from tests.contract.official import KeenApiError, decrypt, encrypt, official_client, official_module
from tests.contract.reckoning import TIMEFRAME, Reckoning, orders

ORDERS: Final = orders(seed=71, count=120)
WITHIN: Final = Reckoning(ORDERS).within(TIMEFRAME["start"], TIMEFRAME["end"])
BOOKS: Final = [{"property_name": "item", "operator": "eq", "property_value": "book"}]
BOOKS_SOLD: Final = WITHIN.where(lambda event: event.get("item") == "book").answer("count")
#: The option groups of a key object, unset.
NO_OPTIONS: Final = dict.fromkeys(("writes", "queries", "saved_queries", "cached_queries", "datasets"))


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    """A server that holds the orders."""
    with LocalServer() as running, official_client(running) as client:
        client.add_events({"orders": ORDERS})
        yield running


@pytest.fixture(params=["object", "module"])
def client(server: LocalServer, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The official client, which starts without any access key and leaves none."""
    with (official_client if request.param == "object" else official_module)(server) as made:
        assert made.list_access_keys() == []
        yield made
        for left in made.list_access_keys():
            assert made.delete_access_key(left["key"]) is True


def test_a_key_is_made_listed_shown_and_deleted(client: Any, server: LocalServer) -> None:
    """The object of the reply is the one that every later call shows, every option group in it, until it is gone."""
    made = client.create_access_key("Bob", permitted=["queries"], options={"queries": {"filters": BOOKS}})
    key = made.pop("key")
    assert len(bytes.fromhex(key)) == 32
    assert made == {
        "name": "Bob",
        "is_active": True,
        "permitted": ["queries"],
        "project_id": server.project_id,
        "options": {**NO_OPTIONS, "queries": {"filters": BOOKS}},
    }
    assert client.get_access_key(key) == {"key": key, **made}
    assert client.list_access_keys() == [{"key": key, **made}]
    assert client.delete_access_key(key) is True
    assert client.list_access_keys() == []
    with pytest.raises(KeenApiError, match="ResourceNotFoundError"):
        client.get_access_key(key)


def test_each_update_changes_its_part_and_no_other(client: Any) -> None:
    """Name, permissions and options one by one, permissions added and taken away, and all at once."""
    made = client.create_access_key("Bob", permitted=["queries"])
    key, before = made["key"], dict(made)
    updates: list[tuple[Any, dict[str, Any]]] = [
        (lambda: client.update_access_key_name(key, "Alice"), {"name": "Alice"}),
        (
            lambda: client.update_access_key_options(key, {"writes": {"autofill": {"a": 1}}}),
            {"options": {**NO_OPTIONS, "writes": {"autofill": {"a": 1}}}},
        ),
        (lambda: client.update_access_key_permissions(key, ["writes"]), {"permitted": ["writes"]}),
        (
            lambda: client.add_access_key_permissions(key, ["writes", "schema"]),
            {"permitted": ["schema", "writes"]},
        ),
        (lambda: client.remove_access_key_permissions(key, ["writes"]), {"permitted": ["schema"]}),
    ]
    for update, change in updates:
        before |= change
        told = update()
        assert {**told, "permitted": sorted(told["permitted"])} == before
        shown = client.get_access_key(key)
        assert {**shown, "permitted": sorted(shown["permitted"])} == before
    told = client.update_access_key_full(key, "Carol", is_active=False, permitted=[], options={})
    assert told == {**made, "name": "Carol", "is_active": False, "permitted": [], "options": NO_OPTIONS}


def test_a_key_reads_what_it_may_and_nothing_once_it_is_revoked(client: Any, server: LocalServer) -> None:
    """Its filter is on every query; it writes nothing; revoked it is unknown, and unrevoked as it was."""
    key = client.create_access_key("reader", permitted=["queries"], options={"queries": {"filters": BOOKS}})[
        "key"
    ]
    with official_client(server, write_key=key, read_key=key, master_key=key) as reader:
        assert reader.count("orders", timeframe=TIMEFRAME) == BOOKS_SOLD > 0
        for call in (lambda: reader.add_event("orders", {"n": 1}), reader.get_all_collections):
            with pytest.raises(KeenApiError, match="RequestForbiddenError"):
                call()
        with pytest.raises(KeenApiError, match="AdminOnlyEndpointError"):
            reader.list_access_keys()
        assert client.revoke_access_key(key)["is_active"] is False
        with pytest.raises(KeenApiError, match="InvalidApiKeyError"):
            reader.count("orders", timeframe=TIMEFRAME)
        assert client.unrevoke_access_key(key)["is_active"] is True
        assert reader.count("orders", timeframe=TIMEFRAME) == BOOKS_SOLD


def test_a_key_that_writes_fills_in_what_it_must(client: Any, server: LocalServer) -> None:
    """The autofill is in each event, merged into what was sent, over what the sender claimed."""
    fill = {"source": {"name": "till 3"}}
    key = client.create_access_key("till", permitted=["writes"], options={"writes": {"autofill": fill}})[
        "key"
    ]
    sent = {"n": 1, "source": {"name": "the boss", "place": "door"}}
    collection = f"tills {client.__class__.__name__}"
    with official_client(server, write_key=key) as till:
        till.add_event(collection, sent)
        till.add_events({collection: [{"n": 2}]})
        rows = till.extraction(collection, timeframe="this_2_days", property_names=["n", "source"])
    assert sorted(rows, key=lambda row: row["n"]) == [
        {"n": 1, "source": {"name": "till 3", "place": "door"}},
        {"n": 2, "source": {"name": "till 3"}},
    ]


def test_a_scoped_key_made_by_the_client_reads_through_its_filters(server: LocalServer) -> None:
    """Encrypted with the master key, good for reading its part only; one for writing only writes."""
    options = {"allowed_operations": ["read"], "filters": BOOKS}
    scoped = encrypt(server.master_key, options).decode()
    assert decrypt(server.master_key, scoped.encode()) == options
    with official_client(server, write_key=scoped, read_key=scoped, master_key=scoped) as reader:
        assert reader.count("orders", timeframe=TIMEFRAME) == BOOKS_SOLD
        assert reader.funnel(
            [{"event_collection": "orders", "actor_property": "number", "timeframe": TIMEFRAME}]
        ) == [BOOKS_SOLD]
        with pytest.raises(KeenApiError, match="RequestForbiddenError"):
            reader.add_event("orders", {"n": 1})
    writing = encrypt(server.master_key, {"allowed_operations": ["write"]}).decode()
    with official_client(server, write_key=writing, read_key=writing) as writer:
        writer.add_event("scoped", {"n": 1})
        with pytest.raises(KeenApiError, match="RequestForbiddenError"):
            writer.count("scoped", timeframe="today")
    with official_client(server) as owner:
        assert owner.count("scoped", timeframe="this_2_days") == 1
