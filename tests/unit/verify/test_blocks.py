"""Blocks are read exactly, or not at all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keen_client.errors import UnreadableResponseError
from keen_client.events.identity import BLOCK_ENTRIES
from keen_client.verify.blocks import ROWS_MAX, BlockSum, digits, pages, read_blocks, unlike

COPIES = st.lists(st.sampled_from([0, 1, 1, 1, 2, 3, 4, 5, 17]), min_size=24, max_size=24)


@settings(max_examples=500)
@given(COPIES, st.lists(st.integers(0, 23), max_size=6))
@example([4] * 24, [])
@example([0, 1] + [1] * 22, [1])
@example([5, 0] + [1] * 22, [])
def test_the_digits_are_the_copies_or_the_block_is_not_told(copies: list[int], nulled: list[int]) -> None:
    """For any loss, any duplication and any lost weights: the truth or None, and the truth where it can be told."""
    weights = [4**place for place, count in enumerate(copies) for _ in range(count)]
    lost = [weights.index(4**place) for place in set(nulled) if 4**place in weights]
    weight = sum(w for i, w in enumerate(weights) if i not in lost)
    found = digits(BlockSum(len(weights), weight))
    assert found in {tuple(copies), None}
    assert (found is None) == bool(lost or max(copies) > 3)


@pytest.mark.parametrize("weight", [-1, 0.5, 4**24, 1e300])
def test_a_sum_that_no_copies_add_up_to_is_not_told(weight: float) -> None:
    """Negative, broken, or beyond the last digit."""
    assert digits(BlockSum(1, weight)) is None


def test_floats_are_read_like_integers() -> None:
    """A server may print sums with a point."""
    assert digits(BlockSum(24, float(sum(4**place for place in range(24))))) == (1,) * 24


def test_seqs_that_are_not_there_once_are_named() -> None:
    """Missing, doubled, and all of a block that does not tell; a block not shown holds nothing."""
    whole = sum(4**place for place in range(24))
    shown = {
        0: BlockSum(24, whole),
        1: BlockSum(24, whole - 4**3 + 4**5),
        2: BlockSum(24, whole - 1),
    }
    assert unlike(range(24), shown) == {}
    assert unlike(range(24, 48), shown) == {27: 0, 29: 2}
    assert unlike([24, 26], shown) == {}
    assert unlike([48, 50], shown) == {48: None, 50: None}
    assert unlike([72], shown) == {72: 0}


@pytest.mark.parametrize(
    "bad",
    [
        {"kc.b": 1, "c": "1", "s": 1},
        {"kc.b": 1, "c": 1, "s": "1"},
        {"kc.b": 1.5, "c": 1, "s": 1},
        {"kc.b": None, "c": 1, "s": 1},
        {"kc.b": 1, "c": 1},
        "row",
    ],
)
def test_a_group_that_is_not_what_was_asked_for_is_no_answer(bad: Any) -> None:
    """Texts, fractions, other labels, and events without a block."""
    with pytest.raises(UnreadableResponseError):
        read_blocks([bad], {})


def test_a_block_twice_is_no_answer() -> None:
    """Each block stands in one group, over all pages."""
    found: dict[int, BlockSum] = {}
    read_blocks([{"kc.b": 1.0, "c": 1, "s": None}], found)
    assert found == {1: BlockSum(1, 0)}
    with pytest.raises(UnreadableResponseError):
        read_blocks([{"kc.b": 1, "c": 1, "s": 1}], found)
    with pytest.raises(UnreadableResponseError):
        read_blocks({"result": 1}, {})


def test_pages_hold_so_many_rows_at_most() -> None:
    """Fifty thousand."""
    assert (pages(5, 5), pages(0, ROWS_MAX - 1), pages(0, ROWS_MAX)) == (1, 1, 2)
    assert BLOCK_ENTRIES == 24
