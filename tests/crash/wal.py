"""``python -m tests.crash.wal``: cut a WAL at every byte, and one of many frames around every frame.

What is left has to be sound to SQLite and a prefix of what had receipts; and a log that goes on with it gives no number
to two events.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import attrs

from keen_client._foundation.clock import SystemClock
from keen_client._foundation.randomness import SystemRandomness
from keen_client.eventlog.config import LogConfig
from keen_client.eventlog.directory import Binding, LogDirectory
from keen_client.eventlog.log import EventLog
from keen_client.eventlog.segment import list_segments
from keen_client.events.encoding import encode_event

HEADER_BYTES: Final = 32
FRAME_BYTES: Final = 24 + 4096
SHORT, LONG = 3, 300


@attrs.frozen
class Recorded:
    """A log whose events lie in its WAL, as a killed process leaves it, and (seq, body) of each receipt.

    ``left`` is a copy of it; ``place`` is where it was recorded.
    """

    place: Path
    left: Path
    segment: Path
    rows: list[tuple[int, str]]

    @property
    def wal_bytes(self) -> int:
        """How long the WAL is."""
        return Path(f"{self.segment}-wal").stat().st_size

    def every_byte(self) -> range:
        """Each length that the WAL can be cut to."""
        return range(self.wal_bytes + 1)

    def put_back(self) -> None:
        """Have what was left at its place again, in the files that were there: they keep their inodes."""
        for path in self.place.rglob("*"):
            if path.is_file() and not (self.left / path.relative_to(self.place)).exists():
                path.unlink()
        for path in self.left.rglob("*"):
            if path.is_file():
                (self.place / path.relative_to(self.left)).write_bytes(path.read_bytes())

    def around_frames(self) -> list[int]:
        """The end of the header and of each frame, and one byte to both sides of it."""
        ends = range(HEADER_BYTES, self.wal_bytes + 1, FRAME_BYTES)
        return [end + by for end in ends for by in (-1, 0, 1) if end + by <= self.wal_bytes]


def recorded(directory: Path, events: int) -> Recorded:
    """Record *events*, and copy the log while it is open: what a power cut leaves, if it leaves all."""
    log = _open(directory / "living")
    rows = [
        (log.record(encode_event("purchases", {"number": n})).id.seq, f'{{"number":{n}}}')
        for n in range(events)
    ]
    shutil.copytree(log.directory.path, directory / "left", ignore=shutil.ignore_patterns("*-shm"))
    log.close()
    left = LogDirectory(directory / "left")
    (name,) = list_segments(left.segments)
    return Recorded(log.directory.path, left.path, name.path_in(left.segments), rows)


def _open(path: Path, boot_id: str | None = None) -> EventLog:
    binding = Binding("https://api.keen.io", "project-1")
    config = LogConfig(reserve_bytes=100_000)
    return EventLog(path, binding, config, SystemClock(), SystemRandomness(), boot_id=boot_id)


def cut(whole: Recorded, offsets: Iterable[int], directory: Path) -> list[int]:
    """Cut the WAL to each of *offsets*; how many events are left each time.

    Raises:
        AssertionError: naming the offset where it is no prefix, or not sound.
    """
    target = directory / whole.segment.name
    wal, left = Path(f"{target}-wal"), []
    content, frames = whole.segment.read_bytes(), Path(f"{whole.segment}-wal").read_bytes()
    for offset in offsets:
        for path in (wal, Path(f"{target}-shm")):
            path.unlink(missing_ok=True)
        target.write_bytes(content)
        wal.write_bytes(frames[:offset])
        with closing(sqlite3.connect(target)) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",), offset
            rows = db.execute("SELECT seq, body FROM entries ORDER BY seq").fetchall()
        assert rows == whole.rows[: len(rows)], offset
        left.append(len(rows))
    return left


def go_on(whole: Recorded, offset: int) -> None:
    """Record into the log whose WAL was cut to *offset* when the power went: the same files, after a restart.

    Raises:
        AssertionError: what was left changed, or a number was given that had a receipt.
    """
    whole.put_back()
    os.truncate(f"{LogDirectory(whole.place).segments / whole.segment.name}-wal", offset)
    log = _open(whole.place, boot_id="after the power cut")
    fresh = log.record(encode_event("purchases", {"number": -1}))
    bodies = {str(entry.id): entry.body for entry in log.entries()}
    log.close()
    origin = whole.segment.name[11:21]
    assert fresh.id.origin != origin, f"{offset}: a number of the cut segment was given again"
    assert bodies.pop(str(fresh.id)) == '{"number":-1}'
    assert list(bodies.values()) == [body for _, body in whole.rows[: len(bodies)]], offset


def main(arguments: Sequence[str]) -> int:
    """Cut everywhere; an AssertionError says what is not as it should be."""
    argparse.ArgumentParser(prog="python -m tests.crash.wal", description=__doc__).parse_args(arguments)
    for events in (SHORT, LONG):
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            whole = recorded(directory, events)
            offsets = list(whole.every_byte() if events == SHORT else whole.around_frames())
            left = cut(whole, offsets, directory)
            assert left == sorted(left)
            assert (left[0], left[-1]) == (0, events)
            further = offsets[:: len(offsets) // 100]
            for offset in further:
                go_on(whole, offset)
        sys.stdout.write(
            f"{events} events, {max(offsets):,} bytes of WAL: {len(offsets):,} cuts, each leaves a prefix;"
            f" {len(further)} logs gone on with ({time.monotonic() - began:.0f} s)\n"
        )
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
