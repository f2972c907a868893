"""Given up: named, expected on, never resent by itself, and for a person to decide about."""

from __future__ import annotations

from typing import Any

import pytest

from keen_client.eventlog.dead_letters import GIVEN_UP
from keen_client.eventlog.ranges import change_entry
from keen_client.events.identity import EntryId
from keen_client.verify.report import VerifyReport


def resend_in_vain(world: Any, entry_id: EntryId, runs: int) -> None:
    """As many replay runs as that resent it, ten days ago, and it is not there."""
    with world.log.state.transaction() as db:
        for run in range(1, runs + 1):
            db.execute(
                "INSERT INTO runs (run, made_ms, preset, scope) VALUES (?, ?, 'fast', '{}')",
                (run, world.clock.wall_ms()),
            )
            db.execute(
                "INSERT INTO run_entries VALUES (?, ?, ?, 'purchases', ?, 0)",
                (run, entry_id.origin, entry_id.seq, world.clock.wall_ms()),
            )
        change_entry(db, entry_id.origin, entry_id.seq, run=runs, a=100 * runs)
    world.advance(hours=240)


def look(world: Any) -> VerifyReport:
    """Two looks, far enough apart to prove an absence; the report of the second."""
    world.verify("fast")
    world.advance(hours=2)
    report = world.verify("fast")
    assert isinstance(report, VerifyReport)
    return report


@pytest.fixture
def lost(world: Any) -> EntryId:
    """An event that three runs resent in vain, beside four that are there."""
    (lost, *_) = world.record(5)
    world.send(lose=[lost])
    resend_in_vain(world, lost, 3)
    assert isinstance(lost, EntryId)
    return lost


@pytest.mark.parametrize(("runs", "is_given_up"), [(2, False), (3, True), (4, True)])
def test_three_resends_in_vain_are_enough(world: Any, runs: int, *, is_given_up: bool) -> None:
    """After two it may be resent once more; after three it is named as given up, and its window stays short."""
    (lost, *_) = world.record(5)
    world.send(lose=[lost])
    resend_in_vain(world, lost, runs)
    report = look(world)
    (window,) = report.windows
    assert window.missing == (lost,)
    assert (window.given_up, window.eligible) == (((lost,), ()) if is_given_up else ((), (lost,)))
    assert (str(window.state), window.local_count, window.server_count) == ("short", 5, 4)
    assert report.exit_status() == 4
    assert report.document()["windows"][0]["given_up"] == [str(lost)] * is_given_up
    assert len(report.warnings) == is_given_up
    assert world.log.dead_letters.given_up() == is_given_up


def test_nothing_is_given_up_before_its_absence_after_the_last_resend_is_proven(
    world: Any, lost: EntryId
) -> None:
    """One look is none of two."""
    (window,) = world.verify("fast").windows
    assert (window.missing, window.given_up) == ((lost,), ())
    assert world.log.dead_letters.list() == []


def test_it_is_counted_once_and_its_letter_names_the_runs(world: Any, lost: EntryId) -> None:
    """Later looks change nothing of it."""
    look(world)
    (letter,) = world.log.dead_letters.list()
    assert (letter.id, letter.name) == (lost, GIVEN_UP)
    assert "runs 1, 2 and 3" in letter.message
    (window,) = look(world).windows
    assert window.given_up == (lost,)
    assert world.log.dead_letters.list() == [letter]
    assert world.log.state.counter("given_up") == 1


def test_a_retry_sends_it_once_more_under_a_new_token(world: Any, lost: EntryId) -> None:
    """Once, whoever asks how often; still not there, it is given up again."""
    look(world)
    assert world.log.dead_letters.retry([lost]) == 1
    assert world.log.dead_letters.retry([lost]) == 0
    world.send(lose=[lost])
    world.advance(hours=48)
    (window,) = look(world).windows
    assert (window.given_up, window.eligible) == ((lost,), ())
    assert world.log.dead_letters.retry([lost]) == 1
    world.send()
    (there,) = [e for e in world.server.events["purchases"] if e["kc"]["id"] == str(lost)]
    assert there["keen"]["uniqueness_token"] == f"{lost}~2"
    world.advance(hours=48)
    assert look(world).exit_status() == 0


def test_a_drop_writes_it_off(world: Any, lost: EntryId) -> None:
    """Nothing is expected of it any more: its window matches, and nothing speaks against it."""
    look(world)
    assert world.log.dead_letters.drop([lost]) == 1
    assert look(world).exit_status() == 0
    assert world.log.dead_letters.given_up() == 0
    with world.log.state.reading() as db:
        assert db.execute("SELECT kind FROM evidence").fetchall() == []


def test_what_comes_to_light_is_no_dead_letter_any_more(world: Any, lost: EntryId) -> None:
    """It was late, or the key was mended: seen once, it needs no decision, and none can be made."""
    hidden: list[dict[str, Any]] = []
    look(world)
    change = world.server.events["purchases"]
    entry = world.log.shelf.pick([lost])[lost]
    h, g = entry.digest()
    hidden.append(
        {
            "item": "book",
            "price": 10,
            "kc": {
                "v": 1,
                "id": str(lost),
                "o": lost.origin,
                "b": 0,
                "p": 4**lost.seq,
                "h": h,
                "g": g,
                "a": 0,
            },
            "keen": {
                "timestamp": change[0]["keen"]["timestamp"][:-4] + "000Z",
                "uniqueness_token": str(lost),
            },
        }
    )
    change.extend(hidden)
    assert look(world).exit_status() == 0
    assert world.log.dead_letters.list() == []
    assert world.log.dead_letters.retry([lost]) == 0


def test_it_stays_given_up_where_its_runs_are_forgotten(world: Any, lost: EntryId) -> None:
    """The decision that is waited for does not depend on the lists of the runs."""
    look(world)
    with world.log.state.transaction() as db:
        db.execute("DELETE FROM run_entries")
    (window,) = look(world).windows
    assert (window.given_up, window.eligible) == ((lost,), ())
