"""The state machine: same observations, facts and time, same state."""

from __future__ import annotations

from typing import Any

import pytest

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR
from keen_client.verify.observations import Observation
from keen_client.verify.presets import preset
from keen_client.verify.state import WindowFacts, WindowState, window_state
from keen_client.verify.verdict import Verdict

END = 1_790_816_400_000
HOUR = MS_PER_HOUR
STANDARD = preset("standard")


def facts(**changes: Any) -> WindowFacts:
    made: dict[str, Any] = {
        "start_ms": END - HOUR,
        "end_ms": END,
        "fingerprint": "f",
        "last_attempt_ms": END - 5,
        **changes,
    }
    return WindowFacts(**made)


def read(hours: float, verdict: str = "match", counted: int = 5, fingerprint: str = "f") -> Observation:
    """An observation *hours* after the window's end."""
    return Observation(END + round(hours * HOUR), Verdict(verdict), "why", 5, counted, fingerprint)


def state(
    observations: list[Observation], at_hours: float, name: str = "standard", **changes: Any
) -> WindowState:
    return window_state(observations, facts(**changes), preset(name), END + round(at_hours * HOUR))


def test_a_window_settles_after_its_end_or_its_last_attempt() -> None:
    """The later of the two starts the settle time."""
    assert state([read(23)], 23) == WindowState(
        Verdict.SETTLING, "it settles at 2026-10-02T01:00:00.000Z", END + 24 * HOUR
    )
    late = END + 10 * HOUR
    assert state([read(30)], 30, last_attempt_ms=late).due_ms == late + 24 * HOUR


def test_a_window_dated_in_the_future_closes_by_its_last_attempt() -> None:
    """Its end is no bound: it can be judged before."""
    made = facts(last_attempt_ms=END - 100 * HOUR)
    seen = Observation(END - 50 * HOUR, Verdict.MATCH, "", 5, 5, "f")
    assert window_state([seen], made, STANDARD, END - 50 * HOUR).state is Verdict.MATCH


@pytest.mark.parametrize("verdict", ["short", "excess", "mixed", "corrupt", "disputed"])
def test_a_difference_is_the_state_once_settled(verdict: str) -> None:
    """The last read decides, and the next one is due five hours later."""
    found = state([read(25), read(31, verdict)], 31)
    assert found == WindowState(Verdict(verdict), "why", END + 36 * HOUR)


def test_two_matches_apart_and_a_recheck_make_it_final() -> None:
    """Standard: five hours apart, and once more at ten days."""
    assert state([read(25)], 25).due_ms == END + 30 * HOUR
    twice = [read(25), read(30)]
    assert state(twice, 30) == WindowState(Verdict.MATCH, "to be looked at once more", END + 10 * MS_PER_DAY)
    assert state([*twice, read(240)], 240) == WindowState(Verdict.FINAL, "", None)


def test_two_matches_close_together_count_once() -> None:
    """A second match after an hour adds nothing under standard."""
    assert state([read(25), read(26)], 26).reason == "matched 1 of 2 times"


def test_ledger_looks_again_after_31_days_where_tokens_are_used() -> None:
    """A token may hold an event back for 31 days; without tokens ten days are enough."""
    reads = [read(24 * 9), read(24 * 10)]
    assert state(reads, 24 * 10, "ledger").due_ms == END + 31 * MS_PER_DAY
    assert state(reads, 24 * 10, "ledger", tokens_used=False).state is Verdict.FINAL


def test_a_difference_breaks_the_row_of_matches() -> None:
    """Matches from before a difference do not count."""
    assert state([read(25), read(30, "excess"), read(240)], 240).reason == "matched 1 of 2 times"


def test_a_changed_window_has_not_been_read() -> None:
    """Observations of other content say nothing."""
    assert state([read(25, fingerprint="other")], 30).state is Verdict.INCOMPLETE
    assert state([], 30) == WindowState(Verdict.INCOMPLETE, "not read yet", END + 24 * HOUR)


def test_a_resent_window_is_replayed_until_it_is_read_again() -> None:
    """Before the settle time after a replay, and until the next read: replayed. Then the read decides."""
    resent = END + 40 * HOUR
    moved: dict[str, Any] = {"last_attempt_ms": resent, "resent_ms": resent}
    assert state([read(39, "short")], 41, **moved).state is Verdict.REPLAYED
    assert state([read(39, "short"), read(41)], 41, **moved).state is Verdict.REPLAYED
    assert state([read(39, "short")], 70, **moved).state is Verdict.REPLAYED
    assert state([read(39, "short"), read(70)], 70, **moved).state is Verdict.MATCH
    assert state([read(39, "short"), read(70, "short")], 70, **moved).state is Verdict.SHORT


def test_a_send_after_the_replay_is_settling_again() -> None:
    """A new event sent into the window later is no replay."""
    found = state([read(39, "short")], 41, last_attempt_ms=END + 41 * HOUR, resent_ms=END + 40 * HOUR)
    assert found.state is Verdict.SETTLING


def test_events_that_wait_keep_it_settling_and_intents_replayed() -> None:
    """The reason says how many."""
    assert state([read(30)], 30, unsent=2) == WindowState(
        Verdict.SETTLING, "2 of its events are not sent yet", END + 30 * HOUR
    )
    assert state([read(30)], 30, unsent=2, replaying=2).state is Verdict.REPLAYED


def test_a_rising_count_is_settling_until_it_stands() -> None:
    """Short, and more than the last time: late events still arrive."""
    assert state([read(25, "short", 3), read(30, "short", 4)], 30).state is Verdict.SETTLING
    assert state([read(25, "short", 4), read(30, "short", 4)], 30).state is Verdict.SHORT
    assert state([read(25, "short", 3), read(30, "match", 5)], 30).state is Verdict.MATCH


def test_clocks_apart_are_settling_unless_no_time_matters() -> None:
    """Six minutes are too many, but for a preset without a settle time."""
    assert state([read(30)], 30, clock_offset_ms=-360_000).state is Verdict.SETTLING
    assert state([read(30)], 30, clock_offset_ms=-240_000).state is Verdict.MATCH
    assert state([read(30)], 30, "immediate", clock_offset_ms=-360_000).state is Verdict.FINAL


def test_a_failed_read_is_incomplete_and_lost_knowledge_unverifiable() -> None:
    """Whatever was seen before."""
    assert state([read(30)], 30, failure="503") == WindowState(Verdict.INCOMPLETE, "503", END + 30 * HOUR)
    assert state([read(30)], 30, unverifiable="gone") == WindowState(Verdict.UNVERIFIABLE, "gone", None)


def test_immediate_is_final_at_the_first_match() -> None:
    """No settle time, no second look."""
    assert state([read(0)], 0, "immediate") == WindowState(Verdict.FINAL, "", None)
