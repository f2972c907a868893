"""Which events a query, a funnel's step or a deletion means: a timeframe and filters, as SQL conditions."""

from __future__ import annotations

from collections.abc import Sequence

from keen_client.server.engine import Source
from keen_client.server.filters import Filter, conditions
from keen_client.server.timeframe import Timeframe


def selection(timeframe: Timeframe | None, filters: Sequence[Filter], source: Source) -> list[str]:
    """The conditions; an event is meant where all of them hold. Values are bound to *source*."""
    found = []
    if timeframe is not None:
        bind = source.parameters.bind
        found.append(f"ts >= {bind(timeframe.start_ms, 'BIGINT')}")
        found.append(f"ts < {bind(timeframe.end_ms, 'BIGINT')}")
    return [*found, *conditions(filters, source.columns, source.parameters)]
