"""Every trouble ends in a clear error or state, and loses nothing. A real server, a real log, a test for each."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from keen_client import (
    AuthenticationError,
    EventLogBoundElsewhereError,
    EventLogPermissionError,
    EventLogTooNewError,
    InvalidEnvironmentError,
    InvalidEventError,
    KeenClient,
)
from keen_client.client.wiring import Seams
from keen_client.server import LocalServer
from keen_client.testing.clocks import VirtualClock

KEYS: dict[str, Any] = {"write_key": "w" * 64, "read_key": "r" * 64}


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with LocalServer(seed=1) as server:
        yield server


def client_of(server: LocalServer, log: Path, **settings: Any) -> KeenClient:
    given: dict[str, Any] = {
        "project_id": server.project_id,
        "write_key": server.write_key,
        "read_key": server.read_key,
        "base_url": server.url,
        "log": log,
        "background": False,
    }
    return KeenClient(**{**given, **settings})


def today() -> dict[str, str]:
    now = datetime.now(UTC)
    return {
        "start": (now - timedelta(days=1)).isoformat(),
        "end": (now + timedelta(days=1)).isoformat(),
    }


def count(server: LocalServer, collection: str = "purchases") -> int:
    with client_of(server, Path(os.environ["XDG_STATE_HOME"]) / "asking") as asking:
        result = asking.count(collection, timeframe=today())
    assert isinstance(result, int)
    return result


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    assert isinstance(port, int)
    return port


@contextmanager
def proxy(status: int, body: bytes, content_type: str = "text/html") -> Iterator[str]:
    """A proxy on loopback that answers everything in the server's place."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{httpd.server_address[1]}"
        finally:
            httpd.shutdown()
            thread.join()


def test_network_down_keeps_everything_for_later(tmp_path: Path) -> None:
    """With nobody at the port, add_event works, flush says why it could not send, and nothing is lost."""
    with KeenClient(
        "p", **KEYS, base_url=f"http://127.0.0.1:{free_port()}", log=tmp_path / "log", background=False
    ) as keen:
        for n in range(20):
            keen.add_event("purchases", {"n": n})
        report = keen.flush(timeout=2)

        assert (report.acknowledged, report.pending, report.unknown) == (0, 20, 0)
        assert report.reason
        assert len(list(keen.log.entries())) == 20


def test_wrong_key_pauses_and_keeps(server: LocalServer, tmp_path: Path) -> None:
    """A wrong write key: 401 is told with what to check, all is pending; with the right key all arrives once."""
    with client_of(server, tmp_path / "log", write_key="0" * 64) as keen:
        keen.add_events({"purchases": [{"n": n} for n in range(30)]})
        report = keen.flush()
        assert (report.acknowledged, report.pending, report.rejected) == (0, 30, 0)
        assert "401" in report.reason

    with client_of(server, tmp_path / "log") as keen:
        assert keen.flush().acknowledged == 30
    assert count(server) == 30


def test_no_write_key_is_named(server: LocalServer, tmp_path: Path) -> None:
    """Recording needs no key; sending without one says which is missing, and keeps everything."""
    with client_of(server, tmp_path / "log", write_key=None) as keen:
        keen.add_event("purchases", {})
        report = keen.flush()
    assert report.pending == 1
    assert "KEEN_WRITE_KEY" in report.reason or "write key" in report.reason


def test_wrong_read_key_is_an_error_and_no_verdict(server: LocalServer, tmp_path: Path) -> None:
    """Verification with a wrong read key raises; without one it says that nothing can be verified."""
    with client_of(server, tmp_path / "log", read_key="0" * 64) as keen:
        keen.add_event("purchases", {})
        keen.flush()
        with pytest.raises(AuthenticationError):
            keen.verify(*_hour(), preset="immediate")
    with client_of(server, tmp_path / "log", read_key=None) as keen, pytest.raises(InvalidEnvironmentError):
        keen.verify(*_hour(), preset="immediate")


def test_unknown_project_pauses_and_keeps(server: LocalServer, tmp_path: Path) -> None:
    """A project that the server does not know: 404 is no verdict on an event."""
    with client_of(server, tmp_path / "log", project_id="f" * 24) as keen:
        keen.add_event("purchases", {})
        report = keen.flush()
    assert (report.pending, report.rejected) == (1, 0)
    assert "404" in report.reason or "401" in report.reason


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, b"<html>Bad Request</html>", "text/html"),
        (
            400,
            json.dumps({"error_code": "InvalidApiVersionError", "message": "no"}).encode(),
            "application/json",
        ),
        (403, b"<html>Forbidden</html>", "text/html"),
        (302, b"", "text/html"),
    ],
)
def test_a_wall_in_between_makes_no_dead_letters(tmp_path: Path, status: int, body: bytes, kind: str) -> None:
    """A proxy that refuses everything, even in Keen's own words, pauses delivery and rejects nothing."""
    with (
        proxy(status, body, kind) as url,
        KeenClient("p", **KEYS, base_url=url, log=tmp_path / "log", background=False) as keen,
    ):
        keen.add_events({"purchases": [{"n": n} for n in range(25)]})
        report = keen.flush(timeout=3)
        assert (report.acknowledged, report.rejected, report.pending) == (0, 0, 25)


def test_html_502_leaves_unknown_and_settles(server: LocalServer, tmp_path: Path) -> None:
    """A proxy's 502 may hide a stored batch: unknown, until a query shows what is there."""
    log = tmp_path / "log"
    server.faults.change({"html-502": {"times": 1}})
    with client_of(server, log) as keen:
        keen.add_events({"purchases": [{"n": n} for n in range(10)]})
        report = keen.flush()
        assert (report.acknowledged, report.unknown) == (0, 10)

        before = keen.verify(*_hour(), preset="immediate")
        assert len(before.windows[0].missing) == 10


def test_cut_after_store_is_settled_by_a_query_and_never_doubled(server: LocalServer, tmp_path: Path) -> None:
    """Stored, then the line cut: unknown; a query proves the events present, and they are not sent again."""
    server.faults.change({"cut-after-store": {"times": 1}})
    with client_of(server, tmp_path / "log") as keen:
        keen.add_events({"purchases": [{"n": n} for n in range(10)]})
        assert keen.flush().unknown == 10

        report = keen.verify(*_hour(), preset="immediate")

        assert [str(window.state) for window in report.windows] == ["final"]
        assert keen.log.backlog().unknown == 0
        assert keen.flush().acknowledged == 0
    assert count(server) == 10


def test_poison_event_is_the_one_dead_letter(server: LocalServer, tmp_path: Path) -> None:
    """One event in 500 that the server refuses: 499 arrive, one dead letter is named with the server's words."""
    with client_of(server, tmp_path / "log") as keen:
        events: list[dict[str, Any]] = [{"n": n} for n in range(500)]
        events[250]["keen"] = {"addons": 5, "made_up_member": True}
        keen.add_events({"purchases": events})
        report = keen.flush()
        assert (report.acknowledged, report.rejected) == (499, 1)
    assert count(server) == 499


def test_bad_event_is_refused_at_the_call(server: LocalServer, tmp_path: Path) -> None:
    """A bad event in a call of many: named by collection and index, and nothing of the call is recorded."""
    with client_of(server, tmp_path / "log") as keen:
        with pytest.raises(InvalidEventError) as caught:
            keen.add_events({"a": [{"x": 1}], "b": [{"x": 1}, {"x": {"y": object()}}]})
        assert (caught.value.collection, caught.value.index, caught.value.path) == ("b", 1, "x.y")
        assert list(keen.log.entries()) == []


def test_an_event_that_is_no_json_is_refused_and_the_others_arrive(
    server: LocalServer, tmp_path: Path
) -> None:
    """The caller of the one learns which property it is, at the call; the nineteen before and after it are delivered."""
    with client_of(server, tmp_path / "log") as keen:
        for n in range(20):
            event = {"n": n, "made_by": {"who": object() if n == 7 else "shop"}}
            if n == 7:
                with pytest.raises(InvalidEventError, match="nothing was recorded") as caught:
                    keen.add_event("purchases", event)
                assert caught.value.path == "made_by.who"
            else:
                keen.add_event("purchases", event)
        assert keen.flush().acknowledged == 19
    assert count(server) == 19


def test_log_bound_elsewhere_names_both(server: LocalServer, tmp_path: Path) -> None:
    """A log made for one project refuses another, naming both, and is unchanged."""
    client_of(server, tmp_path / "log").close()
    with pytest.raises(EventLogBoundElsewhereError) as caught:
        KeenClient("other", **KEYS, base_url="https://api.keen.io", log=tmp_path / "log")
    assert server.project_id in caught.value.message
    assert "other" in caught.value.message


@pytest.mark.parametrize("file", ["log.json", "state.db"])
def test_log_of_a_newer_version_is_left_alone(server: LocalServer, tmp_path: Path, file: str) -> None:
    """A newer version's log is refused, and nothing in it changes."""
    log = tmp_path / "log"
    with client_of(server, log) as keen:
        keen.add_event("purchases", {})
    if file == "log.json":
        content = json.loads((log / file).read_text())
        (log / file).write_text(json.dumps({**content, "format": 99}))
    else:
        import sqlite3

        with closing(sqlite3.connect(log / file)) as db, db:
            db.execute(
                "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('keen_client', '0099_x', '')"
            )
    before = (log / file).read_bytes()
    with pytest.raises(EventLogTooNewError):
        client_of(server, log)
    assert (log / file).read_bytes() == before


def test_clock_an_hour_off_settles_nothing(server: LocalServer, tmp_path: Path) -> None:
    """A machine an hour ahead of the server: events are recorded and sent, ages are not believed, and it is told."""
    clock = VirtualClock(int((datetime.now(UTC) + timedelta(hours=1)).timestamp() * 1000))
    with client_of(server, tmp_path / "log", seams=Seams(clock=clock)) as keen:
        keen.add_event("purchases", {})
        assert keen.flush().acknowledged == 1
        clock.advance(30 * 3600)
        start = (datetime.now(UTC) - timedelta(hours=3)).replace(minute=0, second=0, microsecond=0)
        report = keen.verify(start, start + timedelta(hours=6), preset="standard")

    assert {str(window.state) for window in report.windows} == {"settling"}
    assert any("clock" in warning for warning in report.warnings)


def test_another_owners_log_is_refused(server: LocalServer, tmp_path: Path) -> None:
    """Root's cron job must not lock the web worker out of its own log."""
    client_of(server, tmp_path / "log").close()
    if os.geteuid() == 0:
        os.chown(tmp_path / "log", 12_345, 12_345)
        with pytest.raises(EventLogPermissionError, match="12345"):
            client_of(server, tmp_path / "log")
    else:
        # Without the right to give a file away, the test asks from the other side.
        foreign = Path("/")
        with pytest.raises(EventLogPermissionError):
            KeenClient("p", **KEYS, log=foreign / "proc")


def on_a_disk_of_its_own(disk: Path, options: str) -> list[str] | None:
    """The beginning of a command that runs with a tmpfs at *disk*; None where nobody may mount one."""
    inside = f'mount -t tmpfs -o {options} tmpfs "$0" && exec "$@"'
    start = ["unshare", "-rm", "sh", "-c", inside, str(disk)]
    if shutil.which("unshare") is None:
        return None
    tried = subprocess.run([*start, "true"], capture_output=True, check=False, timeout=60)
    return start if tried.returncode == 0 else None


IN_A_SMALL_DISK = textwrap.dedent(
    """
    import json, os, sys
    from keen_client import EventLogFullError, KeenClient, LogConfig
    url, project, write_key, read_key, log = sys.argv[1:]
    kept = []
    keen = KeenClient(project, write_key, read_key, base_url=url, log=log, background=False,
                      log_config=LogConfig(reserve_bytes=1_000_000,
                                           log_size_max_bytes=int(os.environ.get("LOG_MAX", 10**9))))
    hint = None
    try:
        while True:
            kept.append(keen.add_event("purchases", {"filler": "x" * 2_000}).id)
    except EventLogFullError as error:
        hint = error.hint
    logged = [event.id for event in keen.log.entries()]
    report = keen.flush()
    print(json.dumps({"kept": len(kept), "same": kept == logged, "hint": hint,
                      "acknowledged": report.acknowledged, "pending": report.pending}))
    keen.close()
    """
)


def test_full_disk_refuses_clearly_and_still_sends(server: LocalServer, tmp_path: Path) -> None:
    """On a tiny file system: every receipt is in the log, the refusal is typed, and sending goes on from the reserve."""
    disk = tmp_path / "disk"
    disk.mkdir()
    program = tmp_path / "program.py"
    program.write_text(IN_A_SMALL_DISK)
    start = on_a_disk_of_its_own(disk, "size=8m")
    # Where nobody may mount a small disk, the log's own limit stands in for it.
    limit = {} if start is not None else {"LOG_MAX": "8000000"}
    done = subprocess.run(
        [
            *(start or []),
            *(sys.executable, str(program)),
            *(server.url, server.project_id, server.write_key, server.read_key, str(disk / "log")),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, **limit},
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["kept"] > 100
    assert result["same"]
    assert result["hint"]
    assert (result["acknowledged"], result["pending"]) == (result["kept"], 0)
    assert count(server) == result["kept"]


def test_read_only_directory_is_told_at_the_call(server: LocalServer, tmp_path: Path) -> None:
    """A directory that cannot be written: a typed error names it, before anything was promised."""
    disk = tmp_path / "disk"
    disk.mkdir()
    start = on_a_disk_of_its_own(disk, "ro")
    # Where nobody may mount a read-only disk, the operating system's refusal is played.
    refusal = (
        ""
        if start is not None
        else "import os, pathlib\ndef no(*a, **k): raise OSError(30, os.strerror(30))\npathlib.Path.mkdir = no\n"
    )
    program = refusal + (
        "import sys; from keen_client import *\n"
        "try: KeenClient('p', 'w', 'r', base_url='http://127.0.0.1:1', log=sys.argv[1]).add_event('c', {})\n"
        "except EventLogPermissionError as error: print('typed:', error, '|', error.hint)\n"
    )
    done = subprocess.run(
        [*(start or []), sys.executable, "-c", program, str(disk / "log")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.startswith("typed:"), done.stderr
    assert "nothing was recorded" in done.stdout


def test_damaged_state_is_set_aside_and_nothing_is_lost_or_doubled(
    server: LocalServer, tmp_path: Path
) -> None:
    """A damaged state.db is kept under another name and rebuilt; what was sent is unknown, and a query settles it."""
    log = tmp_path / "log"
    with client_of(server, log) as keen:
        keen.add_events({"purchases": [{"n": n} for n in range(20)]})
        assert keen.flush().acknowledged == 20
        keen.add_events({"purchases": [{"n": n} for n in range(5)]})
    (log / "state.db").write_bytes(b"this is no database, and it is long enough to look like one" * 200)

    with client_of(server, log) as keen:
        assert keen.add_event("purchases", {"n": 99}).id
        report = keen.flush()
        assert (report.acknowledged, report.unknown) == (1, 25)
        keen.verify(*_hour(), preset="immediate")
        assert keen.log.backlog().unknown == 5
    assert len(list((log / "damaged").iterdir())) == 1
    assert count(server) == 21


def test_disabled_records_nothing_and_still_validates(tmp_path: Path) -> None:
    """enabled=False: a receipt without id, no file, and bad events are refused all the same."""
    with KeenClient(enabled=False, log=tmp_path / "log") as keen:
        assert keen.add_event("purchases", {"n": 1}).id is None
        with pytest.raises(InvalidEventError):
            keen.add_event("purchases", {"n": object()})
        assert keen.flush().acknowledged == 0
    assert not (tmp_path / "log").exists()


def _hour() -> tuple[datetime, datetime]:
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    return start, start + timedelta(hours=3)
