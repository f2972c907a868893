"""The background sender's threads: what ends them, who starts them again, and a flush that waits for them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from keen_client import DeliveryConfig, KeenClient
from keen_client.delivery.courier import Courier
from keen_client.observability.hooks import HookSet
from keen_client.observability.signals import DeliveryPaused, InflightRecovered, Signal

MakeClient = Callable[..., KeenClient]
FAST = DeliveryConfig(linger_seconds=0, backoff_first_seconds=0.01, backoff_max_seconds=0.02)


def test_a_hook_that_ends_its_thread_does_not_end_delivery(make_client: MakeClient, desk: Any) -> None:
    """sys.exit() in a hook is counted like anything else that a hook raises."""

    def leave(_: Signal) -> None:
        sys.exit("the hook's own business")

    client = make_client(background=True, http_client=desk.http, delivery_config=FAST, hooks=[leave])
    ids = [client.add_event("c", {}).id]
    assert client.flush(30).is_drained
    ids.append(client.add_event("c", {}).id)
    assert client.flush(30).is_drained
    assert desk.ids == ids
    assert client._core.need_machinery().hooks.failures >= 2


def test_in_the_main_thread_what_ends_a_program_goes_through_a_hook() -> None:
    """Ctrl-C while a hook runs is the user's, and not the hook's; in another thread there is no such thing."""

    def interrupt(_: Signal) -> None:
        raise KeyboardInterrupt

    hooks = HookSet([interrupt])
    with pytest.raises(KeyboardInterrupt):
        hooks.emit(InflightRecovered(1))
    thread = threading.Thread(target=hooks.emit, args=(InflightRecovered(1),))
    thread.start()
    thread.join()
    assert hooks.failures == 1


def test_a_thread_that_died_leaves_the_lock_and_the_next_event_starts_another(
    make_client: MakeClient, desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever ended it: delivery is not over for the life of the process."""
    client = make_client(background=True, http_client=desk.http, delivery_config=FAST)
    machinery = client._core.need_machinery()

    def die(courier: Courier) -> float:
        assert machinery.sender.acquire()
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(threading, "excepthook", lambda _: None)  # it ends on purpose
        patch.setattr(Courier, "_round", die)
        first = client.add_event("c", {})
        for thread in threading.enumerate():
            if thread.name.startswith("keen-client-sender"):
                thread.join(30)
    assert not machinery.sender.holds_lock

    second = client.add_event("c", {})
    assert client.flush(30).is_drained
    assert desk.ids == [first.id, second.id]


def test_a_flush_without_a_limit_ends_under_a_background_sender_that_meets_poison(
    make_client: MakeClient, desk: Any
) -> None:
    """Five attempts in a row that brought nothing are counted over all threads; the report says what was answered."""
    desk.answer = lambda request: httpx.Response(
        400, json={"error_code": "InvalidEventError", "message": "it is poison"}
    )
    client = make_client(background=True, http_client=desk.http, delivery_config=FAST)
    client.add_event("c", {})
    report = client.flush()
    assert report.pending == 1
    assert "InvalidEventError" in report.reason


def test_a_flush_without_a_limit_does_not_wait_for_what_is_due_much_later(
    make_client: MakeClient, desk: Any
) -> None:
    """What a server wants to have left alone for minutes is left, and the report says for how long."""
    paused = threading.Event()
    desk.answer = lambda request: httpx.Response(429, headers={"retry-after": "300"})
    client = make_client(
        background=True,
        http_client=desk.http,
        delivery_config=FAST,
        hooks=[lambda signal: paused.set() if isinstance(signal, DeliveryPaused) else None],
    )
    client.add_event("c", {})
    assert paused.wait(30)
    report = client.flush()
    assert report.pending == 1
    assert "due in" in report.reason
