"""The ASGI application: Keen's routes, keys, errors and headers.

Everything after ``/events/`` is a collection's name, percent-decoded once, so
routes are read from the raw path. Every reply carries ``Date`` (by the
server's clock) and the CORS headers that browsers need.
"""

from __future__ import annotations

import base64
import binascii
import logging
from email.utils import formatdate
from typing import Any, Final
from urllib.parse import quote, unquote

import anyio
import anyio.to_thread
import orjson
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from keen_client._foundation.clock import MS_PER_SECOND, Clock, SystemClock
from keen_client.server import catalogue
from keen_client.server.analysis import answer
from keen_client.server.control import Control
from keen_client.server.deletion import delete_events
from keen_client.server.ingest import MAX_BODY_BYTES
from keen_client.server.intake import Intake
from keen_client.server.misbehaviour import FaultEngine
from keen_client.server.project import KeyClass, Project
from keen_client.server.query import decode_parameters, parse_query
from keen_client.server.refusal import (
    INTERNAL,
    INVALID_JSON,
    INVALID_PROPERTY_VALUE,
    RATE_LIMITED,
    TOO_LARGE,
    Refusal,
    bad_request,
    not_found,
)
from keen_client.server.store import Store

#: The key of ``scope["extensions"]`` under which a server offers to cut the connection.
CUT_EXTENSION: Final = "keen_client.cut"
METHODS: Final = ["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"]

_logger: Final = logging.getLogger("keen_client.server")
_CORS: Final = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "GET, POST, PUT, DELETE, OPTIONS",
    "access-control-allow-headers": "authorization, content-type, keen-sdk",
    "access-control-max-age": "86400",
}
_PROJECTS: Final = "/3.0/projects/"
_GIF: Final = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
_HTML_502: Final = (
    b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>\n"
)


class ConnectionCut(Exception):  # noqa: N818 - it is what the caller asked for
    """The connection was cut after the write was stored, under a transport that cannot cut one itself."""


class CutResponse(Response):
    """No answer at all: the connection is dropped. The request's effects stay."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Drop the connection through the server's extension, or raise :class:`ConnectionCut`."""
        cut = scope.get("extensions", {}).get(CUT_EXTENSION)
        if cut is None:
            raise ConnectionCut
        cut()
        while (await receive())["type"] != "http.disconnect":
            continue


class Api:
    """The handlers, and what they share. One per application."""

    def __init__(self, project: Project, store: Store, faults: FaultEngine, clock: Clock) -> None:
        self.project = project
        self.store = store
        self.faults = faults
        self.clock = clock
        self.intake = Intake(store, faults, clock)
        self.control = Control(store, faults)

    async def handle(self, request: Request) -> Response:
        """Answer one request; every error becomes Keen's JSON."""
        try:
            response = await self._dispatch(request)
        except Refusal as refusal:
            response = _json({"message": refusal.message, "error_code": refusal.error_code}, refusal.status)
        except Exception:
            # The traceback may quote an event, so only the place is logged, at debug level.
            _logger.debug("internal error", exc_info=True)
            text = "An unexpected error happened. A write may or may not have been stored."
            response = _json({"message": text, "error_code": INTERNAL}, 500)
        slow_ms = self.faults.faults.slow_ms
        if slow_ms and not _raw_path(request).startswith("/_control/"):
            self.faults.count("slow")
            await anyio.sleep(slow_ms / MS_PER_SECOND)
        for name, value in _CORS.items():
            response.headers[name] = value
        response.headers["date"] = formatdate(self.clock.wall_ms() / MS_PER_SECOND, usegmt=True)
        return response

    async def _dispatch(self, request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response(status_code=204)
        path = _raw_path(request)
        if path.startswith("/_control/"):
            return await self._control(request, path)
        struck = self._struck_before()
        if struck is not None:
            return struck
        return await self._route(request, path)

    def _struck_before(self) -> Response | None:
        """The replies of a broken proxy or server: the request is not looked at."""
        if self.faults.strikes("http-500"):
            return _json({"message": "Internal error (fault 'http-500').", "error_code": INTERNAL}, 500)
        if self.faults.strikes("html-502"):
            return Response(_HTML_502, 502, media_type="text/html")
        return None

    async def _route(self, request: Request, path: str) -> Response:
        reading = request.method in ("GET", "HEAD")
        if path in ("", "/", "/3.0", "/3.0/", "/3.0/projects", "/3.0/projects/") and reading:
            return await self._discovery(request, path.rstrip("/"))
        project_id, _, rest = path.removeprefix(_PROJECTS).partition("/")
        if not path.startswith(_PROJECTS) or unquote(project_id) != self.project.id:
            raise not_found()
        area, _, name = rest.partition("/")
        if area == "events":
            return await self._events(request, unquote(name))
        if area == "queries" and name and request.method in ("GET", "POST"):
            return await self._query(request, unquote(name))
        if rest.rstrip("/") in ("", "queries") and reading:
            self._require(request, KeyClass.MASTER)
            return await self._document(rest.rstrip("/"))
        raise not_found()

    async def _discovery(self, request: Request, path: str) -> Response:
        self._require(request, KeyClass.MASTER)
        if path == "/3.0":
            return _json({"projects_resource_url": "/3.0/projects"})
        return _json(catalogue.VERSIONS) if not path else await self._document("projects")

    async def _document(self, which: str) -> Response:
        if which == "queries":
            return _json(catalogue.queries_document(self.project))

        def read() -> dict[str, Any]:
            with self.store.reading() as engine:
                return catalogue.project_document(engine, self.project)

        document = await anyio.to_thread.run_sync(read)
        return _json([document] if which == "projects" else document)

    async def _events(self, request: Request, collection: str) -> Response:
        method = request.method
        if method == "POST":
            self._require(request, KeyClass.WRITE)
            return await self._write(request, collection)
        if method == "GET" and collection and "data" in request.query_params:
            self._require(request, KeyClass.WRITE)
            return self._beacon(request, collection)
        if method in ("GET", "HEAD"):
            self._require(request, KeyClass.READ)
            return _json(await anyio.to_thread.run_sync(self._schema, collection))
        if method == "DELETE" and collection and "/properties/" not in collection:
            self._require(request, KeyClass.MASTER)
            given = decode_parameters(request.query_params)
            await anyio.to_thread.run_sync(delete_events, self.store, collection, given, self.clock.wall_ms())
            return Response(status_code=204)
        raise not_found()

    async def _write(self, request: Request, collection: str) -> Response:
        body = await _body(request)
        event = _parse(body)
        if collection:
            self.intake.write_one(collection, event, len(body))
            reply = _json({"created": True}, 201)
        else:
            reply = _json(self.intake.write_many(event, len(body)))
        return self._after_store(reply)

    def _after_store(self, reply: Response) -> Response:
        """What is left to do, or to do wrong, once a write is stored."""
        if self.faults.strikes("cut-after-store"):
            reply = CutResponse()
        if self.store.wants_folding:
            reply.background = BackgroundTask(self.store.fold)
        return reply

    def _beacon(self, request: Request, collection: str) -> Response:
        parameters = request.query_params
        failure: Refusal | None = None
        try:
            body = _base64(parameters["data"])
            self.intake.write_one(collection, _parse(body), len(body))
        except Refusal as refusal:
            failure = refusal
        # A browser that waits for a picture or a page gets it even where the event was refused.
        if "redirect" in parameters and "jsonp" not in parameters:
            target = quote(parameters["redirect"], safe=":/%#?=@[]!$&'()*+,;~")
            return self._after_store(Response(status_code=302, headers={"location": target}))
        if parameters.get("c") == "clv1" or request.headers.get("accept", "").startswith("image/"):
            return self._after_store(Response(_GIF, media_type="image/gif"))
        if failure is not None:
            raise failure
        reply = _json({"created": True}, 201)
        return self._after_store(_padded(request, reply))

    def _schema(self, name: str) -> Any:
        collection, properties, path = name.partition("/properties/")
        with self.store.reading() as engine:
            if not collection:
                return catalogue.collections_document(engine, self.project)
            document = catalogue.collection_document(engine, self.project, collection)
        if not properties:
            return document
        if path not in document["properties"]:
            raise not_found()
        url = f"{document['url']}/properties/{quote(path, safe='')}"
        return {"property_name": path, "url": url, "type": document["properties"][path]}

    async def _query(self, request: Request, kind: str) -> Response:
        self._require(request, KeyClass.READ)
        if self.faults.over_rate_limit(self.clock.monotonic_ns()):
            raise Refusal(429, RATE_LIMITED, "Too many requests; queries are refused for the next minute.")
        given = decode_parameters(request.query_params)
        if request.method == "POST":
            body = _parse(await _body(request))
            if not isinstance(body, dict):
                raise bad_request(INVALID_JSON, "The body must be a JSON object.")
            given.update(body)
        now_ms = self.clock.wall_ms()
        query = parse_query(kind, given, now_ms)
        reading = self.faults.reading(query)

        def read() -> bytes:
            with self.store.reading() as engine:
                return answer(engine, query, now_ms=now_ms, reading=reading)

        return _padded(request, Response(await anyio.to_thread.run_sync(read), media_type="application/json"))

    async def _control(self, request: Request, path: str) -> Response:
        self._require(request, KeyClass.MASTER)
        if path == "/_control/faults" and request.method == "GET":
            return _json(self.control.document())
        if path == "/_control/faults" and request.method == "POST":
            changes = _parse(await _body(request))
            return _json(await anyio.to_thread.run_sync(self.control.change, changes))
        if path == "/_control/release" and request.method == "POST":
            return _json(await anyio.to_thread.run_sync(self.control.release))
        if path == "/_control/resurrect" and request.method == "POST":
            return _json(await anyio.to_thread.run_sync(self.control.resurrect))
        raise not_found()

    def _require(self, request: Request, needed: KeyClass) -> None:
        self.project.require(
            request.headers.get("authorization") or request.query_params.get("api_key"), needed
        )


def create_app(
    project: Project,
    store: Store,
    faults: FaultEngine | None = None,
    clock: Clock | None = None,
) -> Starlette:
    """The server as an ASGI application. The caller closes *store* when it is done."""
    api = Api(project, store, faults or FaultEngine(), clock or SystemClock())
    return Starlette(routes=[Route("/{path:path}", api.handle, methods=METHODS)])


def _json(document: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(document), status, media_type="application/json")


def _padded(request: Request, reply: Response) -> Response:
    """*reply* wrapped into the callback that ``jsonp`` names, where one is named."""
    callback = request.query_params.get("jsonp")
    if not callback or request.method != "GET":
        return reply
    if not callback.replace(".", "_").replace("$", "_").isidentifier():
        raise bad_request(INVALID_PROPERTY_VALUE, "jsonp must name a JavaScript function.")
    script = callback.encode() + b"(" + bytes(reply.body) + b");"
    return Response(script, media_type="application/javascript")


def _raw_path(request: Request) -> str:
    raw = request.scope.get("raw_path")
    return raw.decode("latin-1") if raw is not None else quote(request.url.path)


async def _body(request: Request) -> bytes:
    """The body, or a 413. An overlong body is read to its end, so that the client can hear the answer."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= MAX_BODY_BYTES:
            chunks.append(chunk)
        else:
            chunks.clear()
    if size > MAX_BODY_BYTES:
        raise Refusal(413, TOO_LARGE, f"A body may have at most {MAX_BODY_BYTES} bytes; nothing was stored.")
    return b"".join(chunks)


def _parse(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise bad_request(INVALID_JSON, "The body is not valid JSON; nothing was stored.") from None


def _base64(text: str) -> bytes:
    """Any base64 that clients were seen to send: standard, URL-safe, unpadded, with spaces for plus signs."""
    cleaned = text.replace(" ", "+").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(cleaned + "=" * (-len(cleaned) % 4), validate=True)
    except binascii.Error:
        raise bad_request(INVALID_JSON, "data is not valid base64; nothing was stored.") from None
