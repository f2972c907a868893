"""All events of a timeframe, however many: page by page, in order of time, at most one page in memory.

Keen has no cursor, and an extraction returns 100,000 events at most (Keen API,
extractions). So the timeframe is cut into parts that have few enough: by
counts, and where the server refuses a part all the same, or returns exactly as
many as it ever does, by halves. The bounds are fixed before the first request,
so that an event that arrives meanwhile can neither move a part nor be read
twice. :mod:`keen_client.queries.parts` decides how to cut; here stands what to
ask, as :mod:`~keen_client.api.steps`, once for sync and async.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Self

import attrs

from keen_client._foundation.clock import datetime_to_ms, ms_to_iso
from keen_client.api.query import RunAnalysis
from keen_client.api.steps import Steps
from keen_client.errors import (
    ApiError,
    InvalidQueryError,
    InvalidRequestError,
    ServerError,
    UnreadableResponseError,
)
from keen_client.queries.analysis import Analysis
from keen_client.queries.filters import FilterLike
from keen_client.queries.parts import Part, counted_parts, counting_interval, divided
from keen_client.queries.relative import resolve
from keen_client.queries.timeframe import RelativeTimeframe, TimeframeLike, parse_timeframe

#: What one extraction returns at most (Keen API, extractions).
EXTRACTION_MAX: Final = 100_000
#: Events in a page, as counted beforehand: what is in memory at a time.
PAGE_EVENTS: Final = 20_000

_TIMESTAMP: Final = "keen.timestamp"
_GATEWAY_TIMEOUT: Final = 504

Event = dict[str, Any]


def extraction(
    event_collection: str,
    timeframe: TimeframeLike,
    *,
    now_ms: int,
    timezone: str | int | None = None,
    filters: Sequence[FilterLike] | None = None,
    property_names: str | Sequence[str] | None = None,
) -> Analysis:
    """The extraction that *timeframe* means at *now_ms*, with its bounds fixed.

    Raises:
        InvalidQueryError: A parameter cannot be used, or there is no timeframe. Nothing was sent.
    """
    parsed = parse_timeframe(timeframe)
    if parsed is None:
        raise InvalidQueryError(
            "an extraction in parts needs a timeframe; nothing was sent", "such as 'previous_30_days'"
        )
    if isinstance(parsed, RelativeTimeframe):
        parsed = resolve(parsed, timezone, now_ms)
    return Analysis(
        analysis_type="extraction",
        event_collection=event_collection,
        timeframe=parsed,
        filters=filters,
        property_names=property_names,
    )


class Pages:
    """An extraction under way: what is still to be read, as parts in order of time.

    After an error nothing is lost or repeated: the next call asks for the same part again.
    """

    def __init__(
        self, wanted: Analysis, *, page_events: int = PAGE_EVENTS, extraction_max: int = EXTRACTION_MAX
    ) -> None:
        """*wanted* comes from :func:`extraction`. *extraction_max* is the server's cap.

        Raises:
            InvalidQueryError: *page_events* is not from 1 to *extraction_max*. Nothing was sent.
        """
        if isinstance(page_events, bool) or not isinstance(page_events, int):
            page_events = 0
        if not 1 <= page_events <= extraction_max:
            raise InvalidQueryError(
                f"page_events is not an integer from 1 to {extraction_max:,}; nothing was sent",
                "leave it out, or make it smaller to hold fewer events in memory",
            )
        if wanted.timeframe is None or isinstance(wanted.timeframe, RelativeTimeframe):
            raise AssertionError("the bounds of an extraction are fixed before it begins")
        self._wanted: Final = wanted
        self._asked, self._adds_timestamp = _with_timestamp(wanted)
        self._page_events: Final = page_events
        self._extraction_max: Final = extraction_max
        #: The earliest last: a stack.
        self._todo = [Part(wanted.timeframe.start_ms, wanted.timeframe.end_ms)]
        self._handed = 0
        #: Types of analysis that the server has carried out: it understands the query.
        self._understood: set[str] = set()

    def __str__(self) -> str:
        """Of what it is an extraction, and how far it has come."""
        frame = self._wanted.to_json()["timeframe"]
        return (
            f"{self._wanted.event_collection}, {frame['start']}/{frame['end']}: {self._handed:,} events read"
        )

    @property
    def expected(self) -> int | None:
        """How many events there are, those already handed over included; None while that is not counted."""
        ahead = [part.events for part in self._todo]
        return None if None in ahead else self._handed + sum(events or 0 for events in ahead)

    def next_page(self) -> Steps[list[Event] | None]:
        """The next events, the newest first (so that ``pop()`` takes them in order of time); None at the end.

        Raises:
            ApiError: The server refuses the query, or a single millisecond has
                too many events. The events before it have been handed over.
        """
        while self._todo:
            part = self._todo[-1]
            is_large = part.events is not None and part.events > self._page_events
            if part.events is None or (is_large and counting_interval(part) is not None):
                parts = yield from self._counted(part)
                self._replace(parts)
            elif is_large and part.duration_ms > 1:
                self._replace(divided(part, self._page_events))
            else:
                page = yield from self._extracted(part)
                if page is not None:
                    self._todo.pop()
                    self._handed += len(page)
                    return page
        return None

    def _replace(self, parts: Sequence[Part]) -> None:
        self._todo[-1:] = reversed(parts)

    def _counted(self, part: Part) -> Steps[Sequence[Part]]:
        interval = counting_interval(part)
        question = Analysis(
            analysis_type="count",
            event_collection=self._wanted.event_collection,
            timeframe=part.timeframe,
            interval=interval,
            filters=self._wanted.filters,
        )
        try:
            result = yield RunAnalysis(question)
        except (InvalidRequestError, ServerError) as error:
            return (yield from self._refused(question, part, error))
        self._understood.add(question.analysis_type)
        pieces = [attrs.evolve(part, events=_number(result))] if interval is None else list(_pieces(result))
        parts = counted_parts(part, pieces, self._page_events)
        if len(parts) == 1 and (parts[0].events or 0) > self._page_events and part.duration_ms > 1:
            return divided(parts[0], self._page_events)
        return parts

    def _extracted(self, part: Part) -> Steps[list[Event] | None]:
        """The events of *part*; None where it had to be cut instead."""
        question = attrs.evolve(self._asked, timeframe=part.timeframe)
        try:
            result = yield RunAnalysis(question)
        except (InvalidRequestError, ServerError) as error:
            self._replace((yield from self._refused(question, part, error)))
            return None
        self._understood.add(question.analysis_type)
        events = _events(result)
        if len(events) >= self._extraction_max:
            # It may be all of them, or all that the server ever returns.
            if part.duration_ms == 1:
                raise _too_many(part, f"the server returned {len(events):,} events, as many as it ever does")
            self._replace(divided(attrs.evolve(part, events=None), self._page_events))
            return None
        page = sorted(events, key=lambda event: _moment_ms(event, part.start_ms), reverse=True)
        if self._adds_timestamp:
            for event in page:
                _drop_timestamp(event)
        return page

    def _refused(
        self, question: Analysis, part: Part, error: InvalidRequestError | ServerError
    ) -> Steps[Sequence[Part]]:
        """The pieces to try instead of *part*, if it was refused for its size."""
        if isinstance(error, ServerError) and error.status != _GATEWAY_TIMEOUT:
            raise error
        if part.duration_ms == 1:
            raise _too_many(part, error.message) from error
        if question.analysis_type not in self._understood:
            # A query that breaks a rule is refused at any size: the smallest one tells.
            least = Part(part.start_ms, part.start_ms + 1)
            try:
                yield RunAnalysis(attrs.evolve(question, timeframe=least.timeframe, interval=None))
            except InvalidRequestError as again:
                raise _too_many(least, again.message) from again
            self._understood.add(question.analysis_type)
        return divided(attrs.evolve(part, events=None), self._page_events)


class EventIterator(Iterator[Event]):
    """The events of an extraction in order of ``keen.timestamp``, the oldest first, fetched as they are asked for.

    For one thread at a time. After an error, ``next()`` goes on where it was.
    """

    def __init__(
        self, run_steps: Callable[[Steps[list[Event] | None]], list[Event] | None], pages: Pages
    ) -> None:
        self._run_steps = run_steps
        self._pages = pages
        self._page: list[Event] | None = []

    @property
    def expected(self) -> int | None:
        """How many events there are in all; None before the first is asked for, and where counting was refused."""
        return self._pages.expected

    def __repr__(self) -> str:
        return f"<EventIterator of {self._pages}>"

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        while self._page is not None and not self._page:
            self._page = self._run_steps(self._pages.next_page())
        if self._page is None:
            raise StopIteration
        return self._page.pop()


class AsyncEventIterator:
    """The async twin of :class:`EventIterator`, for one task at a time."""

    def __init__(
        self, run_steps: Callable[[Steps[list[Event] | None]], Awaitable[list[Event] | None]], pages: Pages
    ) -> None:
        self._run_steps = run_steps
        self._pages = pages
        self._page: list[Event] | None = []

    @property
    def expected(self) -> int | None:
        """See :attr:`EventIterator.expected`."""
        return self._pages.expected

    def __repr__(self) -> str:
        return f"<AsyncEventIterator of {self._pages}>"

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while self._page is not None and not self._page:
            self._page = await self._run_steps(self._pages.next_page())
        if self._page is None:
            raise StopAsyncIteration
        return self._page.pop()


def _with_timestamp(wanted: Analysis) -> tuple[Analysis, bool]:
    """The extraction to ask for, with the time that events are put in order by; and whether that was added."""
    names = wanted.property_names
    if not names or _TIMESTAMP in names or "keen" in names:
        return wanted, False
    return attrs.evolve(wanted, property_names=(*names, _TIMESTAMP)), True


def _drop_timestamp(event: Event) -> None:
    keen = event.get("keen")
    if isinstance(keen, dict):
        keen.pop("timestamp", None)
        if not keen:
            del event["keen"]


def _too_many(part: Part, words: str) -> ApiError:
    return ApiError(
        f"the millisecond {ms_to_iso(part.start_ms)} cannot be extracted, and a timeframe cannot be smaller:"
        f" {words}; the events before it were handed over",
        "where the words are about the query, correct it; where about its size, extract by filters"
        " that divide the events of that millisecond",
    )


def _events(result: Any) -> list[Event]:
    if not isinstance(result, list) or not all(isinstance(event, dict) for event in result):
        raise _unreadable("is not a list of events")
    return result


def _pieces(result: Any) -> Iterable[Part]:
    if not isinstance(result, list):
        raise _unreadable("is not a list of sub-timeframes")
    for entry in result:
        frame = entry.get("timeframe") if isinstance(entry, Mapping) else None
        if not isinstance(frame, Mapping):
            raise _unreadable("has a sub-timeframe without its bounds")
        start_ms, end_ms = _text_ms(frame.get("start")), _text_ms(frame.get("end"))
        if start_ms is None or end_ms is None:
            raise _unreadable("has a sub-timeframe without its bounds")
        yield Part(start_ms, end_ms, _number(entry.get("value")))


def _number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise _unreadable("has a count that is no number of events")
    return value


def _unreadable(what: str) -> UnreadableResponseError:
    return UnreadableResponseError(
        f"the server's answer {what}; the events before it were handed over",
        "check the base URL, and for a proxy in between",
        status=200,
    )


def _moment_ms(event: Event, otherwise_ms: int) -> int:
    keen = event.get("keen")
    at_ms = _text_ms(keen.get("timestamp")) if isinstance(keen, dict) else None
    return otherwise_ms if at_ms is None else at_ms


def _text_ms(text: Any) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
        return datetime_to_ms(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC))
    except (TypeError, ValueError, OverflowError):
        return None
