"""Attempts that a wrong clock dated: their rest is neither put off for ever nor cut short."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR
from keen_client.eventlog.dating import mind_leap, vouch
from keen_client.eventlog.entry import DeliveryState
from keen_client.events.identity import EntryId

if TYPE_CHECKING:
    from tests.unit.eventlog.conftest import Till

MakeTill = Callable[..., "Till"]
BEHIND_MS = 3 * MS_PER_DAY


def sent_ms(till: Till) -> list[int]:
    """When each range was last sent, by seq."""
    with till.log.state.reading() as db:
        return [ms for (ms,) in db.execute("SELECT last_ms FROM ranges ORDER BY origin, seq_lo")]


def attempted_ms(till: Till, collection: str = "purchases") -> int:
    """When anything of the collection was last sent."""
    start = till.clock.now_ms // MS_PER_DAY * MS_PER_DAY - 10 * MS_PER_DAY
    attempts = till.log.totals.last_attempts(collection, start, start + 400 * MS_PER_DAY, MS_PER_DAY)
    return max(attempts.values())


def first_ms_of(till: Till, entry_id: EntryId) -> int:
    """When the first attempt of the range of this entry was."""
    with till.log.state.reading() as db:
        row = db.execute(
            "SELECT first_ms FROM ranges WHERE origin = ? AND seq_lo <= ? AND seq_hi >= ?",
            (entry_id.origin, entry_id.seq, entry_id.seq),
        ).fetchone()
    return int(row[0])


def mind(till: Till) -> int:
    """Look whether the clock leapt."""
    return mind_leap(till.log.state, till.clock)


def leap(till: Till, by_ms: int) -> None:
    """Step the wall clock alone."""
    till.clock.now_ms += by_ms


def test_what_has_no_answer_rests_from_when_the_clock_was_put_forward(make_till: MakeTill) -> None:
    """The attempt was dated by a clock that was behind, so nobody knows how long ago it was."""
    till = make_till()
    till.record(3)
    till.send(DeliveryState.UNKNOWN)
    leap(till, BEHIND_MS)
    assert mind(till) == 1
    assert sent_ms(till) == [till.clock.now_ms]
    assert attempted_ms(till) == till.clock.now_ms
    till.clock.turn(3_600)
    assert mind(till) == 0
    assert sent_ms(till) == [till.clock.now_ms - MS_PER_HOUR]


def test_the_sender_looks_before_it_claims(make_till: MakeTill) -> None:
    """Whether or not anything is due."""
    till = make_till()
    till.record()
    till.send(DeliveryState.UNKNOWN)
    leap(till, BEHIND_MS)
    assert till.send() == 0
    assert sent_ms(till) == [till.clock.now_ms]


def test_what_a_crash_left_in_flight_has_no_answer_either(make_till: MakeTill) -> None:
    """Whoever looks first, a verification or the next sender."""
    till = make_till()
    till.record()
    till.log.outbox.claim(events_max=10, bytes_max=1_000_000)
    leap(till, BEHIND_MS)
    assert mind(till) == 1
    till.log.outbox.recover()
    assert sent_ms(till) == [till.clock.now_ms]


def test_what_a_run_was_to_send_again_had_no_answer_before(make_till: MakeTill) -> None:
    """It becomes unknown once more when its run lapses."""
    till = make_till()
    till.record()
    till.send(DeliveryState.UNKNOWN)
    with till.log.state.transaction() as db:
        db.execute("UPDATE ranges SET state = 'replay'")
    leap(till, BEHIND_MS)
    assert mind(till) == 1


def test_what_was_answered_keeps_its_time(make_till: MakeTill) -> None:
    """The sender corrects that by the answer's own date."""
    till = make_till()
    till.record()
    till.send()
    then_ms = till.clock.now_ms
    leap(till, BEHIND_MS)
    assert mind(till) == 0
    assert (sent_ms(till), attempted_ms(till)) == ([then_ms], then_ms)


@pytest.mark.parametrize("by_ms", [-BEHIND_MS, -60_000, 60_000])
def test_a_small_step_and_one_back_are_no_leap_forward(make_till: MakeTill, by_ms: int) -> None:
    """What they leave dated ahead waits longer, which does no harm."""
    till = make_till()
    till.record()
    till.send(DeliveryState.UNKNOWN)
    then_ms = till.clock.now_ms
    leap(till, by_ms)
    assert mind(till) == 0
    assert sent_ms(till) == [then_ms]


def test_small_steps_add_up(make_till: MakeTill) -> None:
    """Each is compared with the clock at the last leap, not with the step before."""
    till = make_till()
    till.record()
    till.send(DeliveryState.UNKNOWN)
    found = 0
    for _ in range(6):
        leap(till, 60_000)
        found += mind(till)
    assert found == 1


def test_what_was_vouched_for_rests_on_over_a_leap(make_till: MakeTill) -> None:
    """A machine that sleeps or is started anew each night would put off for ever what it cannot know."""
    till = make_till()
    till.record()
    till.send(DeliveryState.UNKNOWN)
    then_ms = till.clock.now_ms
    till.clock.turn(3_600)
    vouch(till.log.state, till.clock)
    leap(till, 8 * MS_PER_HOUR)
    assert mind(till) == 0
    assert sent_ms(till) == [then_ms]


def test_nothing_vouches_for_what_a_clock_dates_that_fell_behind_afterwards(make_till: MakeTill) -> None:
    """Its dates lie before the moment that was vouched for, and are none the better for it."""
    till = make_till()
    till.record()
    till.send(DeliveryState.UNKNOWN)
    till.clock.turn(3_600)
    vouch(till.log.state, till.clock)
    leap(till, -BEHIND_MS)
    till.record()
    till.send(DeliveryState.UNKNOWN)
    leap(till, BEHIND_MS)
    mind(till)
    assert max(sent_ms(till)) == till.clock.now_ms


def test_a_log_that_knows_no_clock_yet_may_have_been_sent_from_by_any(make_till: MakeTill) -> None:
    """An earlier version noted none."""
    till = make_till()
    till.record()
    till.send(DeliveryState.UNKNOWN)
    with till.log.state.transaction() as db:
        db.execute("DELETE FROM facts WHERE name = 'clock'")
    till.clock.turn(3_600)
    assert mind(till) == 1
    assert sent_ms(till) == [till.clock.now_ms]


def test_an_attempt_that_is_dated_ahead_counts_as_made_at_the_first_honest_look(make_till: MakeTill) -> None:
    """Its rest begins then; one of an honest clock keeps its time."""
    till = make_till()
    till.record(collection="honest")
    till.send()
    honest_ms = till.clock.now_ms
    till.clock.turn(1_200)
    leap(till, 365 * MS_PER_DAY)
    (ahead,) = till.record()
    till.send()
    leap(till, -365 * MS_PER_DAY)
    vouch(till.log.state, till.clock)
    assert (attempted_ms(till, "honest"), attempted_ms(till)) == (honest_ms, till.clock.now_ms)
    assert sorted(sent_ms(till)) == [honest_ms, till.clock.now_ms]
    assert first_ms_of(till, ahead) == till.clock.now_ms
    till.clock.turn(3_600)
    vouch(till.log.state, till.clock)
    assert attempted_ms(till) == till.clock.now_ms - MS_PER_HOUR


def test_a_token_that_is_dated_ahead_stays_of_any_age(make_till: MakeTill) -> None:
    """To take it for one of now would trust it for another month."""
    till = make_till()
    leap(till, 365 * MS_PER_DAY)
    (ahead,) = till.record()
    till.send(DeliveryState.UNKNOWN)
    leap(till, -365 * MS_PER_DAY)
    vouch(till.log.state, till.clock)
    assert first_ms_of(till, ahead) == 1
