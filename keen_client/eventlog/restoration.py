"""Restoration: a log that was put back from a backup, or copied, does not know what became of what it had to send.

Told by ``state.db``: it remembers which file it is, by the number and the
birth of its inode, and no copy of it has both. Whoever opens such a log first
notes which segments it has, and has nobody write to them again: a number given
since the backup must not be given twice. The next sender takes what was to be
sent of them for *unknown*, with tokens as old as the events; a query settles it
before it is sent. What is recorded from then on is sent as ever.

Not told are a file that was written over in its place and an image of a whole
disk that was put back: nothing in them is new.
"""

from __future__ import annotations

from typing import Final

import attrs
import orjson

from keen_client._foundation.clock import MS_PER_SECOND, Clock
from keen_client.eventlog.entry import DeliveryState
from keen_client.eventlog.fold import fold_entries, stamp_entry
from keen_client.eventlog.ranges import COLUMNS, Range, put_range, replace_range
from keen_client.eventlog.shelf import PAGE_ENTRIES, Shelf
from keen_client.eventlog.state import UNCHANGED, State
from keen_client.eventlog.totals import Totals
from keen_client.observability.hooks import LOGGER

#: The fact that lists, until a sender has seen to it, the origins of the segments that were put back.
_PUT_BACK: Final = "put_back"


def note_restoration(state: State, shelf: Shelf, now_ms: int) -> bool:
    """Note which segments there are if ``state.db`` is not the file that was made here; whether so.

    For whoever opens the log, before anything is recorded. On disk when this returns.
    """
    if state.is_itself():
        return False
    with state.transaction(UNCHANGED) as db:
        if state.is_itself():  # another process was first
            return False
        names = shelf.names()
        origins = {name.origin for name in names}.union(_noted(state))
        state.note(_PUT_BACK, orjson.dumps(sorted(origins)).decode())
        db.executemany(
            # Of the state's own: the files are sealed by their day, as ever.
            "INSERT INTO origins (origin, day, made_ms, status, rebuilt, changed_ms) VALUES (?, ?, ?, 'sealed', 1, ?)"
            " ON CONFLICT (origin) DO UPDATE SET rebuilt = 1,"
            " status = CASE status WHEN 'open' THEN 'sealed' ELSE status END",
            [(name.origin, name.day, now_ms, now_ms) for name in names],
        )
        state.note_identity()
    LOGGER.warning(
        "the log was put back from a backup, or copied: what it had to send is unknown until a query settles it"
    )
    return True


def awaits_sender(state: State) -> bool:
    """Whether the log was put back, or copied, and no sender has seen to it yet."""
    return not state.is_itself() or bool(_noted(state))


def is_set_apart(state: State, origin: str) -> bool:
    """Whether nobody writes to the segment *origin* again, by ``state.db``: nothing is left to be done about a copy of it."""
    with state.reading() as db:
        row = db.execute("SELECT status FROM origins WHERE origin = ?", (origin,)).fetchone()
    return row is not None and row[0] != "open"


def doubt_restored(state: State, shelf: Shelf, totals: Totals, clock: Clock) -> int:
    """Take what a log that was put back had to send for *unknown*; how many entries. By the new holder of the lock.

    A crash in the middle leaves the rest to the next one.
    """
    noted = _noted(state)
    if not noted:
        return 0
    now_ms = clock.wall_ms()
    doubted = sum(_fold_tail(state, shelf, totals, origin, now_ms) for origin in noted)
    with state.transaction() as db:
        rows = db.execute(f"SELECT {COLUMNS} FROM ranges WHERE state IN ('pending', 'replay')")  # noqa: S608
        for row in map(Range.of, rows.fetchall()):
            doubted += row.count
            first_ms = row.first_ms or _earliest_ms(shelf, row, now_ms)
            replace_range(db, row, [_unknown(row, first_ms, now_ms)])
        # What is known of absences is as old as the backup: each may have been resent since.
        db.execute("DELETE FROM evidence WHERE kind = 'absent'")
        db.execute("UPDATE totals SET attempted_ms = max(attempted_ms, ?)", (now_ms,))
        floor = max(int(state.fact("run_floor") or 0), now_ms // MS_PER_SECOND)
        state.note("run_floor", str(floor))  # above the number of any run since the backup
        db.execute("DELETE FROM facts WHERE name = ?", (_PUT_BACK,))
    return doubted


def take_up(state: State, shelf: Shelf, totals: Totals, origin: str, now_ms: int) -> int:
    """Take up a segment that counted as damaged and can be read after all; how many entries became *unknown*.

    For the holder of the sender lock. Where it cannot be read to its end it counts as damaged again.
    """
    with state.transaction() as db:
        db.execute(
            "UPDATE origins SET status = 'sealed', rebuilt = 1, changed_ms = ? WHERE origin = ? AND status = 'damaged'",
            (now_ms, origin),
        )
    folded = _fold_tail(state, shelf, totals, origin, now_ms)
    with state.transaction() as db:
        db.execute("UPDATE totals SET attempted_ms = max(attempted_ms, ?) WHERE origin = ?", (now_ms, origin))
    return folded


def _noted(state: State) -> list[str]:
    noted = state.fact(_PUT_BACK)
    return orjson.loads(noted) if noted else []


def _fold_tail(state: State, shelf: Shelf, totals: Totals, origin: str, now_ms: int) -> int:
    """Fold the entries of *origin* past its cursor, as unknown, page by page; how many.

    Where they cannot be read the segment counts as damaged: none is sent, and
    `doctor --repair` makes what it can save unknown.
    """
    folded = 0
    with state.reading() as db:
        row = db.execute(
            "SELECT cursor FROM origins WHERE origin = ? AND status = 'sealed'", (origin,)
        ).fetchone()
    if row is None:
        return 0
    cursor, last = int(row[0]), shelf.last_seq(origin)
    while last is not None and (page := shelf.page(origin, cursor + 1, last, PAGE_ENTRIES)):
        if [entry.seq for entry in page] != list(range(cursor + 1, cursor + 1 + len(page))):
            break
        stamped = [stamp_entry(e, totals.audited_properties(e.collection, e.body)) for e in page]
        shelf.sync(origin)
        tail = Range(origin, cursor + 1, page[-1].seq, DeliveryState.PENDING)
        with state.transaction() as db:
            totals.add(db, origin, fold_entries(stamped))
            put_range(db, _unknown(tail, min(now_ms, *(entry.recorded_ms for entry in page)), now_ms))
            db.execute(
                "UPDATE origins SET cursor = ?, changed_ms = ? WHERE origin = ?",
                (tail.seq_hi, now_ms, origin),
            )
        cursor, folded = tail.seq_hi, folded + tail.count
    if last is None or cursor < last or shelf.is_sealed(origin) is None:
        with state.transaction() as db:
            db.execute(
                "UPDATE origins SET status = 'damaged', changed_ms = ? WHERE origin = ?", (now_ms, origin)
            )
    return folded


def _unknown(row: Range, first_ms: int, now_ms: int) -> Range:
    return attrs.evolve(
        row,
        state=DeliveryState.UNKNOWN,
        unsure=1,
        a=max(row.a, 0),
        first_ms=first_ms,
        last_ms=now_ms,
        batch=0,
    )


def _earliest_ms(shelf: Shelf, row: Range, now_ms: int) -> int:
    """When the first entry of *row* was recorded: it cannot have been sent before."""
    return min(
        (min(entry.recorded_ms, now_ms) for entry in shelf.entries(row.origin, row.seq_lo, row.seq_hi)),
        default=1,
    )
