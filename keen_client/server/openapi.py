"""The OpenAPI document of the server, made from its routes and from what is said of each here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any, Final

import attrs

from keen_client.server.openapi_schemas import (
    OBJECT,
    QUERY_PARAMETERS,
    SCHEMAS,
    TEXT,
    Schema,
    listed,
    ref,
)
from keen_client.server.routing import PROJECT, Route

#: Routes with this beginning are a page's own, and nobody else's.
_PRIVATE: Final = "/_page/"
_WHEN: Final = ("timeframe", "timezone", "filters")
_PADDED: Final = "jsonp"


@attrs.frozen
class Operation:
    """What is said of one method on one path.

    ``answers``: the schema of each status that is no error; None for a status
    without a body. ``parameters``: names in the query string.
    """

    summary: str
    answers: Mapping[int, Schema | None]
    body: Schema | None = None
    parameters: tuple[str, ...] = ()


_EVENTS: Final = f"{PROJECT}/events"
_COLLECTION: Final = f"{_EVENTS}/{{collection}}"
_PROPERTY: Final = f"{_COLLECTION}/properties/{{property}}"
_SAVED: Final = f"{PROJECT}/queries/saved"
_DATASETS: Final = f"{PROJECT}/datasets"
_KEY: Final = f"{PROJECT}/keys/{{key}}"

OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    ("GET", ""): Operation("The versions of the API.", {200: listed(OBJECT)}),
    ("GET", "/3.0"): Operation("Where the projects are.", {200: OBJECT}),
    ("GET", "/3.0/openapi.json"): Operation("This document.", {200: OBJECT}),
    ("GET", "/3.0/projects"): Operation("The projects: one.", {200: listed(ref("Project"))}),
    ("GET", PROJECT): Operation("The project.", {200: ref("Project")}),
    ("POST", _EVENTS): Operation(
        "Write events of several collections.", {200: ref("BatchResult")}, ref("Batch")
    ),
    ("GET", _EVENTS): Operation("The collections with their properties.", {200: listed(ref("Collection"))}),
    ("POST", _COLLECTION): Operation("Write one event.", {201: ref("Created")}, ref("Event")),
    ("GET", _COLLECTION): Operation(
        "The collection's properties; with `data` (an event as base64): write it.",
        {200: ref("Collection"), 201: ref("Created"), 302: None},
        parameters=("data", "redirect", "c", _PADDED),
    ),
    ("PUT", _COLLECTION): Operation(
        "Give properties another value in the events that are selected, or in all.",
        {200: ref("Updated")},
        ref("UpdateBody"),
    ),
    ("DELETE", _COLLECTION): Operation(
        "Delete the events that are selected, or the whole collection.", {204: None}, parameters=_WHEN
    ),
    ("GET", _PROPERTY): Operation("A property and its type.", {200: ref("Property")}),
    ("DELETE", _PROPERTY): Operation("Take a property from all events.", {204: None}),
    ("GET", f"{PROJECT}/queries"): Operation("Where each type of query is.", {200: OBJECT}),
    ("GET", f"{PROJECT}/queries/{{type}}"): Operation(
        "Ask, with the parameters in the query string.",
        {200: ref("Result")},
        parameters=(*QUERY_PARAMETERS, _PADDED),
    ),
    ("POST", f"{PROJECT}/queries/{{type}}"): Operation("Ask.", {200: ref("Result")}, ref("Query")),
    ("GET", _SAVED): Operation("The saved queries.", {200: listed(ref("SavedQuery"))}),
    ("GET", f"{_SAVED}/{{name}}"): Operation("One saved query.", {200: ref("SavedQuery")}),
    ("PUT", f"{_SAVED}/{{name}}"): Operation(
        "Make or replace a saved query.",
        {200: ref("SavedQuery"), 201: ref("SavedQuery")},
        ref("SavedQueryBody"),
    ),
    ("DELETE", f"{_SAVED}/{{name}}"): Operation("Delete a saved query.", {204: None}),
    ("GET", f"{_SAVED}/{{name}}/result"): Operation("A saved query with its result.", {200: ref("Result")}),
    ("GET", _DATASETS): Operation(
        "A page of the datasets.", {200: ref("DatasetPage")}, parameters=("limit", "after_name")
    ),
    ("GET", f"{_DATASETS}/{{name}}"): Operation("One dataset.", {200: ref("Dataset")}),
    ("PUT", f"{_DATASETS}/{{name}}"): Operation("Make a dataset.", {201: ref("Dataset")}, ref("DatasetBody")),
    ("DELETE", f"{_DATASETS}/{{name}}"): Operation("Delete a dataset.", {204: None}),
    ("GET", f"{_DATASETS}/{{name}}/results"): Operation(
        "What a dataset holds for index values.", {200: ref("Result")}, parameters=("index_by", "timeframe")
    ),
    ("GET", f"{PROJECT}/keys"): Operation(
        "The access keys.", {200: listed(ref("AccessKey"))}, parameters=("name",)
    ),
    ("POST", f"{PROJECT}/keys"): Operation(
        "Make an access key.", {201: ref("AccessKey")}, ref("AccessKeyBody")
    ),
    ("GET", _KEY): Operation("One access key.", {200: ref("AccessKey")}),
    ("POST", _KEY): Operation("Replace an access key.", {200: ref("AccessKey")}, ref("AccessKeyBody")),
    ("DELETE", _KEY): Operation("Delete an access key.", {204: None}),
    ("POST", f"{_KEY}/revoke"): Operation("Revoke an access key.", {200: ref("AccessKey")}),
    ("POST", f"{_KEY}/unrevoke"): Operation("Take that back.", {200: ref("AccessKey")}),
    ("GET", "/_control/faults"): Operation("The faults that are on.", {200: ref("Faults")}),
    ("POST", "/_control/faults"): Operation("Change the faults.", {200: ref("Faults")}, OBJECT),
    ("POST", "/_control/release"): Operation("Show what is delayed.", {200: OBJECT}),
    ("POST", "/_control/resurrect"): Operation("Show what has vanished.", {200: OBJECT}),
}


def openapi_document(routes: Iterable[Route]) -> dict[str, Any]:
    """The OpenAPI 3.1 document of *routes*. It holds nothing of the project, so it needs no key."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        if not route.path.startswith(_PRIVATE):
            item = paths.setdefault(route.path or "/", {"parameters": _path_parameters(route.path)})
            item[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Keen 3.0 on this machine",
            "version": version("keen-client"),
            "description": "The local server of keen-client.",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "header": {"type": "apiKey", "in": "header", "name": "Authorization"},
                "parameter": {"type": "apiKey", "in": "query", "name": "api_key"},
            },
        },
        "security": [{"header": []}, {"parameter": []}],
    }


def _operation(route: Route) -> dict[str, Any]:
    said = OPERATIONS[route.method, route.path]
    permissions = sorted(permission.value for permission in route.needs or ())
    keys = f"access keys with {' or '.join(permissions)}" if permissions else "no access key"
    document: dict[str, Any] = {
        "summary": said.summary,
        "description": "Needs no key." if route.needs is None else f"Beside the project's own keys: {keys}.",
        "responses": {
            **{str(status): _answer(status, schema) for status, schema in said.answers.items()},
            "default": _answer(0, ref("Error")),
        },
    }
    if route.needs is None:
        document["security"] = []
    if said.parameters:
        document["parameters"] = [
            {"name": name, "in": "query", "schema": _as_text(name)} for name in said.parameters
        ]
    if said.body is not None:
        content = {"application/json": {"schema": said.body}}
        document["requestBody"] = {"required": True, "content": content}
    return document


def _answer(status: int, schema: Schema | None) -> dict[str, Any]:
    described = "Refused." if status == 0 else "Done."
    if schema is None:
        return {"description": described}
    return {"description": described, "content": {"application/json": {"schema": schema}}}


def _as_text(name: str) -> Schema:
    """A parameter of a query string is text; where a body would hold more than that, it is that in JSON."""
    schema = QUERY_PARAMETERS.get(name, TEXT)
    if schema.get("type") in ("string", "integer", "number", "boolean") or "enum" in schema:
        return schema
    return {"type": "string", "description": "JSON, or plain text where a text is enough"}


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in re.findall(r"\{(\w+)\}", path)
    ]
