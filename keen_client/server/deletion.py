"""Deleting events: a whole collection, or what a timeframe and filters select."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keen_client.server.filters import parse_filters
from keen_client.server.refusal import not_found
from keen_client.server.selection import selection
from keen_client.server.store import Store
from keen_client.server.timeframe import parse_timeframe, parse_zone


def delete_events(store: Store, collection: str, given: Mapping[str, Any], now_ms: int) -> None:
    """Delete the events of *collection* that *given* selects; without a timeframe and filters, all of it.

    Tokens of deleted events stay registered, as a deletion is a correction and
    not an invitation to send again. Raises a 404 refusal for an unknown collection.
    """
    filters = parse_filters(given.get("filters"))
    timeframe = None
    if given.get("timeframe"):
        timeframe = parse_timeframe(given["timeframe"], parse_zone(given.get("timezone")), now_ms)
    with store.reading() as engine:
        if not engine.has(collection):
            raise not_found()
        if timeframe is None and not filters:
            engine.drop(collection)
            return
        source = engine.source(collection, [path for item in filters for path in item.paths()], now_ms)
        engine.delete(source, collection, " AND ".join(selection(timeframe, filters, source)))
