"""A difference names the events behind it, or nothing."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import combinations, combinations_with_replacement

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keen_client.verify.signature import THREES_AMONG_MAX, Signature, Stamps, decode


def made(count: int, seed: int = 1) -> Stamps:
    chance = random.Random(seed)
    return Stamps(
        [chance.getrandbits(32) for _ in range(count)], [chance.getrandbits(32) for _ in range(count)]
    )


def difference(
    stamps: Stamps,
    missing: Sequence[int] = (),
    surplus: Sequence[int] = (),
    nulled: Sequence[tuple[int, bool, bool]] = (),
) -> tuple[int, int, int]:
    """Server less log: count, h and g."""
    dn, dh, dg = len(surplus) - len(missing), 0, 0
    for sign, indexes in ((-1, missing), (1, surplus)):
        dh += sign * sum(stamps.h[i] for i in indexes)
        dg += sign * sum(stamps.g[i] for i in indexes)
    for i, lost_h, lost_g in nulled:
        dh -= lost_h * stamps.h[i]
        dg -= lost_g * stamps.g[i]
    return dn, dh, dg


def explanations(stamps: Stamps, delta: tuple[int, int, int]) -> set[Signature]:
    """All explanations of the table, by trying everything."""
    everything = range(len(stamps))
    tried = {
        *(Signature(missing=few) for size in (1, 2, 3) for few in combinations(everything, size)),
        *(Signature(surplus=few) for n in (1, 2) for few in combinations_with_replacement(everything, n)),
        *(Signature(missing=(i,), surplus=(j,)) for i in everything for j in everything if i != j),
    }
    found = {one for one in tried if difference(stamps, one.missing, one.surplus) == delta}
    losses = [(True, True), (True, False), (False, True)]
    found |= {
        Signature(nulled=(i,))
        for i in everything
        for lost in losses
        if difference(stamps, nulled=[(i, *lost)]) == delta
    }
    return found


@st.composite
def faults(draw: st.DrawFn, count: int) -> tuple[Signature, list[tuple[int, bool, bool]]]:
    """One fault of the table among *count* events."""
    index = st.integers(0, count - 1)
    kind = draw(st.sampled_from(["missing", "surplus", "both", "nulled"]))
    if kind == "missing":
        few = draw(st.sets(index, min_size=1, max_size=min(3, count)))
        return Signature(missing=tuple(sorted(few))), []
    if kind == "surplus":
        return Signature(surplus=tuple(sorted(draw(st.lists(index, min_size=1, max_size=2))))), []
    if kind == "both" and count > 1:
        one, other = draw(st.lists(index, min_size=2, max_size=2, unique=True))
        return Signature(missing=(one,), surplus=(other,)), []
    i, lost = draw(index), draw(st.sampled_from([(True, True), (True, False), (False, True)]))
    return Signature(nulled=(i,)), [(i, *lost)]


@settings(max_examples=200)
@given(st.data())
def test_among_real_stamps_exactly_the_fault_is_named(data: st.DataObject) -> None:
    """With 32-bit stamps the fault that was done is the only explanation."""
    stamps = made(data.draw(st.integers(1, 60)), data.draw(st.integers(0, 2**16)))
    fault, nulled = data.draw(faults(len(stamps)))
    assert decode(stamps, *difference(stamps, fault.missing, fault.surplus, nulled)) == fault


@settings(max_examples=400)
@given(st.data())
def test_among_colliding_stamps_the_fault_is_named_or_nothing(data: st.DataObject) -> None:
    """Stamps of a few small numbers add up alike all the time: a second explanation means no answer."""
    small = st.integers(0, data.draw(st.sampled_from([1, 3, 20])))
    pairs = data.draw(st.lists(st.tuples(small, small), min_size=1, max_size=7))
    stamps = Stamps([h for h, _ in pairs], [g for _, g in pairs])
    fault, nulled = data.draw(faults(len(stamps)))
    delta = difference(stamps, fault.missing, fault.surplus, nulled)
    if delta == (0, 0, 0):
        assert decode(stamps, *delta) is None
        return
    all_of_them = explanations(stamps, delta)
    assert fault in all_of_them
    assert decode(stamps, *delta) == (fault if len(all_of_them) == 1 else None)


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=6),
    st.tuples(st.integers(-4, 4), st.integers(-12, 12), st.integers(-12, 12)),
)
def test_any_difference_is_decoded_like_by_trying_everything(
    pairs: list[tuple[int, int]], delta: tuple[int, int, int]
) -> None:
    """Whatever the difference: the only explanation of the table, or None."""
    stamps = Stamps([h for h, _ in pairs], [g for _, g in pairs])
    found = explanations(stamps, delta) if delta != (0, 0, 0) else set()
    assert decode(stamps, *delta) == (found.pop() if len(found) == 1 else None)


def test_crafted_equal_sums_are_not_told_apart() -> None:
    """{a, d} and {b, c} of equal sums, a pair that looks like one, a nulled that looks like an exchange."""
    stamps = Stamps([1, 5, 7, 11, 12], [10, 50, 70, 110, 120])
    assert decode(stamps, -2, -12, -120) is None  # 1 + 11 and 5 + 7
    assert decode(stamps, 2, 12, 120) is None
    assert decode(stamps, -1, -12, -120) == Signature(missing=(4,))
    assert decode(stamps, 0, -1, -10) is None  # nulled 1, or missing 12 and surplus 11
    assert decode(Stamps([3, 3], [4, 4]), -1, -3, -4) is None
    assert decode(Stamps([3, 3], [4, 5]), -1, -3, -5) == Signature(missing=(1,))


def test_what_is_not_in_the_table_is_not_named() -> None:
    """A stranger, four missing, three duplicates, two nulled: none of them is mistaken for another fault."""
    stamps = made(300)
    assert decode(stamps, 1, 12345, 67890) is None
    assert decode(stamps, *difference(stamps, missing=[1, 2, 3, 4])) is None
    assert decode(stamps, *difference(stamps, surplus=[1, 2, 3])) is None
    assert decode(stamps, *difference(stamps, nulled=[(1, True, True), (2, True, True)])) is None
    assert decode(stamps, *difference(stamps, missing=[1, 2], surplus=[3])) is None
    assert decode(Stamps([], []), -1, -5, -5) is None


@pytest.mark.parametrize(("count", "found"), [(THREES_AMONG_MAX, True), (THREES_AMONG_MAX + 1, False)])
def test_threes_are_searched_among_few_events_only(count: int, *, found: bool) -> None:
    """The square of the number of events bounds the time."""
    stamps = made(count)
    three = (3, count // 2, count - 1)
    expected = Signature(missing=three) if found else None
    assert decode(stamps, *difference(stamps, missing=three)) == expected


def test_two_of_an_hour_of_many_events_are_found() -> None:
    """Forty-two thousand events, the size of an hour of a million a day."""
    stamps = made(42_000)
    assert decode(stamps, *difference(stamps, missing=[17, 41_000])) == Signature(missing=(17, 41_000))
    assert decode(stamps, *difference(stamps, missing=[17], surplus=[5])) == Signature((17,), (5,))
