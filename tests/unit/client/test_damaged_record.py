"""The owner's view of a log with a damaged page: all that can be read, and an error in place of a short answer."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest

from keen_client import EventLogDamagedError, KeenClient

COUNT = 200
TIME = "2026-10-01T04:00:00Z"


@pytest.fixture
def damaged(make_client: Callable[..., KeenClient], tmp_path: Path) -> KeenClient:
    """A log of which one page cannot be read."""
    client = make_client(log=tmp_path / "log")
    client.add_events({"c": [{"n": n, "text": "x" * 500, "keen": {"timestamp": TIME}} for n in range(COUNT)]})
    client.close()
    (path,) = (tmp_path / "log" / "segments").glob("*.db")
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    content = bytearray(path.read_bytes())
    page = content.find(b'"n":100') // 4096 * 4096
    content[page : page + 8] = b"\xff" * 8
    path.write_bytes(content)
    return make_client(log=tmp_path / "log")


def read(numbers: Iterator[int]) -> list[int]:
    """What comes before the error that has to come."""
    found: list[int] = []
    with pytest.raises(EventLogDamagedError, match="cannot be read"):
        found.extend(numbers)
    return found


def test_entries_and_export_give_all_others_and_then_an_error(damaged: KeenClient) -> None:
    """A job that bills from them is not told that this was all."""
    listed = read(entry.event["n"] for entry in damaged.log.entries())
    exported = read(orjson.loads(line)["event"]["n"] for line in damaged.log.export())
    assert listed == exported == sorted(exported)
    assert COUNT - 20 < len(exported) < COUNT
    assert {0, COUNT - 1} <= set(exported)


def test_totals_that_lack_some_are_not_given(damaged: KeenClient) -> None:
    """No number is better than a wrong one."""
    with pytest.raises(EventLogDamagedError, match="no totals were given"):
        damaged.log.totals("c", "2026-10-01", "2026-10-02")


def test_an_entry_that_is_no_event_any_more_is_damage(
    make_client: Callable[..., KeenClient], tmp_path: Path
) -> None:
    """And no error of a parser."""
    client = make_client(log=tmp_path / "log")
    client.add_event("c", {"text": "marked"})
    client.close()
    (path,) = (tmp_path / "log" / "segments").glob("*.db")
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    path.write_bytes(path.read_bytes().replace(b'"marked"', b'"marked{'))
    again = make_client(log=tmp_path / "log")
    with pytest.raises(EventLogDamagedError, match="not what was written"):
        list(again.log.entries())
