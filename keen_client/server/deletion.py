"""Deleting: a whole collection, the events that a timeframe and filters select, or one property of all events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from keen_client.server.columns import json_path
from keen_client.server.filters import parse_filters
from keen_client.server.refusal import REQUEST_FORBIDDEN, Refusal, not_found
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


def delete_property(store: Store, collection: str, path: str) -> None:
    """Remove the property *path* and all below it from every event of *collection*.

    Raises a refusal: 403 for what Keen itself keeps of an event, 404 where no event has such a property.
    """
    if path.partition(".")[0] == "keen":
        raise Refusal(
            403, REQUEST_FORBIDDEN, "The properties of the keen namespace cannot be deleted; nothing was."
        )

    def without(event: dict[str, Any]) -> str | None:
        *parents, last = path.split(".")
        place: Any = event
        for name in parents:
            place = place.get(name) if isinstance(place, dict) else None
        # The path may have found an item of a list, and that is no property.
        if not isinstance(place, dict) or last not in place:
            return None
        del place[last]
        return orjson.dumps(event).decode()

    with store.reading() as engine:
        if not engine.has(collection):
            raise not_found()
        source = engine.everything(collection)
        has_it = f"json_exists(body, {source.parameters.bind(json_path(path), 'VARCHAR')})"
        if not engine.change(source, collection, has_it, [path], without):
            raise not_found()
