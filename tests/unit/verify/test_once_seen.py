"""What was once seen is never resent by itself, and what was never seen is not taken for seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from keen_client._foundation.clock import ms_to_iso
from keen_client.eventlog.entry import DeliveryState
from keen_client.verify.report import WindowReport
from keen_client.verify.verdict import Verdict

if TYPE_CHECKING:
    from tests.unit.verify.conftest import World

HOUR = 1_790_812_800_000


def looked(world: World) -> WindowReport:
    """The one window, read an hour later by a preset that resends at the first absence."""
    world.advance(hours=1)
    (window,) = world.verify().windows
    return window


def nameless_at(number: int) -> dict[str, Any]:
    """An event without stamps at the instant of so many'th."""
    return {"item": "pen", "keen": {"timestamp": ms_to_iso(HOUR + number)}}


def hide_the_first(query: dict[str, Any], result: Any) -> Any:
    """An answer about single events that lacks one of those that were counted."""
    return result[1:] if query["analysis_type"] == "count" else result


def test_a_lost_event_that_another_one_disputed_is_resent_once_that_is_gone(world: World) -> None:
    """A read that named others as missing did not see the disputed one."""
    ids = world.record(10)
    world.send(lose={ids[2], ids[9]})
    world.server.store("purchases", nameless_at(2))
    window = looked(world)
    assert (window.state, window.missing, window.disputed) == (Verdict.SHORT, (ids[9],), (ids[2],))
    world.server.events["purchases"].pop()
    window = looked(world)
    assert (window.eligible, window.vanished) == ((ids[2], ids[9]), ())


def test_an_event_that_was_seen_before_it_was_disputed_vanished(world: World) -> None:
    """A dispute does not undo what an earlier read showed."""
    ids = world.record(10)
    world.send()
    assert looked(world).state is Verdict.FINAL
    world.server.remove({ids[2], ids[9]})
    world.server.store("purchases", nameless_at(2))
    window = looked(world)
    assert (window.vanished, window.disputed) == ((ids[9],), (ids[2],))
    world.server.events["purchases"].pop()
    window = looked(world)
    assert (window.eligible, window.vanished) == ((), (ids[2], ids[9]))


def test_an_unknown_event_that_an_early_question_found_was_seen(world: World) -> None:
    """Before its window settles it is asked for by id: what acknowledges it also keeps it from a resend."""
    ids = world.record(10)
    world.send(DeliveryState.UNKNOWN, lose={ids[5]})
    assert world.verify("fast").windows[0].state is Verdict.SETTLING
    world.server.remove({ids[4]})
    world.advance(hours=8)
    world.verify("fast")
    world.advance(hours=2)
    (window,) = world.verify("fast").windows
    assert (window.missing, window.vanished, window.eligible) == ((ids[4], ids[5]), (ids[4],), (ids[5],))


def test_an_unknown_event_of_a_read_that_contradicted_itself_was_seen(world: World) -> None:
    """The read proves no absence, but what it showed whole was there."""
    ids = world.record(5)
    world.send(DeliveryState.UNKNOWN, lose={ids[0]})
    world.server.alter = hide_the_first
    assert looked(world).state is Verdict.DISPUTED
    world.server.alter = lambda query, result: result
    world.server.remove({ids[4]})
    window = looked(world)
    assert (window.vanished, window.eligible) == ((ids[4],), (ids[0],))


def test_events_around_a_disputed_one_were_seen(world: World) -> None:
    """A window disputed for one clone of an event was looked into: all of its other events were seen."""
    ids = world.record(10)
    world.send(lose={ids[5]})
    world.server.find(ids[2])[0]["kc"]["g"] += 1
    assert looked(world).state is Verdict.DISPUTED
    world.server.remove({ids[4]})
    window = looked(world)
    assert (window.missing, window.vanished, window.eligible) == ((ids[4], ids[5]), (ids[4],), (ids[5],))


def test_events_around_a_contradiction_were_not_seen(world: World) -> None:
    """A read whose totals and single events disagree vouches for nothing."""
    ids = world.record(5)
    world.send(lose={ids[0], ids[3]})
    world.server.alter = hide_the_first
    assert looked(world).state is Verdict.DISPUTED
    world.server.alter = lambda query, result: result
    window = looked(world)
    assert (window.vanished, window.eligible) == ((), (ids[0], ids[3]))


@pytest.mark.parametrize("ahead_days", [0, 40])
@pytest.mark.parametrize("unknown", [False, True])
def test_an_event_recorded_by_a_clock_that_was_ahead_was_seen(
    world: World, ahead_days: int, *, unknown: bool
) -> None:
    """What reads showed of it counts from when it was sent, whatever date its record bears."""
    world.clock.step_wall(ahead_days * 86_400)
    ids = world.record(10, at_ms=HOUR)
    world.clock.step_wall(-ahead_days * 86_400)
    world.send(DeliveryState.UNKNOWN if unknown else DeliveryState.ACKNOWLEDGED)
    assert looked(world).state is Verdict.FINAL
    world.server.remove({ids[4]})
    for _ in range(2):
        window = looked(world)
        assert (window.vanished, window.eligible) == ((ids[4],), ())


def test_a_read_from_before_an_event_was_recorded_did_not_see_it(world: World) -> None:
    """Also where its neighbours were sent before that read: it is lost, and resent."""
    world.record(10)
    world.send()
    world.advance(hours=0.05)
    assert world.verify().windows[0].state is Verdict.FINAL
    world.advance(hours=0.05)
    (late,) = world.record(1)
    world.send(lose={late})
    window = looked(world)
    assert (window.vanished, window.eligible) == ((), (late,))
