"""Budgets, lines of windows, drill-down, a stored run and the full probe, by the command line against a local server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result

from keen_client.cli.app import app
from keen_client.server import LocalServer

DAY = ("--start", "2026-10-01", "--end", "2026-10-02", "--preset", "immediate")


class Shell:
    """Runs commands in this process, with the environment of one server and one log."""

    def __init__(self, server: LocalServer, log: Path) -> None:
        self.server = server
        self.environment = {
            "KEEN_PROJECT_ID": server.project_id,
            "KEEN_BASE_URL": server.url,
            "KEEN_WRITE_KEY": server.write_key,
            "KEEN_READ_KEY": server.read_key,
            "KEEN_LOG": str(log),
        }

    def run(self, *arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(app, list(arguments), input=stdin, env=self.environment)

    def json(self, *arguments: str, status: int = 0, stdin: str | None = None) -> Any:
        done = self.run(*arguments, "--json", stdin=stdin)
        assert done.exit_code == status, done.output
        return orjson.loads(done.stdout)

    def record(self, collection: str, count: int) -> None:
        text = "".join(
            f'{{"n":{n},"keen":{{"timestamp":"2026-10-01T0{n % 2}:00:0{n % 10}Z"}}}}\n' for n in range(count)
        )
        assert self.json("record", collection, stdin=text)["recorded"] == count


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    server = LocalServer(seed=5).start()
    try:
        yield Shell(server, tmp_path / "log")
    finally:
        server.stop()


def test_a_budget_on_the_command_line_leaves_windows_incomplete(shell: Shell) -> None:
    """`--budget-requests 1` reads one of two collections; the other one is named as not checked, bit 32."""
    for name in ("purchases", "refunds"):
        shell.record(name, 4)
    shell.json("send")
    report = shell.json("verify", *DAY, "--budget-requests", "1", status=32)
    assert report["cost"]["requests"] == 1
    unread = [w for w in report["windows"] if w["collection"] == "refunds" and w["local"]["count"]]
    assert {w["state"] for w in unread} == {"incomplete"}
    assert "NOT CHECKED" in shell.run("verify", *DAY, "--budget-bytes", "1B").stdout
    assert shell.json("verify", *DAY, "--budget-bytes", "20MB")["summary"]["incomplete"] == 0


@pytest.mark.parametrize("bad", ["20 megs", "-1", "1.5MB", ""])
def test_a_budget_that_is_no_size_is_a_usage_error(shell: Shell, bad: str) -> None:
    """Exit 2, and the form is named."""
    done = shell.run("verify", *DAY, f"--budget-bytes={bad}")
    assert done.exit_code == 2
    assert "500kB, 20MB" in done.stderr


def test_windows_come_as_lines(shell: Shell) -> None:
    """One window a line, in order, and the summary last; the exit status as without."""
    shell.record("purchases", 4)
    shell.json("send")
    done = shell.run("verify", *DAY, "--ndjson")
    rows = [orjson.loads(line) for line in done.stdout.splitlines()]
    assert [row["type"] for row in rows] == ["window", "window", "summary"]
    assert [row["start"][11:13] for row in rows[:2]] == ["00", "01"]
    assert (done.exit_code, rows[-1]["summary"]["match"]) == (0, 2)
    assert shell.run("verify", *DAY, "--ndjson", "--json").exit_code == 2


def test_an_error_of_lines_is_a_line(shell: Shell) -> None:
    """A wrong key, a window off its boundary and an unknown option are a row each, with the exit status in it."""
    shell.record("purchases", 1)
    off = ("--start", "2026-10-01T00:30:00Z", "--end", "2026-10-02")
    for arguments, code, status in (
        (off, "usage", 2),
        ((*DAY, "--frobnicate"), "usage", 2),
        (("--start", "2026-10-01T00:00:00", "--end", "2026-10-02"), "usage", 2),
    ):
        done = shell.run("verify", *arguments, "--ndjson")
        row = orjson.loads(done.stdout)
        assert (row["type"], row["error"]["code"], row["exit"]) == ("error", code, status)
        assert done.exit_code == status
    shell.environment["KEEN_READ_KEY"] = "not-the-key"
    done = shell.run("verify", *DAY, "--ndjson")
    row = orjson.loads(done.stdout)
    assert (row["error"]["code"], row["exit"], done.exit_code) == ("authentication", 1, 1)


def test_a_loss_is_drilled_into_and_its_run_is_shown(shell: Shell) -> None:
    """The window by its minutes with the missing id; after the replay the run, its states and how to undo it."""
    shell.record("purchases", 10)
    shell.json("doctor", "--probe")
    shell.server.faults.change({"lose": {"times": 1}})
    shell.json("send")
    report = shell.json("verify", *DAY, status=4)
    (window,) = [w for w in report["windows"] if w["missing"]]
    place = f"purchases@{window['start']}"
    depth = shell.json("verify", "--show", place, "--preset", "immediate", status=4)
    (event,) = [event for minute in depth["minutes"] for event in minute["ids"]]
    assert event["id"] == window["missing"][0]
    assert event["evidence"][0]["kind"] == "absent"
    assert event["id"] in shell.run("verify", "--show", place, "--preset", "immediate").stdout
    done = shell.json("replay", *DAY, "--yes", status=64)
    stored = shell.json("replay", "--show-run", "1")
    assert stored["undo"] == done["undo"] != []
    assert [e["id"] for e in stored["events"]] == window["missing"]
    assert "UNDO  1 copies" in shell.run("replay", "--show-run", "1").stdout
    assert shell.run("replay", "--show-run", "2").exit_code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify",),
        ("replay",),
        ("verify", "--show", "purchases"),
        ("verify", "--show", "@2026-10-01"),
        ("verify", "--show", "purchases@yesterday"),
    ],
)
def test_what_names_no_window_is_a_usage_error(shell: Shell, arguments: tuple[str, ...]) -> None:
    """Exit 2, before anything is opened or asked."""
    assert shell.run(*arguments).exit_code == 2


def test_the_full_probe_asks_first_and_then_tells(shell: Shell) -> None:
    """Without an answer nothing is sent; with --yes each feature has its finding."""
    shell.record("purchases", 1)
    refused = shell.run("doctor", "--probe=full", stdin="n\n")
    assert refused.exit_code == 130
    assert "sends up to 50 small events" in refused.stderr
    assert shell.run("doctor", "--probe=full", "--json").exit_code == 2
    done = shell.run("doctor", "--probe=full", "--yes", "--json")
    findings = {finding["name"]: finding["level"] for finding in orjson.loads(done.stdout)["findings"]}
    names = ("sums", "timeframes", "null_group", "groups", "intervals", "lists")
    assert [findings[name] for name in names] == ["ok"] * 6
    assert "tokens" in findings


def test_showing_needs_neither_key_nor_answer(shell: Shell) -> None:
    """Drill-down and stored runs read the log alone."""
    shell.record("purchases", 2)
    for key in ("KEEN_READ_KEY", "KEEN_WRITE_KEY"):
        del shell.environment[key]
    shell.server.faults.change({"http-500": 1})
    depth = shell.json("verify", "--show", "purchases@2026-10-01", status=32)
    assert depth["state"] == "settling"


def test_a_night_without_a_write_key_says_so_on_both_streams(shell: Shell) -> None:
    """Verified, and nothing else: a line of the report, or a warning beside the document; bit 32 for what waits."""
    shell.record("purchases", 2)
    del shell.environment["KEEN_WRITE_KEY"]
    told = shell.run("nightly", *DAY)
    assert told.exit_code == 32
    assert "NOT DONE  there is no write key" in told.stdout
    assert "left: 2 pending, 0 unknown (there is no write key)" in told.stdout
    done = shell.run("nightly", *DAY, "--json")
    assert "there is no write key" in done.stderr
    document = orjson.loads(done.stdout)
    assert (document["exit"], done.exit_code) == (32, 32)
    assert "there is no write key" in document["warnings"][0]
    assert document["after"]["summary"]["states"] == {"settling": 2}


def test_by_origin_has_a_row_for_each_segment(shell: Shell) -> None:
    """One segment, one row, with its day of recording; the document has them without being asked."""
    shell.record("purchases", 4)
    shell.json("send")
    (segment,) = shell.json("verify", *DAY)["segments"]
    told = shell.run("verify", *DAY, "--by", "origin").stdout
    assert segment["segment"] in told
    assert "00     06" not in told
    assert "00     06" in shell.run("verify", *DAY).stdout


def test_a_long_line_is_folded_where_the_width_is_known(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With COLUMNS no line is wider; into a pipe without it each statement stays one line."""
    monkeypatch.delenv("COLUMNS", raising=False)
    shell.record("purchases", 4)
    shell.json("send")
    assert max(map(len, shell.run("verify", *DAY).stdout.splitlines())) > 80
    shell.environment["COLUMNS"] = "80"
    lines = shell.run("verify", *DAY).stdout.splitlines()
    # A path without a space is wider than some terminals, and is never torn.
    assert max(len(line) for line in lines if str(shell.environment["KEEN_LOG"]) not in line) <= 80
