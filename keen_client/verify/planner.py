"""The planner: which question is cheapest for a window that differs. Pure.

Costs are in bytes of answers; a request counts as many, for its time and for
the server's limits. They are estimates: a wrong one costs bytes, no verdict.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, Literal

import attrs

from keen_client.events.identity import BLOCK_ENTRIES
from keen_client.verify.blocks import NAMED_MAX, ROWS_MAX
from keen_client.verify.sightings import PAGE_IDS_MAX
from keen_client.verify.signature import PAIRS_AMONG_MAX, THREES_AMONG_MAX
from keen_client.verify.windows import INTERVALS

#: What a request counts.
REQUEST_BYTES: Final = 50_000
#: One row of sums, and the bounds of one sub-timeframe.
CELL_BYTES: Final = 77
BOUNDS_BYTES: Final = 94
#: One block; one event with its stamps and its time.
BLOCK_BYTES: Final = 42
EVENT_BYTES: Final = 117
#: Differences supposed where the counts are equal and nothing simple explains the sums.
_SUPPOSED: Final = 4


@attrs.frozen
class Load:
    """What is known of a window that differs: its events, its origins, and how many events differ at least."""

    events: int
    origins: int
    differences: int
    width_ms: int


@attrs.frozen
class Branch:
    """A way on. ``width_ms``: the narrower windows of ``narrow``, 0 for the others."""

    kind: Literal["narrow", "blocks", "ids"]
    width_ms: int = 0


def choose(load: Load, *, blocks: bool = True) -> Branch:
    """The cheapest way on, what it leaves open included; *blocks* False: weights are of no use here."""
    costs = {Branch("ids"): ids_cost(load.events)}
    if blocks:
        costs[Branch("blocks")] = blocks_cost(load.events)
    for width_ms in INTERVALS:
        if width_ms < load.width_ms and load.width_ms % width_ms == 0:
            costs[Branch("narrow", width_ms)] = narrow_cost(load, width_ms, blocks=blocks)
    return min(costs, key=lambda branch: costs[branch])


def ids_cost(events: int) -> float:
    """Of looking at every event."""
    requests = max(1, math.ceil(events / PAGE_IDS_MAX))
    return requests * REQUEST_BYTES + events * EVENT_BYTES


def blocks_cost(events: int) -> float:
    """Of reading all blocks, and of looking once more whether the totals still are what they were."""
    rows = events / BLOCK_ENTRIES + 1
    return (1 + math.ceil(rows / ROWS_MAX)) * REQUEST_BYTES + rows * BLOCK_BYTES


def narrow_cost(load: Load, width_ms: int, *, blocks: bool = True) -> float:
    """Of reading sums of narrower windows, and of what they will leave open."""
    parts = load.width_ms // width_ms
    events = load.events / parts
    left = parts * _crowded(max(load.differences, _SUPPOSED), parts, _decodable(events))
    further = min(ids_cost(math.ceil(events)), blocks_cost(math.ceil(events)) if blocks else math.inf)
    rows = parts * (BOUNDS_BYTES + load.origins * CELL_BYTES)
    # The first cell that is left open costs a request; the others are asked for along with it.
    return (
        2 * REQUEST_BYTES
        + rows
        + (1 - math.exp(-left)) * REQUEST_BYTES
        + left * (further - REQUEST_BYTES if not blocks else events / BLOCK_ENTRIES * BLOCK_BYTES)
    )


def joins(gap_ms: int, width_ms: int, origins: int) -> bool:
    """Whether sums of *gap_ms* that nobody needs cost less than another request."""
    return gap_ms // width_ms * (BOUNDS_BYTES + origins * CELL_BYTES) < REQUEST_BYTES


def _decodable(events: float) -> int:
    """How many missing events a signature can name among so many."""
    if events <= THREES_AMONG_MAX:
        return 3
    return 2 if events <= PAIRS_AMONG_MAX else 1


def _crowded(differences: int, parts: int, decodable: int) -> float:
    """The chance that one of *parts* holds more than so many of *differences* scattered at random."""
    mean = differences / parts
    return max(0.0, 1 - sum(math.exp(-mean) * mean**k / math.factorial(k) for k in range(decodable + 1)))


@attrs.frozen
class Span:
    """Blocks *first* to *last* of a stretch of time [start, end), UTC milliseconds; ``count`` of them are wanted."""

    start_ms: int
    end_ms: int
    first: int
    last: int
    count: int

    def cost(self) -> float:
        """Of reading all of its blocks."""
        rows = self.last - self.first + 1
        return math.ceil(rows / ROWS_MAX) * REQUEST_BYTES + rows * BLOCK_BYTES

    def with_span(self, other: Span) -> Span:
        """Both, and what lies between."""
        return Span(
            min(self.start_ms, other.start_ms),
            max(self.end_ms, other.end_ms),
            min(self.first, other.first),
            max(self.last, other.last),
            self.count + other.count,
        )


def block_questions(spans: Iterable[Span]) -> list[tuple[Span, bool]]:
    """How to ask for the blocks of *spans* (at least one): stretches, each with whether to name its blocks."""
    joined: list[Span] = []
    for span in sorted(spans, key=lambda span: span.start_ms):
        both = joined[-1].with_span(span) if joined else span
        if joined and both.cost() <= joined[-1].cost() + span.cost():
            joined[-1] = both
        else:
            joined.append(span)
    whole = joined[0]
    for span in joined[1:]:
        whole = whole.with_span(span)
    named = math.ceil(whole.count / NAMED_MAX) * REQUEST_BYTES + whole.count * BLOCK_BYTES
    if named < sum(span.cost() for span in joined):
        return [(whole, True)]
    return [(span, False) for span in joined]
