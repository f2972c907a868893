"""What was deleted on purpose is remembered, and what it may have taken is told from what it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keen_client.eventlog.deletions import Deletion, Deletions, bounded
from keen_client.eventlog.entry import DeliveryState, Entry
from keen_client.eventlog.ranges import Range, put_range
from keen_client.eventlog.state import State

ENTRY = Entry("4kq7x2m9pz", 7, "c", timestamp_ms=1_000, recorded_ms=5_000, body="{}", keen="")
DELETION = Deletion("c", 1_000, 2_000, at_ms=5_000)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    """A state of its own."""
    state = State(tmp_path)
    yield state
    state.close()


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (ENTRY, True),
        (attrs.evolve(ENTRY, timestamp_ms=1_999), True),
        (attrs.evolve(ENTRY, timestamp_ms=999), False),
        (attrs.evolve(ENTRY, timestamp_ms=2_000), False),
        (attrs.evolve(ENTRY, collection="d"), False),
        (attrs.evolve(ENTRY, recorded_ms=5_001), False),
    ],
    ids=["start", "last", "before", "end", "elsewhere", "recorded-later"],
)
def test_a_deletion_may_have_taken_what_lay_there_then(state: State, entry: Entry, expected: bool) -> None:
    """Of its collection, in its timeframe, recorded before; and nothing else."""
    deletions = Deletions(state)
    assert deletions.held_back([entry]) == frozenset()
    deletions.note(DELETION)
    assert (entry.id in deletions.held_back([entry])) is expected


def test_deletions_outlive_the_process(tmp_path: Path) -> None:
    """They are in the state, and another process sees them."""
    one = State(tmp_path)
    Deletions(one).note(DELETION)
    one.close()
    other = State(tmp_path)
    assert Deletions(other).all() == [DELETION]
    other.close()


def test_a_withdrawn_deletion_holds_nothing_back(state: State) -> None:
    """And the others stay; withdrawing what is not there is no error."""
    deletions = Deletions(state)
    later = attrs.evolve(DELETION, at_ms=6_000)
    deletions.note(DELETION)
    deletions.note(later)
    deletions.withdraw(DELETION)
    deletions.withdraw(DELETION)
    assert deletions.all() == [later]


def test_what_was_first_sent_later_is_held_back_and_not_written_off(state: State) -> None:
    """It waited while the deletion went by, so that it is absent has another cause; somebody may decide all the same."""
    deletions = Deletions(state)
    accepted = attrs.evolve(DELETION, is_accepted=True)
    deletions.note(accepted)
    before, later = attrs.evolve(ENTRY, seq=1), attrs.evolve(ENTRY, seq=2)
    with state.transaction() as db:
        for entry, sent_ms in ((before, 4_999), (later, 5_000)):
            put_range(
                db, Range(entry.origin, entry.seq, entry.seq, DeliveryState.ACKNOWLEDGED, first_ms=sent_ms)
            )

    assert deletions.held_back([before, later]) == {before.id, later.id}
    assert deletions.written_off([before, later]) == {before.id}
    assert deletions.accept(accepted)
    assert deletions.written_off([before, later]) == {before.id, later.id}


def test_in_a_rebuilt_log_the_time_of_recording_decides(state: State) -> None:
    """When its entries were first sent is not known there: all were noted as sent when it was rebuilt."""
    deletions = Deletions(state)
    deletions.note(attrs.evolve(DELETION, is_accepted=True))
    with state.transaction() as db:
        put_range(db, Range(ENTRY.origin, 1, 9, DeliveryState.UNKNOWN, first_ms=9_000))
        db.execute(
            "INSERT INTO origins (origin, day, made_ms, rebuilt, changed_ms) VALUES (?, '2026-10-01', 0, 1, 0)",
            (ENTRY.origin,),
        )
    assert deletions.written_off([ENTRY]) == {ENTRY.id}


def test_a_deletion_noted_by_an_earlier_version_is_read(state: State) -> None:
    """It knew of no decision."""
    state.note("deletions", '[["c",1000,2000,5000,true]]')
    assert Deletions(state).all() == [attrs.evolve(DELETION, is_accepted=True)]


SPANS = st.tuples(st.sampled_from("cde"), st.integers(0, 50), st.integers(1, 50), st.integers(0, 100))


@given(st.lists(SPANS, max_size=30), st.integers(3, 10), SPANS)
def test_a_bound_never_lets_go_what_was_held_back(
    spans: list[tuple[str, int, int, int]], most: int, at: tuple[str, int, int, int]
) -> None:
    """However many there are, few are kept, and each entry that one of them covered is still covered."""
    deletions = {Deletion(name, start, start + width, when) for name, start, width, when in spans}
    kept = bounded(deletions, most)
    assert len(kept) <= max(most, 3)
    entry = attrs.evolve(ENTRY, collection=at[0], timestamp_ms=at[1], recorded_ms=at[3])
    if any(each.may_have_taken(entry) for each in deletions):
        assert any(each.may_have_taken(entry) for each in kept)
