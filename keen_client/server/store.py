"""The store: what was acknowledged, durable at once, queryable at the next query.

Writes append to a tail (synced, where there is a directory) and return;
queries fold the tail into DuckDB in bulk before they read. A write never waits
for a query: they meet only in a lock held for the length of an append.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from keen_client._foundation.clock import Clock, SystemClock
from keen_client.server.engine import Engine
from keen_client.server.faults import Window
from keen_client.server.tail import Entry, Tail
from keen_client.server.tokens import TOKEN_MEMORY_MS, TokenRegister

DATABASE_FILE: Final = "events.duckdb"
TAIL_FILE: Final = "tail.ndjson"
#: The folder with the files of extractions that were asked for by mail.
EXTRACTIONS: Final = "extractions"
#: More waiting entries than this are folded without waiting for a query.
MAX_WAITING: Final = 20_000


class Store:
    """Events and tokens of one project. Thread-safe.

    ``directory`` None keeps everything in memory. With a directory, what
    :meth:`append` returned from survives a crash and a restart; a second server
    on the same directory is refused by the database's own lock.
    """

    def __init__(self, directory: Path | None = None, *, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self.directory = directory
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._engine = Engine(None if directory is None else directory / DATABASE_FILE)
        self._engine_lock = threading.RLock()
        self._tail = Tail(None if directory is None else directory / TAIL_FILE)
        self._tail_lock = threading.Lock()
        self._closed = False
        self.tokens = TokenRegister()
        now_ms = self._clock.wall_ms()
        self.tokens.load(self._engine.tokens_since(now_ms - TOKEN_MEMORY_MS))
        recovered = [entry for entry in self._tail.recover() if entry.seq > self._engine.folded_seq]
        self.tokens.load((e.collection, e.token, e.created_ms) for e in recovered if e.token is not None)
        self._waiting: list[Entry] = recovered
        self._last_seq = recovered[-1].seq if recovered else self._engine.folded_seq

    @property
    def extractions(self) -> Path | None:
        """Where files of extractions go; None where nothing is kept."""
        return None if self.directory is None else self.directory / EXTRACTIONS

    @property
    def wants_folding(self) -> bool:
        """Whether so much is waiting that it should be folded before the next query comes."""
        return len(self._waiting) > MAX_WAITING

    def reserve(self, count: int) -> int:
        """The first of *count* new sequence numbers, never given out again."""
        with self._tail_lock:
            first = self._last_seq + 1
            self._last_seq += count
            return first

    def append(self, entries: Sequence[Entry]) -> None:
        """Keep *entries*. Raises :class:`OSError` where they could not be made durable; then none is kept."""
        if not entries:
            return
        with self._tail_lock:
            self._tail.append(entries)
            self._waiting.extend(entries)

    def fold(self) -> None:
        """Bring everything appended so far into the tables."""
        with self._engine_lock:
            with self._tail_lock:
                waiting, self._waiting = self._waiting, []
            if waiting:
                try:
                    self._engine.insert(waiting)
                except BaseException:
                    with self._tail_lock:
                        self._waiting = waiting + self._waiting
                    raise
            with self._tail_lock:
                self._tail.shrink_when_large(self._waiting)

    @contextmanager
    def reading(self) -> Iterator[Engine]:
        """The tables with everything appended so far in them, for this thread alone."""
        with self._engine_lock:
            self.fold()
            yield self._engine

    def forget(self, window: Window) -> list[tuple[str, str]]:
        """Drop the stored events of *window* as if they had never been there: their (collection, token)."""
        with self.reading() as engine:
            gone = engine.forget(window.start_ms, window.end_ms)
            for collection, token in gone:
                self.tokens.unregister(collection, token)
            return gone

    def release(self) -> int:
        """Make every delayed event visible at once; how many there were."""
        with self.reading() as engine:
            return engine.release(self._clock.wall_ms())

    def resurrect(self) -> int:
        """Make every event that has vanished visible again; how many there were."""
        with self.reading() as engine:
            return engine.resurrect(self._clock.wall_ms())

    def close(self) -> None:
        """Fold, and close the files. Idempotent."""
        with self._engine_lock:
            if not self._closed:
                self.fold()
                self._closed = True
                self._engine.close()
                self._tail.close()
