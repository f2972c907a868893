"""Ranges: the delivery states of folded entries, as disjoint runs of seq that cover 1..cursor.

A day of a million acknowledged events is a few rows; one event apart from its
neighbours is a row of its own.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from typing import Any, Final, TypeVar

import attrs

from keen_client._foundation.clock import MS_PER_MINUTE
from keen_client.eventlog.entry import DeliveryState
from keen_client.events.identity import EntryId

_Key = TypeVar("_Key")

#: Acknowledged neighbours become one row when their attempts ended this close together.
MERGE_WITHIN_MS: Final = 10 * MS_PER_MINUTE


@attrs.frozen(slots=True)
class Range:
    """One row of ``ranges``; see ``sql/state.sql`` for each column."""

    origin: str
    seq_lo: int
    seq_hi: int
    state: DeliveryState
    a: int = -1
    tier: int = 0
    unsure: int = 0
    failures: int = 0
    first_ms: int = 0
    last_ms: int = 0
    due_ms: int = 0
    batch_max: int = 0
    refused_batch: int = 0
    alone: int = 0
    batch: int = 0
    run: int = 0

    @classmethod
    def of(cls, row: Sequence[Any]) -> Range:
        """The range of a row selected with :data:`COLUMNS`."""
        return cls(row[0], row[1], row[2], DeliveryState(row[3]), *row[4:])

    @property
    def count(self) -> int:
        """Entries in the range."""
        return self.seq_hi - self.seq_lo + 1

    def is_followed_by(self, other: Range) -> bool:
        """Whether *other* begins where this ends and is the same in all else."""
        return other == attrs.evolve(self, seq_lo=other.seq_lo, seq_hi=other.seq_hi) and (
            other.seq_lo == self.seq_hi + 1
        )

    def absorbs(self, other: Range) -> bool:
        """Whether the acknowledged *other*, right behind this one, may become part of it."""
        same = attrs.evolve(
            other, seq_lo=self.seq_lo, seq_hi=self.seq_hi, first_ms=self.first_ms, last_ms=self.last_ms
        )
        return (
            self.state is DeliveryState.ACKNOWLEDGED
            and other.seq_lo == self.seq_hi + 1
            and same == self
            and other.last_ms - self.first_ms <= MERGE_WITHIN_MS
        )


_FIELDS: Final = [field.name for field in attrs.fields(Range)]
COLUMNS: Final = ", ".join(_FIELDS)
_PLACES: Final = ", ".join("?" * len(_FIELDS))


def cut(row: Range, key: Callable[[int], _Key]) -> Iterator[tuple[_Key, Range]]:
    """*row* in pieces of neighbours for whose seq *key* is the same, each with that key. Pure."""
    first = row.seq_lo
    for shared, seqs in groupby(range(row.seq_lo, row.seq_hi + 1), key=key):
        last = first + sum(1 for _ in seqs) - 1
        yield shared, attrs.evolve(row, seq_lo=first, seq_hi=last)
        first = last + 1


def put_range(db: sqlite3.Connection, row: Range) -> None:
    """Insert or replace one row."""
    db.execute(f"INSERT OR REPLACE INTO ranges ({COLUMNS}) VALUES ({_PLACES})", attrs.astuple(row))  # noqa: S608


def replace_range(
    db: sqlite3.Connection, old: Range, pieces: Sequence[Range], *, merge: bool = False
) -> None:
    """Put *pieces*, which cover the same seqs, in the place of *old*; *merge* with an acknowledged left neighbour."""
    covered = [(piece.seq_lo, piece.seq_hi) for piece in pieces]
    joined = all(a[1] + 1 == b[0] for a, b in pairwise(covered))
    if not pieces or not joined or covered[0][0] != old.seq_lo or covered[-1][1] != old.seq_hi:
        raise AssertionError(f"pieces {covered} do not cover {old.seq_lo}..{old.seq_hi} of {old.origin}")
    db.execute("DELETE FROM ranges WHERE origin = ? AND seq_lo = ?", (old.origin, old.seq_lo))
    first = pieces[0]
    if merge and first.state is DeliveryState.ACKNOWLEDGED:
        left = db.execute(
            f"SELECT {COLUMNS} FROM ranges WHERE origin = ? AND seq_lo < ? ORDER BY seq_lo DESC LIMIT 1",  # noqa: S608
            (old.origin, old.seq_lo),
        ).fetchone()
        if left is not None and Range.of(left).absorbs(first):
            grown = attrs.evolve(Range.of(left), seq_hi=first.seq_hi, last_ms=max(left[9], first.last_ms))
            put_range(db, grown)
            pieces = pieces[1:]
    for piece in pieces:
        put_range(db, piece)


def range_at(db: sqlite3.Connection, origin: str, seq: int) -> Range | None:
    """The range that holds (origin, seq); None when the entry is not folded."""
    row = db.execute(
        f"SELECT {COLUMNS} FROM ranges WHERE origin = ? AND seq_lo <= ? ORDER BY seq_lo DESC LIMIT 1",  # noqa: S608
        (origin, seq),
    ).fetchone()
    if row is None or row[2] < seq:
        return None
    return Range.of(row)


def ranges_at(db: sqlite3.Connection, ids: Iterable[EntryId]) -> dict[EntryId, Range]:
    """The range that holds each of *ids*; those that are not folded are left out.

    Like :func:`range_at`, for many: each range between the first and the last is read once.
    """
    wanted: dict[str, list[int]] = {}
    for entry_id in ids:
        wanted.setdefault(entry_id.origin, []).append(entry_id.seq)
    found: dict[EntryId, Range] = {}
    for origin, seqs in wanted.items():
        rows = db.execute(
            f"SELECT {COLUMNS} FROM ranges WHERE origin = ? AND seq_lo <= ? AND seq_lo >= coalesce("  # noqa: S608
            " (SELECT max(seq_lo) FROM ranges WHERE origin = ? AND seq_lo <= ?), 0) ORDER BY seq_lo",
            (origin, max(seqs), origin, min(seqs)),
        )
        ordered = iter(sorted(set(seqs)))
        seq = next(ordered, None)
        for row in map(Range.of, rows):
            while seq is not None and seq <= row.seq_hi:
                if seq >= row.seq_lo:
                    found[EntryId(origin, seq)] = row
                seq = next(ordered, None)
    return found


def change_entry(db: sqlite3.Connection, origin: str, seq: int, **changes: Any) -> Range | None:
    """Change the delivery state of one entry, splitting its range; what it was, or None when it is not folded."""
    row = range_at(db, origin, seq)
    if row is None:
        return None
    pieces: list[Range] = []
    if row.seq_lo < seq:
        pieces.append(attrs.evolve(row, seq_hi=seq - 1))
    pieces.append(attrs.evolve(row, seq_lo=seq, seq_hi=seq, **changes))
    if seq < row.seq_hi:
        pieces.append(attrs.evolve(row, seq_lo=seq + 1))
    replace_range(db, row, pieces)
    return row
