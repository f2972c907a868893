"""Clients over logs of their own, a real local server, and a scripted one behind an ``httpx.Client``."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from keen_client import KeenClient
from keen_client.server import LocalServer

#: Nobody listens at the discard port.
NOWHERE = "http://127.0.0.1:9"

MakeClient = Callable[..., KeenClient]


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    """One server a module; tests use collections of their own."""
    with LocalServer(seed=1) as server:
        yield server


@pytest.fixture
def make_client(tmp_path: Path) -> Iterator[MakeClient]:
    """Makes clients that record only, each on a log of its own unless told otherwise; closes them in the end."""
    numbers = itertools.count()
    made: list[KeenClient] = []

    def make(**settings: Any) -> KeenClient:
        given: dict[str, Any] = {
            "project_id": "p1",
            "write_key": "w" * 64,
            "read_key": "r" * 64,
            "base_url": NOWHERE,
            "log": tmp_path / f"log-{next(numbers)}",
            "background": False,
        }
        made.append(KeenClient(**{**given, **settings}))
        return made[-1]

    yield make
    for client in made:
        client.close(0)


@pytest.fixture
def at_server(make_client: MakeClient, server: LocalServer) -> MakeClient:
    """Makes clients of the local server."""

    def make(**settings: Any) -> KeenClient:
        given: dict[str, Any] = {
            "project_id": server.project_id,
            "write_key": server.write_key,
            "read_key": server.read_key,
            "base_url": server.url,
        }
        return make_client(**{**given, **settings})

    return make


class Desk:
    """A server behind an ``httpx.Client``: accepts everything, and keeps what it got."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, list[dict[str, Any]]]] = []
        self.answer: Callable[[httpx.Request], httpx.Response | None] = lambda request: None
        self.http = httpx.Client(transport=httpx.MockTransport(self._handle))

    def _handle(self, request: httpx.Request) -> httpx.Response:
        scripted = self.answer(request)
        if scripted is not None:
            return scripted
        parsed = orjson.loads(request.content)
        self.bodies.append(parsed)
        return httpx.Response(200, json={c: [{"success": True}] * len(e) for c, e in parsed.items()})

    @property
    def ids(self) -> list[str]:
        """The ids of all events that arrived, in order."""
        return [event["kc"]["id"] for body in self.bodies for events in body.values() for event in events]


@pytest.fixture
def desk() -> Iterator[Desk]:
    """One scripted server."""
    desk = Desk()
    yield desk
    desk.http.close()
