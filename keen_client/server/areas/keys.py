"""Access keys: making, reading, replacing, revoking and deleting them."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from keen_client.server.access_key import AccessKey
from keen_client.server.call import Call
from keen_client.server.permission import MASTER_ONLY
from keen_client.server.reply import deleted, json_reply
from keen_client.server.routing import PROJECT, Route
from keen_client.server.services import Services

_KEYS: Final = f"{PROJECT}/keys"
_KEY: Final = f"{_KEYS}/{{key}}"


class KeysArea:
    """``/keys``."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.routes = (
            Route("GET", _KEYS, MASTER_ONLY, self._list),
            Route("POST", _KEYS, MASTER_ONLY, self._create),
            Route("GET", _KEY, MASTER_ONLY, self._get),
            Route("POST", _KEY, MASTER_ONLY, self._update),
            Route("DELETE", _KEY, MASTER_ONLY, self._delete),
            Route("POST", f"{_KEY}/revoke", MASTER_ONLY, self._revoke),
            Route("POST", f"{_KEY}/unrevoke", MASTER_ONLY, self._unrevoke),
        )

    async def _list(self, call: Call) -> Response:
        keys = self._services.keyring.access_keys(call.parameters.get("name"))
        return json_reply([key.document(self._services.project.id) for key in keys])

    async def _create(self, call: Call) -> Response:
        given = await call.document()
        return self._reply(await self._services.in_thread(self._services.keyring.create, given), 201)

    async def _get(self, call: Call) -> Response:
        return self._reply(self._services.keyring.access_key(call.names["key"]))

    async def _update(self, call: Call) -> Response:
        update = self._services.keyring.update
        given = await call.document()
        return self._reply(await self._services.in_thread(update, call.names["key"], given))

    async def _delete(self, call: Call) -> Response:
        await self._services.in_thread(self._services.keyring.delete, call.names["key"])
        return deleted()

    async def _revoke(self, call: Call) -> Response:
        return await self._set_active(call, active=False)

    async def _unrevoke(self, call: Call) -> Response:
        return await self._set_active(call, active=True)

    async def _set_active(self, call: Call, *, active: bool) -> Response:
        def change() -> AccessKey:
            return self._services.keyring.set_active(call.names["key"], active=active)

        return self._reply(await self._services.in_thread(change))

    def _reply(self, key: AccessKey, status: int = 200) -> Response:
        return json_reply(key.document(self._services.project.id), status)
