"""Before the first event: a fresh deployment's jobs say so, wake nobody, and never call nothing a match."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result

from keen_client.cli.app import app
from keen_client.server import LocalServer

DAY = ("--start", "2026-10-01", "--end", "2026-10-02")
EVENT = '{"n":1,"keen":{"timestamp":"2026-10-01T00:00:00Z"}}\n'


class Fresh:
    """A project with keys, and a place where no log is yet."""

    def __init__(self, server: LocalServer, log: Path) -> None:
        self.server = server
        self.log = log
        self.environment = {
            "KEEN_PROJECT_ID": server.project_id,
            "KEEN_BASE_URL": server.url,
            "KEEN_WRITE_KEY": server.write_key,
            "KEEN_READ_KEY": server.read_key,
            "KEEN_LOG": str(log),
        }

    def run(self, *arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(app, list(arguments), input=stdin, env=self.environment)

    def json(self, *arguments: str, status: int) -> Any:
        done = self.run(*arguments, "--json")
        assert done.exit_code == status, done.output
        return orjson.loads(done.stdout)

    def make_empty(self) -> None:
        """A log, and nothing in it: somebody made a client, or a record of no lines."""
        assert self.run("record", "purchases", stdin="").exit_code == 0
        assert (self.log / "log.json").exists()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Fresh]:
    server = LocalServer(seed=3).start()
    try:
        yield Fresh(server, tmp_path / "not" / "yet")
    finally:
        server.stop()


def test_a_night_without_a_log_is_not_checked(fresh: Fresh) -> None:
    """Bit 32, which wakes nobody at once and somebody when it lasts: the path may be wrong. Nothing is made or sent."""
    document = fresh.json("nightly", status=32)
    assert document["exit"] == 32
    assert document["after"]["windows"] == []
    (warning,) = document["after"]["warnings"]
    assert warning.startswith(f"nothing was recorded yet: there is no log at {fresh.log}")
    assert document["send"]["pending"] == document["replay"]["planned"] == 0
    told = fresh.run("nightly").stdout
    assert "nothing was recorded yet" in told
    assert "RESULT  NOT CHECKED: there is nothing to compare yet   exit 32" in told
    assert not fresh.log.exists()
    assert fresh.run("nightly").stderr == ""


def test_verify_without_a_log_is_not_checked(fresh: Fresh) -> None:
    """The same, in all three forms; never a match."""
    document = fresh.json("verify", *DAY, status=32)
    assert document["summary"]["match"] == 0
    assert document["cost"]["requests"] == 0
    assert "nothing was recorded yet" in document["warnings"][0]
    (row,) = fresh.run("verify", *DAY, "--ndjson").stdout.splitlines()
    assert orjson.loads(row)["type"] == "summary"
    assert "everything matches" not in fresh.run("verify", *DAY).stdout


def test_send_and_status_without_a_log_have_nothing_to_do(fresh: Fresh) -> None:
    """Nothing is left and nothing nears a horizon, which is what their 0 says; both say why."""
    document = fresh.json("send", status=0)
    assert (document["pending"], document["unknown"]) == (0, 0)
    assert "nothing was recorded yet" in document["reason"]
    document = fresh.json("status", status=0)
    assert (document["exists"], document["segments"], document["pending"]) == (False, 0, 0)
    assert document["log"] == str(fresh.log)
    assert "nothing was recorded yet" in fresh.run("status").stderr
    del fresh.environment["KEEN_PROJECT_ID"]
    assert fresh.json("status", status=0)["project_id"] is None
    assert not fresh.log.exists()


@pytest.mark.parametrize(
    "arguments", [("dead", "list"), ("replay", *DAY), ("verify", "--show", "c@2026-10-01")]
)
def test_what_names_something_in_the_log_fails_and_says_what_to_do(
    fresh: Fresh, arguments: tuple[str, ...]
) -> None:
    """There it is an error: the place is named, and how to name another one."""
    error = fresh.json(*arguments, status=1)["error"]
    assert str(fresh.log) in error["message"]
    assert "--log" in error["hint"]


def test_misuse_is_told_before_the_missing_log(fresh: Fresh) -> None:
    """What would fail once there is a log fails now: a deployment is not found wanting a month later."""
    off = ("--start", "2026-10-01T00:30:00Z", "--end", "2026-10-02")
    assert "boundary" in fresh.json("verify", *off, status=2)["error"]["message"]
    del fresh.environment["KEEN_READ_KEY"]
    assert fresh.json("nightly", status=2)["error"]["code"] == "missing_key"
    del fresh.environment["KEEN_WRITE_KEY"]
    assert fresh.json("send", status=2)["error"]["code"] == "missing_key"


def test_an_empty_log_matches_and_says_that_it_is_empty(fresh: Fresh) -> None:
    """The log is there and is this project's: nothing is expected, every window of it matches, 0."""
    fresh.make_empty()
    for document in (fresh.json("nightly", status=0)["after"], fresh.json("verify", *DAY, status=0)):
        assert document["windows"] == []
        assert document["warnings"] == ["nothing was recorded yet: the log has no events"]
    assert fresh.json("send", status=0)["pending"] == 0
    assert fresh.json("status", status=0)["exists"] is True
    assert fresh.run("record", "purchases", stdin=EVENT).exit_code == 0
    assert fresh.json("verify", *DAY, status=32)["warnings"] == []


def test_what_is_left_of_a_damaged_log_is_not_before_the_first_event(fresh: Fresh) -> None:
    """With its description gone a log is damaged, not new: an error, as ever."""
    assert fresh.run("record", "purchases", stdin=EVENT).exit_code == 0
    (fresh.log / "log.json").unlink()
    for arguments in (("nightly",), ("verify", *DAY), ("status",), ("send",)):
        assert fresh.run(*arguments).exit_code == 1


@pytest.mark.parametrize("is_made", [True, False])
def test_a_sender_that_follows_waits_for_the_log(fresh: Fresh, is_made: bool) -> None:
    """Started before the application, it sends the first event when that comes; without one it ends at a signal."""
    command = [sys.executable, "-m", "keen_client", "send", "--follow", "--json"]
    with subprocess.Popen(
        command,
        env={**os.environ, **fresh.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as sender:
        assert sender.stderr is not None
        assert "waiting for it" in sender.stderr.readline()
        if is_made:
            assert fresh.run("record", "purchases", stdin=EVENT).exit_code == 0
            while not fresh.json("status", status=0)["last_accepted"]:
                assert sender.poll() is None
        sender.send_signal(signal.SIGTERM)
        told, _ = sender.communicate(timeout=30)
    document = orjson.loads(told)
    assert (sender.returncode, document["acknowledged"]) == (0, int(is_made))
