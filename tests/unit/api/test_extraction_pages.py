"""Extractions in pages: every event once, in order of time, whatever the server's caps."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE, datetime_to_ms, ms_to_iso
from keen_client.api.extraction import AsyncEventIterator, EventIterator, Pages, extraction
from keen_client.api.operation import Operation
from keen_client.api.query import RunAnalysis
from keen_client.api.steps import carry_out, carry_out_awaiting
from keen_client.errors import (
    ApiError,
    InvalidQueryError,
    InvalidRequestError,
    NotFoundError,
    NotSentError,
    ServerError,
    UnreadableResponseError,
)
from keen_client.queries.analysis import Analysis
from keen_client.queries.timeframe import Timeframe

START = 1_790_812_800_000
NOW = datetime_to_ms(datetime(2026, 10, 14, 13, 45, tzinfo=UTC))


class Event(dict[str, Any]):
    """A dict that can be watched."""

    __slots__ = ("__weakref__",)


@attrs.define
class FakeServer:
    """Answers counts and extractions over (milliseconds, number) pairs, within its caps."""

    stored: list[tuple[int, int]]
    extraction_max: int = 100_000
    scan_max: int = 10**9
    truncates: bool = False
    refuses_all: type[ApiError] | None = None
    asked: list[Analysis] = attrs.Factory(list)
    alive: list[weakref.ref[Event]] = attrs.Factory(list)
    #: How many events of earlier pages were still in memory when a page was asked for.
    held: list[int] = attrs.Factory(list)
    before: Callable[[Analysis], None] = attrs.field(default=lambda analysis: None)

    def run(self, operation: Operation[Any]) -> Any:
        assert isinstance(operation, RunAnalysis)
        analysis = operation.analysis
        assert isinstance(analysis, Analysis)
        self.asked.append(analysis)
        self.before(analysis)
        if self.refuses_all is not None:
            raise self.refuses_all("the server says no", "hint")
        frame = analysis.timeframe
        assert isinstance(frame, Timeframe)
        inside = [(at, n) for at, n in self.stored if frame.start_ms <= at < frame.end_ms]
        if len(inside) > self.scan_max:
            raise InvalidRequestError("too many to scan", "hint", status=400)
        if analysis.analysis_type == "count":
            return self._count(analysis, frame, inside)
        return self._extract(analysis, inside)

    def _count(self, analysis: Analysis, frame: Timeframe, inside: list[tuple[int, int]]) -> Any:
        if analysis.interval is None:
            return len(inside)
        assert analysis.interval.unit == "minute"
        step = analysis.interval.count * MS_PER_MINUTE
        found = []
        for start in range(frame.start_ms, frame.end_ms, step):
            end = min(start + step, frame.end_ms)
            frame_json = {"start": ms_to_iso(start), "end": ms_to_iso(end)}
            found.append({"timeframe": frame_json, "value": sum(start <= at < end for at, _ in inside)})
        return found

    def _extract(self, analysis: Analysis, inside: list[tuple[int, int]]) -> Any:
        self.held.append(sum(watched() is not None for watched in self.alive))
        if len(inside) > self.extraction_max:
            if not self.truncates:
                raise InvalidRequestError("too many to extract", "hint", status=400)
            inside = inside[: self.extraction_max]
        events = []
        for at, n in sorted(inside, reverse=True):
            event = Event(n=n)
            if not analysis.property_names or "keen.timestamp" in analysis.property_names:
                event["keen"] = {"timestamp": ms_to_iso(at)}
            events.append(event)
        self.alive.extend(weakref.ref(event) for event in events)
        return events


def _wanted(length_ms: int, **parameters: Any) -> Analysis:
    frame = {"start": ms_to_iso(START), "end": ms_to_iso(START + length_ms)}
    return extraction("c", frame, now_ms=NOW, **parameters)


def _iterator(server: FakeServer, wanted: Analysis, **settings: Any) -> EventIterator:
    return EventIterator(lambda steps: carry_out(steps, server.run), Pages(wanted, **settings))


@st.composite
def stores(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    """A length of time, and events in it: spread, and in bursts."""
    length = draw(
        st.one_of(st.integers(1, 50), st.integers(1, 3 * MS_PER_MINUTE), st.integers(1, 30 * MS_PER_DAY))
    )
    moments = st.one_of(st.integers(0, length - 1), st.integers(0, min(length - 1, 20)))
    times = draw(st.lists(moments, max_size=60))
    return length, [(START + at, number) for number, at in enumerate(times)]


def _densest(stored: list[tuple[int, int]]) -> int:
    times = [at for at, _ in stored]
    return max((times.count(at) for at in times), default=0)


@given(stores(), st.integers(1, 40), st.booleans(), st.sampled_from([None, 3, 10]), st.booleans())
@settings(max_examples=150)
def test_every_event_comes_once_in_order_of_time(
    store: tuple[int, list[tuple[int, int]]],
    cap: int,
    truncates: bool,
    scan_max: int | None,
    is_async: bool,
) -> None:
    """Where counts are refused, extractions refused or cut off in silence, sync and async."""
    length, stored = store
    cap = max(cap, _densest(stored) + 1)
    server = FakeServer(stored, extraction_max=cap, truncates=truncates)
    if scan_max is not None:
        server.scan_max = max(scan_max, _densest(stored))
    pages = Pages(_wanted(length), page_events=max(1, cap // 2), extraction_max=cap)

    async def run(operation: Operation[Any]) -> Any:
        return server.run(operation)

    async def collect() -> list[dict[str, Any]]:
        iterator = AsyncEventIterator(lambda steps: carry_out_awaiting(steps, run), pages)
        return [event async for event in iterator]

    if is_async:
        events = asyncio.run(collect())
    else:
        events = list(EventIterator(lambda steps: carry_out(steps, server.run), pages))
    times = [event["keen"]["timestamp"] for event in events]
    assert times == sorted(times)
    assert sorted(event["n"] for event in events) == [n for _, n in stored]
    assert pages.expected == len(stored)


def test_few_events_cost_two_queries() -> None:
    """One count, one extraction."""
    server = FakeServer([(START + n, n) for n in range(100)])
    assert len(list(_iterator(server, _wanted(MS_PER_DAY)))) == 100
    assert [analysis.analysis_type for analysis in server.asked] == ["count", "extraction"]


def test_nothing_at_all_is_asked_for_all_the_same() -> None:
    """A count of nought is no proof of absence: the extraction is."""
    server = FakeServer([])
    assert list(_iterator(server, _wanted(MS_PER_DAY))) == []
    assert [analysis.analysis_type for analysis in server.asked] == ["count", "extraction"]


def test_parts_asked_for_cover_the_timeframe_once() -> None:
    """In order, without gap or overlap."""
    stored = [(START + n * 60_000, n) for n in range(1440)]
    server = FakeServer(stored)
    list(_iterator(server, _wanted(MS_PER_DAY), page_events=100))
    frames = [a.timeframe for a in server.asked if a.analysis_type == "extraction"]
    assert all(isinstance(frame, Timeframe) for frame in frames)
    edges = [(f.start_ms, f.end_ms) for f in frames if isinstance(f, Timeframe)]
    assert edges[0][0] == START
    assert edges[-1][1] == START + MS_PER_DAY
    assert all(left[1] == right[0] for left, right in pairwise(edges))
    assert len(edges) == 15


def test_one_page_is_in_memory_at_a_time() -> None:
    """When a page is asked for, no event of the one before is held any more."""
    server = FakeServer([(START + n * 1000, n) for n in range(1000)])
    deque(_iterator(server, _wanted(MS_PER_HOUR), page_events=100), maxlen=0)
    assert len(server.held) > 5
    assert set(server.held) == {0}


def test_nothing_is_fetched_before_it_is_asked_for() -> None:
    """An iterator that nobody reads asks nothing; one event fetches one page."""
    server = FakeServer([(START + n * 1000, n) for n in range(1000)])
    events = _iterator(server, _wanted(MS_PER_HOUR), page_events=100)
    assert (server.asked, events.expected) == ([], None)
    next(events)
    assert len(server.held) == 1
    assert events.expected == 1000


def test_a_repr_tells_how_far_it_has_come() -> None:
    """Of which collection and timeframe it is, and nothing of an event."""
    server = FakeServer([(START, 0), (START + 5, 1)])
    events = _iterator(server, _wanted(10))
    assert (
        repr(events)
        == "<EventIterator of c, 2026-10-01T00:00:00.000Z/2026-10-01T00:00:00.010Z: 0 events read>"
    )
    assert len(list(events)) == 2
    assert repr(events).endswith(": 2 events read>")


def test_an_event_that_arrives_meanwhile_is_not_doubled_and_moves_nothing() -> None:
    """Events older and newer than what was read come up between pages; bounds stay, each comes at most once."""
    stored = [(START + n * 1000, n) for n in range(1000)]
    server = FakeServer(stored)
    events = _iterator(server, _wanted(MS_PER_HOUR), page_events=100)
    seen = [next(events)["n"] for _ in range(150)]
    stored.extend((START + n * 1000, 10_000 + n) for n in range(1000))
    seen += [event["n"] for event in events]
    assert len(seen) == len(set(seen))
    assert set(range(1000)) <= set(seen)


def test_a_relative_timeframe_is_fixed_at_the_start() -> None:
    """In the timezone given; every request has the same bounds as edges."""
    wanted = extraction("c", "previous_2_days", now_ms=NOW, timezone="US/Pacific")
    assert wanted.timeframe == Timeframe.between("2026-10-12T07:00Z", "2026-10-14T07:00Z")


@pytest.mark.parametrize("frame", [None, {"start": "2026-10-01"}, "this_7_parsecs", 7])
def test_a_timeframe_that_is_none_is_refused_at_once(frame: Any) -> None:
    """All time cannot be cut into parts."""
    with pytest.raises(InvalidQueryError, match="nothing was sent"):
        extraction("c", frame, now_ms=NOW)


@pytest.mark.parametrize("page_events", [0, -1, 100_001, 1.5, True, "many"])
def test_a_page_that_no_extraction_returns_is_refused(page_events: Any) -> None:
    """More than the server's cap cannot come at once."""
    with pytest.raises(InvalidQueryError, match="page_events"):
        Pages(_wanted(1000), page_events=page_events)


@pytest.mark.parametrize("truncates", [False, True])
def test_a_millisecond_with_too_many_events_is_named(truncates: bool) -> None:
    """Refused, or cut off in silence: what came before was handed over, and nothing is made up."""
    stored = [(START + 10, n) for n in range(5)] + [(START + 77_123, n) for n in range(5, 30)]
    server = FakeServer(stored, extraction_max=20, truncates=truncates)
    events = _iterator(server, _wanted(MS_PER_DAY), page_events=20, extraction_max=20)
    assert [next(events)["n"] for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ApiError, match=ms_to_iso(START + 77_123)) as raised:
        next(events)
    assert "handed over" in raised.value.message
    assert "filters" in (raised.value.hint or "")


def test_a_query_that_breaks_a_rule_is_not_cut_to_pieces() -> None:
    """Two requests tell that its size is not the reason, and the server's words reach the caller."""
    server = FakeServer([], refuses_all=InvalidRequestError)
    with pytest.raises(ApiError, match="the server says no"):
        next(_iterator(server, _wanted(MS_PER_DAY)))
    assert len(server.asked) == 2


@pytest.mark.parametrize("error", [NotFoundError, ServerError, NotSentError])
def test_other_errors_are_the_callers(error: type[ApiError]) -> None:
    """A collection that does not exist, a server that is down: no second question."""
    server = FakeServer([], refuses_all=error)
    with pytest.raises(error):
        next(_iterator(server, _wanted(MS_PER_DAY)))
    assert len(server.asked) == 1


def test_a_query_that_takes_too_long_is_cut() -> None:
    """504: Keen ends queries after 300 s."""
    stored = [(START + n * 1000, n) for n in range(100)]

    def slow(analysis: Analysis) -> None:
        frame = analysis.timeframe
        if isinstance(frame, Timeframe) and frame.duration_ms > MS_PER_HOUR:
            raise ServerError("timeout", "hint", status=504)

    server = FakeServer(stored, before=slow)
    assert len(list(_iterator(server, _wanted(MS_PER_DAY)))) == 100


def test_after_an_error_it_goes_on_where_it_was() -> None:
    """The part that failed is asked for again: nothing is lost, nothing doubled."""
    stored = [(START + n * 1000, n) for n in range(1000)]
    fails = iter([False] * 4 + [True] + [False] * 50)

    def sometimes(analysis: Analysis) -> None:
        if next(fails):
            raise NotSentError("the connection was refused", "hint")

    server = FakeServer(stored, before=sometimes)
    events = _iterator(server, _wanted(MS_PER_HOUR), page_events=100)
    seen: list[dict[str, Any]] = []
    with pytest.raises(NotSentError):
        seen.extend(events)
    assert 0 < len(seen) < 1000
    seen.extend(events)
    assert [event["n"] for event in seen] == list(range(1000))


@pytest.mark.parametrize(
    ("names", "asked", "members"),
    [
        (["n"], ("n", "keen.timestamp"), {"n"}),
        ("n", ("n", "keen.timestamp"), {"n"}),
        (["n", "keen.timestamp"], ("n", "keen.timestamp"), {"n", "keen"}),
        (["keen"], ("keen",), {"n"}),
    ],
)
def test_the_time_is_asked_for_to_put_events_in_order(
    names: Any, asked: tuple[str, ...], members: set[str]
) -> None:
    """And is not in events where the caller did not ask for it."""
    server = FakeServer([(START + 5 * n, n) for n in range(10)])
    events = list(_iterator(server, _wanted(MS_PER_HOUR, property_names=names)))
    assert server.asked[-1].property_names == asked
    assert [event["n"] for event in events] == list(range(10))
    assert all(set(event) == members for event in events)


def test_filters_hold_for_counts_and_extractions() -> None:
    """The same ones, in each request."""
    server = FakeServer([])
    given_filter = {"property_name": "n", "operator": "gt", "property_value": 5}
    list(_iterator(server, _wanted(MS_PER_HOUR, filters=[given_filter])))
    assert [a.to_json()["filters"] for a in server.asked] == [[given_filter]] * 2


@pytest.mark.parametrize(
    "answer",
    [None, 7.5, -1, True, [{"value": 1}], [7], [{"timeframe": {"start": "x", "end": "y"}, "value": 1}]],
)
def test_an_answer_that_is_no_count_is_told(answer: Any) -> None:
    """What cannot be read decides nothing."""
    pages = Pages(_wanted(MS_PER_HOUR))
    with pytest.raises(UnreadableResponseError, match="the server's answer"):
        carry_out(pages.next_page(), lambda operation: answer)


@pytest.mark.parametrize("answer", ["Processing.", None, [1]])
def test_an_answer_that_is_no_list_of_events_is_told(answer: Any) -> None:
    """The same for the extraction."""
    pages = Pages(_wanted(1000))
    with pytest.raises(UnreadableResponseError, match="not a list of events"):
        carry_out(pages.next_page(), lambda o: 1 if o.analysis.analysis_type == "count" else answer)  # type: ignore[attr-defined]
