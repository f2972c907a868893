"""The page at ``/``, as it is served: an empty shell, behind a policy that lets nothing else in."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from typing import Final

import httpx
import pytest

from keen_client.server import LocalServer

#: What browsers send when somebody opens an address.
BROWSER: Final = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    """A server with one event in it."""
    with LocalServer() as running:
        events = f"{running.url}/3.0/projects/{running.project_id}/events/secret-collection"
        headers = {"authorization": running.write_key}
        assert httpx.post(events, json={"secret": 1}, headers=headers).status_code == 201
        yield running


@pytest.fixture
def client(server: LocalServer) -> Iterator[httpx.Client]:
    """A browser, as far as its headers go; faults end with the test."""
    with httpx.Client(base_url=server.url, headers=BROWSER) as made:
        yield made
    server.faults.change({"http-500": 0, "lose": 0})


def _policy(response: httpx.Response) -> dict[str, str]:
    directives = (
        part.strip().split(" ", 1) for part in response.headers["content-security-policy"].split(";")
    )
    return {name: rest[0] if rest else "" for name, *rest in directives}


def test_a_browser_gets_the_page_without_a_key(client: httpx.Client) -> None:
    """GET and HEAD of ``/`` with a browser's Accept: HTML, never kept by a cache."""
    page = client.get("/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["cache-control"] == "no-store"
    assert page.text.startswith("<!doctype html>")
    head = client.head("/")
    assert (head.status_code, head.content) == (200, b"")


def test_the_page_holds_nothing_of_the_server(client: httpx.Client, server: LocalServer) -> None:
    """No key, no project, no collection: what is served does not depend on what is stored."""
    page = client.get("/").text
    for secret in (server.write_key, server.read_key, server.master_key, server.project_id, "secret"):
        assert secret not in page


def test_keens_discovery_stays_where_it_was(client: httpx.Client, server: LocalServer) -> None:
    """Whoever accepts JSON or anything gets the versions with the master key, and a 401 without a key."""
    for accept in ("application/json", "*/*", ""):
        headers = {"accept": accept, "authorization": server.master_key}
        assert client.get("/", headers=headers).json()[-1]["url"] == "/3.0"
        assert client.get("/", headers={"accept": accept}).status_code == 401
    assert client.get("/3.0").status_code == 401
    assert client.post("/").status_code == 405


def test_the_policy_allows_the_pages_own_script_and_style_and_no_other(client: httpx.Client) -> None:
    """By their digests; nothing inline, nothing from elsewhere, no frames, no forms, no markup made of text."""
    page = client.get("/")
    policy = _policy(page)
    for element, directive in (("script", "script-src"), ("style", "style-src")):
        (body,) = re.findall(rf"<{element}>(.*?)</{element}>", page.text, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert policy.pop(directive) == f"'sha256-{digest}'"
    assert policy == {
        "default-src": "'none'",
        "img-src": "data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["referrer-policy"] == "no-referrer"


def test_the_page_needs_nothing_from_elsewhere(client: httpx.Client) -> None:
    """Its only addresses are the name of SVG and an empty icon; nothing in it turns text into markup or code."""
    page = client.get("/").text
    assert set(re.findall(r"\bhttps?://[^\s'\"]+", page)) == {"http://www.w3.org/2000/svg"}
    assert re.findall(r"\b(?:src|href)=\"([^\"]+)\"", page) == ["data:,", "#inside"]
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|\bon\w+=\"|style=", page
    )


def test_what_the_page_asks_first_takes_a_key_that_reads(client: httpx.Client, server: LocalServer) -> None:
    """No key and the write key are refused; the read key hears the project, the master key the faults as well."""
    server.faults.change({"lose": 0.25})
    assert client.get("/_page/server").status_code == 401
    assert client.get("/_page/server", headers={"authorization": server.write_key}).status_code == 401
    told = client.get("/_page/server", headers={"authorization": server.read_key}).json()
    assert told == {"project_id": server.project_id, "project_name": "Local", "faults": {}}
    told = client.get("/_page/server", headers={"authorization": server.master_key}).json()
    assert told["faults"]["lose"] == {"value": 0.25, "struck": 0}


def test_faults_leave_the_page_alone(client: httpx.Client, server: LocalServer) -> None:
    """A server told to fail still shows its page, and looking at it uses up no counted fault."""
    server.faults.change({"http-500": {"times": 1}})
    assert client.get("/").status_code == 200
    assert client.get("/_page/server", headers={"authorization": server.read_key}).status_code == 200
    assert client.get("/3.0").status_code == 500
