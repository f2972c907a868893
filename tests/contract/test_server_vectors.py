"""Recorded and documented requests of Keen's API, replayed against the local server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import attrs
import httpx
import orjson
import pytest

from keen_client.server import LocalServer, Project

VECTORS: Final[dict[str, dict[str, Any]]] = {
    vector["name"]: vector
    for vector in orjson.loads((Path(__file__).parent / "keen-api-vectors.json").read_bytes())
}

#: Vectors about a key that was made before, by name: theirs stands for the one that the server makes.
ABOUT_A_KEY: Final = frozenset(
    {"key-create", "key-delete", "key-get", "key-list-by-name", "key-not-permitted", "key-revoke"}
)
#: Vectors with a scoped key, which was encrypted with another master key than the other vectors have.
SCOPED: Final = frozenset({"scoped-read-with-filter", "scoped-write"})
SCOPED_MASTER_KEY: Final = "24077ACBCB198BAAA2110EDDB673282F8E34909FD823A15C55A6253A664BE368"
VECTORS_KEY: Final = "320104AEFFC569EEE60BCAC9BB064DFF9897E391AB8C59608AC0869AFD291B4E"
ANOTHER_SETTING: Final = ABOUT_A_KEY | SCOPED
#: What vectors presuppose beyond the reference data set, by the first word of their names.
PRESUPPOSED: Final = {"saved": "saved-create", "dataset": "dataset-get"}
#: Members whose values depend on the moment, or that are filled where a vector leaves them out.
OF_THE_MOMENT: Final = frozenset(
    {
        "created_date",
        "last_modified_date",
        "last_scheduled_date",
        "latest_subtimeframe_available",
        "milliseconds_behind",
        "run_information",
        "user_last_modified_date",
    }
)
#: Vectors that describe a fault, and the fault that brings it about.
BY_FAULT: Final = {"query-rate-limited": "rate-limit"}
#: Vectors that cannot be brought about: no query of this server takes 300 seconds.
NOT_APPLICABLE: Final = frozenset({"query-timeout"})

REFERENCE_EVENTS: Final[list[dict[str, Any]]] = [
    {"item": "book", "price": 10, "qty": 1, "user": {"id": "u1"}, "tags": ["a", "b"], "gift": True},
    {"item": "book", "price": 20, "qty": 2, "user": {"id": "u2"}, "tags": ["b"], "gift": False},
    {"item": "pen", "price": 5, "user": {"id": "u1"}, "gift": None},
    {"item": "pen", "price": "n/a", "user": {"id": "u3"}, "tags": []},
    {"price": 40, "user": {"id": "u2"}},
    {"item": "mug", "price": 7.5, "user": {"id": "u1"}},
]
REFERENCE_TIMES: Final = [
    "2024-01-01T00:00:00.000Z",
    "2024-01-01T12:30:00.000Z",
    "2024-01-02T00:00:00.000Z",
    "2024-01-02T23:59:59.999Z",
    "2024-01-03T00:00:00.000Z",
    "2024-01-04T00:00:00.000Z",
]
TIMEFRAME: Final = {"start": "2024-01-01T00:00:00.000Z", "end": "2024-01-04T00:00:00.000Z"}

PROJECT: Final = Project("5f0000000000000000000001", "WRITE_KEY", "READ_KEY", "MASTER_KEY", "Demo")


@pytest.fixture(scope="module")
def running() -> Iterator[LocalServer]:
    """One server for all vectors; each test empties it."""
    with LocalServer(PROJECT) as server:
        yield server


@pytest.fixture
def server(running: LocalServer) -> Iterator[httpx.Client]:
    """A client of a server that holds the reference data set and no faults."""
    with httpx.Client(base_url=running.url, headers={"Authorization": "MASTER_KEY"}) as client:
        events = f"/3.0/projects/{PROJECT.id}/events"
        for collection in client.get(events).json():
            assert client.delete(collection["url"]).status_code == 204
        for area in ("queries/saved", "datasets"):
            found = client.get(f"/3.0/projects/{PROJECT.id}/{area}").json()
            for item in found if isinstance(found, list) else found["datasets"]:
                name = item.get("query_name") or item["dataset_name"]
                assert client.delete(f"/3.0/projects/{PROJECT.id}/{area}/{name}").status_code == 204
        assert client.post(events, json={"purchases": _reference_batch()}).status_code == 200
        running.faults.change(dict.fromkeys(("rate-limit",)))
        yield client


def _reference_batch() -> list[dict[str, Any]]:
    return [
        {**event, "keen": {"timestamp": at}}
        for event, at in zip(REFERENCE_EVENTS, REFERENCE_TIMES, strict=True)
    ]


def _send(client: httpx.Client, request: dict[str, Any]) -> httpx.Response:
    body = request["body"]
    content = None
    if body is not None:
        content = body.encode() if isinstance(body, str) else orjson.dumps(body)
    bare = httpx.Client(base_url=client.base_url, params=request["query"], headers=request["headers"])
    with bare:
        return bare.request(request["method"], request["path"], content=content)


def _comparable(value: Any) -> Any:
    """*value* without what replies may order as they like."""
    if isinstance(value, dict):
        return {name: _comparable(member) for name, member in value.items()}
    if isinstance(value, list):
        members = [_comparable(member) for member in value]
        return (
            members
            if any("timeframe" in m for m in members if isinstance(m, dict))
            else sorted(members, key=repr)
        )
    return value


def test_every_vector_is_accounted_for() -> None:
    """A vector is replayed, or left out by name: the lists name only vectors that exist."""
    assert len(VECTORS) == 87
    assert ANOTHER_SETTING | NOT_APPLICABLE | BY_FAULT.keys() <= VECTORS.keys()


@pytest.mark.parametrize("name", sorted(VECTORS.keys() - ANOTHER_SETTING - NOT_APPLICABLE - BY_FAULT.keys()))
def test_the_server_answers_as_the_vector_says(server: httpx.Client, name: str) -> None:
    """Status and body are those of the vector; of error texts only the presence is compared."""
    vector = VECTORS[name]
    _presuppose(server, name)
    response = _send(server, vector["request"])
    expected = vector["response"]
    assert response.status_code == expected["status"], response.text
    for header, value in expected.get("headers", {}).items():
        assert response.headers[header] == value
    body = expected["body"]
    if body is None:
        return
    if isinstance(body, str):
        assert response.text.replace(" ", "") == body.replace(" ", "")
        return
    got = response.json()
    if "error_code" in body:
        assert got["message"]
        assert got["error_code"] == body["error_code"]
    elif name == "query-metadata":
        assert got["result"] == body["result"]
        assert got["execution_metadata"].keys() == body["execution_metadata"].keys()
    elif name in ("collection-schema", "collections-list"):
        got, wanted = (got, body) if isinstance(body, dict) else (got[0], body[0])
        assert got["name"] == wanted["name"]
        assert got["url"] == wanted["url"]
        assert got["properties"].items() >= wanted["properties"].items()
    elif name == "saved-result":
        # The vector was made at another time: its result shows the shape, not the days.
        assert got["result"][0].keys() == body["result"][0].keys()
        assert _lasting({**got, "result": None}) == _lasting({**body, "result": None})
    elif name == "dataset-results-ka":
        assert _lasting(got["metadata"]) == _lasting(body["metadata"])
    elif name == "dataset-results":
        assert _comparable(got["result"]) == _comparable(body["result"])
    elif name.startswith(("saved-", "dataset-")):
        assert _lasting(got) == _lasting(body)
    elif name.startswith("bulk-"):
        assert _without_texts(got) == _without_texts(body)
    else:
        assert _comparable(got) == _comparable(body)


def _presuppose(client: httpx.Client, name: str) -> None:
    """Make the saved query or the dataset that the vector *name* is about."""
    needed = PRESUPPOSED.get(name.partition("-")[0])
    if needed is None or name in ("saved-create", "saved-missing"):
        return
    vector = VECTORS[needed]
    if needed == "saved-create":
        assert _send(client, vector["request"]).status_code == 201
    else:
        made = client.put(vector["request"]["path"], json=vector["response"]["body"])
        assert made.status_code == 201, made.text


def _lasting(value: Any) -> Any:
    """*value* without the members that are of the moment."""
    if isinstance(value, list):
        return [_lasting(member) for member in value]
    if not isinstance(value, dict):
        return value
    return {name: _lasting(member) for name, member in value.items() if name not in OF_THE_MOMENT}


@pytest.mark.parametrize("name", sorted(ABOUT_A_KEY))
def test_keys_are_answered_as_the_vector_says(server: httpx.Client, name: str) -> None:
    """With the key that the server made in the place of the vector's; a made key has the form of Keen's."""
    vector = VECTORS[name]
    keys = f"/3.0/projects/{PROJECT.id}/keys"
    for key in server.get(keys).json():
        assert server.delete(f"{keys}/{key['key']}").status_code == 204
    made = VECTORS_KEY
    if name != "key-create":
        permitted = ["queries"] if name == "key-not-permitted" else []
        made = server.post(keys, json={"name": "Bob_Key", "permitted": permitted, "options": {}}).json()[
            "key"
        ]
    theirs = orjson.dumps(vector).decode().replace("<access key with permitted [queries]>", made)
    vector = orjson.loads(theirs.replace(VECTORS_KEY, made))
    response = _send(server, vector["request"])
    expected = vector["response"]
    assert response.status_code == expected["status"], response.text
    if expected["body"] is None:
        assert response.content == b""
    elif "error_code" in expected["body"]:
        assert response.json()["error_code"] == expected["body"]["error_code"]
    elif name == "key-create":
        key = response.json()["key"]
        assert re.fullmatch("[0-9A-F]{64}", key)
        assert response.json() == {**expected["body"], "key": key}
    else:
        assert response.json() == expected["body"]


@pytest.mark.parametrize("name", sorted(SCOPED))
def test_scoped_keys_are_answered_as_the_vector_says(name: str) -> None:
    """A key that keen 0.7.0 encrypted opens what it was made for, under the master key of its making."""
    vector = VECTORS[name]
    with (
        LocalServer(attrs.evolve(PROJECT, master_key=SCOPED_MASTER_KEY)) as running,
        httpx.Client(base_url=running.url, headers={"Authorization": SCOPED_MASTER_KEY}) as client,
    ):
        events = f"/3.0/projects/{PROJECT.id}/events"
        assert client.post(events, json={"purchases": _reference_batch()}).status_code == 200
        response = _send(client, vector["request"])
    assert (response.status_code, response.json()) == tuple(vector["response"].values())


def _without_texts(results: dict[str, list[dict[str, Any]]]) -> dict[str, list[tuple[bool, str]]]:
    return {
        collection: [(event["success"], event.get("error", {}).get("name", "")) for event in events]
        for collection, events in results.items()
    }


def test_over_the_rate_limit_queries_are_refused_for_a_minute(
    server: httpx.Client, running: LocalServer
) -> None:
    """The vector of the rate limit, brought about by the fault of that name."""
    vector = VECTORS["query-rate-limited"]
    running.faults.change({"rate-limit": 1})
    assert _send(server, vector["request"]).status_code == 200
    refused = _send(server, vector["request"])
    assert (refused.status_code, refused.json()["error_code"]) == (429, "RateLimitedError")


def test_only_the_first_event_with_a_token_is_stored(server: httpx.Client) -> None:
    """Of two events with one uniqueness token the first one stays."""
    twice = [{"a": number, "keen": {"uniqueness_token": "used-here-only"}} for number in (1, 2)]
    assert server.post(f"/3.0/projects/{PROJECT.id}/events", json={"c": twice}).status_code == 200
    query = {"event_collection": "c", "timeframe": "today", "property_names": ["a"]}
    assert _query(server, "extraction", **query) == [{"a": 1}]


@attrs.frozen
class Row:
    """A row of the table of expected results over the reference data set."""

    kind: str
    result: Any
    parameters: dict[str, Any]


def _filter(name: str, operator: str, value: Any) -> dict[str, Any]:
    return {"property_name": name, "operator": operator, "property_value": value}


ROWS: Final = [
    Row("count", 5, {}),
    Row("count_unique", 3, {"target_property": "user.id"}),
    Row("select_unique", ["book", "pen"], {"target_property": "item"}),
    Row("sum", 75, {"target_property": "price"}),
    Row("minimum", 5, {"target_property": "price"}),
    Row("maximum", 40, {"target_property": "price"}),
    Row("average", 18.75, {"target_property": "price"}),
    Row("median", 10, {"target_property": "price"}),
    Row("percentile", 40, {"target_property": "price", "percentile": 90}),
    Row("count", 2, {"filters": [_filter("item", "eq", "book")]}),
    Row("count", 3, {"filters": [_filter("item", "ne", "book")]}),
    Row("count", 1, {"filters": [_filter("item", "exists", False)]}),
    Row("count", 2, {"filters": [_filter("tags", "eq", "b")]}),
    Row("count", 2, {"filters": [_filter("item", "in", ["pen", "mug"])]}),
    Row("count", 2, {"filters": [_filter("item", "contains", "oo")]}),
    Row("count", 3, {"filters": [_filter("gift", "eq", None)]}),
    Row("count", 3, {"filters": [_filter("price", "gt", 5)]}),
    Row(
        "count",
        3,
        {
            "filters": [
                {"operator": "or", "operands": [_filter("item", "eq", "pen"), _filter("price", "gte", 40)]}
            ]
        },
    ),
]


def _query(client: httpx.Client, kind: str, **parameters: Any) -> Any:
    body = {"event_collection": "purchases", "timeframe": TIMEFRAME, **parameters}
    response = client.post(f"/3.0/projects/{PROJECT.id}/queries/{kind}", json=body)
    assert response.status_code == 200, response.text
    return response.json()["result"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.kind}-{row.parameters}"[:70])
def test_the_reference_data_set_gives_the_reference_results(server: httpx.Client, row: Row) -> None:
    """Each row of the table of expected results holds."""
    result = _query(server, row.kind, **row.parameters)
    assert (sorted(result) if isinstance(result, list) else result) == row.result
    assert type(result) is type(row.result)


def test_the_reference_data_set_divides_and_groups_as_expected(server: httpx.Client) -> None:
    """The rows of the table that have an interval or a group_by."""
    daily = _query(server, "count", interval="daily")
    assert [part["value"] for part in daily] == [2, 2, 1]
    sums = _query(server, "sum", target_property="price", interval="daily")
    assert [part["value"] for part in sums] == [30, 5, 40]
    groups = _query(server, "count", group_by="item")
    assert {row["item"]: row["result"] for row in groups} == {"book": 2, "pen": 2, None: 1}
    analyses = {"n": {"analysis_type": "count"}, "s": {"analysis_type": "sum", "target_property": "price"}}
    multi = _query(server, "multi_analysis", analyses=analyses, group_by=["item"])
    assert {row["item"]: (row["n"], row["s"]) for row in multi} == {
        "book": (2, 30),
        "pen": (2, 5),
        None: (1, 40),
    }
