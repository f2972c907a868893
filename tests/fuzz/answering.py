"""Targets that read what a server answers: to writes, to queries, to administration, to a verification."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import attrs
import orjson

from keen_client._foundation.randomness import SeededRandomness
from keen_client.api.cost import Cost, ServerClock
from keen_client.api.json_text import decode
from keen_client.api.keen_api import KeenApi
from keen_client.api.project import Project
from keen_client.delivery.batch import Batch
from keen_client.delivery.outcome import Fate, Turn, judge_answer
from keen_client.errors import KeenError
from keen_client.eventlog.config import LogConfig
from keen_client.eventlog.directory import Binding
from keen_client.eventlog.entry import DeliveryState
from keen_client.eventlog.log import EventLog
from keen_client.eventlog.outbox import Settlement
from keen_client.events.encoding import encode_event
from keen_client.queries import Analysis
from keen_client.queries.definition import query_of
from keen_client.results.query_result import QueryResult
from keen_client.testing.clocks import VirtualClock
from keen_client.transport.message import Request, Response
from keen_client.transport.retry import RetryPolicy
from keen_client.transport.secret import Secret
from keen_client.verify.presets import preset
from keen_client.verify.reader import Budget
from keen_client.verify.verdict import Verdict
from keen_client.verify.verifier import Verifier
from keen_client.verify.windows import Scope
from tests.fuzz.target import Target, expect, once, scratch

_KEY: Final = "5ecre7-5ecre7-5ecre7"
_HOUR: Final = 1_790_812_800_000
_BATCH: Final = Batch(b"{}", {"a": [0, 2], "b": [1]}, 3)
_QUERIES: Final = tuple(
    query_of(definition)
    for definition in (
        {"analysis_type": "count", "event_collection": "c", "timeframe": "this_day"},
        {
            "analysis_type": "sum",
            "event_collection": "c",
            "target_property": "p",
            "timeframe": "this_day",
            "interval": "daily",
            "group_by": ["g", "h"],
        },
        {"analysis_type": "extraction", "event_collection": "c", "timeframe": "this_day"},
        {
            "analysis_type": "multi_analysis",
            "event_collection": "c",
            "timeframe": "this_day",
            "analyses": {"x": {"analysis_type": "count"}},
        },
        {
            "analysis_type": "funnel",
            "steps": [{"event_collection": "c", "actor_property": "u", "timeframe": "this_day"}],
        },
    )
)


class _Played:
    """A transport that gives one answer to everything."""

    def __init__(self) -> None:
        self.answer = Response(status=200)

    def send(self, request: Request) -> Response:
        return self.answer

    def close(self) -> None:
        """Nothing is open."""


@attrs.frozen
class _Desk:
    played: _Played
    api: KeenApi


@once
def _desk() -> _Desk:
    secret = Secret(_KEY)
    project = Project(
        id="p", base_url="https://api.keen.io", write_key=secret, read_key=secret, master_key=secret
    )
    played = _Played()
    api = KeenApi(
        project,
        write_transport=played,
        read_transport=played,
        retry=RetryPolicy(attempts_max=1),
        clock=VirtualClock(),
        randomness=SeededRandomness(1),
    )
    return _Desk(played, api)


def _calls(api: KeenApi) -> Iterator[Callable[[], object]]:
    yield lambda: api.upload({"c": [{"a": 1}]})
    yield lambda: api.record_event("c", {"a": 1})
    yield api.saved_queries.all
    yield lambda: api.saved_queries.get("q")
    yield lambda: api.saved_queries.results("q")
    yield api.cached_datasets.all
    yield lambda: api.cached_datasets.get("d")
    yield lambda: api.cached_datasets.results("d", 1, "this_day")
    yield api.list_access_keys
    yield lambda: api.get_access_key("k" * 64)
    yield lambda: api.create_access_key("name")
    yield lambda: api.revoke_access_key("k" * 64)
    yield api.get_all_collections
    yield lambda: api.get_collection("c")
    yield lambda: api.get_property("c", "p")
    yield api.get_projects
    yield api.get_versions
    yield api.get_query_links
    yield lambda: api.delete_events("c", "this_day")


def responses(data: bytes) -> None:
    """Any status, header and body: an error of ours or a value; only a success of its own acknowledges an event."""
    head, _, body = data.partition(b"\n")
    wait, _, kind = head[2:].decode("latin-1").partition("\t")
    status = int.from_bytes(head[:2], "big") % 500 + 100 if len(head) > 1 else 200
    headers = {"retry-after": wait, "date": wait, "location": wait, "content-type": kind}
    answer = Response(status=status, headers=headers, body=body, received_wall_ms=_HOUR)
    judgement = judge_answer(_BATCH, answer)
    expect(len(judgement.outcomes) == _BATCH.count, "each event has an outcome")
    accepted = sum(outcome.fate is Fate.ACCEPTED for outcome in judgement.outcomes)
    expect(accepted <= body.count(b"success"), "an event is acknowledged by a result of its own")
    expect(not accepted or 200 <= status < 300, "nothing but a 2xx acknowledges")
    expect(isinstance(judgement.turn, Turn), "what to do next is said")
    desk = _desk()
    desk.played.answer = answer
    for call in _calls(desk.api):
        _try(call)
    for query in _QUERIES:
        _try(lambda query=query: _read(desk.api, query))  # type: ignore[misc]


def _try(call: Callable[[], object]) -> None:
    try:
        call()
    except KeenError as error:
        expect(_KEY not in str(error), "no key in an error")


def _read(api: KeenApi, query: Any) -> None:
    body = api.query(query, all_keys=True)
    table = QueryResult(query, body)
    expect(len(table.rows) >= 0 and table.columns is not None, "rows have columns")


def _response(status: int, body: object, head: bytes = b"") -> bytes:
    text = body if isinstance(body, bytes) else orjson.dumps(body)
    return (status - 100).to_bytes(2, "big") + head + b"\n" + text


RESPONSES: Final = Target(
    "responses",
    responses,
    seeds=[
        _response(200, {"a": [{"success": True}, {"success": True}], "b": [{"success": True}]}),
        _response(
            200,
            {
                "a": [{"success": True}, {"success": False, "error": {"name": "E", "description": "d"}}],
                "b": [{"success": True}],
            },
        ),
        _response(
            200,
            {
                "result": [
                    {
                        "value": [{"g": 1, "h": "x", "result": 5}],
                        "timeframe": {"start": "2026-10-01T00:00:00.000Z", "end": "2026-10-02T00:00:00.000Z"},
                    }
                ]
            },
        ),
        _response(200, {"result": [{"keen": {"timestamp": "2026-10-01T00:00:00.000Z"}, "a": {"b": 1}}]}),
        _response(200, {"result": {"x": 1}}),
        _response(200, {"steps": [{"event_collection": "c"}], "result": [3]}),
        _response(200, [{"query_name": "q", "refresh_rate": 0, "query": {"analysis_type": "count"}}]),
        _response(200, [{"key": "K", "name": "n", "is_active": True, "permitted": [], "options": {}}]),
        _response(
            200, {"datasets": [{"dataset_name": "d", "query": {}, "index_by": ["a"]}], "next_page_url": None}
        ),
        _response(200, [{"name": "c", "properties": {"a": "num"}, "url": "/3.0"}]),
        _response(400, {"message": "no", "error_code": "InvalidEventError"}),
        _response(429, {"message": "slow", "error_code": "TooManyQueriesError"}, b"120"),
        _response(302, b"", b"https://elsewhere.example/?api_key=x"),
        _response(502, b"<html>bad gateway</html>", b"Sun, 06 Nov 1994 08:49:37 GMT\ttext/html"),
    ],
    words=[
        *(
            b'{"',
            b'":',
            b"}",
            b"[",
            b"]",
            b",",
            b'"',
            b"null",
            b"true",
            b"false",
            b"1e999",
            b"-1",
            b"123456789012345678901",
        ),
        *(
            b'"success":',
            b'"result":',
            b'"value":',
            b'"timeframe":',
            b'"start":',
            b'"error_code":',
            b'"message":',
            b'"a":',
        ),
        *(
            b'"b":',
            b'"name":',
            b'"key":',
            b'"properties":',
            b'"next_page_url":',
            b"\\ud800",
            b"\xff",
            b"NaN",
            b"[" * 50,
        ),
    ],
)


# ---- a verification -----------------------------------------------------------------------


class _Oracle:
    """Answers every query with what the input says next."""

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.asked = 0
        self.server_clock: ServerClock | None = None

    @property
    def cost(self) -> Cost:
        return Cost(requests=self.asked, bytes=0)

    def query(self, analysis: Analysis, *, all_keys: bool = False) -> Any:
        self.asked += 1
        place = min(self.asked, len(self.answers)) - 1
        return copy.deepcopy(self.answers[place]) if self.answers else []


@attrs.frozen
class _Bench:
    log: EventLog
    oracle: _Oracle
    clock: VirtualClock


@once
def _bench() -> _Bench:
    clock = VirtualClock(_HOUR)
    log = EventLog(
        Path(scratch()) / "verified",
        Binding("http://127.0.0.1:1", "p"),
        LogConfig(durability="normal"),
        clock,
        SeededRandomness(1),
        boot_id="b",
    )
    log.record_all([attrs.evolve(encode_event("c", {"n": n}), timestamp_ms=_HOUR + n) for n in range(3)])
    claim = log.outbox.claim(events_max=10, bytes_max=10**6)
    if claim is None:
        raise AssertionError("three events are due")
    log.outbox.settle(claim, [Settlement(DeliveryState.ACKNOWLEDGED)] * 3)
    clock.advance(7_200)
    return _Bench(log, _Oracle(), clock)


def verification(data: bytes) -> None:
    """Answers to every question of a verification: a report, in which nothing is resent on the word of nonsense."""
    bench = _bench()
    try:
        bench.oracle.answers = [decode(part) for part in data.split(b"\n") if part.strip()][:20]
    except ValueError:
        return
    bench.oracle.asked = 0
    with bench.log.state.transaction() as db:
        for table in ("observations", "evidence"):
            db.execute(f"DELETE FROM {table}")
    verifier = Verifier(bench.log, bench.oracle, bench.clock, preset("immediate"), Budget(requests=30))
    try:
        report = verifier.verify(Scope(_HOUR, _HOUR + 3_600_000))
    except KeenError:
        return
    for window in report.windows:
        expect(len(window.eligible) <= 3, "no more is resent than was recorded")
        if window.state in (Verdict.MATCH, Verdict.FINAL):
            expect(window.server_count == window.local_count, "a match has as many events on both sides")


def _level_zero(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    frame = {"start": "2026-10-01T00:00:00.000Z", "end": "2026-10-01T01:00:00.000Z"}
    return [{"value": list(rows), "timeframe": frame}]


VERIFICATION: Final = Target(
    "verification",
    verification,
    seeds=[
        orjson.dumps(_level_zero()),
        orjson.dumps(_level_zero({"kc.o": None, "n": 1, "h": None, "g": None})) + b"\n[]",
        orjson.dumps(_level_zero({"kc.o": "4kq7x2m9pz", "n": 2, "h": 5, "g": 6, "n_": 1, "b": 0}))
        + b"\n[]\n[]",
        orjson.dumps(
            [
                {
                    "kc.id": "4kq7x2m9pz-1",
                    "kc.h": 1,
                    "kc.g": 2,
                    "keen.timestamp": "2026-10-01T00:00:00.000Z",
                    "result": 1,
                }
            ]
        ),
    ],
    words=[
        *(
            b'[{"value":[',
            b'],"timeframe":{"start":"2026-10-01T00:00:00.000Z","end":"2026-10-01T01:00:00.000Z"}}]',
        ),
        *(
            b'"kc.o":',
            b'"n":',
            b'"h":',
            b'"g":',
            b'"b":',
            b'"kc.id":',
            b'"kc.h":',
            b'"kc.g":',
            b'"keen.timestamp":',
        ),
        *(
            b'"result":',
            b'"keen.uniqueness_token":',
            b"null",
            b"1.5",
            b"-1",
            b"1e30",
            b'"x"',
            b"{",
            b"}",
            b"[",
            b"]",
        ),
        *(b",", b"\n", b"true", b"9007199254740993"),
    ],
)
