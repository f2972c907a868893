"""An exchange with an end: every wait of it is cut to what is left, and so is the whole."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import respx

from keen_client.errors import OutcomeUnknownError
from keen_client.testing.clocks import VirtualClock
from keen_client.transport import AsyncHttpxTransport, HttpxTransport, Request, Secret, Timeouts
from keen_client.transport.httpx_transport import _timeout_for

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


def test_each_wait_gets_what_is_left_and_no_more_than_usual() -> None:
    """What connecting took is not there for reading; an end that has passed leaves next to nothing, not for ever."""
    clock = VirtualClock()
    usual = Timeouts(connect_seconds=5, write_seconds=60, read_seconds=60, pool_seconds=60)
    waits = _timeout_for(_request(within_seconds=8.0), usual, httpx.Timeout(None), clock)
    assert (waits.get("connect"), waits.get("read"), waits.get("nothing")) == (5.0, 8.0, None)
    clock.advance(6)
    assert (waits.get("connect"), waits.get("write"), waits.get("read")) == (2.0, 2.0, 2.0)
    clock.advance(6)
    assert [waits.get(name) for name in waits] == [0.001] * len(waits) == [0.001] * 4


def test_a_given_client_without_timeouts_is_bounded_too() -> None:
    """Where the caller's own client would wait for ever."""
    waits = _timeout_for(_request(within_seconds=8.0), None, httpx.Timeout(None), VirtualClock())
    assert [waits.get(name) for name in ("connect", "read", "write", "pool")] == [8.0] * 4
    assert _timeout_for(_request(), None, httpx.Timeout(None), VirtualClock()).get("read") is None


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_server_that_says_nothing_is_left_in_time(
    asynchronous: bool, raw_server: Callable[[str], Any]
) -> None:
    """With an end the usual minute is not waited for: whether it arrived is unknown."""
    server = raw_server("silent")
    request = _request(base_url=server.url, within_seconds=0.3)
    usual = Timeouts.for_writes(200.0)  # more than a test may take

    def send() -> object:
        if asynchronous:
            return asyncio.run(AsyncHttpxTransport(timeouts=usual).send(request))
        return HttpxTransport(timeouts=usual).send(request)

    with pytest.raises(OutcomeUnknownError, match="ReadTimeout"):
        send()


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
