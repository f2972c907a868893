"""A server in process, on a clock that the test turns, with short words for its calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import anyio
import httpx

from keen_client.server import FaultEngine, Project, Store, create_app
from keen_client.server.geography import Geography
from tests.unit.server.turned_clock import TurnedClock

PROJECT: Final = Project("5f0000000000000000000001", "W", "R", "M")
WIDE: Final = {"start": "1970-01-01T00:00:00Z", "end": "2100-01-01T00:00:00Z"}


class Workbench:
    """The server, its clock, its faults and its directory."""

    def __init__(self, directory: Path | None = None, geography: Geography | None = None) -> None:
        self.clock = TurnedClock()
        self.faults = FaultEngine(seed=1)
        self.directory = directory
        self._geography = geography
        self._open()

    def _open(self) -> None:
        self.store = Store(self.directory, clock=self.clock)
        self._app = create_app(PROJECT, self.store, self.faults, self.clock, self._geography)

    def restart(self) -> None:
        """Leave the store as a crash would, and open it again: what the engine folded and the tail synced is all."""
        self.store._engine.close()
        self.store._tail.close()
        self._open()

    def call(
        self, method: str, path: str, *, key: str = "M", headers: dict[str, str] | None = None, **options: Any
    ) -> httpx.Response:
        """One request; *path* is below the project's."""

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=self._app, client=("192.0.2.7", 4711))
            async with httpx.AsyncClient(transport=transport, base_url="http://local") as client:
                url = f"/3.0/projects/{PROJECT.id}{path}"
                return await client.request(
                    method, url, headers={"Authorization": key, **(headers or {})}, **options
                )

        run: Callable[[Callable[[], Awaitable[httpx.Response]]], httpx.Response] = anyio.run
        return run(send)

    def refused(self, method: str, path: str, **options: Any) -> tuple[int, str]:
        """Status and error code of a request that is refused; its message is there."""
        reply = self.call(method, path, **options)
        body = reply.json()
        assert body["message"]
        return reply.status_code, body["error_code"]

    def write(self, *events: dict[str, Any], collection: str = "c") -> list[Any]:
        """The results of a bulk write."""
        reply = self.call("POST", "/events", key="W", json={collection: list(events)})
        assert reply.status_code == 200
        results: list[Any] = reply.json()[collection]
        return results

    def stored(self, collection: str = "c") -> list[dict[str, Any]]:
        """Every event as it is stored, oldest first, without what the server adds."""
        body = {"event_collection": collection, "timeframe": WIDE}
        events: list[dict[str, Any]] = self.call("POST", "/queries/extraction", key="R", json=body).json()[
            "result"
        ]
        for event in events:
            event["keen"] = {
                k: v for k, v in event["keen"].items() if k not in ("id", "created_at", "timestamp")
            }
        return events[::-1]

    def answer(self, kind: str, **parameters: Any) -> dict[str, Any]:
        """The whole body that answers a query."""
        body = {"event_collection": "c", "timeframe": WIDE, **parameters}
        reply = self.call("POST", f"/queries/{kind}", key="R", json=body)
        assert reply.status_code == 200, reply.text
        answered: dict[str, Any] = reply.json()
        return answered

    def query(self, kind: str, **parameters: Any) -> Any:
        """Its ``result``."""
        return self.answer(kind, **parameters)["result"]
