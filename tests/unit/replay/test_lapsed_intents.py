"""Intents lapse: what a run was to resend and did not is asked for anew, not sent on what was known long ago."""

from __future__ import annotations

from typing import Any

import pytest

from keen_client.eventlog.deletions import Deletion, Deletions
from keen_client.eventlog.entry import DeliveryState
from keen_client.eventlog.intents import SEEN
from keen_client.eventlog.outbox import Settlement
from keen_client.eventlog.ranges import Range, range_at
from keen_client.events.identity import EntryId
from keen_client.replay.plan import Intent
from keen_client.replay.stored_run import read_run
from keen_client.verify.settle_unknown import acknowledge_seen
from keen_client.verify.tokens import tokens_of
from keen_client.verify.verifier import Verifier

DAY = ("2026-10-01", "2026-10-02")


def log_of(rig: Any) -> Any:
    return rig.client._core.need_machinery().log


def begin(rig: Any, ids: list[EntryId], tier: int = 0) -> int:
    entries = dict(log_of(rig).shelf.pick(ids))
    return int(rig.runs.begin([Intent(i, tier) for i in ids], entries, "standard", {"start": "x"}))


def place(rig: Any, entry_id: EntryId) -> Range:
    with log_of(rig).state.reading() as db:
        row = range_at(db, entry_id.origin, entry_id.seq)
    assert row is not None
    return row


def claim_all(rig: Any) -> Any:
    return log_of(rig).outbox.claim(events_max=100, bytes_max=10**6)


def turn_away(rig: Any, claim: Any) -> None:
    """As after a 402: surely not accepted."""
    log_of(rig).outbox.settle(claim, [Settlement(DeliveryState.PENDING)] * len(claim.entries))


def listed(rig: Any, run: int) -> tuple[list[EntryId], str, bool]:
    stored = read_run(log_of(rig).state, run)
    return [event.id for event in stored.events], stored.stopped, stored.done_ms is not None


@pytest.mark.parametrize("is_tried", [False, True])
def test_what_a_query_showed_is_not_resent(rig: Any, *, is_tried: bool) -> None:
    """Nor where an attempt of the run was turned away; the others of its run are, and the run says which it lost."""
    rig.server.faults.change({"tokens": "off"})
    ids = rig.record_and_send(3)
    run = begin(rig, ids)
    if is_tried:
        turn_away(rig, claim_all(rig))
    acknowledge_seen(log_of(rig), ids[:2])

    assert rig.client.flush().acknowledged == 1
    assert list(rig.there().values()) == [1, 1, 2]
    assert listed(rig, run) == ([ids[2]], f"2 not resent: {SEEN}", False)


def test_a_verification_that_shows_an_event_again_takes_it_back(rig: Any) -> None:
    """Tokens off, and the event was late, not lost: between the run and the next flush somebody verified."""
    rig.server.faults.change({"tokens": "off"})
    rig.server.faults.change({"delay": "1:30h"})
    rig.record_and_send(20)
    rig.server.faults.change({"delay": None})
    rig.advance(hours=26)
    late = rig.client.verify(*DAY).windows[0].missing
    assert late
    begin(rig, list(late))
    rig.advance(hours=10)

    rig.client.verify(*DAY)

    assert rig.client.flush().acknowledged == 0
    assert set(rig.there().values()) == {1}


def test_what_is_in_flight_is_left_to_its_sender(rig: Any) -> None:
    """Neither a read nor a new job takes from a sender what it has in hand."""
    ids = rig.record_and_send(2)
    run = begin(rig, ids)
    assert claim_all(rig) is not None
    acknowledge_seen(log_of(rig), ids)
    rig.runs.lapse()
    assert {place(rig, i).state for i in ids} == {DeliveryState.INFLIGHT}
    assert listed(rig, run)[0] == ids


def test_a_new_night_asks_before_it_resends(rig: Any) -> None:
    """What is there by then is not sent, though a run that was left over has it on its list."""
    rig.server.faults.change({"tokens": "off"})
    ids = rig.record_and_send(5)
    run = begin(rig, ids[:2])
    rig.reopen()
    rig.advance(hours=26)

    report = rig.nightly()

    assert report.sent.acknowledged == 0
    assert rig.there() == dict.fromkeys(map(str, ids), 1)
    events, stopped, is_done = listed(rig, run)
    assert (events, is_done) == ([], True)
    assert stopped.startswith("2 not resent: the job was over")


def test_what_is_still_missing_is_resent_by_the_next_run(rig: Any) -> None:
    """The first job was killed before anything left; the next one takes its run back, confirms, and makes its own."""
    ids = rig.record_and_send(40, lose=3)
    lost = [i for i in ids if str(i) not in rig.there()]
    for hours in (26, 6):
        rig.advance(hours=hours)
        rig.client.verify(*DAY)
    begin(rig, lost)
    rig.reopen()
    rig.advance(hours=6)

    report = rig.nightly()

    assert (report.sent.acknowledged, report.replay.run) == (0, 2)
    assert report.replay.replayed == tuple(lost)
    assert rig.there() == dict.fromkeys(map(str, ids), 1)
    assert rig.replayed() == [(2, str(i), 0) for i in lost]


def test_only_a_job_that_sends_takes_back(rig: Any) -> None:
    """A dry run leaves the intents of another where they are; a replay that is meant takes them back."""
    run = begin(rig, rig.record_and_send(2))
    rig.client.replay(*DAY)
    assert rig.runs.is_under_way(run)
    rig.client.replay(*DAY, yes=True)
    assert not rig.runs.is_under_way(run)


def test_an_entry_becomes_what_it_was(rig: Any) -> None:
    """State, run and token tier are those of its last resend; what was never sent begins no tier's patience."""
    (one,) = rig.record_and_send(1)
    (unsure,) = rig.record(1)
    assert claim_all(rig) is not None
    log_of(rig).outbox.recover()
    before = place(rig, unsure)
    begin(rig, [one], tier=1)
    rig.client.flush()
    resent = place(rig, one)
    earlier = rig.runs.earlier([one])
    rig.advance(hours=300)

    begin(rig, [one, unsure], tier=2)
    assert rig.runs.lapse() == 2

    assert place(rig, one) == resent
    assert (place(rig, unsure).state, place(rig, unsure).unsure) == (DeliveryState.UNKNOWN, 1)
    assert (place(rig, unsure).run, place(rig, unsure).tier) == (before.run, before.tier)
    assert tokens_of(log_of(rig).state, [one])[one] == (str(one), f"{one}~1")
    assert rig.runs.earlier([one, unsure]) == earlier


def test_what_comes_back_unsent_after_its_run_lapsed_is_not_tried_again(rig: Any) -> None:
    """A sender of another process had it in hand when the new job began."""
    (one,) = rig.record_and_send(1)
    begin(rig, [one])
    claim = claim_all(rig)
    rig.runs.lapse()
    turn_away(rig, claim)
    assert place(rig, one).state is DeliveryState.ACKNOWLEDGED
    assert claim_all(rig) is None


def test_a_dead_letter_that_is_sent_once_more_is_no_intent(rig: Any) -> None:
    """Refused within a run and then retried by a person: nothing takes that back but the event being there."""
    (one,) = rig.record_and_send(1)
    begin(rig, [one])
    claim = claim_all(rig)
    log_of(rig).outbox.settle(claim, [Settlement(DeliveryState.REJECTED, name="InvalidEventError")])
    assert log_of(rig).dead_letters.retry([one]) == 1
    assert rig.runs.lapse() == 0
    assert place(rig, one).state is DeliveryState.PENDING


@pytest.mark.parametrize("is_in_flight", [False, True])
def test_what_was_deleted_is_not_brought_back(rig: Any, *, is_in_flight: bool) -> None:
    """A deletion takes back the intents that it covers, and no others; also what comes back from a sender later."""
    ids = rig.record_and_send(2)
    others = rig.record(1, "visits")
    rig.client.flush()
    run = begin(rig, [*ids, *others])
    claim = claim_all(rig) if is_in_flight else None
    Deletions(log_of(rig).state).note(
        Deletion("purchases", -(2**62), 2**62, rig.clock.wall_ms(), is_accepted=True)
    )
    if claim is not None:
        turn_away(rig, claim)

    assert {place(rig, i).state for i in ids} == {DeliveryState.ACKNOWLEDGED}
    assert rig.client.flush().acknowledged == 1
    assert listed(rig, run)[:2] == (others, "2 not resent: delete_events went there")


def test_a_run_keeps_what_was_noted_of_it_when_it_ends(rig: Any) -> None:
    """Its job may live on and end it: what was taken from it meanwhile goes on being told."""
    ids = rig.record_and_send(2)
    run = begin(rig, ids)
    acknowledge_seen(log_of(rig), ids[:1])
    rig.runs.finish(run)
    assert listed(rig, run) == (ids[1:], f"1 not resent: {SEEN}", True)


@pytest.mark.parametrize("happens", ["sent again", "deleted"])
def test_what_changes_while_a_night_asks_is_not_resent(
    rig: Any, monkeypatch: pytest.MonkeyPatch, happens: str
) -> None:
    """Between the last question and the run the application's sender resent it, or somebody deleted it."""
    rig.nightly("immediate")
    ids = rig.record_and_send(10, lose=1)
    lost = next(i for i in ids if str(i) not in rig.there())
    confirm = Verifier.confirm

    def meanwhile(self: Verifier, wanted: Any) -> Any:
        confirmation = confirm(self, wanted)
        state = log_of(rig).state
        if happens == "deleted":
            Deletions(state).note(Deletion("purchases", -(2**62), 2**62, rig.clock.wall_ms()))
        else:
            with state.transaction() as db:
                db.execute("UPDATE ranges SET a = a + 1, last_ms = last_ms + 1")
        return confirmation

    monkeypatch.setattr(Verifier, "confirm", meanwhile)
    report = rig.client.replay(*DAY, preset="immediate", yes=True)
    assert [intent.id for intent in report.planned] == [lost]
    assert (report.run, report.replayed) == (None, ())
    assert rig.replayed() == []
