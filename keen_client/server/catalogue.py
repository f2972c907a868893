"""What a project holds, as documents: versions, the project, its collections and their properties."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

import orjson

from keen_client.server.engine import Engine
from keen_client.server.project import Project
from keen_client.server.query import TYPES
from keen_client.server.refusal import not_found

#: A collection's schema is read from this many of its newest events.
SCHEMA_SAMPLE: Final = 1_000

VERSIONS: Final = [
    {"is_public": False, "url": "/1.0", "version": "1.0"},
    {"is_public": False, "url": "/2.0", "version": "2.0"},
    {"is_public": True, "url": "/3.0", "version": "3.0"},
]


def project_document(engine: Engine, project: Project) -> dict[str, Any]:
    """The project, with the names of its collections. Ask for it with the master key only: it holds that key."""
    base = f"/3.0/projects/{project.id}"
    return {
        "api_key": project.master_key,
        "id": project.id,
        "name": project.name,
        "url": base,
        "events_url": f"{base}/events",
        "queries_url": f"{base}/queries",
        "saved_queries": [],
        "events": [{"name": name, "url": _collection_url(project, name)} for name in engine.collections],
    }


def queries_document(project: Project) -> dict[str, str]:
    """The resources of the query types."""
    return {f"{kind}_url": f"/3.0/projects/{project.id}/queries/{kind}" for kind in sorted(TYPES)}


def collections_document(engine: Engine, project: Project) -> list[dict[str, Any]]:
    """Every collection with its schema."""
    return [collection_document(engine, project, name) for name in engine.collections]


def collection_document(engine: Engine, project: Project, collection: str) -> dict[str, Any]:
    """One collection with its schema: dotted property paths to types. 404 when there is none."""
    if not engine.has(collection):
        raise not_found()
    properties: dict[str, str] = {}
    for body in engine.newest(collection, SCHEMA_SAMPLE):
        _describe(orjson.loads(body), "", properties)
    return {"name": collection, "properties": properties, "url": _collection_url(project, collection)}


def _collection_url(project: Project, collection: str) -> str:
    return f"/3.0/projects/{project.id}/events/{quote(collection, safe='')}"


def _describe(node: dict[str, Any], prefix: str, properties: dict[str, str]) -> None:
    for name, value in node.items():
        path = f"{prefix}{name}"
        if path == "keen.location.coordinates":
            properties[path] = "geo"
        elif isinstance(value, dict):
            _describe(value, f"{path}.", properties)
        elif value is not None or path not in properties:
            kind = _type_name(path, value)
            if properties.get(path, "null") == "null":
                properties[path] = kind


def _type_name(path: str, value: object) -> str:
    if path in ("keen.timestamp", "keen.created_at"):
        return "datetime"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "num"
    if isinstance(value, list):
        return "array"
    return "string" if isinstance(value, str) else "null"
