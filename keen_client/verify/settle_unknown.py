"""Settling what delivery left open: what a query shows present was accepted, what it shows absent may be a dead letter."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import attrs

from keen_client.eventlog.entry import DeliveryState, Entry
from keen_client.eventlog.fold import stamp_entry
from keen_client.eventlog.intents import SEEN, take_back, waiting_intents
from keen_client.eventlog.log import EventLog
from keen_client.eventlog.ranges import COLUMNS, Range, change_entry, cut, range_at, replace_range
from keen_client.events.identity import EntryId


def unknown_entries(log: EventLog, collection: str, start_ms: int, end_ms: int) -> list[Entry]:
    """The entries of [start, end) that were sent and whose outcome is not known, as far as they can be read."""
    with log.state.reading() as db:
        rows = db.execute(
            "SELECT origin, seq_lo, seq_hi FROM ranges WHERE state = 'unknown' ORDER BY origin, seq_lo"
        ).fetchall()
    return [
        entry
        for origin, low, high in rows
        for entry in log.shelf.entries(origin, low, high)
        if entry.collection == collection and start_ms <= entry.timestamp_ms < end_ms
    ]


def acknowledge_seen(log: EventLog, ids: Collection[EntryId]) -> int:
    """Settle those of *ids* that are unknown: a query showed them whole. How many were.

    Those that a replay run was to resend are taken back from it first. Nothing
    else changes: what is in flight again is left to its sender. A dead letter
    of a later attempt is no longer one: the event is there.
    """
    wanted = frozenset(ids)
    seen: dict[str, set[int]] = {}
    for entry_id in wanted:
        seen.setdefault(entry_id.origin, set()).add(entry_id.seq)
    settled = 0
    with log.state.transaction() as db:
        take_back(db, [intent for intent in waiting_intents(db) if intent.id in wanted], SEEN)
        rows = db.execute(f"SELECT {COLUMNS} FROM ranges WHERE state = 'unknown'").fetchall()  # noqa: S608
        for row in map(Range.of, rows):
            pieces = _split(row, seen.get(row.origin, ()))
            done = [piece for piece in pieces if piece.state is DeliveryState.ACKNOWLEDGED]
            if done:
                replace_range(db, row, pieces, merge=True)
            for piece in done:
                settled += piece.count
                db.execute(
                    "DELETE FROM dead_letters WHERE origin = ? AND seq BETWEEN ? AND ? AND status = 'unsure'",
                    (piece.origin, piece.seq_lo, piece.seq_hi),
                )
        log.state.count("acknowledged", settled)
    return settled


def bury_absent(log: EventLog, entries: Iterable[Entry], at_ms: int) -> int:
    """Make dead letters of those *entries* that were refused after an attempt whose outcome was not known.

    The caller vouches that they are proven absent. They are no longer expected
    at the server; how many they were.
    """
    buried = 0
    with log.state.transaction() as db:
        for entry in entries:
            place = range_at(db, entry.origin, entry.seq)
            if place is None or place.state is not DeliveryState.UNKNOWN:
                continue
            moved = db.execute(
                "UPDATE dead_letters SET status = 'dead' WHERE origin = ? AND seq = ? AND status = 'unsure'",
                (entry.origin, entry.seq),
            ).rowcount
            if not moved:
                continue
            audited = log.totals.audited_properties(entry.collection, entry.body)
            log.totals.leave_out(db, stamp_entry(entry, audited), "rejected", at_ms)
            change_entry(db, entry.origin, entry.seq, state=DeliveryState.REJECTED, unsure=0, due_ms=0)
            buried += 1
        log.state.count("rejected", buried)
    return buried


def _split(row: Range, seqs: Collection[int]) -> list[Range]:
    """*row* cut into runs that were seen, now acknowledged, and runs that were not. Pure."""
    seen = attrs.evolve(
        row, state=DeliveryState.ACKNOWLEDGED, unsure=0, failures=0, due_ms=0, batch_max=0, alone=0
    )
    return [
        attrs.evolve(seen, seq_lo=piece.seq_lo, seq_hi=piece.seq_hi) if is_seen else piece
        for is_seen, piece in cut(row, seqs.__contains__)
    ]
