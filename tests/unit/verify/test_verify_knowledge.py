"""What the log no longer knows, what replays are about to do, and searches that need many pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from keen_client._foundation.clock import MS_PER_HOUR, MS_PER_MINUTE, ms_to_iso
from keen_client.eventlog.entry import DeliveryState
from keen_client.eventlog.ranges import change_entry
from keen_client.events.identity import EntryId
from keen_client.verify import sightings
from keen_client.verify.observations import Observations
from keen_client.verify.verdict import Verdict

if TYPE_CHECKING:
    from tests.unit.verify.conftest import World

HOUR = 1_790_812_800_000


def run_sql(world: World, sql: str, *values: object) -> None:
    with world.log.state.transaction() as db:
        db.execute(sql, values)


def reclaim(world: World, origin: str) -> None:
    """Have a segment's file go as it goes when it is reclaimed."""
    run_sql(world, "UPDATE origins SET status = 'reclaimed' WHERE origin = ?", origin)
    world.log.shelf.release(origin)
    for path in world.log.directory.segments.glob(f"*-{origin}.db*"):
        path.unlink()


def plan_replay(world: World, entry_id: EntryId, run: int = 1) -> None:
    """Write the intent of a replay run, as replay does."""
    with world.log.state.transaction() as db:
        db.execute(
            "INSERT INTO run_entries VALUES (?, ?, ?, 'purchases', ?, 0)", (run, *_name(entry_id), HOUR)
        )
        change_entry(db, *_name(entry_id), state=DeliveryState.REPLAY, run=run, due_ms=0)


def _name(entry_id: EntryId) -> tuple[str, int]:
    return entry_id.origin, entry_id.seq


def test_a_replay_is_replayed_until_confirmed(world: World) -> None:
    """Intended, sent, settled, read: replayed, replayed, match."""
    ids = world.record(3)
    world.send(lose={ids[0]})
    world.advance(hours=7)
    world.verify("fast")
    world.advance(hours=1)
    assert world.verify("fast").eligible == (ids[0],)
    plan_replay(world, ids[0])
    (window,) = world.verify("fast").windows
    assert (window.state, window.reason) == (Verdict.REPLAYED, "1 of its events are not sent yet")
    world.send()
    assert world.verify("fast").windows[0].state is Verdict.REPLAYED
    world.advance(hours=6)
    (window,) = world.verify("fast").windows
    assert (window.state, window.reason) == (Verdict.MATCH, "matched 1 of 2 times")
    (copy,) = world.server.find(ids[0])
    assert copy["kc"]["a"] == 100


def test_a_replay_that_was_swallowed_is_short_again(world: World) -> None:
    """Only a query that shows the event makes a replay believed; absences count from the replay on."""
    ids = world.record(3)
    world.send(lose={ids[0]})
    world.advance(hours=1)
    assert world.verify().eligible == (ids[0],)
    plan_replay(world, ids[0])
    world.send(lose={ids[0]})
    world.advance(hours=1)
    (window,) = world.verify().windows
    assert (window.state, window.eligible, window.vanished) == (Verdict.SHORT, (ids[0],), ())


def test_a_second_token_names_a_nulled_event(world: World) -> None:
    """An event that travelled under id~1 and lost its properties is corrupt, not missing."""
    ids = world.record(3)
    world.send(lose={ids[0]})
    plan_replay(world, ids[0])
    with world.log.state.transaction() as db:
        change_entry(db, *_name(ids[0]), tier=1)
    world.send()
    event = next(e for e in world.server.events["purchases"] if e["keen"]["uniqueness_token"].endswith("~1"))
    event.update({"kc": None, "item": None, "price": None})
    event["keen"]["timestamp"] = "2020-01-01T00:00:00.000Z"
    (window,) = world.verify().windows
    assert (window.corrupt, window.missing) == ((ids[0],), ())


def test_a_lost_state_makes_what_came_before_unverifiable(world: World) -> None:
    """With the state, the list of what was reclaimed is gone."""
    world.record(3)
    world.send()
    world.log.state.note("unverifiable_before_ms", str(HOUR + 1))
    report = world.verify()
    assert report.windows[0].state is Verdict.UNVERIFIABLE
    assert report.exit_status() == 32


def test_damage_makes_the_segments_day_unverifiable(world: World) -> None:
    """Entries that nobody could save may have been in any of its windows."""
    ids = world.record(3)
    world.send()
    run_sql(world, "INSERT INTO damages VALUES (1, ?, ?, 'f', 'why', 3, NULL)", HOUR, ids[0].origin)
    (window,) = world.verify().windows
    assert window.state is Verdict.UNVERIFIABLE
    assert ids[0].origin in window.reason


def test_damage_without_loss_changes_nothing(world: World) -> None:
    """A file that was saved whole is as good as before."""
    ids = world.record(3)
    world.send()
    run_sql(world, "INSERT INTO damages VALUES (1, ?, ?, 'f', 'why', 3, 0)", HOUR, ids[0].origin)
    assert world.verify().windows[0].state is Verdict.FINAL


def test_a_reclaim_without_totals_makes_its_hours_unverifiable(world: World) -> None:
    """What was never verified and is not even counted any more cannot be told from a loss."""
    world.record(3)
    world.record(3, at_ms=HOUR + 2 * MS_PER_HOUR)
    world.send()
    hour = HOUR // MS_PER_HOUR
    run_sql(world, "INSERT INTO reclaims VALUES ('cccccccccc', ?, ?, 5, 5, ?, ?)", HOUR, HOUR, hour, hour)
    first, second = world.verify().windows
    assert (first.state, second.state) == (Verdict.UNVERIFIABLE, Verdict.FINAL)


def test_entries_that_cannot_be_read_are_unverifiable_where_the_totals_differ(world: World) -> None:
    """A reclaimed segment's window may still match by its totals; a difference cannot be located."""
    ids = world.record(3)
    world.send()
    reclaim(world, ids[0].origin)
    assert world.verify().windows[0].state is Verdict.FINAL
    world.server.remove({ids[0]})
    world.advance(hours=1)
    (window,) = world.verify().windows
    assert (window.state, window.eligible) == (Verdict.UNVERIFIABLE, ())
    assert "3 of its entries can no longer be read" in window.reason


def store_foreign(world: World, at_ms: int) -> None:
    """Where events without an origin are, those that differ are looked at one by one."""
    world.server.store("purchases", {"item": "pen", "keen": {"timestamp": ms_to_iso(at_ms)}})


def test_many_ids_are_sighted_page_by_page(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages cover all blocks, those of unknown ids and events without a block included."""
    monkeypatch.setattr(sightings, "PAGE_IDS_MAX", 40)
    ids = world.record(100)
    world.send(lose={ids[50]})
    world.server.find(ids[99])[0]["kc"]["b"] = None
    store_foreign(world, HOUR + 50_000)
    (window,) = world.verify().windows
    assert (window.missing, window.corrupt, window.state) == ((ids[50],), (), Verdict.SHORT)
    pages = [q for q in world.server.queries if q["analysis_type"] == "count" and len(q["filters"]) > 1]
    assert len(pages) == 4


def test_absentees_are_asked_for_in_parts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """No query names more ids than it may."""
    monkeypatch.setattr(sightings, "IDS_PER_QUERY_MAX", 4)
    ids = world.record(10)
    world.send(lose=set(ids[:9]))
    (window,) = world.verify().windows
    assert window.missing == tuple(ids[:9])
    named = [
        len(f["operands"][0]["property_value"])
        for q in world.server.queries
        for f in q.get("filters", [])
        if f["operator"] == "or"
    ]
    assert max(named) == 4
    assert sum(named) == 9 + 3  # once, over all time, with the control in each of three


def test_adjacent_windows_are_searched_together(world: World) -> None:
    """Three differing hours in a row and one beyond a busy, matching hour: two searches of single events."""
    world.record(1_100, at_ms=HOUR + 3 * MS_PER_HOUR)
    ids = [world.record(2, at_ms=HOUR + hour * MS_PER_HOUR)[0] for hour in (0, 1, 2, 4)]
    world.send(lose=set(ids))
    for hour in (0, 1, 2, 4):
        store_foreign(world, HOUR + hour * MS_PER_HOUR + 50_000)
    report = world.verify()
    differing = [window for window in report.windows if window.missing]
    assert [window.missing for window in differing] == [(entry_id,) for entry_id in ids]
    searches = [q for q in world.server.queries if q["analysis_type"] == "count"]
    assert sum(q["filters"][0].get("property_name") == "kc.o" for q in searches) == 2


def test_what_was_dropped_and_is_there_all_the_same_is_excess(world: World) -> None:
    """A dead letter that the server stored after all is not expected."""
    ids = world.record(3)
    world.send(DeliveryState.REJECTED)
    (window,) = world.verify().windows
    assert (window.state, window.local_count, window.server_count) == (Verdict.EXCESS, 0, 3)
    assert "3 refused or dropped" in window.reason
    assert window.missing == window.duplicate == ()
    assert len(ids) == 3


@pytest.mark.parametrize("lost", ["some", "all"])
def test_small_windows_of_an_hour_that_cannot_be_read_whole_never_match(world: World, lost: str) -> None:
    """What is left to read and what the server holds agree, and prove nothing: they are unverifiable, as the hour is."""
    gone = world.record(5)
    world.send(lose=set(gone))
    world.advance(hours=24)
    left = world.record(3 if lost == "some" else 0, at_ms=HOUR)
    world.record(3, at_ms=HOUR + MS_PER_HOUR)
    world.send()
    world.advance(hours=3)
    reclaim(world, gone[0].origin)
    scope: dict[str, Any] = {"end_ms": HOUR + 2 * MS_PER_HOUR, "width_ms": 5 * MS_PER_MINUTE}
    first, *others, last = world.verify(**scope).windows
    assert (first.state, first.local_count, first.server_count) == (
        Verdict.UNVERIFIABLE,
        len(left),
        len(left),
    )
    assert len(others) == 11
    assert {window.state for window in others} == {Verdict.UNVERIFIABLE}
    assert (last.start_ms, last.state) == (HOUR + MS_PER_HOUR, Verdict.FINAL)
    stored = Observations(world.log.state).read("purchases", HOUR, HOUR + MS_PER_HOUR, 5 * MS_PER_MINUTE)
    assert {one.verdict for found in stored.values() for one in found} == {Verdict.UNVERIFIABLE}
    part = world.verify(**scope, start_ms=HOUR + 5 * MS_PER_MINUTE).windows
    assert part[0].state is Verdict.UNVERIFIABLE
