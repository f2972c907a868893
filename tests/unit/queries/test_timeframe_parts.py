"""Parts of a timeframe: whatever was counted, an event lies in exactly one of them."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_MINUTE
from keen_client.queries.parts import PIECES_MAX, Part, counted_parts, counting_interval, divided
from keen_client.queries.timeframe import Timeframe

START = 1_790_812_800_000

lengths = st.one_of(st.integers(1, 5), st.integers(1, MS_PER_MINUTE * 3), st.integers(1, MS_PER_DAY * 4000))
counts = st.one_of(st.just(0), st.integers(0, 20), st.integers(0, 10**7))


@st.composite
def countings(draw: st.DrawFn) -> tuple[Part, list[Part]]:
    """A part, and a seamless count of it."""
    pieces = draw(st.lists(st.tuples(st.integers(1, 10**7), counts), min_size=1, max_size=30))
    edges = [START]
    for length, _ in pieces:
        edges.append(edges[-1] + length)
    counted = [Part(a, b, n) for (a, b), (_, n) in zip(pairwise(edges), pieces, strict=True)]
    return Part(START, edges[-1]), counted


def _covers(part: Part, pieces: list[Part]) -> bool:
    edges = [piece.start_ms for piece in pieces] + [pieces[-1].end_ms]
    return (
        edges[0] == part.start_ms
        and edges[-1] == part.end_ms
        and all(a < b for a, b in pairwise(edges))
        and all(left.end_ms == right.start_ms for left, right in pairwise(pieces))
    )


@given(countings(), st.integers(1, 10**6))
def test_joined_pieces_cover_the_part_once(counting: tuple[Part, list[Part]], events_max: int) -> None:
    """Disjoint, in order, without a gap; no event is counted twice; only a single piece may have too many."""
    part, counted = counting
    parts = counted_parts(part, counted, events_max)
    assert _covers(part, parts)
    assert sum(found.events or 0 for found in parts) == sum(piece.events or 0 for piece in counted)
    singles = {(piece.start_ms, piece.end_ms) for piece in counted}
    assert all(
        (found.events or 0) <= events_max or (found.start_ms, found.end_ms) in singles for found in parts
    )


@given(countings(), st.integers(1, 10**6))
def test_neighbours_are_joined_as_far_as_they_go(counting: tuple[Part, list[Part]], events_max: int) -> None:
    """Two neighbours that would fit into one page are never asked for apart."""
    part, counted = counting
    parts = counted_parts(part, counted, events_max)
    assert all((a.events or 0) + (b.events or 0) > events_max for a, b in pairwise(parts))


@given(countings(), st.data())
def test_a_count_with_a_gap_decides_no_bounds(counting: tuple[Part, list[Part]], data: st.DataObject) -> None:
    """A sub-timeframe that is missing, moved or doubled leaves the part whole."""
    part, counted = counting
    index = data.draw(st.integers(0, len(counted) - 1))
    kind = data.draw(st.sampled_from(["missing", "doubled", "moved"]))
    if kind == "missing":
        del counted[index]
    elif kind == "doubled":
        counted.insert(index, counted[index])
    else:
        moved = counted[index]
        counted[index] = Part(moved.start_ms + 1, moved.end_ms + 1, moved.events)
    (left,) = counted_parts(part, counted, 10)
    assert (left.start_ms, left.end_ms) == (part.start_ms, part.end_ms)
    assert left.events == sum(piece.events or 0 for piece in counted)


@given(st.integers(2, MS_PER_DAY * 4000), st.one_of(st.none(), counts), st.integers(1, 10**6))
def test_divided_covers_the_part_once(length: int, events: int | None, events_max: int) -> None:
    """Two pieces or more, nearly equally long, and none called counted."""
    part = Part(START, START + length, events)
    pieces = divided(part, events_max)
    assert _covers(part, pieces)
    assert 2 <= len(pieces) <= PIECES_MAX
    assert max(p.duration_ms for p in pieces) - min(p.duration_ms for p in pieces) <= 1
    assert all(piece.events is None for piece in pieces)


@given(lengths)
def test_a_count_divides_into_a_bounded_number(length: int) -> None:
    """At least two sub-timeframes, at most PIECES_MAX; none where a minute is not shorter than the part."""
    part = Part(START, START + length)
    interval = counting_interval(part)
    if length <= MS_PER_MINUTE:
        assert interval is None
    else:
        assert interval is not None
        assert 2 <= interval.sub_timeframe_count(Timeframe(START, START + length)) <= PIECES_MAX
