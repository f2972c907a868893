"""The verdict of one read on one window, from what was found of its events. Pure."""

from __future__ import annotations

from typing import Final

from keen_client.verify.compare import RawVerdict
from keen_client.verify.locate import LATE, Findings
from keen_client.verify.verdict import ALTERED, STRANGERS, UNEXPLAINED, Verdict

_RAW: Final[dict[RawVerdict, Verdict]] = {
    "match": Verdict.MATCH,
    "short": Verdict.SHORT,
    "excess": Verdict.EXCESS,
    "mixed": Verdict.MIXED,
    "differs": Verdict.MIXED,
}


def judge(findings: Findings, raw: RawVerdict) -> tuple[Verdict, str]:
    """The verdict and its reason.

    What a replay can mend comes before what only a person can, and a
    contradiction comes before everything.
    """
    reason = describe(findings)
    if findings.trouble:
        return Verdict.SETTLING if findings.trouble == LATE else Verdict.DISPUTED, findings.trouble
    if findings.unreadable:
        return Verdict.UNVERIFIABLE, f"{findings.unreadable} of its entries can no longer be read; {reason}"
    if findings.strangers or findings.collision:
        return Verdict.DISPUTED, reason
    exceeds = findings.duplicate or findings.unexpected
    if findings.missing:
        return Verdict.MIXED if exceeds else Verdict.SHORT, reason
    if exceeds:
        return Verdict.EXCESS, reason
    if findings.disputed:
        return Verdict.DISPUTED, reason
    if findings.corrupt or findings.altered_amounts:
        return Verdict.CORRUPT, reason
    if findings.shifted or findings.arrived:
        return _RAW[raw], reason
    return Verdict.DISPUTED, UNEXPLAINED


def describe(findings: Findings) -> str:
    """What was found, in words: ``3 missing, 1 corrupt``."""
    parts = [
        (len(findings.missing), "missing"),
        (len(findings.duplicate), "there more than once"),
        (len(findings.corrupt), "corrupt"),
        (len(findings.shifted), "at another time"),
        (len(findings.arrived), "from another window"),
        (len(findings.unexpected), "refused or dropped, and there all the same"),
        (len(findings.disputed), "perhaps among the events that lost their stamps"),
        (len(findings.collision), "under whose id another event is found"),
        (len(findings.strangers), STRANGERS),
    ]
    found = [f"{count} {words}" for count, words in parts if count]
    if findings.has_unnamed_amounts:
        found.append(ALTERED)
    return ", ".join(found)
