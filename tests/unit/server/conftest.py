"""A local server in process, on a clock that the test turns, and short words for what is asked of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import anyio
import httpx
import pytest

from keen_client.server import FaultEngine, Project, Store, create_app
from tests.unit.server.turned_clock import TurnedClock

#: The master key has 64 hex characters, as every key since 2016: scoped keys are of the new scheme.
MASTER_KEY: Final = "24077ACBCB198BAAA2110EDDB673282F8E34909FD823A15C55A6253A664BE368"
WRITE_KEY: Final = "W" * 64
READ_KEY: Final = "R" * 64
PROJECT_ID: Final = "5f0000000000000000000001"
WIDE: Final = {"start": "1970-01-01T00:00:00Z", "end": "2100-01-01T00:00:00Z"}


class Desk:
    """Where requests are handed in. ``options`` are those of ``create_app``."""

    def __init__(self, directory: Path | None = None, master_key: str = MASTER_KEY, **options: Any) -> None:
        self.clock = TurnedClock()
        self.master_key = master_key
        self.project = Project(PROJECT_ID, WRITE_KEY, READ_KEY, master_key, "Local")
        self._directory = directory
        self._options = options
        self._open()

    def _open(self) -> None:
        self.faults = FaultEngine(seed=1)
        self.store = Store(self._directory, clock=self.clock)
        self.app = create_app(self.project, self.store, self.faults, self.clock, **self._options)

    def restart(self) -> None:
        """Close the store and open it again, as another process would."""
        self.store.close()
        self._open()

    def call(self, method: str, path: str, *, key: str | None = None, **options: Any) -> httpx.Response:
        """Ask, with the master key unless another (or ``""`` for none) is given; paths of the project are relative."""
        headers = {"Authorization": self.master_key if key is None else key, **options.pop("headers", {})}
        if not headers["Authorization"]:
            del headers["Authorization"]
        url = path if path.startswith(("/3.0", "/_control")) or path == "/" else self.url(path)

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://local") as client:
                return await client.request(method, url, headers=headers, **options)

        run: Callable[[Callable[[], Awaitable[httpx.Response]]], httpx.Response] = anyio.run
        return run(send)

    def url(self, path: str) -> str:
        """The path of a resource of the project."""
        return f"/3.0/projects/{PROJECT_ID}{path}"

    def access_key(self, *permitted: str, **options: Any) -> str:
        """A new access key that permits *permitted*, with these option groups."""
        body = {"name": "made", "permitted": list(permitted), "options": options}
        reply = self.call("POST", "/keys", json=body)
        assert reply.status_code == 201, reply.text
        key: str = reply.json()["key"]
        return key

    def write(self, *events: dict[str, Any], collection: str = "c", key: str = WRITE_KEY) -> None:
        """Write *events*; each of them must be taken."""
        reply = self.call("POST", "/events", key=key, json={collection: list(events)})
        assert reply.json() == {collection: [{"success": True}] * len(events)}

    def query(self, kind: str = "count", key: str = READ_KEY, **parameters: Any) -> httpx.Response:
        """The reply to a query over all time of the collection ``c``."""
        body = {"event_collection": "c", "timeframe": WIDE, **parameters}
        return self.call("POST", f"/queries/{kind}", key=key, json=body)

    def events(self) -> list[dict[str, Any]]:
        """The stored events of ``c`` without what the server adds, the newest first."""
        found = self.query("extraction").json()["result"]
        return [{name: value for name, value in event.items() if name != "keen"} for event in found]


@pytest.fixture
def desk() -> Iterator[Desk]:
    """A server in memory."""
    made = Desk()
    yield made
    made.store.close()


@pytest.fixture
def durable_desk(tmp_path: Path) -> Iterator[Desk]:
    """A server with a directory."""
    made = Desk(tmp_path / "data")
    yield made
    made.store.close()


@pytest.fixture
def make_desk() -> Iterator[Callable[..., Desk]]:
    """Makes servers, with the arguments of :class:`Desk`."""
    made: list[Desk] = []

    def make(**options: Any) -> Desk:
        made.append(Desk(**options))
        return made[-1]

    yield make
    for desk in made:
        desk.store.close()
