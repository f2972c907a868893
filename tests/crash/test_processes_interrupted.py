"""Frozen, interrupted, forked in the middle or ended under its threads: what a process recorded arrives once."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.crash.conftest import Arena, Served


def settle(arena: Arena, served: Served) -> set[str]:
    """Send the rest, and once more, under its token, what was in flight; the ids that arrived, each once."""
    with served.client(arena.log, unknown="resend") as client:
        assert client.flush().is_drained
    return arena.check_all_once(served)


def test_function_frozen_while_its_batch_is_in_flight(arena: Arena) -> None:
    """The machine stops before the answer and goes on after the request's time is up: another records, all arrives once."""
    served = arena.serve("--fault", "slow=1s")
    script = arena.run(
        served,
        """
        client = KeenClient(unknown="resend", post_timeout=2, delivery_config=DeliveryConfig(linger_seconds=0.0))
        for number in range(30):
            add(client, number)
        say("waits")
        sys.stdin.readline()
        for number in range(30, 60):
            add(client, number)
        report = client.flush(60)
        assert report.is_drained, report
        client.close()
        """,
    )
    script.wait_for("waits")
    time.sleep(0.3)  # a request is under way
    script.process.send_signal(signal.SIGSTOP)
    other = arena.run(
        served, "client = KeenClient()\nfor number in range(100, 120):\n    add(client, number)"
    )
    assert other.end() == 0
    time.sleep(2.0)
    script.process.send_signal(signal.SIGCONT)
    served.change_faults({"slow": None})
    assert script.process.stdin is not None
    script.process.stdin.write(b"\n")
    assert script.end() == 0
    receipts = script.receipts().keys() | other.receipts().keys()
    assert settle(arena, served) == receipts
    assert len(receipts) == 80


@pytest.mark.parametrize(("method", "rounds"), [("fork", 3), ("forkserver", 1)])
def test_process_pool_beside_threads_that_record(arena: Arena, method: str, rounds: int) -> None:
    """The pool forks while threads of the parent record and send; its workers use a client that is there, or their own."""
    served = arena.serve()
    script = arena.run(
        served,
        f"""
        from concurrent.futures import ProcessPoolExecutor
        inherited = None

        def work(number):
            client = inherited or KeenClient(background=False)
            add(client, number)
            return number

        if __name__ == "__main__":
            client = inherited = KeenClient(unknown="resend")
            stop = threading.Event()
            def record(base):
                number = base
                while not stop.is_set():
                    add(client, number)
                    number += 1
                    time.sleep(0.002)
            threads = [threading.Thread(target=record, args=(base,)) for base in (10_000, 20_000)]
            for thread in threads:
                thread.start()
            for _ in range({rounds}):
                context = multiprocessing.get_context({method!r})
                with ProcessPoolExecutor(2, mp_context=context) as pool:
                    assert list(pool.map(work, range(20))) == list(range(20))
            stop.set()
            for thread in threads:
                thread.join()
            client.close()
        """,
    )
    assert script.end() == 0
    assert settle(arena, served) == script.receipts().keys()
    assert len(script.receipts()) > 20 * rounds


def test_daemon_threads_record_while_the_interpreter_ends(arena: Arena) -> None:
    """Each gets a receipt or an error until it is stopped; the process ends, and at most one event a thread has no receipt."""
    served = arena.serve()
    script = arena.run(
        served,
        """
        client = KeenClient()
        def record(base):
            for number in range(base, base + 1_000_000):
                add(client, number)
        for base in range(4):
            threading.Thread(target=record, args=(base * 1_000_000,), daemon=True).start()
        time.sleep(0.5)
        """,
    )
    assert script.end() == 0
    arrived = settle(arena, served)
    assert script.receipts().keys() <= arrived
    assert len(arrived - script.receipts().keys()) <= 4


@pytest.mark.parametrize("durability", ["full", "normal"])
def test_signal_handler_that_records_in_the_middle_of_recording(arena: Arena, durability: str) -> None:
    """It never waits for what it has interrupted: it gets a receipt, or an error that says nothing was recorded."""
    served = arena.serve()
    script = arena.run(
        served,
        f"""
        from keen_client import EventLogBusyError
        client = KeenClient(durability={durability!r})
        def handle(number, frame):
            try:
                add(client, -1)
            except EventLogBusyError as error:
                assert "not recorded" in error.message
                say("busy")
        signal.signal(signal.SIGALRM, handle)
        for number in range(400):
            signal.setitimer(signal.ITIMER_REAL, 0.00002 * (1 + number % 50))
            add(client, number)
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        client.close()
        """,
    )
    assert script.end() == 0
    assert settle(arena, served) == script.receipts().keys()
    assert len(script.receipts()) >= 400
    assert "busy" in script.lines.read_text()


def test_event_loop_closed_over_tasks_that_record(arena: Arena) -> None:
    """Cancelled with their loop, or left behind in it: the events are in the log once or not at all; the next loop works."""
    served = arena.serve()
    script = arena.run(
        served,
        """
        import asyncio
        from keen_client import AsyncKeenClient

        client = AsyncKeenClient()
        async def record(number):
            receipt = await client.add_event("purchases", {"number": number})
            say(f"receipt {receipt.id} {number} 0")
        async def leave(base):
            tasks = [asyncio.create_task(record(base + n)) for n in range(20)]
            await tasks[0]
            return tasks  # asyncio.run cancels those that are not done
        for base in range(0, 200, 20):
            asyncio.run(leave(base))
        loop = asyncio.new_event_loop()
        left = loop.create_task(record(1000))
        loop.call_soon(loop.stop)
        loop.run_forever()
        loop.close()
        asyncio.run(record(2000))
        """,
    )
    assert script.end() == 0
    arrived = settle(arena, served)
    assert script.receipts().keys() <= arrived
    assert 11 <= len(script.receipts()) <= len(arrived) <= 202
