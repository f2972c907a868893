"""Blocks: the copies of 24 events, read from one count and one sum.

An event of seq s carries ``kc.b = s // 24`` and ``kc.p = 4 ** (s % 24)``. The
base-4 digits of a block's sum of weights are the copies of its events, as long
as none has four or more and no weight is lost; in both cases the digits add up
to less than the count, so such a block is never misread.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import attrs

from keen_client.errors import NotFoundError
from keen_client.events.identity import BLOCK_ENTRIES
from keen_client.queries import Analysis, Filter, Timeframe
from keen_client.queries.filters import AnyFilter
from keen_client.verify.answer import QueryApi, real, record, refuse, row_list, whole, whole_or_none
from keen_client.verify.parts import ask_in_parts

#: Groups that one answer may have.
ROWS_MAX: Final = 50_000
#: Blocks that one query names.
NAMED_MAX: Final = 500

_BLOCK: Final = "kc.b"
_BASE: Final = 4
_LABELS: Final = frozenset([_BLOCK, "c", "s"])


@attrs.frozen
class BlockSum:
    """What the server shows of one block: its count, and the sum of its weights."""

    count: int = 0
    weight: int | float = 0


#: A block whose events are all there once.
_ONCE_EACH: Final = (1,) * BLOCK_ENTRIES
_WHOLE: Final = BlockSum(BLOCK_ENTRIES, sum(_BASE**place for place in range(BLOCK_ENTRIES)))


def digits(block: BlockSum) -> tuple[int, ...] | None:
    """The copies of the block's 24 events, in order of seq; None: they cannot be told, ask for each. Pure."""
    if block == _WHOLE:
        return _ONCE_EACH
    weight = block.weight
    if not 0 <= weight < _BASE**BLOCK_ENTRIES or weight != int(weight):
        return None
    found, rest = [], int(weight)
    for _ in range(BLOCK_ENTRIES):
        rest, copies = divmod(rest, _BASE)
        found.append(copies)
    return tuple(found) if sum(found) == block.count else None


def unlike(seqs: Iterable[int], shown: Mapping[int, BlockSum]) -> dict[int, int | None]:
    """Of *seqs*, expected once each, those that the blocks *shown* do not show once: their copies, None: not told. Pure."""
    found: dict[int, int | None] = {}
    number, copies = -1, None
    for seq in seqs:
        block, place = divmod(seq, BLOCK_ENTRIES)
        if block != number:
            number, copies = block, digits(shown.get(block, BlockSum()))
        if copies is None:
            found[seq] = None
        elif copies[place] != 1:
            found[seq] = copies[place]
    return found


def ask_blocks(
    api: QueryApi,
    collection: str,
    timeframe: Timeframe,
    origin: str,
    blocks: Collection[int],
    *,
    named: bool,
    names_max: int = NAMED_MAX,
) -> dict[int, BlockSum]:
    """The sums of *blocks* of *origin* within *timeframe*; what has no event there is left out.

    With *named* the queries name the blocks, at most *names_max* each, else
    they ask for all between the first and the last. What the server refuses is
    asked for in smaller parts.

    Raises:
        ApiError: no answer, or not what was asked for.
    """
    found: dict[int, BlockSum] = {}

    def ask(part: Sequence[int]) -> Any:
        query = Analysis(
            analysis_type="multi_analysis",
            event_collection=collection,
            analyses={
                "c": {"analysis_type": "count"},
                "s": {"analysis_type": "sum", "target_property": "kc.p"},
            },
            timeframe=timeframe,
            timezone="UTC",
            filters=[Filter("kc.o", "eq", origin), *(_named(part) if named else _between(part))],
            group_by=[_BLOCK],
        )
        try:
            return api.query(query)
        except NotFoundError:
            return []

    wanted = sorted(blocks) if named else range(min(blocks), max(blocks) + 1)
    for result in ask_in_parts(wanted, min(NAMED_MAX, names_max) if named else ROWS_MAX, ask):
        read_blocks(result, found)
    return found


def read_blocks(result: Any, found: dict[int, BlockSum]) -> None:
    """Read one answer into *found*.

    Raises:
        UnreadableResponseError: it is not what was asked for.
    """
    for item in row_list(result, "the answer"):
        row = record(item, _LABELS, "a group")
        block = whole_or_none(row[_BLOCK], "a block")
        if block is None:
            refuse("a group without a block stands among blocks")
        if block in found:
            refuse("a block stands in the answer twice")
        weight = 0 if row["s"] is None else real(row["s"], "a sum of weights")
        found[block] = BlockSum(whole(row["c"], "a count"), weight)


def pages(first: int, last: int) -> int:
    """How many queries ask for all blocks from *first* to *last*."""
    return -(-(last - first + 1) // ROWS_MAX)


def _between(blocks: Sequence[int]) -> list[AnyFilter]:
    return [Filter(_BLOCK, "gte", blocks[0]), Filter(_BLOCK, "lt", blocks[-1] + 1)]


def _named(blocks: Sequence[int]) -> list[AnyFilter]:
    return [Filter(_BLOCK, "in", list(blocks))]
