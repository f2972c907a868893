"""Lasting differences: a segment need not wait for what will never match, and nothing goes that is not named or kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR, ms_to_iso
from keen_client.eventlog.dead_letters import GIVEN_UP, bury
from keen_client.eventlog.deletions import Deletion, Deletions
from keen_client.eventlog.entry import DeliveryState
from keen_client.eventlog.reclaim import Reclaimed, Reclaimer
from keen_client.events.identity import EntryId
from keen_client.verify import amounts
from keen_client.verify.finality import Finality
from keen_client.verify.lasting import as_matches
from keen_client.verify.observations import Observation
from keen_client.verify.presets import preset
from keen_client.verify.report import WindowReport
from keen_client.verify.verdict import CONTRADICTION, UNNAMED, Verdict

if TYPE_CHECKING:
    from tests.unit.verify.conftest import World

HOUR = 1_790_812_800_000

Fault = Callable[["World", list[EntryId]], None]


def is_final(world: World) -> bool:
    """What retention would be told under the preset ``fast``."""
    return Finality(world.log, world.clock, preset("fast"))("purchases", HOUR // MS_PER_HOUR)


def look(world: World) -> WindowReport:
    """One look at the hour; ``fast`` asks for two an hour apart, six hours after the hour, and one after ten days."""
    (window,) = world.verify("fast", end_ms=HOUR + MS_PER_HOUR).windows
    return window


def look_as_often_as_a_match_needs(world: World) -> WindowReport:
    """The states before the last look are not final."""
    for hours in (8, 2):
        world.advance(hours=hours)
        look(world)
        assert not is_final(world)
    world.advance(hours=241)
    return look(world)


def reclaim(world: World) -> Reclaimed:
    """A night's reclaim two months later; other events are recorded then, so that the segment ends."""
    world.advance(hours=61 * 24)
    world.record(1, collection="later")
    world.log.tend()
    world.send()
    log = world.log
    log.outbox.claim(events_max=1, bytes_max=1)
    reclaimer = Reclaimer(log.directory, log.state, log.shelf, log.config, world.clock)
    return reclaimer.reclaim(Finality(log, world.clock, preset("fast")), clock_agrees=True)


def null(world: World, ids: list[EntryId]) -> None:
    """One event loses all its properties but Keen's own."""
    (event,) = world.server.find(ids[2])
    event.update({name: None for name in event if name != "keen"})


def null_with_token(world: World, ids: list[EntryId]) -> None:
    """Its token too: it may be any of those that are absent."""
    (event,) = world.server.find(ids[2])
    null(world, ids)
    del event["keen"]["uniqueness_token"]


def double(world: World, ids: list[EntryId]) -> None:
    """One event is there twice."""
    world.server.store("purchases", world.server.find(ids[2])[0])


def alter(world: World, ids: list[EntryId]) -> None:
    """Another amount under whole stamps."""
    world.server.find(ids[2])[0]["price"] = 1000


def move(world: World, ids: list[EntryId]) -> None:
    """One event is shown at another time, whole."""
    world.server.find(ids[2])[0]["keen"]["timestamp"] = ms_to_iso(HOUR + 2 * MS_PER_HOUR + 9)


def null_and_double(world: World, ids: list[EntryId]) -> None:
    """Both at once, of different events."""
    null(world, ids)
    world.server.store("purchases", world.server.find(ids[4])[0])


@pytest.mark.parametrize(
    ("fault", "state", "kept"),
    [
        (null, Verdict.CORRUPT, {2}),
        (alter, Verdict.CORRUPT, {2}),
        (null_with_token, Verdict.DISPUTED, {2}),
        (move, Verdict.SHORT, {2}),
        (double, Verdict.EXCESS, set()),
        (null_and_double, Verdict.EXCESS, {2}),
    ],
)
def test_what_differs_lastingly_and_is_named_lets_its_segment_go(
    world: World, fault: Fault, state: Verdict, kept: set[int]
) -> None:
    """After as many looks as a match needs; entries that are not whole at the server stay behind in the log."""
    ids = world.record(10)
    world.send()
    fault(world, ids)
    assert look_as_often_as_a_match_needs(world).state is state
    assert is_final(world)
    done = reclaim(world)
    assert (done.segments, done.kept) == (1, len(kept))
    assert set(world.log.shelf.pick(ids)) == {ids[number] for number in kept}
    window = look(world)
    assert window.state in {state, Verdict.UNVERIFIABLE}
    assert window.missing == window.eligible == ()


def lose(world: World, ids: list[EntryId]) -> None:
    """It never was there, and may be resent."""
    world.server.remove({ids[2]})


def lose_and_double(world: World, ids: list[EntryId]) -> None:
    """One is gone, another one is there twice."""
    double(world, ids)
    world.server.remove({ids[5]})


def collide(world: World, ids: list[EntryId]) -> None:
    """Another event under an id of ours."""
    world.server.find(ids[2])[0]["kc"]["h"] += 1


def bring_a_stranger(world: World, ids: list[EntryId]) -> None:
    """An id of ours that the log does not hold."""
    event = dict(world.server.find(ids[0])[0])
    stranger = str(EntryId(ids[0].origin, 900))
    event["kc"] = {**event["kc"], "id": stranger, "b": 37}
    event["keen"] = {**event["keen"], "uniqueness_token": stranger}
    world.server.store("purchases", event)


def delete(world: World, ids: list[EntryId]) -> None:
    """By `delete_events` with filters: somebody has to say what was meant."""
    lose(world, ids)
    Deletions(world.log.state).note(Deletion("purchases", HOUR, HOUR + MS_PER_HOUR, world.clock.wall_ms()))


@pytest.mark.parametrize("fault", [lose, lose_and_double, collide, bring_a_stranger, delete])
def test_what_may_still_be_mended_or_is_not_named_stays(world: World, fault: Fault) -> None:
    """However long it lasts, and however often it is seen."""
    ids = world.record(10)
    world.send()
    fault(world, ids)
    assert look_as_often_as_a_match_needs(world).state is not Verdict.MATCH
    assert not is_final(world)
    assert reclaim(world).segments == 0
    assert set(world.log.shelf.pick(ids)) == set(ids)


def test_an_event_that_vanished_from_a_window_with_a_lasting_difference_stays(world: World) -> None:
    """It was there, and may come back; no look at the others lets its file go."""
    ids = world.record(10)
    world.send()
    double(world, ids)
    assert look_as_often_as_a_match_needs(world).state is Verdict.EXCESS
    assert is_final(world)
    world.server.remove({ids[7]})
    world.advance(hours=2)
    assert look(world).vanished == (ids[7],)
    assert not is_final(world)
    assert look_again_twice(world).vanished == (ids[7],)
    assert not is_final(world)


def give_up(world: World, entry_id: EntryId) -> None:
    """As after three runs that resent it in vain."""
    (entry,) = world.log.shelf.pick([entry_id]).values()
    with world.log.state.transaction() as db:
        bury(db, entry, GIVEN_UP, "absent after three runs", "dead", world.clock.wall_ms())


def test_an_event_that_was_given_up_lets_its_segment_go_and_stays_in_the_log(world: World) -> None:
    """No run resends it any more; a person still can."""
    ids = world.record(10)
    world.send(lose=[ids[2]])
    look_as_often_as_a_match_needs(world)
    assert not is_final(world)
    give_up(world, ids[2])
    assert is_final(world)
    done = reclaim(world)
    assert (done.segments, done.kept) == (1, 1)
    assert set(world.log.shelf.pick(ids)) == {ids[2]}
    assert world.log.dead_letters.retry([ids[2]]) == 1
    world.send()
    assert [e["kc"]["id"] for e in world.server.events["purchases"]].count(str(ids[2])) == 1


def test_one_given_up_beside_one_that_may_be_resent_stays(world: World) -> None:
    """Each of the missing has to be given up."""
    ids = world.record(10)
    world.send(lose=[ids[2], ids[3]])
    look_as_often_as_a_match_needs(world)
    give_up(world, ids[2])
    assert not is_final(world)


def look_again_twice(world: World) -> WindowReport:
    """Two more looks, as far apart as any preset asks."""
    world.advance(hours=300)
    look(world)
    world.advance(hours=300)
    return look(world)


def test_altered_amounts_of_too_many_events_to_tell_which_stay(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside a corrupt event that is named, too: its name says nothing of the others."""
    monkeypatch.setattr(amounts, "EVENTS_MAX", 5)
    ids = world.record(10)
    world.send()
    null(world, ids)
    world.server.find(ids[7])[0]["price"] = 1000
    window = look_as_often_as_a_match_needs(world)
    assert (window.state, window.corrupt) == (Verdict.CORRUPT, (ids[2],))
    assert "amounts are altered" in window.reason
    assert not is_final(world)


def test_a_difference_that_changes_is_looked_at_as_often_again(world: World) -> None:
    """What was there under another difference says nothing of this one; one look alone neither."""
    ids = world.record(10)
    world.send()
    double(world, ids)
    assert look_as_often_as_a_match_needs(world).state is Verdict.EXCESS
    assert is_final(world)
    null(world, ids[2:])
    world.advance(hours=2)
    look(world)
    assert not is_final(world)
    world.advance(hours=2)
    assert look(world).corrupt == (ids[4],)
    assert is_final(world)


def test_after_matches_one_look_at_a_difference_does_not_do(world: World) -> None:
    """The matches before it are none of this difference."""
    ids = world.record(10)
    world.send()
    assert look_as_often_as_a_match_needs(world).state is Verdict.FINAL
    null(world, ids)
    world.advance(hours=2)
    assert look(world).state is Verdict.CORRUPT
    assert not is_final(world)
    world.advance(hours=2)
    look(world)
    assert is_final(world)


def test_an_entry_whose_outcome_is_unknown_keeps_its_window(world: World) -> None:
    """What delivery does not know no difference settles, though it is named."""
    ids = world.record(10)
    world.send()
    null(world, ids)
    look_as_often_as_a_match_needs(world)
    assert is_final(world)
    with world.log.state.transaction() as db:
        db.execute("UPDATE ranges SET state = ? WHERE origin = ?", (DeliveryState.UNKNOWN, ids[0].origin))
    assert not is_final(world)


def test_a_corrupt_window_without_one_name_stays(world: World) -> None:
    """The evidence is what is asked: where it is lost, nothing is settled."""
    ids = world.record(10)
    world.send()
    null(world, ids)
    look_as_often_as_a_match_needs(world)
    with world.log.state.transaction() as db:
        db.execute("DELETE FROM evidence")
    assert not is_final(world)


def test_a_name_from_an_earlier_look_does_not_do(world: World) -> None:
    """What the last look found has to be named by it."""
    ids = world.record(10)
    world.send()
    null(world, ids)
    look_as_often_as_a_match_needs(world)
    with world.log.state.transaction() as db:
        db.execute("UPDATE evidence SET last_ms = last_ms - 1")
    assert not is_final(world)


@pytest.mark.parametrize("reason", [CONTRADICTION, *(f"1 corrupt, 1 {words}" for words in UNNAMED)])
def test_a_look_that_names_not_all_settles_nothing(world: World, reason: str) -> None:
    """A contradiction proves nothing, and what has no name cannot be kept."""
    ids = world.record(10)
    world.send()
    null_with_token(world, ids)
    look_as_often_as_a_match_needs(world)
    assert is_final(world)
    with world.log.state.transaction() as db:
        db.execute("UPDATE observations SET reason = ?", (reason,))
    assert not is_final(world)


def test_a_later_difference_in_another_width_ends_it(world: World) -> None:
    """As it ends a match: the hour was not looked at since."""
    ids = world.record(10)
    world.send()
    double(world, ids)
    look_as_often_as_a_match_needs(world)
    assert is_final(world)
    double(world, ids[5:])
    world.advance(hours=2)
    world.verify("fast", end_ms=HOUR + MS_PER_DAY, width_ms=MS_PER_DAY)
    assert not is_final(world)


def test_only_looks_that_are_as_the_last_one_count() -> None:
    """Others become too early to tell, matches too."""
    one = Observation(1, Verdict.CORRUPT, "1 corrupt", 10, 9, "f")
    others = [
        Observation(0, Verdict.MATCH, "", 10, 10, "f"),
        Observation(0, Verdict.CORRUPT, "2 corrupt", 10, 9, "f"),
        Observation(0, Verdict.CORRUPT, "1 corrupt", 10, 8, "f"),
        Observation(0, Verdict.CORRUPT, "1 corrupt", 10, 9, "g"),
    ]
    *before, last = as_matches([*others, one])
    assert {observation.verdict for observation in before} == {Verdict.SETTLING}
    assert last.verdict is Verdict.MATCH
