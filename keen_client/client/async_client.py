"""``AsyncKeenClient``: the same names, awaited. The event loop never waits on the disk."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from keen_client._foundation.clock import ms_to_datetime
from keen_client.api.keen_api import AsyncKeenApi
from keen_client.api.project import Project
from keen_client.api.steps import Steps
from keen_client.client.analyst import AioAnalyst
from keen_client.client.committer import Committer
from keen_client.client.deleting import AioDeleter
from keen_client.client.log_view import LogView
from keen_client.client.receipt import Receipt
from keen_client.client.sync_client import KeenClient, StepsT
from keen_client.client.wiring import Seams
from keen_client.delivery.config import DeliveryConfig, UnknownPolicy
from keen_client.delivery.courier import FlushReport
from keen_client.eventlog.config import Durability, LogConfig
from keen_client.eventlog.log import EventLog
from keen_client.events.encoding import EventBody, NaiveDatetimes
from keen_client.observability.hooks import Hook
from keen_client.queries.definition import Query
from keen_client.queries.methods import AnalysisMethods
from keen_client.replay.night import NightReport
from keen_client.replay.plan import ReplayReport
from keen_client.transport.httpx_transport import AsyncHttpClient
from keen_client.verify.moments import Moment
from keen_client.verify.presets import PresetName
from keen_client.verify.report import VerifyReport
from keen_client.verify.windows import WindowName


class AsyncKeenClient(AnalysisMethods[Awaitable[Any]], AioDeleter, AioAnalyst):
    """The async twin of :class:`KeenClient`: same arguments, same meaning, same errors.

    ``http_client`` is an ``httpx.AsyncClient``, used for queries; delivery runs
    in threads of its own, which also call the hooks. Safe from any task of one
    event loop at a time; it may be used in one loop after another.
    """

    def __init__(
        self,
        project_id: str | None = None,
        write_key: str | None = None,
        read_key: str | None = None,
        *,
        master_key: str | None = None,
        base_url: str | None = None,
        log: str | Path | None = None,
        durability: Durability = "full",
        background: bool = True,
        get_timeout: float | None = None,
        post_timeout: float | None = None,
        http_client: AsyncHttpClient | None = None,
        enabled: bool = True,
        naive_datetimes: NaiveDatetimes = "refuse",
        unknown: UnknownPolicy = "auto",
        hooks: Iterable[Hook] = (),
        log_config: LogConfig | None = None,
        delivery_config: DeliveryConfig | None = None,
        seams: Seams | None = None,
    ) -> None:
        """See :class:`KeenClient` for the arguments and errors."""
        self._seams = seams = seams or Seams()
        self._sync = KeenClient(
            project_id,
            write_key,
            read_key,
            master_key=master_key,
            base_url=base_url,
            log=log,
            durability=durability,
            background=background,
            get_timeout=get_timeout,
            post_timeout=post_timeout,
            enabled=enabled,
            naive_datetimes=naive_datetimes,
            unknown=unknown,
            hooks=hooks,
            log_config=log_config,
            delivery_config=delivery_config,
            seams=seams,
        )
        self._api = AsyncKeenApi.open(
            self._sync.project,
            http_client=http_client,
            get_timeout=get_timeout,
            post_timeout=post_timeout,
            clock=seams.clock,
            randomness=seams.randomness,
        )
        own_timeout = get_timeout is not None or http_client is None
        #: See :class:`KeenClient`; writes are the delivery's, which the given http_client does not serve.
        self.get_timeout: Final = self._sync.get_timeout if own_timeout else None
        self.post_timeout: Final = self._sync.post_timeout
        self._core = self._sync._core  # noqa: SLF001 — the twins share it
        event_log = self._core.event_log
        self._committer = None if event_log is None else Committer(event_log)
        if self._committer is not None:
            weakref.finalize(self, self._committer.forsake).atexit = False

    # ---- recording ----------------------------------------------------------------------

    async def add_event(
        self,
        event_collection: str,
        event_body: EventBody,
        timestamp: datetime | str | None = None,
    ) -> Receipt:
        """See :meth:`KeenClient.add_event`. A cancelled task's event may have been recorded."""
        event = self._core.encode(event_collection, event_body, timestamp)
        if self._committer is None:
            return self._core.paper_receipt(event)
        recorded = await self._committer.record(event)
        self._core.notify()
        return Receipt(str(recorded.id), event.collection, ms_to_datetime(recorded.timestamp_ms))

    async def add_events(self, events: Mapping[str, Iterable[EventBody]]) -> dict[str, list[Receipt]]:
        """See :meth:`KeenClient.add_events`; *events* are read in another thread."""
        return await asyncio.to_thread(self._sync.add_events, events)

    # ---- the rest, in threads of its own ------------------------------------------------

    async def flush(self, timeout: float | None = None) -> FlushReport:  # noqa: ASYNC109 — the sync twin's name
        """See :meth:`KeenClient.flush`."""
        return await asyncio.to_thread(self._sync.flush, timeout)

    async def query(self, analysis: Query, *, all_keys: bool = False) -> Any:
        """See :meth:`KeenClient.query`."""
        self._core.need_machinery()
        return await self._api.query(analysis, all_keys=all_keys)

    async def run_steps(self, steps: Steps[StepsT]) -> StepsT:
        """See :meth:`KeenClient.run_steps`. After a cancellation the outcome of a change is unknown."""
        self._core.need_machinery()
        return await self._api.run_steps(steps)

    def _log_for_deletion(self) -> EventLog:
        return self._core.need_machinery().log

    def generate_image_beacon(
        self,
        event_collection: str,
        event_body: EventBody,
        timestamp: datetime | str | None = None,
    ) -> str:
        """See :meth:`KeenClient.generate_image_beacon`. Not awaited: it sends nothing."""
        return self._sync.generate_image_beacon(event_collection, event_body, timestamp)

    async def verify(
        self,
        start: Moment,
        end: Moment,
        *,
        collections: Sequence[str] | None = None,
        window: WindowName = "1h",
        preset: PresetName = "standard",
        settle: str | None = None,
        budget_requests: int | None = None,
        budget_bytes: int | None = None,
    ) -> VerifyReport:
        """See :meth:`KeenClient.verify`."""
        return await asyncio.to_thread(
            self._sync.verify,
            start,
            end,
            collections=collections,
            window=window,
            preset=preset,
            settle=settle,
            budget_requests=budget_requests,
            budget_bytes=budget_bytes,
        )

    async def replay(
        self,
        start: Moment,
        end: Moment,
        *,
        collections: Sequence[str] | None = None,
        window: WindowName = "1h",
        preset: PresetName = "standard",
        settle: str | None = None,
        yes: bool = False,
        max_replay: int | None = None,
        budget_requests: int | None = None,
        budget_bytes: int | None = None,
    ) -> ReplayReport:
        """See :meth:`KeenClient.replay`."""
        return await asyncio.to_thread(
            self._sync.replay,
            start,
            end,
            collections=collections,
            window=window,
            preset=preset,
            settle=settle,
            yes=yes,
            max_replay=max_replay,
            budget_requests=budget_requests,
            budget_bytes=budget_bytes,
        )

    async def nightly(
        self,
        start: Moment | None = None,
        end: Moment | None = None,
        *,
        collections: Sequence[str] | None = None,
        window: WindowName = "1h",
        preset: PresetName = "standard",
        settle: str | None = None,
        max_replay: int | None = None,
        budget_requests: int | None = None,
        budget_bytes: int | None = None,
    ) -> NightReport:
        """See :meth:`KeenClient.nightly`."""
        return await asyncio.to_thread(
            self._sync.nightly,
            start,
            end,
            collections=collections,
            window=window,
            preset=preset,
            settle=settle,
            max_replay=max_replay,
            budget_requests=budget_requests,
            budget_bytes=budget_bytes,
        )

    @property
    def project(self) -> Project:
        """The project and its keys; printing it shows none."""
        return self._sync.project

    @property
    def project_id(self) -> str:
        """Which project."""
        return self._sync.project_id

    @property
    def base_url(self) -> str:
        """The server, the part before ``/3.0``."""
        return self._sync.base_url

    @property
    def log(self) -> LogView:
        """Read access to the local log; its calls read the disk in the caller's thread."""
        return self._sync.log

    async def close(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 — the sync twin's name
        """See :meth:`KeenClient.close`. Events that tasks have handed over are recorded first."""
        async with AsyncExitStack() as closing:  # the last comes first, and each comes
            closing.push_async_callback(asyncio.to_thread, self._sync.close, timeout)
            closing.push_async_callback(self._api.close)
            if self._committer is not None:
                await asyncio.to_thread(self._committer.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"Async{self._sync!r}"
