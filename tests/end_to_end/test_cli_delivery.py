"""The command line as one uses it: real processes, the real local server, from record to a verified night."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

SERVER_SECONDS = 30
COMMAND = [sys.executable, "-m", "keen_client"]


class Shell:
    """Runs commands in the environment of one project and one log."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = {**os.environ, **environment}

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments],
            input=stdin,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def json(self, *arguments: str, stdin: str = "", status: int = 0) -> dict[str, Any]:
        done = self.run(*arguments, "--json", stdin=stdin)
        assert done.returncode == status, done.stderr + done.stdout
        assert done.stdout.count("\n") == 1
        document: dict[str, Any] = orjson.loads(done.stdout)
        assert document["schema"] == 1
        return document


class Server:
    """``serve --json`` as a child."""

    def __init__(self, *options: str) -> None:
        self.process = subprocess.Popen([*COMMAND, "serve", "--json", *options], stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.ready: dict[str, str] = orjson.loads(self.process.stdout.readline())

    def environment(self, log: Path) -> dict[str, str]:
        return {
            "KEEN_BASE_URL": self.ready["url"],
            "KEEN_PROJECT_ID": self.ready["project_id"],
            "KEEN_WRITE_KEY": self.ready["write_key"],
            "KEEN_READ_KEY": self.ready["read_key"],
            "KEEN_LOG": str(log),
        }

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(SERVER_SECONDS)
        finally:
            if self.process.stdout is not None:
                self.process.stdout.close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    if server.process.poll() is None:
        server.stop()


@pytest.fixture
def shell(server: Server, tmp_path: Path) -> Shell:
    return Shell(server.environment(tmp_path / "log"))


def lines(count: int, day: str = "2026-10-01") -> str:
    return "".join(
        f'{{"n":{number},"keen":{{"timestamp":"{day}T{number % 24:02}:00:00Z"}}}}\n'
        for number in range(count)
    )


DAY = ("--start", "2026-10-01", "--end", "2026-10-02", "--preset", "immediate")


def test_what_is_recorded_is_sent_and_verified(shell: Shell) -> None:
    """record, status, send, status, nightly, verify: each says what the one before left, and all ends matched."""
    assert shell.json("record", "things", stdin=lines(100)) == {
        "schema": 1,
        "recorded": 100,
        "refused": 0,
        "refusals": [],
    }
    assert shell.json("status")["pending"] == 100
    sent = shell.json("send")
    assert (sent["acknowledged"], sent["rejected"], sent["pending"], sent["unknown"]) == (100, 0, 0, 0)
    assert sent["reason"] is None
    status = shell.json("status")
    assert (status["pending"], status["unknown"], status["dead_letters"]) == (0, 0, 0)
    night = shell.json("nightly", *DAY)
    assert night["exit"] == 0
    assert night["after"]["summary"]["match"] == 24
    verified = shell.json("verify", *DAY)
    assert sum(window["server"]["count"] for window in verified["windows"]) == 100
    assert shell.json("status")["last_nightly"] is not None


def test_a_second_send_has_nothing_to_do(shell: Shell) -> None:
    """Sending what was sent is no error and sends nothing."""
    shell.json("record", "things", stdin=lines(3))
    shell.json("send")
    assert shell.json("send")["acknowledged"] == 0


def test_bad_lines_cost_only_themselves(shell: Shell, tmp_path: Path) -> None:
    """The numbers of bad lines stand on stderr, the others are recorded, exit 1."""
    file = tmp_path / "events.ndjson"
    file.write_text('{"n":1}\nnonsense\n{"n":2}\n[]\n', encoding="utf-8")
    done = shell.run("record", "things", str(file), "--json")
    assert done.returncode == 1
    document = orjson.loads(done.stdout)
    assert (document["recorded"], document["refused"]) == (2, 2)
    assert [refusal["line"] for refusal in document["refusals"]] == [2, 4]
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["line 2", "line 4"]


def test_losses_are_found_planned_and_replayed(tmp_path: Path) -> None:
    """Verify names what is short, replay plans it, replay --yes resends it, verify matches; the bits say so."""
    server = Server("--fault", "lose=0.2", "--seed", "11")
    try:
        shell = Shell(server.environment(tmp_path / "log"))
        shell.json("record", "things", stdin=lines(200))
        shell.json("send")
        while shell.run("doctor", "--probe").returncode:
            pass  # too much of the probe was lost
        short = shell.json("verify", *DAY, status=4)
        missing = short["summary"]["missing"]
        assert missing > 0
        plan = shell.json("replay", *DAY, status=4)
        assert (plan["dry_run"], plan["planned"], plan["replayed"]) == (True, missing, 0)
        stopped = shell.json("replay", *DAY, "--yes", "--max-replay", "1", status=4)
        assert stopped["stopped"]
        done = shell.json("replay", *DAY, "--yes", "--max-replay", "200", status=64)
        assert done["replayed"] == missing
        after = shell.json("verify", *DAY)
        assert (after["summary"]["missing"], after["summary"]["duplicate"]) == (0, 0)
    finally:
        server.stop()


def test_the_terminal_report_ends_in_the_exit_status(shell: Shell) -> None:
    """Without --json there is a heat map, and the last line holds the status that the process ends with."""
    shell.run("record", "things", stdin=lines(24))
    done = shell.run("verify", *DAY)
    last = done.stdout.splitlines()[-1]
    assert last.startswith("RESULT")
    assert f"exit {done.returncode} (" in last
    assert "2026-10-01 " in done.stdout
    assert "\x1b" not in done.stdout


def test_refused_events_become_dead_letters_that_can_be_retried(tmp_path: Path) -> None:
    """Send exits 16, dead lists them with the server's words, and after a retry against a server in health all is sent."""
    data = tmp_path / "data"
    server = Server("--fault", "reject=1", "--data", str(data))
    port = server.ready["url"].rsplit(":", 1)[1]
    shell = Shell(server.environment(tmp_path / "log"))
    shell.json("record", "things", stdin=lines(3))
    assert shell.json("send", "--timeout", "20", status=16)["rejected"] == 3
    server.stop()
    letters = shell.json("dead", "list")["dead_letters"]
    assert len(letters) == 3
    shown = shell.json("dead", "show", letters[0]["id"])
    assert shown["event"]["n"] in range(3)
    assert shell.json("dead", "drop", letters[2]["id"])["dropped"] == 0
    assert shell.json("dead", "drop", letters[2]["id"], "--yes")["dropped"] == 1
    assert shell.json("dead", "retry", "--all")["retried"] == 2
    assert shell.json("dead", "retry", letters[2]["id"], status=1)["retried"] == 0
    server = Server("--data", str(data), "--port", port)
    try:
        assert shell.json("send")["acknowledged"] == 2
    finally:
        server.stop()


def test_what_cannot_be_sent_stays_and_is_told(shell: Shell, server: Server) -> None:
    """Without a server send gives up in time, exit 32, names a reason, and every event is still in the log."""
    server.stop()
    shell.json("record", "things", stdin=lines(5))
    left = shell.json("send", "--timeout", "1", status=32)
    assert left["pending"] == 5
    assert left["reason"]
    assert shell.json("status")["pending"] == 5


def test_a_follower_sends_what_others_record_until_it_is_told_to_stop(shell: Shell) -> None:
    """Send --follow ships events of other processes, and ends at SIGTERM with a report and exit 0."""
    shell.json("record", "things", stdin=lines(1))
    follower = subprocess.Popen(
        [*COMMAND, "send", "--follow", "--json"], env=shell.environment, stdout=subprocess.PIPE, text=True
    )
    try:
        shell.json("record", "things", stdin=lines(20))
        deadline = time.monotonic() + 30
        while shell.json("status")["pending"] and time.monotonic() < deadline:
            time.sleep(0.2)
        status = shell.json("status")
        assert status["pending"] == 0
        assert status["sender_running"]
    finally:
        follower.send_signal(signal.SIGTERM)
        output, _ = follower.communicate(timeout=30)
    assert follower.returncode == 0
    assert orjson.loads(output)["acknowledged"] == 21


def test_a_second_nightly_goes_away(shell: Shell) -> None:
    """While one job holds the lock another exits 75 and does nothing."""
    shell.json("record", "things", stdin=lines(1))
    first = subprocess.Popen(
        [*COMMAND, "nightly", *DAY, "--settle", "20s"], env=shell.environment, stdout=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 30
        while not shell.json("status")["nightly_running"] and time.monotonic() < deadline:
            time.sleep(0.1)
        error = shell.json("nightly", *DAY, status=75)["error"]
        assert error["code"] == "nightly_locked"
        assert shell.json("replay", *DAY, "--yes", status=75)["error"]["code"] == "nightly_locked"
    finally:
        first.kill()
        first.wait()


def test_a_key_that_is_not_given_is_asked_for(shell: Shell) -> None:
    """Without a read key nothing can be verified, and verify says that: exit 2, no request."""
    shell.json("record", "things", stdin=lines(1))
    del shell.environment["KEEN_READ_KEY"]
    error = shell.json("verify", *DAY, status=2)["error"]
    assert "KEEN_READ_KEY" in error["hint"]
    del shell.environment["KEEN_WRITE_KEY"]
    assert "KEEN_WRITE_KEY" in shell.json("send", status=2)["error"]["hint"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_server_stops_cleanly_at_a_signal(server: Server, number: signal.Signals) -> None:
    """SIGTERM and Ctrl-C end serve with status 0."""
    server.process.send_signal(number)
    assert server.process.wait(SERVER_SECONDS) == 0
    assert server.process.stdout is not None
    server.process.stdout.close()


def test_a_reader_that_goes_away_ends_the_command_quietly(shell: Shell) -> None:
    """A closed pipe is no error worth a traceback."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run(
            [*COMMAND, "dead", "list", "--help"],
            env=shell.environment,
            stdout=pipe,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert done.returncode == 128 + signal.SIGPIPE
    assert done.stderr == b""


def test_an_interrupt_is_quiet_and_tells_how_far_it_came(shell: Shell) -> None:
    """Ctrl-C ends record with 130, says up to which line events are recorded, and loses none of those."""
    process = subprocess.Popen(
        [*COMMAND, "record", "things"],
        env=shell.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(lines(10))
    process.stdin.flush()
    deadline = time.monotonic() + 30
    while 'pending":10' not in shell.run("status", "--json").stdout and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "lines up to 10 are dealt with" in errors
    assert "Traceback" not in errors
    assert shell.json("status")["pending"] == 10


def test_the_doctor_tells_warnings_from_damage_and_repairs(shell: Shell, tmp_path: Path) -> None:
    """Doctor exits 0 on a sound log, 32 for what is not as it should be, 16 for damage; a repair leaves less."""
    shell.json("record", "things", stdin=lines(500))
    shell.json("send")
    sound = shell.json("doctor")
    assert {finding["level"] for finding in sound["findings"]} == {"ok"}
    log = tmp_path / "log"
    log.chmod(0o755)
    assert "WARNING" in shell.run("doctor").stdout
    shell.json("doctor", status=32)
    assert shell.json("doctor", "--repair")["repairs"]
    (segment,) = (log / "segments").glob("*.db")
    with segment.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 8192)
    damaged = shell.json("doctor", status=16)
    assert "segments" in {finding["name"] for finding in damaged["findings"] if finding["level"] == "damage"}


def test_why_delivery_waits_is_told_once(tmp_path: Path) -> None:
    """The warning has the cause and what to do; the report refers to it."""
    shell = Shell(
        {
            "KEEN_PROJECT_ID": "p",
            "KEEN_WRITE_KEY": "w",
            "KEEN_BASE_URL": "http://127.0.0.1:1",
            "KEEN_LOG": str(tmp_path / "log"),
        }
    )
    shell.json("record", "things", stdin=lines(1))
    done = shell.run("send", "--timeout", "1")
    assert done.returncode == 32
    assert (done.stdout + done.stderr).count("did not reach the server") == 1
    assert done.stdout.endswith("because: delivery waits, as the warning says\n")
