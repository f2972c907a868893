"""Verifiers that are wrong on purpose: from each one rule was taken, and a recorded fortnight shows it.

A rule whose loss no simulation notices is not tested by it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import MappingProxyType
from typing import Any, Final
from unittest.mock import patch

import attrs

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR
from keen_client.eventlog.expectation import Window
from keen_client.verify.compare import Comparison, compare
from keen_client.verify.level_zero import ServerWindow
from keen_client.verify.presets import PRESETS, Preset
from keen_client.verify.state import WindowFacts


@attrs.frozen(kw_only=True)
class Mutant:
    """One rule gone.

    ``patches``: what stands in for which names of the package. ``scenario``:
    one in which that does wrong with the suite's seed, and ``wrong``: what is
    said of it then.
    """

    name: str
    patches: Mapping[str, Any]
    scenario: str
    wrong: str

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Until the end of the block, it is the verifier."""
        with ExitStack() as stack:
            for target, value in self.patches.items():
                stack.enter_context(patch(f"keen_client.{target}", value))
            yield


def _with(name: str, **changes: Any) -> Mapping[str, Preset]:
    """The presets, with other values in one of them."""
    return MappingProxyType({**PRESETS, name: attrs.evolve(PRESETS[name], **changes)})


def _rests_since_its_end(facts: WindowFacts, now_ms: int) -> int:
    return facts.end_ms if facts.end_ms <= now_ms else 0


def _is_shown_whenever_counted(absence: Any, preset: Preset) -> bool:
    return bool(absence.reads >= preset.reads_before_replay and absence.is_at_rest)


def _is_of_whenever_counted(row: Any, attempt: Any, settle_ms: int = 0) -> bool:
    return bool(row.copies == attempt.a and row.last_ms >= attempt.last_ms)


def _by_counts(local: Window, server: ServerWindow, audited: Collection[str]) -> Comparison:
    whole = compare(local, server, audited)
    deltas = {origin: delta for origin, delta in whole.deltas.items() if delta.n}
    return Comparison(whole.verdict if deltas else "match", deltas)


def _always(*_: object, **__: object) -> int:
    return 0


MUTANTS: Final = (
    Mutant(
        name="settles in an hour",
        patches={"verify.presets.PRESETS": _with("standard", settle_ms=MS_PER_HOUR)},
        scenario="every-six-hours",
        wrong="resent although present",
    ),
    Mutant(
        name="settles in a day what may be late by a week",
        patches={"verify.presets.PRESETS": _with("ledger", settle_ms=MS_PER_DAY)},
        scenario="a-week-of-delay-under-ledger",
        wrong="copies made by the client",
    ),
    Mutant(
        name="settles from a window's end, whenever its events were sent",
        patches={
            "verify.state.WindowFacts.rests_since_ms": _rests_since_its_end,
            "verify.evidence._Row.is_of": _is_of_whenever_counted,
            "verify.evidence.Absence.is_shown": _is_shown_whenever_counted,
        },
        scenario="every-six-hours",
        wrong="resent although present",
    ),
    Mutant(
        name="compares counts only",
        patches={"verify.examination.compare": _by_counts},
        scenario="lost-and-doubled",
        wrong="is match, but the server lacks",
    ),
    Mutant(
        name="forgets that an event was seen",
        patches={"verify.evidence.STICKY": frozenset()},
        scenario="vanished-and-came-back",
        wrong="copies made by the client",
    ),
    Mutant(
        name="takes another token in the next run",
        patches={"verify.presets.PRESETS": _with("standard", second_tier_after_ms=MS_PER_HOUR)},
        scenario="week-late-with-tokens",
        wrong="copies made by the client",
    ),
    Mutant(
        name="does not compare clocks",
        patches={"verify.state.CLOCKS_APART_MAX_MS": MS_PER_DAY},
        scenario="clock-an-hour-behind",
        wrong="resent although present",
    ),
    Mutant(
        name="resends what is unknown without asking",
        patches={"delivery.policy.Policy.resend_unknown_since_ms": _always},
        scenario="tokens=off",
        wrong="copies made by the client",
    ),
)
