"""The log as its owner sees it: what was recorded, what is expected, what waits. Read access only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import attrs
import orjson

from keen_client._foundation.clock import FIRST_MS, LAST_MS, MS_PER_HOUR, ms_to_datetime, ms_to_iso
from keen_client.errors import EventLogDamagedError, UsageError
from keen_client.eventlog.entry import Entry
from keen_client.eventlog.log import EventLog
from keen_client.eventlog.outbox import Backlog
from keen_client.events.limits import check_collection_name
from keen_client.verify.moments import Moment, moment_ms


@attrs.frozen
class LoggedEvent:
    """One event of the log. ``timestamp`` and ``recorded_at`` are aware UTC.

    ``event`` is what the user gave, as the JSON that goes to the server, but
    for the stamp and the token: ``keen.timestamp`` is ISO 8601 text. That is
    exact also where it lies outside of the years 1 to 9999, in logs of early
    versions; ``timestamp`` then is the first or last moment of these.
    """

    id: str
    collection: str
    timestamp: datetime
    recorded_at: datetime
    event: dict[str, Any] = attrs.field(repr=False)


@attrs.frozen
class WindowTotal:
    """What is expected at the server in one window: recorded less exceptions."""

    collection: str
    start: datetime
    end: datetime
    count: int


class LogView:
    """``client.log``: reads the log, changes nothing. Thread-safe. Of no use once its client is closed.

    Moments are aware datetimes, dates (UTC midnight) or RFC 3339 text.
    """

    def __init__(self, log: EventLog, mind_closed: Callable[[], None]) -> None:
        """*mind_closed* raises once the owner of *log* has closed it."""
        self._log = log
        self._mind_closed = mind_closed

    def __repr__(self) -> str:
        return f"LogView({self.path!r})"

    @property
    def path(self) -> str:
        """The log's directory."""
        return str(self._log.directory.path)

    def entries(
        self,
        collection: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
    ) -> Iterator[LoggedEvent]:
        """The events in the log, by segment and seq; ``keen.timestamp`` in [start, end).

        Raises:
            UsageError: a moment without zone.
            EventLogDamagedError: at the end, after every event that can be read: there are others, which cannot.
        """
        return (_event_of(entry) for entry in self._entries(collection, start, end))

    def _entries(self, collection: str | None, start: Moment | None, end: Moment | None) -> Iterator[Entry]:
        self._mind_closed()
        start_ms = None if start is None else moment_ms(start)
        end_ms = None if end is None else moment_ms(end)
        return self._log.entries(collection, start_ms, end_ms)

    def totals(
        self, collection: str, start: Moment, end: Moment, window_ms: int = MS_PER_HOUR
    ) -> list[WindowTotal]:
        """What is expected at the server by window; *start* and *end* lie on window boundaries (UTC).

        Raises:
            UsageError: they do not, or a moment without zone.
            EventLogDamagedError: entries that are to be counted cannot be read.
        """
        self._mind_closed()
        check_collection_name(collection)
        start_ms, end_ms = moment_ms(start), moment_ms(end)
        if window_ms < 1 or start_ms % window_ms or end_ms % window_ms:
            raise UsageError(
                f"start and end do not lie on boundaries of {window_ms} ms in UTC; nothing was read",
                "give whole windows, such as full hours",
            )
        self._log.check_tails()
        windows = self._log.expectation.windows(collection, start_ms, end_ms, window_ms)
        if any(window.has_unreadable for window in windows.values()):
            raise EventLogDamagedError(
                "entries of these windows cannot be read, and they are too small to be counted without; no totals were given",
                "ask for full hours, and run `keen-client doctor`",
            )
        return [
            WindowTotal(collection, ms_to_datetime(w.start_ms), ms_to_datetime(w.end_ms), w.total.n)
            for _, w in sorted(windows.items())
        ]

    def export(self, collection: str | None = None) -> Iterator[str]:
        """The events as NDJSON lines, each as it goes to the server but for stamp and token, with its id and collection.

        Raises:
            EventLogDamagedError: at the end, after every event that can be read: there are others, which cannot.
        """
        return (_line_of(entry) for entry in self._entries(collection, None, None))

    def backlog(self) -> Backlog:
        """What delivery has still to deal with."""
        self._mind_closed()
        return self._log.outbox.backlog()


def _event_of(entry: Entry) -> LoggedEvent:
    try:
        event = orjson.loads(_event_text(entry))
    except ValueError:
        raise EventLogDamagedError(
            f"entry {entry.id} of the log is not what was written; the events before it were given",
            "run `keen-client doctor`; `keen-client doctor --repair` saves what can be saved and counts what is lost",
        ) from None
    return LoggedEvent(
        str(entry.id),
        entry.collection,
        ms_to_datetime(min(max(entry.timestamp_ms, FIRST_MS), LAST_MS)),
        ms_to_datetime(entry.recorded_ms),
        event,
    )


def _line_of(entry: Entry) -> str:
    collection = orjson.dumps(entry.collection).decode()
    return f'{{"id":"{entry.id}","collection":{collection},"event":{_event_text(entry)}}}'


def _event_text(entry: Entry) -> str:
    """The stored texts, joined and never decoded: an export changes no digit."""
    members = entry.body[1:-1]
    comma = "," if members else ""
    rest = f",{entry.keen[1:]}" if entry.keen else "}"
    return f'{{{members}{comma}"keen":{{"timestamp":"{ms_to_iso(entry.timestamp_ms)}"{rest}}}'
