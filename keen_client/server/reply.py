"""Replies that are not documents of their own: JSON, JSONP, pictures, and no reply at all."""

from __future__ import annotations

import base64
from typing import Any, Final

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from keen_client.server.call import Call
from keen_client.server.refusal import INVALID_PROPERTY_VALUE, bad_request

#: The key of ``scope["extensions"]`` under which a server offers to cut the connection.
CUT_EXTENSION: Final = "keen_client.cut"

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


def json_reply(document: Any, status: int = 200) -> Response:
    """*document* as JSON."""
    return Response(orjson.dumps(document), status, media_type="application/json")


def raw_json_reply(body: bytes) -> Response:
    """JSON that is encoded already, with status 200."""
    return Response(body, media_type="application/json")


def deleted() -> Response:
    """What every delete answers: 204, without a body."""
    return Response(status_code=204)


def picture() -> Response:
    """The transparent pixel of an image beacon."""
    return Response(_GIF, media_type="image/gif")


def bad_gateway() -> Response:
    """The page of a broken proxy."""
    return Response(_HTML_502, 502, media_type="text/html")


def padded(call: Call, reply: Response) -> Response:
    """*reply* wrapped into the callback that ``jsonp`` names, where a GET names one."""
    callback = call.parameters.get("jsonp")
    if not callback or call.method != "GET":
        return reply
    if not callback.replace(".", "_").replace("$", "_").isidentifier():
        raise bad_request(INVALID_PROPERTY_VALUE, "jsonp must name a JavaScript function.")
    script = callback.encode() + b"(" + bytes(reply.body) + b");"
    return Response(script, media_type="application/javascript")
