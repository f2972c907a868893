"""Signatures: which few events explain the difference of one cell's sums. Pure.

The stamps are random and the log knows them all, so a difference of count and
hash totals names the events by itself while they are few. What is returned is
a suspicion, never a verdict: other faults may add up to the same sums.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

import attrs

#: Stamps among which pairs are searched: the search holds each of them several times.
PAIRS_AMONG_MAX: Final = 250_000
#: Stamps among which threes are searched; the time grows with the square.
THREES_AMONG_MAX: Final = 2_500


#: Differences of count that few enough events explain.
DECODABLE: Final = range(-3, 3)


@attrs.frozen
class Stamps:
    """The stamps that a cell should hold: ``h[i]`` and ``g[i]`` belong to one event."""

    h: Sequence[int]
    g: Sequence[int]

    def __len__(self) -> int:
        """How many events there are."""
        return len(self.h)


@attrs.frozen
class Signature:
    """The one explanation of a difference, as indexes into the stamps, ascending.

    ``missing`` are not there; ``surplus`` are there once more (twice named:
    two times more); ``nulled`` are there, and lost ``h``, ``g`` or both.
    """

    missing: tuple[int, ...] = ()
    surplus: tuple[int, ...] = ()
    nulled: tuple[int, ...] = ()

    @property
    def indexes(self) -> frozenset[int]:
        """All events that it names."""
        return frozenset((*self.missing, *self.surplus, *self.nulled))

    def copies(self, index: int) -> int | None:
        """How often the sums show one of them; None for one that lost stamps."""
        return None if index in self.nulled else 1 + self.surplus.count(index) - self.missing.count(index)


def decode(stamps: Stamps, dn: int, dh: int, dg: int) -> Signature | None:
    """The only explanation of the differences server less log, or None where there is none or another one.

    Searched are one to three missing, one or two duplicates, one missing and
    one duplicated, and one whose stamps are null.
    """
    found = list(islice(_explanations(stamps, dn, dh, dg), 2))
    return found[0] if len(found) == 1 else None


def _explanations(stamps: Stamps, dn: int, dh: int, dg: int) -> Iterator[Signature]:
    few = len(stamps) <= PAIRS_AMONG_MAX
    match dn:
        case -1:
            yield from (Signature(missing=(i,)) for i in _ones(stamps, -dh, -dg))
        case 1:
            yield from (Signature(surplus=(i,)) for i in _ones(stamps, dh, dg))
        case -2 if few:
            yield from (Signature(missing=(i, j)) for i, j in _pairs(stamps, -dh, -dg) if i != j)
        case 2 if few:
            yield from (Signature(surplus=pair) for pair in _pairs(stamps, dh, dg))
        case -3 if len(stamps) <= THREES_AMONG_MAX:
            yield from (Signature(missing=three) for three in _threes(stamps, -dh, -dg))
        case 0 if few and (dh or dg):
            yield from _of_equal_counts(stamps, dh, dg)


def _of_equal_counts(stamps: Stamps, dh: int, dg: int) -> Iterator[Signature]:
    lost_both = set(_ones(stamps, -dh, -dg))
    lost_h = set(_places(stamps.h, -dh)) if not dg else set[int]()
    lost_g = set(_places(stamps.g, -dg)) if not dh else set[int]()
    yield from (Signature(nulled=(i,)) for i in sorted(lost_both | lost_h | lost_g))
    # Missing i and surplus j: h[j] - h[i] is the difference.
    for h in _common(stamps.h, map(dh.__add__, stamps.h)):
        for i in _places(stamps.h, h - dh):
            for j in _places(stamps.h, h):
                if i != j and stamps.g[j] - stamps.g[i] == dg:
                    yield Signature(missing=(i,), surplus=(j,))


def _ones(stamps: Stamps, h: int, g: int) -> Iterator[int]:
    return (i for i in _places(stamps.h, h) if stamps.g[i] == g)


def _pairs(stamps: Stamps, h: int, g: int) -> Iterator[tuple[int, int]]:
    """Pairs i <= j, perhaps the same, whose stamps add up to *h* and *g*."""
    # A pair is met from both its ends, and taken where i comes first.
    for one in _common(stamps.h, map(h.__sub__, stamps.h)):
        for i in _places(stamps.h, one):
            for j in _places(stamps.h, h - one):
                if i <= j and stamps.g[i] + stamps.g[j] == g:
                    yield i, j


def _threes(stamps: Stamps, h: int, g: int) -> Iterator[tuple[int, int, int]]:
    """Threes i < j < k whose stamps add up to *h* and *g*."""
    # A three is met where its least h comes first and its greatest last: the others of the square are not tried.
    values = sorted(set(stamps.h))
    pool = frozenset(values)
    found: set[tuple[int, int, int]] = set()
    for place, least in enumerate(values):
        rest = h - least
        lowest = bisect_left(values, rest - values[-1], place)
        middles = values[lowest : bisect_right(values, rest // 2, place)]
        for greatest in _common(pool, map(rest.__sub__, middles)):
            for i in _places(stamps.h, least):
                for j in _places(stamps.h, rest - greatest):
                    for k in _places(stamps.h, greatest):
                        if len({i, j, k}) == 3 and stamps.g[i] + stamps.g[j] + stamps.g[k] == g:
                            one, two, three = sorted((i, j, k))
                            found.add((one, two, three))
    yield from sorted(found)


def _common(values: Iterable[int], others: Iterable[int]) -> list[int]:
    """What stands in both, ascending. Sets and maps of the interpreter: this runs for every stamp."""
    pool = values if isinstance(values, frozenset) else frozenset(values)
    return sorted(pool.intersection(others))


def _places(values: Sequence[int], value: int) -> Iterator[int]:
    """The indexes at which *value* stands."""
    first = 0
    while True:
        try:
            first = values.index(value, first)
        except ValueError:
            return
        yield first
        first += 1
