"""A read that nobody can date is not remembered: neither as a match nor as an absence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR
from keen_client.api.cost import ServerClock
from keen_client.eventlog.entry import DeliveryState
from keen_client.events.identity import EntryId
from keen_client.verify.evidence import Evidence
from keen_client.verify.finality import Finality
from keen_client.verify.observations import Observations
from keen_client.verify.presets import preset
from keen_client.verify.report import VerifyReport
from keen_client.verify.verdict import Verdict

if TYPE_CHECKING:
    from tests.unit.verify.conftest import World

HOUR = 1_790_812_800_000
AHEAD_DAYS = 11


def verified(world: World, name: str = "standard", *, ahead_days: int = 0) -> VerifyReport:
    """A verification with this machine's clock so far ahead of the server's, for as long as it takes."""
    server_ms = world.clock.wall_ms()
    world.clock.step_wall(ahead_days * 86_400)
    world.server.server_clock = ServerClock(
        server_ms=server_ms, local_ms=world.clock.wall_ms(), elapsed_seconds=0.1
    )
    report = world.verify(name)
    world.clock.step_wall(-ahead_days * 86_400)
    return report


def stored(world: World) -> int:
    """How many observations there are."""
    observed = Observations(world.log.state).read("purchases", HOUR, HOUR + MS_PER_HOUR, MS_PER_HOUR)
    return sum(map(len, observed.values()))


def absences_of(world: World, entry_id: EntryId) -> int:
    """How many absences of it count."""
    evidence = Evidence(world.log.state, Observations(world.log.state))
    return evidence.absences([entry_id])[entry_id].reads


def test_a_match_read_with_clocks_apart_makes_nothing_final(world: World) -> None:
    """One match dated eleven days ahead and one of today are not two matches and a recheck after ten days."""
    world.record(3)
    world.send()
    world.advance(hours=26)
    (window,) = verified(world, ahead_days=AHEAD_DAYS).windows
    assert window.state is Verdict.SETTLING
    assert stored(world) == 0
    world.advance(hours=6)
    (window,) = verified(world).windows
    assert (window.state, window.reason) == (Verdict.MATCH, "matched 1 of 2 times")
    assert not Finality(world.log, world.clock, preset("standard"))("purchases", HOUR // MS_PER_HOUR)


def test_a_match_that_was_stored_ahead_of_its_time_hides_no_loss(world: World) -> None:
    """A log may hold one from before: until its date has come it counts for nothing."""
    ids = world.record(3)
    world.send()
    world.advance(hours=26)
    verified(world)
    with world.log.state.transaction() as db:
        db.execute("UPDATE observations SET at_ms = at_ms + ?", (AHEAD_DAYS * MS_PER_DAY,))
    world.server.remove({ids[1]})
    world.advance(hours=6)
    (window,) = verified(world).windows
    assert (window.state, window.missing, window.reads, window.was) == (Verdict.SHORT, (ids[1],), 1, None)
    world.advance(hours=6)
    (window,) = verified(world).windows
    assert (window.state, window.eligible) == (Verdict.SHORT, (ids[1],))


@pytest.mark.parametrize("ahead_days", [AHEAD_DAYS, -AHEAD_DAYS])
def test_an_absence_read_with_clocks_apart_does_not_count(world: World, ahead_days: int) -> None:
    """Not even under a preset that asks for no patience: nobody knows how long ago the last send was."""
    ids = world.record(3)
    world.send(lose={ids[1]})
    (window,) = verified(world, "immediate", ahead_days=ahead_days).windows
    assert window.eligible == ()
    assert absences_of(world, ids[1]) == stored(world) == 0
    (window,) = verified(world, "immediate").windows
    assert window.eligible == (ids[1],)


def test_an_absence_that_was_counted_ahead_of_its_time_is_counted_anew(world: World) -> None:
    """A log may hold one from before: it neither counts nor keeps later ones from counting."""
    ids = world.record(3)
    world.send(lose={ids[1]})
    world.advance(hours=26)
    verified(world)
    with world.log.state.transaction() as db:
        db.execute("UPDATE evidence SET last_ms = last_ms + ?", (AHEAD_DAYS * MS_PER_DAY,))
    for eligible in ((), (ids[1],)):
        world.advance(hours=6)
        assert verified(world).windows[0].eligible == eligible


def test_an_unknown_event_of_such_a_read_was_seen(world: World) -> None:
    """That it is there needs no date: it is acknowledged, and absent later it is not resent."""
    ids = world.record(3)
    world.send(DeliveryState.UNKNOWN)
    verified(world, ahead_days=AHEAD_DAYS)
    assert world.log.outbox.backlog().unknown == 0
    world.server.remove({ids[1]})
    for _ in range(2):
        world.advance(hours=26)
        (window,) = verified(world).windows
    assert (window.vanished, window.eligible) == ((ids[1],), ())
