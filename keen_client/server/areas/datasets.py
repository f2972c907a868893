"""Cached datasets: their definitions and their results."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from keen_client.server.call import Call
from keen_client.server.credential import forbidden
from keen_client.server.datasets import Datasets
from keen_client.server.permission import MASTER_ONLY, Permission
from keen_client.server.query import decode_parameters
from keen_client.server.reply import deleted, json_reply, padded
from keen_client.server.routing import PROJECT, Route
from keen_client.server.services import Services

_DATASETS: Final = f"{PROJECT}/datasets"
_NAMED: Final = f"{_DATASETS}/{{name}}"
_READS: Final = frozenset({Permission.DATASETS})


class DatasetsArea:
    """``/datasets``."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._datasets = Datasets(services)
        self.routes = (
            Route("GET", _DATASETS, _READS, self._list),
            Route("GET", f"{_NAMED}/results", _READS, self._results),
            Route("GET", _NAMED, _READS, self._get),
            Route("PUT", _NAMED, MASTER_ONLY, self._create),
            Route("DELETE", _NAMED, MASTER_ONLY, self._delete),
        )

    async def _list(self, call: Call) -> Response:
        if not call.credential.may(Permission.DATASETS, operation="list"):
            raise forbidden()
        page = self._datasets.page(call.parameters.get("limit"), call.parameters.get("after_name", ""))
        return padded(call, json_reply(page))

    async def _get(self, call: Call) -> Response:
        call.credential.demand(Permission.DATASETS, call.names["name"], "retrieve")
        return padded(call, json_reply(self._datasets.get(call.names["name"])))

    async def _create(self, call: Call) -> Response:
        given = await call.document()
        definition = await self._services.in_thread(self._datasets.create, call.names["name"], given)
        return json_reply(definition, 201)

    async def _delete(self, call: Call) -> Response:
        await self._services.in_thread(self._datasets.delete, call.names["name"])
        return deleted()

    async def _results(self, call: Call) -> Response:
        name, credential = call.names["name"], call.credential
        credential.demand(Permission.DATASETS, name, "read")
        is_exact = name in credential.index_values
        index = self._datasets.index(name, call.parameters.get("index_by"), is_exact=is_exact)
        if not credential.may_read_index(name, index.values):
            raise forbidden()
        timeframe = decode_parameters(call.parameters).get("timeframe")
        filters = credential.filters_for(Permission.DATASETS)
        found = await self._services.in_thread(self._datasets.results, name, index, timeframe, filters)
        return padded(call, json_reply(found))
