"""Events that the server refused and stored: named, never sent once more, and expected once somebody wants them."""

from __future__ import annotations

from typing import Any

import pytest

from keen_client.eventlog.entry import DeliveryState
from keen_client.events.identity import EntryId


def refuse(world: Any, *, stored: bool) -> EntryId:
    """One event that the server says it refused, beside others."""
    (refused,) = world.record(1)
    world.send(DeliveryState.REJECTED, lose=() if stored else [refused])
    world.record(3)
    world.send()
    assert isinstance(refused, EntryId)
    return refused


def test_what_is_there_though_it_was_refused_is_named(world: Any) -> None:
    """Exit status 8 says that there is too much; the report, its document and its segments say what."""
    refused = refuse(world, stored=True)
    report = world.verify()
    (window,) = report.windows
    assert (str(window.state), report.exit_status()) == ("excess", 8)
    assert window.named == {"unexpected": (refused,)}
    assert report.document()["windows"][0]["unexpected"] == [str(refused)]
    assert report.segments[0].document()["named"] == {"unexpected": 1}
    assert {str(state) for state in report.segments[0].windows} == {"excess"}


def test_a_retry_of_what_is_there_sends_nothing_and_expects_it(world: Any) -> None:
    """It is there once, the window matches, and it is no dead letter any more."""
    refused = refuse(world, stored=True)
    world.verify()
    letters = world.log.dead_letters
    assert letters.there([refused]) == (refused,)
    assert letters.retry([refused]) == 1
    world.send()
    assert len(world.server.find(refused)) == 1
    assert letters.find(refused) is None
    assert letters.there([refused]) == ()
    backlog = world.log.outbox.backlog()
    assert (backlog.unsent, backlog.rejected) == (0, 0)
    assert world.verify().exit_status() == 0


@pytest.mark.parametrize("is_verified", [True, False])
def test_a_retry_of_what_no_query_showed_sends_it(world: Any, *, is_verified: bool) -> None:
    """Refused and not there, or there and never looked for: a retry is what it says."""
    refused = refuse(world, stored=False)
    if is_verified:
        assert world.verify().exit_status() == 0
    letters = world.log.dead_letters
    assert letters.there([refused]) == ()
    assert letters.retry([refused]) == 1
    world.send()
    assert len(world.server.find(refused)) == 1
    assert world.verify().exit_status() == 0


def test_what_was_dropped_and_is_there_stays_named(world: Any) -> None:
    """A decision does not take it from the server; nobody sends it, and the report goes on naming it."""
    refused = refuse(world, stored=True)
    world.verify()
    assert world.log.dead_letters.drop([refused]) == 1
    assert world.log.dead_letters.retry([refused]) == 0
    world.send()
    (window,) = world.verify().windows
    assert window.named == {"unexpected": (refused,)}
    assert len(world.server.find(refused)) == 1


def test_an_event_too_many_beside_one_too_few_is_both(world: Any) -> None:
    """In the window and in its segment: neither hides the other."""
    refused = refuse(world, stored=True)
    (lost,) = world.record(1)
    world.send(lose=[lost])
    report = world.verify()
    (window,) = report.windows
    assert window.named == {"missing": (lost,), "unexpected": (refused,)}
    assert [str(share.state) for share in window.shares] == ["mixed"]
    assert report.exit_status() == 12


def test_a_match_without_a_dead_letter_does_not_show_it(world: Any) -> None:
    """Refused after an attempt nobody knows the outcome of, and proven absent: the window matches without it, and a retry sends it."""
    (refused,) = world.record(1)
    world.send(DeliveryState.UNKNOWN, lose=[refused])
    world.send(DeliveryState.REJECTED, lose=[refused], resend_unknown=True)
    world.record(3)
    world.send()
    letters = world.log.dead_letters
    assert letters.find(refused).status == "unsure"
    world.verify()
    assert letters.find(refused).status == "dead"
    assert world.verify().exit_status() == 0
    assert letters.there([refused]) == ()
    assert letters.retry([refused]) == 1
    world.send()
    assert len(world.server.find(refused)) == 1
