"""Bytes of a segment that changed on the disk, where SQLite still reads something: it is damage, not a crash."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from keen_client.errors import EventLogDamagedError
from keen_client.eventlog.checkup import check_segment
from keen_client.eventlog.segment import SegmentReader, list_segments

if TYPE_CHECKING:
    from tests.unit.eventlog.conftest import Till


def alter(path: Path, *statements: str) -> None:
    """Change rows as damage would: past the checks of the schema."""
    connection = sqlite3.connect(path, isolation_level=None)
    run = connection.execute
    run("DROP TRIGGER entries_never_change")
    run("PRAGMA writable_schema = ON")
    run(
        "UPDATE sqlite_master SET sql = replace(replace(sql, 'STRICT', ''), 'NOT NULL', '') WHERE type = 'table'"
    )
    connection.close()
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


@pytest.mark.parametrize("column", ["format", "origin", "day", "made_ms", "boot_id", "device", "inode"])
def test_a_header_that_lost_a_value_is_damage(make_till: Callable[..., Till], column: str) -> None:
    """Whoever opens the file is told so; nothing else is raised, and the doctor names it."""
    till = make_till()
    till.record(3)
    till.log.close()
    (name,) = list_segments(till.log.directory.segments)
    alter(name.path_in(till.log.directory.segments), f"UPDATE header SET {column} = NULL")
    with pytest.raises(EventLogDamagedError):
        SegmentReader.checked(till.log.directory.segments, name)
    assert check_segment(till.log.directory, name).fault


@pytest.mark.parametrize(
    "change", ["body = NULL", "keen = x'00'", "ts = NULL", "ts = 'x'", "recorded = NULL"]
)
def test_a_row_that_lost_a_value_is_like_one_that_cannot_be_read(
    make_till: Callable[..., Till], change: str
) -> None:
    """What comes before it is sent, nobody has anything of it, and the doctor names the file."""
    till = make_till()
    till.record(5)
    (name,) = list_segments(till.log.directory.segments)
    till.log.shelf.release(name.origin)
    alter(name.path_in(till.log.directory.segments), f"UPDATE entries SET {change} WHERE seq = 3")
    reader = SegmentReader(till.log.directory.segments, name)
    with pytest.raises(EventLogDamagedError):
        list(reader.entries(1, 5))
    with pytest.raises(EventLogDamagedError):
        reader.some([3])
    reader.close()
    assert till.send() == 2
    assert [entry.seq for entry in till.log.shelf.page(name.origin, 1, 5)] == [1, 2]
    (unreadable,) = till.log.outbox.backlog().unreadable
    assert (unreadable.name, unreadable.reason) == (name, "entry 3 cannot be read")
    assert check_segment(till.log.directory, name).fault


@pytest.mark.parametrize("text", ['{"number":', "[1]", "x"])
def test_a_body_that_is_no_event_any_more_stops_the_sender_before_it(
    make_till: Callable[..., Till], text: str
) -> None:
    """What comes before it is sent; the doctor names the entry, though SQLite finds nothing wrong."""
    till = make_till()
    till.record(5)
    (name,) = list_segments(till.log.directory.segments)
    till.log.shelf.release(name.origin)
    alter(name.path_in(till.log.directory.segments), f"UPDATE entries SET body = '{text}' WHERE seq = 3")
    assert till.send() == 2
    (unreadable,) = till.log.outbox.backlog().unreadable
    assert unreadable.reason == "entry 3 cannot be read"
    assert check_segment(till.log.directory, name).fault == "entry 3 is not what was written"
    with pytest.raises(EventLogDamagedError, match="not what was written"):
        till.log.expectation.windows("purchases", 0, 2**42, 2**42)
