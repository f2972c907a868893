"""KeenApi and AsyncKeenApi: the same names from the same operations."""

from __future__ import annotations

import asyncio
import inspect
import json
from typing import Any

import httpx
import pytest
import respx

from keen_client.api import AioExecutor, AsyncKeenApi, Cost, Executor, KeenApi, Project
from keen_client.api.administration import Administration
from keen_client.api.cached_datasets import AioCachedDatasets, SyncCachedDatasets
from keen_client.errors import ClientClosedError, InvalidQueryError, NotSentError
from keen_client.queries.analysis import ANALYSIS_TYPES
from keen_client.transport import AsyncHttpxTransport, HttpxTransport, Secret

BASE = "https://api.keen.io/3.0/projects/P"
PROJECT = Project(id="P", write_key=Secret("WWW1"), read_key=Secret("RRR1"))


def _public(kind: type) -> dict[str, Any]:
    return {
        name: getattr(kind, name)
        for name in dir(kind)
        if not name.startswith("_") and callable(getattr(kind, name)) and name != "open"
    }


@pytest.mark.parametrize(
    ("sync", "aio"),
    [(KeenApi, AsyncKeenApi), (Executor, AioExecutor), (HttpxTransport, AsyncHttpxTransport)],
    ids=["api", "executor", "transport"],
)
def test_twins_have_the_same_names_and_parameters(sync: type, aio: type) -> None:
    """Who knows one knows the other."""
    ours, theirs = _public(sync), _public(aio)
    assert set(ours) == set(theirs)
    for name in ours:
        mine, other = (inspect.signature(each[name]).parameters.values() for each in (ours, theirs))
        assert [(p.name, p.kind, p.default) for p in mine] == [(p.name, p.kind, p.default) for p in other]


def test_twins_are_opened_alike() -> None:
    """One set of settings for both."""
    ours, theirs = (inspect.signature(each.open).parameters for each in (KeenApi, AsyncKeenApi))
    assert list(ours) == list(theirs)


def test_every_call_is_there() -> None:
    """All analyses, the administration, what carries them out, and the writes."""
    assert set(_public(KeenApi)) == (
        ANALYSIS_TYPES
        | set(_public(Administration))
        | {"funnel", "query", "run", "run_steps", "record_event", "upload", "post_batch", "close"}
    )


@pytest.mark.parametrize(
    ("sync", "aio"),
    [
        (type(KeenApi.open(PROJECT).saved_queries), type(AsyncKeenApi.open(PROJECT).saved_queries)),
        (SyncCachedDatasets, AioCachedDatasets),
    ],
    ids=["saved-queries", "cached-datasets"],
)
def test_what_hangs_on_the_twins_is_the_same_too(sync: type, aio: type) -> None:
    """Names and parameters of the interfaces."""
    ours, theirs = _public(sync), _public(aio)
    assert {name: list(inspect.signature(call).parameters) for name, call in ours.items()} == {
        name: list(inspect.signature(call).parameters) for name, call in theirs.items()
    }


def test_async_twin_awaits() -> None:
    """Its own methods are coroutines; the shared ones hand theirs on."""
    own = ("query", "run", "run_steps", "record_event", "upload", "post_batch", "close")
    assert all(inspect.iscoroutinefunction(getattr(AsyncKeenApi, name)) for name in own)


ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "count": ("c",),
    "extraction": ("c",),
    "multi_analysis": ("c", {"n": {"analysis_type": "count"}}),
    "percentile": ("c", "x", 90),
}


@pytest.mark.parametrize("name", sorted(ANALYSIS_TYPES))
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@respx.mock
def test_every_analysis_asks_its_own_path(name: str, asynchronous: bool) -> None:
    """With the read key, and the result handed back."""
    route = respx.post(f"{BASE}/queries/{name}").respond(200, json={"result": [1, 2]})
    arguments = ARGUMENTS.get(name, ("c", "x"))

    async def run() -> Any:
        async with AsyncKeenApi.open(PROJECT) as api:
            return await getattr(api, name)(*arguments, timeframe="today")

    if asynchronous:
        result = asyncio.run(run())
    else:
        with KeenApi.open(PROJECT) as api:
            result = getattr(api, name)(*arguments, timeframe="today")
    assert result == [1, 2]
    request = route.calls.last.request
    assert request.headers["Authorization"] == "RRR1"
    assert json.loads(request.content)["timeframe"] == "today"


@respx.mock
def test_writes_carry_the_write_key() -> None:
    """Single, batch, and one attempt of a batch."""
    single = respx.post(f"{BASE}/events/c").respond(201, json={"created": True})
    bulk = respx.post(f"{BASE}/events").respond(200, json={"c": [{"success": True}]})
    with KeenApi.open(PROJECT) as api:
        api.record_event("c", {"a": 1})
        assert api.upload({"c": [{"a": 1}]}) == {"c": [{"success": True}]}
        answer = api.post_batch(b'{"c":[{"a":1}]}')
        assert api.cost.requests == 3
    assert (answer.status, json.loads(answer.body)) == (200, {"c": [{"success": True}]})
    assert {call.request.headers["Authorization"] for call in [*single.calls, *bulk.calls]} == {"WWW1"}
    assert [call.request.content for call in bulk.calls] == [b'{"c":[{"a":1}]}'] * 2


@respx.mock
def test_async_writes_are_the_same() -> None:
    """The twin, awaited."""
    respx.post(f"{BASE}/events/c").respond(201, json={"created": True})
    respx.post(f"{BASE}/events").respond(200, json={"c": [{"success": True}]})

    async def run() -> tuple[Any, int]:
        async with AsyncKeenApi.open(PROJECT) as api:
            await api.record_event("c", {"a": 1})
            await api.upload({"c": [{"a": 1}]})
            answer = await api.post_batch(b"{}")
            return answer.status, api.cost.requests

    assert asyncio.run(run()) == (200, 3)


@respx.mock
def test_post_batch_makes_one_attempt_and_interprets_nothing() -> None:
    """A 503 is an answer; a refused connection is not sent; neither is repeated."""
    route = respx.post(f"{BASE}/events").mock(
        side_effect=[httpx.Response(503, text="<html>"), httpx.ConnectError("refused")]
    )
    with KeenApi.open(PROJECT) as api:
        assert api.post_batch(b"{}").status == 503
        with pytest.raises(NotSentError):
            api.post_batch(b"{}")
        assert api.cost == Cost(requests=1, bytes=6)
    assert route.call_count == 2


def test_bad_query_is_refused_at_the_call() -> None:
    """Also by the async twin, before anything is awaited."""
    with pytest.raises(InvalidQueryError):
        KeenApi.open(PROJECT).sum("c", "")
    with pytest.raises(InvalidQueryError):
        AsyncKeenApi.open(PROJECT).sum("c", "")


def test_paths_share_no_transport() -> None:
    """A slow query takes no connection from the events."""
    api = KeenApi.open(PROJECT, get_timeout=5.0, post_timeout=3.0)
    writes, reads = api._writes._transport, api._reads._transport
    assert isinstance(writes, HttpxTransport)
    assert isinstance(reads, HttpxTransport)
    assert writes is not reads
    assert writes._timeouts is not None
    assert reads._timeouts is not None
    assert (writes._timeouts.read_seconds, reads._timeouts.read_seconds) == (3.0, 5.0)


def test_closed_api_refuses() -> None:
    """Reads and writes alike, and closing twice is no error."""
    api = KeenApi.open(PROJECT)
    api.close()
    api.close()
    with pytest.raises(ClientClosedError):
        api.count("c")
    with pytest.raises(ClientClosedError):
        api.post_batch(b"{}")
