"""A burst at a slow server: the calls wait on the disk and on nothing else."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from keen_client import KeenClient
from keen_client.server import LocalServer
from tests.end_to_end.hostile_proxy import Exchange, HostileProxy

EVENTS = 3_000
#: The server gives in then, so that a client that waits for it fails and does not hang.
GIVES_IN_SECONDS = 40.0


@pytest.mark.parametrize("durability", ["full", "normal"])
def test_a_burst_at_a_slow_server_never_waits_on_the_network(tmp_path: Path, durability: str) -> None:
    """No request is answered before the last receipt is given; then all arrive, and nothing was dropped meanwhile."""
    burst_is_over = threading.Event()
    answered_meanwhile: list[str] = []

    def hold(exchange: Exchange) -> None:
        if not answered_meanwhile and not burst_is_over.wait(GIVES_IN_SECONDS):
            answered_meanwhile.append("one")
        exchange.answer(*exchange.store())

    with LocalServer(seed=1) as server, HostileProxy(server.url) as proxy:
        proxy.trouble = hold
        keys = (server.project_id, server.write_key, server.read_key)
        with KeenClient(
            *keys,
            base_url=proxy.url,
            log=tmp_path / "log",
            durability="full" if durability == "full" else "normal",
            post_timeout=2 * GIVES_IN_SECONDS,
        ) as keen:
            receipts = [keen.add_event("purchases", {"n": n}) for n in range(EVENTS // 2)]
            while not proxy.troubled:  # now at the latest a request is under way, and stays so
                threading.Event().wait(0.01)
            receipts += [keen.add_event("purchases", {"n": n}) for n in range(EVENTS // 2)]
            assert keen.log.backlog().unsent == EVENTS
            burst_is_over.set()
            assert keen.flush().is_drained
            assert keen.count("purchases", timeframe="this_2_hours") == EVENTS
    assert len({receipt.id for receipt in receipts}) == EVENTS
    assert answered_meanwhile == []
