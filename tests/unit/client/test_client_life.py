"""A client's life: threads when they are needed, an end that is bounded, and nothing after it."""

from __future__ import annotations

import inspect
import os
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import orjson
import pytest

from keen_client import ClientClosedError, DeliveryConfig, KeenClient, KeenError
from keen_client._foundation.clock import SystemClock
from keen_client.api.access_keys import AccessKeyMethods
from keen_client.api.collection import CollectionMethods, get_all_collections
from keen_client.api.discovery import DiscoveryMethods
from keen_client.client.wiring import Seams
from keen_client.eventlog.deletions import Deletion
from keen_client.observability.signals import Signal
from keen_client.queries import Analysis
from keen_client.queries.methods import AnalysisMethods
from keen_client.server import LocalServer

MakeClient = Callable[..., KeenClient]
FAST = DeliveryConfig(linger_seconds=0)
T0, T1 = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 10, 2, tzinfo=UTC)


def our_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("keen-client")]


@contextmanager
def silent_server() -> Iterator[tuple[str, threading.Event]]:
    """Accepts connections and requests, and never answers; the event is set once a request has come."""
    listener = socket.create_server(("127.0.0.1", 0))
    got = threading.Event()
    taken: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            taken.append(connection)
            if connection.recv(1):
                got.set()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", got
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for connection in taken:
            connection.close()


# ---- threads ------------------------------------------------------------------------------


def test_the_first_event_starts_the_thread_and_close_ends_it(make_client: MakeClient, desk: Any) -> None:
    """No thread at construction, nor for reading; one with the first event; none after close."""
    client = make_client(background=True, http_client=desk.http, delivery_config=FAST)
    assert list(client.log.entries()) == []
    assert our_threads() == []

    receipt = client.add_event("c", {})
    assert our_threads() == ["keen-client-sender-0"]
    assert client.flush().is_drained

    client.close()
    assert our_threads() == []
    assert desk.ids == [receipt.id]


@pytest.mark.parametrize("settings", [{"background": False}, {"enabled": False, "background": True}])
def test_no_thread_where_none_was_wanted(
    make_client: MakeClient, desk: Any, settings: dict[str, Any]
) -> None:
    """Without background, or switched off, no thread is ever started: not by events, flush or close."""
    client = make_client(**settings, http_client=desk.http)
    client.add_event("c", {})
    client.add_events({"c": [{}, {}]})
    assert our_threads() == []
    client.flush()
    assert our_threads() == []
    client.close()
    assert our_threads() == []


def test_no_thread_is_started_before_uwsgi_has_made_its_workers(
    make_client: MakeClient, desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One would stand still in the master for good, with its locks; the first event of a worker starts it."""
    worker = 0
    uwsgi = ModuleType("uwsgi")
    uwsgi.__dict__.update(worker_id=lambda: worker, mule_id=lambda: 0)
    monkeypatch.setitem(sys.modules, "uwsgi", uwsgi)
    client = make_client(background=True, http_client=desk.http, delivery_config=FAST)
    early = client.add_event("c", {})
    assert our_threads() == []

    worker = 1
    late = client.add_event("c", {})
    assert our_threads() == ["keen-client-sender-0"]
    assert client.flush().is_drained
    client.close()
    assert set(desk.ids) == {early.id, late.id}
    assert len(desk.ids) == 2


# ---- the end ------------------------------------------------------------------------------


def test_close_may_be_called_again(make_client: MakeClient) -> None:
    """The second close does nothing, and so does the context manager's after it."""
    with make_client() as client:
        client.add_event("c", {})
        client.close()
        client.close(5)


def test_close_sends_what_is_due(make_client: MakeClient, desk: Any) -> None:
    """A client that sends in the background has its last events sent by close."""
    with make_client(background=True, http_client=desk.http) as client:
        ids = [receipt.id for receipt in client.add_events({"c": [{}] * 30})["c"]]
    assert desk.ids == ids


class _NamedWaits(SystemClock):
    """A clock whose time passes as fast as somebody sleeps, so that a bound is a number and not a stopwatch."""

    def __init__(self) -> None:
        self.passed_ns = 0

    def monotonic_ns(self) -> int:
        return self.passed_ns

    def sleep(self, seconds: float) -> None:
        self.passed_ns += int(seconds * 1e9)
        super().sleep(min(seconds, 0.001))


def test_close_is_bounded_at_a_server_that_never_answers(make_client: MakeClient) -> None:
    """Close waits as long as it was told, and not for the answer; the event is in the log, its outcome unknown."""
    clock = _NamedWaits()
    with silent_server() as (url, got):
        client = make_client(
            background=True, base_url=url, post_timeout=1, delivery_config=FAST, seams=Seams(clock=clock)
        )
        place = client.log.path
        receipt = client.add_event("c", {})
        assert got.wait(30)

        client.close(timeout=3)

        assert clock.passed_ns <= 3.1 * 1e9
        for thread in threading.enumerate():
            if thread.name.startswith("keen-client"):
                thread.join(30)
        again = make_client(base_url=url, log=place)
        assert [logged.id for logged in again.log.entries()] == [receipt.id]
        assert again._core.event_log is not None
        again._core.need_machinery().sender.acquire()
        assert again.log.backlog().unknown == 1


def test_a_request_without_end_does_not_keep_the_log_from_the_next_client(
    make_client: MakeClient, desk: Any
) -> None:
    """Where close gave up waiting for a request, the log is free for another sender once that has ended."""
    entered, leave = threading.Event(), threading.Event()

    def hang(request: httpx.Request) -> httpx.Response:
        entered.set()
        assert leave.wait(30)
        return httpx.Response(502, text="<html>")

    desk.answer = hang
    first = make_client(background=True, http_client=desk.http, delivery_config=FAST)
    place = first.log.path
    first.add_event("c", {"n": 1})
    assert entered.wait(30)
    first.close(0)

    second = make_client(log=place, http_client=desk.http)
    assert not second._core.need_machinery().sender.acquire()
    leave.set()
    for thread in threading.enumerate():
        if thread.name.startswith("keen-client-sender"):
            thread.join(30)
    desk.answer = lambda request: None

    assert second._core.need_machinery().sender.acquire()
    assert second.log.backlog().unknown == 1


def _calls(client: KeenClient) -> dict[str, Callable[[], object]]:
    """One call of every public method; queries by what their signatures demand."""
    calls: dict[str, Callable[[], object]] = {
        "add_event": lambda: client.add_event("c", {}),
        "add_events": lambda: client.add_events({}),
        "flush": client.flush,
        "verify": lambda: client.verify(T0, T1),
        "replay": lambda: client.replay(T0, T1),
        "nightly": client.nightly,
        "log": lambda: client.log,
        "run_steps": lambda: client.run_steps(get_all_collections()),
        "generate_image_beacon": lambda: client.generate_image_beacon("c", {}),
        "run": lambda: client.run(Analysis(analysis_type="count", event_collection="c")),
        "extract": lambda: next(client.extract("c", {"start": "2026-10-01", "end": "2026-10-02"})),
        "deletions": client.deletions,
        "update_events": lambda: client.update_events("c", {"plan": "pro"}, "this_7_days"),
        "accept_deletion": lambda: client.accept_deletion(Deletion("c", 0, 1, 2)),
        "saved_queries.all": client.saved_queries.all,
        "cached_datasets.all": client.cached_datasets.all,
    }
    given: dict[str, Any] = {
        "event_collection": "c",
        "target_property": "x",
        "percentile": 50,
        "timeframe": "this_day",
        "analyses": {"n": {"analysis_type": "count"}},
        "steps": [{"event_collection": "c", "actor_property": "x"}],
        "property_name": "x",
        "key": "K",
        "name": "n",
        "is_active": True,
        "permitted": [],
        "permissions": [],
        "options": {},
    }
    methods = [*vars(AnalysisMethods)]
    methods += [*vars(CollectionMethods), *vars(AccessKeyMethods), *vars(DiscoveryMethods)]
    for name in methods:
        if name.startswith("_") or name == "query":
            continue
        method = getattr(client, name)
        wanted = {n: given[n] for n in inspect.signature(method).parameters if n in given}
        calls[name] = partial(method, **wanted)
    return calls


#: Public, and harmless at any time.
_HARMLESS = {"close", "query", "project"} | {
    "project_id",
    "base_url",
    "get_timeout",
    "post_timeout",
    "saved_queries",
    "cached_datasets",
}


def test_every_method_is_refused_after_close(make_client: MakeClient) -> None:
    """After close each public method raises ClientClosedError, queries included, and says what became of the data."""
    client = make_client()
    calls = _calls(client)
    public = {name for name in dir(client) if not name.startswith("_")}
    assert public - _HARMLESS - set(calls) == set()
    view = client.log
    client.close()
    calls |= {
        "entries": view.entries,
        "export": view.export,
        "backlog": view.backlog,
        "totals": lambda: view.totals("c", T0, T1),
    }
    for name, call in calls.items():
        with pytest.raises(ClientClosedError) as caught:
            call()
        assert "closed" in str(caught.value), name
        assert caught.value.hint, name


def test_switched_off_asks_nothing(make_client: MakeClient) -> None:
    """Without a log there is nothing to verify, and a query is not sent either."""
    client = make_client(enabled=False)
    for name in ("count", "verify", "replay", "log"):
        with pytest.raises(ClientClosedError, match="switched off"):
            _calls(client)[name]()


# ---- hooks --------------------------------------------------------------------------------


def test_failing_hooks_stop_nothing_and_are_counted(make_client: MakeClient, desk: Any) -> None:
    """A hook that always raises: everything is recorded and delivered; each failure is counted; the next hook hears."""
    heard: list[str] = []

    def fail(signal: Signal) -> None:
        raise RuntimeError("mine")

    client = make_client(
        background=True,
        http_client=desk.http,
        hooks=[fail, lambda signal: heard.append(type(signal).__name__)],
        delivery_config=FAST,
    )
    ids = [receipt.id for receipt in client.add_events({"c": [{}] * 5})["c"]]
    assert client.flush(30).acknowledged == 5
    hooks = client._core.need_machinery().hooks
    client.close()

    assert desk.ids == ids
    assert "BatchAcknowledged" in heard
    assert hooks.failures == len(heard)


# ---- a client of the caller's -------------------------------------------------------------


def test_a_callers_http_client_is_used_and_left_open(make_client: MakeClient, desk: Any) -> None:
    """Writes and queries go through the given httpx.Client, and close leaves it to its owner."""
    seen: list[tuple[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response | None:
        seen.append((request.method, request.url.path))
        return httpx.Response(200, json={"result": 7}) if "queries" in request.url.path else None

    desk.answer = answer
    with make_client(http_client=desk.http) as client:
        client.add_event("c", {})
        client.flush()
        assert client.count("c", "this_day") == 7

    assert seen == [("POST", "/3.0/projects/p1/events"), ("POST", "/3.0/projects/p1/queries/count")]
    assert not desk.http.is_closed


# ---- several clients of one log -----------------------------------------------------------


def test_of_two_clients_of_one_log_one_sends(make_client: MakeClient, desk: Any, tmp_path: Path) -> None:
    """Two clients in one process: one is the sender, for both; after its close the other takes over. Nothing twice."""
    log = tmp_path / "shared"
    settings: dict[str, Any] = {"log": log, "background": True, "delivery_config": FAST}
    used: list[int] = []
    https = []
    for number in range(2):

        def note(request: httpx.Request, number: int = number) -> httpx.Response:
            used.append(number)
            parsed = orjson.loads(request.content)
            arrived.extend(event["kc"]["id"] for events in parsed.values() for event in events)
            return httpx.Response(200, json={c: [{"success": True}] * len(e) for c, e in parsed.items()})

        https.append(httpx.Client(transport=httpx.MockTransport(note)))
    arrived: list[str] = []
    first = make_client(**settings, http_client=https[0])
    ids = [first.add_event("c", {}).id]
    assert first.flush(30).is_drained
    second = make_client(**settings, http_client=https[1])
    for _ in range(10):
        ids += [client.add_event("c", {}).id for client in (first, second)]
    assert second.flush(30).is_drained
    assert set(used) == {0}
    assert not second._core.need_machinery().sender.holds_lock

    first.close()
    ids += [second.add_event("c", {}).id for _ in range(5)]
    assert second.flush(30).is_drained

    assert set(used) == {0, 1}
    assert used[-1] == 1
    assert Counter(arrived) == Counter(ids)
    for http in https:
        http.close()


def test_closing_one_client_leaves_the_sending_to_the_other(make_client: MakeClient, tmp_path: Path) -> None:
    """The close of a client that is not the sender does not take the lock from the one that is."""
    first, second = (make_client(log=tmp_path / "shared") for _ in range(2))
    assert first._core.need_machinery().sender.acquire()
    assert not second._core.need_machinery().sender.acquire()

    second.close()

    assert first._core.need_machinery().sender.holds_lock
    assert not make_client(log=tmp_path / "shared")._core.need_machinery().sender.acquire()


def test_flush_by_hand_lets_the_log_go_again(make_client: MakeClient, desk: Any, tmp_path: Path) -> None:
    """Without a background thread a client is the sender for the time of a flush, so that others can send after it."""
    first, second = (make_client(log=tmp_path / "shared", http_client=desk.http) for _ in range(2))
    ids = [first.add_event("c", {}).id]
    assert first.flush().acknowledged == 1
    ids += [second.add_event("c", {}).id]
    assert second.flush().acknowledged == 1
    assert desk.ids == ids


def test_flush_gives_up_on_a_sender_that_does_nothing(
    make_client: MakeClient, desk: Any, tmp_path: Path
) -> None:
    """While another holds the lock and moves nothing, a flush without limit ends within a minute, and says why."""
    idle = make_client(log=tmp_path / "shared")
    assert idle._core.need_machinery().sender.acquire()
    clock = _NamedWaits()
    client = make_client(log=tmp_path / "shared", http_client=desk.http, seams=Seams(clock=clock))
    client.add_event("c", {})

    report = client.flush()

    assert (report.acknowledged, report.pending) == (0, 1)
    assert "sender" in report.reason
    assert clock.passed_ns <= 61 * 1e9


# ---- fork ---------------------------------------------------------------------------------


def test_a_forked_child_and_its_parent_lose_and_double_nothing(
    at_server: MakeClient, server: LocalServer, tmp_path: Path
) -> None:
    """Both record on, with background sending; the child leaves by os._exit; the server has each event once."""
    log = tmp_path / "forked"
    client = at_server(background=True, log=log, delivery_config=FAST)
    for n in range(10):
        client.add_event("forked", {"who": "before", "n": n})
    children = []
    for _ in range(2):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                for n in range(20):
                    client.add_event("forked", {"who": os.getpid(), "n": n})
                code = 0
            finally:
                os._exit(code)
        children.append(pid)
    for n in range(20):
        client.add_event("forked", {"who": "parent", "n": n})
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0, 0]

    assert client.flush(60).is_drained

    rows = client.count("forked", "this_2_days", group_by=["who", "n"])
    expected = {("before", n) for n in range(10)} | {
        (who, n) for who in ("parent", *children) for n in range(20)
    }
    assert {(row["who"], row["n"]) for row in rows} == expected
    assert {row["result"] for row in rows} == {1}


def test_a_child_that_closes_leaves_its_parent_alone(
    at_server: MakeClient, server: LocalServer, tmp_path: Path
) -> None:
    """A child may flush and close; the parent records and sends on over its own connections."""
    client = at_server(background=True, log=tmp_path / "forked", delivery_config=FAST)
    client.add_event("closed_child", {"n": 0})
    assert client.flush(30).is_drained
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            client.add_event("closed_child", {"n": 1})
            client.close(5)
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

    client.add_event("closed_child", {"n": 2})
    assert client.flush(30).is_drained

    assert client.select_unique("closed_child", "n", "this_2_days") == [0, 1, 2]
    assert client.count("closed_child", "this_2_days") == 3


def test_an_error_of_the_package_is_a_keen_error() -> None:
    """One `except` is enough."""
    assert issubclass(ClientClosedError, KeenError)
