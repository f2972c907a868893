"""Comparing one window's expectation with what the server shows. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, Literal

import attrs

from keen_client.eventlog.expectation import Window
from keen_client.eventlog.fold import Amount, Sums
from keen_client.verify.answer import EXACT_MAX
from keen_client.verify.level_zero import Cell, ServerWindow

#: ``differs``: the counts are equal, the sums are not.
RawVerdict = Literal["match", "short", "excess", "mixed", "differs"]

#: Half the distance of neighbouring doubles around 1.
_UNIT_ROUNDOFF: Final = 2.0**-53


@attrs.frozen
class Delta:
    """Server less expectation, of one origin; ``amounts`` names the audited properties that differ."""

    n: int
    h: int
    g: int
    amounts: tuple[str, ...] = ()

    @property
    def is_of_stamps(self) -> bool:
        """Whether count or hash totals differ."""
        return bool(self.n or self.h or self.g)


@attrs.frozen
class Comparison:
    """The raw verdict on a window and, by origin, what differs."""

    verdict: RawVerdict
    deltas: Mapping[str, Delta] = attrs.Factory(dict)


def compare(local: Window, server: ServerWindow, audited: Collection[str]) -> Comparison:
    """Compare by origin. A match says: equal counts, hash totals and totals of *audited* properties."""
    deltas: dict[str, Delta] = {}
    for origin in sorted({*local.by_origin, *server.by_origin}):
        expected = local.by_origin.get(origin, Sums())
        shown = server.by_origin.get(origin, Cell())
        delta = Delta(
            shown.n - expected.n,
            shown.h - expected.h,
            shown.g - expected.g,
            tuple(
                name
                for name in sorted(audited)
                if not amounts_agree(expected.amounts.get(name, Amount()), shown.amounts.get(name, 0))
            ),
        )
        if delta.is_of_stamps or delta.amounts:
            deltas[origin] = delta
    return Comparison(_raw_verdict(deltas), deltas)


def _raw_verdict(deltas: Mapping[str, Delta]) -> RawVerdict:
    lacks = any(delta.n < 0 for delta in deltas.values())
    exceeds = any(delta.n > 0 for delta in deltas.values())
    if lacks and exceeds:
        return "mixed"
    if lacks:
        return "short"
    if exceeds:
        return "excess"
    return "differs" if deltas else "match"


def amounts_agree(expected: Amount, shown: float) -> bool:
    """Whether a sum at the server is the expected one.

    Integers whose absolute values add up to at most 2^53 are summed without
    rounding in any order, so they must be equal. Otherwise both sides may be
    off by the bound of n roundings of the largest partial sum; it is doubled
    for the rounding of the terms themselves.
    """
    if expected.whole == expected.count and expected.magnitude <= EXACT_MAX:
        return shown == expected.total
    bound = 2 * (expected.count + 2 * expected.taken + 1) * _UNIT_ROUNDOFF * expected.magnitude
    return abs(shown - expected.total - expected.real) <= bound
