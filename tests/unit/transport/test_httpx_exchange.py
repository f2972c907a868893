"""One exchange over httpx: what is put on the wire, and what comes back."""

from __future__ import annotations

import asyncio
import gzip
import multiprocessing
import os
from collections.abc import Callable
from importlib import metadata
from typing import Any

import httpx
import pytest
import respx

from keen_client.errors import ClientClosedError, NotSentError, OutcomeUnknownError
from keen_client.transport import AsyncHttpxTransport, HttpxTransport, Request, Response, Secret, Timeouts
from keen_client.transport import httpx_transport as module

URL = "https://api.keen.io/3.0/projects/P/events/c"
RawServerFactory = Callable[[str], Any]


def _request(**changes: Any) -> Request:
    members: dict[str, Any] = {
        "method": "POST",
        "base_url": "https://api.keen.io",
        "path": "/3.0/projects/P/events/c",
        "kind": "write",
        "body": b"{}",
        "key": Secret("WRITEKEY"),
        **changes,
    }
    return Request(**members)


@respx.mock
def test_headers_are_keens() -> None:
    """The bare key, JSON, our name and version, and gzip at most."""
    route = respx.post(URL).respond(201, json={"created": True})
    HttpxTransport().send(_request())
    headers = route.calls.last.request.headers
    assert headers["Authorization"] == "WRITEKEY"
    assert headers["Content-Type"] == "application/json"
    assert headers["Keen-Sdk"] == f"keen_client-{metadata.version('keen-client')}"
    assert headers["Accept-Encoding"] == "gzip"
    assert headers["Content-Length"] == "2"


@respx.mock
def test_no_key_no_header() -> None:
    """A call without a key carries no Authorization."""
    route = respx.post(URL).respond(200)
    HttpxTransport().send(_request(key=None))
    assert "Authorization" not in route.calls.last.request.headers


@respx.mock
def test_answer_is_whole_and_decoded() -> None:
    """Status, lower-case headers, the body without its gzip, and the times."""
    respx.post(URL).respond(
        200, content=gzip.compress(b'{"result": 1}'), headers={"Content-Encoding": "gzip", "X-Some": "Thing"}
    )
    response = HttpxTransport().send(_request())
    assert (response.status, response.body) == (200, b'{"result": 1}')
    assert response.headers["x-some"] == "Thing"
    assert response.received_wall_ms > 0
    assert response.elapsed_seconds >= 0


@pytest.mark.parametrize(
    "path",
    [
        "/3.0/projects/P/events/a%2Fb%20c",
        "/3.0/projects/P/events/%2E%2E",
        "/3.0/projects/P/events/%25%C3%A9%3F%23",
    ],
)
def test_encoded_path_goes_out_as_it_is(path: str, raw_server: RawServerFactory) -> None:
    """Nothing is decoded, encoded again or resolved on the way."""
    server = raw_server("ok")
    HttpxTransport().send(_request(base_url=server.url, path=path, params=(("a", "b c"),)))
    assert server.requests[0].split(b"\r\n")[0] == f"POST {path}?a=b+c HTTP/1.1".encode()


@pytest.mark.parametrize("asynchronous", [False, True])
def test_redirect_is_never_followed(asynchronous: bool, raw_server: RawServerFactory) -> None:
    """Not even by a client that was told to: the key would travel along. The 302 is the answer."""
    server = raw_server("redirect")
    request = _request(base_url=server.url)

    async def run() -> Response:
        async with httpx.AsyncClient(follow_redirects=True) as client:
            return await AsyncHttpxTransport(client).send(request)

    if asynchronous:
        response = asyncio.run(run())
    else:
        with httpx.Client(follow_redirects=True) as client:
            response = HttpxTransport(client).send(request)
    assert response.status == 302
    assert len(server.requests) == 1


def test_callers_client_keeps_its_own_ways() -> None:
    """Its headers go along and it stays open; its auth, params and base URL do not touch our request."""
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200)

    client = httpx.Client(
        transport=httpx.MockTransport(handle),
        headers={"X-Gateway": "yes", "Authorization": "other"},
        auth=("user", "password"),
        params={"stray": "1"},
        base_url="https://elsewhere.example/base",
        timeout=7.0,
    )
    transport = HttpxTransport(client)
    transport.send(_request(params=(("q", "1"),)))
    transport.close()
    assert str(seen[0].url) == URL + "?q=1"
    assert seen[0].headers["X-Gateway"] == "yes"
    assert seen[0].headers["Authorization"] == "WRITEKEY"
    assert seen[0].extensions["timeout"]["read"] == 7.0
    assert not client.is_closed
    client.close()


def test_timeouts_come_from_the_nearest() -> None:
    """The request's own, else the transport's."""
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200)

    with httpx.Client(transport=httpx.MockTransport(handle)) as client:
        transport = HttpxTransport(client, timeouts=Timeouts.for_writes(20.0))
        transport.send(_request())
        transport.send(_request(timeout_seconds=2.0))
    assert [request.extensions["timeout"]["read"] for request in seen] == [20.0, 2.0]
    assert [request.extensions["timeout"]["connect"] for request in seen] == [10.0, 2.0]
    assert (Timeouts.for_writes().read_seconds, Timeouts.for_reads().read_seconds) == (60.0, 305.0)
    assert Timeouts.for_reads(9.0) == Timeouts.of(9.0)


def test_two_transports_share_no_pool() -> None:
    """A path that hangs takes no connection from the other."""
    with respx.mock:
        respx.post(URL).respond(200)
        first, second = HttpxTransport(), HttpxTransport()
        first.send(_request())
        second.send(_request())
    clients = [next(iter(each._own.values())) for each in (first, second)]
    assert clients[0] is not clients[1]
    assert clients[0]._transport is not clients[1]._transport
    first.close()
    second.close()


@respx.mock
def test_closed_transport_refuses() -> None:
    """After close nothing is sent; closing again is no error."""
    transport = HttpxTransport()
    transport.close()
    transport.close()
    with pytest.raises(ClientClosedError, match="nothing was sent"):
        transport.send(_request())


def test_closed_async_transport_refuses() -> None:
    """The async twin likewise."""

    async def run() -> None:
        transport = AsyncHttpxTransport()
        await transport.close()
        await transport.close()
        await transport.send(_request())

    with pytest.raises(ClientClosedError, match="nothing was sent"):
        asyncio.run(run())


@respx.mock
def test_answer_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A size limit stands between a broken server and the memory."""
    monkeypatch.setattr(module, "RESPONSE_BYTES_MAX", 10)
    respx.post(URL).respond(200, content=b"x" * 11)
    with pytest.raises(OutcomeUnknownError, match="over 10 bytes"):
        HttpxTransport().send(_request())


class SlowClock:
    """Every look at it is ten minutes later."""

    def __init__(self) -> None:
        self.now_ns = 0

    def wall_ms(self) -> int:
        return 0

    def monotonic_ns(self) -> int:
        self.now_ns += 600 * 10**9
        return self.now_ns


@respx.mock
def test_answer_that_trickles_is_given_up() -> None:
    """Bytes that keep coming are no reason to wait for ever."""
    respx.post(URL).mock(return_value=httpx.Response(200, stream=_Trickle()))
    with pytest.raises(OutcomeUnknownError, match="took over 900 s"):
        HttpxTransport(clock=SlowClock()).send(_request())  # type: ignore[arg-type]


class _Trickle(httpx.SyncByteStream):
    def __iter__(self) -> Any:
        yield b"a"
        yield b"b"


def test_another_event_loop_gets_connections_of_its_own(raw_server: RawServerFactory) -> None:
    """A transport that outlives its loop goes on in the next."""
    server = raw_server("ok")
    transport = AsyncHttpxTransport()
    request = _request(base_url=server.url)
    assert [asyncio.run(transport.send(request)).status for _ in range(2)] == [201, 201]


def _child(transport: HttpxTransport, request: Request, pipe: Any) -> None:
    try:
        pipe.send(transport.send(request).status)
    except NotSentError as error:
        pipe.send(str(error))
    os._exit(0)


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
def test_forked_child_never_uses_its_parents_connections(given: bool, raw_server: RawServerFactory) -> None:
    """It opens its own, or refuses where the client is the caller's."""
    server = raw_server("ok")
    with httpx.Client() as client:
        transport = HttpxTransport(client if given else None)
        request = _request(base_url=server.url)
        assert transport.send(request).status == 201
        here, there = multiprocessing.Pipe()
        child = multiprocessing.get_context("fork").Process(target=_child, args=(transport, request, there))
        child.start()
        said = here.recv() if here.poll(30) else "nothing"
        child.join(30)
        transport.close()
    if given:
        assert "in use in the parent process" in said
    else:
        assert said == 201


@pytest.mark.parametrize("asynchronous", [False, True])
def test_proxy_of_the_environment_is_not_asked_for_this_very_machine(
    asynchronous: bool, raw_server: RawServerFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A developer behind a proxy still reaches the local server."""
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(variable, raising=False)
    server = raw_server("ok")
    request = _request(base_url=server.url)

    async def run() -> Response:
        transport = AsyncHttpxTransport()
        try:
            return await transport.send(request)
        finally:
            await transport.close()

    if asynchronous:
        response = asyncio.run(run())
    else:
        transport = HttpxTransport()
        response = transport.send(request)
        transport.close()
    assert response.status == 201
