"""Recovery: what can be rebuilt is rebuilt, what is damaged is set aside, and what that costs is said."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_SECOND, Clock
from keen_client._foundation.files import PRIVATE_FILE_MODE, make_private_directory, sync_directory, sync_file
from keen_client.errors import EventLogBusyError, EventLogError, EventLogTooNewError
from keen_client.eventlog.config import LogConfig
from keen_client.eventlog.damage import set_file_aside
from keen_client.eventlog.directory import LogDirectory
from keen_client.eventlog.entry import DeliveryState
from keen_client.eventlog.fold import fold_entries, stamp_entry
from keen_client.eventlog.ranges import Range, change_entry, put_range
from keen_client.eventlog.segment import SegmentName, SegmentReader, list_segments
from keen_client.eventlog.shelf import PAGE_ENTRIES, Shelf
from keen_client.eventlog.sqlite_faults import is_busy, is_damage, is_denied, translate, translate_os_error
from keen_client.eventlog.state import STATE_FILE, State
from keen_client.eventlog.succession import recording_span
from keen_client.eventlog.totals import Totals
from keen_client.events.identity import EntryId

_WAIT_SECONDS: Final = 60.0


def state_is_missing(directory: LogDirectory) -> bool:
    """Whether ``state.db`` is gone, or emptied, while segments are there: it is always made before them."""
    return not _has_state(directory) and bool(list_segments(directory.segments))


def _has_state(directory: LogDirectory) -> bool:
    try:
        return directory.state.stat().st_size > 0
    except FileNotFoundError:
        return False


def rebuild_state(directory: LogDirectory, config: LogConfig, clock: Clock) -> None:
    """Make ``state.db`` anew from the segments present.

    Cursors and totals come back. Delivery states do not: every entry is
    *unknown*, never pending, until a query or an honoured token settles it
    (no token counts as younger than the segment's oldest entry); nothing is
    reclaimable until it is verified anew; and windows before the
    oldest segment present are unverifiable, since what was reclaimed is not
    known any more. What lies in no segment (kept entries, the record of
    reclaimed segments) comes from the last nightly copy, where there is one,
    and so does what holds events back from a replay: deletions, evidence of
    presence, what was given up by a decision.

    Raises:
        EventLogBusyError: another process is at it, or holds a segment.
        EventLogPermissionError, EventLogTooNewError: of a segment, which this user, or this version, cannot read;
            nothing was changed.
        EventLogError: the disk failed; nothing was changed, or ``state.db`` was made and may not be synced yet.
    """
    locks = directory.recorders_lock()
    with locks.held(directory.directory_byte(), _WAIT_SECONDS) as alone:
        if not alone:
            raise EventLogBusyError(
                "another process is rebuilding state.db; nothing was changed",
                "try again",
                path=directory.path,
            )
        if _has_state(directory):
            return
        try:
            _rebuild(directory, config, clock)
        except OSError as error:
            raise translate_os_error(
                error, directory.state, "it was not rebuilt yet, and the segments hold every event as before"
            ) from error


def _rebuild(directory: LogDirectory, config: LogConfig, clock: Clock) -> None:
    workshop = directory.path / ".rebuild"
    shutil.rmtree(workshop, ignore_errors=True)
    make_private_directory(workshop)
    state = State(workshop)
    try:
        totals = Totals(state, config)
        names = list_segments(directory.segments)
        for name in names:
            _rebuild_segment(directory, state, totals, name, clock.wall_ms())
        _take_over(directory, state, totals, clock.wall_ms())
        state.note("rebuilt_ms", str(clock.wall_ms()))
        state.note("unverifiable_before_ms", str(_unverifiable_before_ms(directory, names, clock.wall_ms())))
        # Seconds since 1970: above any number that the lost file used, and still short on the wire.
        state.note("run_floor", str(clock.wall_ms() // MS_PER_SECOND))
    finally:
        state.close()
    (workshop / STATE_FILE).replace(directory.state)
    sync_directory(directory.path)
    shutil.rmtree(workshop, ignore_errors=True)


def recover_state(directory: LogDirectory, config: LogConfig, clock: Clock) -> Path:
    """Set a damaged ``state.db`` aside and rebuild it; where the damaged one lies now.

    For the holder of the sender lock and of the nightly lock: whoever else has
    the old file open goes over to the new one before its next transaction.

    Raises:
        EventLogError: as for :func:`rebuild_state`.
    """
    try:
        moved = set_file_aside(directory, directory.state, clock.wall_ms())
    except OSError as error:
        raise translate_os_error(
            error, directory.state, "it was not set aside, and nothing is lost"
        ) from error
    rebuild_state(directory, config, clock)
    state = State(directory.path)
    try:
        with state.transaction() as db:
            db.execute(
                "INSERT INTO damages (at_ms, origin, file, reason, salvaged, lost) VALUES (?, '', ?, ?, 0, NULL)",
                (clock.wall_ms(), moved.name, "state.db was damaged; rebuilt from the segments present"),
            )
    finally:
        state.close()
    return moved


#: Tables whose rows about segments that are no longer there a nightly copy can give back.
_OF_GONE_SEGMENTS: Final = (
    "origins",
    "ranges",
    "totals",
    "audited",
    "exceptions",
    "dead_letters",
    "kept",
    "reclaims",
    "evidence",
)


#: Evidence that an event, or something under its name, is or was there: however old, it keeps its word.
_STICKY: Final = ("present", "duplicate", "corrupt", "shifted", "collision")


def _take_over(directory: LogDirectory, state: State, totals: Totals, now_ms: int) -> None:
    """Take from the nightly copy what it alone knows, as far as that it is a day old does no harm.

    Of segments that are no longer there, all rows; their entries may have been
    sent since, so what was to be sent is *unknown*. Of those present, what
    holds events back from a replay: deletions, evidence of presence, and what
    was given up by a decision. A copy that is damaged, or of another version,
    gives nothing.
    """
    if not directory.state_copy.exists():
        return
    # A copy of the copy: the original is opened by nobody and stays as it is.
    borrowed = state.path.with_name("copy.db")
    shutil.copyfile(directory.state_copy, borrowed)
    try:
        with state.reading() as db:
            db.execute("ATTACH DATABASE ? AS copy", (str(borrowed),))
    except EventLogError:
        return
    try:
        with state.transaction() as db:
            for table in _OF_GONE_SEGMENTS:
                db.execute(
                    f"INSERT INTO main.{table} SELECT * FROM copy.{table} WHERE origin IN"  # noqa: S608
                    " (SELECT origin FROM copy.origins WHERE status IN ('reclaimed', 'damaged'))"
                    " AND origin NOT IN (SELECT origin FROM main.origins WHERE rebuilt = 1)"
                )
            db.execute("INSERT INTO main.damages SELECT * FROM copy.damages")
            db.execute(
                "INSERT INTO main.facts SELECT * FROM copy.facts WHERE name IN ('deletions', 'deletion_marks')"
            )
            db.executemany(
                "INSERT INTO main.evidence SELECT * FROM copy.evidence WHERE kind = ?"
                " AND origin IN (SELECT origin FROM main.origins WHERE rebuilt = 1)",
                [(kind,) for kind in _STICKY],
            )
            _take_over_decisions(db, Shelf(directory, state), totals)
            db.execute(
                "UPDATE ranges SET state = 'unknown', unsure = 1, a = max(a, 0), batch = 0, last_ms = ?,"
                # It was recorded before it was sent: so no token is taken for younger than it is.
                " first_ms = CASE first_ms WHEN 0 THEN coalesce(min(?, (SELECT min(recorded) FROM kept"
                "  WHERE kept.origin = ranges.origin AND seq BETWEEN seq_lo AND seq_hi)), 1) ELSE first_ms END"
                " WHERE state IN ('pending', 'inflight', 'replay')",
                (now_ms, now_ms),
            )
            state.note("copy_taken_over_ms", str(now_ms))
    except EventLogError:
        return
    finally:
        with state.reading() as db:
            db.execute("DETACH DATABASE copy")


def _take_over_decisions(db: sqlite3.Connection, shelf: Shelf, totals: Totals) -> None:
    """Expect no more of the segments present what the attached copy says was given up, as far as it lies in them."""
    decided = {
        EntryId(origin, seq): (kind, at_ms)
        for origin, seq, kind, at_ms in db.execute(
            # A refusal is no decision: it may have been retried since.
            "SELECT origin, seq, kind, at_ms FROM copy.exceptions WHERE kind <> 'rejected'"
            " AND origin IN (SELECT origin FROM main.origins WHERE rebuilt = 1)"
        )
    }
    try:
        entries = shelf.pick(decided)
    finally:
        shelf.close()
    for entry_id, entry in entries.items():
        kind, at_ms = decided[entry_id]
        if change_entry(db, entry_id.origin, entry_id.seq, state=DeliveryState(kind), unsure=0) is None:
            continue  # beyond what could be folded
        # Its amounts are picked anew: they have to be of the properties that are audited now.
        audited = totals.audited_properties(entry.collection, entry.body)
        totals.leave_out(db, stamp_entry(entry, audited), kind, at_ms)
        db.execute(
            "INSERT INTO main.dead_letters SELECT * FROM copy.dead_letters"
            " WHERE origin = ? AND seq = ? AND status = 'dropped'",
            (entry_id.origin, entry_id.seq),
        )


def _unverifiable_before_ms(directory: LogDirectory, names: Sequence[SegmentName], now_ms: int) -> int:
    """Before when nobody knows any more what was recorded: segments may have been reclaimed.

    The day of the oldest segment present; where one that is sealed names a
    successor that is not there, one was reclaimed out of turn, and it is the
    day of the next one present.
    """
    days = sorted({sum(recording_span(name)) // 2 for name in names})
    present = {name.origin for name in names}
    before = days[0] if days else now_ms
    for name in names:
        try:
            reader = SegmentReader(directory.segments, name)
        except (sqlite3.Error, EventLogError):
            continue
        try:
            successor = reader.header().successor
        except (sqlite3.Error, EventLogError):
            continue
        finally:
            reader.close()
        if successor is not None and successor.origin not in present:
            gap_ms = sum(recording_span(successor)) // 2
            before = max(before, min((day for day in days if day > gap_ms), default=gap_ms + MS_PER_DAY))
    return before


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
            _back_up(state, target, directory.state_copy)
        finally:
            target.close()
        sync_file(temporary)
        temporary.replace(directory.state_copy)
        sync_directory(directory.path)
    except sqlite3.Error as error:
        raise translate(error, directory.state_copy, "the former copy is kept") from error
    except OSError as error:
        raise translate_os_error(error, directory.state_copy, "the former copy is kept") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)  # what is there of one that failed takes the room of others


def _back_up(state: State, target: sqlite3.Connection, path: Path) -> None:
    with state.reading() as source:
        try:
            source.backup(target)
        except sqlite3.Error as error:
            if is_damage(error):
                raise  # the original's
            raise translate(error, path, "the former copy is kept") from error


def _rebuild_segment(
    directory: LogDirectory, state: State, totals: Totals, name: SegmentName, now_ms: int
) -> None:
    try:
        reader, header = SegmentReader.checked(directory.segments, name)
    except (sqlite3.Error, EventLogError) as error:
        _enter_damaged(directory, state, name, error, now_ms)
        return
    try:
        last, earliest_ms = 0, now_ms
        with state.transaction() as db:
            _enter(state, name, 0, "sealed" if header.is_sealed else "open", now_ms)
            while True:
                page = list(reader.entries(last + 1, last + PAGE_ENTRIES))
                if not page:
                    break
                stamped = [stamp_entry(e, totals.audited_properties(e.collection, e.body)) for e in page]
                totals.add(db, name.origin, fold_entries(stamped))
                last = page[-1].seq
                earliest_ms = min(earliest_ms, *(entry.recorded_ms for entry in page))
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
                        first_ms=earliest_ms,  # so far back a token may have been used up
                        last_ms=now_ms,
                    ),
                )
            db.execute("UPDATE origins SET cursor = ? WHERE origin = ?", (last, name.origin))
            db.execute(
                "UPDATE totals SET attempted_ms = ? WHERE origin = ?",
                (now_ms, name.origin),
            )
    except (sqlite3.Error, EventLogError) as error:
        _enter_damaged(directory, state, name, error, now_ms)
    finally:
        reader.close()


def _enter_damaged(
    directory: LogDirectory,
    state: State,
    name: SegmentName,
    error: sqlite3.Error | EventLogError,
    now_ms: int,
) -> None:
    """A segment that cannot be read stops no rebuild; one that may not be read now has nothing wrong with it, and does."""
    if isinstance(error, sqlite3.Error) and (is_denied(error) or is_busy(error)):
        path = name.path_in(directory.segments)
        raise translate(error, path, "state.db was not rebuilt yet, and nothing was changed") from error
    if isinstance(error, (EventLogTooNewError, EventLogBusyError)):
        raise error
    _enter(state, name, 0, "damaged", now_ms)


def _enter(state: State, name: SegmentName, cursor: int, status: str, now_ms: int) -> None:
    with state.transaction() as db:
        db.execute(
            "INSERT OR REPLACE INTO origins (origin, day, made_ms, cursor, status, rebuilt, changed_ms)"
            " VALUES (?, ?, ?, ?, ?, 1, ?)",
            (name.origin, name.day, now_ms, cursor, status, now_ms),
        )
