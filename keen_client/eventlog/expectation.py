"""What is expected at the server, window by window: folded totals less exceptions, plus the tail nobody folded yet."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import chain

import attrs

from keen_client._foundation.clock import MS_PER_HOUR
from keen_client.eventlog.entry import AT_REST, DeliveryState, Entry
from keen_client.eventlog.fold import Stamped, Sums, stamp_entry
from keen_client.eventlog.shelf import Shelf
from keen_client.eventlog.state import State
from keen_client.eventlog.totals import SumsByWindow, Totals, window_starts_of_hour
from keen_client.events.stamps import digests

#: Timestamps of entries, by collection and delivery state.
_Opened = dict[str, dict[DeliveryState, "array[int]"]]


@attrs.define
class Window:
    """The local side of one window. Times are UTC milliseconds since 1970.

    ``by_origin``: the expected sums. ``last_attempt_ms``: end of the last send
    attempt of any of its entries, 0 when there was none. ``unsent``: entries
    that are pending or in flight; ``unknown``: sent, outcome not known.
    ``has_unreadable``: it is smaller than an hour, so that what is expected is
    counted from the entries, and entries of its hour cannot be read.
    """

    start_ms: int
    end_ms: int
    by_origin: dict[str, Sums] = attrs.Factory(dict)
    last_attempt_ms: int = 0
    unsent: int = 0
    unknown: int = 0
    has_unreadable: bool = False

    @property
    def total(self) -> Sums:
        """The sums over all origins."""
        total = Sums()
        for sums in self.by_origin.values():
            total.merge(sums)
        return total

    @property
    def fingerprint(self) -> str:
        """A text that changes with the expected content of the window."""
        parts = [f"{o}:{s.n}:{s.h}:{s.g}" for o, s in sorted(self.by_origin.items()) if s.n or s.h or s.g]
        return ";".join(parts)


@attrs.frozen
class Page:
    """Entries of one origin, by column: ``times`` are their timestamps, ``h`` and ``g`` their stamps, or empty."""

    origin: str
    seqs: Sequence[int]
    times: Sequence[int]
    h: Sequence[int]
    g: Sequence[int]


class Expectation:
    """Computes the local side of windows from ``state.db`` and the segments. Changes nothing."""

    def __init__(self, state: State, shelf: Shelf, totals: Totals) -> None:
        self._state = state
        self._shelf = shelf
        self._totals = totals
        #: By origin: which numbers were past its cursor when it was last looked, and between which each collection is.
        self._tails: dict[str, tuple[tuple[int, int], dict[str, tuple[int, int]]]] = {}
        #: The ranges that were open when it was last looked, None where not all could be read; and what is in them.
        self._opened: tuple[list[tuple[str, str, int, int]] | None, _Opened] = (None, {})

    def collections(self, start_ms: int, end_ms: int) -> list[str]:
        """The collections with entries in [start, end), sorted; the tail included."""
        names = set(self._totals.collections(start_ms, end_ms))
        names.update(e.collection for e in self._tail() if start_ms <= e.timestamp_ms < end_ms)
        return sorted(names)

    def has_recorded(self, collection: str) -> bool:
        """Whether there ever was an entry of *collection*, reclaimed ones and the tail included."""
        # The tail first: what is folded meanwhile is in the totals then.
        return any(entry.collection == collection for entry in self._tail()) or self._totals.has(collection)

    def span(self) -> tuple[int, int] | None:
        """[first, last) of the hours in which there are entries, in UTC milliseconds; the tail included; None: none."""
        # The tail first: what is folded meanwhile is in the totals then.
        hours = [entry.timestamp_ms // MS_PER_HOUR for entry in self._tail()]
        with self._state.reading() as db:
            edges = db.execute("SELECT min(hour), max(hour) FROM totals").fetchone()
        hours += [hour for hour in edges if hour is not None]
        return (min(hours) * MS_PER_HOUR, (max(hours) + 1) * MS_PER_HOUR) if hours else None

    def windows(self, collection: str, start_ms: int, end_ms: int, width_ms: int) -> dict[int, Window]:
        """The windows of [start, end) in which something is expected or open, by start.

        *start_ms* and *end_ms* lie on boundaries of *width_ms*.
        """
        unread: set[int] = set()
        if width_ms % MS_PER_HOUR == 0 and start_ms % MS_PER_HOUR == 0:
            sums = self._totals.hourly(collection, start_ms, end_ms, width_ms)
        else:
            sums, unread = self._scanned(collection, start_ms, end_ms, width_ms)
        windows: dict[int, Window] = {}

        def window_at(ts: int) -> Window:
            start = start_ms + (ts - start_ms) // width_ms * width_ms
            return windows.setdefault(start, Window(start, start + width_ms))

        for start, by_origin in sums.items():
            window_at(start).by_origin = by_origin
        for hour in unread:
            for start in window_starts_of_hour(hour, start_ms, end_ms, width_ms):
                window_at(start).has_unreadable = True
        for entry in self._tail(collection):
            if entry.collection == collection and start_ms <= entry.timestamp_ms < end_ms:
                window = window_at(entry.timestamp_ms)
                window.by_origin.setdefault(entry.origin, Sums()).add(self._stamp(entry))
                window.unsent += 1
        for state, times in self._open_times(collection).items():
            for timestamp_ms in times:
                if start_ms <= timestamp_ms < end_ms:
                    window = window_at(timestamp_ms)
                    if state is DeliveryState.UNKNOWN:
                        window.unknown += 1
                    else:
                        window.unsent += 1
        attempts = self._totals.last_attempts(collection, start_ms, end_ms, width_ms)
        for start, window in windows.items():
            window.last_attempt_ms = attempts.get(start, 0)
        return windows

    def entries(self, collection: str, start_ms: int, end_ms: int) -> list[Entry]:
        """The expected entries of [start, end), by (origin, seq); those that can be read."""
        left_out = self._totals.excepted(collection, start_ms, end_ms)
        folded = (
            entry
            for origin, low, high in self._totals.spans(collection, start_ms, end_ms)
            for entry in self._shelf.entries(origin, low, min(high, self._cursor(origin)))
        )
        return sorted(
            (
                entry
                for entry in chain(folded, self._tail())
                if entry.collection == collection
                and start_ms <= entry.timestamp_ms < end_ms
                and (entry.origin, entry.seq) not in left_out
            ),
            key=lambda entry: (entry.origin, entry.seq),
        )

    def pages(
        self, collection: str, start_ms: int, end_ms: int, origins: Collection[str], *, is_stamped: bool
    ) -> Iterator[Page]:
        """The expected entries of [start, end) of *origins* that were folded, by origin and seq.

        For windows of a million entries. Those past the cursors are left out;
        where there are any, the window is not settled.
        """
        span = (collection, start_ms, end_ms)
        left_out = self._totals.excepted(collection, start_ms, end_ms)
        for origin, low, high in self._totals.spans(collection, start_ms, end_ms):
            if origin not in origins:
                continue
            last = min(high, self._cursor(origin))
            for rows in self._shelf.contents(origin, low, last, *span, is_full=is_stamped):
                if left_out:
                    rows = [row for row in rows if (origin, row[0]) not in left_out]  # noqa: PLW2901
                h, g = digests(origin, collection, rows if is_stamped else ())
                yield Page(origin, [row[0] for row in rows], [row[1] for row in rows], h, g)

    def _scanned(
        self, collection: str, start_ms: int, end_ms: int, width_ms: int
    ) -> tuple[SumsByWindow, set[int]]:
        """Totals of windows that are no whole hours, from the entries themselves; and the hours that lack some."""
        whole = (collection, start_ms // MS_PER_HOUR * MS_PER_HOUR, -(-end_ms // MS_PER_HOUR) * MS_PER_HOUR)
        # The totals first: what is folded meanwhile is then read without being waited for.
        lacking = Counter[tuple[int, str]]()
        for hour_ms, by_origin in self._totals.hourly(*whole, MS_PER_HOUR).items():
            for origin, sums in by_origin.items():
                lacking[hour_ms // MS_PER_HOUR, origin] += sums.n
        windows: SumsByWindow = {}
        tail = {entry.id for entry in self._tail()}
        for entry in self.entries(*whole):
            if entry.id in tail:
                continue
            lacking[entry.timestamp_ms // MS_PER_HOUR, entry.origin] -= 1
            if start_ms <= entry.timestamp_ms < end_ms:
                start = start_ms + (entry.timestamp_ms - start_ms) // width_ms * width_ms
                windows.setdefault(start, {}).setdefault(entry.origin, Sums()).add(self._stamp(entry))
        return windows, {hour for (hour, _), count in lacking.items() if count > 0}

    def _stamp(self, entry: Entry) -> Stamped:
        return stamp_entry(entry, self._totals.audited_properties(entry.collection, entry.body))

    def _tail(self, collection: str | None = None) -> Iterator[Entry]:
        """Entries past the cursors; those that can be read. Of *collection* no more than there are others in between."""
        with self._state.reading() as db:
            known = {
                origin: (status, cursor)
                for origin, status, cursor in db.execute("SELECT origin, status, cursor FROM origins")
            }
        for name in self._shelf.names():
            status, cursor = known.get(name.origin, ("open", 0))
            last = self._shelf.last_seq(name.origin) if status in ("open", "sealed") else None
            if last is None or last <= cursor:
                self._tails.pop(name.origin, None)
                continue
            if collection is None:
                yield from self._shelf.entries(name.origin, cursor + 1, last)
            else:
                yield from self._tail_of(name.origin, cursor + 1, last, collection)

    def _tail_of(self, origin: str, low: int, high: int, collection: str) -> Iterator[Entry]:
        """Entries of [low, high] that may be of *collection*: where its first and last lie there is read once for all."""
        of_span, hulls = self._tails.get(origin, ((0, 0), {}))
        if of_span != (low, high):
            hulls, count = {}, 0
            for entry in self._shelf.entries(origin, low, high):
                first, _ = hulls.get(entry.collection, (entry.seq, entry.seq))
                hulls[entry.collection] = first, entry.seq
                count += 1
            if count == high - low + 1:  # what cannot be read now may be later
                self._tails[origin] = (low, high), hulls
        if collection in hulls:
            yield from self._shelf.entries(origin, *hulls[collection])

    def _open_times(self, collection: str) -> dict[DeliveryState, array[int]]:
        """The timestamps of the folded entries of *collection* whose delivery is not at rest, by its state.

        All that is open is read once, and again when other entries are: whoever
        asks for each of many collections would else read all of it each time.
        """
        rest = sorted(AT_REST)
        marks = ", ".join("?" * len(rest))
        with self._state.reading() as db:
            rows = db.execute(
                f"SELECT state, origin, seq_lo, seq_hi FROM ranges WHERE state NOT IN ({marks})"  # noqa: S608
                " AND state <> 'acknowledged'",
                rest,
            ).fetchall()
        of_rows, opened = self._opened
        if rows != of_rows:
            opened, is_whole = self._read_open(rows)
            # Entries never change; but what cannot be read now may be later.
            self._opened = (rows if is_whole else None, opened)
        return opened.get(collection, {})

    def _read_open(self, rows: Sequence[tuple[str, str, int, int]]) -> tuple[_Opened, bool]:
        """The entries of *rows*, by collection and state; and whether all of them could be read."""
        opened: _Opened = {}
        lacking = 0
        for state, origin, low, high in rows:
            lacking += high - low + 1
            for entry in self._shelf.entries(origin, low, high):
                by_state = opened.setdefault(entry.collection, {})
                by_state.setdefault(DeliveryState(state), array("q")).append(entry.timestamp_ms)
                lacking -= 1
        return opened, not lacking

    def _cursor(self, origin: str) -> int:
        with self._state.reading() as db:
            row = db.execute("SELECT cursor FROM origins WHERE origin = ?", (origin,)).fetchone()
        return int(row[0]) if row else 0
