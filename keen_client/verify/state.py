"""The state of a window, derived from what was stored. Pure: the same observations, facts and time, the same state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from keen_client._foundation.clock import MS_PER_MINUTE, ms_to_iso
from keen_client.eventlog.dating import AHEAD_MAX_MS
from keen_client.verify.observations import Observation
from keen_client.verify.presets import Preset
from keen_client.verify.verdict import Verdict

#: The server's clock and ours may disagree by so much before no age is believed.
CLOCKS_APART_MAX_MS: Final = 5 * MS_PER_MINUTE

#: The reason of a window whose rest nobody can tell; it begins at the first look by a clock that agrees with the server's.
DATED_AHEAD: Final = "its last send is dated ahead of now, by a clock that was wrong"

_RISING: Final = frozenset({Verdict.SHORT, Verdict.MIXED, Verdict.SETTLING})


def is_apart(offset_ms: int) -> bool:
    """Whether clocks that are so far apart agree too little to be believed."""
    return abs(offset_ms) > CLOCKS_APART_MAX_MS


@attrs.frozen(kw_only=True)
class WindowFacts:
    """What the log knows of a window now. Times are UTC milliseconds since 1970; 0: never.

    ``unsent``: entries pending or in flight, ``replaying`` those of them that
    a run wants resent. ``resent_ms``: the last attempt of a replay run.
    ``clock_offset_ms``: server less local clock, None when not known.
    ``tokens_used``: whether uniqueness tokens may be honoured, so that one may
    still swallow a resend. ``failure``: why this read gave no answer; ``moved``:
    the window changed while it was read; ``unverifiable``: why it can no longer be verified.
    """

    start_ms: int
    end_ms: int
    fingerprint: str = ""
    last_attempt_ms: int = 0
    unsent: int = 0
    replaying: int = 0
    unknown: int = 0
    resent_ms: int = 0
    clock_offset_ms: int | None = None
    tokens_used: bool = True
    failure: str = ""
    moved: bool = False
    unverifiable: str = ""

    @property
    def clocks_apart(self) -> bool:
        """Whether the server's clock and ours disagree so much that no age is to be believed."""
        return self.clock_offset_ms is not None and is_apart(self.clock_offset_ms)

    def rests_since_ms(self, now_ms: int) -> int:
        """Since when nothing should have come: its end, if that is past, or the last attempt if it is later.

        A window dated in the future closes by its last attempt.
        """
        return max(self.end_ms if self.end_ms <= now_ms else 0, self.last_attempt_ms)

    def is_dated_ahead(self, now_ms: int) -> bool:
        """Whether a clock that was wrong then, or is wrong now, dated its last attempt."""
        return self.last_attempt_ms > now_ms + AHEAD_MAX_MS


@attrs.frozen
class WindowState:
    """A window's state, why, and when another read would tell more (None: no read would)."""

    state: Verdict
    reason: str
    due_ms: int | None


def window_state(
    observations: Sequence[Observation], facts: WindowFacts, preset: Preset, now_ms: int
) -> WindowState:
    """Derive the state of a window from its *observations*, in the order of their times.

    One that is dated after *now_ms* was made by a clock that went wrong: it counts for nothing.
    """
    observations = [observation for observation in observations if observation.at_ms <= now_ms]
    if facts.unverifiable:
        return WindowState(Verdict.UNVERIFIABLE, facts.unverifiable, None)
    if facts.failure:
        return WindowState(Verdict.INCOMPLETE, facts.failure, now_ms)
    settled_ms = facts.rests_since_ms(now_ms) + preset.settle_ms
    unsettled = unsettled_state(facts, preset, now_ms)
    if unsettled is not None:
        return unsettled
    last = observations[-1] if observations else None
    if last is None or last.fingerprint != facts.fingerprint or last.at_ms < settled_ms:
        return _unread(last, facts, settled_ms)
    if last.verdict is not Verdict.MATCH:
        return _difference(observations, last, facts, preset)
    return _matched(observations, facts, preset, settled_ms)


def state_when_last_read(
    observations: Sequence[Observation], facts: WindowFacts, preset: Preset
) -> Verdict | None:
    """The state to which the last of *observations* led, as far as *facts*, which are of now, tell; None: never read."""
    if not observations:
        return None
    last = observations[-1]
    then = attrs.evolve(facts, fingerprint=last.fingerprint, unsent=0, replaying=0, moved=False, failure="")
    return window_state(observations, then, preset, last.at_ms).state


def unsettled_state(facts: WindowFacts, preset: Preset, now_ms: int) -> WindowState | None:
    """Why it is too early to judge a window; None when it is not."""
    settled_ms = facts.rests_since_ms(now_ms) + preset.settle_ms
    early = (
        Verdict.REPLAYED if facts.resent_ms and facts.resent_ms >= facts.last_attempt_ms else Verdict.SETTLING
    )
    # What is dated ahead tells no time to wait for: the next look finds out whose clock is right.
    due_ms = now_ms if facts.is_dated_ahead(now_ms) else max(settled_ms, now_ms)
    if facts.unsent:
        state = Verdict.REPLAYED if facts.replaying == facts.unsent else Verdict.SETTLING
        waits = f"{facts.unsent} of its events are not sent yet"
        return WindowState(state, waits, due_ms)
    if facts.moved:
        return WindowState(early, "it changed while it was being read", due_ms)
    if now_ms < settled_ms:
        is_ahead = facts.is_dated_ahead(now_ms)
        return WindowState(early, DATED_AHEAD if is_ahead else settles_at(settled_ms), due_ms)
    if preset.settle_ms and facts.clocks_apart:
        minutes = abs(facts.clock_offset_ms or 0) // MS_PER_MINUTE
        reason = f"the server's clock and this machine's are {minutes} minutes apart"
        return WindowState(Verdict.SETTLING, reason, now_ms)
    return None


def settles_at(settled_ms: int) -> str:
    """The reason of a window that only has to rest until then."""
    return f"it settles at {ms_to_iso(settled_ms)}"


def _unread(last: Observation | None, facts: WindowFacts, settled_ms: int) -> WindowState:
    if facts.resent_ms and (last is None or last.at_ms <= facts.resent_ms):
        return WindowState(Verdict.REPLAYED, "not read since the replay", settled_ms)
    reason = "not read yet" if last is None else "not read since it changed or settled"
    return WindowState(Verdict.INCOMPLETE, reason, settled_ms)


def _difference(
    observations: Sequence[Observation], last: Observation, facts: WindowFacts, preset: Preset
) -> WindowState:
    due_ms = last.at_ms + preset.reads_apart_ms
    earlier = observations[-2] if len(observations) > 1 else None
    if (
        earlier is not None
        and last.verdict in _RISING
        and earlier.fingerprint == last.fingerprint
        and earlier.at_ms >= facts.rests_since_ms(last.at_ms)
        and facts.end_ms <= earlier.at_ms
        and last.counted > earlier.counted
    ):
        more = last.counted - earlier.counted
        return WindowState(Verdict.SETTLING, f"late events still arrive: {more} since the last read", due_ms)
    return WindowState(last.verdict, last.reason, due_ms)


def _matched(
    observations: Sequence[Observation], facts: WindowFacts, preset: Preset, settled_ms: int
) -> WindowState:
    matched: list[int] = []
    for observation in reversed(observations):
        is_same = observation.fingerprint == facts.fingerprint and observation.at_ms >= settled_ms
        if observation.verdict is not Verdict.MATCH or not is_same:
            break
        matched.append(observation.at_ms)
    matched.reverse()
    apart = _count_apart(matched, preset.matches_apart_ms)
    if apart < preset.final_matches:
        return WindowState(
            Verdict.MATCH,
            f"matched {apart} of {preset.final_matches} times",
            matched[-1] + preset.matches_apart_ms,
        )
    closed_ms = settled_ms - preset.settle_ms
    rechecks = list(preset.rechecks_ms)
    if preset.token_recheck_ms is not None and facts.tokens_used:
        rechecks.append(preset.token_recheck_ms)
    for recheck_ms in rechecks:
        if matched[-1] < closed_ms + recheck_ms:
            return WindowState(Verdict.MATCH, "to be looked at once more", closed_ms + recheck_ms)
    return WindowState(Verdict.FINAL, "", None)


def _count_apart(times: Sequence[int], apart_ms: int) -> int:
    """How many of the ascending *times* lie at least *apart_ms* after the one counted before."""
    counted: list[int] = []
    for at_ms in times:
        if not counted or at_ms >= counted[-1] + apart_ms:
            counted.append(at_ms)
    return len(counted)
