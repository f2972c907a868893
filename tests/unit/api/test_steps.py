"""Calls of several requests: one generator, carried out sync and async alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import attrs
import httpx
import pytest
import respx

from keen_client.api import AsyncKeenApi, KeenApi, Project, Steps
from keen_client.errors import InvalidEnvironmentError, NotFoundError, ServerError
from keen_client.transport import Kind, Request, Response, RetryPolicy, Secret

BASE = "https://api.keen.io/3.0/projects/P"
PROJECT = Project(id="P", read_key=Secret("RRR1"), master_key=Secret("MMM1"))
GONE = {"message": "m", "error_code": "ResourceNotFoundError"}


@attrs.frozen
class Touch:
    """An operation on one path; its result is the answer's length."""

    name: str
    kind: Kind = "read"
    key_class: Any = "read"

    def request(self, project: Project) -> Request:
        return Request(
            method="GET" if self.kind == "read" else "PUT",
            base_url=project.base_url,
            path=f"{project.path}/{self.name}",
            kind=self.kind,
            key=project.key_for(self.key_class),
        )

    def parse(self, response: Response) -> int:
        if response.status == 404:
            raise NotFoundError("gone", status=404)
        if response.status >= 500:
            raise ServerError("failed", status=response.status)
        return len(response.body)


Run = Callable[[Steps[Any]], Any]


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Run:
    """Carries steps out over HTTP."""

    def sync(steps: Steps[Any]) -> Any:
        with KeenApi.open(PROJECT, retry=RetryPolicy(base_seconds=0)) as api:
            return api.run_steps(steps)

    def aio(steps: Steps[Any]) -> Any:
        async def go() -> Any:
            async with AsyncKeenApi.open(PROJECT, retry=RetryPolicy(base_seconds=0)) as api:
                return await api.run_steps(steps)

        return asyncio.run(go())

    return aio if request.param else sync


@respx.mock
def test_each_result_is_sent_back_and_the_last_returned(run: Run) -> None:
    """A later request may depend on an earlier answer."""
    respx.get(f"{BASE}/three").respond(200, text="123")
    respx.put(f"{BASE}/n3").respond(200, text="12345")

    def steps() -> Steps[tuple[int, int]]:
        first = yield Touch("three")
        return first, (yield Touch(f"n{first}", "write", "master"))

    assert run(steps()) == (3, 5)


def test_steps_of_no_request_return_at_once(run: Run) -> None:
    """Nothing is sent where nothing is yielded."""

    def steps() -> Steps[str]:
        if PROJECT.id == "another":
            yield Touch("never")
        return "done"

    assert run(steps()) == "done"


@respx.mock
def test_an_api_error_is_thrown_into_the_steps(run: Run) -> None:
    """They may catch it and go on; what they do not catch is the caller's."""
    respx.get(f"{BASE}/absent").respond(404, json=GONE)
    respx.get(f"{BASE}/there").respond(200, text="1")

    def patient() -> Steps[int]:
        try:
            found: int = yield Touch("absent")
        except NotFoundError:
            found = yield Touch("there")
        return found

    def hasty() -> Steps[int]:
        found: int = yield Touch("absent")
        return found

    assert run(patient()) == 1
    with pytest.raises(NotFoundError):
        run(hasty())


@respx.mock
def test_any_other_error_closes_the_steps(run: Run) -> None:
    """A missing key is no answer: the steps do not see it, and end."""
    seen: list[str] = []

    def steps() -> Steps[None]:
        try:
            yield Touch("x", "write", "write")
        except Exception:  # what must not happen
            seen.append("caught")
            raise
        finally:
            seen.append("closed")

    with pytest.raises(InvalidEnvironmentError, match="KEEN_WRITE_KEY"):
        run(steps())
    assert seen == ["closed"]


@respx.mock
def test_a_read_is_repeated_within_steps_and_a_write_is_not(run: Run) -> None:
    """Each operation goes over its own path, with that path's rules."""
    read = respx.get(f"{BASE}/r").mock(side_effect=[httpx.Response(503), httpx.Response(200, text="1")])
    write = respx.put(f"{BASE}/w").mock(side_effect=[httpx.Response(503), httpx.Response(200, text="1")])

    def steps() -> Steps[None]:
        yield Touch("r")
        yield Touch("w", "write", "master")

    with pytest.raises(ServerError):
        run(steps())
    assert (read.call_count, write.call_count) == (2, 1)
