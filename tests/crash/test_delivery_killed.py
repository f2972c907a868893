"""Processes that record and send are killed at any moment: nothing is forgotten, and with tokens nothing is doubled."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.crash.conftest import Arena

SENDER_KILLS = 10


@pytest.mark.slow
@pytest.mark.parametrize("durability", ["full", "normal"])
def test_ten_thousand_receipts_of_a_killed_process_arrive(arena: Arena, durability: str) -> None:
    """SIGKILL right after the 10,000th add_event: all are in the log, and another process sends them all."""
    served = arena.serve()
    script = arena.run(
        served,
        f"""
        client = KeenClient(durability={durability!r}, background=False)
        for number in range(10_000):
            receipt = client.add_event("purchases", {{"number": number}})
        os.kill(os.getpid(), signal.SIGKILL)
        """,
    )
    assert script.end() == -9
    assert len(arena.logged(served)) == 10_000
    arena.send(served)
    assert len(arena.check_all_once(served)) == 10_000


@pytest.mark.parametrize("durability", ["full", "normal"])
def test_receipts_arrive_when_the_process_dies_while_it_sends(arena: Arena, durability: str) -> None:
    """The background thread has batches in flight when SIGKILL comes; what was in flight is resent under its token."""
    served = arena.serve()
    script = arena.run(
        served,
        f"""
        client = KeenClient(
            durability={durability!r}, delivery_config=DeliveryConfig(batch_events_max=20, linger_seconds=0.0)
        )
        for number in range(3_000):
            add(client, number)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
    )
    assert script.end() == -9
    assert len(script.receipts()) == 3_000
    with served.client(arena.log, unknown="resend") as client:
        assert client.flush().is_drained
    assert arena.check_all_once(served) == script.receipts().keys()


def test_receipts_arrive_when_the_process_is_terminated(arena: Arena) -> None:
    """SIGTERM without a handler runs no exit handler either; the next process settles what was in flight."""
    served = arena.serve()
    script = arena.run(
        served,
        """
        client = KeenClient(delivery_config=DeliveryConfig(batch_events_max=20, linger_seconds=0.0))
        for number in range(530):
            add(client, number)
        os.kill(os.getpid(), signal.SIGTERM)
        """,
    )
    assert script.end() == -15
    assert len(script.receipts()) == 530
    with served.client(arena.log, unknown="resend") as client:
        assert client.flush().is_drained
    assert arena.check_all_once(served) == script.receipts().keys()


@pytest.mark.slow
def test_sender_killed_at_random_moments_doubles_and_forgets_nothing(arena: Arena, seed: int) -> None:
    """Ten senders of one log are killed, each in the middle of its batches; the eleventh ends the work."""
    chance = random.Random(seed)
    served = arena.serve()
    with served.client(arena.log) as client:
        for start in range(0, 30_000, 10_000):
            client.add_events({"purchases": [{"number": number} for number in range(start, start + 10_000)]})
    in_flight = 0
    for _ in range(SENDER_KILLS):
        script = arena.run(
            served,
            """
            config = DeliveryConfig(unknown="resend", batch_events_max=50)
            client = KeenClient(background=False, delivery_config=config)
            say("ready")
            client.flush()
            """,
        )
        script.wait_for("ready")
        time.sleep(chance.uniform(0.0, 0.4))
        script.kill()
        with served.client(arena.log) as client:
            in_flight += client.log.backlog().inflight
    with served.client(arena.log, unknown="resend") as client:
        report = client.flush()
        assert report.is_drained
    print(
        f"\n{SENDER_KILLS} senders killed; {in_flight:,} events were in flight,"
        f" {30_000 - report.acknowledged:,} acknowledged before the last sender"
    )
    assert len(arena.check_all_once(served)) == 30_000


@pytest.mark.slow
def test_forked_threaded_half_killed_writers_and_a_sender(arena: Arena, seed: int) -> None:
    """Eight forked processes of three threads record, four are killed, a sender runs: every receipt is there once."""
    served = arena.serve()
    sender = arena.run(
        served,
        """
        config = DeliveryConfig(unknown="resend", batch_events_max=100)
        client = KeenClient(delivery_config=config)
        add(client, -1)
        while True:
            client.flush(1.0)
            time.sleep(0.05)
        """,
    )
    sender.wait_for("receipt")
    writers = arena.run(
        served,
        f"""
        import random
        chance = random.Random({seed})
        client = KeenClient(background=False)
        def work(base, count):
            for number in range(base, base + count):
                add(client, number)
        children = []
        for child in range(8):
            pid = os.fork()
            if pid == 0:
                count = 1_000_000 if child % 2 else 150
                threads = [
                    threading.Thread(target=work, args=(child * 10_000_000 + thread * 1_000_000, count))
                    for thread in range(3)
                ]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                os._exit(0)
            children.append(pid)
        for victim in children[1::2]:
            time.sleep(chance.uniform(0.2, 0.7))
            os.kill(victim, signal.SIGKILL)
        statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        assert statuses == [0, -9] * 4, statuses
        say("done")
        """,
    )
    assert writers.end() == 0
    sender.kill()
    with served.client(arena.log, unknown="resend") as client:
        assert client.flush().is_drained
    there = arena.check_all_once(served)
    receipts = writers.receipts()
    assert receipts.keys() <= there
    assert len(there) - len(receipts) <= 1 + 4 * 3, "more rows than the killed had in hand"
    assert len(receipts) >= 4 * 3 * 150
    slowest = max(receipts.values())
    middle = sorted(receipts.values())[len(receipts) // 2]
    print(
        f"\n{len(receipts):,} receipts from 8 processes of 3 threads, 4 killed;"
        f" add_event: middle {middle / 1000:.1f} ms, longest {slowest / 1000:.0f} ms"
    )
