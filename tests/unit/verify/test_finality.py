"""An hour is final by its own window, a wider one or all narrower ones, unless a later read over it found a difference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE
from keen_client.eventlog.entry import DeliveryState
from keen_client.events.identity import EntryId
from keen_client.verify.finality import Finality
from keen_client.verify.observations import Observation, Observations
from keen_client.verify.presets import preset
from keen_client.verify.verdict import Verdict
from keen_client.verify.windows import Scope

if TYPE_CHECKING:
    from tests.unit.verify.conftest import World

HOUR = 1_790_812_800_000
DAY = Scope(HOUR, HOUR + MS_PER_DAY, MS_PER_DAY)


def is_final(world: World, hour: int = HOUR // MS_PER_HOUR) -> bool:
    """What retention would be told, by the preset that is satisfied with one match."""
    return Finality(world.log, world.clock, preset("immediate"))("purchases", hour)


def read(world: World, width_ms: int) -> Verdict:
    """The state of the first window of that width, read an hour later."""
    world.advance(hours=1)
    scope = DAY if width_ms == MS_PER_DAY else Scope(HOUR, HOUR + MS_PER_HOUR, width_ms)
    return world.verifier().verify(scope).windows[0].state


@pytest.mark.parametrize("width_ms", [MS_PER_MINUTE, MS_PER_HOUR, MS_PER_DAY])
def test_a_later_difference_in_any_width_ends_it_until_that_width_matches_again(
    world: World, width_ms: int
) -> None:
    """The final window of another width knows nothing of what went since."""
    ids = world.record(3)
    world.record(1, at_ms=HOUR + 5 * MS_PER_HOUR)
    world.send()
    final_ms = MS_PER_HOUR if width_ms == MS_PER_DAY else MS_PER_DAY
    assert read(world, final_ms) is Verdict.FINAL
    assert is_final(world)
    kept = world.server.find(ids[1])
    world.server.remove({ids[1]})
    assert read(world, width_ms) is Verdict.SHORT
    assert not is_final(world)
    if final_ms == MS_PER_DAY and width_ms == MS_PER_HOUR:
        assert is_final(world, HOUR // MS_PER_HOUR + 5)  # no read of that hour differed
    world.server.events["purchases"] += kept
    assert read(world, width_ms) is Verdict.FINAL
    assert is_final(world)


def test_a_later_match_of_the_final_window_outweighs_an_older_difference(world: World) -> None:
    """What was short in one width, and matched since in another, is no obstacle."""
    ids = world.record(3)
    world.send()
    kept = world.server.find(ids[1])
    world.server.remove({ids[1]})
    assert read(world, MS_PER_HOUR) is Verdict.SHORT
    world.server.events["purchases"] += kept
    assert read(world, MS_PER_DAY) is Verdict.FINAL
    assert is_final(world)


@pytest.mark.parametrize(
    ("verdict", "after_ms"), [(Verdict.SETTLING, 5), (Verdict.SHORT, MS_PER_DAY), (Verdict.MATCH, 5)]
)
def test_what_was_too_early_to_tell_or_lies_in_the_future_is_no_difference(
    world: World, verdict: Verdict, after_ms: int
) -> None:
    """An event on its way into another hour of the day says nothing of this one."""
    world.record(3)
    world.send()
    assert read(world, MS_PER_HOUR) is Verdict.FINAL
    at_ms = world.clock.wall_ms() + after_ms
    world.advance(hours=1)
    one = Observation(at_ms, verdict, "", 3, 2, "f")
    Observations(world.log.state).add("purchases", MS_PER_DAY, [(HOUR, one)])
    assert is_final(world)


QUARTER = 15 * MS_PER_MINUTE


@pytest.mark.parametrize("width_ms", [MS_PER_MINUTE, QUARTER, 30 * MS_PER_MINUTE])
def test_an_hour_of_which_all_narrower_windows_are_final_is_final(world: World, width_ms: int) -> None:
    """Whoever verifies by quarters of an hour has no other windows; empty ones are not waited for."""
    world.record(3)
    world.record(1, at_ms=HOUR + 40 * MS_PER_MINUTE)
    world.send()
    assert not is_final(world)
    assert read(world, width_ms) is Verdict.FINAL
    assert is_final(world)
    assert not is_final(world, HOUR // MS_PER_HOUR + 1)


def test_one_narrower_window_that_is_not_final_keeps_its_hour(world: World) -> None:
    """It may have been read short, or not at all, or an event came since."""
    world.record(3)
    (lost,) = world.record(1, at_ms=HOUR + 40 * MS_PER_MINUTE)
    world.send(lose=[lost])
    assert read(world, QUARTER) is Verdict.FINAL
    assert not is_final(world)
    world.clock.advance(1)
    world.verifier().verify(Scope(HOUR, HOUR + QUARTER, QUARTER))
    assert not is_final(world)


def test_an_event_recorded_into_an_hour_that_was_final_by_quarters_ends_that(world: World) -> None:
    """Its quarter was never read."""
    world.record(3)
    world.send()
    assert read(world, QUARTER) is Verdict.FINAL
    assert is_final(world)
    world.record(1, at_ms=HOUR + 50 * MS_PER_MINUTE)
    world.send()
    assert not is_final(world)


def test_a_later_difference_over_an_hour_of_quarters_ends_it(world: World) -> None:
    """The oldest of their reads counts: what went since any of them is not known to them."""
    ids = world.record(3)
    world.send()
    assert read(world, QUARTER) is Verdict.FINAL
    world.server.remove({ids[1]})
    assert read(world, MS_PER_DAY) is Verdict.SHORT
    assert not is_final(world)


def refuse(world: World, count: int) -> list[EntryId]:
    """Events that the server refused for good."""
    ids = world.record(count)
    world.send(DeliveryState.REJECTED, lose=ids)
    return ids


@pytest.mark.parametrize("is_dropped", [False, True])
def test_an_hour_in_which_all_was_refused_or_dropped_is_final_unread(world: World, is_dropped: bool) -> None:
    """Nothing is expected of it, so no night reads it; its segment need not wait for what never comes."""
    ids = refuse(world, 2)
    if is_dropped:
        world.log.dead_letters.drop(ids)
    assert is_final(world)


@pytest.mark.parametrize("state", [DeliveryState.ACKNOWLEDGED, DeliveryState.UNKNOWN, None])
def test_an_hour_with_one_event_that_is_expected_or_open_is_not(
    world: World, state: DeliveryState | None
) -> None:
    """Beside dead letters too."""
    refuse(world, 2)
    assert is_final(world)
    world.record(1)
    if state is not None:
        world.send(state)
    assert not is_final(world)


def test_a_dead_letter_that_is_sent_again_is_waited_for(world: World) -> None:
    """It is expected from then on."""
    ids = refuse(world, 2)
    world.log.dead_letters.retry(ids[:1])
    assert not is_final(world)
    world.send()
    assert not is_final(world)
    assert read(world, MS_PER_HOUR) is Verdict.FINAL
    assert is_final(world)


def test_an_hour_without_expectation_is_not_final_where_entries_may_be_lost(world: World) -> None:
    """A segment of the day cannot be read any more: what was expected of it nobody knows."""
    ids = refuse(world, 2)
    with world.log.state.transaction() as db:
        db.execute("UPDATE origins SET status = 'damaged' WHERE origin = ?", (ids[0].origin,))
    assert not is_final(world)
