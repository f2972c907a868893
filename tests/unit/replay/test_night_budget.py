"""A night within a budget: what it cannot read is incomplete, and the next night begins there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from keen_client.queries import Analysis
from keen_client.verify.reader import Budget
from keen_client.verify.verdict import Verdict

if TYPE_CHECKING:
    from tests.unit.replay.conftest import Rig


def test_a_night_that_runs_out_says_so_and_the_next_goes_on(rig: Rig) -> None:
    """Two collections, one request a night: the one that is not read is incomplete, and read the next time."""
    rig.record(5, "purchases")
    rig.record(5, "refunds")
    rig.client.flush()
    rig.advance(hours=26)
    first = rig.client.nightly(budget_requests=1)
    read, unread = first.after.windows
    assert (read.collection, read.state) == ("purchases", Verdict.MATCH)
    assert (unread.collection, unread.state) == ("refunds", Verdict.INCOMPLETE)
    assert unread.reason == "the budget of 1 requests is used up, so it was not asked for"
    assert (first.exit_status(), first.before.cost.requests) == (32, 1)
    rig.advance(hours=6)
    second = rig.client.nightly(budget_requests=1)
    assert [(w.collection, w.state) for w in second.after.windows] == [
        ("purchases", Verdict.INCOMPLETE),
        ("refunds", Verdict.MATCH),
    ]


def test_what_a_budget_cannot_confirm_is_not_resent(rig: Rig) -> None:
    """The read right before a replay counts too: without it nothing is sent, and the report says why."""
    rig.record_and_send(20, lose=1)
    rig.advance(hours=26)
    rig.nightly()
    rig.advance(hours=6)
    enough = rig.client.verify("2026-10-01T00:00:00Z", "2026-10-01T01:00:00Z").cost.requests
    rig.advance(hours=6)
    uploads = rig.uploads
    report = rig.night("standard", budget=Budget(requests=enough)).run()
    assert report.replay.planned
    assert "budget" in report.replay.stopped
    assert rig.uploads == uploads


def test_a_killed_night_is_taken_up_with_what_it_did_not_reach(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while it read the second of three collections: the next night begins with the third."""
    for name in ("a", "b", "c"):
        rig.record(3, name)
    rig.client.flush()
    rig.advance(hours=26)
    asked: list[str] = []
    killing = True

    def watch(api: Any) -> Any:
        ask = api.query

        def query(analysis: Analysis, **settings: Any) -> Any:
            if analysis.analysis_type == "multi_analysis":
                asked.append(analysis.event_collection)
            if killing and analysis.event_collection == "b":
                raise KeyboardInterrupt
            return ask(analysis, **settings)

        return query

    api = rig.client._core.need_machinery().api
    monkeypatch.setattr(api, "query", watch(api))
    with pytest.raises(KeyboardInterrupt):
        rig.nightly()
    assert asked == ["a", "b"]
    rig.reopen()
    killing = False
    asked.clear()
    api = rig.client._core.need_machinery().api
    monkeypatch.setattr(api, "query", watch(api))
    rig.advance(hours=6)
    report = rig.nightly()
    assert asked == ["c", "a", "b"]
    assert {w.state for w in report.after.windows} == {Verdict.MATCH}
