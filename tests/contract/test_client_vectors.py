"""Recorded and documented requests of Keen's API, turned round: what our client asks for the same call.

A vector's answer is played to the client, and the request that the client made
for it is compared with the vector's: method, path, key, parameters. Queries are
asked by POST where other clients use GET; the parameters are the same.
"""

from __future__ import annotations

import asyncio
import base64
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from keen_client.api import AsyncKeenApi, KeenApi, Project
from keen_client.api.beacon import image_beacon_url
from keen_client.errors import (
    AuthenticationError,
    ForbiddenError,
    InvalidQueryError,
    InvalidRequestError,
    KeenApiError,
    KeenError,
    NotFoundError,
    RateLimitedError,
    ServerError,
)
from keen_client.events.encoding import encode_event
from keen_client.queries import Analysis
from keen_client.transport import Request, Response, RetryPolicy, Secret

VECTORS: Final[dict[str, dict[str, Any]]] = {
    vector["name"]: vector
    for vector in orjson.loads((Path(__file__).parent / "keen-api-vectors.json").read_bytes())
}
PROJECT_ID: Final = "5f0000000000000000000001"
ACCESS_KEY: Final = "320104AEFFC569EEE60BCAC9BB064DFF9897E391AB8C59608AC0869AFD291B4E"
SPAN: Final = {"start": "2024-01-01T00:00:00.000Z", "end": "2024-01-04T00:00:00.000Z"}
COLLECTION: Final = "purchases"
PEN: Final = {"property_name": "item", "operator": "eq", "property_value": "pen"}
BOOK: Final = {**PEN, "property_value": "book"}
STEPS: Final = [
    {"event_collection": COLLECTION, "actor_property": "user.id", "timeframe": SPAN, "filters": [each]}
    for each in (BOOK, PEN)
]
COUNT: Final = {"analysis_type": "count"}
SAVED: Final = {
    "refresh_rate": 14400,
    "query": {
        "analysis_type": "count",
        "event_collection": COLLECTION,
        "timeframe": "this_7_days",
        "interval": "daily",
    },
    "metadata": {"display_name": "Daily count"},
}

CHEAP: Final = [{"property_name": "price", "operator": "lt", "property_value": 20}]

Api = Any
Ask = Callable[[Api], Any]


def _filtered(name: str, operator: str, value: Any) -> Ask:
    given = {"property_name": name, "operator": operator, "property_value": value}
    return lambda api: api.count(COLLECTION, SPAN, filters=[given])


#: The call that stands for each vector.
CALLS: Final[dict[str, Ask]] = {
    "average": lambda api: api.average(COLLECTION, "price", SPAN),
    "average-no-data": lambda api: api.average(
        COLLECTION, "price", {"start": "2020-01-01T00:00:00Z", "end": "2020-01-02T00:00:00Z"}
    ),
    "bulk-bad-collection": lambda api: api.upload({"$bad": [{"u": 1}], "ok": [{"u": 1}]}),
    "bulk-bad-key": lambda api: api.upload({"c": [{"a": 1}]}),
    "bulk-empty": lambda api: api.upload({}),
    "bulk-non-object-event": lambda api: api.upload({"c": [5, {"a": 1}]}),
    "bulk-partial-failure": lambda api: api.upload({"signups": [{"u": 1}, {"a.b": 2}]}),
    "bulk-unique-token-first": lambda api: api.upload(
        {"c": [{"a": n, "keen": {"uniqueness_token": "tok-1"}} for n in (1, 2)]}
    ),
    "collection-delete": lambda api: api.delete_events(COLLECTION),
    "collection-schema": lambda api: api.get_collection(COLLECTION),
    "collections-list": lambda api: api.get_all_collections(),
    "count-get-py": lambda api: api.count(COLLECTION, SPAN),
    "count-groupby": lambda api: api.count(COLLECTION, SPAN, group_by="item"),
    "count-groupby-interval": lambda api: api.count(COLLECTION, SPAN, interval="daily", group_by="item"),
    "count-groupby-list-get": lambda api: api.count(COLLECTION, SPAN, group_by=["item", "user.id"]),
    "count-groupby-orderby-limit": lambda api: api.count(
        COLLECTION,
        SPAN,
        group_by="user.id",
        order_by=[
            {"property_name": "result", "direction": "DESC"},
            {"property_name": "user.id", "direction": "ASC"},
        ],
        limit=1,
    ),
    "count-interval-custom": lambda api: api.count(COLLECTION, SPAN, interval="every_2_days"),
    "count-interval-daily": lambda api: api.count(COLLECTION, SPAN, interval="daily"),
    "count-post": lambda api: api.count(COLLECTION, SPAN),
    "dataset-get": lambda api: api.cached_datasets.get("by-user"),
    "dataset-results": lambda api: api.cached_datasets.results(
        "by-user", "u1", {"start": "2024-01-01T00:00:00Z", "end": "2024-01-03T00:00:00Z"}
    ),
    "dataset-results-ka": lambda api: api.cached_datasets.results(
        "by-user", {"user.id": "u1"}, "this_2_months"
    ),
    "delete-with-write-key": lambda api: api.delete_events(COLLECTION),
    "event-bad-property-dollar": lambda api: api.record_event(COLLECTION, {"$x": 1}),
    "event-bad-property-dot": lambda api: api.record_event(COLLECTION, {"broken.purchase": 1}),
    "event-collection-encoded-kt": lambda api: api.record_event("sign ups/x", {"a": 1}),
    "event-keen-not-object": lambda api: api.record_event(COLLECTION, {"keen": "x"}),
    "event-read-key": lambda api: api.record_event(COLLECTION, {"a": 1}),
    "event-single-py": lambda api: api.record_event(COLLECTION, {"item": "book", "price": 10}),
    "event-single-py-timestamp": lambda api: api.record_event(
        COLLECTION, {"item": "book", "keen": {"timestamp": "2024-01-01T00:00:00.123456"}}
    ),
    "event-timestamp-offset": lambda api: api.record_event(
        COLLECTION, {"keen": {"timestamp": "2024-01-01T01:00:00.000+01:00"}}
    ),
    "events-delete-ka": lambda api: api.delete_events(
        COLLECTION, timeframe="this_7_days", timezone="US/Pacific", filters=[PEN]
    ),
    "events-update": lambda api: api.update_events(COLLECTION, {"qty": 3}, SPAN, filters=CHEAP),
    "events-update-upsert": lambda api: api.update_events(
        COLLECTION, {"qty": 3}, SPAN, filters=CHEAP, upsert=True
    ),
    "extraction-email": lambda api: api.extraction(COLLECTION, SPAN, email="a@example.org"),
    "extraction-latest-property-names": lambda api: api.extraction(
        COLLECTION, SPAN, latest=2, property_names=["item", "keen.timestamp"]
    ),
    "filter-contains": _filtered("item", "contains", "oo"),
    "filter-eq": _filtered("item", "eq", "book"),
    "filter-eq-null": _filtered("gift", "eq", None),
    "filter-gt": _filtered("price", "gt", 5),
    "filter-in": _filtered("item", "in", ["pen", "mug"]),
    "filter-list-eq": _filtered("tags", "eq", "b"),
    "filter-ne": _filtered("item", "ne", "book"),
    "filter-or": lambda api: api.count(
        COLLECTION,
        SPAN,
        filters=[
            {
                "operator": "or",
                "operands": [PEN, {"property_name": "price", "operator": "gte", "property_value": 40}],
            }
        ],
    ),
    "filter-regex": _filtered("item", "regex", "^b"),
    "funnel-get-py": lambda api: api.funnel(STEPS, all_keys=True),
    "funnel-plain": lambda api: api.funnel(STEPS, all_keys=True),
    "key-create": lambda api: api.create_access_key("Bob_Key"),
    "key-delete": lambda api: api.delete_access_key(ACCESS_KEY),
    "key-get": lambda api: api.get_access_key(ACCESS_KEY),
    "key-list-by-name": lambda api: api.list_access_keys(name="Bob_Key"),
    "key-not-permitted": lambda api: api.record_event(COLLECTION, {"a": 1}),
    "key-revoke": lambda api: api.revoke_access_key(ACCESS_KEY),
    "maximum": lambda api: api.maximum(COLLECTION, "price", SPAN),
    "median": lambda api: api.median(COLLECTION, "price", SPAN),
    "multi-groupby": lambda api: api.multi_analysis(
        COLLECTION,
        {"n": COUNT, "s": {"analysis_type": "sum", "target_property": "price"}},
        SPAN,
        group_by="item",
    ),
    "multi-groupby-interval": lambda api: api.multi_analysis(
        COLLECTION, {"n": COUNT}, SPAN, interval="daily", group_by="item", filters=[BOOK]
    ),
    "multi-interval": lambda api: api.multi_analysis(
        COLLECTION,
        {"n": COUNT, "u": {"analysis_type": "count_unique", "target_property": "user.id"}},
        SPAN,
        interval="daily",
    ),
    "project-get": lambda api: api.get_project(),
    "property-delete": lambda api: api.delete_property(COLLECTION, "qty"),
    "property-delete-keen": lambda api: api.delete_property(COLLECTION, "keen.timestamp"),
    "property-schema": lambda api: api.get_property(COLLECTION, "user.id"),
    "query-metadata": lambda api: api.query(
        Analysis(analysis_type="count", event_collection=COLLECTION, timeframe=SPAN, include_metadata=True),
        all_keys=True,
    ),
    "query-missing-timeframe": lambda api: api.count(COLLECTION),
    "query-rate-limited": lambda api: api.count(COLLECTION, "today"),
    "query-timeout": lambda api: api.count(COLLECTION, "this_10_years"),
    "query-write-key": lambda api: api.count(COLLECTION, "today"),
    "saved-create": lambda api: api.saved_queries.create("daily-count", SAVED),
    "saved-delete": lambda api: api.saved_queries.delete("daily-count"),
    "saved-list": lambda api: api.saved_queries.all(),
    "saved-missing": lambda api: api.saved_queries.get("nope"),
    "saved-result": lambda api: api.saved_queries.results("daily-count"),
    "saved-update": lambda api: api.saved_queries.update_full(
        "daily-count", {**SAVED, "refresh_rate": 0, "query_name": "daily-count"}
    ),
    "scoped-read-with-filter": lambda api: api.count(COLLECTION, SPAN),
    "scoped-write": lambda api: api.record_event(COLLECTION, {"a": 1}),
    "select-unique": lambda api: api.select_unique(COLLECTION, "user.id", SPAN),
    "versions": lambda api: api.get_versions(),
}
#: Vectors whose answer is an error, and what it becomes.
ERRORS: Final[dict[str, type[KeenApiError]]] = {
    "bulk-bad-key": AuthenticationError,
    "delete-with-write-key": AuthenticationError,
    "event-bad-property-dollar": InvalidRequestError,
    "event-bad-property-dot": InvalidRequestError,
    "event-keen-not-object": InvalidRequestError,
    "event-read-key": AuthenticationError,
    "key-not-permitted": ForbiddenError,
    "property-delete-keen": ForbiddenError,
    "query-missing-timeframe": InvalidRequestError,
    "query-rate-limited": RateLimitedError,
    "query-timeout": ServerError,
    "query-write-key": AuthenticationError,
    "saved-missing": NotFoundError,
}
#: Calls whose result is not the answer's body, or its ``result``, as it stands.
RESULTS: Final[dict[str, Any]] = {
    "collection-delete": True,
    "events-delete-ka": True,
    "events-update": 1,
    "events-update-upsert": 2,
    "key-delete": True,
    "property-delete": True,
    "saved-delete": True,
}
#: Vectors of requests that our client does not make.
NOT_OURS: Final = {
    "bulk-wrong-shape": "a batch is an object by its type",
    "event-get-base64-std": "the image beacon, below",
    "event-get-base64-urlsafe": "another client's alphabet",
    "event-malformed-json": "what is sent is always JSON",
    "event-no-key": "without a key nothing is sent",
    "event-not-an-object": "an event is an object by its type",
    "event-redirect": "links that record are a web page's affair",
    "event-sendbeacon-kt": "a browser's call",
    "filter-geo-wrong-property": "refused before it is sent, below",
    "query-jsonp": "a browser's call",
}
#: Parameters that other clients add and the server ignores.
_IGNORED: Final = {"api_key", "dataset_name"}


class Stage:
    """Plays one answer, and keeps what was asked."""

    def __init__(self, vector: dict[str, Any]) -> None:
        answer = vector["response"]
        body = b"" if answer["body"] is None else orjson.dumps(answer["body"])
        self._answer = Response(
            status=answer["status"], headers={"content-type": "application/json"}, body=body
        )
        self.requests: list[Request] = []

    def send(self, request: Request) -> Response:
        self.requests.append(request)
        return self._answer

    def close(self) -> None:
        """Nothing is held."""


class AioStage:
    """Its async twin."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    async def send(self, request: Request) -> Response:
        return self._stage.send(request)

    async def close(self) -> None:
        """Nothing is held."""


def _project(vector: dict[str, Any]) -> Project:
    """Keys of three classes; where the vector has some other key, or a wrong one, all are that one."""
    key = vector["request"]["headers"].get("Authorization", "")
    name = vector["name"]
    if name in ERRORS or name.startswith("scoped-"):
        secret = Secret(key.replace(" ", "-"))
        return Project(id=PROJECT_ID, write_key=secret, read_key=secret, master_key=secret)
    return Project(
        id=PROJECT_ID,
        write_key=Secret("WRITE_KEY"),
        read_key=Secret("READ_KEY"),
        master_key=Secret("MASTER_KEY"),
    )


def _play(name: str, asynchronous: bool) -> tuple[Request, Any]:
    vector = VECTORS[name]
    stage, once, ask = Stage(vector), RetryPolicy(attempts_max=1), CALLS[name]
    result: Any = None
    try:
        if asynchronous:
            wire = AioStage(stage)
            aio = AsyncKeenApi(_project(vector), write_transport=wire, read_transport=wire, retry=once)

            async def run() -> Any:
                found = ask(aio)
                return await found if inspect.isawaitable(found) else found

            result = asyncio.run(run())
        else:
            api = KeenApi(_project(vector), write_transport=stage, read_transport=stage, retry=once)
            result = ask(api)
    except KeenError as error:
        result = error
    assert len(stage.requests) == 1
    return stage.requests[0], result


def _decoded(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _members(params: dict[str, str], body: Any) -> Any:
    """What a request says, in the query string or in the body; JSON with its quotes or without."""
    if params and body is not None:
        raise AssertionError("a request says it in one place")
    if body is not None:
        return body
    return {name: _decoded(value) for name, value in params.items() if name not in _IGNORED}


def test_every_vector_is_accounted_for() -> None:
    """A vector is a call of ours, or left out with the reason."""
    assert CALLS.keys().isdisjoint(NOT_OURS)
    assert CALLS.keys() | NOT_OURS.keys() == VECTORS.keys()
    assert ERRORS.keys() | RESULTS.keys() <= CALLS.keys()


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("name", sorted(CALLS))
def test_the_client_asks_as_the_vector_does(name: str, asynchronous: bool) -> None:
    """Method, path, key, and what is asked for."""
    theirs = VECTORS[name]["request"]
    ours, _ = _play(name, asynchronous)
    is_query = "/queries/" in theirs["path"] and "/saved" not in theirs["path"]
    assert ours.method == ("POST" if is_query else theirs["method"])
    assert (ours.base_url, ours.path) == ("https://api.keen.io", theirs["path"])
    assert ours.key is not None
    assert ours.key.reveal() == theirs["headers"]["Authorization"].replace(" ", "-")
    assert _members(dict(ours.params), None if ours.body is None else orjson.loads(ours.body)) == _members(
        theirs["query"], theirs["body"]
    )
    assert ours.kind == ("query" if is_query else "read" if theirs["method"] == "GET" else "write")


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("name", sorted(CALLS))
def test_the_vectors_answer_becomes_the_result(name: str, asynchronous: bool) -> None:
    """The body, its ``result``, or the error that it stands for."""
    answer = VECTORS[name]["response"]
    _, result = _play(name, asynchronous)
    if name in ERRORS:
        assert isinstance(result, ERRORS[name])
        assert result.error_code == answer["body"]["error_code"]
        assert answer["body"]["message"] in str(result)
        return
    body = answer["body"]
    if name in RESULTS:
        assert result == RESULTS[name]
    elif name.startswith(("event-", "scoped-write")):
        assert result is None
    elif name == "project-get":
        assert {**result, "api_key": result["api_key"].reveal()} == body
    elif name.startswith(("dataset", "saved", "funnel")) or name == "query-metadata":
        assert result == body
    else:
        assert result == (body["result"] if isinstance(body, dict) and "result" in body else body)


def test_the_beacon_is_the_documented_get_write() -> None:
    """Path, key and event are the vector's; only the JSON's spacing is ours, and the data are percent-encoded."""
    theirs = VECTORS["event-get-base64-std"]["request"]
    event = orjson.loads(base64.b64decode(theirs["query"]["data"]))
    url = image_beacon_url(
        _project({"name": "", "request": {"headers": {}}}), encode_event(COLLECTION, event)
    )
    parts = urlsplit(url)
    params = parse_qs(parts.query, strict_parsing=True)
    assert parts.path == theirs["path"]
    assert params["api_key"] == [theirs["query"]["api_key"]]
    assert orjson.loads(base64.b64decode(params["data"][0], validate=True)) == event
    assert not set("+/ ") & set(parts.query)


def test_what_the_server_would_refuse_is_not_sent() -> None:
    """A geo filter on another property is refused here, in words that say so."""
    body = VECTORS["filter-geo-wrong-property"]["request"]["body"]
    stage = Stage(VECTORS["filter-geo-wrong-property"])
    api = KeenApi(_project(VECTORS["count-post"]), write_transport=stage, read_transport=stage)
    with pytest.raises(InvalidQueryError, match=r"keen\.location\.coordinates only; nothing was sent"):
        api.count(COLLECTION, SPAN, filters=body["filters"])
    assert stage.requests == []
