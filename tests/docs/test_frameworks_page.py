"""The programs for Django and FastAPI, run as they stand on the real client, with stand-ins for what they import of those."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from keen_client import KeenClient

PAGE = "docs/how_to/web_servers_and_workers.md"
Program = Callable[[str], str]


@pytest.fixture
def program(page: Callable[[str], Any]) -> Program:
    """The one program of the page that holds a text."""

    def find(text: str) -> str:
        (found,) = (
            block
            for block in re.findall(r"^```python\n(.*?)^```", page(PAGE).text, flags=re.MULTILINE | re.DOTALL)
            if text in block
        )
        return str(found)

    return find


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PROJECT_ID": "p",
        "BASE_URL": "http://127.0.0.1:1",
        "LOG": str(tmp_path / "log"),
    }.items():
        monkeypatch.setenv(f"KEEN_{name}", value)


def module(name: str, **members: Any) -> ModuleType:
    made = ModuleType(name)
    vars(made).update(members)
    return made


def recorded() -> list[str]:
    with KeenClient(background=False) as keen:
        return [entry.event["item"] for entry in keen.log.entries()]


def test_under_django_an_event_is_recorded_when_its_transaction_is_committed(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not before: what is rolled back leaves nothing."""
    at_commit: list[Callable[[], object]] = []
    transaction = SimpleNamespace(atomic=nullcontext, on_commit=at_commit.append)
    shop = module("shop.keen")
    exec(program("# shop/keen.py"), vars(shop))
    for made in (
        module("django"),
        module("django.db", transaction=transaction),
        module("django.http", HttpResponse=SimpleNamespace),
        module("shop"),
        shop,
    ):
        monkeypatch.setitem(sys.modules, made.__name__, made)
    views: dict[str, Any] = {}
    exec(program("# shop/views.py"), views)
    with shop.keen:
        assert views["buy"](None, "book").status == 204
        assert recorded() == []
        for act in at_commit:
            act()
    assert recorded() == ["book"]


def test_under_fastapi_a_handler_finds_the_client_of_the_lifespan(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lifespan is that of the page's program for ASGI, entered and left as a server does."""
    routes: dict[str, Any] = {}

    class FastAPI:
        def __init__(self, lifespan: Any) -> None:
            self.lifespan, self.state = lifespan, SimpleNamespace()

        def post(self, path: str, status_code: int) -> Callable[[Any], Any]:
            assert status_code == 204
            return lambda handler: routes.setdefault(path, handler)

    monkeypatch.setitem(sys.modules, "fastapi", module("fastapi", FastAPI=FastAPI, Request=SimpleNamespace))
    site: dict[str, Any] = {}
    exec(program("Starlette(lifespan"), site)
    exec(program("FastAPI(lifespan"), site)

    async def serve() -> None:
        async with site["api"].lifespan(site["api"]):
            await routes["/buy/{item}"]("pen", SimpleNamespace(app=site["api"]))

    asyncio.run(serve())
    assert recorded() == ["pen"]
