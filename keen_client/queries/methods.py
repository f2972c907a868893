"""The analyses as methods, once for everything that can run one.

The sync and the async client differ only in what :meth:`AnalysisMethods.query`
returns: a result, or an awaitable of one. So the methods stand here
once, and the two clients cannot drift apart.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from keen_client.queries.analysis import Analysis
from keen_client.queries.definition import Query
from keen_client.queries.filters import FilterLike
from keen_client.queries.funnel import Funnel, FunnelStepLike
from keen_client.queries.interval import Interval
from keen_client.queries.timeframe import TimeframeLike

Result = TypeVar("Result")

GroupBy = str | Mapping[str, Any] | Sequence[Any]
OrderBy = Mapping[str, Any] | Sequence[Mapping[str, Any]]


class AnalysisMethods(ABC, Generic[Result]):
    """Names, order and meaning of the parameters are those of the official client.

    Every method builds an :class:`~keen_client.queries.analysis.Analysis`
    (``InvalidQueryError``, at the call, when Keen would refuse it: nothing was
    sent) and hands it to :meth:`query`. A result is the ``result`` member of
    Keen's answer: a value; with ``group_by`` a list of rows; with ``interval``
    a list of ``{"value", "timeframe"}``.

    Common parameters: ``timeframe`` a word (``this_7_days``), a dict of
    ``start`` and ``end``, or a Timeframe (Keen's current API demands one);
    ``timezone`` a name or seconds east of UTC; ``interval`` such as ``daily``
    or ``every_15_minutes``; ``filters`` a list, all of which hold; ``max_age``
    in seconds, how old a cached answer may be; ``limit`` needs ``order_by``,
    which needs ``group_by``.
    """

    @abstractmethod
    def query(self, analysis: Query, *, all_keys: bool = False) -> Result:
        """Run *analysis*; with *all_keys* the whole body of the answer, not only ``result``."""

    def count(
        self,
        event_collection: str,
        timeframe: TimeframeLike | None = None,
        timezone: str | int | None = None,
        interval: str | Interval | None = None,
        filters: Sequence[FilterLike] | None = None,
        group_by: GroupBy | None = None,
        order_by: OrderBy | None = None,
        max_age: int | None = None,
        limit: int | None = None,
    ) -> Result:
        """The number of events."""
        return self.query(
            Analysis(
                analysis_type="count",
                event_collection=event_collection,
                timeframe=timeframe,
                timezone=timezone,
                interval=interval,
                filters=filters,
                group_by=group_by,
                order_by=order_by,
                max_age=max_age,
                limit=limit,
            )
        )

    def sum(
        self,
        event_collection: str,
        target_property: str,
        timeframe: TimeframeLike | None = None,
        timezone: str | int | None = None,
        interval: str | Interval | None = None,
        filters: Sequence[FilterLike] | None = None,
        group_by: GroupBy | None = None,
        order_by: OrderBy | None = None,
        max_age: int | None = None,
        limit: int | None = None,
    ) -> Result:
        """The sum of the numeric values of *target_property*; other values are skipped."""
        return self.query(
            Analysis(
                analysis_type="sum",
                event_collection=event_collection,
                target_property=target_property,
                timeframe=timeframe,
                timezone=timezone,
                interval=interval,
                filters=filters,
                group_by=group_by,
                order_by=order_by,
                max_age=max_age,
                limit=limit,
            )
        )

    def minimum(
        self,
        event_collection: str,
        target_property: str,
        timeframe: TimeframeLike | None = None,
        timezone: str | int | None = None,
        interval: str | Interval | None = None,
        filters: Sequence[FilterLike] | None = None,
        group_by: GroupBy | None = None,
        order_by: OrderBy | None = None,
        max_age: int | None = None,
        limit: int | None = None,
    ) -> Result:
        """The least numeric value of *target_property*; None when there is none."""
        return self.query(
            Analysis(
                analysis_type="minimum",
                event_collection=event_collection,
                target_property=target_property,
                timeframe=timeframe,
                timezone=timezone,
                interval=interval,
                filters=filters,
                group_by=group_by,
                order_by=order_by,
                max_age=max_age,
                limit=limit,
            )
        )

    def maximum(
        self,
        event_collection: str,
        target_property: str,
        timeframe: TimeframeLike | None = None,
        timezone: str | int | None = None,
        interval: str | Interval | None = None,
        filters: Sequence[FilterLike] | None = None,
        group_by: GroupBy | None = None,
        order_by: OrderBy | None = None,
        max_age: int | None = None,
        limit: int | None = None,
    ) -> Result:
        """The greatest numeric value of *target_property*; None when there is none."""
        return self.query(
            Analysis(
                analysis_type="maximum",
                event_collection=event_collection,
                target_property=target_property,
                timeframe=timeframe,
                timezone=timezone,
                interval=interval,
                filters=filters,
                group_by=group_by,
                order_by=order_by,
                max_age=max_age,
                limit=limit,
            )
        )

    def average(
        self,
        event_collection: str,
        target_property: str,
        timeframe: TimeframeLike | None = None,
        timezone: str | int | None = None,
        interval: str | Interval | None = None,
        filters: Sequence[FilterLike] | None = None,
        group_by: GroupBy | None = None,
        order_by: OrderBy | None = None,
        max_age: int | None = None,
        limit: int | None = None,
    ) -> Result:
        """The mean of the numeric values of *target_property*; None when there is none."""
        return self.query(
            Analysis(
                analysis_type="average",
                event_collection=event_collection,
                target_property=target_property,
                timeframe=timeframe,
                timezone=timezone,
                interval=interval,
                filters=filters,
                group_by=group_by,
                order_by=order_by,
                max_age=max_age,
                limit=limit,
            )
        )

    def median(
        self,
        event_collection: str,
        target_property: str,
        timeframe: TimeframeLike | None = None,
        timezone: str | int | None = None,
        interval: str | Interval | None = None,
        filters: Sequence[FilterLike] | None = None,
        group_by: GroupBy | None = None,
        order_by: OrderBy | None = None,
        max_age: int | None = None,
        limit: int | None = None,
    ) -> Result:
        """The median of the numeric values of *target_property*; None when there is none."""
        return self.query(
            Analysis(
                analysis_type="median",
                event_collection=event_collection,
                target_property=target_property,
                timeframe=timeframe,
                timezone=timezone,
                interval=interval,
                filters=filters,
                group_by=group_by,
                order_by=order_by,
                max_age=max_age,
                limit=limit,
            )
        )

    def percentile(
        self,
        event_collection: str,
        target_property: str,
        percentile: float | str,
        timeframe: TimeframeLike | None = None,
        timezone: str | int | None = None,
        interval: str | Interval | None = None,
        filters: Sequence[FilterLike] | None = None,
        group_by: GroupBy | None = None,
        order_by: OrderBy | None = None,
        max_age: int | None = None,
        limit: int | None = None,
    ) -> Result:
        """The value of *target_property* at *percentile* (0 to 100, at most two decimals); None when there is none."""
        return self.query(
            Analysis(
                analysis_type="percentile",
                event_collection=event_collection,
                target_property=target_property,
                percentile=percentile,
                timeframe=timeframe,
                timezone=timezone,
                interval=interval,
                filters=filters,
                group_by=group_by,
                order_by=order_by,
                max_age=max_age,
                limit=limit,
            )
        )

    def standard_deviation(
        self,
        event_collection: str,
        target_property: str,
        timeframe: TimeframeLike | None = None,
        timezone: str | int | None = None,
        interval: str | Interval | None = None,
        filters: Sequence[FilterLike] | None = None,
        group_by: GroupBy | None = None,
        order_by: OrderBy | None = None,
        max_age: int | None = None,
        limit: int | None = None,
    ) -> Result:
        """The standard deviation of the numeric values of *target_property*; None when there is none."""
        return self.query(
            Analysis(
                analysis_type="standard_deviation",
                event_collection=event_collection,
                target_property=target_property,
                timeframe=timeframe,
                timezone=timezone,
                interval=interval,
                filters=filters,
                group_by=group_by,
                order_by=order_by,
                max_age=max_age,
                limit=limit,
            )
        )

    def count_unique(
        self,
        event_collection: str,
        target_property: str,
        timeframe: TimeframeLike | None = None,
        timezone: str | int | None = None,
        interval: str | Interval | None = None,
        filters: Sequence[FilterLike] | None = None,
        group_by: GroupBy | None = None,
        order_by: OrderBy | None = None,
        max_age: int | None = None,
        limit: int | None = None,
    ) -> Result:
        """The number of distinct values of *target_property*; may be approximate for very many."""
        return self.query(
            Analysis(
                analysis_type="count_unique",
                event_collection=event_collection,
                target_property=target_property,
                timeframe=timeframe,
                timezone=timezone,
                interval=interval,
                filters=filters,
                group_by=group_by,
                order_by=order_by,
                max_age=max_age,
                limit=limit,
            )
        )

    def select_unique(
        self,
        event_collection: str,
        target_property: str,
        timeframe: TimeframeLike | None = None,
        timezone: str | int | None = None,
        interval: str | Interval | None = None,
        filters: Sequence[FilterLike] | None = None,
        group_by: GroupBy | None = None,
        order_by: OrderBy | None = None,
        max_age: int | None = None,
        limit: int | None = None,
    ) -> Result:
        """The distinct values of *target_property*, in no order."""
        return self.query(
            Analysis(
                analysis_type="select_unique",
                event_collection=event_collection,
                target_property=target_property,
                timeframe=timeframe,
                timezone=timezone,
                interval=interval,
                filters=filters,
                group_by=group_by,
                order_by=order_by,
                max_age=max_age,
                limit=limit,
            )
        )

    def extraction(
        self,
        event_collection: str,
        timeframe: TimeframeLike | None = None,
        timezone: str | int | None = None,
        filters: Sequence[FilterLike] | None = None,
        latest: int | None = None,
        email: str | None = None,
        property_names: str | Sequence[str] | None = None,
        *,
        content_type: str | None = None,
        content_encoding: str | None = None,
    ) -> Result:
        """The events themselves, newest first: at most 100,000, or by mail when *email* is given.

        What is mailed are files of *content_type* ``application/json`` or
        ``text/csv``, with *content_encoding* ``gzip`` packed; the result then is
        the server's word that they are under way.
        """
        return self.query(
            Analysis(
                analysis_type="extraction",
                event_collection=event_collection,
                timeframe=timeframe,
                timezone=timezone,
                filters=filters,
                latest=latest,
                email=email,
                property_names=property_names,
                content_type=content_type,
                content_encoding=content_encoding,
            )
        )

    def funnel(
        self,
        steps: Sequence[FunnelStepLike],
        timeframe: TimeframeLike | None = None,
        timezone: str | int | None = None,
        max_age: int | None = None,
        all_keys: bool = False,  # noqa: FBT001, FBT002 - the official client's parameter
    ) -> Result:
        """How many actors are in each step and in all required steps before it: one number a step.

        A step is a dict of ``event_collection`` and ``actor_property``, with
        ``timeframe``, ``timezone``, ``filters``, ``inverted``, ``optional`` and
        ``with_actors`` where wanted. With *all_keys* the whole body: ``result``,
        ``steps``, and ``actors`` where a step has ``with_actors``.
        """
        return self.query(
            Funnel(steps=steps, timeframe=timeframe, timezone=timezone, max_age=max_age), all_keys=all_keys
        )

    def multi_analysis(
        self,
        event_collection: str,
        analyses: Mapping[str, Mapping[str, Any]],
        timeframe: TimeframeLike | None = None,
        interval: str | Interval | None = None,
        timezone: str | int | None = None,
        filters: Sequence[FilterLike] | None = None,
        group_by: GroupBy | None = None,
        order_by: OrderBy | None = None,
        max_age: int | None = None,
        limit: int | None = None,
    ) -> Result:
        """Several analyses of the same events in one request: label to result."""
        return self.query(
            Analysis(
                analysis_type="multi_analysis",
                event_collection=event_collection,
                analyses=analyses,
                timeframe=timeframe,
                interval=interval,
                timezone=timezone,
                filters=filters,
                group_by=group_by,
                order_by=order_by,
                max_age=max_age,
                limit=limit,
            )
        )
