"""The durable tail: writes are synced here before they are answered, and folded into tables later.

One line per entry: a JSON array ``[seq, collection, ts, created, visible,
token, vanish]``, a tab, and the event's JSON (or nothing, where only a token is kept).
JSON holds no raw tab or newline, so the split is safe.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import orjson

MAX_TAIL_BYTES: Final = 8 * 1024 * 1024
#: The same while entries wait, so that the file has to be written anew.
MAX_BUSY_TAIL_BYTES: Final = 8 * MAX_TAIL_BYTES


class Entry(NamedTuple):
    """One thing to store. Times are milliseconds since 1970.

    ``timestamp_ms`` None: the event has no timestamp and falls into no
    timeframe. ``visible_ms``: queries do not see it before; 0 for at once.
    ``vanish_ms``: queries do not see it from then on; 0 for never.
    ``body`` None: only the token is kept, its event was lost.
    """

    seq: int
    collection: str
    timestamp_ms: int | None
    created_ms: int
    visible_ms: int
    token: str | None
    body: str | None
    vanish_ms: int = 0


class Tail:
    """An append-only file (or nothing at all, for a server that keeps everything in memory).

    Not thread-safe; the store's lock guards it. An :class:`OSError` from
    :meth:`append` means that the entries must not be acknowledged.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._size = 0

    def recover(self) -> Iterator[Entry]:
        """Every whole entry of the file, in order; a torn end was never acknowledged, and is cut off."""
        if self._path is None:
            return
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        good = 0
        with self._path.open("rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                head, _, body = line[:-1].partition(b"\t")
                # A directory of an earlier version has no moment of vanishing in its lines.
                seq, collection, timestamp_ms, created_ms, visible_ms, token, *vanish = orjson.loads(head)
                text = body.decode() or None
                vanish_ms = vanish[0] if vanish else 0
                yield Entry(seq, collection, timestamp_ms, created_ms, visible_ms, token, text, vanish_ms)
                good += len(line)
        os.ftruncate(self._descriptor, good)
        self._size = good

    def append(self, entries: Sequence[Entry]) -> None:
        """Write and sync *entries*; on return they survive a crash."""
        if self._descriptor is None:
            return
        data = b"".join(_lines(entries))
        try:
            _write_all(self._descriptor, data)
            os.fsync(self._descriptor)
        except OSError:
            # What is half written must not stand before a later, good entry.
            os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(data)

    def shrink_when_large(self, waiting: Sequence[Entry]) -> None:
        """Once the file has grown, let go of all but *waiting*; call it only when the others are in the tables.

        While writes never pause something always waits; then the file is written anew, which is why it may
        grow larger before.
        """
        most = MAX_BUSY_TAIL_BYTES if waiting else MAX_TAIL_BYTES
        if self._path is None or self._descriptor is None or self._size <= most:
            return
        if waiting:
            self._write_anew(self._path, waiting)
        else:
            os.ftruncate(self._descriptor, 0)
            os.fsync(self._descriptor)
            self._size = 0

    def _write_anew(self, path: Path, entries: Sequence[Entry]) -> None:
        """Put a file with just *entries* into the place of this one. Where the disk fails this one stays."""
        unfinished = path.with_name(f".{path.name}")
        descriptor = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        try:
            size = _write_all(descriptor, b"".join(_lines(entries)))
            os.fsync(descriptor)
            unfinished.replace(path)
        except OSError:
            os.close(descriptor)
            return
        self.close()
        self._descriptor, self._size = descriptor, size
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _write_all(descriptor: int, data: bytes) -> int:
    """Write *data*, and say how many bytes that is."""
    written = 0
    while written < len(data):
        written += os.write(descriptor, memoryview(data)[written:])
    return written


def _lines(entries: Iterable[Entry]) -> Iterator[bytes]:
    for entry in entries:
        # A line of its own size: what the encoder gives holds a larger buffer, for each entry until all are written.
        head = orjson.dumps((*entry[:6], entry.vanish_ms))
        yield b"%b\t%b\n" % (head, (entry.body or "").encode())
