"""A server that refuses a question for its size is asked smaller ones; where none is small enough nothing is concluded."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE
from keen_client.errors import InvalidRequestError, KeenApiError, RequestTooLargeError
from keen_client.queries import Timeframe
from keen_client.verify import planner
from keen_client.verify.features import Features, save
from keen_client.verify.parts import Spans, ask_in_parts
from keen_client.verify.presets import preset
from keen_client.verify.reader import Budget
from keen_client.verify.verdict import Verdict
from keen_client.verify.verifier import Verifier
from keen_client.verify.windows import Scope

if TYPE_CHECKING:
    from tests.unit.verify.conftest import World

HOUR = 1_790_812_800_000
REFUSALS = [
    InvalidRequestError("the server answered 400", status=400),
    RequestTooLargeError("the server answered 413", status=413),
]


def longest_list(query: dict[str, Any]) -> int:
    """How many values the longest list of a query's filters has."""
    found = 0
    for condition in query.get("filters", []):
        for part in condition.get("operands", [condition]):
            value = part.get("property_value")
            found = max(found, len(value) if isinstance(value, list) else 0)
    return found


def refuse_lists_over(world: World, most: int, error: KeenApiError) -> None:
    """Have the server refuse longer lists."""

    def check(number: int, query: dict[str, Any]) -> None:
        if longest_list(query) > most:
            raise error

    world.server.before_query = check


@given(
    weights=st.lists(st.integers(1, 4), max_size=60),
    most=st.integers(1, 40),
    taken=st.integers(4, 40),
)
def test_all_items_are_asked_for_in_order_whatever_the_server_takes(
    weights: list[int], most: int, taken: int
) -> None:
    """Each once, no more at a time than either side takes, and few questions are wasted."""
    items = list(enumerate(weights))
    refused: list[int] = []

    def ask(part: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        weight = sum(weight for _, weight in part)
        if weight > taken:
            refused.append(weight)
            raise InvalidRequestError("too many")
        return list(part)

    parts = list(ask_in_parts(items, most, ask, lambda item: item[1]))
    assert [item for part in parts for item in part] == items
    assert all(len(part) == 1 or sum(weight for _, weight in part) <= most for part in parts)
    assert len(refused) <= 6


def test_a_single_item_that_is_refused_ends_it() -> None:
    """Halving ends at one, by the server's own error."""
    asked: list[int] = []

    def ask(part: Sequence[int]) -> None:
        asked.append(len(part))
        raise RequestTooLargeError("no")

    with pytest.raises(RequestTooLargeError):
        list(ask_in_parts(range(500), 500, ask))
    assert asked == [500, 250, 125, 62, 31, 15, 7, 3, 1]


@pytest.mark.parametrize("error", REFUSALS)
@pytest.mark.parametrize("way", ["decoded", "blocks", "every event"])
def test_lists_that_are_refused_are_split(
    world: World, monkeypatch: pytest.MonkeyPatch, error: KeenApiError, way: str
) -> None:
    """The same events are found, and nothing is asked for twice but what was refused."""
    ids = world.record(120)
    lost = set(ids) if way == "decoded" else set(ids[::3])
    if way == "blocks":
        monkeypatch.setattr(planner, "EVENT_BYTES", 10**9)
    world.send(lose=lost)
    refuse_lists_over(world, 7, error)
    (window,) = world.verify().windows
    assert (window.state, set(window.missing)) == (Verdict.SHORT, lost)
    assert set(window.eligible) == lost
    taken = [longest_list(query) for query in world.server.queries if longest_list(query)]
    assert sum(size > 7 for size in taken) <= 5


def test_a_query_that_is_refused_at_any_size_leaves_its_windows_incomplete(world: World) -> None:
    """Neither a match nor missing, with the server's words; the other windows are judged."""
    world.record(20)
    ids = world.record(20, at_ms=HOUR + 90 * MS_PER_MINUTE)
    world.send(lose=set(ids[:2]))
    refuse_lists_over(world, 0, InvalidRequestError("the server answered 400: no lists here", status=400))
    report = world.verify()
    good, bad = report.windows
    assert (good.state, bad.state) == (Verdict.FINAL, Verdict.INCOMPLETE)
    assert "no lists here" in bad.reason
    assert (bad.missing, report.eligible, report.exit_status()) == ((), (), 32)
    with world.log.state.reading() as db:
        assert db.execute("SELECT count(*) FROM evidence").fetchone() == (0,)


def cap_spans(world: World, longest_ms: int) -> None:
    """Have the server refuse questions without an interval that look at a longer timeframe."""

    def check(number: int, query: dict[str, Any]) -> None:
        start, end = (datetime.fromisoformat(query["timeframe"][edge]) for edge in ("start", "end"))
        if "interval" not in query and end - start > timedelta(milliseconds=longest_ms):
            raise InvalidRequestError("the server answered 400: scans too many events", status=400)

    world.server.before_query = check


@given(
    start=st.integers(0, 10**6),
    length=st.integers(1, 10**5),
    longest=st.integers(2, 10**4),  # what is shorter than two hours is not cut
)
def test_the_spans_of_a_timeframe_are_all_of_it_once(start: int, length: int, longest: int) -> None:
    """In order, none longer than the server takes, and not cut again the second time."""
    whole = Timeframe(start * MS_PER_HOUR, (start + length) * MS_PER_HOUR)
    spans = Spans(whole)
    refused: list[Timeframe] = []

    def ask(span: Timeframe) -> list[Timeframe]:
        if span.end_ms - span.start_ms > longest * MS_PER_HOUR:
            refused.append(span)
            raise RequestTooLargeError("no")
        return [span]

    taken = spans.ask(ask)
    assert (taken[0].start_ms, taken[-1].end_ms) == (whole.start_ms, whole.end_ms)
    assert all(one.end_ms == other.start_ms for one, other in pairwise(taken))
    assert len(refused) == len(taken) - 1
    refused.clear()
    assert (spans.ask(ask), refused) == (taken, [])


def test_all_time_is_cut_where_the_server_caps_what_a_query_scans(world: World) -> None:
    """Who is nowhere is missing, who moved by years is found, and the confirmation before a replay is given too."""
    ids = world.record(700)
    lost, moved = set(ids[:600]), ids[650]
    world.send(lose=lost)
    world.server.find(moved)[0]["keen"]["timestamp"] = "2019-05-05T05:05:05.000Z"
    cap_spans(world, 700 * MS_PER_DAY)
    (window,) = world.verify().windows
    assert set(window.missing) == lost
    assert window.shifted == (moved,)
    assert set(window.eligible) == lost
    asked = len(world.server.queries)
    assert set(world.verifier().confirm(ids[:600]).absent) == lost
    # 64 spans that are taken and 63 that are not, for the first of two lists; halving the ids found that out.
    assert len(world.server.queries) - asked <= 64 + 63 + 64 + 10


def test_a_budget_that_ends_while_all_time_is_cut_condemns_nobody(world: World) -> None:
    """What was looked for in a part of all time only is not missing; the next run begins with it."""
    ids = world.record(100)
    world.send(lose=set(ids[:9]))
    cap_spans(world, 700 * MS_PER_DAY)
    scope = Scope(HOUR, HOUR + 6 * MS_PER_HOUR)
    for requests in (3, 20, 60):
        verifier = Verifier(
            world.log, world.server, world.clock, preset("immediate", None), Budget(requests=requests)
        )
        report = verifier.verify(scope)
        (window,) = report.windows
        assert (window.state, window.missing, window.eligible) == (Verdict.INCOMPLETE, (), ())
        assert "budget" in window.reason
        assert report.cost.requests == requests


def test_a_question_over_all_time_that_is_refused_condemns_nobody(world: World) -> None:
    """Where not even an hour of it is looked at, who was not looked for everywhere is not missing."""
    ids = world.record(100)
    world.send(lose=set(ids[:9]))

    def check(number: int, query: dict[str, Any]) -> None:
        if query["timeframe"]["start"].startswith("2000"):
            raise InvalidRequestError("the server answered 400: scans too many events", status=400)

    world.server.before_query = check
    (window,) = world.verify().windows
    assert (window.state, window.missing, window.eligible) == (Verdict.INCOMPLETE, (), ())
    assert "scans too many" in window.reason


def test_answers_with_too_many_groups_are_asked_for_in_smaller_pages(world: World) -> None:
    """A look at every event goes on where the server caps the groups of an answer."""
    ids = world.record(300)
    world.send(lose=set(ids[::4]))
    honest = world.server.alter

    def cap(query: dict[str, Any], result: Any) -> Any:
        if "interval" not in query and len(result) > 40:
            raise InvalidRequestError("the server answered 400: too many groups", status=400)
        return honest(query, result)

    world.server.alter = cap
    (window,) = world.verify().windows
    assert (window.state, set(window.missing)) == (Verdict.SHORT, set(ids[::4]))


def test_lists_known_to_be_short_are_not_exceeded(world: World) -> None:
    """What the full probe saw bounds each query from the first one on, the confirmation before a replay too."""
    ids = world.record(250)
    world.send(lose=set(ids))
    save(world.log.state, world.clock.wall_ms(), {"list_max": 100}, None)
    (window,) = world.verify().windows
    assert set(window.eligible) == set(ids)
    assert set(world.verifier().confirm(ids).absent) == set(ids)
    sizes = [longest_list(query) for query in world.server.queries if longest_list(query)]
    assert max(sizes) == 100
    assert Features(list_max=100).objection("short") == ""
