"""What analysts ask for: answers as rows and tables, and all events of a timeframe, however many."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from keen_client.api.extraction import PAGE_EVENTS, AsyncEventIterator, EventIterator, Pages, extraction
from keen_client.api.steps import Steps
from keen_client.client.wiring import Seams
from keen_client.queries.definition import Query
from keen_client.queries.filters import FilterLike
from keen_client.queries.timeframe import TimeframeLike
from keen_client.results.query_result import QueryResult
from keen_client.results.rows import check_columns


class Analyst(ABC):
    """Two calls on top of what a client can ask anyway."""

    _seams: Seams

    @abstractmethod
    def query(self, analysis: Query, *, all_keys: bool = False) -> Any:
        """Run one analysis."""

    @abstractmethod
    def run_steps(self, steps: Steps[Any]) -> Any:
        """Carry out a call of several requests."""

    def run(self, analysis: Query) -> QueryResult:
        """Run one analysis, and return its answer as value, rows and tables.

        ::

            daily = keen.run(Analysis(analysis_type="sum", event_collection="purchases",
                target_property="price", timeframe="this_30_days", interval="daily", group_by="item"))
            daily.rows, daily.to_pandas()

        Raises:
            InvalidQueryError: two columns would have one name. Nothing was sent.
            ApiError: the query did not succeed; nothing was changed.
        """
        check_columns(analysis)
        return QueryResult(analysis, self.query(analysis, all_keys=True))

    def extract(
        self,
        event_collection: str,
        timeframe: TimeframeLike,
        timezone: str | int | None = None,
        filters: Sequence[FilterLike] | None = None,
        property_names: str | Sequence[str] | None = None,
        *,
        page_events: int = PAGE_EVENTS,
    ) -> EventIterator:
        """All events of *timeframe*, in order of ``keen.timestamp``, the oldest first, fetched as they are asked for.

        Beyond the 100,000 that an extraction returns: the timeframe is cut into
        parts by counts, and about *page_events* are in memory at a time. Its
        bounds are fixed now, a relative one by this client's clock in
        *timezone*: an event that arrives meanwhile moves nothing and is never
        handed out twice. Each part is a query, and waits for Keen's rate.

        Raises:
            InvalidQueryError: now, when a parameter cannot be used. Nothing was sent.
            ApiError: from the iterator, when a query does not succeed. What was
                handed out is right, and ``next()`` asks for the same part again.
        """
        return EventIterator(
            self.run_steps,
            Pages(
                extraction(
                    event_collection,
                    timeframe,
                    now_ms=self._seams.clock.wall_ms(),
                    timezone=timezone,
                    filters=filters,
                    property_names=property_names,
                ),
                page_events=page_events,
            ),
        )


class AioAnalyst(ABC):
    """The async twin of :class:`Analyst`."""

    _seams: Seams

    @abstractmethod
    async def query(self, analysis: Query, *, all_keys: bool = False) -> Any:
        """Run one analysis."""

    @abstractmethod
    async def run_steps(self, steps: Steps[Any]) -> Any:
        """Carry out a call of several requests."""

    async def run(self, analysis: Query) -> QueryResult:
        """See :meth:`Analyst.run`."""
        check_columns(analysis)
        return QueryResult(analysis, await self.query(analysis, all_keys=True))

    def extract(
        self,
        event_collection: str,
        timeframe: TimeframeLike,
        timezone: str | int | None = None,
        filters: Sequence[FilterLike] | None = None,
        property_names: str | Sequence[str] | None = None,
        *,
        page_events: int = PAGE_EVENTS,
    ) -> AsyncEventIterator:
        """See :meth:`Analyst.extract`. Not awaited: the iterator is, in ``async for``."""
        return AsyncEventIterator(
            self.run_steps,
            Pages(
                extraction(
                    event_collection,
                    timeframe,
                    now_ms=self._seams.clock.wall_ms(),
                    timezone=timezone,
                    filters=filters,
                    property_names=property_names,
                ),
                page_events=page_events,
            ),
        )
