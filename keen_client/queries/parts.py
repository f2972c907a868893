"""A timeframe in parts, each with few enough events to be read at once.

Pure: what the server counted goes in, what to ask for next comes out. Whatever
goes in, the parts are disjoint, in order of time, and cover the timeframe
exactly: an event lies in one of them and in no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import attrs

from keen_client._foundation.clock import MS_PER_MINUTE
from keen_client.queries.interval import Interval
from keen_client.queries.timeframe import Timeframe

#: Into how many sub-timeframes one count divides a part; well below Keen's cap of 2,500.
PIECES_MAX: Final = 1_000


@attrs.frozen
class Part:
    """[start, end) in milliseconds since 1970, and how many events were counted in it; None: not counted."""

    start_ms: int
    end_ms: int
    events: int | None = None

    @property
    def duration_ms(self) -> int:
        """The length; at least 1 in every part that comes from here."""
        return self.end_ms - self.start_ms

    @property
    def timeframe(self) -> Timeframe:
        """As a query takes it."""
        return Timeframe(self.start_ms, self.end_ms)


def counting_interval(part: Part) -> Interval | None:
    """The interval of a count that divides *part* into at most :data:`PIECES_MAX`.

    None where even a minute is too long to divide it: the count is then one number.
    """
    minutes = -(-part.duration_ms // (PIECES_MAX * MS_PER_MINUTE))
    return Interval(f"every_{minutes}_minutes") if part.duration_ms > minutes * MS_PER_MINUTE else None


def counted_parts(part: Part, counted: Sequence[Part], events_max: int) -> list[Part]:
    """*part* anew, from the counts of its pieces: neighbours are joined while they have *events_max* at most.

    A single piece that has more stays as it is. Pieces that do not cover
    *part* seamlessly prove nothing: then it is one part, with their sum.
    """
    total = sum(piece.events or 0 for piece in counted)
    if not _covers(part, counted):
        return [attrs.evolve(part, events=total)]
    joined: list[Part] = []
    for piece in counted:
        events = piece.events or 0
        last = joined[-1] if joined else None
        if last is not None and (last.events or 0) + events <= events_max:
            joined[-1] = Part(last.start_ms, piece.end_ms, (last.events or 0) + events)
        else:
            joined.append(Part(piece.start_ms, piece.end_ms, events))
    return joined


def divided(part: Part, events_max: int) -> list[Part]:
    """*part*, longer than 1 ms, in two or more pieces of nearly equal length, none of them counted.

    In as many as its events need if they are spread evenly; in two where they are few or not counted.
    """
    wanted = -(-(part.events or 0) // events_max)
    pieces = min(max(2, wanted), PIECES_MAX, part.duration_ms)
    edges = [part.start_ms + part.duration_ms * number // pieces for number in range(pieces + 1)]
    return [Part(start, end) for start, end in pairwise(edges)]


def _covers(part: Part, pieces: Sequence[Part]) -> bool:
    edges = [part.start_ms, *(piece.end_ms for piece in pieces)]
    return (
        bool(pieces)
        and edges[-1] == part.end_ms
        and all(piece.start_ms == before < piece.end_ms for piece, before in zip(pieces, edges, strict=False))
    )
