"""The plan of a replay: what would be resent, under which token, and why not more. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from keen_client.events.identity import EntryId
from keen_client.replay.undo import Deletion
from keen_client.verify.presets import Preset
from keen_client.verify.report import VerifyReport, WindowReport
from keen_client.verify.resends import Resends, token_tier
from keen_client.verify.verdict import EXIT_BITS, Verdict

SCHEMA: Final = 1

#: A window that lacks more than both of these stops a replay: that is more likely a wrong key than a loss.
WINDOW_SHARE_MAX: Final = 0.05
WINDOW_COUNT_MAX: Final = 100
#: The same for a whole run.
RUN_SHARE_MAX: Final = 0.05
RUN_COUNT_MAX: Final = 1_000


@attrs.frozen
class Intent:
    """One event to be resent, with the token tier that the resend will use."""

    id: EntryId
    tier: int


def breaker(report: VerifyReport, wanted: Sequence[EntryId], max_replay: int | None) -> str:
    """Why a replay of *wanted* must not go ahead unasked; empty when it may."""
    if max_replay is not None:
        if len(wanted) > max_replay:
            return f"{len(wanted):,} events are to be resent, more than --max-replay {max_replay:,}"
        return ""
    chosen = set(wanted)
    for window in report.windows:
        count = sum(entry_id in chosen for entry_id in window.eligible)
        expected = window.local_count or 0
        if count > WINDOW_COUNT_MAX and count > WINDOW_SHARE_MAX * expected:
            return (
                f"a window of {window.collection} lacks {count:,} of {expected:,} events, more than 5 %: "
                "a wrong key or project is likelier than such a loss"
            )
    scope = sum(window.local_count or 0 for window in report.windows)
    if len(wanted) > RUN_COUNT_MAX and len(wanted) > RUN_SHARE_MAX * scope:
        return (
            f"{len(wanted):,} of {scope:,} events are to be resent, more than 5 %: "
            "a wrong key or project is likelier than such a loss"
        )
    return ""


@attrs.frozen(kw_only=True)
class ReplayReport:
    """What a replay did, or would do (``is_dry_run``).

    ``run`` is the number of the replay run, None when nothing was sent.
    ``planned`` were eligible; ``replayed`` were resent and answered with
    success; ``unsettled`` were handed to the sender and are not answered yet;
    ``found`` turned out to be there when asked once more. ``stopped`` says why
    the plan was not carried out, empty when it was. ``undo``: how a finished run
    could be undone.
    """

    is_dry_run: bool
    verification: VerifyReport
    run: int | None = None
    planned: tuple[Intent, ...] = ()
    replayed: tuple[EntryId, ...] = ()
    unsettled: tuple[EntryId, ...] = ()
    found: tuple[EntryId, ...] = ()
    stopped: str = ""
    undo: tuple[Deletion, ...] = ()

    def exit_status(self) -> int:
        """Bits of the windows: those whose missing events were all resent await confirmation (64)."""
        if self.is_dry_run or self.stopped:
            return self.verification.exit_status()
        resent = {*self.replayed, *self.unsettled}
        status = self.verification.common_bits
        for window in self.verification.windows:
            status |= EXIT_BITS[self._state_after(window, resent)]
        return status

    @staticmethod
    def _state_after(window: WindowReport, resent: set[EntryId]) -> Verdict:
        if window.state is Verdict.SHORT and window.missing and resent.issuperset(window.missing):
            return Verdict.REPLAYED
        return window.state

    def document(self) -> dict[str, Any]:
        """The JSON document of ``replay --json``."""
        return {
            "schema": SCHEMA,
            "dry_run": self.is_dry_run,
            "run": self.run,
            "planned": len(self.planned),
            "replayed": len(self.replayed),
            "unsettled": len(self.unsettled),
            "found": [str(entry_id) for entry_id in self.found],
            "stopped": self.stopped or None,
            "undo": [deletion.document() for deletion in self.undo],
            "events": [{"id": str(intent.id), "tier": intent.tier} for intent in self.planned],
            "verify": self.verification.document(),
        }


def intents_for(
    ids: Sequence[EntryId], earlier: Mapping[EntryId, Resends], preset: Preset, now_ms: int
) -> tuple[Intent, ...]:
    """The intents for *ids*, by (origin, seq)."""
    return tuple(
        Intent(entry_id, token_tier(earlier.get(entry_id), preset, now_ms)) for entry_id in sorted(ids)
    )
