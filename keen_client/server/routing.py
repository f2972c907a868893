"""Routes: which handler answers a method on a path, and what a key must permit for it.

Paths are matched raw, before percent-decoding, so that an encoded slash stays
part of the name that it stands in. A collection's name may hold literal
slashes too: it takes all that no suffix takes.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, Protocol
from urllib.parse import unquote

import attrs
from starlette.responses import Response

from keen_client.server.call import Call
from keen_client.server.permission import Permission
from keen_client.server.refusal import method_not_allowed, not_found

#: The paths of a project begin with it.
PROJECT: Final = "/3.0/projects/{project}"

_PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")


@attrs.frozen
class Route:
    """One method on one path. ``path`` has placeholders: ``/events/{collection}``.

    ``needs``: a key that has any of these permissions may call it, and the
    master key always; None for a route that needs no key. ``with_parameter``: the route is for requests whose query
    string has it; others go on to the next route.
    """

    method: str
    path: str
    needs: frozenset[Permission] | None
    handle: Callable[[Call], Awaitable[Response]]
    with_parameter: str = ""

    def is_meant(self, call: Call) -> bool:
        """Whether the query string of *call* has what the route asks for. HEAD reads, so it never writes a beacon."""
        return not self.with_parameter or (self.with_parameter in call.parameters and not call.is_head)


class Area(Protocol):
    """Some routes that belong together. The first route that matches is taken."""

    @property
    def routes(self) -> Sequence[Route]:
        """The routes, the more specific ones first."""


class Router:
    """All routes, in order. Immutable."""

    def __init__(self, areas: Iterable[Area], project_id: str) -> None:
        self.routes = tuple(route for area in areas for route in area.routes)
        self._project_id = project_id
        self._patterns = [_pattern(route.path) for route in self.routes]

    def find(self, call: Call) -> Route:
        """The route of *call*, with its ``names`` set; or a refusal: 404, or 405 where only the method is wrong."""
        allowed: list[str] = []
        for route, pattern in zip(self.routes, self._patterns, strict=True):
            found = pattern.fullmatch(call.path)
            if found is None or not route.is_meant(call):
                continue
            names = {name: unquote(value) for name, value in found.groupdict().items()}
            if names.get("project", self._project_id) != self._project_id:
                continue
            if route.method == call.method:
                call.names = names
                return route
            allowed.append(route.method)
        raise method_not_allowed(allowed) if allowed else not_found()


def _pattern(path: str) -> re.Pattern[str]:
    def placeholder(found: re.Match[str]) -> str:
        return f"(?P<{found[1]}>{'.+' if found[1] == 'collection' else '[^/]+'})"

    # A slash at the end changes nothing, but in a collection's name.
    return re.compile(_PLACEHOLDER.sub(placeholder, path) + ("" if path.endswith("{collection}") else "/?"))
