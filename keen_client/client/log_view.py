"""The log as its owner sees it: what was recorded, what is expected, what waits. Read access only."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import attrs
import orjson

from keen_client._foundation.clock import MS_PER_HOUR, datetime_to_ms, ms_to_datetime
from keen_client.eventlog.entry import Entry
from keen_client.eventlog.log import EventLog
from keen_client.eventlog.outbox import Backlog
from keen_client.events.limits import check_collection_name


@attrs.frozen
class LoggedEvent:
    """One event of the log. ``event`` is what the user gave, ``keen`` members included; times are aware UTC."""

    id: str
    collection: str
    timestamp: datetime
    recorded_at: datetime
    event: dict[str, Any]


@attrs.frozen
class WindowTotal:
    """What is expected at the server in one window: recorded less exceptions."""

    collection: str
    start: datetime
    end: datetime
    count: int


class LogView:
    """``client.log``: reads the log, changes nothing. Thread-safe."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    @property
    def path(self) -> str:
        """The log's directory."""
        return str(self._log.directory.path)

    def entries(
        self,
        collection: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> Iterator[LoggedEvent]:
        """The events in the log, by segment and seq; ``keen.timestamp`` in [start, end), aware datetimes."""
        start_ms = None if start is None else datetime_to_ms(start)
        end_ms = None if end is None else datetime_to_ms(end)
        return (_event_of(entry) for entry in self._log.entries(collection, start_ms, end_ms))

    def totals(
        self, collection: str, start: datetime, end: datetime, window_ms: int = MS_PER_HOUR
    ) -> list[WindowTotal]:
        """What is expected at the server by window; *start* and *end* lie on window boundaries (UTC)."""
        check_collection_name(collection)
        windows = self._log.expectation.windows(
            collection, datetime_to_ms(start), datetime_to_ms(end), window_ms
        )
        return [
            WindowTotal(collection, ms_to_datetime(w.start_ms), ms_to_datetime(w.end_ms), w.total.n)
            for _, w in sorted(windows.items())
        ]

    def export(self, collection: str | None = None) -> Iterator[str]:
        """The events as NDJSON lines, each as it goes to the server but for the stamp, with its id and collection."""
        for logged in self.entries(collection):
            line = {"id": logged.id, "collection": logged.collection, "event": logged.event}
            yield orjson.dumps(line).decode()

    def backlog(self) -> Backlog:
        """What delivery has still to deal with."""
        return self._log.outbox.backlog()


def _event_of(entry: Entry) -> LoggedEvent:
    event = orjson.loads(entry.body)
    keen = orjson.loads(entry.keen) if entry.keen else {}
    timestamp = ms_to_datetime(entry.timestamp_ms)
    event["keen"] = {"timestamp": timestamp, **keen}
    return LoggedEvent(str(entry.id), entry.collection, timestamp, ms_to_datetime(entry.recorded_ms), event)
