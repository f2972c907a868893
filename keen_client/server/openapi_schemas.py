"""The shapes of requests and answers, as schemas of OpenAPI 3.1; data only."""

from __future__ import annotations

from typing import Any, Final

from keen_client.server.access_key import DATASET_OPERATIONS, MAX_NAME, OPTIONS
from keen_client.server.filters import OPERATORS
from keen_client.server.permission import Permission
from keen_client.server.query import AGGREGATIONS
from keen_client.server.updating import MAX_UPDATES

Schema = dict[str, Any]

TEXT: Final[Schema] = {"type": "string"}
OBJECT: Final[Schema] = {"type": "object"}
ANY: Final[Schema] = {}


def ref(name: str) -> Schema:
    """A reference to the schema *name* of :data:`SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def listed(items: Schema, **more: Any) -> Schema:
    """A list of *items*."""
    return {"type": "array", "items": items, **more}


def optional(schema: Schema) -> Schema:
    """*schema*, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def record(required: tuple[str, ...] = (), **members: Schema) -> Schema:
    """An object with *members*; others are allowed, as clients send what the server need not know."""
    return {"type": "object", "properties": members, "required": list(required)}


_TIMEFRAME: Final = {
    "anyOf": [
        {"type": "string", "examples": ["this_7_days", "previous_2_weeks", "today"]},
        record(("start", "end"), start=ref("Moment"), end=ref("Moment")),
    ]
}
_GROUP: Final = {
    "anyOf": [
        TEXT,
        record(
            ("property_name",),
            property_name=TEXT,
            buckets=record(("size",), size={"type": "number", "exclusiveMinimum": 0}),
            ranges=listed(record((), **{"from": {"type": "number"}, "to": {"type": "number"}})),
        ),
    ]
}
_NAMES: Final = {"anyOf": [TEXT, listed(TEXT)]}
_ORDER: Final = {
    "anyOf": [TEXT, record(("property_name",), property_name=TEXT, direction={"enum": ["ASC", "DESC"]})]
}

#: The parameters of a query, by name: of a POST body as they stand, of a query string as JSON text.
QUERY_PARAMETERS: Final[dict[str, Schema]] = {
    "event_collection": TEXT,
    "timeframe": _TIMEFRAME,
    "timezone": {"anyOf": [TEXT, {"type": "integer"}]},
    "interval": {"type": "string", "examples": ["daily", "every_3_hours"]},
    "filters": listed(ref("Filter")),
    "group_by": {"anyOf": [_GROUP, listed(_GROUP)]},
    "order_by": {"anyOf": [_ORDER, listed(_ORDER)]},
    "limit": {"type": "integer", "minimum": 1},
    "target_property": TEXT,
    "percentile": {"type": "number", "minimum": 0, "maximum": 100},
    "analyses": {"type": "object", "additionalProperties": ref("Analysis")},
    "steps": listed(ref("Step")),
    "latest": {"type": "integer", "minimum": 1},
    "property_names": _NAMES,
    "email": TEXT,
    "content_type": {"enum": ["application/json", "text/csv"]},
    "content_encoding": {"enum": ["identity", "gzip"]},
    "include_metadata": {"type": "boolean"},
    "max_age": {"type": "integer"},
}

_LIMIT: Final = record((), allowed=listed(TEXT), blocked=listed(TEXT), filters=listed(ref("Filter")))
_OPTION_GROUPS: Final[dict[str, Schema]] = {
    "saved_queries": _LIMIT,
    "cached_queries": record((), allowed=listed(TEXT), blocked=listed(TEXT)),
    "writes": record((), autofill=OBJECT),
    "queries": record((), filters=listed(ref("Filter"))),
    "datasets": record(
        (),
        operations=listed({"enum": sorted(DATASET_OPERATIONS)}),
        allowed={"anyOf": [listed(TEXT), {"type": "object", "additionalProperties": OBJECT}]},
        blocked=listed(TEXT),
    ),
}
_KEY_MEMBERS: Final[dict[str, Schema]] = {
    "name": {"type": "string", "minLength": 1, "maxLength": MAX_NAME},
    "is_active": {"type": "boolean"},
    "permitted": listed({"enum": [permission.value for permission in Permission]}),
    "options": record((), **{name: optional(_OPTION_GROUPS[name]) for name in OPTIONS}),
}
_DATASET_QUERY: Final = record(
    ("analysis_type", "event_collection", "timeframe", "interval"),
    analysis_type=TEXT,
    **{name: QUERY_PARAMETERS[name] for name in ("event_collection", "timeframe", "timezone", "interval")},
    **{name: QUERY_PARAMETERS[name] for name in ("filters", "group_by", "target_property", "percentile")},
    analyses=QUERY_PARAMETERS["analyses"],
)

#: Every schema that is referred to by name.
SCHEMAS: Final[dict[str, Schema]] = {
    "Error": record(("message", "error_code"), message=TEXT, error_code=TEXT),
    "Moment": {"type": "string", "description": "ISO 8601; without a zone UTC", "format": "date-time"},
    "Event": {
        "type": "object",
        "properties": {
            "keen": record(
                (),
                timestamp=ref("Moment"),
                uniqueness_token={"type": "string", "minLength": 1, "maxLength": 64},
                location=record((), coordinates=listed({"type": "number"}, minItems=2, maxItems=2)),
                addons=listed(record(("name", "input", "output"), name=TEXT, input=OBJECT, output=TEXT)),
            )
        },
        "additionalProperties": True,
    },
    "Batch": {"type": "object", "additionalProperties": listed(ref("Event"))},
    "Created": record(("created",), created={"const": True}),
    "BatchResult": {
        "type": "object",
        "additionalProperties": listed(
            record(
                ("success",),
                success={"type": "boolean"},
                error=record(("name", "description"), name=TEXT, description=TEXT),
            )
        ),
    },
    "UpdateBody": record(
        ("property_updates",),
        property_updates=listed(
            record(
                ("property_name", "property_value"),
                property_name=TEXT,
                property_value=ANY,
                upsert_property={"type": "boolean"},
            ),
            minItems=1,
            maxItems=MAX_UPDATES,
        ),
        **{name: QUERY_PARAMETERS[name] for name in ("timeframe", "timezone", "filters")},
    ),
    "Updated": record(("updated_events",), updated_events={"type": "integer"}),
    "Collection": record(
        ("name", "properties", "url"),
        name=TEXT,
        properties={"type": "object", "additionalProperties": TEXT},
        url=TEXT,
    ),
    "Property": record(("property_name", "url", "type"), property_name=TEXT, url=TEXT, type=TEXT),
    "Project": record(("id", "name", "url", "events"), id=TEXT, name=TEXT, url=TEXT, events=listed(OBJECT)),
    "Filter": {
        "anyOf": [
            record(
                ("property_name", "operator"),
                property_name=TEXT,
                operator={"enum": sorted(OPERATORS - {"and", "or"})},
                property_value=ANY,
            ),
            record(
                ("operator", "operands"),
                operator={"enum": ["and", "or"]},
                operands=listed(ref("Filter"), minItems=1),
            ),
        ]
    },
    "Analysis": record(
        ("analysis_type",),
        analysis_type={"enum": sorted(AGGREGATIONS)},
        target_property=TEXT,
        percentile=QUERY_PARAMETERS["percentile"],
    ),
    "Step": record(
        ("event_collection", "actor_property"),
        event_collection=TEXT,
        actor_property=_NAMES,
        timeframe=_TIMEFRAME,
        timezone=QUERY_PARAMETERS["timezone"],
        filters=QUERY_PARAMETERS["filters"],
        inverted={"type": "boolean"},
        optional={"type": "boolean"},
        with_actors={"type": "boolean"},
    ),
    "Query": {"type": "object", "properties": QUERY_PARAMETERS},
    "Result": record(("result",), result=ANY),
    "SavedQueryBody": record(
        ("query",),
        query={
            "type": "object",
            "properties": {"analysis_type": TEXT, **QUERY_PARAMETERS},
            "required": ["analysis_type"],
        },
        refresh_rate={"type": "integer", "minimum": 0, "maximum": 172_800},
        metadata=OBJECT,
        query_name=TEXT,
    ),
    "SavedQuery": record(
        ("query_name", "refresh_rate", "query", "metadata", "urls"),
        query_name=TEXT,
        refresh_rate={"type": "integer"},
        query=OBJECT,
        metadata=OBJECT,
        run_information=optional(OBJECT),
        urls=OBJECT,
    ),
    "DatasetBody": record(("query", "index_by"), query=_DATASET_QUERY, index_by=_NAMES, display_name=TEXT),
    "Dataset": record(
        ("dataset_name", "query", "index_by"), dataset_name=TEXT, query=OBJECT, index_by=listed(TEXT)
    ),
    "DatasetPage": record(
        ("datasets", "next_page_url", "count"),
        datasets=listed(ref("Dataset")),
        next_page_url=optional(TEXT),
        count={"type": "integer"},
    ),
    "AccessKeyBody": record(("name",), **_KEY_MEMBERS),
    "AccessKey": record(
        ("key", "name", "is_active", "permitted", "project_id", "options"),
        key={"type": "string", "pattern": "^[0-9A-F]{64}$"},
        project_id=TEXT,
        **_KEY_MEMBERS,
    ),
    "Faults": record(("faults", "counters"), faults=OBJECT, counters=OBJECT),
}
