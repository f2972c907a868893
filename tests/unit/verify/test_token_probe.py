"""The token probe: ten events, one answer, thirty days."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from keen_client._foundation.randomness import SeededRandomness
from keen_client.verify.probe import PROBE_COLLECTION, TokenProbe, judge_pairs, tokens_honoured

if TYPE_CHECKING:
    from tests.unit.verify.conftest import World


class Uploads:
    """Writes into the counting server, honouring tokens or not, or losing everything."""

    def __init__(self, world: World, mode: str) -> None:
        self.world = world
        self.mode = mode
        self.sent = 0

    def upload(self, events: dict[str, Any]) -> dict[str, Any]:
        for collection, members in events.items():
            for event in members:
                self.sent += 1
                tokens = [e["keen"]["uniqueness_token"] for e in self.world.server.events.get(collection, [])]
                is_repeat = event["keen"]["uniqueness_token"] in tokens
                if self.mode == "off" or (self.mode == "honoured" and not is_repeat):
                    self.world.server.store(collection, event)
        return {}

    def query(self, analysis: Any, *, all_keys: bool = False) -> Any:
        return self.world.server.query(analysis)


@pytest.mark.parametrize(("mode", "known"), [("honoured", True), ("off", False), ("lost", None)])
def test_the_probe_tells_whether_tokens_are_honoured(world: World, mode: str, known: bool | None) -> None:
    """One event a pair: honoured; two: not; none: not known. The answer holds for thirty days."""
    api = Uploads(world, mode)
    probe = TokenProbe(world.log.state, api, world.clock, SeededRandomness(5))  # type: ignore[arg-type]
    assert tokens_honoured(world.log.state, world.clock.wall_ms()) is None
    probe.send(ready_after_ms=1000)
    assert api.sent == 10
    assert probe.is_pending
    assert probe.read() is None  # not ready
    assert probe.is_pending
    world.clock.advance(1)
    assert probe.read() is known
    assert not probe.is_pending
    world.clock.advance(29 * 86_400)
    assert tokens_honoured(world.log.state, world.clock.wall_ms()) is known
    world.clock.advance(86_400)
    assert tokens_honoured(world.log.state, world.clock.wall_ms()) is None
    assert set(world.server.events) <= {PROBE_COLLECTION}


@pytest.mark.parametrize(
    ("counts", "known"),
    [
        ([1, 1, 1, 1, 1], True),
        ([1, 1, 1], True),
        ([1, 1], None),
        ([1, 1, 1, 1, 2], None),
        ([1, 2, 2], False),
        ([], None),
    ],
)
def test_pairs_are_judged_carefully(counts: list[int], known: bool | None) -> None:
    """Two doubles disprove; three singles and no double prove; anything else is not known."""
    assert judge_pairs(counts) is known
