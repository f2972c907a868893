"""The clients that are wrong on purpose: from each one rule was taken, or all that make up for one another."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final
from unittest.mock import patch

import attrs

from keen_client.delivery.outcome import Judgement, _judge_results
from keen_client.eventlog.config import LogConfig
from keen_client.eventlog.cursors import Cursors
from keen_client.eventlog.entry import DeliveryState, Entry
from keen_client.eventlog.outbox import Claim, Outbox
from keen_client.eventlog.ranges import Range, replace_range
from keen_client.eventlog.segment import SegmentWriter
from keen_client.eventlog.shelf import Shelf
from keen_client.events.identity import EntryId
from keen_client.verify.locate import Locator, kind_of
from keen_client.verify.report import Confirmation
from keen_client.verify.resends import Resends
from keen_client.verify.sightings import Sighting, sight_ids
from keen_client.verify.turns import Turn
from keen_client.verify.verifier import Verifier
from tests.simulation.hunt import Prey
from tests.simulation.mutants import _by_counts, _with

_commit, _begin, _sync, _claim_new = SegmentWriter.commit, SegmentWriter.begin, Shelf.sync, Outbox._claim_new
_open_writer, _piece = SegmentWriter.__init__, Outbox._piece


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


def _leave_at_the_end(self: Cursors, origin: str, cursor: int) -> None:
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


def _same_token(earlier: Resends | None, *_: Any) -> int:
    return 0 if earlier is None else earlier.tier


def _always_final(_self: Any, _collection: str, _hour: int) -> bool:
    return True


def _by_name(_self: Any, turns: Collection[Turn]) -> list[Turn]:
    return sorted(turns, key=lambda turn: (turn.collection, turn.scope.start_ms))


def _receipt_before_commit(self: SegmentWriter) -> None:
    """It is committed when the next one begins."""


def _commit_the_last_one(self: SegmentWriter) -> None:
    if self.connection.in_transaction:
        _commit(self)
    _begin(self)


def _pending_again(row: Range, *args: Any) -> Range:
    piece = _piece(row, *args)
    settlement = args[1]
    if settlement.state is DeliveryState.PENDING and piece.state is DeliveryState.UNKNOWN:
        return attrs.evolve(piece, state=DeliveryState.PENDING)
    return piece


def _kind_by_id(entry: Entry, sighting: Sighting) -> str:
    return "present" if sighting.id == entry.id else kind_of(entry, sighting)


def _confirmed_unasked(_self: Verifier, ids: Collection[EntryId]) -> Confirmation:
    return Confirmation(absent=set(ids))


def _not_searched(_self: Locator, _work: Any, _absent: Mapping[EntryId, Entry]) -> None:
    pass


def _sight_whole(*args: Any, **named: Any) -> dict[EntryId, list[Sighting]]:
    found = sight_ids(*args, **named)
    return {entry_id: [s for s in sightings if s.is_whole] for entry_id, sightings in found.items()}


_SIGHT_WHOLE: Final = {
    f"verify.{module}.sight_ids": _sight_whole for module in ("locate", "confirm", "control")
}
_NULL_GROUP: Final = {"verify.locate.Locator._search_null_group": _not_searched}

_POWERLESS: Final = {"troubles": frozenset({"power"}), "faults": {}, "lines": {}, "days": 3}
_UNSYNCED: Final = {**_POWERLESS, "log_config": LogConfig(durability="normal", reserve_bytes=4_096)}
_DYING: Final = {"troubles": frozenset({"crash"}), "tokens": "off", "faults": {}, "lines": {}, "days": 3}

PREY: Final = (
    Prey(
        name="compares counts only",
        patches={"verify.examination.compare": _by_counts},
        given={"faults": {"lose": 0.3, "duplicate": 0.4}},
        seed=3,
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
        seed=8,
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
        seed=2,
    ),
    Prey(
        name="leaves a segment before its seal",
        patches={"eventlog.cursors.Cursors.note_end": _leave_at_the_end},
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
    Prey(
        name="gives the receipt before the commit",
        patches={
            "eventlog.segment.SegmentWriter.commit": _receipt_before_commit,
            "eventlog.segment.SegmentWriter.begin": _commit_the_last_one,
        },
        given={"troubles": frozenset({"crash"}), "faults": {}, "lines": {}, "days": 3},
    ),
    Prey(
        name="takes the id for the event",
        patches={
            f"verify.{module}.kind_of": _kind_by_id
            for module in ("locate", "patch", "examination", "confirm", "control", "verifier")
        },
        given={"troubles": frozenset({"impostors"}), "faults": {}, "lines": {}, "days": 3},
    ),
    Prey(
        name="forgets what is unknown when told to slow down",
        patches={"eventlog.outbox.Outbox._piece": staticmethod(_pending_again)},
        given={
            "troubles": frozenset({"away"}),
            "faults": {"cut-after-store": 0.5},
            "lines": {"busy": 0.5},
            "tokens": "edge",
            "days": 3,
        },
        seed=6,
    ),
    Prey(
        name="resends after one absence",
        patches={"verify.presets.PRESETS": _with("standard", reads_before_replay=1)},
        given={
            "troubles": frozenset(),
            "faults": {"partial-reads": 0.3},
            "lines": {},
            "tokens": "off",
            "preset": "standard",
            "window": "1d",
            "days": 3,
            "batches": 1,
            "events": 1,
            "collections": ("purchases",),
        },
        seed=9,
    ),
    Prey(
        name="asks for nothing before it resends",
        patches={"verify.verifier.Verifier.confirm": _confirmed_unasked},
        given={"troubles": frozenset({"late"}), "faults": {}, "lines": {}, "tokens": "off", "days": 3},
    ),
    Prey(
        name="takes what lost its properties for absent",
        patches={**_NULL_GROUP, **_SIGHT_WHOLE},
        given={
            "troubles": frozenset(),
            "faults": {"null-properties": 0.4},
            "lines": {},
            "tokens": "off",
            "days": 3,
        },
        enough={"the null group": frozenset(_NULL_GROUP), "the tokens": frozenset(_SIGHT_WHOLE)},
    ),
)
