"""A secret that is part of the address is sent, and shown nowhere: no message, no repr, no log line."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import httpx
import pytest

from keen_client.errors import OutcomeUnknownError
from keen_client.transport import AsyncHttpxTransport, HttpxTransport, Request, Response, Secret

SECRET = "320104AEFFC569EEE60BCAC9BB064DFF"
KEY = "the-masters-own"


def _request(**changes: Any) -> Request:
    members: dict[str, Any] = {
        "method": "DELETE",
        "base_url": "http://127.0.0.1:9",
        "path": f"/3.0/projects/P/keys/{SECRET}",
        "kind": "write",
        "params": (("q", SECRET),),
        "key": Secret(KEY),
        "hidden": (Secret(SECRET),),
    }
    return Request(**(members | changes))


def _send(asynchronous: bool, handle: Any, request: Request) -> Response:
    if not asynchronous:
        with httpx.Client(transport=httpx.MockTransport(handle)) as client:
            return HttpxTransport(client).send(request)

    async def run() -> Response:
        async with httpx.AsyncClient(transport=httpx.MockTransport(handle)) as client:
            return await AsyncHttpxTransport(client).send(request)

    return asyncio.run(run())


def test_a_request_shows_no_hidden_secret() -> None:
    """Place, URL for log lines and repr are masked; the URL that is sent is whole."""
    request = _request()
    assert request.place == "DELETE http://127.0.0.1:9/3.0/projects/P/keys/[key]"
    assert request.shown_url == "http://127.0.0.1:9/3.0/projects/P/keys/[key]?q=[key]"
    assert request.url.count(SECRET) == 2
    assert SECRET not in repr(request)
    assert request.redact(f"{SECRET} and {KEY}") == "[key] and [key]"


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_httpx_sends_it_and_logs_a_mask(asynchronous: bool, caplog: pytest.LogCaptureFixture) -> None:
    """The server gets the true address; the line that httpx logs for each request has the mask."""
    caplog.set_level(logging.DEBUG)
    seen: list[bytes] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.raw_path)
        return httpx.Response(204)

    assert _send(asynchronous, handle, _request()).status == 204
    assert seen == [f"/3.0/projects/P/keys/{SECRET}?q={SECRET}".encode()]
    assert "/keys/[key]" in caplog.text
    assert SECRET not in caplog.text
    assert not any(SECRET in repr(record.args) for record in caplog.records)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_a_failure_shows_a_mask(asynchronous: bool) -> None:
    """Also where the library's own words repeat the address."""

    def handle(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError(f"cut at {SECRET}")

    with pytest.raises(OutcomeUnknownError) as caught:
        _send(asynchronous, handle, _request())
    assert SECRET not in f"{caught.value!r}{caught.value.hint}"
    assert "cut at [key]" in str(caught.value)


def test_a_real_connection_takes_the_address_too(raw_server: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Not only the library's stand-in: over a socket, at the most talkative level."""
    caplog.set_level(logging.DEBUG)
    server = raw_server("ok")
    transport = HttpxTransport()
    assert transport.send(_request(base_url=server.url)).status == 201
    transport.close()
    assert caplog.records
    assert SECRET not in caplog.text
