"""Which collections a job is limited to: what names none, or no list, is refused before anything is sent or asked."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest

from keen_client import AsyncKeenClient, KeenClient, UsageError

DAY = (date(2026, 10, 1), date(2026, 10, 2))
JOBS: tuple[tuple[str, tuple[date, ...]], ...] = (
    ("verify", DAY),
    ("replay", DAY),
    ("nightly", DAY),
    ("nightly", ()),
)


def refuse(request: httpx.Request) -> httpx.Response:
    raise AssertionError(f"{request.method} {request.url.path} was sent")


@pytest.mark.parametrize("given", [[], (), "purchases", b"purchases"])
@pytest.mark.parametrize(("job", "span"), JOBS)
@pytest.mark.parametrize("kind", [KeenClient, AsyncKeenClient])
def test_what_is_no_list_of_names_is_refused_before_anything_is_done(
    kind: type[Any], job: str, span: tuple[date, ...], given: Sequence[str], tmp_path: Path
) -> None:
    """Nothing would be compared, or letters would: a usage error by every job of both clients, and not a request."""
    settings: dict[str, Any] = {"base_url": "http://127.0.0.1:9", "log": tmp_path, "background": False}
    with httpx.Client(transport=httpx.MockTransport(refuse)) as http:
        if kind is KeenClient:
            settings["http_client"] = http
        client = kind("p1", "w", "r", **settings)
        try:
            with pytest.raises(UsageError, match=r"collections is .*; nothing was asked"):
                _done(getattr(client, job)(*span, collections=given))
        finally:
            _done(client.close(0))


def _done(outcome: Any) -> Any:
    """What a call gives, awaited where it has to be."""
    if not inspect.iscoroutine(outcome):
        return outcome

    async def wait() -> Any:
        return await outcome

    return asyncio.run(wait())
