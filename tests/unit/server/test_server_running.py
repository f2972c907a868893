"""The server over real sockets: start, stop, cut connections, keep-alive, restarts."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from keen_client.server import LocalServer, Project, serve_forever


def _count(server: LocalServer) -> int:
    response = httpx.post(
        f"{server.url}/3.0/projects/{server.project_id}/queries/count",
        headers={"Authorization": server.read_key},
        json={"event_collection": "c", "timeframe": "this_2_days"},
    )
    result: int = response.json()["result"]
    return result


def _write(client: httpx.Client, server: LocalServer) -> httpx.Response:
    path = f"{server.url}/3.0/projects/{server.project_id}/events/c"
    return client.post(path, headers={"Authorization": server.write_key}, json={"a": 1})


def test_a_cut_write_is_stored_and_gets_no_answer() -> None:
    """The connection is dropped before a byte of a reply; the next one works again."""
    with LocalServer() as server, httpx.Client() as client:
        server.faults.change({"cut-after-store": {"times": 1}})
        with pytest.raises(httpx.RemoteProtocolError):
            _write(client, server)
        assert _write(client, server).status_code == 201
        assert _count(server) == 2


def test_a_connection_is_kept_and_answers_carry_one_date() -> None:
    """Two requests over one socket; the server adds no second Date to the application's."""
    with LocalServer() as server:
        connection = http.client.HTTPConnection("127.0.0.1", int(server.url.rpartition(":")[2]))
        sockets = []
        for _ in range(2):
            connection.request("GET", "/3.0/none", headers={"Authorization": "y"})
            reply = connection.getresponse()
            assert reply.status == 404
            assert len(reply.headers.get_all("date", [])) == 1
            assert reply.read()
            sockets.append(connection.sock)
        assert sockets[0] is sockets[1] is not None
        connection.close()


def test_a_refused_body_does_not_break_the_connection() -> None:
    """An overlong body is read to its end, so that the 413 arrives and the connection goes on."""
    with LocalServer() as server, httpx.Client(headers={"Authorization": server.write_key}) as client:
        url = f"{server.url}/3.0/projects/{server.project_id}/events"
        assert client.post(url, content=b" " * 10_000_001).status_code == 413
        assert client.post(url, json={"c": [{}]}).status_code == 200


def test_stopping_is_final_and_may_be_repeated() -> None:
    """After ``stop`` nothing listens, open connections or not."""
    server = LocalServer().start()
    with httpx.Client() as client:
        assert _write(client, server).status_code == 201
        url = server.url
        server.stop()
        server.stop()
        with pytest.raises(httpx.TransportError):
            client.get(url)


def test_a_directory_keeps_the_project_and_its_events(tmp_path: Path) -> None:
    """A made-up project is made up once; its file is for the owner's eyes only."""
    with LocalServer(directory=tmp_path / "data") as server, httpx.Client() as client:
        first = server.ready_document()
        _write(client, server)
    with LocalServer(directory=tmp_path / "data") as server:
        assert {**server.ready_document(), "url": first["url"]} == first
        assert _count(server) == 1
    assert (tmp_path / "data" / "project.json").stat().st_mode & 0o077 == 0


def test_the_environment_names_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is set is used, the rest is made up; no key shows in a repr."""
    monkeypatch.setenv("KEEN_PROJECT_ID", "mine")
    monkeypatch.setenv("KEEN_READ_KEY", "my-read-key")
    with LocalServer() as server:
        assert (server.project_id, server.read_key) == ("mine", "my-read-key")
        assert len(server.write_key) == 64
        assert "my-read-key" not in repr(server.project)


@pytest.mark.parametrize(("host", "warned"), [("0.0.0.0", True), ("127.0.0.1", False)])
def test_a_host_beyond_loopback_is_warned_about(
    host: str, warned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stderr, before anything is served."""
    with LocalServer(Project.made_up(), host=host):
        pass
    assert ("not a loopback address" in capsys.readouterr().err) is warned


def test_a_signal_ends_it_cleanly(tmp_path: Path) -> None:
    """SIGTERM closes the store and returns; that is how the command line ends."""
    served: list[dict[str, Any]] = []

    def ready(server: LocalServer) -> None:
        served.append(server.ready_document())
        os.kill(os.getpid(), signal.SIGTERM)

    serve_forever(ready, directory=tmp_path / "data", faults=["lose=0.5"], seed=1)
    assert served[0].keys() == {"url", "project_id", "write_key", "read_key", "master_key"}
    assert (tmp_path / "data" / "events.duckdb").exists()


def test_a_taken_port_is_an_error_at_once() -> None:
    """The second server on a port does not start, and leaves nothing behind."""
    with LocalServer() as server:
        port = int(server.url.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"):
            LocalServer(port=port).start()


def test_a_wrong_fault_is_refused_before_anything_starts() -> None:
    """The names are checked when the server is made."""
    with pytest.raises(ValueError, match="no such fault"):
        LocalServer(faults=["loose=1"])


def test_an_unstarted_server_says_so() -> None:
    """Its address and keys exist only once it runs."""
    server: Any = LocalServer()
    with pytest.raises(RuntimeError, match="not started"):
        _ = server.url


@pytest.mark.parametrize("package", ["duckdb", "starlette", "ua_parser", "uvicorn"])
def test_without_its_extra_the_server_says_what_to_install(package: str) -> None:
    """In a process of its own, where the package cannot be imported."""
    script = f"""
import sys
sys.modules[{package!r}] = None
from keen_client.errors import MissingExtraError
try:
    import keen_client.server
except MissingExtraError as error:
    print(error.hint)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "pip install 'keen-client[server]'"
