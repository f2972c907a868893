"""Updating stored events: giving properties another value, in the events that a timeframe and filters select."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

from keen_client.server.filters import parse_filters
from keen_client.server.ingest import check_names, encode
from keen_client.server.query import required_text
from keen_client.server.refusal import (
    INVALID_PARAMETER,
    MISSING_PARAMETER,
    REQUEST_FORBIDDEN,
    Refusal,
    bad_request,
    not_found,
)
from keen_client.server.selection import selection
from keen_client.server.store import Store
from keen_client.server.timeframe import parse_timeframe, parse_zone

MAX_UPDATES: Final = 100


@attrs.frozen
class PropertyUpdate:
    """One property, by its dotted ``path``, and its new value.

    ``upsert``: events that lack it get it; else they stay as they are.
    """

    path: str
    value: Any
    upsert: bool = False

    def apply(self, event: dict[str, Any]) -> bool:
        """Set it in *event*; whether that was done. What stands in the way and is no object stays."""
        *parents, last = self.path.split(".")
        place: Any = event
        for name in parents:
            if self.upsert and name not in place:
                place[name] = {}
            place = place.get(name)
            if not isinstance(place, dict):
                return False
        if not self.upsert and last not in place:
            return False
        place[last] = self.value
        return True


def parse_updates(given: object) -> tuple[PropertyUpdate, ...]:
    """The ``property_updates`` of a request. Raises a refusal: 400, or 403 for what Keen itself keeps of an event."""
    if not isinstance(given, list) or not 0 < len(given) <= MAX_UPDATES:
        raise bad_request(
            MISSING_PARAMETER, f"property_updates must be a list of 1 to {MAX_UPDATES} updates."
        )
    return tuple(_parse_update(item) for item in given)


def _parse_update(given: object) -> PropertyUpdate:
    if not isinstance(given, Mapping) or "property_value" not in given:
        raise bad_request(INVALID_PARAMETER, "An update must have a property_name and a property_value.")
    upsert = given.get("upsert_property", False)
    if not isinstance(upsert, bool):
        raise bad_request(INVALID_PARAMETER, "upsert_property must be true or false.")
    update = PropertyUpdate(required_text(given, "property_name"), given["property_value"], upsert)
    if update.path.partition(".")[0] == "keen":
        raise Refusal(
            403, REQUEST_FORBIDDEN, "The properties of the keen namespace cannot be updated; nothing was."
        )
    check_names(dict.fromkeys(update.path.split(".")))
    return update


def update_events(store: Store, collection: str, given: Mapping[str, Any], now_ms: int) -> int:
    """Update the events of *collection* that *given* selects, all or none; how many were changed.

    Without a timeframe and filters, all of it. Raises a refusal: 400; 403; 404 for an unknown collection.
    """
    updates = parse_updates(given.get("property_updates"))
    filters = parse_filters(given.get("filters"))
    timeframe = None
    if given.get("timeframe"):
        timeframe = parse_timeframe(given["timeframe"], parse_zone(given.get("timezone")), now_ms)

    def updated(event: dict[str, Any]) -> str | None:
        # Each is applied: a later one may need what an earlier one has put there.
        applied = [update.apply(event) for update in updates]
        if not any(applied):
            return None
        check_names(event)
        return encode(event)

    with store.reading() as engine:
        if not engine.has(collection):
            raise not_found()
        source = engine.source(collection, [path for item in filters for path in item.paths()], now_ms)
        condition = " AND ".join(selection(timeframe, filters, source)) or "true"
        return engine.change(source, collection, condition, [update.path for update in updates], updated)
