"""``keen-client serve`` as a process of its own, with what tests ask of it beside the API under test."""

from __future__ import annotations

import signal
import ssl
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

import httpx
import orjson

SERVER_SECONDS = 30
#: Wide enough for every event of any test.
ALL_TIME = '{"start":"1990-01-01T00:00:00Z","end":"2090-01-01T00:00:00Z"}'


class Served:
    """A running server. ``ready`` holds its address, the project and the keys, as ``--json`` prints them.

    ``trusted``: the certificate that it serves HTTPS with, if it does.
    """

    def __init__(self, *options: str, trusted: Path | None = None) -> None:
        command = [sys.executable, "-m", "keen_client", "serve", "--json", *options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.stdout.close()
            message = f"keen-client serve ended with status {self._process.wait(SERVER_SECONDS)} before it was ready"
            raise AssertionError(message)
        self.ready: dict[str, str] = orjson.loads(line)
        self.url = self.ready["url"]
        self.port = urlsplit(self.url).port
        self.project = f"/3.0/projects/{self.ready['project_id']}"
        self._http = httpx.Client(
            base_url=self.url,
            headers={"authorization": self.ready["master_key"]},
            timeout=60,
            verify=ssl.create_default_context(cafile=trusted),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()
        self._process.send_signal(signal.SIGTERM)
        try:
            assert self._process.wait(SERVER_SECONDS) == 0
        finally:
            self._process.kill()
            assert self._process.stdout is not None
            self._process.stdout.close()

    def faults(self, **changes: Any) -> dict[str, int]:
        """Change faults (``_`` for ``-`` in their names); returns how often each has struck so far."""
        named = {name.replace("_", "-"): value for name, value in changes.items()}
        reply = self._http.post("/_control/faults", json=named).raise_for_status()
        counters: dict[str, int] = reply.json()["counters"]
        return counters

    def write(self, batch: dict[str, list[dict[str, Any]]]) -> None:
        """Store events; each must be accepted."""
        results = self._http.post(f"{self.project}/events", json=batch).raise_for_status().json()
        assert all(result["success"] for list_ in results.values() for result in list_)

    def collections(self) -> set[str]:
        """The names of all collections."""
        reply = self._http.get(f"{self.project}/events").raise_for_status()
        return {collection["name"] for collection in reply.json()}

    def stored(self, collection: str) -> list[dict[str, Any]]:
        """Every event of a collection as it is stored, without what the server itself adds, in order of time.

        A collection that does not exist has none.
        """
        query = {"event_collection": collection, "timeframe": ALL_TIME}
        reply = self._http.get(f"{self.project}/queries/extraction", params=query)
        if reply.status_code == 404:
            return []
        events: list[dict[str, Any]] = reply.raise_for_status().json()["result"]
        for event in events:
            del event["keen"]["id"], event["keen"]["created_at"]
        return sorted(events, key=lambda event: str(event["keen"]["timestamp"]))

    def drop(self, collection: str) -> None:
        """Delete a collection, if it is there."""
        reply = self._http.delete(f"{self.project}/events/{quote(collection, safe='')}")
        assert reply.status_code in (204, 404)
