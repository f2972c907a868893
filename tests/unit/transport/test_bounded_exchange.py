"""An exchange with an end: every wait of it is cut to what is left, and so is the whole."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest
import respx

from keen_client._foundation.clock import SystemClock
from keen_client.errors import OutcomeUnknownError
from keen_client.testing.clocks import VirtualClock
from keen_client.transport import AsyncHttpxTransport, HttpxTransport, Request, Response, Secret, Timeouts
from keen_client.transport import httpx_transport as module
from keen_client.transport.httpx_transport import _deadline_of, _timeouts_of

RawServerFactory = Callable[[str], Any]
URL = "https://api.keen.io/3.0/projects/P/events"


def _request(**changes: Any) -> Request:
    members: dict[str, Any] = {
        "method": "POST",
        "base_url": "https://api.keen.io",
        "path": "/3.0/projects/P/events",
        "kind": "write",
        "body": b"{}",
        "key": Secret("WRITEKEY"),
        **changes,
    }
    return Request(**members)


def _waits(
    request: Request, own: Timeouts | None, clock: VirtualClock | None = None
) -> Mapping[str, float | None]:
    return _timeouts_of(request, own, httpx.Timeout(None), _deadline_of(request, clock or VirtualClock()))


def test_each_wait_gets_what_is_left_and_no_more_than_usual() -> None:
    """What connecting took is not there for reading; an end that has passed leaves next to nothing, not for ever."""
    clock = VirtualClock()
    usual = Timeouts(connect_seconds=5, write_seconds=60, read_seconds=60, pool_seconds=60)
    waits = _waits(_request(within_seconds=8.0), usual, clock)
    assert (waits.get("connect"), waits.get("read"), waits.get("nothing")) == (5.0, 8.0, None)
    clock.advance(6)
    assert (waits.get("connect"), waits.get("write"), waits.get("read")) == (2.0, 2.0, 2.0)
    clock.advance(6)
    assert [waits.get(name) for name in waits] == [0.001] * len(waits) == [0.001] * 4


def test_a_given_client_without_timeouts_is_bounded_too() -> None:
    """Where the caller's own client would wait for ever."""
    waits = _waits(_request(within_seconds=8.0), None)
    assert [waits.get(name) for name in ("connect", "read", "write", "pool")] == [8.0] * 4
    assert _waits(_request(), None).get("read") is None


def _send(request: Request, asynchronous: bool, client: Any = None) -> Response:
    usual = Timeouts.for_writes(200.0)  # more than a test may take

    async def send() -> Response:
        transport = AsyncHttpxTransport(client, timeouts=usual)
        try:
            return await transport.send(request)
        finally:
            await transport.close()

    if asynchronous:
        return asyncio.run(send())
    with contextlib.closing(HttpxTransport(client, timeouts=usual)) as transport:
        return transport.send(request)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_server_that_says_nothing_is_left_in_time(asynchronous: bool, raw_server: RawServerFactory) -> None:
    """With an end the usual minute is not waited for: whether it arrived is unknown."""
    server = raw_server("silent")
    with pytest.raises(OutcomeUnknownError, match="ReadTimeout"):
        _send(_request(base_url=server.url, within_seconds=0.3), asynchronous)


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("script", ["trickled_head", "trickled_body", "trickled_gzip", "interim_without_end"])
def test_a_server_that_comes_to_no_end_is_left_in_time(
    script: str, asynchronous: bool, raw_server: RawServerFactory
) -> None:
    """Each piece of the answer comes soon after the one before: what may it be, the exchange is over in time."""
    server = raw_server(script)
    with pytest.raises(OutcomeUnknownError, match=r"took over 0\.3 s|ReadTimeout"):
        _send(_request(base_url=server.url, within_seconds=0.3), asynchronous)


@pytest.mark.parametrize("script", ["trickled_head", "interim_without_end"])
def test_no_exchange_is_without_end(
    script: str, raw_server: RawServerFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the request sets no end itself, and the client is the caller's own."""
    monkeypatch.setattr(module, "ANSWER_SECONDS_MAX", 0.3)
    server = raw_server(script)
    with httpx.Client(timeout=None) as client, pytest.raises(OutcomeUnknownError):
        _send(_request(base_url=server.url), asynchronous=False, client=client)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_server_that_takes_a_few_bytes_at_a_time_is_left_in_time(asynchronous: bool) -> None:
    """The request is large, the server takes some of it now and then, and would need a day for the whole."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        left = threading.Event()
        sipping = threading.Thread(target=_sip, args=(listener, left))
        sipping.start()
        request = _request(
            base_url=f"http://127.0.0.1:{listener.getsockname()[1]}",
            body=b"x" * 32_000_000,
            within_seconds=0.5,
        )
        with pytest.raises(OutcomeUnknownError):
            _send(request, asynchronous)
        left.set()
        sipping.join()


def _sip(listener: socket.socket, left: threading.Event) -> None:
    connection, _ = listener.accept()
    with connection:
        while connection.recv(4096) and not left.wait(0.02):
            pass


class _PutAhead(SystemClock):
    """The machine's clock, which may be put ahead."""

    ahead_ns = 0

    def monotonic_ns(self) -> int:
        return super().monotonic_ns() + self.ahead_ns


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_kept_connection_keeps_the_deadline_of_the_exchange_at_hand(
    asynchronous: bool, raw_server: RawServerFactory
) -> None:
    """The first exchange's end is long past when the second begins, and the third's is kept."""
    server = raw_server("twice_and_then_trickle")
    clock = _PutAhead()
    first, second, third = (
        _request(base_url=server.url, within_seconds=seconds) for seconds in (30.0, 200.0, 0.3)
    )

    async def asend() -> list[int]:
        transport = AsyncHttpxTransport(clock=clock)
        statuses = [(await transport.send(first)).status]
        clock.ahead_ns += 100 * 10**9
        statuses.append((await transport.send(second)).status)
        with pytest.raises(OutcomeUnknownError):
            await transport.send(third)
        await transport.close()
        return statuses

    def send() -> list[int]:
        transport = HttpxTransport(clock=clock)
        statuses = [transport.send(first).status]
        clock.ahead_ns += 100 * 10**9
        statuses.append(transport.send(second).status)
        with pytest.raises(OutcomeUnknownError):
            transport.send(third)
        transport.close()
        return statuses

    assert (asyncio.run(asend()) if asynchronous else send()) == [201, 201]
    assert len(server.requests) == 1  # one connection


class _Trickle(httpx.SyncByteStream):
    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock

    def __iter__(self) -> Any:
        while True:
            self._clock.advance(1)
            yield b"a"


@respx.mock
def test_an_answer_that_trickles_is_left_in_time() -> None:
    """Each byte comes soon after the one before, and they have no end."""
    clock = VirtualClock()
    respx.post(URL).mock(return_value=httpx.Response(200, stream=_Trickle(clock)))
    with pytest.raises(OutcomeUnknownError, match="took over 30 s"):
        HttpxTransport(clock=clock).send(_request(within_seconds=30.0))
    assert clock.monotonic_ns() <= 40 * 10**9
