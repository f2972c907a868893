"""Recovery: what can be rebuilt is rebuilt, what is damaged is set aside, and what that costs is said."""

from __future__ import annotations

import os
import shutil
import sqlite3
from typing import Final

from keen_client._foundation.clock import Clock
from keen_client._foundation.files import PRIVATE_FILE_MODE, make_private_directory, sync_directory, sync_file
from keen_client.errors import EventLogBusyError, EventLogError
from keen_client.eventlog.config import LogConfig
from keen_client.eventlog.directory import LogDirectory
from keen_client.eventlog.entry import DeliveryState
from keen_client.eventlog.fold import fold_entries, stamp_entry
from keen_client.eventlog.ranges import Range, put_range
from keen_client.eventlog.segment import SegmentName, SegmentReader, list_segments
from keen_client.eventlog.shelf import PAGE_ENTRIES
from keen_client.eventlog.sqlite_faults import translate, translate_os_error
from keen_client.eventlog.state import STATE_FILE, State
from keen_client.eventlog.succession import recording_span
from keen_client.eventlog.totals import Totals

#: Replay runs after a rebuild are numbered from here on: above any that the lost file may have used.
RUN_FLOOR_STEP: Final = 1_000
_WAIT_SECONDS: Final = 60.0


def state_is_missing(directory: LogDirectory) -> bool:
    """Whether ``state.db`` is gone while segments are there."""
    return not directory.state.exists() and bool(list_segments(directory.segments))


def rebuild_state(directory: LogDirectory, config: LogConfig, clock: Clock) -> None:
    """Make ``state.db`` anew from the segments present.

    Cursors and totals come back. Delivery states do not: every entry is
    *unknown*, never pending, until a query or an honoured token settles it;
    nothing is reclaimable until it is verified anew; and windows before the
    oldest segment present are unverifiable, since what was reclaimed is not
    known any more.

    Raises:
        EventLogBusyError: another process is at it.
        EventLogError: a segment or the disk failed; nothing was changed.
    """
    locks = directory.recorders_lock()
    with locks.held(directory.directory_byte(), _WAIT_SECONDS) as alone:
        if not alone:
            raise EventLogBusyError(
                "another process is rebuilding state.db; nothing was changed",
                "try again",
                path=directory.path,
            )
        if not state_is_missing(directory):
            return
        workshop = directory.path / ".rebuild"
        shutil.rmtree(workshop, ignore_errors=True)
        make_private_directory(workshop)
        state = State(workshop)
        try:
            totals = Totals(state, config)
            names = list_segments(directory.segments)
            for name in names:
                _rebuild_segment(directory, state, totals, name, clock.wall_ms())
            first_day_ms = min(sum(recording_span(name)) // 2 for name in names)
            state.note("rebuilt_ms", str(clock.wall_ms()))
            state.note("unverifiable_before_ms", str(first_day_ms))
            state.note("run_floor", str(clock.wall_ms() // 1_000 * RUN_FLOOR_STEP))
        finally:
            state.close()
        (workshop / STATE_FILE).replace(directory.state)
        sync_directory(directory.path)
        shutil.rmtree(workshop, ignore_errors=True)


def copy_state(directory: LogDirectory, state: State) -> None:
    """Keep a whole copy of ``state.db`` beside it, with SQLite's own backup; the former copy stays until then.

    Raises:
        EventLogError: the copy could not be made; ``state.db`` and the former copy are unharmed.
    """
    temporary = directory.state_copy.with_suffix(".tmp")
    try:
        temporary.unlink(missing_ok=True)
        os.close(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, PRIVATE_FILE_MODE))
        target = sqlite3.connect(temporary)
        try:
            with state.reading() as source:
                source.backup(target)
        finally:
            target.close()
        sync_file(temporary)
        temporary.replace(directory.state_copy)
        sync_directory(directory.path)
    except sqlite3.Error as error:
        raise translate(error, directory.state_copy, "the former copy is kept") from error
    except OSError as error:
        raise translate_os_error(error, directory.state_copy, "the former copy is kept") from error


def _rebuild_segment(
    directory: LogDirectory, state: State, totals: Totals, name: SegmentName, now_ms: int
) -> None:
    try:
        reader = SegmentReader(directory.segments, name)
        header = reader.header()
    except (sqlite3.Error, EventLogError):
        _enter(state, name, 0, "damaged", now_ms)
        return
    try:
        last = 0
        with state.transaction() as db:
            _enter(state, name, 0, "sealed" if header.is_sealed else "open", now_ms)
            while True:
                page = list(reader.entries(last + 1, last + PAGE_ENTRIES))
                if not page:
                    break
                stamped = [stamp_entry(e, totals.audited_properties(e.collection, e.body)) for e in page]
                totals.add(db, name.origin, fold_entries(stamped))
                last = page[-1].seq
            reader.sync_wal()
            if last:
                put_range(
                    db,
                    Range(
                        origin=name.origin,
                        seq_lo=1,
                        seq_hi=last,
                        state=DeliveryState.UNKNOWN,
                        a=0,
                        unsure=1,
                        first_ms=now_ms,
                        last_ms=now_ms,
                    ),
                )
            db.execute("UPDATE origins SET cursor = ? WHERE origin = ?", (last, name.origin))
            db.execute(
                "UPDATE totals SET attempted_ms = ? WHERE origin = ?",
                (now_ms, name.origin),
            )
    except (sqlite3.Error, EventLogError):
        _enter(state, name, 0, "damaged", now_ms)
    finally:
        reader.close()


def _enter(state: State, name: SegmentName, cursor: int, status: str, now_ms: int) -> None:
    with state.transaction() as db:
        db.execute(
            "INSERT OR REPLACE INTO origins (origin, day, made_ms, cursor, status, rebuilt, changed_ms)"
            " VALUES (?, ?, ?, ?, ?, 1, ?)",
            (name.origin, name.day, now_ms, cursor, status, now_ms),
        )
