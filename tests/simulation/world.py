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
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final
from unittest.mock import patch

import attrs
import httpx
import orjson

from keen_client import KeenClient
from keen_client._foundation.clock import MS_PER_HOUR, MS_PER_SECOND, Clock, ms_to_iso
from keen_client._foundation.randomness import SeededRandomness
from keen_client.client.wiring import Seams
from keen_client.events.identity import BLOCK_ENTRIES, EntryId
from keen_client.server import FaultEngine, Project, Store, create_app
from keen_client.server import services as server_services
from keen_client.server.control import Control
from keen_client.server.reply import ConnectionCut
from keen_client.testing.clocks import VirtualClock
from tests.simulation.reached import step_of

PROJECT: Final = Project("5f0000000000000000000001", "W" * 32, "R" * 32, "M" * 32)
#: Not a loopback address: the client is to be as patient as with a far server.
BASE_URL: Final = "https://keen.simulated"
COLLECTIONS: Final = ("purchases", "visits")
#: What a request and its answer take.
ROUND_TRIP_SECONDS: Final = 0.04
#: The property that only events of others have.
OTHERS: Final = "of_others"


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
        #: The rungs of the ladder on which a query stood, and the collections asked for.
        self.asked: set[str] = set()
        self.collections_asked: set[str] = set()
        self.requests = self.writes = 0
        #: Called before a request leaves, and when its answer is there; the first may answer in the server's place.
        self.on_leaving: Callable[[httpx.Request], httpx.Response | None] = lambda _request: None
        self.on_answer: Callable[[], None] = lambda: None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer *request*; a cut line and an answer that comes too late raise what httpx raises."""
        body = request.read()
        self.requests += 1
        stopped = self.on_leaving(request)
        if stopped is not None:
            return stopped
        self._note(request, body)
        started_ns = self._clock.monotonic_ns()
        self._clock.advance(ROUND_TRIP_SECONDS / 2)
        try:
            response = self._call(request, body)
        except ConnectionCut:
            raise httpx.ReadError("the line was cut", request=request) from None
        self.on_answer()
        self._clock.advance(ROUND_TRIP_SECONDS / 2)
        patience = request.extensions.get("timeout", {}).get("read")
        if patience is not None and self._clock.monotonic_ns() - started_ns > patience * 1e9:
            raise httpx.ReadTimeout("no answer in time", request=request)
        return response

    def _note(self, request: httpx.Request, body: bytes) -> None:
        *_, kind, name = request.url.path.split("/")
        if request.method != "POST" or (kind != "queries" and name != "events"):
            return
        document, at_ms = orjson.loads(body), self._clock.wall_ms()
        if kind == "queries":
            self.collections_asked.add(document["event_collection"])
            step = step_of(name, document) if document["event_collection"] in COLLECTIONS else None
            self.asked |= {step} if step else set()
            return
        self.writes += 1
        for collection, events in document.items():
            if collection in COLLECTIONS:
                for event in events:
                    if OTHERS in event:
                        continue
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
    with patch.object(server_services, "anyio", stand_in):
        yield


class World:
    """Everything there is in one simulated history, made from one seed."""

    def __init__(
        self,
        directory: Path,
        seed: int,
        make_store: Callable[[Clock], Store] = lambda clock: Store(clock=clock),
        **settings: Any,
    ) -> None:
        """*settings* are those of every client."""
        self.clock = VirtualClock()
        self.server_clock = ShiftedClock(self.clock)
        #: What the client's machine takes for the time.
        self.client_clock = ShiftedClock(self.clock)
        self.chance = random.Random(seed)
        self.store = make_store(self.server_clock)
        with self.store.reading() as engine:
            # Few rows: one thread is faster than the agreement of several.
            engine.fetch("SET threads = 1")
            engine.fetch("PRAGMA disable_optimizer")
        self.faults = FaultEngine(seed=self.chance.getrandbits(32))
        self.control = Control(self.store, self.faults)
        self.wire = InProcess(create_app(PROJECT, self.store, self.faults, self.server_clock), self.clock)
        self._http = httpx.Client(transport=self.wire)
        self._settings = settings
        self.client = self.open_client(directory / "log")
        self.recorded: dict[str, Recorded] = {}
        #: Ids under which somebody else sent other events.
        #: The hours, in UTC ms, of the events that others sent under ids of ours.
        self.impostors: dict[str, int] = {}
        #: From when to when an event was not to be seen before it came back.
        self.away: dict[str, tuple[int, int]] = {}

    def open_client(self, log: Path) -> KeenClient:
        """A client of the log in that directory, on the machine of all clients."""
        return KeenClient(
            PROJECT.id,
            PROJECT.write_key,
            PROJECT.read_key,
            base_url=BASE_URL,
            log=log,
            background=False,
            http_client=self._http,
            post_timeout=60.0,
            get_timeout=305.0,
            seams=Seams(self.client_clock, SeededRandomness(self.chance.getrandbits(32))),
            **self._settings,
        )

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

    def record_by_others(
        self, count: int, hour_ms: int, collections: Sequence[str], *, at_ours: bool = False
    ) -> None:
        """Have others write *count* events a collection: every second one without stamps, the rest with a log's own.

        *at_ours*: all are without, at the very instants of those that were recorded last.
        """
        for collection in collections if count else ():
            events = [self._event_of_others(hour_ms) for _ in range(count)]
            instants = [r.timestamp_ms for r in self.recorded.values() if r.collection == collection][-count:]
            for number, event in enumerate(events):
                if at_ours:
                    event["keen"]["timestamp"] = ms_to_iso(instants[number])
                elif number % 2:
                    event["kc"] = self._stamp(EntryId("0123456789", self.chance.getrandbits(30)))
            self._post({collection: events})

    def impersonate(self, count: int, hour_ms: int) -> None:
        """Have a running clone of the log send other events under the ids that were given last.

        Of its events every second one comes first, and its token swallows the
        event of ours; the others have a token of their own, and there are two.
        """
        newest = list(self.recorded.values())[-count:]
        for number, recorded in enumerate(newest):
            event = self._event_of_others(hour_ms)
            event["kc"] = self._stamp(EntryId.parse(recorded.id))
            event["keen"]["uniqueness_token"] = recorded.id + ("" if number % 2 else "-clone")
            self._post({recorded.collection: [event]})
            self.impostors[recorded.id] = hour_ms

    def _event_of_others(self, hour_ms: int) -> dict[str, Any]:
        timestamp = ms_to_iso(hour_ms + self.chance.randrange(MS_PER_HOUR))
        return {OTHERS: True, "amount": self.chance.randrange(10_000), "keen": {"timestamp": timestamp}}

    def _stamp(self, entry_id: EntryId) -> dict[str, Any]:
        block, place = divmod(entry_id.seq, BLOCK_ENTRIES)
        return {
            "v": 1,
            "id": str(entry_id),
            "o": entry_id.origin,
            "b": block,
            "p": 4**place,
            "h": self.chance.getrandbits(32),
            "g": self.chance.getrandbits(32),
            "a": 0,
        }

    def _post(self, events: Mapping[str, Any]) -> None:
        """Write without the client, as another one would, which does not care for the answer."""
        url = f"{BASE_URL}/3.0/projects/{PROJECT.id}/events"
        with suppress(httpx.TransportError):
            self._http.post(url, json=dict(events), headers={"Authorization": PROJECT.write_key})

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
        log = self.client._core.event_log
        assert log is not None
        return {str(letter.id) for letter in log.dead_letters.list()}
