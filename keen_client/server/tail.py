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
        written = 0
        try:
            while written < len(data):
                written += os.write(self._descriptor, memoryview(data)[written:])
            os.fsync(self._descriptor)
        except OSError:
            # What is half written must not stand before a later, good entry.
            os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(data)

    def clear_when_large(self) -> None:
        """Empty the file once it has grown; call it only when all its entries are in the tables."""
        if self._descriptor is not None and self._size > MAX_TAIL_BYTES:
            os.ftruncate(self._descriptor, 0)
            os.fsync(self._descriptor)
            self._size = 0

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _lines(entries: Iterable[Entry]) -> Iterator[bytes]:
    for entry in entries:
        yield orjson.dumps((*entry[:6], entry.vanish_ms))
        yield b"\t"
        yield (entry.body or "").encode()
        yield b"\n"
