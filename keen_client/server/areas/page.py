"""The page at ``/``: what is in this server, for a developer's browser.

The page itself is an empty shell, the same for everyone. Its script asks the
API with the key that the reader types, so it shows no more than that key does.
The policy that it is sent with lets nothing else run: no other script, no
address but this server's, and no text that becomes markup.
"""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files
from typing import Final

from starlette.responses import Response

from keen_client.server.call import Call
from keen_client.server.credential import Holder
from keen_client.server.permission import Permission
from keen_client.server.reply import json_reply
from keen_client.server.routing import Route
from keen_client.server.services import Services

_PAGE: Final = files("keen_client.server").joinpath("page.html").read_bytes()


def _hashes(element: str) -> str:
    """The sources of a policy that allow the page's own *element*, byte for byte."""
    bodies = re.findall(rf"<{element}>(.*?)</{element}>".encode(), _PAGE, flags=re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(body).digest()).decode() for body in bodies)
    return " ".join(f"'sha256-{digest}'" for digest in digests)


_POLICY: Final = "; ".join(
    [
        "default-src 'none'",
        f"script-src {_hashes('script')}",
        f"style-src {_hashes('style')}",
        "img-src data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
)
_HEADERS: Final = {
    "content-security-policy": _POLICY,
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "vary": "Accept",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


def is_asked_for(call: Call) -> bool:
    """Whether a browser wants to show ``/``; whoever asks for JSON there gets Keen's discovery."""
    accepted = call.request.headers.get("accept", "").lower()
    return call.method == "GET" and call.path == "/" and "text/html" in accepted


def page() -> Response:
    """The page. It needs no key: there is nothing in it."""
    return Response(_PAGE, headers=_HEADERS, media_type="text/html")


class PageArea:
    """What the page cannot ask the API: which project this is, and how the server misbehaves."""

    def __init__(self, services: Services) -> None:
        self._project = services.project
        self._faults = services.faults
        needs = frozenset({Permission.SCHEMA, Permission.QUERIES})
        self.routes = (Route("GET", "/_page/server", needs, self._show),)

    async def _show(self, call: Call) -> Response:
        shown = {"project_id": self._project.id, "project_name": self._project.name, "faults": {}}
        if call.credential.holder is Holder.MASTER:
            on = self._faults.faults.document()
            struck = self._faults.counters
            shown["faults"] = {
                name: {"value": value, "struck": struck.get(name, 0)} for name, value in on.items()
            }
        return json_reply(shown)
