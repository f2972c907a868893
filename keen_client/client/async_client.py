"""``AsyncKeenClient``: the same names, awaited. The event loop never waits on the disk.

One commit thread takes what the tasks hand over and commits it in groups; the
tasks of a group share its sync, and are woken a group at a time.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

from keen_client._foundation.clock import ms_to_datetime
from keen_client.api.keen_api import AsyncKeenApi
from keen_client.client.log_view import LogView
from keen_client.client.receipt import Receipt
from keen_client.client.sync_client import KeenClient
from keen_client.delivery.courier import FlushReport
from keen_client.eventlog.config import GROUP_EVENTS_MAX
from keen_client.eventlog.log import EventLog
from keen_client.eventlog.recorder import Recorded
from keen_client.events.encoding import EncodedEvent
from keen_client.queries.analysis import Analysis
from keen_client.queries.methods import AnalysisMethods
from keen_client.replay.night import NightReport
from keen_client.replay.plan import ReplayReport
from keen_client.transport.httpx_transport import AsyncHttpClient
from keen_client.verify.moments import Moment
from keen_client.verify.report import VerifyReport

_ResultT = TypeVar("_ResultT")
_Waiting = tuple[EncodedEvent, "asyncio.Future[Recorded]", asyncio.AbstractEventLoop]


class AsyncKeenClient(AnalysisMethods[Any]):
    """The async twin of :class:`KeenClient`: same arguments, same meaning, same errors.

    ``http_client`` is an ``httpx.AsyncClient``, used for queries; delivery runs
    in threads of its own. Safe from any task of one event loop.
    """

    def __init__(
        self,
        project_id: str | None = None,
        write_key: str | None = None,
        read_key: str | None = None,
        *,
        http_client: AsyncHttpClient | None = None,
        get_timeout: float | None = None,
        post_timeout: float | None = None,
        **settings: Any,
    ) -> None:
        """See :class:`KeenClient` for *settings* and errors."""
        self._sync = KeenClient(
            project_id, write_key, read_key, get_timeout=get_timeout, post_timeout=post_timeout, **settings
        )
        self._http_client = http_client
        self._timeouts = (get_timeout, post_timeout)
        self._api: AsyncKeenApi | None = None
        self._committer = _Committer()

    # ---- recording ----------------------------------------------------------------------

    async def add_event(
        self,
        event_collection: str,
        event_body: Mapping[str, Any],
        timestamp: datetime | str | None = None,
    ) -> Receipt:
        """See :meth:`KeenClient.add_event`. A cancelled task's event may have been recorded."""
        event = self._sync.encode(event_collection, event_body, timestamp)
        log = self._sync.event_log
        if log is None:
            return self._sync.paper_receipt(event)
        recorded = await self._committer.record(log, event)
        self._sync.notify()
        return Receipt(str(recorded.id), event.collection, ms_to_datetime(recorded.timestamp_ms))

    async def add_events(self, events: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, list[Receipt]]:
        """See :meth:`KeenClient.add_events`."""
        return await asyncio.to_thread(self._sync.add_events, events)

    # ---- the rest, in threads of its own ------------------------------------------------

    async def flush(self, timeout: float | None = None) -> FlushReport:  # noqa: ASYNC109 — the sync twin's name
        """See :meth:`KeenClient.flush`."""
        return await asyncio.to_thread(self._sync.flush, timeout)

    async def query(self, analysis: Analysis, *, all_keys: bool = False) -> Any:
        """See :meth:`KeenClient.query`."""
        if self._api is None:
            get_timeout, post_timeout = self._timeouts
            self._api = AsyncKeenApi.open(
                self._sync.project,
                http_client=self._http_client,
                get_timeout=get_timeout,
                post_timeout=post_timeout,
            )
        return await self._api.query(analysis, all_keys=all_keys)

    async def verify(self, start: Moment, end: Moment, **options: Any) -> VerifyReport:
        """See :meth:`KeenClient.verify`."""
        return await self._in_thread(lambda: self._sync.verify(start, end, **options))

    async def replay(self, start: Moment, end: Moment, **options: Any) -> ReplayReport:
        """See :meth:`KeenClient.replay`."""
        return await self._in_thread(lambda: self._sync.replay(start, end, **options))

    async def nightly(
        self, start: Moment | None = None, end: Moment | None = None, **options: Any
    ) -> NightReport:
        """See :meth:`KeenClient.nightly`."""
        return await self._in_thread(lambda: self._sync.nightly(start, end, **options))

    @property
    def log(self) -> LogView:
        """Read access to the local log; its calls read the disk in the caller's thread."""
        return self._sync.log

    async def close(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 — the sync twin's name
        """See :meth:`KeenClient.close`."""
        if self._api is not None:
            await self._api.close()
            self._api = None
        self._committer.close()
        await asyncio.to_thread(self._sync.close, timeout)

    @staticmethod
    async def _in_thread(call: Callable[[], _ResultT]) -> _ResultT:
        return await asyncio.to_thread(call)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"Async{self._sync!r}"


class _Committer:
    """The commit thread: started by the first event, fed by any loop, one group a commit."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ready = threading.Condition(self._lock)
        self._queue: list[_Waiting] = []
        self._thread: threading.Thread | None = None
        self._log: EventLog | None = None
        self._closed = False

    async def record(self, log: EventLog, event: EncodedEvent) -> Recorded:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Recorded] = loop.create_future()
        with self._lock:
            self._log = log
            self._queue.append((event, future, loop))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="keen-client-commit", daemon=True)
                self._thread.start()
            self._ready.notify()
        return await future

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._ready.notify()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while True:
            with self._lock:
                while not self._queue and not self._closed:
                    self._ready.wait()
                if not self._queue:
                    return
                group, self._queue = self._queue[:GROUP_EVENTS_MAX], self._queue[GROUP_EVENTS_MAX:]
            self._commit(group)

    def _commit(self, group: list[_Waiting]) -> None:
        recorded: list[Recorded] = []
        failure: BaseException | None = None
        try:
            if self._log is None:
                raise AssertionError("a group without a log")
            recorded = self._log.record_all([event for event, _, _ in group])
        except BaseException as error:  # noqa: BLE001 — it is every waiting task's, and raised there
            failure = error
        for loop in {loop for _, _, loop in group}:
            pairs = [(index, future) for index, (_, future, of) in enumerate(group) if of is loop]
            try:
                loop.call_soon_threadsafe(_settle, pairs, recorded, failure)
            except RuntimeError:
                continue  # that loop is closed: its events are in the log, nobody waits for the receipts


def _settle(
    pairs: Sequence[tuple[int, asyncio.Future[Recorded]]],
    recorded: Sequence[Recorded],
    failure: BaseException | None,
) -> None:
    for index, future in pairs:
        if future.done():
            continue
        if failure is not None:
            future.set_exception(failure)
        else:
            future.set_result(recorded[index])
