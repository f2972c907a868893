"""Floor 1: queries as frozen values, checked before anything is sent.

No I/O here. An :class:`~keen_client.queries.analysis.Analysis` or a
:class:`~keen_client.queries.funnel.Funnel` is built from what callers of the
official client pass (strings, dicts, lists) and turns into the JSON body of
the request.
"""

from __future__ import annotations

from keen_client.queries.analysis import Analysis
from keen_client.queries.definition import Query
from keen_client.queries.filters import AllOf, AnyOf, Filter
from keen_client.queries.funnel import Funnel, FunnelStep
from keen_client.queries.interval import SUB_TIMEFRAMES_MAX, Interval
from keen_client.queries.methods import AnalysisMethods
from keen_client.queries.timeframe import RelativeTimeframe, Timeframe

__all__ = [
    "SUB_TIMEFRAMES_MAX",
    "AllOf",
    "Analysis",
    "AnalysisMethods",
    "AnyOf",
    "Filter",
    "Funnel",
    "FunnelStep",
    "Interval",
    "Query",
    "RelativeTimeframe",
    "Timeframe",
]
