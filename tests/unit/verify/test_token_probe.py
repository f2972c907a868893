"""The token probe: fifteen events, one answer, thirty days."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import pytest

from keen_client._foundation.randomness import SeededRandomness
from keen_client.verify.probe import (
    EVENTS,
    PAIRS,
    PROBE_COLLECTION,
    WITNESSES,
    TokenProbe,
    judge_pairs,
    tokens_honoured,
)

if TYPE_CHECKING:
    from tests.unit.verify.conftest import World


class Uploads:
    """Writes into the counting server, honouring tokens or not; of a server that does not, requests may be lost."""

    def __init__(self, world: World, mode: str) -> None:
        self.world = world
        self.mode = mode
        self.sent = 0
        self.requests = 0

    def upload(self, events: dict[str, Any]) -> dict[str, Any]:
        self.requests += 1
        is_lost = self.mode in {"lost", f"off, request {self.requests} lost"}
        for collection, members in events.items():
            for event in members:
                self.sent += 1
                tokens = [e["keen"]["uniqueness_token"] for e in self.world.server.events.get(collection, [])]
                is_repeat = event["keen"]["uniqueness_token"] in tokens
                if not is_lost and not (is_repeat and self.mode == "honoured"):
                    self.world.server.store(collection, event)
        return {}

    def query(self, analysis: Any, *, all_keys: bool = False) -> Any:
        return self.world.server.query(analysis)


@pytest.mark.parametrize(
    ("mode", "known"),
    [
        ("honoured", True),
        ("off", False),
        ("lost", None),
        ("off, request 1 lost", None),
        ("off, request 2 lost", None),
    ],
)
def test_the_probe_tells_whether_tokens_are_honoured(world: World, mode: str, known: bool | None) -> None:
    """The first of each pair: honoured; two: not; none, or something lost: not known. The answer holds for thirty days."""
    api = Uploads(world, mode)
    probe = TokenProbe(world.log.state, api, world.clock, SeededRandomness(5))  # type: ignore[arg-type]
    assert tokens_honoured(world.log.state, world.clock.wall_ms()) is None
    probe.send(ready_after_ms=1000)
    assert api.sent == EVENTS == 15
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


def test_an_answer_read_late_is_as_old_as_what_was_sent(world: World) -> None:
    """It shows what the server did with the events then, so it holds for thirty days from then."""
    probe = TokenProbe(world.log.state, Uploads(world, "honoured"), world.clock, SeededRandomness(5))  # type: ignore[arg-type]
    probe.send()
    world.clock.advance(29 * 86_400)
    assert probe.read() is True
    world.clock.advance(86_400)
    assert tokens_honoured(world.log.state, world.clock.wall_ms()) is None


@pytest.mark.parametrize(
    ("firsts", "seconds", "witnesses", "known"),
    [
        ([1, 1, 1, 1, 1], [], 5, True),
        ([1, 1, 1, 1], [], 4, True),
        ([1, 1, 1, 1, 0], [0, 0, 0, 0, 1], 4, True),
        ([1, 1, 1, 0, 0], [0, 0, 0, 1, 1], 5, None),
        ([1, 1, 1], [], 5, None),
        ([1, 1, 1, 1, 2], [], 5, None),
        ([1, 1, 1, 1, 1], [0, 0, 1], 5, None),
        ([1, 1, 1], [1, 1], 0, False),
        ([1, 1, 1], [2, 1], 5, False),
        ([1, 1, 1, 1, 1], [], 3, None),
        ([1, 1, 1, 1, 1], [], 0, None),
        ([], [1, 1, 1, 1, 1], 5, None),
        ([], [], 5, None),
        ([], [], 0, None),
    ],
)
def test_pairs_are_judged_carefully(
    firsts: list[int], seconds: list[int], witnesses: int, known: bool | None
) -> None:
    """Two doubles disprove; four firsts alone, no double and four witnesses prove; anything else is not known."""
    counts = {(pair, 0): count for pair, count in enumerate(firsts)}
    counts |= {(pair, 1): count for pair, count in enumerate(seconds)}
    counts |= {(PAIRS + number, 1): 1 for number in range(witnesses)}
    assert judge_pairs(counts) is known
    assert judge_pairs({key: count for key, count in counts.items() if count}) is known


@pytest.mark.parametrize("percent", range(0, 101, 10))
def test_a_server_without_tokens_that_loses_by_chance_is_hardly_taken_for_one_with_them(percent: int) -> None:
    """Reckoned over all that may be lost: in 0.26 % of probes at the most."""
    lost = percent / 100
    pair = {(0, 0): lost**2, (1, 0): (1 - lost) * lost, (0, 1): lost * (1 - lost), (1, 1): (1 - lost) ** 2}
    wrong = 0.0
    for pairs in itertools.product(pair, repeat=PAIRS):
        for there in range(WITNESSES + 1):
            counts = {(n, copy): count[copy] for n, count in enumerate(pairs) for copy in (0, 1)}
            counts |= {(PAIRS + number, 1): 1 for number in range(there)}
            if judge_pairs(counts):
                chance = math.comb(WITNESSES, there) * (1 - lost) ** there * lost ** (WITNESSES - there)
                wrong += chance * math.prod(pair[count] for count in pairs)
    assert wrong <= 0.0026
    assert (wrong > 0) is (0 < percent < 100)
