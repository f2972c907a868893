"""Salvage: reading what can be read of a damaged segment. Changes nothing of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import attrs
import orjson

from keen_client.eventlog.entry import Entry
from keen_client.events.identity import SEQ_MAX

#: Rows asked for at once; where they cannot be read, the two halves are asked for.
_CHUNK: Final = 1_024
#: Where the end of the file is not known: so many numbers in a row without an entry are taken for it.
_GIVE_UP_AFTER: Final = 65_536


@attrs.frozen
class Salvage:
    """What could be read. ``last``: the last seq that the file held; None when it cannot be told.

    ``is_sound``: SQLite finds nothing wrong with the file.
    """

    entries: tuple[Entry, ...]
    last: int | None
    is_sound: bool = True

    def lost(self, at_least: int) -> int | None:
        """Entries that are gone, when it is known that there were *at_least* so many; None: nobody can tell.

        That nothing is gone is not taken from a file that is not sound: a tree
        that lost a branch ends sooner, and shows no gap.
        """
        if self.last is None:
            return None
        lost = max(self.last, at_least) - len(self.entries)
        return lost if lost or self.is_sound else None


#: What SQLite has to say of a damaged schema quotes it, and need not be UTF-8.
_UNREADABLE: Final = (sqlite3.Error, UnicodeDecodeError)


def salvage_segment(path: Path, origin: str, at_least: int) -> Salvage:
    """Read every readable entry of the segment file at *path*, in the order of seq.

    *at_least*: so many entries it is known to have had. Rows whose values are
    not of the kinds that were written, or whose body is no JSON, count as lost.
    """
    try:
        connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None)
    except sqlite3.Error:
        return Salvage((), None, is_sound=False)
    try:
        is_sound = _is_sound(connection)
        last = _last_seq(connection, origin, is_sound=is_sound)
        # In a damaged tree two places may lead to one row, in any order.
        entries = {entry.seq: entry for entry in _entries(connection, origin, last, at_least)}
    finally:
        connection.close()
    return Salvage(tuple(entries[seq] for seq in sorted(entries)), last, is_sound)


def _is_sound(connection: sqlite3.Connection) -> bool:
    try:
        return bool(connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
    except _UNREADABLE:
        return False


def _last_seq(connection: sqlite3.Connection, origin: str, *, is_sound: bool) -> int | None:
    """The last seq; of a file that is not sound only where an entry is found under it."""
    try:
        last = int(connection.execute("SELECT max(seq) FROM entries").fetchone()[0] or 0)
    except _UNREADABLE:
        return None
    if not 0 <= last <= SEQ_MAX:  # no segment has so many
        return None
    if is_sound:
        return last
    return last if any(entry_of(origin, row) is not None for row in _rows(connection, last, last)) else None


def _entries(connection: sqlite3.Connection, origin: str, last: int | None, at_least: int) -> Iterator[Entry]:
    end = SEQ_MAX if last is None else max(last, at_least)
    first, seen = 1, at_least
    while first <= end:
        for row in _rows(connection, first, min(first + _CHUNK - 1, end)):
            entry = entry_of(origin, row)
            if entry is not None:
                seen = max(seen, entry.seq)
                yield entry
        first += _CHUNK
        if last is None and first > seen + _GIVE_UP_AFTER:
            return


def _rows(connection: sqlite3.Connection, first: int, last: int) -> list[tuple[Any, ...]]:
    try:
        return connection.execute(
            "SELECT seq, collection, ts, recorded, body, keen FROM entries WHERE seq BETWEEN ? AND ? ORDER BY seq",
            (first, last),
        ).fetchall()
    except _UNREADABLE:
        if first == last or not _has_table(connection):
            return []
    middle = (first + last) // 2
    return _rows(connection, first, middle) + _rows(connection, middle + 1, last)


def _has_table(connection: sqlite3.Connection) -> bool:
    """Whether the file's schema can be read at all: without it, no row can."""
    try:
        connection.execute("SELECT 1 FROM entries LIMIT 0")
    except _UNREADABLE:
        return False
    return True


def entry_of(origin: str, row: tuple[Any, ...]) -> Entry | None:
    """The entry that *row* (seq, collection, ts, recorded, body, keen) holds; None where damage made another thing of it."""
    seq, collection, ts, recorded, body, keen = row
    numbers_are_good = all(type(value) is int for value in (seq, ts, recorded))
    texts_are_good = all(type(value) is str for value in (collection, body, keen))
    if not numbers_are_good or not texts_are_good or not 1 <= seq <= SEQ_MAX:
        return None
    entry = Entry(origin, seq, collection, ts, recorded, body, keen)
    return entry if is_intact(entry) else None


def is_intact(entry: Entry) -> bool:
    """Whether the texts of *entry* are still those of an event."""
    body, keen = entry.body, entry.keen
    try:
        return isinstance(orjson.loads(body), dict) and (not keen or isinstance(orjson.loads(keen), dict))
    except ValueError:
        return False
