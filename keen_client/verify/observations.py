"""Observations: what each read saw of a window, stored so that its state can be derived at any time."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from keen_client.eventlog.state import State
from keen_client.verify.verdict import ACCOUNTED, Verdict


@attrs.frozen
class Observation:
    """One read of one window. ``at_ms``: when its query was asked, UTC since 1970.

    The moment of asking, not of the answer: a read proves nothing about later
    moments. ``verdict`` is that of this read alone; ``settling`` where the
    difference was not looked into. ``expected`` and ``counted`` are counts of
    events; ``fingerprint`` names the expected content: another one means that
    the window changed.
    """

    at_ms: int
    verdict: Verdict
    reason: str
    expected: int
    counted: int
    fingerprint: str


class Observations:
    """Stores observations and reads them back, in the order of their times. Thread-safe through its state."""

    def __init__(self, state: State) -> None:
        self._state = state

    def add(self, collection: str, width_ms: int, observed: Iterable[tuple[int, Observation]]) -> None:
        """Store (window start, observation) pairs, in one transaction."""
        with self._state.transaction() as db:
            db.executemany(
                "INSERT INTO observations (collection, start_ms, end_ms, at_ms, verdict, reason, expected, counted,"
                " fingerprint) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (collection, start, start + width_ms, *attrs.astuple(observation))
                    for start, observation in observed
                ],
            )

    def read(
        self, collection: str, start_ms: int, end_ms: int, width_ms: int
    ) -> dict[int, list[Observation]]:
        """All observations of the windows of this width within [start, end), by window start."""
        with self._state.reading() as db:
            rows = db.execute(
                "SELECT start_ms, at_ms, verdict, reason, expected, counted, fingerprint FROM observations"
                " WHERE collection = ? AND start_ms >= ? AND start_ms < ? AND end_ms = start_ms + ?"
                " ORDER BY at_ms, id",
                (collection, start_ms, end_ms, width_ms),
            ).fetchall()
        found: dict[int, list[Observation]] = {}
        for start, at_ms, verdict, reason, expected, counted, fingerprint in rows:
            found.setdefault(start, []).append(
                Observation(at_ms, Verdict(verdict), reason, expected or 0, counted or 0, fingerprint)
            )
        return found

    def accounted_between(
        self, collection: str, timestamp_ms: int, after_ms: int, before_ms: int
    ) -> int | None:
        """When, within [after, before), a read last accounted for every event around *timestamp_ms*; None: never.

        An event recorded in the very moment of asking counts: had it come after
        the snapshot, the window would have moved and the read been thrown away.
        """
        words = sorted(ACCOUNTED)
        places = ", ".join("?" * len(words))
        with self._state.reading() as db:
            row = db.execute(
                "SELECT max(at_ms) FROM observations WHERE collection = ? AND start_ms <= ? AND end_ms > ?"  # noqa: S608
                f" AND at_ms >= ? AND at_ms < ? AND verdict IN ({places})",
                (collection, timestamp_ms, timestamp_ms, after_ms, before_ms, *words),
            ).fetchone()
        return None if row[0] is None else int(row[0])

    def forget(self, before_ms: int) -> int:
        """Delete the observations of windows that ended before; how many."""
        with self._state.transaction() as db:
            return db.execute("DELETE FROM observations WHERE end_ms <= ?", (before_ms,)).rowcount
