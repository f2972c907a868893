"""Damage: a file that cannot be trusted is set aside, never overwritten; what can be read of it is saved.

Two steps, so that a crash between them is made good by the next run: the file
moves into ``damaged/`` under its own name and the time, with ``-wal`` and
``-shm``; then what it still holds is put into ``kept`` and journalled in
``damages``, in one transaction. Salvaged entries keep their identity: they can
be sent, verified and exported. Totals that were folded stay.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs

from keen_client._foundation.clock import Clock, ms_to_datetime
from keen_client._foundation.files import file_identity, make_private_directory, sync_directory
from keen_client.errors import EventLogBusyError
from keen_client.eventlog.config import LogConfig
from keen_client.eventlog.directory import LogDirectory
from keen_client.eventlog.entry import DeliveryState, Entry
from keen_client.eventlog.fold import fold_entries, stamp_entry
from keen_client.eventlog.outbox import NEVER_MS
from keen_client.eventlog.ranges import COLUMNS, Range, put_range, replace_range
from keen_client.eventlog.reclaim import keep_entry
from keen_client.eventlog.salvage import Salvage, salvage_segment
from keen_client.eventlog.segment import SegmentName
from keen_client.eventlog.shelf import Shelf, consecutive
from keen_client.eventlog.state import State
from keen_client.eventlog.totals import Totals

_SIDECARS: Final = ("-wal", "-shm", "-journal")
_SET_ASIDE: Final = re.compile(r"(?P<segment>.{10}-.{10}\.db)\.\d{8}T\d{9}Z(?:\.\d+)?")
_LOCK_SECONDS: Final = 5.0


@attrs.frozen
class Damage:
    """A file that was set aside. ``lost``: entries that could not be read; None when nobody can tell how many."""

    origin: str
    file: str
    reason: str
    salvaged: int
    lost: int | None


class Salvager:
    """Sets damaged segments aside. For the holder of the sender lock: delivery states change."""

    def __init__(
        self, directory: LogDirectory, state: State, shelf: Shelf, config: LogConfig, clock: Clock
    ) -> None:
        self._directory = directory
        self._state = state
        self._shelf = shelf
        self._totals = Totals(state, config)
        self._clock = clock

    def set_aside(self, name: SegmentName, reason: str) -> Damage:
        """Set a damaged segment aside and save what can be read of it.

        Recording goes on in another segment: writers notice that the file has
        gone before their next commit.

        Raises:
            EventLogBusyError: a process holds the segment; nothing was changed.
            EventLogError, OSError: the disk failed; call it, or :meth:`finish`, again.
        """
        self._shelf.release(name.origin)
        byte = self._directory.segment_byte(name.origin)
        with self._directory.recorders_lock().held(byte, _LOCK_SECONDS) as alone:
            if not alone:
                raise EventLogBusyError(
                    f"a process holds {name.path_in(self._directory.segments).name}; nothing was changed",
                    "stop it, then run `keen-client doctor --repair` again",
                    path=self._directory.segments,
                )
            moved = set_file_aside(
                self._directory, name.path_in(self._directory.segments), self._clock.wall_ms()
            )
        return self._save(moved, name, reason)

    def unfinished(self) -> list[Path]:
        """Segments that were moved aside and not yet journalled: a crash came between."""
        with self._state.reading() as db:
            journalled = {file for (file,) in db.execute("SELECT file FROM damages")}
        if not self._directory.damaged.is_dir():
            return []
        return sorted(
            path
            for path in self._directory.damaged.iterdir()
            if _SET_ASIDE.fullmatch(path.name) and path.name not in journalled and _name_of(path) is not None
        )

    def finish(self) -> list[Damage]:
        """Complete every set-aside that :meth:`unfinished` names, as far as no process holds the segment."""
        done: list[Damage] = []
        for moved in self.unfinished():
            name = _name_of(moved)
            if name is None:
                continue
            self._shelf.release(name.origin)
            byte = self._directory.segment_byte(name.origin)
            with self._directory.recorders_lock().held(byte, _LOCK_SECONDS) as alone:
                if not alone:
                    continue
                _unlink_linked(name.path_in(self._directory.segments), moved)
            done.append(self._save(moved, name, "set aside by a run that was interrupted"))
        return done

    def _save(self, moved: Path, name: SegmentName, reason: str) -> Damage:
        origin, now_ms = name.origin, self._clock.wall_ms()
        with self._state.reading() as db:
            known = db.execute("SELECT cursor, rebuilt FROM origins WHERE origin = ?", (origin,)).fetchone()
        cursor, rebuilt = known or (0, 0)
        salvage = salvage_segment(moved, origin, cursor)
        lost = salvage.lost(cursor)
        audited = {
            e.collection: self._totals.audited_properties(e.collection, e.body) for e in salvage.entries
        }
        tail = [stamp_entry(e, audited[e.collection]) for e in salvage.entries if e.seq > cursor]
        with self._state.transaction() as db:
            db.execute(
                "INSERT INTO origins (origin, day, made_ms, cursor, status, changed_ms)"
                " VALUES (?, ?, ?, 0, 'damaged', ?)"
                " ON CONFLICT (origin) DO UPDATE SET status = 'damaged', changed_ms = excluded.changed_ms",
                (origin, name.day, now_ms, now_ms),
            )
            for entry in salvage.entries:
                keep_entry(db, entry, "salvaged")
            self._totals.add(db, origin, fold_entries(tail))
            readable = {entry.seq for entry in salvage.entries}
            _give_up_unreadable(db, origin, readable)
            _cover_tail(db, origin, cursor, salvage.entries, rebuilt=bool(rebuilt), now_ms=now_ms)
            db.execute(
                "INSERT INTO damages (at_ms, origin, file, reason, salvaged, lost) VALUES (?, ?, ?, ?, ?, ?)",
                (now_ms, origin, moved.name, reason, len(salvage.entries), lost),
            )
            self._state.count("salvaged", len(salvage.entries))
            self._state.count("lost", lost or _least_lost(salvage, cursor))
        return Damage(origin, moved.name, reason, len(salvage.entries), lost)


def set_file_aside(directory: LogDirectory, path: Path, now_ms: int) -> Path:
    """Move *path*, with its sidecars, into ``damaged/`` under its own name and the time; where it lies now.

    All are linked there, the database last, before the first is unlinked here:
    a crash never parts a database from its WAL.
    """
    make_private_directory(directory.damaged)
    stamp = f"{ms_to_datetime(now_ms):%Y%m%dT%H%M%S}{now_ms % 1000:03d}Z"
    target = directory.damaged / f"{path.name}.{stamp}"
    number = 0
    while any(Path(f"{target}{suffix}").exists() for suffix in ("", *_SIDECARS)):
        number += 1
        target = directory.damaged / f"{path.name}.{stamp}.{number}"
    for suffix in (*_SIDECARS, ""):
        if Path(f"{path}{suffix}").exists():
            os.link(f"{path}{suffix}", f"{target}{suffix}")
    sync_directory(directory.damaged)
    _unlink_linked(path, target)
    return target


def _unlink_linked(path: Path, target: Path) -> None:
    """Unlink *path* and its sidecars where they are the files that were linked to *target*."""
    for suffix in ("", *_SIDECARS):
        here, there = Path(f"{path}{suffix}"), Path(f"{target}{suffix}")
        if file_identity(here) is not None and file_identity(here) == file_identity(there):
            here.unlink()
    sync_directory(path.parent)


def _give_up_unreadable(db: sqlite3.Connection, origin: str, readable: set[int]) -> None:
    """Entries that cannot be read can never be sent: they are split off, and hold nobody up.

    They stay expected, and their windows short. What may be there already waits
    for a query to find it.
    """
    rows = db.execute(
        f"SELECT {COLUMNS} FROM ranges WHERE origin = ? AND state IN ('pending', 'replay', 'unknown', 'inflight')",  # noqa: S608
        (origin,),
    ).fetchall()
    for row in map(Range.of, rows):
        if row.state is DeliveryState.INFLIGHT:  # its sender is gone: the sender lock is ours
            row_now = attrs.evolve(row, state=DeliveryState.UNKNOWN, unsure=1, batch=0)
        else:
            row_now = row
        pieces: list[Range] = []
        for is_readable, low, high in _runs(row.seq_lo, row.seq_hi, readable):
            piece = attrs.evolve(row_now, seq_lo=low, seq_hi=high)
            if not is_readable and (piece.state is DeliveryState.UNKNOWN or piece.unsure):
                piece = attrs.evolve(piece, state=DeliveryState.UNKNOWN, due_ms=NEVER_MS)
            elif not is_readable:
                piece = attrs.evolve(piece, state=DeliveryState.DROPPED)
            pieces.append(piece)
        replace_range(db, row, pieces)


def _cover_tail(
    db: sqlite3.Connection, origin: str, cursor: int, entries: Sequence[Entry], *, rebuilt: bool, now_ms: int
) -> None:
    """Give the entries past the cursor a delivery state, and move the cursor behind them."""
    last = max((entry.seq for entry in entries), default=0)
    if last <= cursor:
        return
    readable = {entry.seq for entry in entries}
    earliest_ms = min(now_ms, *(entry.recorded_ms for entry in entries))
    for is_readable, low, high in _runs(cursor + 1, last, readable):
        if not is_readable:
            piece = Range(origin, low, high, DeliveryState.DROPPED)
        elif rebuilt:
            piece = Range(
                origin, low, high, DeliveryState.UNKNOWN, a=0, unsure=1, first_ms=earliest_ms, last_ms=now_ms
            )
        else:
            piece = Range(origin, low, high, DeliveryState.PENDING)
        put_range(db, piece)
    db.execute("UPDATE origins SET cursor = ? WHERE origin = ?", (last, origin))


def _runs(first: int, last: int, readable: set[int]) -> list[tuple[bool, int, int]]:
    """first..last as runs of what is readable and what is not."""
    runs = [
        (True, low, high) for low, high in consecutive(n for n in range(first, last + 1) if n in readable)
    ]
    runs += [
        (False, low, high)
        for low, high in consecutive(n for n in range(first, last + 1) if n not in readable)
    ]
    return sorted(runs, key=lambda run: run[1])


def _least_lost(salvage: Salvage, cursor: int) -> int:
    """Where the end of the file is not known: what is surely lost."""
    return max(0, cursor - sum(entry.seq <= cursor for entry in salvage.entries))


def _name_of(path: Path) -> SegmentName | None:
    match = _SET_ASIDE.fullmatch(path.name)
    return None if match is None else SegmentName.of(path.with_name(match["segment"]))
