"""Clients that are wrong on purpose, hunted by the swarm: each must die within 200 seeds, and dies on its recorded one.

From each one rule was taken. ``given`` narrows the histories to those in which
the rule is needed; on the recorded seed the client with all of its rules is clean.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Final
from unittest.mock import patch

import attrs

from keen_client.delivery.outcome import Judgement, _judge_results
from keen_client.eventlog.config import LogConfig
from keen_client.eventlog.entry import DeliveryState
from keen_client.eventlog.outbox import Claim, Outbox
from keen_client.eventlog.ranges import replace_range
from keen_client.eventlog.segment import SegmentWriter
from keen_client.eventlog.shelf import Shelf
from keen_client.replay.plan import Earlier
from keen_client.verify.turns import Turn
from tests.simulation.fortnight import SimulationFailedError
from tests.simulation.mutants import _by_counts
from tests.simulation.plan import Plan, draw
from tests.simulation.swarm import run_plan

#: Seeds that a hunt takes before it gives up.
SEEDS_MAX: Final = 200


@attrs.frozen(kw_only=True)
class Prey:
    """One rule gone. ``patches``: what stands in for which names of the package; ``seed``: where it dies."""

    name: str
    patches: Mapping[str, Any]
    given: Mapping[str, Any] = attrs.Factory(dict)
    seed: int = 1

    @contextmanager
    def at_large(self) -> Iterator[None]:
        """Until the end of the block, it is the client."""
        with ExitStack() as stack:
            for target, value in self.patches.items():
                stack.enter_context(patch(f"keen_client.{target}", value))
            yield

    def plan(self, seed: int) -> Plan:
        """The history of *seed*, with what is given."""
        return attrs.evolve(draw(seed), **self.given)

    def dies(self, seed: int) -> str:
        """What is said of it in the history of *seed*; empty when it lives, or when an honest client dies there too."""
        plan = self.plan(seed)
        try:
            with self.at_large():
                run_plan(plan)
        except SimulationFailedError as error:
            run_plan(plan)
            return str(error)
        return ""


def hunt(prey: Prey) -> tuple[int, str]:
    """The first seed on which *prey* dies, and of what; seed 0 and nothing if it lives through all of them."""
    for seed in range(1, SEEDS_MAX + 1):
        wrong = prey.dies(seed)
        if wrong:
            return seed, wrong
    return 0, ""


# ---- the rules that are gone ---------------------------------------------------------------

_commit, _begin, _sync, _claim_new = SegmentWriter.commit, SegmentWriter.begin, Shelf.sync, Outbox._claim_new
_open_writer = SegmentWriter.__init__


def _recover_as_pending(self: Outbox) -> int:
    with self._state.transaction() as db:
        db.execute("UPDATE ranges SET state = 'pending', batch = 0 WHERE state = 'inflight'")
    return 0


def _claim_without_journal(self: Outbox, *args: Any) -> Claim | None:
    claim = _claim_new(self, *args)
    if claim is not None:
        with self._state.transaction() as db:
            row = claim.entries[0].was
            replace_range(
                db, row, [attrs.evolve(row, state=DeliveryState.PENDING, a=-1, first_ms=0, batch=0)]
            )
    return claim


def _sync_after_the_fold(self: Outbox, *args: Any) -> Claim | None:
    with patch.object(Shelf, "sync", lambda _self, _origin: None):
        claim = _claim_new(self, *args)
    if claim is not None:
        _sync(self._shelf, claim.entries[0].was.origin)
    return claim


def _leave_at_the_end(self: Outbox, origin: str, cursor: int) -> None:
    if self._shelf.last_seq(origin) == cursor:
        with self._state.transaction() as db:
            db.execute(
                "UPDATE origins SET status = 'drained' WHERE origin = ? AND status = 'open'", (origin,)
            )


def _open_unsynced(self: SegmentWriter, *args: Any) -> None:
    _open_writer(self, *args)
    self.connection.execute("PRAGMA synchronous=NORMAL")


def _results_without_the_refused(batch: Any, parsed: Any) -> Judgement:
    if isinstance(parsed, dict) and set(parsed) == set(batch.layout):
        for name, results in parsed.items():
            good = [r for r in results if isinstance(r, dict) and r.get("success")]
            parsed[name] = good + [r for r in results if r not in good]
    return _judge_results(batch, parsed)


def _same_token(earlier: Earlier | None, *_: Any) -> int:
    return 0 if earlier is None else earlier.tier


def _always_final(_self: Any, _collection: str, _hour: int) -> bool:
    return True


def _by_name(_self: Any, turns: Collection[Turn]) -> list[Turn]:
    return sorted(turns, key=lambda turn: (turn.collection, turn.scope.start_ms))


_POWERLESS: Final = {"troubles": frozenset({"power"}), "faults": {}, "lines": {}, "days": 3}
_UNSYNCED: Final = {**_POWERLESS, "log_config": LogConfig(durability="normal", reserve_bytes=4_096)}
_DYING: Final = {"troubles": frozenset({"crash"}), "tokens": "off", "faults": {}, "lines": {}, "days": 3}

PREY: Final = (
    Prey(
        name="compares counts only",
        patches={"verify.examination.compare": _by_counts},
        given={"faults": {"lose": 0.3, "duplicate": 0.4}},
    ),
    Prey(
        name="takes what was in flight for pending",
        patches={"eventlog.outbox.Outbox.recover": _recover_as_pending},
        given=_DYING,
    ),
    Prey(
        name="journals no intent before it sends",
        patches={"eventlog.outbox.Outbox._claim_new": _claim_without_journal},
        given=_DYING,
    ),
    Prey(
        name="resends what is unknown without asking",
        patches={"delivery.policy.Policy.resend_unknown_since_ms": lambda *_, **__: 0},
        given={"tokens": "off", "faults": {"cut-after-store": 0.7}},
    ),
    Prey(
        name="folds before it syncs",
        patches={"eventlog.outbox.Outbox._claim_new": _sync_after_the_fold},
        given=_UNSYNCED,
        seed=17,
    ),
    Prey(
        name="sends what is not synced",
        patches={"eventlog.shelf.Shelf.sync": lambda _self, _origin: None},
        given=_UNSYNCED,
    ),
    Prey(
        name="acknowledges before the sync",
        patches={"eventlog.segment.SegmentWriter.__init__": _open_unsynced},
        given={**_POWERLESS, "log_config": LogConfig(reserve_bytes=4_096)},
    ),
    Prey(
        name="leaves a segment before its seal",
        patches={"eventlog.outbox.Outbox._note_end": _leave_at_the_end},
    ),
    Prey(
        name="maps results by place after a filter",
        patches={"delivery.outcome._judge_results": _results_without_the_refused},
        given={"faults": {"reject": 0.4}},
        seed=4,
    ),
    Prey(
        name="uses one token for ever",
        patches={"replay.plan.token_tier": _same_token},
        given={"faults": {"lose-keep-token": 0.3}, "troubles": frozenset(), "tokens": "edge"},
    ),
    Prey(
        name="reclaims what is not verified",
        patches={"verify.finality.Finality.__call__": _always_final},
        given={
            "faults": {"lose": 0.6},
            "troubles": frozenset({"retention"}),
            "log_config": LogConfig(retention_days=1, reserve_bytes=4_096),
        },
    ),
    Prey(
        name="takes collections by name",
        patches={"verify.turns.Turns.in_order": _by_name},
        given={
            "troubles": frozenset({"short-nights"}),
            "faults": {},
            "lines": {},
            "days": 3,
            "collections": ("purchases", "visits"),
        },
    ),
)
