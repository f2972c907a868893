"""Discovery: versions, the project, and where its resources are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.responses import Response

from keen_client.server import catalogue
from keen_client.server.call import Call
from keen_client.server.permission import MASTER_ONLY, PUBLIC
from keen_client.server.reply import json_reply
from keen_client.server.routing import PROJECT, Route
from keen_client.server.services import Services


class DiscoveryArea:
    """``/``, ``/3.0``, ``/3.0/projects``, the project itself and its query types.

    *described* gives the OpenAPI document, once all areas are there.
    """

    def __init__(self, services: Services, described: Callable[[], dict[str, Any]]) -> None:
        self._services = services
        self._described = described
        self.routes = (
            Route("GET", "", MASTER_ONLY, self._versions),
            Route("GET", "/3.0", MASTER_ONLY, self._resources),
            Route("GET", "/3.0/openapi.json", PUBLIC, self._description),
            Route("GET", "/3.0/projects", MASTER_ONLY, self._projects),
            Route("GET", PROJECT, MASTER_ONLY, self._project),
            Route("GET", f"{PROJECT}/queries", MASTER_ONLY, self._query_types),
        )

    async def _versions(self, _call: Call) -> Response:
        return json_reply(catalogue.VERSIONS)

    async def _resources(self, _call: Call) -> Response:
        return json_reply({"projects_resource_url": "/3.0/projects"})

    async def _description(self, _call: Call) -> Response:
        return json_reply(self._described())

    async def _projects(self, _call: Call) -> Response:
        return json_reply([await self._services.in_thread(self._document)])

    async def _project(self, _call: Call) -> Response:
        return json_reply(await self._services.in_thread(self._document))

    async def _query_types(self, _call: Call) -> Response:
        return json_reply(catalogue.queries_document(self._services.project))

    def _document(self) -> dict[str, Any]:
        with self._services.store.reading() as engine:
            return catalogue.project_document(engine, self._services.project)
