"""The async twin of :class:`~keen_client.api.executor.Executor`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from keen_client._foundation.clock import Clock, SystemClock
from keen_client._foundation.randomness import Randomness
from keen_client.api.cost import Meter
from keen_client.api.executor import ExecutorBase
from keen_client.api.operation import Operation
from keen_client.api.project import Project
from keen_client.api.rate import QueryRate
from keen_client.api.steps import Steps, carry_out_awaiting
from keen_client.errors import ApiError, OutcomeUnknownError
from keen_client.transport.message import Request, Response
from keen_client.transport.protocol import AsyncTransport
from keen_client.transport.retry import RetryPolicy

ResultT = TypeVar("ResultT")


class AioExecutor(ExecutorBase):
    """Runs operations in an event loop. Reads are repeated as the policy says, writes never.

    For one event loop; *sleep* is ``asyncio.sleep`` unless a test brings its
    own. A wait ends by cancelling the task.
    """

    def __init__(
        self,
        project: Project,
        transport: AsyncTransport,
        *,
        retry: RetryPolicy | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        randomness: Randomness | None = None,
        meter: Meter | None = None,
        rate: QueryRate | None = None,
        read_within_seconds: float | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(
            project,
            retry=retry,
            randomness=randomness,
            meter=meter,
            rate=rate,
            read_within_seconds=read_within_seconds,
        )
        self._clock = SystemClock() if clock is None else clock
        self._transport = transport
        self._sleep = sleep

    async def run(self, operation: Operation[ResultT]) -> ResultT:
        """See :meth:`keen_client.api.executor.Executor.run`."""
        return await self.exchange(operation, operation.request(self.project))

    async def run_steps(self, steps: Steps[ResultT]) -> ResultT:
        """See :meth:`keen_client.api.executor.Executor.run_steps`."""
        return await carry_out_awaiting(steps, self.run)

    async def exchange(self, operation: Operation[ResultT], request: Request) -> ResultT:
        """See :meth:`keen_client.api.executor.Executor.exchange`."""
        attempt, began_ns = 0, None
        while True:
            attempt += 1
            while hold_seconds := self._hold_seconds(request):
                await self._sleep(hold_seconds)
            began_ns = self._clock.monotonic_ns() if began_ns is None else began_ns
            elapsed_seconds = (self._clock.monotonic_ns() - began_ns) / 1e9
            try:
                response = await self._send(self._in_time(request, elapsed_seconds))
                return self._parse(operation, request, response)
            except ApiError as error:
                elapsed_seconds = (self._clock.monotonic_ns() - began_ns) / 1e9
                wait_seconds = self._wait_seconds(attempt, request, error, elapsed_seconds)
                if wait_seconds is None:
                    raise
            await self._sleep(wait_seconds)

    async def attempt(self, operation: Operation[object], within_seconds: float | None = None) -> Response:
        """See :meth:`keen_client.api.executor.Executor.attempt`."""
        return await self._send(self._bounded(operation.request(self.project), within_seconds))

    async def close(self) -> None:
        """Close the transport. May be called again."""
        await self._transport.close()

    async def _send(self, request: Request) -> Response:
        try:
            response = await self._transport.send(request)
        except OutcomeUnknownError:
            self._meter.note_unanswered()
            raise
        self._meter.note_answer(request, response)
        return response
