"""The words for what a verification concludes, and the bit of the exit status that each sets."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Verdict(StrEnum):
    """The state of a window; the verdict of a single read uses the same words.

    - ``match``: the stamps' multisets and the totals of the audited properties are equal.
    - ``final``: matched as often and as late as the preset asks.
    - ``short``, ``excess``, ``mixed``: events lack, are there more than once, or both.
    - ``corrupt``: all are there, but some lost or changed properties.
    - ``disputed``: what the server shows contradicts itself or the log; nothing is resent.
    - ``settling``: too early to tell. ``replayed``: resent by a run, not confirmed yet.
    - ``incomplete``: not read, and the reason says why. ``unverifiable``: cannot be read any more.
    """

    MATCH = "match"
    FINAL = "final"
    SHORT = "short"
    EXCESS = "excess"
    MIXED = "mixed"
    CORRUPT = "corrupt"
    DISPUTED = "disputed"
    SETTLING = "settling"
    REPLAYED = "replayed"
    INCOMPLETE = "incomplete"
    UNVERIFIABLE = "unverifiable"


#: The bit that a window in this state sets in the exit status.
EXIT_BITS: Final = MappingProxyType(
    {
        Verdict.MATCH: 0,
        Verdict.FINAL: 0,
        Verdict.SHORT: 4,
        Verdict.EXCESS: 8,
        Verdict.MIXED: 12,
        Verdict.CORRUPT: 16,
        Verdict.DISPUTED: 16,
        Verdict.SETTLING: 32,
        Verdict.INCOMPLETE: 32,
        Verdict.UNVERIFIABLE: 32,
        Verdict.REPLAYED: 64,
    }
)

#: Why a read proved nothing: stored as its reason, so a later version has to know these words too.
CONTRADICTION: Final = "the totals and the single events that the server shows contradict each other"

#: What a read can have found without naming all the events that it is about; stored within its reason, as above.
ALTERED: Final = "audited amounts are altered"
STRANGERS: Final = "of our origins and not in the log"
UNEXPLAINED: Final = "the totals differ, and no single event does"
UNNAMED: Final = (ALTERED, STRANGERS, UNEXPLAINED)

#: Verdicts of one read that account for every expected event of the window: it was seen, or listed as missing.
ACCOUNTED: Final = frozenset({Verdict.MATCH, Verdict.SHORT, Verdict.EXCESS, Verdict.MIXED, Verdict.CORRUPT})
