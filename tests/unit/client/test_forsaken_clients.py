"""A client that nobody holds any more: its events have the chance of `close()`, then nothing of it is left."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keen_client import AsyncKeenClient, DeliveryConfig, KeenClient
from keen_client.client import sync_client

SETTINGS: dict[str, Any] = {"project_id": "p1", "write_key": "w" * 64, "base_url": "http://127.0.0.1:9"}


@pytest.fixture
def begun() -> Callable[[], list[threading.Thread]]:
    """The threads of clients that were started since."""
    before = set(threading.enumerate())

    def threads() -> list[threading.Thread]:
        return [t for t in threading.enumerate() if t not in before and t.name.startswith("keen-client")]

    return threads


def end_all(begun: Callable[[], list[threading.Thread]]) -> None:
    """Wait until all of them have ended; one may start another."""
    while threads := begun():
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive(), thread.name


def test_a_forsaken_client_sends_what_it_recorded_and_leaves_nothing(
    tmp_path: Path, desk: Any, begun: Callable[[], list[threading.Thread]]
) -> None:
    """No thread, no connection of its log: only what is written, acknowledged."""
    slow = DeliveryConfig(linger_seconds=1.0)

    def record() -> tuple[Any, list[str]]:
        client = KeenClient(**SETTINGS, log=tmp_path / "log", http_client=desk.http, delivery_config=slow)
        ids = [client.add_event("c", {"n": n}).id for n in range(3)]
        return weakref.ref(client._core), [str(each) for each in ids]

    core, ids = record()
    gc.collect()
    assert core() in sync_client._open_clients  # the end of the interpreter would close it

    end_all(begun)
    gc.collect()
    assert desk.ids == ids
    assert core() is None
    with KeenClient(**SETTINGS, log=tmp_path / "log", background=False) as client:
        assert client.log.backlog().unsent == 0


def test_a_forsaken_client_of_a_dead_server_gives_up_and_loses_nothing(
    tmp_path: Path, begun: Callable[[], list[threading.Thread]]
) -> None:
    """It is bounded as `close()` is; the next client has the events."""
    KeenClient(**SETTINGS, log=tmp_path / "log", delivery_config=DeliveryConfig(close_seconds=0.2)).add_event(
        "c", {}
    )
    gc.collect()
    end_all(begun)
    with KeenClient(**SETTINGS, log=tmp_path / "log", background=False) as client:
        assert client.log.backlog().pending == 1


def test_a_client_is_forsaken_without_a_lock(
    tmp_path: Path, begun: Callable[[], list[threading.Thread]]
) -> None:
    """The garbage collector may run in a thread that holds any of them."""
    client = KeenClient(**SETTINGS, log=tmp_path / "log", delivery_config=DeliveryConfig(close_seconds=0.2))
    client.add_event("c", {})
    core = client._core
    courier = core.need_machinery().courier
    events: Any = (courier._wake, courier._stop)
    with courier._guard, core._guard, events[0]._cond, events[1]._cond:
        del client
        gc.collect()
        assert courier._is_forsaken
    del core, courier
    end_all(begun)


def test_a_forsaken_async_client_leaves_no_thread(
    tmp_path: Path, begun: Callable[[], list[threading.Thread]]
) -> None:
    """Neither that of its sender nor the one that commits."""
    config = DeliveryConfig(close_seconds=0.2)

    async def record() -> None:
        await AsyncKeenClient(**SETTINGS, log=tmp_path / "log", delivery_config=config).add_event("c", {})

    asyncio.run(record())
    assert {thread.name for thread in begun()} >= {"keen-client-commit"}
    gc.collect()
    end_all(begun)
    with KeenClient(**SETTINGS, log=tmp_path / "log", background=False) as client:
        assert client.log.backlog().pending == 1
