"""The outbox: which entries a sender may send now, and what became of them.

Only the holder of the sender lock claims and settles. The order of a claim is
the safety of the whole client: read the entries, *then* sync what was read,
then in one synced transaction fold them, advance the cursor and journal the
attempt, and only then hand them out. So a number that the server has seen is
never given again, and a crash leaves *in flight* what may have been sent.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Final

import attrs

from keen_client._foundation.clock import MS_PER_HOUR, Clock
from keen_client.errors import EventLogDamagedError
from keen_client.eventlog.cursors import Cursors
from keen_client.eventlog.dating import distrust_tokens, mind_leap
from keen_client.eventlog.dead_letters import bury
from keen_client.eventlog.deletions import Deletions
from keen_client.eventlog.entry import DeliveryState, Entry
from keen_client.eventlog.fold import Stamped, fold_entries, stamp_entry
from keen_client.eventlog.intents import lapse_deleted, lapse_returned
from keen_client.eventlog.ranges import COLUMNS, Range, put_range, range_at, replace_range
from keen_client.eventlog.restoration import doubt_restored
from keen_client.eventlog.shelf import Shelf
from keen_client.eventlog.state import State
from keen_client.eventlog.totals import Totals
from keen_client.eventlog.unreadable import Unreadable
from keen_client.events.limits import STAMP_SIZE_MAX_BYTES
from keen_client.events.stamps import attempt_number

#: Ranges that one claim looks at.
_RANGES_MAX: Final = 200
#: An entry held back until a query has settled it is due at this time: never.
NEVER_MS: Final = 2**62
#: No other entry is held for longer. What seems to be was noted by a clock that was ahead, and is due.
HELD_MAX_MS: Final = MS_PER_HOUR


@attrs.frozen(slots=True)
class Claimed:
    """One entry handed out for sending. ``a`` and ``tier`` are those of this very attempt."""

    stamped: Stamped
    a: int
    tier: int
    was: Range

    @property
    def is_unsure(self) -> bool:
        """Whether the outcome of an earlier attempt is not known."""
        return bool(self.was.unsure)


@attrs.frozen(slots=True)
class Claim:
    """A batch in flight, journalled. ``is_full``: there was more to take than the limits allowed."""

    batch: int
    started_ms: int
    entries: tuple[Claimed, ...]
    is_full: bool


@attrs.frozen(slots=True)
class Settlement:
    """What became of one claimed entry.

    ``due_ms``: not to be sent again before; 0, ``NEVER_MS``, or at most
    ``HELD_MAX_MS`` from now. ``batch_max``: send it next in a
    batch of at most so many (0: no bound). ``refused_whole``: its batch was
    refused as one; ``refused_alone``: and it was the only entry in it. ``name`` and ``message``: the server's words.
    """

    state: DeliveryState
    due_ms: int = 0
    batch_max: int = 0
    refused_whole: bool = False
    refused_alone: bool = False
    name: str = ""
    message: str = ""


@attrs.frozen(slots=True)
class Backlog:
    """Counts of entries that delivery has still to deal with. ``rejected`` are dead letters.

    ``unreadable`` segments may have more of them, which nobody can count.
    """

    pending: int = 0
    inflight: int = 0
    unknown: int = 0
    replay: int = 0
    rejected: int = 0
    unreadable: tuple[Unreadable, ...] = ()

    @property
    def unsent(self) -> int:
        """Entries whose way to the server is not over: all but the dead letters."""
        return self.pending + self.inflight + self.unknown + self.replay


class Outbox:
    """Claims and settles for the one sender of a log. Thread-safe: its lanes may overlap."""

    def __init__(self, state: State, shelf: Shelf, totals: Totals, clock: Clock) -> None:
        self._state = state
        self._shelf = shelf
        self._cursors = Cursors(state, shelf, clock)
        self._totals = totals
        self._clock = clock
        self._claiming = threading.Lock()

    def after_fork(self) -> None:
        """Forget a lock that another thread held at the fork."""
        self._claiming = threading.Lock()

    # ---- taking -------------------------------------------------------------------------

    def recover(self, batch: int | None = None) -> int:
        """Turn what a crashed sender left in flight into *unknown*; how many entries. By the new holder of the lock.

        Only of *batch*, where given: by the holder itself, which could not settle it.
        """
        if batch is None:
            doubt_restored(self._state, self._shelf, self._totals, self._clock)
        with self._state.transaction() as db:
            rows = _select(db, "state = 'inflight' AND (? IS NULL OR batch = ?)", (batch, batch))
            for row in rows:
                unknown = attrs.evolve(row, state=DeliveryState.UNKNOWN, unsure=1, batch=0)
                replace_range(db, row, [attrs.evolve(unknown, failures=row.failures + 1)])
        return sum(row.count for row in rows)

    def claim(
        self,
        *,
        events_max: int,
        bytes_max: int,
        resend_unknown_since_ms: int | None = None,
        refused_last: bool = False,
    ) -> Claim | None:
        """Take the next batch, journalled and synced; None when nothing is due.

        Replays first, then what waits for another attempt, then what was never
        sent. Unknown entries are taken only when their first attempt is not
        older than *resend_unknown_since_ms*; None: never. With *refused_last*
        what was refused with its whole batch comes after all that was not.
        """
        with self._claiming:
            return self._state.with_reserve(
                lambda: self._claim(events_max, bytes_max, resend_unknown_since_ms, refused_last=refused_last)
            )

    def _claim(
        self, events_max: int, bytes_max: int, since_ms: int | None, *, refused_last: bool
    ) -> Claim | None:
        mind_leap(self._state, self._clock)
        now_ms = self._clock.wall_ms()
        if since_ms is not None:
            distrust_tokens(self._state, now_ms)
        due = self._due_ranges(now_ms, since_ms, refused_last=refused_last)
        first = [row for row in due if not (refused_last and row.refused_batch)]
        claim = self._claim_again(first, now_ms, events_max, bytes_max) if first else None
        if claim is None:
            claim = self._claim_new(now_ms, events_max, bytes_max)
        if claim is None and len(first) < len(due):
            claim = self._claim_again(due[len(first) :], now_ms, events_max, bytes_max)
        return claim

    def _due_ranges(self, now_ms: int, since_ms: int | None, *, refused_last: bool) -> list[Range]:
        with self._state.reading() as db:
            return _select(
                db,
                "(state IN ('replay', 'pending') OR (state = 'unknown' AND first_ms >= ?))"
                " AND due_ms < ? AND NOT due_ms BETWEEN ? AND ?"
                " ORDER BY (? AND refused_batch > 0), state = 'replay' DESC, due_ms, origin, seq_lo"
                f" LIMIT {_RANGES_MAX}",
                (
                    NEVER_MS if since_ms is None else since_ms,
                    NEVER_MS,
                    now_ms + 1,
                    now_ms + HELD_MAX_MS,
                    refused_last,
                ),
            )

    def _claim_again(
        self, due: Sequence[Range], now_ms: int, events_max: int, bytes_max: int
    ) -> Claim | None:
        if due[0].batch_max:  # a part of a batch that was refused is tried by itself
            due, events_max = due[:1], min(events_max, due[0].batch_max)
        taken: list[tuple[Range, list[Stamped]]] = []
        room, bytes_left = events_max, bytes_max
        for row in due:
            if row.batch_max and taken:
                continue
            part, size = self._read(row.origin, row.seq_lo, row.seq_hi, room, bytes_left)
            if not part:
                if not taken:
                    self._postpone(row, now_ms)
                continue
            taken.append((row, part))
            room -= len(part)
            bytes_left -= size
            if room <= 0 or bytes_left <= 0:
                break
        if not taken:
            return None
        entries: list[Claimed] = []
        with self._state.transaction() as db:
            batch = self._next_batch(db)
            for row, part in taken:
                if range_at(db, row.origin, row.seq_lo) != row:
                    continue  # a verifier settled or split it meanwhile: the next claim sees what it is now
                a = attempt_number(None if row.a < 0 else row.a, row.run or None)
                flying = attrs.evolve(
                    row,
                    seq_hi=part[-1].entry.seq,
                    state=DeliveryState.INFLIGHT,
                    a=a,
                    first_ms=row.first_ms or now_ms,
                    last_ms=now_ms,
                    batch=batch,
                )
                rest = attrs.evolve(row, seq_lo=flying.seq_hi + 1) if flying.seq_hi < row.seq_hi else None
                replace_range(db, row, [flying] if rest is None else [flying, rest])
                entries.extend(Claimed(stamped, a, row.tier, flying) for stamped in part)
            self._totals.attempted(db, _cells(c.stamped for c in entries), now_ms)
        if not entries:
            return None
        return Claim(batch, now_ms, tuple(entries), is_full=room <= 0 or bytes_left <= 0)

    def _claim_new(self, now_ms: int, events_max: int, bytes_max: int) -> Claim | None:
        for origin, cursor in self._cursors.unfinished():
            part, size = self._read(origin, cursor + 1, None, events_max, bytes_max)
            if not part:
                self._cursors.note_end(origin, cursor)
                continue
            self._shelf.sync(origin)
            cells = fold_entries(part)
            with self._state.transaction() as db:
                batch = self._next_batch(db)
                flying = Range(
                    origin=origin,
                    seq_lo=part[0].entry.seq,
                    seq_hi=part[-1].entry.seq,
                    state=DeliveryState.INFLIGHT,
                    a=0,
                    first_ms=now_ms,
                    last_ms=now_ms,
                    batch=batch,
                )
                moved = db.execute(
                    "UPDATE origins SET cursor = ?, changed_ms = ? WHERE origin = ? AND cursor = ?",
                    (flying.seq_hi, now_ms, origin, cursor),
                ).rowcount
                if moved != 1 or flying.seq_lo != cursor + 1:
                    raise AssertionError(f"the cursor of {origin} moved under its only sender")
                put_range(db, flying)
                self._totals.add(db, origin, cells)
                self._totals.attempted(db, [(origin, *key) for key in cells], now_ms)
            entries = tuple(Claimed(stamped, 0, 0, flying) for stamped in part)
            is_full = len(part) >= events_max or size * 2 > bytes_max
            return Claim(batch, now_ms, entries, is_full=is_full)
        return None

    def _read(
        self, origin: str, first: int, last: int | None, events_max: int, bytes_max: int
    ) -> tuple[list[Stamped], int]:
        """Consecutive entries from *first* on within the limits, at least one if there is one; and their size."""
        part: list[Stamped] = []
        audited: dict[str, frozenset[str]] = {}
        size = 0
        for seq, entry in enumerate(
            self._shelf.page(origin, first, last or NEVER_MS, events_max), start=first
        ):
            if entry.seq != seq:
                break
            more = _size(entry)
            if part and size + more > bytes_max:
                break
            size += more
            try:
                names = audited.get(entry.collection)
                if names is None:
                    names = self._totals.audited_properties(entry.collection, entry.body)
                    audited[entry.collection] = names
                part.append(stamp_entry(entry, names))
            except EventLogDamagedError:
                break  # like one that cannot be read at all
        return part, size

    def _postpone(self, row: Range, now_ms: int) -> None:
        """An entry that cannot be read cannot be sent: look again in an hour, `doctor` names it meanwhile."""
        with self._state.transaction() as db:
            replace_range(db, row, [attrs.evolve(row, due_ms=now_ms + HELD_MAX_MS)])

    def _next_batch(self, db: sqlite3.Connection) -> int:
        self._state.count("batches", 1)
        return int(db.execute("SELECT value FROM counters WHERE name = 'batches'").fetchone()[0])

    # ---- settling -----------------------------------------------------------------------

    def settle(
        self, claim: Claim, settlements: Sequence[Settlement], attempted_ms: int | None = None
    ) -> None:
        """Note what became of each entry of *claim*, in its order, in one synced transaction.

        *attempted_ms*: when that was, where this machine's clock is known to be wrong.

        What was once unknown stays unknown until a query or an honoured token
        settles it: a later refusal does not prove that it is not there.
        """
        self._state.with_reserve(lambda: self._settle(claim, settlements, attempted_ms))

    def _settle(self, claim: Claim, settlements: Sequence[Settlement], attempted_ms: int | None) -> None:
        now_ms = self._clock.wall_ms()
        attempted_ms = now_ms if attempted_ms is None else attempted_ms
        with self._state.transaction() as db:
            last_batch = self._state.counter("batches")
            for row, pairs in _by_range(claim, settlements):
                pieces: list[Range] = []
                for settlement, group in groupby(pairs, key=itemgetter(1)):
                    alike = [claimed for claimed, _ in group]
                    if settlement.state is DeliveryState.REJECTED:
                        self._bury(db, row, alike, settlement, now_ms)
                    pieces.append(self._piece(row, alike, settlement, attempted_ms, last_batch))
                replace_range(db, row, pieces, merge=True)
            self._lapse(claim, settlements)
            self._totals.attempted(db, _cells(c.stamped for c in claim.entries), attempted_ms)
            accepted = sum(s.state is DeliveryState.ACKNOWLEDGED for s in settlements)
            self._state.count("acknowledged", accepted)
            self._state.count("rejected", sum(s.state is DeliveryState.REJECTED for s in settlements))
            if accepted:
                self._state.note("last_accepted_ms", str(now_ms))
                db.execute(
                    "INSERT INTO counters VALUES ('accepted_batch', ?)"
                    " ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)",
                    (claim.batch,),
                )

    def _lapse(self, claim: Claim, settlements: Sequence[Settlement]) -> None:
        """What a run was to resend and comes back unsent may have lapsed meanwhile, or have been deleted."""
        returned = {
            claimed.stamped.entry.id
            for claimed, settlement in zip(claim.entries, settlements, strict=True)
            if claimed.was.run and settlement.state is DeliveryState.PENDING
        }
        if returned:
            lapse_returned(self._state, returned)
            deletions = Deletions(self._state).all()
            lapse_deleted(self._state, lambda *place: any(each.covers(*place) for each in deletions))

    @staticmethod
    def _piece(
        row: Range, alike: Sequence[Claimed], settlement: Settlement, attempted_ms: int, last_batch: int
    ) -> Range:
        """The range of consecutive entries of *row* with one settlement."""
        state, due_ms, unsure = settlement.state, settlement.due_ms, row.unsure
        if state is DeliveryState.UNKNOWN:
            unsure = 1
        elif row.unsure and state is DeliveryState.PENDING:
            state = DeliveryState.UNKNOWN
        elif row.unsure and state is DeliveryState.REJECTED:
            state, due_ms = DeliveryState.UNKNOWN, NEVER_MS
        failed = state is not DeliveryState.ACKNOWLEDGED
        refused_batch = row.refused_batch or (last_batch if settlement.refused_whole else 0)
        return attrs.evolve(
            row,
            seq_lo=alike[0].stamped.entry.seq,
            seq_hi=alike[-1].stamped.entry.seq,
            state=state,
            unsure=unsure,
            failures=row.failures + 1 if failed else 0,
            last_ms=attempted_ms,
            due_ms=due_ms,
            batch_max=settlement.batch_max if failed else 0,
            refused_batch=refused_batch if failed else 0,
            alone=row.alone + settlement.refused_alone if failed else 0,
            batch=0,
        )

    def _bury(
        self,
        db: sqlite3.Connection,
        row: Range,
        refused: Sequence[Claimed],
        settlement: Settlement,
        now_ms: int,
    ) -> None:
        for claimed in refused:
            entry = claimed.stamped.entry
            if not row.unsure:
                self._totals.leave_out(db, claimed.stamped, "rejected", now_ms)
            bury(db, entry, settlement.name, settlement.message, "unsure" if row.unsure else "dead", now_ms)

    def journal_again(self, claim: Claim) -> None:
        """Note that *claim* leaves only now: the machine slept since it was journalled."""
        with self._state.transaction() as db:
            now_ms = self._clock.wall_ms()
            db.execute(
                "UPDATE ranges SET last_ms = ? WHERE batch = ? AND state = 'inflight'", (now_ms, claim.batch)
            )
            self._totals.attempted(db, _cells(c.stamped for c in claim.entries), now_ms)

    # ---- looking ------------------------------------------------------------------------

    def backlog(self) -> Backlog:
        """How much is still to be dealt with, entries that nobody has folded yet included.

        Raises:
            EventLogPermissionError, EventLogError: which segments there are cannot be told, or the disk failed.
        """
        # First what no range holds yet: what is claimed meanwhile is counted twice, and never not at all.
        unfolded = self._cursors.unfolded()
        with self._state.reading() as db:
            rows = db.execute(
                "SELECT state, sum(seq_hi - seq_lo + 1) FROM ranges WHERE state <> 'acknowledged' GROUP BY state"
            ).fetchall()
        counts = {state: int(count) for state, count in rows}
        return Backlog(
            pending=counts.get("pending", 0) + unfolded.entries,
            inflight=counts.get("inflight", 0),
            unknown=counts.get("unknown", 0),
            replay=counts.get("replay", 0),
            rejected=counts.get("rejected", 0),
            unreadable=unfolded.unreadable,
        )

    def unreadable(self, *, thorough: bool = False) -> tuple[Unreadable, ...]:
        """The segments that cannot be read or are gone, by day; see :meth:`Cursors.unfolded`."""
        return self._cursors.unfolded(thorough=thorough).unreadable

    def is_at_rest(self, resend_unknown_since_ms: int | None = None, until_ms: int | None = None) -> bool:
        """Whether a sender finds nothing to do before *until_ms* (None: ever), as far as it can read."""
        # What nobody has folded is looked for first: claimed meanwhile, it is in flight.
        if self._cursors.unfolded().readable:
            return False
        with self._state.reading() as db:
            if db.execute("SELECT 1 FROM ranges WHERE state = 'inflight' LIMIT 1").fetchone() is not None:
                return False
        due_ms = self.next_due_ms(resend_unknown_since_ms)
        return due_ms is None or (until_ms is not None and due_ms > until_ms)

    def next_due_ms(self, resend_unknown_since_ms: int | None = None) -> int | None:
        """When the next entry that waits becomes due; 0: it is already. None when none waits for a time."""
        held_ms = self._clock.wall_ms() + HELD_MAX_MS
        with self._state.reading() as db:
            row = db.execute(
                "SELECT min(CASE WHEN due_ms <= ? THEN due_ms ELSE 0 END) FROM ranges"
                " WHERE (state IN ('replay', 'pending') OR (state = 'unknown' AND first_ms >= ?)) AND due_ms < ?",
                (held_ms, NEVER_MS if resend_unknown_since_ms is None else resend_unknown_since_ms, NEVER_MS),
            ).fetchone()
        return None if row[0] is None else int(row[0])


def _select(db: sqlite3.Connection, where: str, values: tuple[object, ...]) -> list[Range]:
    rows = db.execute(f"SELECT {COLUMNS} FROM ranges WHERE {where}", values)  # noqa: S608 — our own constants
    return [Range.of(row) for row in rows.fetchall()]


def _by_range(
    claim: Claim, settlements: Sequence[Settlement]
) -> Iterator[tuple[Range, list[tuple[Claimed, Settlement]]]]:
    """The claimed entries with their settlements, by the range each came from."""
    pairs: list[tuple[Claimed, Settlement]] = []
    for claimed, settlement in zip(claim.entries, settlements, strict=True):
        if pairs and pairs[-1][0].was is not claimed.was:
            yield pairs[0][0].was, pairs
            pairs = []
        pairs.append((claimed, settlement))
    if pairs:
        yield pairs[0][0].was, pairs


def _cells(stamped: Iterable[Stamped]) -> set[tuple[str, str, int]]:
    return {(s.entry.origin, s.entry.collection, s.entry.timestamp_ms // MS_PER_HOUR) for s in stamped}


def _size(entry: Entry) -> int:
    """What an entry takes in a request at most: text is counted at its UTF-8 size only when it is not ASCII."""
    body, keen = entry.body, entry.keen
    size = len(body) + len(keen) if body.isascii() and keen.isascii() else len((body + keen).encode())
    return size + STAMP_SIZE_MAX_BYTES
