"""The ASGI application: from a request to the area that answers it, and every error into Keen's JSON.

Every reply carries ``Date`` (by the server's clock) and the CORS headers that
browsers need. The routes themselves are in :mod:`keen_client.server.areas`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from keen_client._foundation.clock import MS_PER_SECOND, Clock, SystemClock
from keen_client.server.areas.control import ControlArea
from keen_client.server.areas.datasets import DatasetsArea
from keen_client.server.areas.discovery import DiscoveryArea
from keen_client.server.areas.events import EventsArea
from keen_client.server.areas.keys import KeysArea
from keen_client.server.areas.page import PageArea, is_asked_for, page
from keen_client.server.areas.queries import QueriesArea
from keen_client.server.areas.saved_queries import SavedQueriesArea
from keen_client.server.call import Call
from keen_client.server.geography import Geography
from keen_client.server.keyring import Keyring
from keen_client.server.misbehaviour import FaultEngine
from keen_client.server.openapi import openapi_document
from keen_client.server.project import Project
from keen_client.server.rate_limit import RateClass, RateLimits
from keen_client.server.refusal import INTERNAL, Refusal
from keen_client.server.reply import bad_gateway, json_reply
from keen_client.server.routing import Area, Router
from keen_client.server.services import Services
from keen_client.server.store import Store

_logger: Final = logging.getLogger("keen_client.server")
#: What a real Keen does not have; faults leave it alone.
_OWN: Final = "/_"
_CORS: Final = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "GET, POST, PUT, DELETE, OPTIONS",
    "access-control-allow-headers": "authorization, content-type, keen-sdk",
    "access-control-max-age": "86400",
    # A script of JSONP is a script, and JSON is none, whatever a browser makes of what is in it.
    "x-content-type-options": "nosniff",
}


class Api:
    """The ASGI application: answers requests."""

    def __init__(self, services: Services) -> None:
        self.services = services
        # The first route that matches is taken, so an area with fixed words in its paths stands before
        # one with a placeholder in that place.
        areas: list[Area] = [
            DiscoveryArea(services, self._described),
            EventsArea(services),
            SavedQueriesArea(services),
            DatasetsArea(services),
            QueriesArea(services),
            KeysArea(services),
            ControlArea(services),
            PageArea(services),
        ]
        self.router = Router(areas, services.project.id)

    def _described(self) -> dict[str, Any]:
        return openapi_document(self.router.routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, of whatever method. Of ASGI's other scopes there is nothing to do, and nothing is done."""
        if scope["type"] != "http":
            return
        response = await self.handle(Request(scope, receive))
        await response(scope, receive, send)

    async def handle(self, request: Request) -> Response:
        """Answer one request; every error becomes Keen's JSON."""
        call = Call(request)
        try:
            response = await self._answer(call)
        except Refusal as refusal:
            body = {"message": refusal.message, "error_code": refusal.error_code}
            response = json_reply(body, refusal.status)
            response.headers.update(refusal.headers)
        except Exception:
            # The traceback may quote an event, so only the place is logged, at debug level.
            _logger.debug("internal error", exc_info=True)
            text = "An unexpected error happened. A write may or may not have been stored."
            response = json_reply({"message": text, "error_code": INTERNAL}, 500)
        faults = self.services.faults
        if faults.faults.slow_ms and not call.path.startswith(_OWN):
            faults.count("slow")
            await self.services.pause(faults.faults.slow_ms)
        response.headers.update(_CORS)
        response.headers["date"] = formatdate(self.services.clock.wall_ms() / MS_PER_SECOND, usegmt=True)
        return response

    async def _answer(self, call: Call) -> Response:
        if call.method == "OPTIONS":
            return Response(status_code=204)
        if is_asked_for(call):
            return page()
        struck = None if call.path.startswith(_OWN) else self._struck_before()
        if struck is not None:
            return struck
        route = self.router.find(call)
        if route.needs is not None:
            call.credential = self.services.keyring.identify(call.presented_key)
            call.credential.require(route.needs)
        return await route.handle(call)

    def _struck_before(self) -> Response | None:
        """The replies of a broken proxy or server: the request is not looked at."""
        faults = self.services.faults
        if faults.strikes("http-500"):
            return json_reply({"message": "Internal error (fault 'http-500').", "error_code": INTERNAL}, 500)
        return bad_gateway() if faults.strikes("html-502") else None


def create_app(
    project: Project,
    store: Store,
    faults: FaultEngine | None = None,
    clock: Clock | None = None,
    geography: Geography | None = None,
    rate_limits: Mapping[RateClass, int] | None = None,
) -> Api:
    """The server as an ASGI application. The caller closes *store* when it is done.

    *geography* is what ``keen:ip_to_geo`` looks addresses up in; None leaves its output out.
    *rate_limits* are calls a minute by class; None for no limit.
    """
    keyring = Keyring(project, store.directory)
    rates = RateLimits(rate_limits or {})
    faults, clock = faults or FaultEngine(), clock or SystemClock()
    return Api(Services(project, keyring, store, faults, clock, geography, rates=rates))
