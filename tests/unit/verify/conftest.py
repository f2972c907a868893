"""A real log, and a server of a hundred lines that counts honestly what it was made to hold."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs
import orjson
import pytest

from keen_client._foundation.clock import MS_PER_HOUR, datetime_to_ms, ms_to_iso
from keen_client._foundation.randomness import SeededRandomness
from keen_client.api.cost import Cost, ServerClock
from keen_client.errors import NotFoundError
from keen_client.eventlog.config import LogConfig
from keen_client.eventlog.directory import Binding
from keen_client.eventlog.entry import DeliveryState
from keen_client.eventlog.log import EventLog
from keen_client.eventlog.outbox import Settlement
from keen_client.events.encoding import encode_event
from keen_client.events.identity import EntryId
from keen_client.events.stamps import wire_event
from keen_client.queries import Analysis
from keen_client.testing.clocks import VirtualClock
from keen_client.verify.presets import preset
from keen_client.verify.report import VerifyReport
from keen_client.verify.verifier import Verifier
from keen_client.verify.windows import Scope

#: The start of the hour in which the worlds begin.
HOUR = 1_790_812_800_000


class CountingServer:
    """Holds events as Keen shows them and answers the queries that a verification asks. In memory."""

    def __init__(self) -> None:
        self.events: dict[str, list[dict[str, Any]]] = {}
        self.queries: list[dict[str, Any]] = []
        self.server_clock: ServerClock | None = None
        #: Called before each query with its number (from 0) and JSON; may raise, or change the events.
        self.before_query: Callable[[int, dict[str, Any]], None] = lambda number, query: None
        #: Called with each answer; what it returns is answered.
        self.alter: Callable[[dict[str, Any], Any], Any] = lambda query, result: result

    @property
    def cost(self) -> Cost:
        return Cost(requests=len(self.queries), bytes=100 * len(self.queries))

    def store(self, collection: str, event: dict[str, Any]) -> None:
        self.events.setdefault(collection, []).append(event)

    def find(self, entry_id: EntryId) -> list[dict[str, Any]]:
        """All copies whose token is that of *entry_id*."""
        return [
            event
            for events in self.events.values()
            for event in events
            if event["keen"].get("uniqueness_token") == str(entry_id)
        ]

    def remove(self, ids: Collection[EntryId]) -> None:
        names = {str(entry_id) for entry_id in ids}
        for events in self.events.values():
            events[:] = [e for e in events if e["keen"].get("uniqueness_token") not in names]

    def query(self, analysis: Analysis, *, all_keys: bool = False) -> Any:
        query = {"analysis_type": analysis.analysis_type, **analysis.to_json()}
        self.queries.append(query)
        self.before_query(len(self.queries) - 1, query)
        if query["event_collection"] not in self.events:
            raise NotFoundError("the server answered 404", status=404)
        return self.alter(query, self._answer(query))

    def _answer(self, query: dict[str, Any]) -> Any:
        start, end = (_ms(query["timeframe"][name]) for name in ("start", "end"))
        events = [
            event
            for event in self.events[query["event_collection"]]
            if start <= _ms(event["keen"]["timestamp"]) < end
            and all(_holds(f, event) for f in query.get("filters", []))
        ]
        if query["analysis_type"] == "extraction":
            return copy.deepcopy(events)
        names = query.get("group_by", [])
        groups = sorted({tuple(get(e, n) for n in names) for e in events}, key=str)
        if "interval" not in query:
            return [self._row(query, names, group, events) for group in groups]
        step = {"minutely": 60_000, "hourly": MS_PER_HOUR, "daily": 24 * MS_PER_HOUR}.get(query["interval"])
        if step is None:
            step = int(query["interval"].split("_")[1]) * 60_000
        return [
            {
                "value": [
                    self._row(
                        query, names, g, [e for e in events if at <= _ms(e["keen"]["timestamp"]) < at + step]
                    )
                    for g in groups
                ],
                "timeframe": {"start": ms_to_iso(at), "end": ms_to_iso(at + step)},
            }
            for at in range(start, end, step)
        ]

    def _row(
        self, query: dict[str, Any], names: list[str], group: tuple[Any, ...], events: list[dict[str, Any]]
    ) -> dict[str, Any]:
        inside = [e for e in events if tuple(get(e, n) for n in names) == group]
        row: dict[str, Any] = dict(zip(names, group, strict=True))
        for label, part in query.get("analyses", {"result": {"analysis_type": "count"}}).items():
            values = [get(e, part.get("target_property", "")) for e in inside]
            numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
            row[label] = {
                "count": len(inside),
                "sum": sum(numbers),
                "maximum": max(numbers, default=None),
            }[part["analysis_type"]]
        return row


def get(event: Any, path: str) -> Any:
    """The property at a dotted path; None when it is missing."""
    for name in path.split("."):
        event = event.get(name) if isinstance(event, dict) else None
    return event


def _ms(text: str | None) -> int:
    return -(2**60) if text is None else datetime_to_ms(datetime.fromisoformat(text))


def _holds(condition: dict[str, Any], event: dict[str, Any]) -> bool:
    if condition["operator"] == "or":
        return any(_holds(operand, event) for operand in condition["operands"])
    value, wanted = get(event, condition["property_name"]), condition["property_value"]
    match condition["operator"]:
        case "eq":
            return bool(value == wanted)
        case "in":
            return bool(value in wanted)
        case "exists":
            return (value is not None) == bool(wanted)
        case "lt":
            return value is not None and bool(value < wanted)
        case "gte":
            return value is not None and bool(value >= wanted)
    raise AssertionError(condition)


class World:
    """A log, a clock and a server; what is recorded is sent by :meth:`send`, as a sender would."""

    def __init__(self, path: Path, *, audit: tuple[str, ...] | None = None) -> None:
        self.clock = VirtualClock(HOUR)
        self.server = CountingServer()
        config = LogConfig(durability="normal", audit=audit)
        self.log = EventLog(
            path, Binding("http://127.0.0.1:1", "p"), config, self.clock, SeededRandomness(1), boot_id="b"
        )

    def record(
        self, count: int = 1, *, collection: str = "purchases", at_ms: int | None = None, **properties: Any
    ) -> list[EntryId]:
        """Record events, each a millisecond after the other from *at_ms* (default: now)."""
        start = self.clock.wall_ms() if at_ms is None else at_ms
        body = {"item": "book", "price": 10, **properties}
        events = [
            attrs.evolve(encode_event(collection, body), timestamp_ms=start + number)
            for number in range(count)
        ]
        return [recorded.id for recorded in self.log.record_all(events)]

    def send(
        self,
        state: DeliveryState = DeliveryState.ACKNOWLEDGED,
        *,
        lose: Collection[EntryId] = (),
        resend_unknown: bool = False,
    ) -> None:
        """Send all that is due; the server stores all but *lose*, and every outcome is *state*."""
        while True:
            claim = self.log.outbox.claim(
                events_max=500,
                bytes_max=9_000_000,
                resend_unknown_since_ms=0 if resend_unknown else None,
            )
            if claim is None:
                return
            for claimed in claim.entries:
                e = claimed.stamped.entry
                text = wire_event(
                    e.origin,
                    e.seq,
                    e.timestamp_ms,
                    e.body,
                    e.keen,
                    (claimed.stamped.h, claimed.stamped.g),
                    claimed.a,
                    claimed.tier,
                )
                if e.id not in lose:
                    self.server.store(e.collection, orjson.loads(text))
            self.log.outbox.settle(claim, [Settlement(state)] * len(claim.entries))

    def verifier(self, name: str = "immediate", settle_ms: int | None = None) -> Verifier:
        return Verifier(self.log, self.server, self.clock, preset(name, settle_ms))

    def verify(self, name: str = "immediate", **scope: Any) -> VerifyReport:
        """Verify the first six hours of the world."""
        whole = {"start_ms": HOUR, "end_ms": HOUR + 6 * MS_PER_HOUR, **scope}
        return self.verifier(name).verify(Scope(**whole))

    def advance(self, *, hours: float) -> None:
        self.clock.advance(hours * 3600)

    def close(self) -> None:
        self.log.close()


@pytest.fixture(scope="session")
def make_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., World]]:
    """Makes worlds, each with a log of its own; usable from within hypothesis."""
    base = tmp_path_factory.mktemp("worlds")
    numbers = itertools.count()
    made: list[World] = []

    def make(**settings: Any) -> World:
        while made:
            made.pop().close()
        made.append(World(base / str(next(numbers)), **settings))
        return made[-1]

    yield make
    while made:
        made.pop().close()


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """One fresh world."""
    return make_world()
