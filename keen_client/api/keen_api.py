"""Keen's API as an object, sync and async, from one set of operations.

Every call here talks to the server at once. Applications record through the
client, which writes to the log first; this is what stands behind it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from keen_client._foundation.clock import Clock
from keen_client._foundation.randomness import Randomness
from keen_client.api.administration import Administration, AioAdministration
from keen_client.api.aio_executor import AioExecutor
from keen_client.api.cost import Cost, Meter, ServerClock
from keen_client.api.executor import Executor
from keen_client.api.operation import Operation
from keen_client.api.project import Project
from keen_client.api.query import RunAnalysis
from keen_client.api.rate import QueryRate, query_rate
from keen_client.api.steps import Steps, carry_out, carry_out_awaiting
from keen_client.api.write import RecordEvent, UploadBatch, batch_of
from keen_client.queries.definition import Query
from keen_client.queries.methods import AnalysisMethods
from keen_client.transport.httpx_transport import (
    AsyncHttpClient,
    AsyncHttpxTransport,
    HttpClient,
    HttpxTransport,
    Timeouts,
)
from keen_client.transport.message import Response
from keen_client.transport.protocol import AsyncTransport, Transport
from keen_client.transport.retry import RetryPolicy

ResultT = TypeVar("ResultT")


class _ApiBase:
    """What both know: the project, and what the calls have cost."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._meter = Meter()

    @property
    def cost(self) -> Cost:
        """Requests and bytes so far, of both paths, repeated attempts included."""
        return self._meter.cost

    @property
    def server_clock(self) -> ServerClock | None:
        """The latest reading of the server's clock from an authenticated JSON answer."""
        return self._meter.server_clock


class KeenApi(_ApiBase, AnalysisMethods[Any], Administration):
    """Talks to one project. Writes and reads go over two transports that share nothing.

    Safe from any thread. Close it, or use it in a ``with`` statement.
    """

    def __init__(
        self,
        project: Project,
        *,
        write_transport: Transport,
        read_transport: Transport,
        retry: RetryPolicy | None = None,
        clock: Clock | None = None,
        randomness: Randomness | None = None,
        rate: QueryRate | None = None,
        read_within_seconds: float | None = None,
    ) -> None:
        super().__init__(project)
        self._writes = Executor(
            project, write_transport, retry=retry, clock=clock, randomness=randomness, meter=self._meter
        )
        self._reads = Executor(
            project,
            read_transport,
            retry=retry,
            clock=clock,
            randomness=randomness,
            meter=self._meter,
            rate=rate,
            read_within_seconds=read_within_seconds,
        )

    @classmethod
    def open(
        cls,
        project: Project,
        *,
        http_client: HttpClient | None = None,
        get_timeout: float | None = None,
        post_timeout: float | None = None,
        retry: RetryPolicy | None = None,
        clock: Clock | None = None,
        randomness: Randomness | None = None,
    ) -> Self:
        """Make one over httpx, with a pool for each path.

        Queries go out no faster than Keen takes them (see :mod:`keen_client.api.rate`).

        Args:
            project: Which project, and its keys.
            http_client: A client of the caller's, used for both paths (which
                then share its pool) and not closed by us.
            get_timeout: Seconds that a read may last, its repeats and the waits between them included, from when
                its turn has come. When not given it waits 305 for an answer, and no repeat begins after that.
            post_timeout: Seconds that a write waits for an answer; 60 when not given.
            retry: How reads are repeated.
            clock: For waits and stamps of time.
            randomness: For jitter.
        """
        writes, reads = _path_timeouts(http_client is None, get_timeout, post_timeout)
        return cls(
            project,
            write_transport=HttpxTransport(http_client, timeouts=writes, clock=clock),
            read_transport=HttpxTransport(http_client, timeouts=reads, clock=clock),
            retry=retry,
            clock=clock,
            randomness=randomness,
            rate=query_rate(project.base_url, clock),
            read_within_seconds=get_timeout,
        )

    def query(self, analysis: Query, *, all_keys: bool = False) -> Any:
        """See :meth:`keen_client.queries.methods.AnalysisMethods.query`. For errors see :meth:`Executor.run`."""
        return self._reads.run(RunAnalysis(analysis, all_keys))

    def run(self, operation: Operation[ResultT]) -> ResultT:
        """Carry *operation* out: what may change something over the write path, all else over the read path.

        For errors see :meth:`Executor.run`. Only reads are repeated.
        """
        request = operation.request(self.project)
        path = self._writes if request.kind == "write" else self._reads
        return path.exchange(operation, request)

    def run_steps(self, steps: Steps[ResultT]) -> ResultT:
        """Carry out a call of several operations, each over its own path; see :mod:`keen_client.api.steps`."""
        return carry_out(steps, self.run)

    def record_event(self, event_collection: str, event_body: Mapping[str, Any]) -> None:
        """Store one event at once, past the log; when this returns, Keen has accepted it."""
        self._writes.run(RecordEvent(event_collection, event_body))

    def upload(self, events: Mapping[str, Any]) -> dict[str, Any]:
        """Send ``{collection: [event, ...]}`` at once, past the log; returns Keen's result for each event."""
        return self._writes.run(batch_of(events))

    def post_batch(self, body: bytes, within_seconds: float | None = None) -> Response:
        """Make one attempt to send a bulk body, and return the answer as it came, whatever its status.

        It ends within *within_seconds*; without, each wait of it does within the write timeout.

        Raises:
            NotSentError: It surely did not reach the server. Nothing was stored.
            OutcomeUnknownError: It may have, and no whole answer came.
            InvalidEnvironmentError: There is no write key. Nothing was sent.
            ClientClosedError: After :meth:`close`. Nothing was sent.
        """
        return self._writes.attempt(UploadBatch(body), within_seconds)

    def close(self) -> None:
        """End all waits and close the connections. May be called again."""
        self._reads.close()
        self._writes.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncKeenApi(_ApiBase, AnalysisMethods[Awaitable[Any]], AioAdministration):
    """The async twin of :class:`KeenApi`: the same names, awaited. For one event loop."""

    def __init__(
        self,
        project: Project,
        *,
        write_transport: AsyncTransport,
        read_transport: AsyncTransport,
        retry: RetryPolicy | None = None,
        sleep: Callable[[float], Awaitable[object]] | None = None,
        randomness: Randomness | None = None,
        rate: QueryRate | None = None,
        read_within_seconds: float | None = None,
    ) -> None:
        super().__init__(project)
        given: dict[str, Any] = {} if sleep is None else {"sleep": sleep}
        self._writes = AioExecutor(
            project, write_transport, retry=retry, randomness=randomness, meter=self._meter, **given
        )
        self._reads = AioExecutor(
            project,
            read_transport,
            retry=retry,
            randomness=randomness,
            meter=self._meter,
            rate=rate,
            read_within_seconds=read_within_seconds,
            **given,
        )

    @classmethod
    def open(
        cls,
        project: Project,
        *,
        http_client: AsyncHttpClient | None = None,
        get_timeout: float | None = None,
        post_timeout: float | None = None,
        retry: RetryPolicy | None = None,
        clock: Clock | None = None,
        randomness: Randomness | None = None,
    ) -> Self:
        """See :meth:`KeenApi.open`; *clock* only stamps times, waits are the event loop's."""
        writes, reads = _path_timeouts(http_client is None, get_timeout, post_timeout)
        return cls(
            project,
            write_transport=AsyncHttpxTransport(http_client, timeouts=writes, clock=clock),
            read_transport=AsyncHttpxTransport(http_client, timeouts=reads, clock=clock),
            retry=retry,
            randomness=randomness,
            rate=query_rate(project.base_url, clock),
            read_within_seconds=get_timeout,
        )

    async def query(self, analysis: Query, *, all_keys: bool = False) -> Any:
        """See :meth:`KeenApi.query`."""
        return await self._reads.run(RunAnalysis(analysis, all_keys))

    async def run(self, operation: Operation[ResultT]) -> ResultT:
        """See :meth:`KeenApi.run`. After a cancellation the outcome of a write is unknown."""
        request = operation.request(self.project)
        path = self._writes if request.kind == "write" else self._reads
        return await path.exchange(operation, request)

    async def run_steps(self, steps: Steps[ResultT]) -> ResultT:
        """See :meth:`KeenApi.run_steps`."""
        return await carry_out_awaiting(steps, self.run)

    async def record_event(self, event_collection: str, event_body: Mapping[str, Any]) -> None:
        """See :meth:`KeenApi.record_event`."""
        await self._writes.run(RecordEvent(event_collection, event_body))

    async def upload(self, events: Mapping[str, Any]) -> dict[str, Any]:
        """See :meth:`KeenApi.upload`."""
        return await self._writes.run(batch_of(events))

    async def post_batch(self, body: bytes, within_seconds: float | None = None) -> Response:
        """See :meth:`KeenApi.post_batch`. After a cancellation the outcome is unknown."""
        return await self._writes.attempt(UploadBatch(body), within_seconds)

    async def close(self) -> None:
        """Close the connections. May be called again."""
        await self._reads.close()
        await self._writes.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _path_timeouts(
    own_client: bool,  # noqa: FBT001 - private, and named at both calls by what it is given
    get_timeout: float | None,
    post_timeout: float | None,
) -> tuple[Timeouts | None, Timeouts | None]:
    """Timeouts of (writes, reads); None where a caller's own client keeps its own."""
    writes = Timeouts.for_writes(post_timeout) if own_client or post_timeout is not None else None
    reads = Timeouts.for_reads(get_timeout) if own_client or get_timeout is not None else None
    return writes, reads
