"""Under the servers that people run it in, a client loses and doubles nothing, and the server's processes end."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.crash.conftest import Arena, Served

#: Below the time after which gunicorn kills a worker that does not end.
ENDS_SECONDS = 60

GUNICORN = (
    "-m",
    "gunicorn",
    "--preload",
    "--bind=fd://{fd}",
    # A worker that is told to end while it starts does not hear it, and is waited for so long.
    "--graceful-timeout=5",
    "--no-control-socket",
)

WSGI = """
import os
from keen_client import KeenClient

keen = KeenClient()
book = os.open("receipts", os.O_APPEND | os.O_CREAT | os.O_WRONLY)

def add(number):
    receipt = keen.add_event("purchases", {"number": number})
    os.write(book, f"{receipt.id} {os.getpid()}\\n".encode())

def app(environ, start_response):
    add(environ["PATH_INFO"])
    start_response("204 No Content", [])
    return [b""]

add("made and used before the fork")
"""

ASGI = """
import asyncio, contextlib, os
from keen_client import AsyncKeenClient

book = os.open("receipts", os.O_APPEND | os.O_CREAT | os.O_WRONLY)

async def add(keen, number):
    receipt = await keen.add_event("purchases", {"number": number})
    os.write(book, f"{receipt.id} {os.getpid()}\\n".encode())

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        async with AsyncKeenClient() as app.keen:
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    left, kept = (asyncio.create_task(add(app.keen, f"{scope['path']}/{n}")) for n in ("left", "kept"))
    await asyncio.sleep(int(scope["path"].strip("/")) % 4 / 1000)
    left.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await left
    await kept
    await send({"type": "http.response.start", "status": 204})
    await send({"type": "http.response.body"})
"""

CELERY = """
import os
from celery import Celery
from keen_client import KeenClient

app = Celery(broker="filesystem://")
folder = os.path.abspath("broker")
app.conf.broker_transport_options = {
    "data_folder_in": folder, "data_folder_out": folder, "control_folder": os.path.abspath("control"),
}
app.conf.worker_enable_remote_control = False
keen = KeenClient()
book = os.open("receipts", os.O_APPEND | os.O_CREAT | os.O_WRONLY)

@app.task
def add(number):
    receipt = keen.add_event("purchases", {"number": number})
    os.write(book, f"{receipt.id} {os.getpid()}\\n".encode())
"""


class Site:
    """A server's processes in front of an application that records, and the receipts that it wrote down."""

    def __init__(self, arena: Arena, served: Served, source: str) -> None:
        self.directory = arena.directory
        (self.directory / "site_app.py").write_text(textwrap.dedent(source))
        (self.directory / "receipts").touch()
        self._environment = {**served.environment(arena.log), "PYTHONPATH": str(self.directory)}
        #: Requests that got no answer.
        self.broken: list[int] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=200)

    @contextmanager
    def run(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """Start Python with *arguments*, ``{fd}`` filled in, and have it end in order by SIGTERM."""
        fd = self._listener.fileno()
        with (self.directory / "site.out").open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, *(argument.format(fd=fd) for argument in arguments)],
                env=self._environment,
                cwd=self.directory,
                pass_fds=(fd,),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            # uvicorn tells its caller by which signal it ended, after an orderly end.
            assert process.wait(ENDS_SECONDS) in {0, -signal.SIGTERM}, self.output()
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            print(self.output())
            raise
        finally:
            self._listener.close()

    def output(self) -> str:
        """What the processes wrote."""
        return (self.directory / "site.out").read_text()

    def request(self, number: int) -> None:
        """One request of its own; a worker that is killed over it is this test's doing."""
        host, port = self._listener.getsockname()
        connection = http.client.HTTPConnection(host, port, timeout=ENDS_SECONDS)
        try:
            connection.request("GET", f"/{number}", headers={"Connection": "close"})
            assert connection.getresponse().status == 204
        except (ConnectionError, http.client.HTTPException):
            self.broken.append(number)
        finally:
            connection.close()

    def visit(self, requests: int, visitors: int = 4) -> None:
        """Have *visitors* make so many requests in all, at the same time."""

        def work(first: int) -> None:
            for number in range(first, requests, visitors):
                self.request(number)

        threads = [threading.Thread(target=work, args=(first,)) for first in range(visitors)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def lines(self) -> list[tuple[str, str]]:
        """The receipts so far: the event's id, and the process that recorded it."""
        written = (self.directory / "receipts").read_text().splitlines()
        return [(event_id, pid) for event_id, pid in (line.split() for line in written)]

    def wait_for(self, receipts: int) -> None:
        """Return when there are so many."""
        self._wait_until(lambda: len(self.lines()) >= receipts)

    def wait_for_text(self, text: str) -> None:
        """Return when a process has written *text*."""
        self._wait_until(lambda: text in self.output())

    def wait_for_equal(self, *texts: str) -> None:
        """Return when the processes have written each of *texts*, and all of them as often."""
        self._wait_until(
            lambda: len(counts := {self.output().count(text) for text in texts}) == 1 and 0 not in counts
        )

    def _wait_until(self, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + ENDS_SECONDS
        while not is_so():
            assert time.monotonic() < deadline, self.output()
            time.sleep(0.02)

    def receipts(self) -> set[str]:
        """The ids of all events of which a receipt was given; none twice."""
        found = [event_id for event_id, _ in self.lines()]
        assert len(set(found)) == len(found), "one number for two events"
        return set(found)


def settle(arena: Arena, served: Served) -> None:
    """Send the rest, and once more, under its token, what a process had in flight when it ended."""
    with served.client(arena.log, unknown="resend") as client:
        assert client.flush().is_drained


@pytest.mark.parametrize(
    "workers",
    [
        ["--worker-class=sync", "--workers=3", "--max-requests=8"],
        ["--worker-class=gthread", "--workers=2", "--threads=4", "--max-requests=12"],
        ["--worker-class=gevent", "--workers=2", "--max-requests=12"],
    ],
    ids=["sync", "gthread", "gevent"],
)
def test_gunicorn_with_a_client_made_before_the_fork(arena: Arena, workers: list[str]) -> None:
    """Workers come and go by max_requests, the client is the master's: each request's event arrives once."""
    served = arena.serve()
    site = Site(arena, served, WSGI)
    with site.run(*GUNICORN, *workers, "site_app:app"):
        site.visit(30)
        # A worker that has said so may take more requests until it is gone (gevent's looks once a second).
        site.wait_for_text("Worker exiting")
        site.visit(30)
    assert site.broken == []
    assert len(site.lines()) == 61
    assert len({pid for _, pid in site.lines()}) >= 3, "the master and its workers"
    settle(arena, served)
    assert arena.check_all_once(served) == site.receipts()


def test_gunicorn_worker_killed_over_its_requests(arena: Arena) -> None:
    """SIGKILL takes at most the answers that were under way: every receipt arrives, once, and the site goes on."""
    served = arena.serve()
    site = Site(arena, served, WSGI)
    with site.run(
        *GUNICORN,
        "--worker-class=gthread",
        "--workers=2",
        "--threads=2",
        "site_app:app",
    ) as master:
        visitors = threading.Thread(target=site.visit, args=(100,))
        visitors.start()
        for seen in (15, 50):
            site.wait_for(seen)
            worker = next(pid for _, pid in reversed(site.lines()) if int(pid) != master.pid)
            os.kill(int(worker), signal.SIGKILL)
        visitors.join()
    settle(arena, served)
    arrived = arena.check_all_once(served)
    assert site.receipts() <= arrived
    assert len(arrived - site.receipts()) <= 4, "more than what the two killed workers had under way"
    assert len(site.receipts()) >= 101 - len(site.broken)


def test_uwsgi_workers_forked_in_c(arena: Arena) -> None:
    """No hook of Python sees uWSGI's fork: what was recorded before it, and by every worker, arrives once."""
    served = arena.serve()
    site = Site(arena, served, WSGI)
    options = [
        "--master",
        "--die-on-term",
        "--enable-threads",
        "--processes=3",
        "--max-requests=10",
        "--min-worker-lifetime=0",
    ]
    run = "import pyuwsgi; pyuwsgi.run()"
    with site.run("-c", run, "--http-socket=fd://{fd}", "--wsgi=site_app:app", *options):
        site.visit(60)
        # Its handler of SIGTERM ends the process wherever it is: in the middle of an end by max-requests, never.
        site.wait_for_equal("The work of process", "Respawned uWSGI worker")
    assert site.broken == []
    assert len(site.lines()) == 61
    assert len({pid for _, pid in site.lines()}) >= 3, "the master and its workers"
    settle(arena, served)
    assert arena.check_all_once(served) == site.receipts()


def test_celery_prefork_with_few_tasks_per_child(arena: Arena) -> None:
    """The client is made where the tasks are; children are replaced every five tasks, and nothing is lost or doubled."""
    served = arena.serve()
    site = Site(arena, served, CELERY)
    for folder in ("broker", "control"):
        (site.directory / folder).mkdir()
    options = [
        "--pool=prefork",
        "--concurrency=2",
        "--max-tasks-per-child=5",
        "--without-gossip",
        "--without-mingle",
    ]
    with site.run("-m", "celery", "--app=site_app", "worker", *options):
        publish = "import site_app\nfor number in range(40):\n    site_app.add.delay(number)"
        environment = {**served.environment(arena.log), "PYTHONPATH": str(site.directory)}
        subprocess.run(
            [sys.executable, "-c", publish], env=environment, cwd=site.directory, check=True, timeout=60
        )
        site.wait_for(40)
    assert len(site.lines()) == 40
    assert len({pid for _, pid in site.lines()}) >= 8, "no child was replaced"
    settle(arena, served)
    assert arena.check_all_once(served) == site.receipts()


def test_uvicorn_with_tasks_cancelled_while_they_record(arena: Arena) -> None:
    """A cancelled task's event is in the log once or not at all, and disturbs no other's; the lifespan's end flushes."""
    served = arena.serve()
    site = Site(arena, served, ASGI)
    with site.run("-m", "uvicorn", "--fd={fd}", "site_app:app"):
        site.visit(60)
    assert site.broken == []
    assert len(site.lines()) >= 60, "the tasks that were not cancelled"
    settle(arena, served)
    arrived = arena.check_all_once(served)
    assert site.receipts() <= arrived
    assert len(arrived) <= 120
