"""A fortnight under every fault, under some pairs of them, and under the worst that really happened."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable

import pytest

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR
from keen_client.server.faults import NAMES
from keen_client.verify.report import WindowReport
from keen_client.verify.verdict import Verdict
from tests.simulation.fortnight import HOURS, Fortnight, run
from tests.simulation.invariants import FIRST_OF_A_RUN
from tests.simulation.reached import EVERYTHING
from tests.simulation.scenarios import (
    SEED,
    SINGLES,
    TALES,
    Scenario,
    by_name,
    midnight_ms,
)

#: Fortnights that together come to every rung of the ladder, every finding and every state.
REACHING = (
    "lose",
    "shift",
    "vanish",
    "null-properties",
    "truncated",
    "lost-and-doubled",
    "a-clone-runs",
    "others-write-too",
    "others-write-at-the-same-instants",
)


@functools.cache
def ran(name: str) -> Fortnight:
    """The fortnight of a scenario, simulated once for all tests that look at it."""
    return run(by_name(name), SEED)


def _ids(scenario: Scenario) -> str:
    return scenario.name


@pytest.mark.parametrize("scenario", SINGLES, ids=_ids)
def test_a_fault_of_the_server_is_mended_or_named(scenario: Scenario) -> None:
    """Nothing is counted twice, no match is false, and in the end all is there once or named."""
    ran(scenario.name)


@pytest.mark.parametrize("scenario", TALES, ids=_ids)
def test_what_happens_over_days_is_mended_or_named(scenario: Scenario) -> None:
    """The same of faults that come and go, of clocks, clones and other producers."""
    ran(scenario.name)


def test_every_fault_that_the_server_knows_is_simulated() -> None:
    """A fault without a fortnight of its own would be one of which nothing is shown."""
    alone = {name for scenario in SINGLES for name in scenario.all_faults if scenario.name.startswith(name)}
    assert alone == set(NAMES)


def test_the_same_seed_makes_the_same_history() -> None:
    """Two runs send the same events at the same moments, again under the same names, and count the same faults."""
    one, other = (run(by_name("lose+cut-after-store"), SEED + 4) for _ in range(2))
    assert one.world.wire.sent == other.world.wire.sent
    assert one.counters == other.counters
    assert one.end == other.end


def test_no_rung_of_the_ladder_and_no_finding_is_left_out() -> None:
    """Simulations that never came to a question, a finding or a state would show nothing of it."""
    reached = set[str]().union(*(ran(name).reached for name in REACHING))
    assert reached == EVERYTHING


# ---- tales ---------------------------------------------------------------------------------


def _tokens_of_copies(fortnight: Fortnight) -> dict[str, list[str]]:
    """The token of the last send of each event that a run resent, and every tier before it."""
    return {
        entry_id: [sent.token for sent in sends if sent.a >= FIRST_OF_A_RUN]
        for entry_id, sends in fortnight.world.wire.sent.items()
        if any(sent.a >= FIRST_OF_A_RUN for sent in sends)
    }


def _of_day(windows: Iterable[WindowReport], day: int) -> list[WindowReport]:
    return [w for w in windows if midnight_ms(day) <= w.start_ms < midnight_ms(day + 1)]


def test_events_lost_with_their_tokens_remembered_come_back_under_a_second_tier_token_once() -> None:
    """The trap: resends under the same token are swallowed; after eight days one under the next tier lands, once."""
    fortnight = ran("trap")
    resent = _tokens_of_copies(fortnight)
    assert len(resent) == fortnight.counters["lose-keep-token"]
    for entry_id, tokens in resent.items():
        assert tokens[0] == entry_id, "the first resend uses the token that a delayed original would have"
        assert Counter(tokens)[f"{entry_id}~1"] == 1
        assert tokens[-1] == f"{entry_id}~1"
        sends = [s for s in fortnight.world.wire.sent[entry_id] if s.a >= FIRST_OF_A_RUN]
        assert sends[-1].at_ms - sends[0].at_ms >= 8 * MS_PER_DAY
    assert fortnight.end is not None
    assert {w.state for w in _of_day(fortnight.end.windows, 4)} <= {Verdict.MATCH, Verdict.FINAL}


def test_a_day_that_surfaces_a_week_late_is_named_at_the_next_check_and_never_under_a_match() -> None:
    """Replayed meanwhile without tokens, every event is there twice: the first look at its window names it."""
    fortnight = ran("week-late")
    end = fortnight.end
    assert end is not None
    named = {str(entry_id) for window in end.windows for entry_id in window.duplicate}
    resent = set(_tokens_of_copies(fortnight))
    assert resent
    assert named == resent
    assert {str(w.state) for w in _of_day(end.windows, 3)} == {"excess"}
    by_night = {day: _of_day(night.after.windows, 3) for day, night in fortnight.nights.items()}
    assert Verdict.MATCH in {w.state for day, found in by_night.items() if day < 10 for w in found}
    looks = [found for day, found in sorted(by_night.items()) if day >= 10 and found]
    assert {str(i) for w in looks[0] for i in w.duplicate} == resent
    assert {w.state for found in looks for w in found} == {Verdict.EXCESS}


def test_nulls_and_duplicates_of_the_server_are_named_and_never_resent() -> None:
    """Each is named in the end, as what it is; no run ever begins, and no event is sent twice."""
    fortnight = ran("duplicate+null-properties")
    assert fortnight.end is not None
    named = [(w.duplicate, w.corrupt) for w in fortnight.end.windows]
    assert len({i for duplicate, _ in named for i in duplicate}) == fortnight.counters["duplicate"]
    assert len({i for _, corrupt in named for i in corrupt}) == fortnight.counters["null-properties"]
    assert {night.replay.run for night in fortnight.nights.values()} == {None}
    assert all(len(sends) == 1 for sends in fortnight.world.wire.sent.values())


def test_events_of_others_are_counted_and_hinder_no_replay() -> None:
    """With and without stamps they are foreign; what is lost among them is found, resent, and matches."""
    fortnight = ran("others-write-too")
    assert fortnight.end is not None
    assert {w.foreign for w in fortnight.end.windows if w.local_count} >= {5}
    assert _tokens_of_copies(fortnight)


def test_an_absentee_that_an_event_of_others_could_be_is_disputed_and_never_resent() -> None:
    """An event without stamps and token at its very instant may be what is left of it."""
    fortnight = ran("others-write-at-the-same-instants")
    assert fortnight.end is not None
    disputed = {str(i) for w in fortnight.end.windows for i in w.disputed}
    assert disputed
    assert disputed.isdisjoint(_tokens_of_copies(fortnight))


def test_events_of_a_running_clone_under_our_ids_are_collisions_and_ours_never_resent() -> None:
    """Whether the clone's event came beside ours or its token swallowed ours: it is named, and a person decides."""
    fortnight = ran("a-clone-runs")
    assert fortnight.end is not None
    named = {str(i) for w in fortnight.end.windows for i in w.collision}
    assert named == set(fortnight.world.impostors)
    assert named.isdisjoint(_tokens_of_copies(fortnight))


def test_a_day_that_surfaces_within_the_patience_of_its_tokens_is_there_once() -> None:
    """Resent meanwhile under the tokens that the delayed ones have: the resends are dropped, and all of it matches."""
    fortnight = ran("week-late-with-tokens")
    resent = _tokens_of_copies(fortnight)
    assert resent
    assert all(set(tokens) == {entry_id} for entry_id, tokens in resent.items())
    assert fortnight.end is not None
    assert not any(window.duplicate for window in fortnight.end.windows)


def test_a_lost_day_stops_the_breaker_until_a_person_allows_it() -> None:
    """Nothing of it is resent before; then everything is, once, and it matches."""
    fortnight = ran("day-lost")
    stopped = {day: night.replay.stopped for day, night in fortnight.nights.items() if night.replay.stopped}
    assert stopped
    assert set(stopped) <= set(range(9))
    assert all("more than 5 %" in reason for reason in stopped.values())
    resent = _tokens_of_copies(fortnight)
    assert len(resent) == fortnight.counters["forget"]
    first = min(s.at_ms for sends in fortnight.world.wire.sent.values() for s in sends if s.a >= 100)
    assert first >= midnight_ms(10)


@pytest.mark.parametrize("name", ["clock-an-hour-off", "clock-an-hour-behind"])
def test_nothing_is_concluded_while_the_clocks_disagree(name: str) -> None:
    """An hour apart, no age is believed: no replay, no match; once they agree again, all is mended."""
    scenario = by_name(name)
    fortnight = ran(scenario.name)
    since, until = sorted(scenario.offset_hours)
    for day in range(since, until):
        night = fortnight.nights[day]
        assert night.replay.run is None
        assert night.before.warnings
        assert {w.state for w in night.before.windows} <= {Verdict.SETTLING, Verdict.REPLAYED}
    assert any(night.replay.run for day, night in fortnight.nights.items() if day >= until)


def test_a_late_event_opens_a_window_again_that_was_final() -> None:
    """Back-filled events make a final window due again, and it comes to match with them in it."""
    scenario = by_name("back-filled")
    fortnight = ran(scenario.name)
    late_day, old_day = max(scenario.backfill.items())
    first = HOURS[0] * MS_PER_HOUR + midnight_ms(old_day)
    states = {
        day: next((w.state for w in night.after.windows if w.start_ms == first), None)
        for day, night in fortnight.nights.items()
    }
    assert Verdict.FINAL in [state for day, state in states.items() if day < late_day]
    after = [state for day, state in states.items() if day >= late_day and state is not None]
    assert after, "the window was looked at again"
    assert after[-1] is Verdict.MATCH
    assert Verdict.FINAL not in after


def test_an_event_that_vanished_before_it_was_seen_and_comes_back_is_named() -> None:
    """To every query it was lost, so it was resent under the next tier; what came back is a duplicate, and named."""
    fortnight = ran("vanished-before-it-was-seen")
    assert fortnight.end is not None
    named = {str(entry_id) for window in fortnight.end.windows for entry_id in window.duplicate}
    assert named
    assert {i.partition("~")[0] for tokens in _tokens_of_copies(fortnight).values() for i in tokens} >= named


def test_an_event_that_vanished_after_it_was_seen_is_never_resent() -> None:
    """It stays missing by name until it comes back; then its window matches again, with one copy of it."""
    fortnight = ran("vanished-and-came-back")
    assert _tokens_of_copies(fortnight) == {}, "no run resent any, in all the nights that missed them"
    vanished = {
        str(entry_id)
        for night in fortnight.nights.values()
        for window in night.after.windows
        for entry_id in window.vanished
    }
    assert vanished


@pytest.mark.parametrize("name", ["proxy-and-cut-lines", "proxy-and-cut-lines-without-tokens"])
def test_proxies_and_cut_lines_together_make_no_copies(name: str) -> None:
    """Most requests have no usable answer; with tokens they are sent again, without a query settles them."""
    ran(name)
