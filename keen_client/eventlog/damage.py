"""Damage: a file that cannot be trusted is set aside, never overwritten; what can be read of it is saved.

Two steps, so that a crash between them is made good by the next run: the file
moves into ``damaged/`` under its own name and the time, with ``-wal`` and
``-shm``; then what it still holds is put into ``kept`` and journalled in
``damages``, in one transaction. Salvaged entries keep their identity: they can
be sent, verified and exported. Totals that were folded stay.
"""

from __future__ import annotations

import os
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
from keen_client.eventlog.unreadable import SET_ASIDE
from keen_client.events.identity import EntryId

_SIDECARS: Final = ("-wal", "-shm", "-journal")
_LOCK_SECONDS: Final = 5.0
#: Why a segment is journalled of which there is no file.
_GONE: Final = "its file is gone"


@attrs.frozen
class Damage:
    """A file that was set aside, or that was gone. ``lost``: entries that could not be read; None when nobody can tell how many.

    ``given_up``: those of them that the server has not acknowledged, as runs of
    ids (first, last). ``uncertain``: how many of these it may have all the same.
    """

    origin: str
    file: str
    reason: str
    salvaged: int
    lost: int | None
    given_up: tuple[tuple[EntryId, EntryId], ...] = ()
    uncertain: int = 0

    @property
    def is_gone(self) -> bool:
        """Whether there was no file any more that could be set aside."""
        return self.reason == _GONE


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
                raise _held_by_another(name.path_in(self._directory.segments))
            moved = set_file_aside(
                self._directory, name.path_in(self._directory.segments), self._clock.wall_ms()
            )
        return self._save(moved, name, reason)

    def give_up(self, name: SegmentName) -> Damage | None:
        """Journal a segment whose file is gone: what was folded of it and not acknowledged is lost; None: it is there again.

        What is left beside it, a write-ahead log, is set aside.

        Raises:
            EventLogBusyError: a process holds the segment; nothing was changed.
            EventLogError, OSError: the disk failed; call it again.
        """
        self._shelf.release(name.origin)
        path = name.path_in(self._directory.segments)
        byte = self._directory.segment_byte(name.origin)
        with self._directory.recorders_lock().held(byte, _LOCK_SECONDS) as alone:
            if not alone:
                raise _held_by_another(path)
            if path.exists():
                return None
            file = path.name
            if any(Path(f"{path}{suffix}").exists() for suffix in _SIDECARS):
                file = set_file_aside(self._directory, path, self._clock.wall_ms()).name
        with self._state.reading() as db:
            row = db.execute("SELECT cursor, status FROM origins WHERE origin = ?", (name.origin,)).fetchone()
        cursor, status = row
        # Only of a drained one is it known that it had no more.
        return self._journal(name, file, _GONE, Salvage((), cursor if status == "drained" else None))

    def unfinished(self) -> list[Path]:
        """Segments that were moved aside and not yet journalled: a crash came between."""
        with self._state.reading() as db:
            journalled = {file for (file,) in db.execute("SELECT file FROM damages")}
        if not self._directory.damaged.is_dir():
            return []
        return sorted(
            path
            for path in self._directory.damaged.iterdir()
            if SET_ASIDE.fullmatch(path.name) and path.name not in journalled and _name_of(path) is not None
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
        cursor, _ = self._known(name.origin)
        return self._journal(name, moved.name, reason, salvage_segment(moved, name.origin, cursor))

    def _known(self, origin: str) -> tuple[int, int]:
        """Its cursor, and whether its delivery states were rebuilt."""
        with self._state.reading() as db:
            row = db.execute("SELECT cursor, rebuilt FROM origins WHERE origin = ?", (origin,)).fetchone()
        return (0, 0) if row is None else (int(row[0]), int(row[1]))

    def _journal(self, name: SegmentName, file: str, reason: str, salvage: Salvage) -> Damage:
        """Keep what could be read, give up what could not, and note the damage, in one transaction."""
        origin, now_ms = name.origin, self._clock.wall_ms()
        cursor, rebuilt = self._known(origin)
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
            given_up = _give_up_unreadable(db, origin, readable)
            _cover_tail(db, origin, cursor, salvage.entries, rebuilt=bool(rebuilt), now_ms=now_ms)
            db.execute(
                "INSERT INTO damages (at_ms, origin, file, reason, salvaged, lost) VALUES (?, ?, ?, ?, ?, ?)",
                (now_ms, origin, file, reason, len(salvage.entries), lost),
            )
            self._state.count("salvaged", len(salvage.entries))
            self._state.count("lost", lost or _least_lost(salvage, cursor))
        runs = tuple((EntryId(origin, row.seq_lo), EntryId(origin, row.seq_hi)) for row in given_up)
        uncertain = sum(row.count for row in given_up if row.state is DeliveryState.UNKNOWN)
        return Damage(origin, file, reason, len(salvage.entries), lost, runs, uncertain)


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


def _held_by_another(path: Path) -> EventLogBusyError:
    return EventLogBusyError(
        f"a process holds {path.name}; nothing was changed",
        "stop it, then run `keen-client doctor --repair` again",
        path=path.parent,
    )


def _give_up_unreadable(db: sqlite3.Connection, origin: str, readable: set[int]) -> list[Range]:
    """Entries that cannot be read can never be sent: they are split off, and hold nobody up; which, by seq.

    They stay expected, and their windows short. What may be there already waits
    for a query to find it.
    """
    given_up: list[Range] = []
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
            if not is_readable:
                given_up.append(piece)
        replace_range(db, row, pieces)
    return sorted(given_up, key=lambda piece: piece.seq_lo)


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
    match = SET_ASIDE.fullmatch(path.name)
    return None if match is None else SegmentName.of(path.with_name(match["segment"]))
