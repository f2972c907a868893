"""What simulated fortnights have reached: rungs of the ladder, findings and states. What reached nothing shows nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from keen_client.server.faults import NAMES
from keen_client.verify.report import VerifyReport
from keen_client.verify.verdict import Verdict
from keen_client.verify.windows import INTERVALS, WIDTHS_MS

#: The questions of the ladder, and suspects named from sums alone (``signature``).
STEPS: Final = (
    "windows",
    "signature",
    "narrower",
    "blocks",
    "ids",
    "each event",
    "null group",
    "totals once more",
)
#: What a window's report names, by its attributes.
KINDS: Final = (
    "missing",
    "duplicate",
    "corrupt",
    "shifted",
    "collision",
    "disputed",
    "vanished",
    "eligible",
    "foreign",
)
#: No fault of the server makes entries unreadable: `tests/unit/verify` reaches that state.
#: And a night reads no window that settles: in a swarm somebody looks at any time.
STATES: Final = tuple(
    f"state {verdict}" for verdict in Verdict if verdict not in (Verdict.UNVERIFIABLE, Verdict.SETTLING)
)
#: All that a campaign has to have reached.
EVERYTHING: Final = frozenset((*STEPS, *KINDS, *STATES))
#: What a swarm has to have reached besides: each fault, and what befalls the client's own machine.
OF_THE_MACHINE: Final = frozenset(
    {
        "away",
        "back-filled into a final window",
        "busy",
        "clock an hour ahead",
        "clock an hour behind",
        "clock years ahead",
        "clock years behind",
        "cloned",
        "died at answer",
        "died at request",
        "died at segment commit",
        "died at segment committed",
        "died at state commit",
        "died at state committed",
        "down",
        "duplicated",
        "late",
        "lost",
        "lost power",
        "lost with the power",
        "reclaimed",
        "recorded within a night",
        "recorded without a receipt",
        "refused",
        "reset",
        "restored from a backup",
        "second night refused",
        "stable",
        "stale",
        "took turns",
        "unsent",
        "verified within a night",
    }
)
#: The token modes are no faults, and have no counter.
EVERYTHING_IN_A_SWARM: Final = (
    EVERYTHING | OF_THE_MACHINE | {f"state {Verdict.SETTLING}"} | (frozenset(NAMES) - {"tokens"})
)


def step_of(analysis: str, question: Mapping[str, Any]) -> str | None:
    """The rung that a query of level 0 or below stands on; None: of none of them."""
    group_by = question.get("group_by") or ()
    match analysis:
        case "multi_analysis" if "kc.b" in group_by:
            return "blocks"
        case "multi_analysis" if "interval" in question:
            is_widest = question["interval"] == INTERVALS[WIDTHS_MS["1h"]]
            return "windows" if is_widest else "narrower"
        case "multi_analysis":
            return "totals once more"
        case "count" if "keen.uniqueness_token" in group_by:
            return "ids"
        case "count" if "kc.id" in group_by:
            return "each event"
        case "extraction" if question["filters"][0]["operator"] == "or":
            return "null group"
    return None


def found_in(reports: Iterable[VerifyReport]) -> set[str]:
    """The findings and states of *reports*."""
    windows = [window for report in reports for window in report.windows]
    kinds = {kind for window in windows for kind in KINDS if getattr(window, kind)}
    return kinds | {f"state {window.state}" for window in windows}
