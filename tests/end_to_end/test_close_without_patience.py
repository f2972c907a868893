"""A close that waits for nothing leaves a sender's thread behind for as long as its request lasts: it ends quietly."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from keen_client import DeliveryConfig, KeenClient
from keen_client.server import LocalServer
from tests.end_to_end.hostile_proxy import Exchange, HostileProxy


@pytest.mark.parametrize("is_gone", [False, True])
def test_a_thread_left_behind_by_close_ends_quietly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_gone: bool
) -> None:
    """Its answer comes after the close, be the log's directory there or gone: nothing is raised in a thread."""
    raised: list[object] = []
    monkeypatch.setattr(threading, "excepthook", raised.append)
    may_answer = threading.Event()

    def hold(exchange: Exchange) -> None:
        may_answer.wait(60.0)
        exchange.answer(*exchange.store())

    quick = DeliveryConfig(linger_seconds=0.0)
    with LocalServer(seed=1) as server, HostileProxy(server.url) as proxy:
        proxy.trouble = hold
        keys = (server.project_id, server.write_key, server.read_key)
        log = tmp_path / "log"
        others = set(threading.enumerate())
        keen = KeenClient(*keys, base_url=proxy.url, log=log, delivery_config=quick)
        keen.add_event("purchases", {"n": 1})
        while not proxy.troubled:
            threading.Event().wait(0.01)
        mine = set(threading.enumerate()) - others
        (lane,) = (thread for thread in mine if thread.name.startswith("keen-client-sender"))

        keen.close(0)
        assert lane.is_alive()
        if is_gone:
            shutil.rmtree(log)
        may_answer.set()
        lane.join(60.0)
        assert not lane.is_alive()
    assert raised == []
