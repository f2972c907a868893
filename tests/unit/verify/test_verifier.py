"""What a verification says, window by window, of what became of the events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from keen_client._foundation.clock import MS_PER_HOUR, MS_PER_MINUTE, ms_to_iso
from keen_client.api.cost import ServerClock
from keen_client.errors import AuthenticationError, ServerError
from keen_client.eventlog.entry import DeliveryState
from keen_client.eventlog.ranges import range_at
from keen_client.events.identity import EntryId
from keen_client.verify.verdict import Verdict
from keen_client.verify.windows import Scope

if TYPE_CHECKING:
    from tests.unit.verify.conftest import World

HOUR = 1_790_812_800_000


def state_of(world: World, entry_id: EntryId) -> DeliveryState | None:
    with world.log.state.reading() as db:
        place = range_at(db, entry_id.origin, entry_id.seq)
    return None if place is None else place.state


def test_a_clean_collection_costs_one_query(world: World) -> None:
    """When all windows of a collection match, exactly one query was asked for it."""
    world.record(50)
    world.record(50, at_ms=HOUR + 3 * MS_PER_HOUR)
    world.record(20, collection="refunds")
    world.send()
    report = world.verify()
    assert [query["analysis_type"] for query in world.server.queries] == ["multi_analysis"] * 2
    assert {window.state for window in report.windows} == {Verdict.FINAL}
    assert [(w.collection, w.start_ms, w.local_count, w.server_count) for w in report.windows] == [
        ("purchases", HOUR, 50, 50),
        ("refunds", HOUR, 20, 20),
        ("purchases", HOUR + 3 * MS_PER_HOUR, 50, 50),
    ]
    assert report.exit_status() == 0
    assert report.cost.requests == 2
    assert report.audited[0].exact == ("price",)


def test_lost_events_are_named_and_eligible(world: World) -> None:
    """Events that the server acknowledged and lost are missing, by id; nothing else is."""
    ids = world.record(100)
    world.send(lose={ids[3], ids[77]})
    (window,) = world.verify().windows
    assert window.state is Verdict.SHORT
    assert window.missing == (ids[3], ids[77]) == window.eligible
    assert (window.local_count, window.server_count) == (100, 98)
    assert window.duplicate == window.corrupt == window.shifted == ()


def test_duplicates_are_named(world: World) -> None:
    """An event that is there twice makes its window excess."""
    ids = world.record(10)
    world.send()
    world.server.store("purchases", world.server.find(ids[4])[0])
    (window,) = world.verify().windows
    assert (window.state, window.duplicate, window.missing) == (Verdict.EXCESS, (ids[4],), ())


def test_a_loss_hidden_by_a_duplicate_is_found(world: World) -> None:
    """One event lost and one doubled keep the count; the stamps tell all the same."""
    ids = world.record(10)
    world.send(lose={ids[0]})
    world.server.store("purchases", world.server.find(ids[4])[0])
    (window,) = world.verify().windows
    assert window.local_count == window.server_count
    assert (window.state, window.missing, window.duplicate) == (Verdict.MIXED, (ids[0],), (ids[4],))


def test_an_event_that_lost_its_properties_is_corrupt_not_missing(world: World) -> None:
    """With all properties null but Keen's own, the token names the event; it is never resent."""
    ids = world.record(10)
    world.send()
    (event,) = world.server.find(ids[2])
    for name in event:
        event[name] = event[name] if name == "keen" else None
    (window,) = world.verify().windows
    assert (window.state, window.corrupt) == (Verdict.CORRUPT, (ids[2],))
    assert window.missing == window.eligible == ()
    assert window.foreign == 1


def test_a_nameless_event_at_an_absentees_time_disputes_it(world: World) -> None:
    """An absentee that could be an event without stamps and token is disputed, never missing."""
    ids = world.record(10)
    world.send(lose={ids[9]})
    (event,) = world.server.find(ids[2])
    for name in event:
        event[name] = event[name] if name == "keen" else None
    del event["keen"]["uniqueness_token"]
    (window,) = world.verify().windows
    assert window.disputed == (ids[2],)
    assert window.missing == window.eligible == (ids[9],)


def test_a_shifted_event_is_found_at_its_other_time(world: World) -> None:
    """An event whose timestamp moved is shifted in both windows, and missing in none."""
    ids = world.record(10)
    world.record(5, at_ms=HOUR + 2 * MS_PER_HOUR)
    world.send()
    world.server.find(ids[7])[0]["keen"]["timestamp"] = ms_to_iso(HOUR + 2 * MS_PER_HOUR + 9)
    first, second = world.verify().windows
    assert (first.state, first.shifted, first.missing) == (Verdict.SHORT, (ids[7],), ())
    assert (second.state, second.shifted) == (Verdict.EXCESS, (ids[7],))


def test_an_event_shifted_beyond_the_days_around_is_found_too(world: World) -> None:
    """The widest timeframe is asked before anything is called missing."""
    ids = world.record(3)
    world.send()
    world.server.find(ids[0])[0]["keen"]["timestamp"] = "2015-02-01T00:00:00.000Z"
    (window,) = world.verify().windows
    assert (window.shifted, window.missing) == ((ids[0],), ())


def test_another_event_under_our_id_is_a_collision(world: World) -> None:
    """The same id with other stamps is not our event; nothing is resent under that id."""
    ids = world.record(3)
    world.send()
    world.server.find(ids[1])[0]["kc"]["h"] += 1
    (window,) = world.verify().windows
    assert (window.state, window.collision, window.eligible) == (Verdict.DISPUTED, (ids[1],), ())


def test_altered_amounts_are_corrupt_with_their_ids(world: World) -> None:
    """Whole stamps with another amount: the audited total tells, and the event is named."""
    ids = world.record(20)
    world.send()
    world.server.find(ids[11])[0]["price"] = 1000
    (window,) = world.verify().windows
    assert (window.state, window.corrupt) == (Verdict.CORRUPT, (ids[11],))


def test_an_unknown_event_of_our_origin_is_disputed(world: World) -> None:
    """An id of ours that the log does not hold is an alarm."""
    ids = world.record(3)
    world.send()
    event = dict(world.server.find(ids[0])[0])
    stranger = EntryId(ids[0].origin, 900)
    event["kc"] = {**event["kc"], "id": str(stranger), "b": 37}
    event["keen"] = {**event["keen"], "uniqueness_token": str(stranger)}
    world.server.store("purchases", event)
    (window,) = world.verify().windows
    assert window.state is Verdict.DISPUTED
    assert "not in the log" in window.reason
    assert window.strangers == (stranger,)
    assert window.document()["strangers"] == [str(stranger)]


def test_foreign_events_are_counted_and_change_nothing(world: World) -> None:
    """Events of other producers are foreign: a count, no bit."""
    world.record(3)
    world.send()
    keen = {"timestamp": ms_to_iso(HOUR + 5)}
    world.server.store("purchases", {"item": "pen", "keen": keen})
    world.server.store("purchases", {"kc": {"o": "aaaaaaaaaa", "h": "x", "g": None}, "keen": keen})
    report = world.verify()
    assert (report.windows[0].state, report.windows[0].foreign) == (Verdict.FINAL, 2)
    assert report.exit_status() == 0


def test_a_collection_unknown_to_the_server_holds_nothing(world: World) -> None:
    """Everything lost: the collection was never made, and every event is missing."""
    ids = world.record(3)
    world.send(lose=set(ids))
    (window,) = world.verify().windows
    assert (window.state, window.server_count, window.missing) == (Verdict.SHORT, 0, tuple(ids))


def test_a_failing_query_makes_its_windows_incomplete(world: World) -> None:
    """No answer is no verdict: the windows are listed, with the reason and without figures."""
    world.record(3)
    world.send()

    def fail(number: int, query: dict[str, Any]) -> None:
        raise ServerError("the server answered 503", status=503)

    world.server.before_query = fail
    report = world.verify()
    assert {window.state for window in report.windows} == {Verdict.INCOMPLETE}
    assert report.windows[0].server_count is None
    assert report.windows[0].local_count == 3
    assert "503" in report.windows[0].reason
    assert report.exit_status() == 32
    assert len(report.windows) == 6


def test_a_refused_key_ends_the_verification(world: World) -> None:
    """A key that cannot read would fail every query: the error is raised."""
    world.record(3)
    world.send()

    def refuse(number: int, query: dict[str, Any]) -> None:
        raise AuthenticationError("the server answered 401", status=401)

    world.server.before_query = refuse
    with pytest.raises(AuthenticationError):
        world.verify()


def test_unsent_events_keep_a_window_settling(world: World) -> None:
    """What was not sent yet is not missing."""
    world.record(3)
    world.send()
    world.record(2)
    (window,) = world.verify().windows
    assert (window.state, window.missing) == (Verdict.SETTLING, ())
    assert "2 of its events are not sent" in window.reason


def test_a_window_rests_for_the_settle_time_first(world: World) -> None:
    """Before the settle time is over a short window is settling and nothing is looked for."""
    ids = world.record(3)
    world.send(lose={ids[0]})
    world.advance(hours=2)
    (window,) = world.verify("fast").windows
    assert (window.state, window.missing, window.due_ms) == (Verdict.SETTLING, (), HOUR + 7 * MS_PER_HOUR)
    assert len(world.server.queries) == 1


def test_two_reads_apart_make_an_event_eligible(world: World) -> None:
    """The first night suspects, a second read at once adds nothing, a later one makes it eligible."""
    ids = world.record(3)
    world.send(lose={ids[0]})
    world.advance(hours=7)
    first = world.verify("fast").windows[0]
    again = world.verify("fast").windows[0]
    world.advance(hours=1)
    later = world.verify("fast").windows[0]
    assert first.missing == again.missing == later.missing == (ids[0],)
    assert (first.eligible, again.eligible, later.eligible) == ((), (), (ids[0],))
    assert [first.reads, again.reads, later.reads] == [1, 2, 3]


def test_an_absence_under_a_shorter_settle_time_is_counted_anew(world: World) -> None:
    """Somebody looked at once, with --settle 0s: to the patient preset that look is no absence."""
    ids = world.record(3)
    world.send(lose={ids[1]})
    world.advance(hours=2)
    hour = Scope(HOUR, HOUR + MS_PER_HOUR)
    (window,) = world.verifier("standard", settle_ms=0).verify(hour).windows
    assert window.missing == (ids[1],)
    world.advance(hours=24)
    assert world.verify("standard").windows[0].eligible == ()
    world.advance(hours=6)
    assert world.verify("standard").windows[0].eligible == (ids[1],)


def test_a_resend_starts_the_absences_anew(world: World) -> None:
    """Absences from before the last attempt prove nothing."""
    ids = world.record(3)
    world.send(DeliveryState.UNKNOWN, lose={ids[0]})
    world.advance(hours=7)
    world.verify("fast")
    world.advance(hours=1)
    assert world.verify("fast").eligible == (ids[0],)
    world.send(lose={ids[0]}, resend_unknown=True)
    world.advance(hours=7)
    assert world.verify("fast").eligible == ()


def test_an_event_that_was_seen_before_vanished_and_is_not_eligible(world: World) -> None:
    """Evidence of presence is sticky: what a match has vouched for is never resent by itself."""
    ids = world.record(3)
    world.send()
    assert world.verify().windows[0].state is Verdict.FINAL
    world.server.remove({ids[1]})
    world.advance(hours=1)
    (window,) = world.verify().windows
    assert (window.state, window.missing, window.vanished) == (Verdict.SHORT, (ids[1],), (ids[1],))
    assert window.eligible == ()


def test_an_event_that_was_located_and_seen_vanishes_too(world: World) -> None:
    """A read that accounted for a short window vouches for the events it did not miss."""
    ids = world.record(3)
    world.send(lose={ids[0]})
    world.verify()
    world.server.remove({ids[1]})
    world.advance(hours=1)
    (window,) = world.verify().windows
    assert window.missing == (ids[0], ids[1])
    assert (window.vanished, window.eligible) == ((ids[1],), (ids[0],))


def test_unknown_entries_of_a_match_are_acknowledged(world: World) -> None:
    """What a match shows was accepted, whatever became of the answer."""
    ids = world.record(600)
    world.send(DeliveryState.UNKNOWN)
    (window,) = world.verify().windows
    assert window.state is Verdict.FINAL
    assert world.log.outbox.backlog().unknown == 0
    assert state_of(world, ids[300]) is DeliveryState.ACKNOWLEDGED


def test_unknown_entries_that_are_absent_stay_unknown_and_are_missing(world: World) -> None:
    """Of an unknown batch the seen ones are acknowledged, the absent ones are missing."""
    ids = world.record(10)
    world.send(DeliveryState.UNKNOWN, lose={ids[5]})
    (window,) = world.verify().windows
    assert window.missing == window.eligible == (ids[5],)
    assert world.log.outbox.backlog().unknown == 1
    assert state_of(world, ids[4]) is DeliveryState.ACKNOWLEDGED


def test_unknown_entries_are_asked_for_before_the_window_settles(world: World) -> None:
    """Presence needs no settle time: delivery learns early what arrived."""
    ids = world.record(10)
    world.send(DeliveryState.UNKNOWN, lose={ids[5]})
    assert world.verify("fast").windows[0].state is Verdict.SETTLING
    assert world.log.outbox.backlog().unknown == 1


def test_an_unsure_refusal_of_an_absent_event_becomes_a_dead_letter(world: World) -> None:
    """Unknown, then refused: once it is proven absent it is a dead letter, and no longer expected."""
    ids = world.record(3)
    world.send(DeliveryState.UNKNOWN, lose={ids[2]})
    world.verify()
    world.send(DeliveryState.REJECTED, lose={ids[2]}, resend_unknown=True)
    assert [letter.id for letter in world.log.dead_letters.list("unsure")] == [ids[2]]
    world.advance(hours=1)
    assert world.verify().windows[0].eligible == ()
    assert [letter.id for letter in world.log.dead_letters.list()] == [ids[2]]
    (window,) = world.verify().windows
    assert (window.state, window.local_count) == (Verdict.FINAL, 2)


def test_a_window_that_changes_while_it_is_read_is_settling(world: World) -> None:
    """A verdict whose window moved during the query is thrown away."""
    world.record(3)
    world.send()
    world.server.before_query = lambda number, query: void(world.record(1))
    (window,) = world.verify().windows
    assert (window.state, window.reads) == (Verdict.SETTLING, 0)


def void(_: object) -> None:
    """Nothing."""


def test_late_events_during_the_search_give_no_verdict(world: World) -> None:
    """More single events than were counted a moment ago: settling, and nothing is missing."""
    ids = world.record(5)
    world.send(lose={ids[0], ids[1]})
    kept = dict(world.server.find(ids[2])[0])

    def arrive(number: int, query: dict[str, Any]) -> None:
        if number == 1:
            world.server.store("purchases", kept)

    world.server.before_query = arrive
    (window,) = world.verify().windows
    assert (window.state, window.missing, window.eligible) == (Verdict.SETTLING, (), ())


def test_counts_that_still_rise_are_settling(world: World) -> None:
    """A closed window whose count rose between two reads is still draining."""
    ids = world.record(10)
    world.send(lose=set(ids[:5]))
    held = [dict(event) for event in world.server.events["purchases"]]
    world.server.events["purchases"] = held[:2]
    world.advance(hours=7)
    assert world.verify("fast").windows[0].state is Verdict.SHORT
    world.server.events["purchases"] = held
    world.advance(hours=2)
    (window,) = world.verify("fast").windows
    assert (window.state, window.eligible) == (Verdict.SETTLING, ())


def test_single_events_that_contradict_the_totals_are_disputed(world: World) -> None:
    """A read that misses a part, at random, leads to no conclusion."""
    ids = world.record(5)
    world.send()

    def hide(query: dict[str, Any], result: Any) -> Any:
        return result[1:] if query["analysis_type"] == "count" else result

    world.server.remove({ids[0]})
    world.server.alter = hide
    (window,) = world.verify().windows
    assert (window.state, window.missing) == (Verdict.DISPUTED, ())


def test_clocks_far_apart_are_settling_and_warned_about(world: World) -> None:
    """With clocks six minutes apart no age is believed."""
    world.record(3)
    world.send()
    world.advance(hours=30)
    now = world.clock.wall_ms()
    world.server.server_clock = ServerClock(
        server_ms=now + 6 * MS_PER_MINUTE, local_ms=now, elapsed_seconds=0.1
    )
    report = world.verify("standard")
    assert report.windows[0].state is Verdict.SETTLING
    assert "6 minutes ahead" in report.warnings[0]


def test_small_windows_are_compared_as_well(world: World) -> None:
    """Windows of five minutes: the loss is in its own window, the others match."""
    ids = [world.record(3, at_ms=HOUR + minute * MS_PER_MINUTE)[0] for minute in (0, 5, 12)]
    world.send(lose={ids[1]})
    report = world.verify(width_ms=5 * MS_PER_MINUTE, end_ms=HOUR + MS_PER_HOUR)
    assert [window.state for window in report.windows] == [Verdict.FINAL, Verdict.SHORT, Verdict.FINAL]
    assert report.windows[1].missing == (ids[1],)


def test_only_what_is_due_is_read(world: World) -> None:
    """With due_only a window that waits for its next read is counted, not asked for."""
    world.record(3)
    world.send()
    world.advance(hours=30)
    scope = Scope(HOUR, HOUR + 6 * MS_PER_HOUR)
    verifier = world.verifier("standard")
    first = verifier.verify(scope, due_only=True)
    assert [window.state for window in first.windows] == [Verdict.MATCH]
    second = verifier.verify(scope, due_only=True)
    assert (second.windows, second.not_due, second.cost.requests) == ((), 1, 0)


def test_confirm_sorts_ids_by_what_the_widest_timeframe_shows(world: World) -> None:
    """Before a replay: absent, present, corrupt, shifted and collisions are told apart."""
    ids = world.record(5)
    world.send(lose={ids[0]})
    nulled, moved, other = (world.server.find(ids[number])[0] for number in (2, 3, 4))
    nulled.update({"kc": None, "item": None, "price": None})
    moved["keen"]["timestamp"] = "2020-01-01T00:00:00.000Z"
    other["kc"]["g"] += 1
    found = world.verifier().confirm([*ids, EntryId(ids[0].origin, 99)])
    assert found.absent == (ids[0],)
    assert found.present == (ids[1],)
    assert found.corrupt == (ids[2],)
    assert found.shifted == (ids[3],)
    assert found.collisions == (ids[4],)
    assert found.unreadable == (EntryId(ids[0].origin, 99),)
    assert len(world.server.queries) == 1


def test_a_second_look_finds_what_came_late(world: World) -> None:
    """An event that was missing and then arrives matches, and is never eligible again."""
    ids = world.record(3)
    world.send()
    (late,) = world.server.find(ids[0])
    world.server.remove({ids[0]})
    assert world.verify().windows[0].missing == (ids[0],)
    world.server.store("purchases", late)
    world.advance(hours=1)
    assert world.verify().windows[0].state is Verdict.FINAL
    world.server.remove({ids[0]})
    world.advance(hours=1)
    (window,) = world.verify().windows
    assert (window.vanished, window.eligible) == ((ids[0],), ())


def test_the_span_of_a_log_has_what_nobody_folded_yet(world: World) -> None:
    """A night without windows named reads from the first entry to the last, the unsent ones included."""
    span = world.log.expectation.span
    assert span() is None
    world.record(1, at_ms=HOUR + 5 * MS_PER_HOUR + 1)
    assert span() == (HOUR + 5 * MS_PER_HOUR, HOUR + 6 * MS_PER_HOUR)
    world.send()
    world.record(1, at_ms=HOUR + 9 * MS_PER_HOUR)
    world.record(1, at_ms=HOUR)
    assert span() == (HOUR, HOUR + 10 * MS_PER_HOUR)
