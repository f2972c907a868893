"""Observations: what each read saw of a window, stored so that its state can be derived at any time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import attrs

from keen_client._foundation.clock import MS_PER_DAY
from keen_client.eventlog.state import State
from keen_client.verify.verdict import ACCOUNTED, CONTRADICTION, Verdict

#: So long after a window's end all observations of it are kept: well beyond the last look of any preset.
WHOLE_MS: Final = 100 * MS_PER_DAY
#: Observations of a window that are kept for ever.
KEPT_MAX: Final = 4


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

    @property
    def is_accounted(self) -> bool:
        """Whether it accounted for every expected event: seen, or listed as missing or in doubt.

        So does a read that disputes a window for single events of it, or for
        an unknown one; one that contradicts itself does not.
        """
        if self.verdict is Verdict.DISPUTED:
            return self.reason != CONTRADICTION
        return self.verdict in ACCOUNTED


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
        for start, *columns in rows:
            found.setdefault(start, []).append(_observation(*columns))
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
                f" AND at_ms >= ? AND at_ms < ? AND (verdict IN ({places}) OR (verdict = ? AND reason <> ?))",
                (
                    *(collection, timestamp_ms, timestamp_ms, after_ms, before_ms, *words),
                    *(Verdict.DISPUTED, CONTRADICTION),
                ),
            ).fetchone()
        return None if row[0] is None else int(row[0])

    def differing(
        self, collection: str, start_ms: int, end_ms: int, now_ms: int
    ) -> list[tuple[int, int, int]]:
        """(start, end, time of that read) of the windows of any width that overlap [start, end) and last differed.

        Reads too early to tell, and those dated after *now_ms*, are passed over.
        """
        with self._state.reading() as db:
            rows = db.execute(
                "SELECT start_ms, end_ms, max(at_ms), verdict FROM observations"
                " WHERE collection = ? AND start_ms > ? AND start_ms < ? AND end_ms > ? AND at_ms <= ?"
                " AND verdict <> ? GROUP BY start_ms, end_ms",
                (collection, start_ms - MS_PER_DAY, end_ms, start_ms, now_ms, Verdict.SETTLING),
            ).fetchall()
        return [(start, end, at_ms) for start, end, at_ms, verdict in rows if verdict != Verdict.MATCH]

    def matched(self, collection: str, most: int) -> list[tuple[int, int]]:
        """[start, end) of the *most* windows with events that matched last, the latest read first."""
        with self._state.reading() as db:
            rows = db.execute(
                "SELECT start_ms, end_ms FROM observations WHERE collection = ? AND verdict = ? AND expected > 0"
                " GROUP BY start_ms, end_ms ORDER BY max(at_ms) DESC LIMIT ?",
                (collection, Verdict.MATCH, most),
            ).fetchall()
        return [(start, end) for start, end in rows]

    def thin(self, before_ms: int) -> int:
        """Delete what nothing can need any more of windows that ended before; how many.

        A few are left of each window for ever: without them it would count as
        never read, and be asked for again every night.
        """
        with self._state.transaction() as db:
            crowded = db.execute(
                "SELECT collection, start_ms, end_ms FROM observations WHERE end_ms <= ?"
                " GROUP BY collection, start_ms, end_ms HAVING count(*) > ?",
                (before_ms, KEPT_MAX),
            ).fetchall()
            deleted = 0
            for window in crowded:
                rows = db.execute(
                    "SELECT id, at_ms, verdict, reason, expected, counted, fingerprint FROM observations"
                    " WHERE collection = ? AND start_ms = ? AND end_ms = ? ORDER BY at_ms, id",
                    window,
                ).fetchall()
                kept = needed([_observation(*row[1:]) for row in rows])
                gone = [(row[0],) for place, row in enumerate(rows) if place not in kept]
                db.executemany("DELETE FROM observations WHERE id = ?", gone)
                deleted += len(gone)
        return deleted


def needed(observations: Sequence[Observation]) -> set[int]:
    """The places of those of one window, in the order of their times, that a later look can need. Pure.

    The last two, for what changed between them; the first of the matches in a
    row at the end, for how far they lie apart; and the last that accounted for
    every event, for whether one that is missed had been seen: at most
    :data:`KEPT_MAX`.
    """
    last = len(observations) - 1
    accounted = [place for place, one in enumerate(observations) if one.is_accounted]
    first = last
    while first > 0 and _matches_alike(observations[first - 1], observations[last]):
        first -= 1
    return {place for place in (last, last - 1, first, *accounted[-1:]) if place >= 0}


def _matches_alike(one: Observation, other: Observation) -> bool:
    return one.verdict is other.verdict is Verdict.MATCH and one.fingerprint == other.fingerprint


def _observation(
    at_ms: int, verdict: str, reason: str, expected: int | None, counted: int | None, fingerprint: str
) -> Observation:
    return Observation(at_ms, Verdict(verdict), reason, expected or 0, counted or 0, fingerprint)
