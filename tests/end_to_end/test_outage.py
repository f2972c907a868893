"""A server that answers 503 for as long as it likes: a program that stays up delivers, once it is healthy, each event once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from keen_client import DeliveryConfig, KeenClient
from keen_client.server import LocalServer
from keen_client.verify.probe import TokenProbe
from tests.end_to_end.hostile_proxy import Exchange, HostileProxy

EVENTS = 50
#: More attempts in a row than any budget of retries would allow.
REFUSALS = 25
HANGS_SECONDS = 120.0


def answer_503(exchange: Exchange) -> None:
    """Out of order, and nothing was stored."""
    exchange.answer(503, b"<html>Service Unavailable</html>")


def store_and_answer_503(exchange: Exchange) -> None:
    """Stored, and the answer says otherwise."""
    exchange.store()
    answer_503(exchange)


def wait_until(is_so: Callable[[], bool]) -> None:
    for _ in range(int(HANGS_SECONDS / 0.02)):
        if is_so():
            return
        threading.Event().wait(0.02)
    raise AssertionError("it hangs")


@pytest.mark.parametrize("trouble", [answer_503, store_and_answer_503])
def test_an_outage_loses_and_doubles_nothing(tmp_path: Path, trouble: Callable[[Exchange], None]) -> None:
    """The calls return meanwhile, no number of refusals makes it give up, and nobody has to flush for the end of it."""
    quick = DeliveryConfig(linger_seconds=0.0, backoff_first_seconds=0.01, backoff_max_seconds=0.02)
    with LocalServer(seed=1) as server, HostileProxy(server.url) as proxy:
        keys = (server.project_id, server.write_key, server.read_key)
        with KeenClient(*keys, base_url=proxy.url, log=tmp_path / "log", delivery_config=quick) as keen:
            machinery = keen._core.need_machinery()
            probe = TokenProbe(machinery.log.state, machinery.api, machinery.clock, machinery.randomness)
            probe.send(ready_after_ms=0)
            assert probe.read()

            proxy.trouble = trouble
            ids = [str(keen.add_event("purchases", {"n": n}).id) for n in range(EVENTS)]
            wait_until(lambda: proxy.troubled >= REFUSALS)
            assert keen.log.backlog().unsent == EVENTS

            proxy.turn_honest()
            wait_until(lambda: keen.log.backlog().unsent == 0)
            there = keen.extraction("purchases", timeframe="this_2_hours", property_names=["kc.id"])
    assert sorted(event["kc"]["id"] for event in there) == sorted(ids)
