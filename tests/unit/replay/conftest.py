"""A client, a log and a local server on one virtual clock; each write that reaches the wire is counted."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from keen_client import KeenClient, NotFoundError
from keen_client._foundation.clock import ms_to_datetime
from keen_client.client.wiring import Seams
from keen_client.events.identity import EntryId
from keen_client.replay.night import Night, NightReport
from keen_client.replay.runs import Runs
from keen_client.server import LocalServer
from keen_client.testing.clocks import VirtualClock
from keen_client.verify.presets import PresetName

START = datetime(2026, 10, 1, tzinfo=UTC)


class Rig:
    """Everything that a night needs. The client may be closed and opened again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = VirtualClock()
        self.server = LocalServer(seed=7, clock=self.clock).start()
        #: The (method, last part of the path) of each request.
        self.requests: list[tuple[str, str]] = []
        #: So many requests from now on find no connection.
        self.unplugged = 0
        self.http = httpx.Client(event_hooks={"request": [self._note]})
        self._seconds = itertools.count()
        self.client = self.open()

    def _note(self, request: httpx.Request) -> None:
        if self.unplugged:
            self.unplugged -= 1
            raise httpx.ConnectError("nobody answers")
        self.requests.append((request.method, request.url.path.rsplit("/", 1)[-1]))

    def open(self, **settings: Any) -> KeenClient:
        return KeenClient(
            self.server.project_id,
            self.server.write_key,
            self.server.read_key,
            base_url=self.server.url,
            log=self.path,
            durability="normal",
            background=False,
            http_client=self.http,
            seams=Seams(clock=self.clock),
            **settings,
        )

    def reopen(self) -> None:
        """As after a crash: whatever was under way in the old client is over."""
        self.client.close(0)
        self.client = self.open()

    @property
    def uploads(self) -> int:
        """Writes so far, the probe's included."""
        return self.requests.count(("POST", "events"))

    def record(self, count: int, collection: str = "purchases") -> list[EntryId]:
        """Events of the first hour, each a second after the other."""
        times = [START + timedelta(seconds=next(self._seconds)) for _ in range(count)]
        receipts = [self.client.add_event(collection, {"price": 10}, at) for at in times]
        return [EntryId.parse(receipt.id) for receipt in receipts if receipt.id]

    def record_and_send(self, count: int, *, lose: int = 0) -> list[EntryId]:
        """Have them acknowledged; the server loses *lose* of them all the same."""
        ids = self.record(count)
        if lose:
            self.server.faults.change({"lose": {"times": lose}})
        assert self.client.flush().acknowledged == count
        return ids

    def advance(self, *, hours: float) -> None:
        self.clock.advance(hours * 3600)

    def night(self, preset: str = "immediate", **settings: Any) -> Night:
        machinery = self.client._core.need_machinery()
        return Night(
            log=machinery.log,
            api=machinery.api,
            sender=machinery.sender,
            clock=machinery.clock,
            randomness=machinery.randomness,
            preset=preset,
            **settings,
        )

    def nightly(self, preset: PresetName = "standard") -> NightReport:
        return self.client.nightly(preset=preset)

    @property
    def runs(self) -> Runs:
        return Runs(self.client._core.need_machinery().log.state, self.clock)

    def replayed(self) -> list[tuple[int, str, int]]:
        """(run, id, tier) of all runs' lists."""
        with self.client._core.need_machinery().log.state.reading() as db:
            rows = db.execute("SELECT run, origin, seq, tier FROM run_entries ORDER BY run, origin, seq")
            return [(run, str(EntryId(origin, seq)), tier) for run, origin, seq, tier in rows]

    def there(self, collection: str = "purchases") -> dict[str, int]:
        """How often each id is at the server."""
        until = ms_to_datetime(self.clock.wall_ms()) + timedelta(days=1)
        whole = {"start": START.isoformat(), "end": until.isoformat()}
        try:
            rows = self.client.count(collection, whole, group_by="kc.id")
        except NotFoundError:  # not one event of the collection ever arrived
            return {}
        return {row["kc.id"]: row["result"] for row in rows if row["kc.id"] is not None}

    def close(self) -> None:
        self.client.close(0)
        self.http.close()
        self.server.stop()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path / "log")
    yield rig
    rig.close()
