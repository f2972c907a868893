"""The end of a client under bad conditions: everything is closed, and nothing that never left is in doubt."""

from __future__ import annotations

import asyncio
import logging
import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from keen_client import AsyncKeenClient, ClientClosedError, DeliveryConfig, EventLogError, KeenClient
from keen_client.client import sync_client
from keen_client.delivery import batch

MakeClient = Callable[..., KeenClient]
FAST = DeliveryConfig(linger_seconds=0)


def our_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("keen-client")]


def join_ours() -> None:
    """A close that was given no time leaves threads that are about to end."""
    for thread in threading.enumerate():
        if thread.name.startswith("keen-client"):
            thread.join(30)


def test_a_hook_may_close_its_client(make_client: MakeClient, desk: Any) -> None:
    """It runs in a thread that closing waits for, and that cannot wait for itself."""
    raised: list[BaseException] = []
    closed = threading.Event()

    def close(_signal: object) -> None:
        try:
            client.close(0)
        except BaseException as error:  # noqa: BLE001 — whatever it is, it is the test's
            raised.append(error)
        closed.set()

    client = make_client(background=True, http_client=desk.http, delivery_config=FAST, hooks=[close])
    client.add_event("c", {})
    assert closed.wait(30)
    join_ours()
    assert (raised, our_threads()) == ([], [])


def test_what_a_closing_client_had_claimed_and_not_sent_is_pending_for_the_next(
    make_client: MakeClient, desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connections are closed between the claim and the request: without a read key nothing could ever settle it."""
    claimed, closed = threading.Event(), threading.Event()

    def build_late(entries: Any) -> Any:
        claimed.set()
        assert closed.wait(30)
        return batch.build_batch(entries)

    client = make_client(background=True, http_client=desk.http, delivery_config=FAST)
    place, api = client.log.path, client._core.need_machinery().api
    close_api = api.close

    def close_and_tell() -> None:
        close_api()
        closed.set()

    monkeypatch.setattr(type(api), "close", lambda _: close_and_tell())
    with monkeypatch.context() as patch:
        patch.setattr("keen_client.delivery.sender.build_batch", build_late)
        receipt = client.add_event("c", {})
        assert claimed.wait(30)
        client.close(0)
    assert desk.ids == []

    monkeypatch.undo()
    again = make_client(log=place, http_client=desk.http)
    report = again.flush()
    assert (report.acknowledged, report.unknown) == (1, 0)
    assert desk.ids == [receipt.id]


def test_a_close_whose_log_fails_closes_everything_and_may_be_called_again(
    make_client: MakeClient, desk: Any
) -> None:
    """state.db is gone: the error is raised, and no thread, connection or lock stays behind it."""
    client = make_client(background=True, http_client=desk.http, delivery_config=FAST)
    client.add_event("c", {})
    assert client.flush().is_drained
    machinery = client._core.need_machinery()
    state = machinery.log.state.path
    state.rename(state.with_name("elsewhere.db"))

    with pytest.raises(EventLogError, match=r"state\.db"):
        client.close()
    client.close()

    assert our_threads() == []
    assert not machinery.sender.holds_lock
    with pytest.raises(ClientClosedError), machinery.log.state.reading():
        pass
    with pytest.raises(ClientClosedError):
        machinery.api.post_batch(b"{}")


def test_the_async_twin_closes_everything_though_its_log_fails(tmp_path: Any) -> None:
    """The error is raised, and the threads have ended."""

    async def live() -> None:
        client = AsyncKeenClient("p1", "w" * 64, base_url="http://127.0.0.1:9", log=tmp_path / "log")
        await client.add_event("c", {})
        state = tmp_path / "log" / "state.db"
        state.rename(state.with_name("elsewhere.db"))
        with pytest.raises(EventLogError, match=r"state\.db"):
            await client.close()

    asyncio.run(live())
    assert our_threads() == []


def test_at_exit_a_client_whose_log_fails_does_not_keep_the_others_from_sending(
    make_client: MakeClient, desk: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each is closed, and the one that could not be closed well is named in the log."""
    clients = [make_client(background=True, http_client=desk.http, delivery_config=FAST) for _ in range(3)]
    monkeypatch.setattr(sync_client, "_open_clients", weakref.WeakSet(c._core for c in clients))
    for client in clients:
        client.add_event("c", {})
        assert client.flush().is_drained
    state = clients[0]._core.need_machinery().log.state.path
    state.rename(state.with_name("elsewhere.db"))
    late = [client.add_event("c", {}).id for client in clients[1:]]

    with caplog.at_level(logging.ERROR, "keen_client"):
        sync_client._close_at_exit()

    assert set(late) <= set(desk.ids)
    assert our_threads() == []
    assert [r.levelname for r in caplog.records if "was not closed well" in r.getMessage()] == ["ERROR"]


def test_at_exit_all_clients_together_have_the_time_of_one(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a server that is not there a process with many clients ends as fast as one with a single client."""
    given: list[float] = []

    def close(machinery_close: Callable[[float], None], limit: float) -> None:
        given.append(limit)
        machinery_close(limit)

    config = DeliveryConfig(linger_seconds=0, close_seconds=0.5)
    clients = [make_client(background=True, delivery_config=config) for _ in range(3)]
    monkeypatch.setattr(sync_client, "_open_clients", weakref.WeakSet(c._core for c in clients))
    for client in clients:
        client.add_event("c", {})
        machinery = client._core.need_machinery()
        monkeypatch.setattr(machinery, "close", partial(close, machinery.close))

    sync_client._close_at_exit()

    assert given[0] <= 0.5
    assert sum(given[1:]) < given[0]
    join_ours()
    assert our_threads() == []


def test_closing_and_flushing_without_end_is_no_overflow(make_client: MakeClient, desk: Any) -> None:
    """An infinite time limit is none."""
    client = make_client(background=True, http_client=desk.http, delivery_config=FAST)
    client.add_event("c", {})
    assert client.flush(float("inf")).is_drained
    client.close(float("inf"))
    assert our_threads() == []
    assert len(desk.ids) == 1
