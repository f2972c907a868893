"""What was once seen is never resent by itself, and what was never seen is not taken for seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keen_client._foundation.clock import ms_to_iso
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
