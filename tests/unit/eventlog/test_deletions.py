"""What was deleted on purpose is remembered, and what it may have taken is told from what it cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keen_client.eventlog.deletions import Deletion, Deletions, bounded
from keen_client.eventlog.entry import DeliveryState, Entry
from keen_client.eventlog.ranges import Range, put_range
from keen_client.eventlog.state import State
from keen_client.eventlog.watermarks import Watermark, Watermarks, watermarks_now
from keen_client.events.identity import EntryId

if TYPE_CHECKING:
    from tests.unit.eventlog.conftest import Till

MakeTill = Callable[..., "Till"]
#: Of every time and whatever was recorded by now, as the clock has it.
ALL_TIMES = (-(2**62), 2**62)
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


def delete_all(till: Till) -> Deletion:
    """Note that all purchases are deleted now."""
    deletion = Deletion("purchases", *ALL_TIMES, at_ms=till.clock.wall_ms(), is_accepted=True)
    Deletions(till.log.state).note(deletion, watermarks_now(till.log.state, till.log.shelf))
    return deletion


def entries_of(till: Till, ids: list[EntryId]) -> list[Entry]:
    """Those of *ids*, all of which can be read."""
    picked = till.log.shelf.pick(ids)
    return [picked[entry_id] for entry_id in ids]


@pytest.mark.parametrize("recorded_seconds", [-7_200, 0, 7_200], ids=["behind", "right", "ahead"])
@pytest.mark.parametrize("deleted_seconds", [-7_200, 0, 7_200], ids=["behind", "right", "ahead"])
def test_what_was_recorded_before_is_held_back_whatever_the_clock_said(
    make_till: MakeTill, recorded_seconds: int, deleted_seconds: int
) -> None:
    """And what was recorded afterwards is not, nor written off; what was sent afterwards is not written off."""
    till = make_till()

    def step_clock(seconds: int) -> None:
        till.clock.now_ms += seconds * 1_000

    step_clock(recorded_seconds)
    sent = till.record(3)
    till.send()
    waiting = till.record(2)
    step_clock(deleted_seconds - recorded_seconds)
    delete_all(till)
    step_clock(-deleted_seconds)
    later = till.record(3)
    till.send()
    deletions, entries = Deletions(till.log.state), entries_of(till, sent + waiting + later)
    assert deletions.held_back(entries) == {*sent, *waiting}
    assert deletions.written_off(entries) == set(sent)


def test_what_is_recorded_into_a_later_segment_is_not_held_back(make_till: MakeTill) -> None:
    """Not even where its clock is set to before the deletion; and what lies in files that are gone for now is."""
    till = make_till()
    before = till.record(2)
    till.roll()
    till.drain()
    delete_all(till)
    till.clock.turn(86_400)
    till.clock.now_ms -= 40 * 86_400_000
    after = till.record(2)
    assert before[0].origin != after[0].origin
    entries = entries_of(till, before + after)
    assert Deletions(till.log.state).held_back(entries) == set(before)


def test_a_segment_whose_file_is_gone_is_held_back_when_it_is_put_back(make_till: MakeTill) -> None:
    """All of it: how much there was cannot be told while it is away."""
    till = make_till()
    ids = till.record(3)
    till.send()
    entries = entries_of(till, ids)
    (name,) = till.log.shelf.names()
    till.log.shelf.release(name.origin)
    file = name.path_in(till.log.directory.segments)
    file.rename(file.with_suffix(".away"))
    delete_all(till)
    file.with_suffix(".away").rename(file)
    till.clock.now_ms -= 86_400_000
    assert Deletions(till.log.state).held_back(entries) == set(ids)


def test_a_deletion_is_decided_and_withdrawn_by_what_it_says(make_till: MakeTill) -> None:
    """The caller's value knows no number; what the log compares by stays."""
    till = make_till()
    till.clock.now_ms += 7_200_000
    ids = till.record(2)
    till.clock.now_ms -= 7_200_000
    deletion = delete_all(till)
    deletions = Deletions(till.log.state)
    assert deletions.all() == [deletion]
    assert deletions.accept(deletion)
    entries = entries_of(till, ids)
    assert deletions.held_back(entries) == deletions.written_off(entries) == set(ids)
    deletions.withdraw(attrs.evolve(deletion, is_decided=True))
    assert deletions.held_back(entries) == frozenset()


def test_the_older_form_and_the_newer_one_are_bounded_apart() -> None:
    """What clocks tell of one is not told of the other."""
    older = [Deletion("c", n, n + 1, at_ms=9_000) for n in range(3)]
    newer = [Deletion("c", n, n + 1, at_ms=5, number=n) for n in range(3, 6)]
    assert [(each.start_ms, each.end_ms, each.at_ms, each.number) for each in bounded(older + newer, 3)] == [
        (0, 3, 9_000, 0),
        (3, 6, 5, 5),
    ]


MARKS = st.dictionaries(
    st.sampled_from("abc"), st.builds(Watermark, st.integers(1, 3), st.integers(0, 3)), max_size=3
)


@given(st.lists(MARKS, max_size=8), st.data())
def test_watermarks_are_those_of_their_moments(
    moments: list[dict[str, Watermark]], data: st.DataObject
) -> None:
    """However few steps are stored, each moment that is kept has the marks that it had, of segments that have come to stay."""
    marks, then, now = Watermarks(), dict[int, dict[str, Watermark]](), dict[str, Watermark]()
    for number, moment in enumerate(moments, start=1):
        now = now | moment  # a segment that was there stays
        marks.add(number, now)
        then[number] = now
    kept = data.draw(st.sets(st.sampled_from(sorted(then)))) if then else set()
    marks.keep(kept, {"c"})
    read = Watermarks(marks.to_json())
    for number in kept:
        for origin in "ab":
            assert read.of(origin, number) == then[number].get(origin, Watermark())
        assert read.of("c", number) == Watermark()
    if not kept:
        assert read.to_json() == "{}"
