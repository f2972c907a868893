"""Cursors: how far each segment has been folded, and which segments may still have entries to fold.

Only the holder of the sender lock moves them; anybody may look.
"""

from __future__ import annotations

from collections.abc import Iterable

from keen_client._foundation.clock import Clock
from keen_client.eventlog.segment import SegmentName
from keen_client.eventlog.shelf import Shelf
from keen_client.eventlog.state import State


class Cursors:
    """The list of all segments there ever were, each with its status and cursor. Thread-safe."""

    def __init__(self, state: State, shelf: Shelf, clock: Clock) -> None:
        self._state = state
        self._shelf = shelf
        self._clock = clock

    def unfinished(self) -> list[tuple[str, int]]:
        """(origin, cursor) of the segments that may still have entries to fold, oldest day first.

        Segments not seen before are entered into the list for ever.
        """
        names = self._shelf.names()
        with self._state.reading() as db:
            known = {
                origin: (status, cursor)
                for origin, status, cursor in db.execute("SELECT origin, status, cursor FROM origins")
            }
        fresh = [name for name in names if name.origin not in known]
        if fresh:
            self._enter(fresh)
            known.update((name.origin, ("open", 0)) for name in fresh)
        return [
            (name.origin, known[name.origin][1])
            for name in names
            if known[name.origin][0] in ("open", "sealed")
        ]

    def _enter(self, names: Iterable[SegmentName]) -> None:
        now_ms = self._clock.wall_ms()
        with self._state.transaction() as db:
            db.executemany(
                "INSERT OR IGNORE INTO origins (origin, day, made_ms, changed_ms) VALUES (?, ?, ?, ?)",
                [(name.origin, name.day, now_ms, now_ms) for name in names],
            )

    def note_end(self, origin: str, cursor: int) -> None:
        """Leave a segment only when it is sealed and read to its end; mark one that was rolled back."""
        # The seal is looked for before the last seq: an entry cannot slip in between.
        is_sealed = self._shelf.is_sealed(origin)
        last = self._shelf.last_seq(origin)
        status = "drained" if is_sealed and last == cursor else "abandoned" if last < cursor else None
        if is_sealed is None or status is None:
            return
        with self._state.transaction() as db:
            db.execute(
                "UPDATE origins SET status = ?, changed_ms = ? WHERE origin = ? AND cursor = ? AND status <> 'reclaimed'",
                (status, self._clock.wall_ms(), origin, cursor),
            )

    def unfolded(self) -> int:
        """Entries past the cursors: recorded and never claimed. A look that changes nothing."""
        with self._state.reading() as db:
            known = dict(
                db.execute(
                    "SELECT origin, CASE WHEN status IN ('open', 'sealed') THEN cursor END FROM origins"
                )
            )
        total = 0
        for name in self._shelf.names():
            cursor = known.get(name.origin, 0)
            if cursor is not None:
                total += max(0, self._shelf.last_seq(name.origin) - cursor)
        return total
