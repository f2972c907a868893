"""Holes: entries that a segment should have and that cannot be read, and reading all that lies around them.

One bad page must not hide the thousands of entries behind it from the owner of
the log, and what it took must not be passed over in silence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import attrs

from keen_client.errors import EventLogDamagedError
from keen_client.eventlog.directory import LogDirectory
from keen_client.eventlog.entry import Entry
from keen_client.eventlog.shelf import PAGE_ENTRIES, Shelf
from keen_client.eventlog.state import State
from keen_client.eventlog.unreadable import gone_segments
from keen_client.events.identity import SEQ_MAX

#: Of one segment so many stretches that cannot be read are halved to find what can; then such a stretch is a hole.
HALVED_MAX: Final = 2_000


@attrs.frozen
class Hole:
    """Entries of *origin* from seq ``first`` to ``last``, both included, of which none can be read."""

    origin: str
    first: int
    last: int

    @property
    def count(self) -> int:
        """How many they are."""
        return self.last - self.first + 1


class Around:
    """Reads entries around what cannot be read, and remembers that in ``holes``."""

    def __init__(self, state: State, shelf: Shelf) -> None:
        self._state = state
        self._shelf = shelf
        self._halved = 0
        self.holes: list[Hole] = []
        #: Segments that are there and do not say how much they hold, or that are gone.
        self.unread: list[str] = []

    def segment(self, origin: str, first: int = 1) -> Iterator[Entry]:
        """All entries of the segment *origin* from *first* on that can be read, in order."""
        known = self._known(origin)
        last = self._shelf.last_seq(origin)
        if last is None or self._shelf.is_sealed(origin) is None:
            self._miss(origin, known)
            # Up to where it ends or breaks off, or what was kept of it.
            yield from self._shelf.entries(origin, first, SEQ_MAX)
            return
        self._halved = 0
        last = max(last, known[1] if known else 0)
        for low in range(first, last + 1, PAGE_ENTRIES):
            yield from self._stretch(origin, low, min(last, low + PAGE_ENTRIES - 1))

    def tails(self) -> Iterator[Entry]:
        """The entries that no sender has folded yet."""
        for name in self._shelf.names():
            status, cursor = self._known(name.origin) or ("open", 0)
            if status in ("open", "sealed"):
                yield from self.segment(name.origin, cursor + 1)

    def miss_gone(self, directory: LogDirectory) -> None:
        """Note the segments that should be there and have no file."""
        self.unread += [each.name.origin for each in gone_segments(directory, self._state)]

    def missed(self) -> list[str]:
        """The segments of which something is missing, sorted."""
        return sorted({hole.origin for hole in self.holes} | set(self.unread))

    def raise_if_missed(self, given: str) -> None:
        """End in an error where something is missing; *given* says what became of the rest.

        Raises:
            EventLogDamagedError: something is.
        """
        missed = self.missed()
        if not missed:
            return
        count = sum(hole.count for hole in self.holes)
        counted = f"{count:,} entries" if not self.unread else f"{count:,} entries and whole segments"
        named = ", ".join(missed[:5]) + (f" and {len(missed) - 5} more" if len(missed) > 5 else "")
        raise EventLogDamagedError(
            f"{counted} of the log cannot be read ({named}); {given}",
            "run `keen-client doctor`; `keen-client doctor --repair` saves what can be saved and counts what is lost",
        )

    def _known(self, origin: str) -> tuple[str, int] | None:
        """Status of *origin*, and the seq up to which its entries were folded; None: nobody has entered it yet."""
        with self._state.reading() as db:
            row = db.execute("SELECT status, cursor FROM origins WHERE origin = ?", (origin,)).fetchone()
        return None if row is None else (str(row[0]), int(row[1]))

    def _miss(self, origin: str, known: tuple[str, int] | None) -> None:
        """Note a file that says nothing, unless it was reclaimed meanwhile, or a repair has counted what it lost."""
        is_settled = known is not None and known[0] in ("reclaimed", "damaged")
        is_there = any(name.origin == origin for name in self._shelf.names())
        if is_there or not is_settled:
            self.unread.append(origin)

    def _stretch(self, origin: str, first: int, last: int) -> Iterator[Entry]:
        """The entries of a stretch, page or less; where some are missing each half is read by itself."""
        entries = self._shelf.page(origin, first, last, last - first + 1)
        if len(entries) == last - first + 1:
            yield from entries
            return
        at = first
        for entry in entries:
            yield from self._gap(origin, at, entry.seq - 1, (first, last))
            yield entry
            at = entry.seq + 1
        yield from self._gap(origin, at, last, (first, last))

    def _gap(self, origin: str, first: int, last: int, within: Sequence[int]) -> Iterator[Entry]:
        if first > last:
            return
        if first == last or self._halved >= HALVED_MAX:
            if (first, last) == tuple(within):
                self._note(Hole(origin, first, last))
                return
            yield from self._stretch(origin, first, last)
            return
        self._halved += 1
        middle = (first + last) // 2
        yield from self._stretch(origin, first, middle)
        yield from self._stretch(origin, middle + 1, last)

    def _note(self, hole: Hole) -> None:
        """Holes side by side are one."""
        before = self.holes[-1] if self.holes else None
        if before is not None and before.origin == hole.origin and before.last + 1 == hole.first:
            self.holes[-1] = attrs.evolve(before, last=hole.last)
        else:
            self.holes.append(hole)
