"""A client and a server in one process, on one clock that only the simulation moves.

Both are the production ones: the client talks through ``httpx``, the server
is its ASGI application. In between stands no socket but a call, and where the
server would wait or use a thread, simulated time passes.
"""

from __future__ import annotations

import random
import threading
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final
from unittest.mock import patch

import attrs
import httpx
import orjson

from keen_client import KeenClient
from keen_client._foundation.clock import MS_PER_HOUR, MS_PER_SECOND, ms_to_iso
from keen_client._foundation.randomness import SeededRandomness
from keen_client.client.wiring import Seams
from keen_client.server import FaultEngine, Project, Store, create_app
from keen_client.server import app as server_app
from keen_client.server.app import ConnectionCut
from keen_client.server.control import Control
from keen_client.testing.clocks import VirtualClock

PROJECT: Final = Project("5f0000000000000000000001", "W" * 32, "R" * 32, "M" * 32)
#: Not a loopback address: the client is to be as patient as with a far server.
BASE_URL: Final = "https://keen.simulated"
COLLECTIONS: Final = ("purchases", "visits")
#: What a request and its answer take.
ROUND_TRIP_SECONDS: Final = 0.04


class ShiftedClock:
    """The server's clock: the world's, off by ``offset_ms``."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.offset_ms = 0

    def wall_ms(self) -> int:
        return self._clock.wall_ms() + self.offset_ms

    def monotonic_ns(self) -> int:
        return self._clock.monotonic_ns()

    def wait(self, event: threading.Event, timeout_seconds: float | None) -> bool:
        return self._clock.wait(event, timeout_seconds)

    def sleep(self, seconds: float) -> None:
        self._clock.sleep(seconds)


@attrs.frozen
class Sent:
    """One event in one request: its attempt number, the client's time, and its token."""

    a: int
    at_ms: int
    token: str


@attrs.frozen
class Recorded:
    """One event as the client recorded it. Times are UTC milliseconds since 1970."""

    id: str
    collection: str
    timestamp_ms: int


class InProcess(httpx.BaseTransport):
    """Calls the application where others would open a connection."""

    def __init__(self, app: Callable[..., Awaitable[None]], clock: VirtualClock) -> None:
        self._app = app
        self._clock = clock
        #: Every event of every write, by id, in the order of sending.
        self.sent: dict[str, list[Sent]] = defaultdict(list)
        self.requests = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer *request*; a cut line and an answer that comes too late raise what httpx raises."""
        body = request.read()
        self.requests += 1
        self._note(request, body)
        started_ns = self._clock.monotonic_ns()
        self._clock.advance(ROUND_TRIP_SECONDS / 2)
        try:
            response = self._call(request, body)
        except ConnectionCut:
            raise httpx.ReadError("the line was cut", request=request) from None
        self._clock.advance(ROUND_TRIP_SECONDS / 2)
        patience = request.extensions.get("timeout", {}).get("read")
        if patience is not None and self._clock.monotonic_ns() - started_ns > patience * 1e9:
            raise httpx.ReadTimeout("no answer in time", request=request)
        return response

    def _note(self, request: httpx.Request, body: bytes) -> None:
        if request.method != "POST" or not request.url.path.endswith("/events"):
            return
        at_ms = self._clock.wall_ms()
        for collection, events in orjson.loads(body).items():
            if collection in COLLECTIONS:
                for event in events:
                    stamp = event["kc"]
                    sent = Sent(stamp["a"], at_ms, event["keen"]["uniqueness_token"])
                    self.sent[stamp["id"]].append(sent)

    def _call(self, request: httpx.Request, body: bytes) -> httpx.Response:
        messages: list[MutableMapping[str, Any]] = []

        async def receive() -> Mapping[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            messages.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "path": request.url.path,
            "raw_path": request.url.raw_path.partition(b"?")[0],
            "query_string": request.url.query,
            "root_path": "",
            "scheme": "https",
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "client": ("127.0.0.1", 1),
            "server": ("keen.simulated", 443),
        }
        _run(self._app(scope, receive, send))
        start = next(message for message in messages if message["type"] == "http.response.start")
        content = b"".join(m.get("body", b"") for m in messages if m["type"] == "http.response.body")
        return httpx.Response(start["status"], headers=start["headers"], content=content)


def _run(work: Awaitable[None]) -> None:
    """Run *work* to its end. It never waits for anything, so it needs no loop."""
    steps = work.__await__()
    try:
        next(steps)
    except StopIteration:
        return
    raise AssertionError("the application waited for something that the simulation does not know of")


@contextmanager
def waiting_in(clock: VirtualClock) -> Iterator[None]:
    """Where the application sleeps, *clock* moves; where it uses a thread, it uses this one."""

    async def sleep(seconds: float) -> None:
        clock.advance(seconds)

    async def run_sync(work: Callable[..., Any], *args: Any) -> Any:
        return work(*args)

    stand_in = SimpleNamespace(sleep=sleep, to_thread=SimpleNamespace(run_sync=run_sync))
    with patch.object(server_app, "anyio", stand_in):
        yield


class World:
    """Everything there is in one simulated history, made from one seed."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.clock = VirtualClock()
        self.server_clock = ShiftedClock(self.clock)
        self.chance = random.Random(seed)
        self.store = Store(clock=self.server_clock)
        with self.store.reading() as engine:
            # Few rows: one thread is faster than the agreement of several.
            engine.fetch("SET threads = 1")
            engine.fetch("PRAGMA disable_optimizer")
        self.faults = FaultEngine(seed=self.chance.getrandbits(32))
        self.control = Control(self.store, self.faults)
        self.wire = InProcess(create_app(PROJECT, self.store, self.faults, self.server_clock), self.clock)
        self._http = httpx.Client(transport=self.wire)
        self.client = KeenClient(
            PROJECT.id,
            PROJECT.write_key,
            PROJECT.read_key,
            base_url=BASE_URL,
            log=directory / "log",
            background=False,
            http_client=self._http,
            post_timeout=60.0,
            get_timeout=305.0,
            seams=Seams(self.clock, SeededRandomness(self.chance.getrandbits(32))),
        )
        self.recorded: dict[str, Recorded] = {}
        #: From when to when an event was not to be seen before it came back.
        self.away: dict[str, tuple[int, int]] = {}

    def close(self) -> None:
        """Close the client without a last attempt, and the server."""
        self.client.close(0)
        self._http.close()
        self.store.close()

    def advance_to(self, wall_ms: int) -> None:
        """Let time pass until *wall_ms*, unless it has."""
        self.clock.advance(max(0, wall_ms - self.clock.wall_ms()) / MS_PER_SECOND)

    def record(self, count: int, hour_ms: int, collections: Sequence[str] = COLLECTIONS) -> None:
        """Record *count* events a collection, dated within the hour that begins at *hour_ms*."""
        batch = {
            collection: [
                {
                    "amount": self.chance.randrange(10_000),
                    "user": f"u{self.chance.randrange(50)}",
                    "keen": {"timestamp": ms_to_iso(hour_ms + self.chance.randrange(MS_PER_HOUR))},
                }
                for _ in range(count)
            ]
            for collection in collections
        }
        for collection, receipts in self.client.add_events(batch).items():
            for receipt in receipts:
                assert receipt.id is not None
                timestamp_ms = round(receipt.timestamp.timestamp() * MS_PER_SECOND)
                self.recorded[receipt.id] = Recorded(receipt.id, collection, timestamp_ms)

    def resurrect(self) -> None:
        """Bring back what has vanished, and remember how long it was away."""
        self._note_away("vanish", "vanish > 0 AND vanish <= $1")
        assert self.control.resurrect()["resurrected"], "nothing had vanished"

    def release(self) -> None:
        """Show what is delayed, and remember how long it was hidden."""
        self._note_away("created", "visible > $1")
        assert self.control.release()["released"], "nothing was delayed"

    def _note_away(self, since: str, condition: str) -> None:
        now_ms = self.server_clock.wall_ms()
        with self.store.reading() as engine:
            for collection in engine.collections:
                table = engine._tables[collection]
                sql = f"SELECT {since}, body FROM {table.sql} WHERE {condition}"
                for since_ms, body in engine.fetch(sql, [now_ms]):
                    self.away[orjson.loads(body)["kc"]["id"]] = (since_ms, now_ms)

    def dead_ids(self) -> set[str]:
        """The events that the client holds as dead letters."""
        log = self.client.event_log
        assert log is not None
        return {str(letter.id) for letter in log.dead_letters.list()}
