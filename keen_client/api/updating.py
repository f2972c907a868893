"""Updating events that Keen has stored: properties get another value in all events that match.

The log is not changed, and neither is what waits in it: what an event was when
it was recorded is what verification holds the server against.
"""

# mypy: disable-error-code="no-any-return"
# What run_steps makes of steps is its class's own affair: see StepMethods.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

from keen_client.api.answers import read_object
from keen_client.api.call import Call, changing
from keen_client.api.collection import STAMP, collection_path, selected
from keen_client.api.json_text import decode, encode
from keen_client.api.steps import StepMethods, Steps
from keen_client.errors import InvalidEventError, InvalidQueryError
from keen_client.events.encoding import encode_event
from keen_client.queries.filters import FilterLike
from keen_client.queries.timeframe import TimeframeLike
from keen_client.queries.values import named
from keen_client.transport.message import Response

_KEEN: Final = "keen"

CountR = TypeVar("CountR")


def update_events(
    event_collection: str,
    properties: Mapping[str, Any],
    timeframe: TimeframeLike | None,
    timezone: str | int | None,
    filters: Sequence[FilterLike] | None,
    *,
    upsert: bool,
) -> Steps[int | None]:
    """Give *properties* (dotted paths) other values in the events that match, or in the whole collection."""
    if not isinstance(properties, Mapping) or not properties:
        raise InvalidQueryError(
            "no property says what to update; nothing was sent", 'give them like {"user.plan": "pro"}'
        )
    more = {"upsert_property": True} if upsert else {}
    updates = [
        {"property_name": path, "property_value": _checked(path, value), **more}
        for path, value in properties.items()
    ]
    body = {"property_updates": updates, **selected(timeframe, timezone, filters, "update")}
    return changing(
        Call(
            method="PUT",
            path=collection_path(event_collection),
            key_class="master",
            read=_read_count,
            body=encode(body),
        ),
        "the events",
        "updated",
        "count them with a filter for the new value; an update takes as long to be seen as a write",
    )


class UpdateMethods(StepMethods, Generic[CountR]):
    """Updating stored events. An update is sent once, and is no transaction: it may have reached some events only."""

    def update_events(
        self,
        event_collection: str,
        properties: Mapping[str, Any],
        timeframe: TimeframeLike | None = None,
        timezone: str | int | None = None,
        filters: Sequence[FilterLike] | None = None,
        *,
        upsert: bool = False,
    ) -> CountR:
        """Give *properties* other values in the events that match; without timeframe and filters in all (master key).

        *properties* maps dotted paths to values, such as ``{"user.plan": "pro"}``. Events without the
        property stay as they are; with *upsert* they get it. How many events were updated, or None where
        Keen does not say. At most ten updates a minute, and only where Keen has switched them on for the project.

        The log keeps what was recorded. A property whose sums verification compares reads as *corrupt*
        from then on, in every window that is verified again; an event that is resent has the old values. The
        stamp ``kc`` is refused here, and so is Keen's own ``keen``.

        Raises:
            InvalidEventError: A value or a name that no event may have. Nothing was sent.
            InvalidQueryError: There is nothing to update, or an empty list of filters would update
                everything. Nothing was sent.
        """
        return self.run_steps(
            update_events(event_collection, properties, timeframe, timezone, filters, upsert=upsert)
        )


def _checked(path: object, value: object) -> Any:
    """*value* as JSON has it, if an event may have it at *path*."""
    names = named(path, "the name of a property").split(".")
    if names[0] in (STAMP, _KEEN):
        whose = "the stamps that verification compares" if names[0] == STAMP else "what Keen itself keeps"
        raise InvalidQueryError(
            f"{names[0]} carries {whose}, and cannot be updated; nothing was sent", "leave it as it is"
        )
    event = value
    for name in reversed(names):
        event = {name: event}
    try:
        encoded = encode_event("updated", event).body
    except InvalidEventError as error:
        told = error.message.replace("nothing was recorded", "nothing was sent")
        raise InvalidEventError(told, error.hint, path=error.path) from None
    found = decode(encoded.encode())
    for name in names:
        found = found[name]
    return found


def _read_count(response: Response) -> int | None:
    count = read_object(response).get("updated_events")
    return count if isinstance(count, int) else None
