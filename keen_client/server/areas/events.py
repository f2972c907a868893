"""Events: writing them in three ways, their schema, updating and deleting them."""

from __future__ import annotations

import base64
from typing import Any, Final
from urllib.parse import quote

from starlette.background import BackgroundTask
from starlette.responses import Response

from keen_client.server import catalogue
from keen_client.server.access_key import autofilled
from keen_client.server.addons import Addons, Origin
from keen_client.server.call import Call
from keen_client.server.deletion import delete_events, delete_property
from keen_client.server.intake import Intake
from keen_client.server.json_input import parse_json
from keen_client.server.permission import MASTER_ONLY, Permission
from keen_client.server.query import decode_parameters
from keen_client.server.rate_limit import RateClass
from keen_client.server.refusal import INVALID_JSON, Refusal, bad_request, not_found
from keen_client.server.reply import CutResponse, deleted, json_reply, padded, picture
from keen_client.server.routing import PROJECT, Route
from keen_client.server.services import Services
from keen_client.server.updating import update_events

_EVENTS: Final = f"{PROJECT}/events"
_COLLECTION: Final = f"{_EVENTS}/{{collection}}"
_PROPERTY: Final = f"{_COLLECTION}/properties/{{property}}"
_WRITES: Final = frozenset({Permission.WRITES})
_SCHEMA: Final = frozenset({Permission.SCHEMA})


class EventsArea:
    """``/events``, its collections and their properties."""

    def __init__(self, services: Services) -> None:
        self._services = services
        addons = Addons(services.geography)
        self._intake = Intake(services.store, services.faults, services.clock, addons)
        self.routes = (
            Route("POST", _EVENTS, _WRITES, self._write_many),
            Route("GET", _EVENTS, _SCHEMA, self._collections),
            Route("GET", _PROPERTY, _SCHEMA, self._property),
            Route("GET", _COLLECTION, _WRITES, self._beacon, with_parameter="data"),
            Route("GET", _COLLECTION, _SCHEMA, self._collection),
            Route("POST", _COLLECTION, _WRITES, self._write_one),
            Route("PUT", _COLLECTION, MASTER_ONLY, self._update),
            Route("DELETE", _PROPERTY, MASTER_ONLY, self._delete_property),
            Route("DELETE", _COLLECTION, MASTER_ONLY, self._delete),
        )

    async def _write_many(self, call: Call) -> Response:
        body = await call.body()
        batch = parse_json(body)
        autofill = call.credential.autofill
        if autofill is not None and isinstance(batch, dict):
            for events in batch.values():
                for event in events if isinstance(events, list) else ():
                    autofilled(event, autofill)
        return self._after_store(json_reply(self._intake.write_many(batch, len(body), _origin(call, body))))

    async def _write_one(self, call: Call) -> Response:
        self._write(call, await call.body())
        return self._after_store(json_reply({"created": True}, 201))

    async def _beacon(self, call: Call) -> Response:
        failure: Refusal | None = None
        try:
            self._write(call, _base64(call.parameters["data"]))
        except Refusal as refusal:
            failure = refusal
        # A browser that waits for a picture or a page gets it even where the event was refused.
        if "redirect" in call.parameters and "jsonp" not in call.parameters:
            target = quote(call.parameters["redirect"], safe=":/%#?=@[]!$&'()*+,;~")
            return self._after_store(Response(status_code=302, headers={"location": target}))
        if call.parameters.get("c") == "clv1" or call.request.headers.get("accept", "").startswith("image/"):
            return self._after_store(picture())
        if failure is not None:
            raise failure
        return self._after_store(padded(call, json_reply({"created": True}, 201)))

    def _write(self, call: Call, body: bytes) -> None:
        event = autofilled(parse_json(body), call.credential.autofill)
        self._intake.write_one(call.names["collection"], event, len(body), _origin(call, body))

    def _after_store(self, reply: Response) -> Response:
        """What is left to do, or to do wrong, once a write is stored."""
        services = self._services
        if services.faults.strikes("cut-after-store"):
            reply = CutResponse()
        if services.store.wants_folding:
            reply.background = BackgroundTask(services.store.fold)
        return reply

    async def _update(self, call: Call) -> Response:
        services = self._services
        self._take(RateClass.UPDATES)
        given = await call.body_object()
        now_ms = services.clock.wall_ms()
        updated = await services.in_thread(
            update_events, services.store, call.names["collection"], given, now_ms
        )
        return json_reply({"updated_events": updated})

    async def _delete(self, call: Call) -> Response:
        services = self._services
        given = decode_parameters(call.parameters)
        selects = any(given.get(name) for name in ("filters", "timeframe"))
        self._take(RateClass.DELETES if selects else RateClass.COLLECTION_DELETES)
        now_ms = services.clock.wall_ms()
        await services.in_thread(delete_events, services.store, call.names["collection"], given, now_ms)
        return deleted()

    async def _delete_property(self, call: Call) -> Response:
        self._take(RateClass.DELETES)
        services, names = self._services, call.names
        await services.in_thread(delete_property, services.store, names["collection"], names["property"])
        return deleted()

    def _take(self, rate_class: RateClass) -> None:
        self._services.rates.take(rate_class, self._services.clock.monotonic_ns())

    async def _collections(self, _call: Call) -> Response:
        def read() -> list[dict[str, Any]]:
            with self._services.store.reading() as engine:
                return catalogue.collections_document(engine, self._services.project)

        return json_reply(await self._services.in_thread(read))

    async def _collection(self, call: Call) -> Response:
        return json_reply(await self._services.in_thread(self._schema, call.names["collection"]))

    async def _property(self, call: Call) -> Response:
        document = await self._services.in_thread(self._schema, call.names["collection"])
        path = call.names["property"]
        if path not in document["properties"]:
            raise not_found()
        url = f"{document['url']}/properties/{quote(path, safe='')}"
        return json_reply({"property_name": path, "url": url, "type": document["properties"][path]})

    def _schema(self, collection: str) -> dict[str, Any]:
        with self._services.store.reading() as engine:
            return catalogue.collection_document(engine, self._services.project, collection)


def _origin(call: Call, body: bytes) -> Origin | None:
    """Where the write came from, if *body* may ask for it: few do, and the others are spared a walk."""
    # An encoder may have escaped the dollar sign.
    if b"{keen." not in body:
        return None
    client = call.request.client
    return Origin(None if client is None else client.host, call.request.headers.get("user-agent"))


def _base64(text: str) -> bytes:
    """Any base64 that clients were seen to send: standard, URL-safe, unpadded, with spaces for plus signs."""
    cleaned = text.replace(" ", "+").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(cleaned + "=" * (-len(cleaned) % 4), validate=True)
    except ValueError:
        raise bad_request(INVALID_JSON, "data is not valid base64; nothing was stored.") from None
