"""Single nights in which one answer goes wrong: what can be done is done all the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keen_client.verify.probe import tokens_honoured
from tests.simulation.scenarios import hour_ms
from tests.simulation.world import World, waiting_in


@pytest.fixture
def world(tmp_path: Path, seed: int) -> Iterator[World]:
    """A world in which time is simulated."""
    made = World(tmp_path, seed)
    with waiting_in(made.clock):
        yield made
    made.close()


def _honoured(world: World) -> bool | None:
    log = world.client._core.event_log
    assert log is not None
    return tokens_honoured(log.state, world.clock.wall_ms())


@pytest.mark.parametrize("fault", ["http-500", "html-502", "cut-after-store"])
def test_a_probe_that_is_not_answered_does_not_cost_the_night(world: World, fault: str) -> None:
    """The night goes on to send, verify and report, and the next one probes again."""
    world.record(5, hour_ms(0, 8))
    world.control.change({fault: {"times": 1}})
    world.advance_to(hour_ms(1, 3))
    assert world.client.nightly().sent.acknowledged == 10
    for night in (2, 3):
        world.advance_to(hour_ms(night, 3))
        assert world.client.nightly().exit_status() == 0
    assert _honoured(world) is True


def test_a_replay_that_cannot_be_confirmed_is_stopped_and_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a usable answer to the last question nothing is resent; the next night does it."""
    world.control.change({"lose": {"times": 1}})
    world.record(5, hour_ms(0, 8))
    world.advance_to(hour_ms(0, 9))
    world.client.flush()
    world.advance_to(hour_ms(2, 3))
    world.client.nightly()
    world.advance_to(hour_ms(3, 3))
    verifier = "keen_client.verify.verifier.Verifier.confirm"
    with monkeypatch.context() as patch:
        asked = []

        def confirm(self: Any, ids: Any) -> Any:
            asked.append(len(ids))
            world.control.change({"truncated": 1})
            return real(self, ids)

        from keen_client.verify.verifier import Verifier

        real = Verifier.confirm
        patch.setattr(verifier, confirm)
        report = world.client.nightly()
    assert asked == [1]
    assert (report.replay.run, report.replay.replayed) == (None, ())
    assert "could not be confirmed" in report.replay.stopped
    assert report.exit_status() == 4
    world.control.change({"truncated": None})
    world.advance_to(hour_ms(4, 3))
    assert len(world.client.nightly().replay.replayed) == 1
