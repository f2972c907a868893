"""An hour is final by its own window or a wider one, unless a later read of any window over it found a difference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE
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
