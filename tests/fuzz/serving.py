"""The target that speaks to the local server: raw bytes on a connection, from its first line on."""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final

import attrs
import uvicorn
from uvicorn.server import ServerState

from keen_client.server import FaultEngine, Project, Store, create_app
from keen_client.server.protocol import LocalProtocol
from keen_client.testing.clocks import VirtualClock
from tests.fuzz.target import Target, expect, once

_MASTER: Final = "24077ACBCB198BAAA2110EDDB673282F8E34909FD823A15C55A6253A664BE368"
_PROJECT: Final = Project("5f0000000000000000000001", "W" * 64, "R" * 64, _MASTER, "Local")
_EVENTS_MAX: Final = 2_000
_STATUS: Final = re.compile(rb"HTTP/1\.1 (\d{3}) ")


class _Wire(asyncio.Transport):
    """The other end of a connection, in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = bytearray()
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("127.0.0.1", 5), "sockname": ("127.0.0.1", 80)}.get(name, default)

    def pause_reading(self) -> None:
        """All has come."""

    def resume_reading(self) -> None:
        """All has come."""


@attrs.define
class _House:
    """A server in memory, opened anew before it has grown."""

    loop: asyncio.AbstractEventLoop
    config: uvicorn.Config
    store: Store
    served: int = 0


def _open() -> _House:
    loop = asyncio.new_event_loop()
    store = Store(None, clock=VirtualClock(1_795_435_200_000))
    app = create_app(_PROJECT, store, FaultEngine(seed=1), VirtualClock(1_795_435_200_000))
    config = uvicorn.Config(
        app,
        http=LocalProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        date_header=False,
    )
    config.load()
    return _House(loop, config, store)


@once
def _houses() -> list[_House]:
    return [_open()]


def http(data: bytes) -> None:
    """Any bytes: whole answers or none, and never one that says that the server itself is broken."""
    houses = _houses()
    if houses[0].served > _EVENTS_MAX:
        houses[0].store.close()
        houses[0].loop.close()
        houses[0] = _open()
    house = houses[0]
    house.served += 1
    wire = _Wire()
    house.loop.run_until_complete(_talk(house, wire, data))
    for status in _STATUS.findall(bytes(wire.sent)):
        expect(status[:1] != b"5", f"the server answered {status.decode()}")
    expect(not wire.sent or wire.sent.startswith(b"HTTP/1.1 "), "what is sent is HTTP")


async def _talk(house: _House, wire: _Wire, data: bytes) -> None:
    state = ServerState()
    protocol = LocalProtocol(config=house.config, server_state=state, app_state={}, _loop=house.loop)
    protocol.connection_made(wire)
    # In two pieces: what is cut off at any place is waited for.
    middle = len(data) // 2
    for piece in (data[:middle], data[middle:]):
        if piece and not wire.closed:  # asyncio hands over nothing that is empty
            protocol.data_received(piece)
        await asyncio.sleep(0)
    protocol.eof_received()
    protocol.connection_lost(None)
    while state.tasks:
        await asyncio.wait(state.tasks)


def _request(method: bytes, path: bytes, body: bytes = b"", *headers: bytes) -> bytes:
    lines = [b"%s %s HTTP/1.1" % (method, path), b"Host: x", b"Authorization: " + _MASTER.encode(), *headers]
    if body:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


_P: Final = b"/3.0/projects/5f0000000000000000000001"
HTTP: Final = Target(
    "http",
    http,
    seeds=[
        _request(b"POST", _P + b"/events/c", b'{"a":1,"keen":{"timestamp":"2026-11-23T12:00:00Z"}}'),
        _request(b"POST", _P + b"/events", b'{"c":[{"a":1},{"a":[1,{"b":null}]}],"d":[]}'),
        _request(b"GET", _P + b"/events/c?data=eyJhIjoxfQ==&modified=1"),
        _request(
            b"GET", _P + b"/queries/count?event_collection=c&timeframe=this_7_days&interval=daily&group_by=a"
        ),
        _request(
            b"POST",
            _P + b"/queries/multi_analysis",
            b'{"event_collection":"c","timeframe":{"start":"2026-01-01","end":"2027-01-01"},"timezone":"US/Pacific",'
            b'"analyses":{"x":{"analysis_type":"percentile","target_property":"a","percentile":50}},'
            b'"filters":[{"property_name":"a","operator":"within","property_value":{"coordinates":[1,2],"max_distance_miles":3}}]}',
        ),
        _request(
            b"POST",
            _P + b"/queries/funnel",
            b'{"steps":[{"event_collection":"c","actor_property":"a","timeframe":"this_day","inverted":true}]}',
        ),
        _request(
            b"PUT",
            _P + b"/queries/saved/q",
            b'{"query":{"analysis_type":"count","event_collection":"c","timeframe":"this_day"},"refresh_rate":14400}',
        ),
        _request(b"GET", _P + b"/queries/saved/q/result"),
        _request(
            b"PUT",
            _P + b"/datasets/d",
            b'{"display_name":"d","index_by":"a","query":{"analysis_type":"count","event_collection":"c","timeframe":"this_day","interval":"daily"}}',
        ),
        _request(b"GET", _P + b'/datasets/d/results?index_by={"a":1}&timeframe=this_2_days'),
        _request(
            b"POST",
            _P + b"/keys",
            b'{"name":"k","permitted":["queries"],"options":{"queries":{"filters":[]}}}',
        ),
        _request(b"DELETE", _P + b"/events/c?timeframe=this_day&filters=[]"),
        _request(b"POST", b"/_control/faults", b'{"lose":0.0}'),
        _request(b"OPTIONS", _P, b"", b"Origin: http://x") + _request(b"HEAD", b"/"),
        b"POST "
        + _P
        + b"/events/c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nAuthorization: "
        + b"W" * 64
        + b'\r\n\r\n7\r\n{"a":1}\r\n0\r\n\r\n',
    ],
    words=[
        *(
            b"GET ",
            b"POST ",
            b"PUT ",
            b"DELETE ",
            b"HEAD ",
            b" HTTP/1.1\r\n",
            b"\r\n\r\n",
            b"\r\n",
            _P,
            b"/events",
            b"/queries/",
        ),
        *(
            b"count",
            b"sum",
            b"select_unique",
            b"extraction",
            b"funnel",
            b"?event_collection=c",
            b"&timeframe=",
            b"this_1_days",
        ),
        *(
            b"&interval=",
            b"&group_by=",
            b"&filters=",
            b'{"property_name":"a","operator":"',
            b"contains",
            b"regex",
            b'"}',
        ),
        *(
            b"Authorization: ",
            _MASTER.encode(),
            b"Content-Length: ",
            b"Transfer-Encoding: chunked\r\n",
            b"Host: x\r\n",
        ),
        *(
            b"%00",
            b"%2F",
            b"%ff",
            b"..",
            b"[",
            b"]",
            b"{",
            b"}",
            b'"',
            b":",
            b",",
            b"null",
            b"1e999",
            b"-1",
            b"\xff",
            b"&latest=",
            b"&percentile=",
            b"&order_by=",
        ),
    ],
)
