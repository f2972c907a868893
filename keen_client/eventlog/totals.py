"""Control totals in ``state.db``: what the server should show, less what is not expected there."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Final

import attrs
import orjson

from keen_client._foundation.clock import MS_PER_HOUR
from keen_client.eventlog.config import LogConfig
from keen_client.eventlog.fold import AUDITED_PROPERTIES_MAX, Amount, Cell, Stamped, Sums, numeric_properties
from keen_client.eventlog.state import State

#: window start (ms) -> origin -> sums
SumsByWindow = dict[int, dict[str, Sums]]

_ADD_TOTALS: Final = """
INSERT INTO totals (origin, collection, hour, n, sum_h, sum_g, seq_lo, seq_hi) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (origin, collection, hour) DO UPDATE SET
  n = n + excluded.n, sum_h = sum_h + excluded.sum_h, sum_g = sum_g + excluded.sum_g,
  seq_lo = min(seq_lo, excluded.seq_lo), seq_hi = max(seq_hi, excluded.seq_hi)
"""


class Totals:
    """Reads and advances the control totals. Thread-safe through its :class:`State`."""

    def __init__(self, state: State, config: LogConfig) -> None:
        self._state = state
        self._config = config
        self._audited: dict[str, frozenset[str]] = {}

    def audited_properties(self, collection: str, sample_body: str) -> frozenset[str]:
        """Which properties of *collection* are audited; chosen from its first event unless configured."""
        known = self._audited.get(collection)
        if known is None:
            fact = f"audited:{collection}"
            if self._config.audit is not None:
                known = frozenset(self._config.audit[:AUDITED_PROPERTIES_MAX])
            else:
                noted = self._state.fact(fact)
                if noted is None:
                    names = numeric_properties(sample_body)[:AUDITED_PROPERTIES_MAX]
                    noted = orjson.dumps(names).decode()
                    self._state.note(fact, noted)
                known = frozenset(orjson.loads(noted))
            self._audited[collection] = known
        return known

    def add(self, db: sqlite3.Connection, origin: str, cells: Mapping[tuple[str, int], Cell]) -> None:
        """Add folded *cells* within the open transaction, the one that advances the cursor."""
        for (collection, hour), cell in cells.items():
            sums = cell.sums
            db.execute(
                _ADD_TOTALS, (origin, collection, hour, sums.n, sums.h, sums.g, cell.seq_lo, cell.seq_hi)
            )
            if sums.amounts:
                self._add_amounts(db, (origin, collection, hour), sums.amounts)

    @staticmethod
    def _add_amounts(
        db: sqlite3.Connection, cell: tuple[str, str, int], amounts: Mapping[str, Amount]
    ) -> None:
        """Add in Python: sums of integers are exact at any size there."""
        merged = {name: attrs.evolve(amount) for name, amount in amounts.items()}
        rows = db.execute(
            "SELECT property, n, whole, sum, sum_real, magnitude FROM audited"
            " WHERE origin = ? AND collection = ? AND hour = ?",
            cell,
        ).fetchall()
        for name, count, whole, total, real, magnitude in rows:
            if name in merged:
                merged[name].merge(Amount(count, whole, int(total), real, magnitude))
        db.executemany(
            "INSERT OR REPLACE INTO audited VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (*cell, name, a.count, a.whole, str(a.total), a.real, a.magnitude)
                for name, a in merged.items()
            ],
        )

    def attempted(self, db: sqlite3.Connection, cells: Iterable[tuple[str, str, int]], at_ms: int) -> None:
        """Note a send attempt of entries in *cells* (origin, collection, hour): the settle clock restarts."""
        db.executemany(
            "UPDATE totals SET attempted_ms = max(attempted_ms, ?) WHERE origin = ? AND collection = ? AND hour = ?",
            [(at_ms, *cell) for cell in cells],
        )

    def leave_out(self, db: sqlite3.Connection, stamped: Stamped, kind: str, at_ms: int) -> None:
        """Stop expecting an entry at the server, within the transaction that decides so."""
        entry = stamped.entry
        db.execute(
            "INSERT OR REPLACE INTO exceptions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                entry.origin,
                entry.seq,
                entry.collection,
                entry.timestamp_ms,
                kind,
                stamped.h,
                stamped.g,
                orjson.dumps(dict(stamped.amounts)).decode(),
                at_ms,
            ),
        )

    def expect_again(self, db: sqlite3.Connection, origin: str, seq: int) -> None:
        """Expect an entry at the server again."""
        db.execute("DELETE FROM exceptions WHERE origin = ? AND seq = ?", (origin, seq))

    def hourly(self, collection: str, start_ms: int, end_ms: int, width_ms: int) -> SumsByWindow:
        """What is expected of the folded entries, by window of whole hours and by origin."""
        windows: SumsByWindow = {}
        first, last = start_ms // MS_PER_HOUR, -(-end_ms // MS_PER_HOUR)
        with self._state.reading() as db:
            totals = db.execute(
                "SELECT origin, hour, n, sum_h, sum_g FROM totals WHERE collection = ? AND hour >= ? AND hour < ?",
                (collection, first, last),
            ).fetchall()
            audited = db.execute(
                "SELECT origin, hour, property, n, whole, sum, sum_real, magnitude FROM audited"
                " WHERE collection = ? AND hour >= ? AND hour < ?",
                (collection, first, last),
            ).fetchall()
            exceptions = db.execute(
                "SELECT origin, ts, h, g, amounts FROM exceptions WHERE collection = ? AND ts >= ? AND ts < ?",
                (collection, start_ms, end_ms),
            ).fetchall()
        for origin, hour, n, sum_h, sum_g in totals:
            sums = _at(windows, hour * MS_PER_HOUR, start_ms, width_ms, origin)
            sums.n, sums.h, sums.g = sums.n + n, sums.h + sum_h, sums.g + sum_g
        for origin, hour, name, count, whole, total, real, magnitude in audited:
            sums = _at(windows, hour * MS_PER_HOUR, start_ms, width_ms, origin)
            sums.amount(name).merge(Amount(count, whole, int(total), real, magnitude))
        for origin, ts, h, g, amounts in exceptions:
            sums = _at(windows, ts, start_ms, width_ms, origin)
            sums.n, sums.h, sums.g = sums.n - 1, sums.h - h, sums.g - g
            for name, value in orjson.loads(amounts).items():
                sums.amount(name).add(value, -1)
        return windows

    def excepted(self, collection: str, start_ms: int, end_ms: int) -> set[tuple[str, int]]:
        """(origin, seq) of the entries of a timeframe that are not expected at the server."""
        with self._state.reading() as db:
            rows = db.execute(
                "SELECT origin, seq FROM exceptions WHERE collection = ? AND ts >= ? AND ts < ?",
                (collection, start_ms, end_ms),
            ).fetchall()
        return {(origin, seq) for origin, seq in rows}

    def last_attempts(self, collection: str, start_ms: int, end_ms: int, width_ms: int) -> dict[int, int]:
        """The end of the last send attempt of any entry, by window start; windows never attempted are left out."""
        found: dict[int, int] = {}
        with self._state.reading() as db:
            rows = db.execute(
                "SELECT hour, max(attempted_ms) FROM totals WHERE collection = ? AND hour >= ? AND hour < ? GROUP BY hour",
                (collection, start_ms // MS_PER_HOUR, -(-end_ms // MS_PER_HOUR)),
            ).fetchall()
        for hour, attempted_ms in rows:
            for start in window_starts_of_hour(hour, start_ms, end_ms, width_ms):
                found[start] = max(found.get(start, 0), attempted_ms)
        return found

    def spans(self, collection: str, start_ms: int, end_ms: int) -> list[tuple[str, int, int]]:
        """(origin, first seq, last seq) within which the folded entries of a timeframe lie."""
        with self._state.reading() as db:
            rows = db.execute(
                "SELECT origin, min(seq_lo), max(seq_hi) FROM totals"
                " WHERE collection = ? AND hour >= ? AND hour < ? GROUP BY origin ORDER BY origin",
                (collection, start_ms // MS_PER_HOUR, -(-end_ms // MS_PER_HOUR)),
            ).fetchall()
        return [(origin, low, high) for origin, low, high in rows]

    def has(self, collection: str) -> bool:
        """Whether anything of *collection* was ever folded."""
        with self._state.reading() as db:
            row = db.execute("SELECT 1 FROM totals WHERE collection = ? LIMIT 1", (collection,)).fetchone()
        return row is not None

    def collections(self, start_ms: int, end_ms: int) -> list[str]:
        """The collections that have folded entries in a timeframe, sorted."""
        with self._state.reading() as db:
            rows = db.execute(
                "SELECT DISTINCT collection FROM totals WHERE hour >= ? AND hour < ? ORDER BY collection",
                (start_ms // MS_PER_HOUR, -(-end_ms // MS_PER_HOUR)),
            ).fetchall()
        return [name for (name,) in rows]


def window_starts_of_hour(hour: int, start_ms: int, end_ms: int, width_ms: int) -> Iterable[int]:
    """Starts of the windows of [start, end) that overlap *hour*."""
    hour_start = hour * MS_PER_HOUR
    first = max(start_ms, start_ms + (hour_start - start_ms) // width_ms * width_ms)
    return range(first, min(end_ms, hour_start + MS_PER_HOUR), width_ms)


def _at(windows: SumsByWindow, ts: int, start_ms: int, width_ms: int, origin: str) -> Sums:
    start = start_ms + (ts - start_ms) // width_ms * width_ms
    return windows.setdefault(start, {}).setdefault(origin, Sums())
