"""``query`` and ``extract`` as one uses them, against the local server: forms, files, errors, interruption."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet
import pytest
from click.testing import CliRunner, Result

from keen_client import KeenClient
from keen_client.cli.app import app
from keen_client.queries.analysis import ANALYSIS_TYPES
from keen_client.server import LocalServer
from keen_client.server import extraction as server_extraction

TIMEFRAME = ("--timeframe", "2026-10-01/2026-10-06")
COUNT = 300
#: What a terminal would obey, and what breaks lines and cells.
NASTY = 'pen\x1b[31m\n"x",\u202e'
ITEMS = ("book", NASTY, None)


class Shell:
    """Runs commands in this process, with the environment of one project, and of a log that does not exist."""

    def __init__(self, server: LocalServer, place: Path) -> None:
        self.server = server
        self.place = place
        self.environment = {
            "KEEN_PROJECT_ID": server.project_id,
            "KEEN_BASE_URL": server.url,
            "KEEN_READ_KEY": server.read_key,
            "KEEN_LOG": str(place / "no-log"),
        }

    def run(self, *arguments: str, status: int = 0, stdin: str | None = None) -> Result:
        done = CliRunner().invoke(app, list(arguments), input=stdin, env=self.environment)
        assert done.exit_code == status, done.output
        return done

    def rows(self, *arguments: str) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in self.run(*arguments).stdout.splitlines()]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """With sales over five days."""
    with (
        LocalServer(seed=3) as server,
        KeenClient(
            server.project_id,
            server.write_key,
            base_url=server.url,
            log=tmp_path_factory.mktemp("sales") / "log",
            background=False,
        ) as keen,
    ):
        events = [
            {
                "item": ITEMS[number % 3],
                "price": number / 2,
                "user": {"id": number % 7},
                "keen": {"timestamp": f"2026-10-0{1 + number // 60}T00:00:{number % 60:02}Z"},
            }
            for number in range(COUNT)
        ]
        keen.add_events({"sales": events})
        assert keen.flush().acknowledged == COUNT
        yield server


@pytest.fixture
def shell(server: LocalServer, tmp_path: Path) -> Shell:
    return Shell(server, tmp_path)


EXTRA: dict[str, tuple[str, ...]] = {
    "count": (),
    "extraction": ("--latest", "5", "--property", "price", "--property", "user"),
    "multi_analysis": ("--analyses", '{"n": {"analysis_type": "count"}}'),
    "percentile": ("--property", "price", "--percentile", "90"),
}


@pytest.mark.parametrize("analysis", sorted(ANALYSIS_TYPES))
def test_every_analysis_can_be_asked_for(shell: Shell, analysis: str) -> None:
    """And is printed as rows, as what Keen answered, as CSV and as a table, all the same."""
    arguments = ("query", analysis, "sales", *TIMEFRAME, *EXTRA.get(analysis, ("--property", "price")))
    rows = shell.rows(*arguments)
    assert rows
    document = orjson.loads(shell.run(*arguments, "--json").stdout)
    assert document["analysis_type"] == analysis
    assert (document["schema"], document["metadata"]) == (1, None)
    assert json.dumps(document) == json.dumps(orjson.loads(shell.run(*arguments, "--format", "json").stdout))
    header, *cells = list(csv.reader(io.StringIO(shell.run(*arguments, "--format", "csv").stdout)))
    assert len(cells) == len(rows)
    assert set(header) == {name for row in rows for name in row}
    table = shell.run(*arguments, "--format", "table").stdout.splitlines()
    assert len(table) == len(rows) + 2
    assert table[0].split() == header


def test_a_funnel_has_its_steps_in_a_file(shell: Shell) -> None:
    """A file, or stdin."""
    step = {"event_collection": "sales", "actor_property": "user.id"}
    only = {"property_name": "price", "operator": "lt", "property_value": 1}
    steps = json.dumps([step, {**step, "filters": [only]}])
    file = shell.place / "steps.json"
    file.write_text(steps, encoding="utf-8")
    rows = shell.rows("query", "funnel", "--steps", str(file), *TIMEFRAME)
    assert [(row["step"], row["result"]) for row in rows] == [(1, 7), (2, 2)]
    done = shell.run("query", "funnel", "--steps", "-", *TIMEFRAME, stdin=steps)
    assert [orjson.loads(line) for line in done.stdout.splitlines()] == rows


def test_groups_filters_order_and_interval(shell: Shell) -> None:
    """All at once, in the order asked for."""
    rows = shell.rows(
        *("query", "sum", "sales", *TIMEFRAME, "--property", "price", "--interval", "daily"),
        *(
            "--group-by",
            "item",
            "--group-by",
            "user.id",
            "--filter",
            "user.id lt 2",
            "--filter",
            "price gt 1",
        ),
        *("--order-by", "result desc", "--limit", "2"),
    )
    assert len(rows) == 2 * 5
    assert list(rows[0]) == ["timeframe.start", "timeframe.end", "item", "user.id", "result"]
    assert {row["user.id"] for row in rows} <= {0, 1}
    days: dict[str, list[float]] = {}
    for row in rows:
        days.setdefault(row["timeframe.start"], []).append(row["result"])
    assert sorted(days) == [f"2026-10-0{day}T00:00:00.000Z" for day in range(1, 6)]
    assert all(results == sorted(results, reverse=True) for results in days.values())


def test_a_timezone_moves_days(shell: Shell) -> None:
    """Named, or in seconds; nobody else's timeframe moves."""
    in_utc = shell.rows("query", "count", "sales", *TIMEFRAME, "--interval", "daily")
    east = shell.rows("query", "count", "sales", *TIMEFRAME, "--interval", "daily", "--timezone", "-3600")
    assert [row["result"] for row in in_utc] == [60] * 5
    assert [row["result"] for row in east] == [60, 60, 60, 60, 60, 0]
    assert east[0]["timeframe.end"] == "2026-10-01T01:00:00.000Z"


@pytest.mark.parametrize("form", ["table", "csv", "json", "ndjson"])
def test_nothing_that_a_terminal_obeys_is_printed(
    shell: Shell, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names in events may hold it; a table has it as its escape, JSON as JSON's."""
    if form == "csv":
        monkeypatch.setattr("keen_client.cli.answer._is_terminal", lambda: True)
    printed = shell.run("query", "count", "sales", *TIMEFRAME, "--group-by", "item", "--format", form).stdout
    assert "\x1b" not in printed
    assert "\u202e" not in printed
    assert "x" in printed


def test_csv_for_a_file_is_exact(shell: Shell) -> None:
    """A program that reads it gets the very text."""
    printed = shell.run(
        "query", "select_unique", "sales", *TIMEFRAME, "--property", "item", "--format", "csv"
    )
    values = [row[0] for row in list(csv.reader(io.StringIO(printed.stdout_bytes.decode(), newline="")))[1:]]
    assert NASTY in values


def test_what_a_query_cost_goes_to_stderr(shell: Shell) -> None:
    """With --metadata; in the document it is a member."""
    done = shell.run("query", "count", "sales", *TIMEFRAME, "--metadata")
    assert f"events scanned {COUNT}" in done.stderr
    document = orjson.loads(shell.run("query", "count", "sales", *TIMEFRAME, "--metadata", "--json").stdout)
    assert document["metadata"]["events_scanned"] == COUNT


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("count",), "needs a COLLECTION"),
        (("nonsense", "sales"), "nonsense"),
        (("sum", "sales"), "needs a target_property"),
        (("sum", "sales", "--property", "a", "--property", "b"), "one --property"),
        (("count", "sales", "--limit", "3"), "limit needs order_by"),
        (("count", "sales", "--interval", "sometimes"), "not an interval"),
        (("count", "sales", "--percentile", "5"), "percentile"),
        (("count", "sales", "--steps", "-"), "--steps is for funnel"),
        (("funnel", "sales", "--steps", "-"), "stands in its steps"),
        (("funnel",), "needs --steps"),
        (("multi_analysis", "sales", "--analyses", "[1]"), "analyses is not a dict"),
        (("count", "sales", "--group-by", "result"), "two columns"),
        (("count", "sales", "--json", "--format", "csv"), "give one of them"),
    ],
)
def test_a_query_that_is_none_is_a_usage_error(shell: Shell, arguments: tuple[str, ...], told: str) -> None:
    """Exit 2, in words, nothing on stdout but the document of --json."""
    done = shell.run("query", *arguments, *TIMEFRAME, status=2)
    assert told in (done.stderr or done.stdout)


def test_an_error_of_the_server_is_told_in_its_words(shell: Shell) -> None:
    """A collection that is not there; with --format json as a document."""
    done = shell.run("query", "count", "nothing", *TIMEFRAME, status=1)
    assert "ResourceNotFoundError" in done.stderr
    done = shell.run("query", "count", "nothing", *TIMEFRAME, "--format", "json", status=1)
    assert orjson.loads(done.stdout)["error"]["code"] == "not_found"


def test_a_query_needs_a_read_key_and_no_log(shell: Shell) -> None:
    """Without the key nothing is asked; and none of all this has made a log."""
    shell.run("query", "count", "sales", *TIMEFRAME)
    shell.run("extract", "sales", *TIMEFRAME)
    assert not (shell.place / "no-log").exists()
    del shell.environment["KEEN_READ_KEY"]
    for command in (("query", "count", "sales"), ("extract", "sales")):
        assert "KEEN_READ_KEY" in shell.run(*command, *TIMEFRAME, status=2).stderr


def _ndjson(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def test_all_events_come_into_a_file(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than the server returns at once, in order of time, the same ones in each format and on stdout."""
    monkeypatch.setattr(server_extraction, "MAX_EXTRACTED", 40)
    base = ("extract", "sales", *TIMEFRAME, "--page-events", "30")
    ndjson, table, parquet = (shell.place / name for name in ("s.ndjson", "s.csv", "s.parquet"))
    for file in (ndjson, table, parquet):
        assert f"extracted {COUNT} events" in shell.run(*base, "--to", str(file)).stdout
    events = _ndjson(ndjson)
    assert [event["price"] for event in events] == [number / 2 for number in range(COUNT)]
    assert [orjson.loads(line) for line in shell.run(*base).stdout.splitlines()] == events
    with table.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [float(row["price"]) for row in rows] == [event["price"] for event in events]
    assert {row["item"] for row in rows} == {"book", NASTY, ""}
    read = pyarrow.parquet.read_table(parquet)
    assert read.column("price").to_pylist() == [event["price"] for event in events]
    assert read.column("item").to_pylist() == [event["item"] for event in events]
    assert str(read.schema.field("keen.timestamp").type) == "timestamp[ms, tz=UTC]"
    assert {path.name for path in shell.place.iterdir()} == {"s.ndjson", "s.csv", "s.parquet"}


def test_properties_are_the_columns(shell: Shell) -> None:
    """In their order, in the file and in the events."""
    file = shell.place / "s.csv"
    arguments = ("extract", "sales", *TIMEFRAME, "--property", "user.id", "--property", "price")
    document = orjson.loads(shell.run(*arguments, "--to", str(file), "--json").stdout)
    assert document["events"] == COUNT
    assert document["to"] == str(file)
    assert document["requests"] >= 2
    lines = file.read_text(encoding="utf-8").splitlines()
    assert lines[:3] == ["user.id,price", "0,0.0", "1,0.5"]
    assert len(lines) == COUNT + 1


def test_a_failed_extraction_leaves_no_file(shell: Shell) -> None:
    """What was there before is there still, and the error says how far it came."""
    file = shell.place / "s.csv"
    file.write_text("from yesterday", encoding="utf-8")
    done = shell.run("extract", "nothing", *TIMEFRAME, "--to", str(file), status=1)
    assert "0 events had come" in done.stderr
    assert "was not written" in done.stderr
    assert list(shell.place.iterdir()) == [file]
    assert file.read_text(encoding="utf-8") == "from yesterday"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--to", "s.txt"), "does not say what to write"),
        (("--json",), "needs --to"),
        (("--page-events", "0"), "page_events"),
        (("--timezone", "Nowhere/City", "--timeframe", "today"), "timezone"),
    ],
)
def test_an_extraction_that_is_none_is_a_usage_error(
    shell: Shell, arguments: tuple[str, ...], told: str
) -> None:
    """Before anything is asked or written."""
    done = shell.run("extract", "sales", *TIMEFRAME, *arguments, status=2)
    assert told in done.stderr + done.stdout


def test_an_interrupted_extraction_says_so(shell: Shell) -> None:
    """Ctrl-C: exit 130, no file, and a word about it."""
    file = shell.place / "s.ndjson"
    shell.server.faults.change({"slow": "300ms"})
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "keen_client",
            "extract",
            "sales",
            *TIMEFRAME,
            "--page-events",
            "5",
            "--to",
            str(file),
        ],
        env={**os.environ, **shell.environment},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 60
        while not any(shell.place.glob(".s.ndjson.*.tmp")) and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, words = process.communicate(timeout=60)
    finally:
        process.kill()
        shell.server.faults.change({"slow": None})
    assert process.returncode == 130
    assert re.search(r"interrupted: [\d,]+ events had come, and .*s\.ndjson was not written", words)
    assert list(shell.place.iterdir()) == []
