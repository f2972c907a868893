"""However a process starts, shares a log and ends, what it recorded arrives once."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from keen_client import KeenClient
from keen_client.client.wiring import Seams
from keen_client.delivery.config import DeliveryConfig
from keen_client.server import LocalServer
from keen_client.testing.clocks import VirtualClock

if TYPE_CHECKING:
    from pathlib import Path

    from tests.crash.conftest import Arena

HOUR = 3600.0


# After a C fork CPython itself can hang where another Python thread ran: there the client has none yet.
@pytest.mark.parametrize(
    ("fork", "background"),
    [("os.fork()", True), ("os.fork()", False), ("ctypes.PyDLL(None).fork()", False)],
    ids=["Python's fork", "Python's fork without a thread", "C's fork"],
)
def test_fork_after_construction_serves_parent_and_child(arena: Arena, fork: str, background: bool) -> None:
    """Both go on with the client that was made and used before the fork, each with a sender thread of its own."""
    served = arena.serve()
    script = arena.run(
        served,
        f"""
        client = KeenClient(unknown="resend", background={background})
        add(client, 0)
        pid = {fork}
        base = 100 if pid == 0 else 200
        for number in range(base, base + 50):
            add(client, number)
        client.close()
        if pid == 0:
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        """,
    )
    assert script.end() == 0
    arena.send(served)
    assert arena.check_all_once(served) == script.receipts().keys()
    assert len(script.receipts()) == 101


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_workers_record_into_one_log(arena: Arena, method: str) -> None:
    """Workers of every start method make their own client, or use the inherited one."""
    served = arena.serve()
    script = arena.run(
        served,
        f"""
        def work(number):
            client = KeenClient(background=False)
            for step in range(20):
                add(client, number * 100 + step)
            client.close()

        if __name__ == "__main__":
            client = KeenClient()
            add(client, 0)
            context = multiprocessing.get_context({method!r})
            workers = [context.Process(target=work, args=(number,)) for number in range(1, 4)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            assert [worker.exitcode for worker in workers] == [0, 0, 0]
            client.close()
        """,
    )
    assert script.end() == 0
    arena.send(served)
    assert arena.check_all_once(served) == script.receipts().keys()
    assert len(script.receipts()) == 61


def test_exit_without_any_handler_keeps_everything(arena: Arena) -> None:
    """os._exit runs no exit handler and flushes nothing; the next process sends."""
    served = arena.serve()
    script = arena.run(
        served,
        """
        client = KeenClient(delivery_config=DeliveryConfig(linger_seconds=60.0))
        for number in range(100):
            add(client, number)
        os._exit(7)
        """,
    )
    assert script.end() == 7
    with served.client(arena.log, unknown="resend") as client:
        assert client.flush().is_drained
    assert arena.check_all_once(served) == script.receipts().keys()
    assert len(script.receipts()) == 100


def test_two_clients_of_one_log_in_one_process(arena: Arena) -> None:
    """They share the locks, not the connections: one is closed in the middle, the other records and sends on."""
    served = arena.serve()
    script = arena.run(
        served,
        """
        first, second = KeenClient(), KeenClient()
        def work(client, base):
            for number in range(base, base + 100):
                add(client, number)
        threads = [threading.Thread(target=work, args=(c, b)) for c, b in ((first, 0), (second, 1000), (first, 2000))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        first.close()
        work(second, 3000)
        report = second.flush(30)
        assert report.is_drained, report
        second.close()
        """,
    )
    assert script.end() == 0
    assert arena.check_all_once(served) == script.receipts().keys()
    assert len(script.receipts()) == 400


def test_child_that_closes_an_inherited_client_leaves_its_parent_alone(arena: Arena) -> None:
    """A close in the child touches neither the parent's connections nor its locks nor its sender."""
    served = arena.serve()
    script = arena.run(
        served,
        """
        client = KeenClient()
        for number in range(50):
            add(client, number)
        for _ in range(3):
            pid = os.fork()
            if pid == 0:
                client.close()
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
            for number in range(50):
                add(client, number)
        report = client.flush(30)
        assert report.is_drained, report
        client.close()
        """,
    )
    assert script.end() == 0
    assert arena.check_all_once(served) == script.receipts().keys()
    assert len(script.receipts()) == 200


def test_interpreter_ends_while_a_request_hangs(arena: Arena) -> None:
    """With a server that answers after a minute the process still ends, and what was in flight is settled later."""
    served = arena.serve("--fault", "slow=60s")
    script = arena.run(
        served,
        """
        client = KeenClient(delivery_config=DeliveryConfig(linger_seconds=0.0, batch_events_max=10))
        for number in range(40):
            add(client, number)
        time.sleep(0.3)
        """,
    )
    script.process.communicate(timeout=40)  # less than one answer takes
    assert script.process.returncode == 0
    assert len(arena.logged(served)) == 40
    served.change_faults({"slow": None})
    with served.client(arena.log, unknown="resend") as client:
        assert client.flush().is_drained
    assert arena.check_all_once(served) == script.receipts().keys()


@pytest.mark.slow
def test_server_that_is_down_at_exit_gets_everything_from_the_next_process(arena: Arena) -> None:
    """The close is bounded, the events are kept, and arrive once the server is there."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    keys = {"KEEN_PROJECT_ID": "p1", "KEEN_WRITE_KEY": "w", "KEEN_READ_KEY": "r", "KEEN_MASTER_KEY": "m"}
    served = arena.serve("--port", str(port), environment=keys)
    served.stop()
    script = arena.run(
        served,
        """
        client = KeenClient()
        for number in range(60):
            add(client, number)
        """,
    )
    assert script.end() == 0
    served = arena.serve("--port", str(port), environment=keys)
    arena.send(served)
    assert arena.check_all_once(served) == script.receipts().keys()
    assert len(script.receipts()) == 60


def test_clock_steps_forth_and_back_give_no_number_twice(tmp_path: Path) -> None:
    """An hour back and forth around midnight, then days back: numbers stay unique, and everything arrives once."""
    clock = VirtualClock(1_795_476_600_000)  # 2026-11-23T23:30:00Z
    ids: list[str] = []
    with LocalServer(clock=clock, seed=1) as server:
        with KeenClient(
            server.project_id,
            server.write_key,
            server.read_key,
            base_url=server.url,
            log=tmp_path / "log",
            background=False,
            delivery_config=DeliveryConfig(unknown="resend"),
            seams=Seams(clock=clock),
        ) as client:
            for step in (0.0, HOUR, -HOUR, HOUR, -HOUR, -72 * HOUR, 72 * HOUR, 5.0):
                clock.step_wall(step)
                ids.extend(client.add_event("purchases", {"number": number}).id or "" for number in range(25))
                assert client.flush(timeout=60).acknowledged == 25
            segments = {event_id.split("-")[0] for event_id in ids}
            whole = {"start": "2026-11-01T00:00:00Z", "end": "2026-12-01T00:00:00Z"}
            assert client.count("purchases", whole) == len(ids)
            assert {logged.id for logged in client.log.entries()} == set(ids)
        assert len(set(ids)) == len(ids)
        # One for the 23rd, one for the 24th, one for the 20th; forth again finds none open of its day.
        assert 3 <= len(segments) <= 4
