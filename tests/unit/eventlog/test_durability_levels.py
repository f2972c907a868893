"""What a receipt means rests on two settings of SQLite: here they are looked at."""

from __future__ import annotations

from pathlib import Path

import pytest

from keen_client.eventlog.config import Durability
from keen_client.eventlog.segment import SegmentName, SegmentWriter, make_segment

NAME = SegmentName("2026-11-23", "4kq7x2m9pz")


@pytest.mark.parametrize(("durability", "level"), [("full", 2), ("normal", 1)])
def test_commit_is_synced_as_the_durability_says(tmp_path: Path, durability: Durability, level: int) -> None:
    """`full` syncs the WAL at each commit (2, FULL); `normal` leaves that to the sender (1, NORMAL), never less."""
    make_segment(tmp_path, NAME, made_ms=0, boot_id="b", scratch="s")
    writer = SegmentWriter(tmp_path, NAME, durability, 1.0)
    try:
        assert writer.connection.execute("PRAGMA synchronous").fetchone() == (level,)
        assert writer.connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert writer.connection.execute("PRAGMA fullfsync").fetchone() == (1,)
    finally:
        writer.close()
