"""docs/reference/log_format.md describes every table and column, and its vectors hold."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from keen_client._foundation.randomness import SystemRandomness
from keen_client.eventlog.directory import LogDirectory
from keen_client.events.identity import new_origin
from keen_client.events.stamps import digest

PAGE = "docs/reference/log_format.md"


def _columns(file: str) -> dict[str, list[str]]:
    connection = sqlite3.connect(":memory:")
    sql = resources.files("keen_client.eventlog").joinpath(f"sql/{file}").read_text("utf-8")
    connection.executescript(sql)
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    found = {table: [row[1] for row in connection.execute(f"PRAGMA table_info({table})")] for table in tables}
    connection.close()
    return found


@pytest.mark.parametrize(
    ("heading", "file"), [("Tables of a segment", "segment.sql"), ("Tables of state.db", "state.sql")]
)
def test_every_table_and_column_is_described(page: Callable[[str], Any], heading: str, file: str) -> None:
    """In the order of the SQL file, which is named."""
    opened = page(PAGE)
    text = opened.section(heading)
    assert file in text
    tables = _columns(file)
    assert re.findall(r"^### (\w+)$", text, flags=re.MULTILINE) == list(tables)
    for table, columns in tables.items():
        assert list(opened.rows(opened.section(table))) == columns, table


def test_every_file_of_the_directory_is_described(page: Callable[[str], Any], tmp_path: Path) -> None:
    """What the directory's properties name stands in the table of files."""
    text = page(PAGE).section("Files of a log")
    directory = LogDirectory(tmp_path)
    named = [
        directory.segments,
        directory.damaged,
        directory.description,
        directory.state,
        directory.state_copy,
        directory.reserve,
    ]
    assert [path.name for path in named if path.name not in text] == []


def test_vectors_on_the_page_hold(page: Callable[[str], Any]) -> None:
    """The recipe gives the digests that the page shows."""
    lines = page(PAGE).section("Stamps").splitlines()
    rows = [[cell.strip().strip("`") for cell in line.split("|")[1:-1]] for line in lines]
    checked = 0
    for row in rows:
        if len(row) != 8 or not row[2].isdecimal():
            continue
        entry_id, collection, timestamp, body, keen, hexed, h, g = row
        assert digest(entry_id, collection, int(timestamp), body, keen) == (int(h), int(g))
        assert f"{int(h):08x}{int(g):08x}" == hexed
        checked += 1
    assert checked == 2


def test_byte_of_an_origin_is_the_documented_one() -> None:
    """16 plus the origin as a number in base 32."""
    origin = new_origin(SystemRandomness())
    digits = "0123456789abcdefghjkmnpqrstvwxyz"
    number = 0
    for character in origin:
        number = 32 * number + digits.index(character)
    assert LogDirectory.segment_byte(origin) == 16 + number
