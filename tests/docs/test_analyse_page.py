"""The programs on docs/how_to/analyse.md run as they stand, and its table of types is that of the code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet
from click.testing import CliRunner

from keen_client import KeenClient
from keen_client._foundation.clock import SystemClock, ms_to_datetime
from keen_client.api import KeenApi, Project
from keen_client.cli.app import app
from keen_client.results.arrow import schema_of
from keen_client.results.columns import ColumnType, Kind
from keen_client.server import LocalServer
from keen_client.transport import Secret

PAGE = "docs/how_to/analyse.md"
DAYS = 430


def test_programs_on_the_page_run(page: Callable[[str], Any], tmp_path: Path) -> None:
    """One after the other, with the project in the environment; the last one is a notebook's, whose client is there."""
    programs = re.findall(r"```python\n(.*?)```", page(PAGE).text, flags=re.DOTALL)
    assert len(programs) == 4
    with LocalServer() as server:
        place = {"KEEN_BASE_URL": server.url, "KEEN_LOG": str(tmp_path / "log")}
        keys = {"KEEN_WRITE_KEY": server.write_key, "KEEN_READ_KEY": server.read_key}
        with KeenClient(
            server.project_id,
            server.write_key,
            master_key=server.master_key,
            base_url=server.url,
            log=tmp_path / "log",
            background=False,
        ) as keen:
            now = ms_to_datetime(SystemClock().wall_ms())
            keen.add_events(
                {
                    "purchases": [
                        {"item": "book", "price_cents": n, "keen": {"timestamp": now - timedelta(days=n)}}
                        for n in range(DAYS)
                    ]
                }
            )
            assert keen.flush().acknowledged == DAYS
            daily = {
                "analysis_type": "sum",
                "event_collection": "purchases",
                "target_property": "price_cents",
                "timeframe": "previous_7_days",
                "interval": "daily",
            }
            keen.saved_queries.create("daily-revenue", {"refresh_rate": 0, "query": daily})
        done = subprocess.run(
            [
                sys.executable,
                "-W",
                "error",
                "-c",
                "\n".join([*programs[:3], "keen = KeenClient()", programs[3]]),
            ],
            cwd=tmp_path,
            env={**os.environ, "KEEN_PROJECT_ID": server.project_id, **place, **keys},
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")
    first, *others, last = done.stdout.splitlines()
    assert "7" in others
    assert re.fullmatch(r"\d{4}-\d\d-\d\d 00:00:00\+00:00 book \d+", first)
    found, expected = re.fullmatch(r"(\d+) of (\d+)", last).groups()  # type: ignore[union-attr]
    assert 28 <= int(found) == int(expected) <= 31
    assert 365 <= pyarrow.parquet.read_table(tmp_path / "purchases.parquet").num_rows <= 366


def test_the_types_on_the_page_are_those_of_the_code(page: Callable[[str], Any]) -> None:
    """Each kind of column stands in the table, under the name that Arrow gives it."""
    named = {
        "timestamp[ms, UTC]": Kind.TIMESTAMP,
        "int64": Kind.INTEGER,
        "decimal128(38, 0)": Kind.LARGE_INTEGER,
        "double": Kind.NUMBER,
        "bool": Kind.BOOLEAN,
        "string": Kind.TEXT,
        "null": Kind.NULL,
    }
    text = page(PAGE).section("Rows")
    for name, kind in named.items():
        assert f"`{name}`" in text
        (field,) = schema_of({"c": ColumnType(kind)})
        assert str(field.type).replace("tz=", "") == name
    assert set(Kind) - set(named.values()) == {Kind.SMALL_INTEGER, Kind.JSON}


def test_every_field_of_the_documents_is_described(page: Callable[[str], Any], tmp_path: Path) -> None:
    """Of `query --json` and of `extract --json`, each in its own row of the reference."""
    documents = page("docs/reference/cli.md").section("JSON documents")
    with (
        LocalServer() as server,
        KeenApi.open(
            Project(id=server.project_id, base_url=server.url, write_key=Secret(server.write_key))
        ) as api,
    ):
        api.upload({"purchases": [{"price_cents": 7}]})
        environment = {
            "KEEN_PROJECT_ID": server.project_id,
            "KEEN_BASE_URL": server.url,
            "KEEN_READ_KEY": server.read_key,
        }
        for command in (("query", "count"), ("extract", "--to", str(tmp_path / "c.csv"))):
            arguments = [*command, "purchases", "--timeframe", "this_2_days", "--json"]
            done = CliRunner().invoke(app, arguments, env=environment)
            assert done.exit_code == 0, done.output
            (row,) = re.findall(rf"^\| `{command[0]}` \| (.+) \|$", documents, flags=re.MULTILINE)
            described = set(re.findall(r"`(\w+)`", row))
            assert set(orjson.loads(done.stdout)) == described | {"schema"}
