"""Saved and cached queries: their definitions and their results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.responses import Response

from keen_client.server.call import Call
from keen_client.server.credential import Credential, forbidden
from keen_client.server.filters import Filter
from keen_client.server.permission import MASTER_ONLY, Permission
from keen_client.server.refusal import not_found
from keen_client.server.reply import deleted, json_reply, padded
from keen_client.server.routing import PROJECT, Route
from keen_client.server.saved_queries import SavedQueries
from keen_client.server.services import Services

_SAVED: Final = f"{PROJECT}/queries/saved"
_NAMED: Final = f"{_SAVED}/{{name}}"
_RESULTS: Final = frozenset({Permission.SAVED_QUERIES, Permission.CACHED_QUERIES})


class SavedQueriesArea:
    """``/queries/saved``. It stands before the queries, of whose types ``saved`` is none."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._saved = SavedQueries(services)
        self.routes = (
            Route("GET", _SAVED, MASTER_ONLY, self._list),
            Route("GET", f"{_NAMED}/result", _RESULTS, self._result),
            Route("GET", _NAMED, MASTER_ONLY, self._get),
            Route("PUT", _NAMED, MASTER_ONLY, self._put),
            Route("DELETE", _NAMED, MASTER_ONLY, self._delete),
        )

    async def _list(self, call: Call) -> Response:
        return padded(call, json_reply(self._saved.all()))

    async def _get(self, call: Call) -> Response:
        return padded(call, json_reply(self._saved.get(call.names["name"])))

    async def _put(self, call: Call) -> Response:
        given = await call.document()
        definition, is_new = await self._services.in_thread(self._saved.put, call.names["name"], given)
        return json_reply(definition, 201 if is_new else 200)

    async def _delete(self, call: Call) -> Response:
        await self._services.in_thread(self._saved.delete, call.names["name"])
        return deleted()

    async def _result(self, call: Call) -> Response:
        name, credential = call.names["name"], call.credential
        permissions = [permission for permission in _RESULTS if credential.may(permission, name)]
        # Before it is looked for: who may not read it does not learn whether it is there.
        if not permissions or credential.blocks(_RESULTS, name):
            raise forbidden()
        filters = _admitted(credential, permissions, self._saved.get(name))
        return padded(call, json_reply(await self._services.in_thread(self._saved.result, name, filters)))


def _admitted(
    credential: Credential, permissions: Sequence[Permission], definition: Mapping[str, Any]
) -> tuple[Filter, ...]:
    """The filters under which *credential*, with these *permissions* for its name, may read the result.

    A cached query is a saved one too: either permission opens it. Another is none to who may read cached
    ones alone, and refused with a 404 like a name that nothing has.
    """
    if Permission.SAVED_QUERIES in permissions:
        return credential.filters_for(Permission.SAVED_QUERIES)
    if not definition["refresh_rate"]:
        raise not_found()
    return credential.filters_for(Permission.CACHED_QUERIES)
