"""Replay runs: the intent is on disk before anything leaves, and whoever sends next carries it out once."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from keen_client.eventlog.entry import DeliveryState
from keen_client.eventlog.ranges import range_at
from keen_client.eventlog.state import State
from keen_client.events.identity import EntryId
from keen_client.replay.plan import Intent

DAY = {"start": "2026-10-01T00:00:00Z", "end": "2026-10-02T00:00:00Z"}


def entries_of(rig: Any, ids: list[EntryId]) -> dict[EntryId, Any]:
    return dict(rig.client._core.need_machinery().log.shelf.pick(ids))


def state_of(rig: Any) -> State:
    state = rig.client._core.need_machinery().log.state
    assert isinstance(state, State)
    return state


def begin(rig: Any, ids: list[EntryId], tier: int = 0) -> int:
    run = rig.runs.begin([Intent(i, tier) for i in ids], entries_of(rig, ids), "standard", {"start": "x"})
    assert isinstance(run, int)
    return run


def states(rig: Any, ids: list[EntryId]) -> list[tuple[str, int, int]]:
    found = []
    with state_of(rig).reading() as db:
        for entry_id in ids:
            row = range_at(db, entry_id.origin, entry_id.seq)
            assert row is not None
            found.append((str(row.state), row.run, row.tier))
    return found


def test_an_intent_is_journalled_with_its_run_and_tier(rig: Any) -> None:
    """One transaction makes the run, its list, and the state *replay* of just those entries."""
    ids = rig.record_and_send(5)
    run = begin(rig, ids[1:3], tier=1)

    assert run == 1
    assert states(rig, ids) == [
        ("acknowledged", 0, 0),
        ("replay", 1, 1),
        ("replay", 1, 1),
        ("acknowledged", 0, 0),
        ("acknowledged", 0, 0),
    ]
    assert rig.replayed() == [(1, str(ids[1]), 1), (1, str(ids[2]), 1)]
    with state_of(rig).reading() as db:
        row = db.execute("SELECT made_ms, done_ms, preset, scope, stopped FROM runs").fetchone()
    assert tuple(row) == (rig.clock.wall_ms(), None, "standard", '{"start":"x"}', None)
    assert rig.runs.is_under_way(run)


def test_a_run_is_journalled_whole_or_not_at_all(rig: Any) -> None:
    """What fails while the intents are written leaves no run and no changed entry behind."""
    ids = rig.record_and_send(3)
    entries = entries_of(rig, ids)
    del entries[ids[2]]

    with pytest.raises(KeyError):
        rig.runs.begin([Intent(i, 0) for i in ids], entries, "standard", {})

    assert rig.replayed() == []
    assert states(rig, ids) == [("acknowledged", 0, 0)] * 3
    with state_of(rig).reading() as db:
        assert db.execute("SELECT count(*) FROM runs").fetchone()[0] == 0


def test_entries_in_somebodys_hands_are_left_alone(rig: Any) -> None:
    """In flight, waiting or refused for good: a run takes none of them; what was sent and lies still, it takes."""
    acknowledged = rig.record_and_send(1)
    rig.client.add_event("purchases", {"keen": {"made_up": 1}})
    rig.client.flush()
    with rig.client._core.need_machinery().log.state.reading() as db:
        (row,) = db.execute("SELECT origin, seq_lo FROM ranges WHERE state = 'rejected'").fetchall()
    rejected = [EntryId(row[0], row[1])]
    flying = rig.record(2)
    outbox = rig.client._core.need_machinery().log.outbox
    assert outbox.claim(events_max=10, bytes_max=10**6) is not None

    run = begin(rig, [*acknowledged, *rejected, *flying])

    assert states(rig, acknowledged) == [("replay", 1, 0)]
    assert [state for state, _, _ in states(rig, [*rejected, *flying])] == [
        "rejected",
        "inflight",
        "inflight",
    ]
    assert rig.replayed() == [(run, str(acknowledged[0]), 0)]
    assert rig.runs.progress(run) == {acknowledged[0]: DeliveryState.REPLAY}


def test_an_entry_of_unknown_outcome_may_be_replayed(rig: Any) -> None:
    """Unknown entries that a query showed absent are resendable."""
    ids = rig.record(2)
    assert rig.client._core.need_machinery().log.outbox.claim(events_max=10, bytes_max=10**6) is not None
    assert rig.client._core.need_machinery().log.outbox.recover() == 2
    begin(rig, ids[:1])
    assert [state for state, _, _ in states(rig, ids)] == ["replay", "unknown"]


def test_run_numbers_are_counted_on_from_the_floor(rig: Any) -> None:
    """From 1; after a lost state.db from the floor that recovery set; never one again."""
    ids = rig.record_and_send(4)
    assert [begin(rig, ids[n : n + 1]) for n in range(2)] == [1, 2]
    state_of(rig).note("run_floor", "500")
    assert begin(rig, ids[2:3]) == 501
    state_of(rig).note("run_floor", "7")
    assert begin(rig, ids[3:]) == 502


@pytest.mark.parametrize("tier", [0, 1, 2])
def test_a_crash_after_the_intent_is_made_good_once(rig: Any, tier: int) -> None:
    """The log closed between intent and send: the next sender resends each event once, same identity and time."""
    ids = rig.record_and_send(3, lose=3)
    run = begin(rig, ids, tier)
    rig.reopen()
    assert rig.there() == {}

    assert rig.client.flush().acknowledged == 3
    assert rig.client.flush().acknowledged == 0
    rig.reopen()
    assert rig.client.flush().acknowledged == 0

    assert rig.there() == dict.fromkeys(map(str, ids), 1)
    assert not rig.runs.is_under_way(run)
    events = rig.client.extraction("purchases", DAY)
    logged = {event.id: event.event["keen"]["timestamp"] for event in rig.client.log.entries()}
    suffix = f"~{tier}" if tier else ""
    assert {e["kc"]["id"]: e["keen"]["timestamp"] for e in events} == logged
    assert {e["kc"]["a"] for e in events} == {100 * run}
    assert {e["keen"]["uniqueness_token"] for e in events} == {f"{i}{suffix}" for i in ids}


def test_a_second_attempt_of_a_run_counts_on_within_it(rig: Any) -> None:
    """An attempt that was surely not accepted is made again with the next number of its run."""
    ids = rig.record_and_send(1, lose=1)
    run = begin(rig, ids)
    rig.unplugged = 2
    assert rig.client.flush().acknowledged == 1
    assert rig.runs.progress(run) == {ids[0]: DeliveryState.ACKNOWLEDGED}
    (event,) = rig.client.extraction("purchases", DAY)
    assert event["kc"]["a"] == 100 * run + 2


def test_earlier_tells_tier_and_time(rig: Any) -> None:
    """For those that were replayed, and for no others."""
    ids = rig.record_and_send(2)
    assert rig.runs.earlier(ids) == {}
    begin(rig, ids[:1])
    at_ms = rig.clock.wall_ms()
    rig.client.flush()
    rig.advance(hours=3)

    (earlier,) = rig.runs.earlier(ids).values()

    assert attrs.astuple(earlier) == (0, at_ms, 1)
    begin(rig, ids[:1], tier=1)
    assert attrs.astuple(rig.runs.earlier(ids)[ids[0]]) == (1, rig.clock.wall_ms(), 2)


def test_the_end_of_a_run_is_noted(rig: Any) -> None:
    """With the time, and why it was stopped if it was."""
    run = begin(rig, rig.record_and_send(1))
    rig.runs.finish(run, "somebody said so")
    with state_of(rig).reading() as db:
        row = db.execute("SELECT done_ms, stopped FROM runs").fetchone()
    assert tuple(row) == (rig.clock.wall_ms(), "somebody said so")
