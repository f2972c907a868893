"""The shelf: read access to the entries of all segments, wherever they lie by now.

Readers open existing files only; a file that vanished (reclaimed meanwhile) or
is damaged gives the entries that can be read, or none. That is no word on how
many it has: :meth:`Shelf.last_seq` and :meth:`Shelf.fault` tell an empty file
from one that cannot be read, and the caller treats what it cannot read as
unverifiable. Entries that outlived their file are found in ``kept``.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Final

from keen_client.errors import ClientClosedError, EventLogError
from keen_client.eventlog.directory import LogDirectory
from keen_client.eventlog.entry import Entry
from keen_client.eventlog.inheritance import FORK_WAIT_SECONDS, take_part
from keen_client.eventlog.segment import SegmentName, SegmentReader, list_segments
from keen_client.eventlog.sqlite_faults import translate_os_error
from keen_client.eventlog.state import State, leak
from keen_client.events.identity import EntryId

#: Open read connections at a time.
READERS_MAX: Final = 8
#: Entries that one look takes from a segment: no reader holds up a checkpoint for long.
PAGE_ENTRIES: Final = 5_000
#: Single entries that one statement asks for.
PICKED_AT_ONCE: Final = 500


class Shelf:
    """Reads entries by origin and seq. Thread-safe; fork-safe.

    Once closed it opens nothing more, and each look at a file raises
    :class:`ClientClosedError`: to have no entries to give would say that they are gone.
    """

    def __init__(self, directory: LogDirectory, state: State) -> None:
        self.directory: Final = directory
        self._state = state
        self._readers: OrderedDict[str, SegmentReader] = OrderedDict()
        #: The segments of the last look: to open one of hundreds needs no list of them all.
        self._seen: dict[str, SegmentName] = {}
        self._lock = threading.RLock()
        self._parked = False
        self._closed = False
        self._pid = os.getpid()
        take_part(self)

    def names(self) -> list[SegmentName]:
        """The segments present, oldest day first; raises as :func:`~keen_client.eventlog.segment.list_segments`."""
        found = list_segments(self.directory.segments)
        self._seen = {name.origin: name for name in found}
        return found

    def page(self, origin: str, first: int, last: int, limit: int = PAGE_ENTRIES) -> list[Entry]:
        """At most *limit* entries of *origin* with first <= seq <= last, in order; those before one that cannot be read."""
        found: list[Entry] = []
        with self._held():
            reader = self._reader(origin)
            if reader is not None:
                try:
                    for entry in reader.entries(first, last, limit):
                        found.append(entry)  # noqa: PERF402 — what came before an error is kept
                except (sqlite3.Error, EventLogError):
                    self._drop(origin)
                else:
                    return found
        return found or self._kept(origin, first, last, limit)

    def entries(self, origin: str, first: int, last: int) -> Iterator[Entry]:
        """All readable entries of *origin* with first <= seq <= last, in order, page by page."""
        while first <= last:
            page = self.page(origin, first, last)
            yield from page
            if len(page) < PAGE_ENTRIES or page[-1].seq < first:  # in a damaged tree they go back
                return
            first = page[-1].seq + 1

    def contents(
        self,
        origin: str,
        first: int,
        last: int,
        collection: str,
        start_ms: int,
        end_ms: int,
        *,
        is_full: bool,
    ) -> Iterator[list[tuple[int, int, str, str]]]:
        """Pages of (seq, timestamp, body, keen) of the readable entries of *collection* in [start, end), by seq.

        Like :meth:`entries`, in half its time; in a quarter without the texts, which are empty unless *is_full*.
        """
        span = (collection, start_ms, end_ms)
        for low in range(first, last + 1, PAGE_ENTRIES):
            high = min(last, low + PAGE_ENTRIES - 1)
            with self._held():
                reader = self._reader(origin)
                try:
                    rows = reader.contents(low, high, *span, is_full=is_full) if reader else None
                except (sqlite3.Error, EventLogError):
                    self._drop(origin)
                    rows = None
            if rows is None:
                kept = self._kept(origin, low, high, PAGE_ENTRIES)
                rows = [
                    (entry.seq, entry.timestamp_ms, entry.body, entry.keen)
                    for entry in kept
                    if entry.collection == collection and start_ms <= entry.timestamp_ms < end_ms
                ]
            yield rows

    def pick(self, ids: Iterable[EntryId]) -> dict[EntryId, Entry]:
        """The entries of *ids* that can be read."""
        found: dict[EntryId, Entry] = {}
        wanted: dict[str, list[int]] = {}
        for entry_id in ids:
            wanted.setdefault(entry_id.origin, []).append(entry_id.seq)
        for origin, seqs in wanted.items():
            ordered = sorted(set(seqs))
            for start in range(0, len(ordered), PICKED_AT_ONCE):
                for entry in self._some(origin, ordered[start : start + PICKED_AT_ONCE]):
                    found[entry.id] = entry
        return found

    def last_seq(self, origin: str) -> int | None:
        """The last seq of *origin*'s file, 0 when it is empty; None when it is not there or cannot be read."""
        with self._held():
            reader = self._reader(origin)
            if reader is None:
                return None
            try:
                return reader.last_seq()
            except (sqlite3.Error, EventLogError):
                self._drop(origin)
                return None

    def fault(self, origin: str) -> str:
        """Why header and end of *origin*'s file cannot be read, looked at anew; empty when they can, or there is no file."""
        with self._held():
            self._drop(origin)
            try:
                reader = self._opened(origin)
                if reader is not None:
                    reader.last_seq()
            except (sqlite3.Error, EventLogError) as error:
                self._drop(origin)
                return str(error)
            return ""

    def is_sealed(self, origin: str) -> bool | None:
        """Whether *origin*'s file is sealed; None when it cannot be read."""
        with self._held():
            reader = self._reader(origin)
            if reader is None:
                return None
            try:
                return reader.header().is_sealed
            except (sqlite3.Error, EventLogError):
                self._drop(origin)
                return None

    def sync(self, origin: str) -> None:
        """Return only when what has been read of *origin* would survive a power loss.

        Raises:
            EventLogError: the disk failed; what was read must not be sent.
        """
        with self._held():
            reader = self._reader(origin)
        if reader is not None:
            try:
                reader.sync_wal()
            except OSError as error:
                raise translate_os_error(
                    error, reader.path, "nothing was sent; the events are still in the log"
                ) from error

    def release(self, origin: str) -> None:
        """Close the connection to *origin*, so that its file can be finished, moved or unlinked."""
        with self._held():
            self._drop(origin)

    def close(self) -> None:
        """Close all connections, for good."""
        with self._held():
            self._closed = True
            for origin in list(self._readers):
                self._drop(origin)

    def _reader(self, origin: str) -> SegmentReader | None:
        """The connection to *origin*'s file; None when it is not there or cannot be opened."""
        try:
            return self._opened(origin)
        except (sqlite3.Error, EventLogError):
            return None

    def _opened(self, origin: str) -> SegmentReader | None:
        """The same; None only when the file is not there.

        Raises:
            sqlite3.Error, EventLogError: as for :meth:`SegmentReader.checked`.
            ClientClosedError: nothing may be opened any more.
        """
        if self._closed:  # a sender's thread may outlive the close that did not wait for it
            raise ClientClosedError(
                "the log was closed; nothing was read, and what was recorded is in it", "make a new client"
            )
        reader = self._readers.get(origin)
        if reader is not None:
            self._readers.move_to_end(origin)
            return reader
        name = self._name_of(origin)
        if name is None:
            return None
        reader, _ = SegmentReader.checked(self.directory.segments, name)
        self._readers[origin] = reader
        while len(self._readers) > READERS_MAX:
            self._readers.popitem(last=False)[1].close()
        return reader

    def _name_of(self, origin: str) -> SegmentName | None:
        """The segment of *origin*; None when it has no file."""
        name = self._seen.get(origin)
        with suppress(OSError):  # where that cannot be told, listing them tells why
            if name is not None and name.path_in(self.directory.segments).exists():
                return name
        return next((name for name in self.names() if name.origin == origin), None)

    def _drop(self, origin: str) -> None:
        reader = self._readers.pop(origin, None)
        if reader is not None:
            reader.close()

    def _some(self, origin: str, seqs: Sequence[int]) -> list[Entry]:
        """The readable entries of *origin* with these *seqs*, at least one and few enough for one statement."""
        with self._held():
            reader = self._reader(origin)
            if reader is not None:
                try:
                    return reader.some(seqs)
                except (sqlite3.Error, EventLogError):
                    self._drop(origin)
        kept = self._kept(origin, seqs[0], seqs[-1], seqs[-1] - seqs[0] + 1)
        return [entry for entry in kept if entry.seq in set(seqs)]

    def _kept(self, origin: str, first: int, last: int, limit: int) -> list[Entry]:
        with self._state.reading() as db:
            rows = db.execute(
                "SELECT origin, seq, collection, ts, recorded, body, keen FROM kept"
                " WHERE origin = ? AND seq BETWEEN ? AND ? ORDER BY seq LIMIT ?",
                (origin, first, last, limit),
            ).fetchall()
        return [Entry(*row) for row in rows]

    def _held(self) -> threading.RLock:
        """The lock; in a forked child a new one, and none of the parent's connections."""
        if self._pid != os.getpid():
            for reader in self._readers.values():
                leak(reader.connection)
            self._readers = OrderedDict()
            self._lock = threading.RLock()
            self._parked = False
            self._pid = os.getpid()
        return self._lock

    def before_fork(self) -> None:
        """Close all connections, so that a child inherits none."""
        self._parked = self._held().acquire(timeout=FORK_WAIT_SECONDS)
        if self._parked:
            for origin in list(self._readers):
                self._drop(origin)

    def after_fork_in_parent(self) -> None:
        """Let other threads read on."""
        if self._parked:
            self._parked = False
            self._lock.release()

    def after_fork_in_child(self) -> None:
        """Start anew."""
        self._held()


def consecutive(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """The runs (first, last) of consecutive *numbers*, ascending."""
    runs: list[tuple[int, int]] = []
    for number in sorted(set(numbers)):
        if runs and runs[-1][1] == number - 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs
