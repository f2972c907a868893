"""Cursors: how far each segment has been folded, and which segments may still have entries to fold.

Only the holder of the sender lock moves them; anybody may look.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs

from keen_client._foundation.clock import Clock
from keen_client.eventlog.salvage import is_intact
from keen_client.eventlog.segment import SegmentName
from keen_client.eventlog.shelf import Shelf
from keen_client.eventlog.state import State
from keen_client.eventlog.unreadable import Listed, Unreadable, absent_segments, listed_segments

#: Statuses of segments that may still have entries to fold.
_UNFINISHED: Final = ("open", "sealed")


@attrs.frozen
class Unfolded:
    """How many entries lie past the cursors, and the segments that may have more of them, by day.

    ``readable``: those of them that no entry which cannot be read holds up.
    """

    entries: int
    readable: int
    unreadable: tuple[Unreadable, ...]


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
            (name.origin, known[name.origin][1]) for name in names if known[name.origin][0] in _UNFINISHED
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
        if is_sealed is None or last is None:
            return  # what cannot be read has no end that is known
        status = "drained" if is_sealed and last == cursor else "abandoned" if last < cursor else None
        if status is None:
            return
        with self._state.transaction() as db:
            db.execute(
                "UPDATE origins SET status = ?, changed_ms = ? WHERE origin = ? AND cursor = ? AND status <> 'reclaimed'",
                (status, self._clock.wall_ms(), origin, cursor),
            )

    def unfolded(self, *, thorough: bool = False) -> Unfolded:
        """Entries past the cursors, recorded and never claimed, and the segments of which that cannot be told.

        A look that changes nothing: at the end of each segment that may have
        some, and at the first of them. *thorough*: all of them are read, and
        drained segments opened too.

        Raises:
            EventLogPermissionError, EventLogError: which segments there are cannot be told.
        """
        listed = listed_segments(self._state)  # before the files: a segment is entered when its file is there
        names = self._shelf.names()
        entries = readable = 0
        faults: dict[str, Unreadable] = {}
        for name in names:
            segment = listed.get(name.origin) or Listed(name)
            if segment.is_settled or (segment.status == "drained" and not thorough):
                continue
            waiting, read, fault = self._look(segment, thorough=thorough)
            entries += waiting
            readable += read if fault else waiting
            if fault:
                faults[name.origin] = Unreadable(name, fault)
        absent = {
            origin for origin in listed.keys() - {n.origin for n in names} if not listed[origin].is_settled
        }
        return Unfolded(entries, readable, self._confirmed(faults, absent))

    def _look(self, segment: Listed, *, thorough: bool) -> tuple[int, int, str]:
        """How many entries of *segment* are to be folded, how many were read, and why that is not all that can be said."""
        origin, first = segment.name.origin, segment.cursor + 1
        fault = "" if segment.status != "damaged" else "it is damaged, and not repaired yet"
        last = self._shelf.last_seq(origin)
        if last is None:  # looked at once more, for the reason
            fault = self._shelf.fault(origin) or fault
            last = None if fault else self._shelf.last_seq(origin)
        if last is not None and segment.status == "abandoned" and last > segment.cursor:
            fault = "it was set apart after a disk error, with entries that were not sent"
        if last is None or segment.status not in _UNFINISHED:
            return 0, 0, fault or ("it cannot be read" if last is None else "")
        waiting = max(0, last - segment.cursor)
        wanted = waiting if thorough else min(1, waiting)
        read = 0
        for entry in self._shelf.entries(origin, first, segment.cursor + wanted):
            if not is_intact(entry):
                break
            read += 1
        return waiting, read, "" if read == wanted else f"entry {first + read} cannot be read"

    def _confirmed(self, faults: dict[str, Unreadable], absent: set[str]) -> tuple[Unreadable, ...]:
        """What is still so: a segment may have been reclaimed, or a repair have saved it, while it was looked at."""
        if not faults and not absent:
            return ()
        present = {name.origin for name in self._shelf.names()}
        vanished = faults.keys() - present
        listed = listed_segments(self._state)
        found = [
            unreadable
            for origin, unreadable in faults.items()
            if origin in present and not (origin in listed and listed[origin].is_settled)
        ]
        found += absent_segments(
            self._shelf.directory, self._state, (absent - present) | (vanished & listed.keys())
        )
        return tuple(sorted(found, key=lambda unreadable: unreadable.name))
