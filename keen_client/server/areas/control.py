"""``/_control``: what a real Keen does not have, for tests and the demo."""

from __future__ import annotations

from starlette.responses import Response

from keen_client.server.call import Call
from keen_client.server.control import Control
from keen_client.server.permission import MASTER_ONLY
from keen_client.server.reply import json_reply
from keen_client.server.routing import Route
from keen_client.server.services import Services


class ControlArea:
    """The faults of a running server, and what they hide."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._control = Control(services.store, services.faults)
        self.routes = (
            Route("GET", "/_control/faults", MASTER_ONLY, self._show),
            Route("POST", "/_control/faults", MASTER_ONLY, self._change),
            Route("POST", "/_control/release", MASTER_ONLY, self._release),
            Route("POST", "/_control/resurrect", MASTER_ONLY, self._resurrect),
        )

    async def _show(self, _call: Call) -> Response:
        return json_reply(self._control.document())

    async def _change(self, call: Call) -> Response:
        return json_reply(await self._services.in_thread(self._control.change, await call.document()))

    async def _release(self, _call: Call) -> Response:
        return json_reply(await self._services.in_thread(self._control.release))

    async def _resurrect(self, _call: Call) -> Response:
        return json_reply(await self._services.in_thread(self._control.resurrect))
