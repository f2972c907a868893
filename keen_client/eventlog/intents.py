"""Intents: what a replay run is to resend and nobody has sent yet, and how it is taken back.

An intent rests on what was known when its run was made. Once a query has shown
the event, a deletion may have taken it, or the job that made the run is over,
it rests on nothing: the entry becomes what it was before, and leaves the run's
list, so that nobody takes the run for a resend that was made. What is in
flight is its sender's.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable
from typing import Final

import attrs

from keen_client.eventlog.entry import DeliveryState
from keen_client.eventlog.ranges import COLUMNS, Range, cut, replace_range
from keen_client.eventlog.state import State
from keen_client.events.identity import EntryId
from keen_client.events.stamps import ATTEMPTS_PER_RUN

#: Why intents were taken back, as ``runs.stopped`` says it.
SEEN: Final = "a query showed them"
DELETED: Final = "delete_events went there"
OUTLIVED: Final = "the job was over before they were sent; a later one looks for them anew"

#: The fact that names the last run whose job is known to be over.
_LAPSED_TO: Final = "runs_lapsed_to"


@attrs.frozen(slots=True)
class WaitingIntent:
    """An entry that *run* is to send, and that is in nobody's hands. ``timestamp_ms``: UTC."""

    id: EntryId
    run: int
    collection: str
    timestamp_ms: int


def waiting_intents(db: sqlite3.Connection) -> list[WaitingIntent]:
    """All of them, by (origin, seq)."""
    return [intent for row in _rows(db) for intent in _of_row(db, row)]


def take_back(db: sqlite3.Connection, intents: Iterable[WaitingIntent], why: str) -> int:
    """Make the entries of *intents* what they were before their run; how many. Within the caller's transaction.

    That is *unknown* where an attempt's outcome is, else *acknowledged*. Their
    attempt numbers stay: a server may have seen them.
    """
    wanted: dict[tuple[str, int], set[int]] = {}
    for intent in intents:
        wanted.setdefault((intent.id.origin, intent.run), set()).add(intent.id.seq)
    for row in _rows(db) if wanted else ():
        seqs = wanted.get((row.origin, row.run), set()).intersection(range(row.seq_lo, row.seq_hi + 1))
        if seqs:
            db.executemany(
                "DELETE FROM run_entries WHERE run = ? AND origin = ? AND seq = ?",
                [(row.run, row.origin, seq) for seq in seqs],
            )
            replace_range(db, row, _without(row, seqs, _tiers(db, row)), merge=True)
    counts: dict[int, int] = {}
    for (_, run), seqs in wanted.items():
        counts[run] = counts.get(run, 0) + len(seqs)
    for run, count in counts.items():
        _note(db, run, f"{count:,} not resent: {why}")
    return sum(counts.values())


def lapse_all(state: State, now_ms: int) -> int:
    """Take back what all runs so far still have to send, and end those that did not end; how many intents.

    The caller holds ``nightly.lock``, so their jobs are over. What is in flight
    and comes back unsent is taken back as well, when it does.
    """
    with state.transaction() as db:
        count = take_back(db, waiting_intents(db), OUTLIVED)
        db.execute(
            "UPDATE runs SET done_ms = ?, stopped = coalesce(stopped, 'the job was over before its end')"
            " WHERE done_ms IS NULL",
            (now_ms,),
        )
        last = db.execute("SELECT max(run) FROM runs").fetchone()[0]
        if last is not None and str(last) != state.fact(_LAPSED_TO):
            state.note(_LAPSED_TO, str(last))
    return count


def lapse_deleted(state: State, may_have_taken: Callable[[str, int], bool]) -> int:
    """Take back the intents whose (collection, timestamp in UTC ms) a deletion may have taken; how many."""
    with state.transaction() as db:
        gone = [i for i in waiting_intents(db) if may_have_taken(i.collection, i.timestamp_ms)]
        return take_back(db, gone, DELETED)


def lapse_returned(state: State, ids: Collection[EntryId]) -> int:
    """Of *ids*, which came back unsent, take back those whose run lapsed while they were in flight; how many."""
    lapsed_to = int(state.fact(_LAPSED_TO) or 0)
    with state.transaction() as db:
        over = [i for i in waiting_intents(db) if i.run <= lapsed_to and i.id in ids]
        return take_back(db, over, OUTLIVED)


def _rows(db: sqlite3.Connection) -> list[Range]:
    rows = db.execute(
        f"SELECT {COLUMNS} FROM ranges WHERE state IN ('replay', 'pending') AND run > 0"  # noqa: S608
        " ORDER BY origin, seq_lo"
    )
    return [Range.of(row) for row in rows.fetchall()]


def _of_row(db: sqlite3.Connection, row: Range) -> list[WaitingIntent]:
    """The intents of one range: not the dead letters of its run that somebody decided to send once more."""
    span = (row.origin, row.seq_lo, row.seq_hi)
    retried = {
        seq
        for (seq,) in db.execute(
            "SELECT seq FROM dead_letters WHERE origin = ? AND seq BETWEEN ? AND ? AND status = 'retried'"
            " AND at_ms >= (SELECT made_ms FROM runs WHERE run = ?)",
            (*span, row.run),
        )
    }
    listed = db.execute(
        "SELECT seq, collection, ts FROM run_entries WHERE origin = ? AND seq BETWEEN ? AND ? AND run = ?"
        " ORDER BY seq",
        (*span, row.run),
    ).fetchall()
    return [
        WaitingIntent(EntryId(row.origin, seq), row.run, collection, ts)
        for seq, collection, ts in listed
        if row.state is DeliveryState.REPLAY or seq not in retried
    ]


def _tiers(db: sqlite3.Connection, row: Range) -> dict[int, int]:
    """The token tier of the last resend of each entry of *row* that runs still list."""
    return dict(
        db.execute(
            "SELECT seq, max(tier) FROM run_entries WHERE origin = ? AND seq BETWEEN ? AND ? AND run < ?"
            " GROUP BY seq",
            (row.origin, row.seq_lo, row.seq_hi, row.run),
        ).fetchall()
    )


def _without(row: Range, seqs: Collection[int], tiers: dict[int, int]) -> list[Range]:
    """*row* cut into what stays with the run, and what is as before it. Pure."""
    before = attrs.evolve(
        row,
        state=DeliveryState.UNKNOWN if row.unsure else DeliveryState.ACKNOWLEDGED,
        run=max(row.a, 0) // ATTEMPTS_PER_RUN,
        failures=0,
        due_ms=0,
        batch_max=0,
        refused_batch=0,
        alone=0,
    )
    return [
        piece if tier is None else attrs.evolve(before, seq_lo=piece.seq_lo, seq_hi=piece.seq_hi, tier=tier)
        for tier, piece in cut(row, lambda seq: tiers.get(seq, 0) if seq in seqs else None)
    ]


def _note(db: sqlite3.Connection, run: int, what: str) -> None:
    """Say in a run's record what it does not do; what was said before stays."""
    db.execute(
        "UPDATE runs SET stopped = CASE WHEN stopped IS NULL THEN ? ELSE stopped || '; ' || ? END WHERE run = ?",
        (what, what, run),
    )
