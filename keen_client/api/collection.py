"""Event collections and their properties: what is known of them, and what can be deleted."""

# mypy: disable-error-code="no-any-return"
# What run_steps makes of steps is its class's own affair: see StepMethods.

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Generic, NotRequired, TypedDict, TypeVar, cast

from keen_client.api.answers import read_object
from keen_client.api.call import Call, asking, changing, json_param, read_done, read_list
from keen_client.api.project import collection_segment, encode_segment
from keen_client.api.steps import StepMethods, Steps
from keen_client.errors import InvalidQueryError
from keen_client.queries.filters import FilterLike, parse_filters
from keen_client.queries.timeframe import TimeframeLike, parse_timeframe
from keen_client.queries.values import checked_timezone, named
from keen_client.transport.message import Response

#: The property under which an event's stamp travels.
STAMP: Final = "kc"

SchemaR = TypeVar("SchemaR")
SchemasR = TypeVar("SchemasR")
PropertyR = TypeVar("PropertyR")
DoneR = TypeVar("DoneR")


class CollectionSchema(TypedDict):
    """What Keen knows of a collection: the dotted paths of its properties, each with its type.

    Types are ``num``, ``string``, ``bool``, ``datetime``, ``null``, ``array`` and ``geo``.
    """

    properties: dict[str, str]
    name: NotRequired[str]
    url: NotRequired[str]


class PropertySchema(TypedDict):
    """What Keen knows of one property: its dotted path and its type."""

    property_name: str
    type: str
    url: NotRequired[str]


def get_collection(event_collection: str) -> Steps[CollectionSchema]:
    """Ask for the schema of one collection."""
    return asking(
        Call(
            method="GET",
            path=collection_path(event_collection),
            key_class="read",
            read=_read_schema,
        )
    )


def get_all_collections() -> Steps[list[CollectionSchema]]:
    """Ask for the schemas of all collections."""
    return asking(
        Call(
            method="GET",
            path="/events",
            key_class="read",
            read=_read_schemas,
        )
    )


def get_property(event_collection: str, property_name: str) -> Steps[PropertySchema]:
    """Ask for one property's type."""
    return asking(
        Call(
            method="GET",
            path=_property_path(event_collection, property_name),
            key_class="master",
            read=_read_property,
        )
    )


def delete_property(event_collection: str, property_name: str) -> Steps[bool]:
    """Remove one property from all events of a collection."""
    path = _property_path(event_collection, property_name)
    if property_name.partition(".")[0] == STAMP:
        raise InvalidQueryError(
            f"{STAMP} carries the stamps that verification compares; without them no event of the"
            " collection could be verified. Nothing was sent",
            "leave it: it costs no property of yours",
        )
    return changing(
        Call(method="DELETE", path=path, key_class="master", read=read_done),
        "the property",
        "deleted",
        "get_property() raises NotFoundError when it is gone",
    )


def delete_events(
    event_collection: str,
    timeframe: TimeframeLike | None,
    timezone: str | int | None,
    filters: Sequence[FilterLike] | None,
) -> Steps[bool]:
    """Delete the events that match, or the whole collection."""
    path = collection_path(event_collection)
    chosen = selected(timeframe, timezone, filters, "delete")
    params = tuple((name, json_param(value)) for name, value in chosen.items())
    return changing(
        Call(method="DELETE", path=path, key_class="master", read=read_done, params=params),
        "the events" if params else "the collection",
        "deleted",
        "count them with the same timeframe and filters; a deletion takes as long to be seen as a write",
    )


def selected(
    timeframe: TimeframeLike | None,
    timezone: str | int | None,
    filters: Sequence[FilterLike] | None,
    verb: str,
) -> dict[str, Any]:
    """The parameters that say which events to *verb*; none for the whole collection.

    Raises:
        InvalidQueryError: A query with these would be refused; or they name no events although they
            were given, and would mean the whole collection. Nothing was sent.
    """
    members: dict[str, Any] = {}
    span = parse_timeframe(timeframe)
    if span is not None:
        members["timeframe"] = span.to_json()
    if timezone is not None:
        members["timezone"] = checked_timezone(timezone)
    parsed = parse_filters(filters)
    if parsed:
        members["filters"] = [each.to_json() for each in parsed]
    if not {"timeframe", "filters"} & set(members) and (filters is not None or timezone is not None):
        raise InvalidQueryError(
            f"no filter and no timeframe says which events to {verb}, so it would be the whole collection;"
            " nothing was sent",
            f"give a filter or a timeframe; to {verb} the whole collection give neither, and no timezone",
        )
    return members


class CollectionMethods(StepMethods, Generic[SchemaR, SchemasR, PropertyR, DoneR]):
    """Collections, their properties, and deletion. What is deleted is gone for good; a deletion is sent once.

    A collection exists from its first event on; until then ``NotFoundError``.
    """

    def get_collection(self, event_collection: str) -> SchemaR:
        """The properties of one collection and their types (read key)."""
        return self.run_steps(get_collection(event_collection))

    def get_all_collections(self) -> SchemasR:
        """The same for every collection of the project (read key)."""
        return self.run_steps(get_all_collections())

    def get_property(self, event_collection: str, property_name: str) -> PropertyR:
        """One property and its type; *property_name* is a dotted path (master key)."""
        return self.run_steps(get_property(event_collection, property_name))

    def delete_property(self, event_collection: str, property_name: str) -> DoneR:
        """Remove one property from all events of a collection; True when Keen has taken it (master key).

        The log keeps it. A property whose sums verification compares reads as
        *corrupt* from then on, in every window that is verified again. The
        stamp ``kc`` is refused here, and Keen refuses its own ``keen.*``.
        """
        return self.run_steps(delete_property(event_collection, property_name))

    def delete_events(
        self,
        event_collection: str,
        timeframe: TimeframeLike | None = None,
        timezone: str | int | None = None,
        filters: Sequence[FilterLike] | None = None,
    ) -> DoneR:
        """Delete the events that match; without timeframe and filters the whole collection (master key).

        True when Keen has taken it: events may be seen for a while yet. At most
        ten deletions a minute. An empty list of filters without a timeframe is
        refused: it would delete everything.
        """
        return self.run_steps(delete_events(event_collection, timeframe, timezone, filters))


def collection_path(event_collection: str) -> str:
    """The path of a collection below the project's own.

    Raises:
        InvalidCollectionNameError: It has no name, or one that UTF-8 cannot hold. Nothing was sent.
    """
    return f"/events/{collection_segment(event_collection)}"


def _property_path(event_collection: str, property_name: str) -> str:
    segment = encode_segment(named(property_name, "property_name"))
    return f"{collection_path(event_collection)}/properties/{segment}"


def _read_schema(response: Response) -> CollectionSchema:
    return cast("CollectionSchema", read_object(response, "properties"))


def _read_schemas(response: Response) -> list[CollectionSchema]:
    return read_list(response, "name", "properties")


def _read_property(response: Response) -> PropertySchema:
    return cast("PropertySchema", read_object(response, "property_name", "type"))
