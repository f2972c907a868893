"""What each failure says about the request: surely not sent, or unknown.

Twice: every exception class of httpx by respx, and real failures of real
sockets, each for the sync and the async transport.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable
from typing import Any, Protocol

import httpx
import pytest
import respx

from keen_client.errors import KeenError, NotSentError, OutcomeUnknownError, TransportError
from keen_client.transport import AsyncHttpxTransport, HttpxTransport, Request, Response, Secret, Timeouts

KEY = "A" * 31 + "key-that-must-not-be-seen"
NOT_SENT = {
    "ConnectError",
    "ConnectTimeout",
    "PoolTimeout",
    "ProxyError",
    "UnsupportedProtocol",
    "LocalProtocolError",
    "InvalidURL",
}


class Send(Protocol):
    """Send one request over a fresh transport, sync or async."""

    def __call__(self, request: Request, **client: Any) -> Response:
        """Arguments for a client of the caller's."""


def _send_sync(request: Request, **client: Any) -> Response:
    if client:
        with httpx.Client(**client) as given:
            return HttpxTransport(given).send(request)
    transport = HttpxTransport(timeouts=Timeouts.of(5.0))
    try:
        return transport.send(request)
    finally:
        transport.close()


def _send_async(request: Request, **client: Any) -> Response:
    async def run() -> Response:
        if client:
            async with httpx.AsyncClient(**client) as given:
                return await AsyncHttpxTransport(given).send(request)
        transport = AsyncHttpxTransport(timeouts=Timeouts.of(5.0))
        try:
            return await transport.send(request)
        finally:
            await transport.close()

    return asyncio.run(run())


@pytest.fixture(params=[_send_sync, _send_async], ids=["sync", "async"])
def send(request: pytest.FixtureRequest) -> Send:
    """Both transports."""
    chosen: Send = request.param
    return chosen


def _request(base_url: str = "https://api.keen.io", **changes: Any) -> Request:
    members: dict[str, Any] = {
        "method": "POST",
        "base_url": base_url,
        "path": "/3.0/projects/P/events",
        "kind": "write",
        "params": (("secret", "query-part"),),
        "body": b'{"c":[{"payload":1}]}',
        "key": Secret(KEY),
        **changes,
    }
    return Request(**members)


def _exception_classes() -> list[type[Exception]]:
    found: list[type[Exception]] = [httpx.InvalidURL]
    todo: list[type[Exception]] = [httpx.RequestError]
    while todo:
        kind = todo.pop()
        found.append(kind)
        todo.extend(kind.__subclasses__())
    return sorted(found, key=lambda kind: kind.__name__)


def _assert_tells_nothing(error: KeenError) -> None:
    """Neither the error nor anything that hangs on it shows key, query part or payload."""
    assert error.__cause__ is None
    assert error.__context__ is None
    shown = "".join(traceback.format_exception(error)) + repr(error) + str(error.hint)
    for hidden in (KEY, "query-part", "payload"):
        assert hidden not in shown


@pytest.mark.parametrize("kind", _exception_classes(), ids=lambda kind: kind.__name__)
def test_every_exception_class_has_its_meaning(kind: type[Exception], send: Send) -> None:
    """Known to fail before a byte leaves: not sent. Every other one: unknown."""
    expected = NotSentError if kind.__name__ in NOT_SENT else OutcomeUnknownError
    with respx.mock:
        respx.post("https://api.keen.io/3.0/projects/P/events").mock(side_effect=kind(f"words with {KEY}"))
        with pytest.raises(TransportError) as caught:
            send(_request())
    assert type(caught.value) is expected
    assert kind.__name__ in str(caught.value)
    _assert_tells_nothing(caught.value)


RawServerFactory = Callable[[str], Any]


@pytest.mark.parametrize("script", ["reset", "hang_up", "half", "garbage", "bad_gzip"])
def test_broken_answer_leaves_the_outcome_unknown(
    script: str, send: Send, raw_server: RawServerFactory
) -> None:
    """The request was read whole; whatever goes wrong then, it may have been acted on."""
    server = raw_server(script)
    with pytest.raises(OutcomeUnknownError) as caught:
        send(_request(server.url))
    assert len(server.requests) == 1
    assert server.requests[0].endswith(b'{"c":[{"payload":1}]}')
    _assert_tells_nothing(caught.value)


def test_no_answer_in_time_leaves_the_outcome_unknown(send: Send, raw_server: RawServerFactory) -> None:
    """A server that says nothing may have stored the event."""
    with pytest.raises(OutcomeUnknownError, match="ReadTimeout"):
        send(_request(raw_server("silent").url, timeout_seconds=0.05))


def test_refused_connection_was_not_sent(send: Send, refused_url: str) -> None:
    """Nobody listens: nothing was stored."""
    with pytest.raises(NotSentError, match="nothing was stored") as caught:
        send(_request(refused_url))
    _assert_tells_nothing(caught.value)


def test_failed_tls_handshake_was_not_sent(send: Send, raw_server: RawServerFactory) -> None:
    """The key and the events never leave before the server has proved who it is."""
    server = raw_server("garbage")
    with pytest.raises(NotSentError, match="SSL"):
        send(_request(server.url.replace("http://", "https://")))
    assert KEY.encode() not in b"".join(server.requests)


def test_tunnel_refused_by_the_proxy_was_not_sent(send: Send, raw_server: RawServerFactory) -> None:
    """A CONNECT is not the request."""
    proxy = raw_server("refuse_tunnel")
    with pytest.raises(NotSentError, match="ProxyError"):
        send(_request("https://api.keen.invalid"), proxy=proxy.url)
    assert proxy.requests[0].startswith(b"CONNECT ")
    assert KEY.encode() not in b"".join(proxy.requests)


def test_once_begun_nothing_is_called_not_sent(send: Send, raw_server: RawServerFactory) -> None:
    """An error class of connecting does not excuse a request whose first bytes have left."""
    server = raw_server("ok")

    def break_late(response: httpx.Response) -> None:
        raise httpx.ConnectError("too late")

    async def abreak_late(response: httpx.Response) -> None:
        raise httpx.ConnectError("too late")

    hook = abreak_late if send is _send_async else break_late
    with pytest.raises(OutcomeUnknownError):
        send(_request(server.url), event_hooks={"response": [hook]})


def test_header_refused_on_our_own_side_was_not_sent(send: Send, raw_server: RawServerFactory) -> None:
    """A header of the caller's own client that HTTP forbids stops the request before it is written."""
    server = raw_server("ok")
    with pytest.raises(NotSentError, match="LocalProtocolError"):
        send(_request(server.url), headers={"X-Bad": "line\nbreak"})
    assert server.requests in ([], [b""])


def test_closed_client_of_the_callers_was_not_sent() -> None:
    """A bare RuntimeError of httpx; nothing left."""
    client = httpx.Client()
    client.close()
    with pytest.raises(NotSentError, match="RuntimeError"):
        HttpxTransport(client).send(_request())


def test_no_key_in_any_log_line(
    send: Send, raw_server: RawServerFactory, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even at the most talkative level of the libraries below."""
    caplog.set_level(logging.DEBUG)
    send(_request(raw_server("ok").url))
    with pytest.raises(OutcomeUnknownError):
        send(_request(raw_server("reset").url))
    assert caplog.records
    assert KEY not in caplog.text
    assert "payload" not in caplog.text


@pytest.mark.parametrize("kind", ["read", "query"])
@pytest.mark.parametrize("failure", [httpx.ConnectError, httpx.ReadTimeout])
def test_failed_read_is_not_told_in_the_words_of_a_write(
    kind: str, failure: type[Exception], send: Send
) -> None:
    """It changed nothing, there is no event to look up, and nothing to be sent again."""
    with respx.mock:
        respx.post(url__startswith="https://api.keen.io").mock(side_effect=failure("cut"))
        with pytest.raises(TransportError) as caught:
            send(_request(kind=kind))
    words = f"{caught.value.message} {caught.value.hint}"
    assert "nothing was" in words
    for word in ("event", "resent", "stored", "acted"):
        assert word not in words.replace("/3.0/projects/P/events", "")
