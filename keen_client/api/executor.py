"""Runs operations over a transport: the sync loop, and what it shares with its twin."""

from __future__ import annotations

import threading
from typing import Final, TypeVar

import attrs

from keen_client._foundation.clock import Clock, SystemClock
from keen_client._foundation.randomness import Randomness, SystemRandomness
from keen_client.api.call import retell
from keen_client.api.cost import Cost, Meter, ServerClock
from keen_client.api.operation import Operation
from keen_client.api.project import Project
from keen_client.api.rate import SILENCE_SECONDS, QueryRate
from keen_client.api.steps import Steps, carry_out
from keen_client.errors import ApiError, ClientClosedError, OutcomeUnknownError, RateLimitedError
from keen_client.transport.httpx_transport import Timeouts
from keen_client.transport.message import Request, Response
from keen_client.transport.protocol import Transport
from keen_client.transport.retry import RetryPolicy

ResultT = TypeVar("ResultT")

#: No repeat of a read begins later than this after its first attempt, where no other bound was given.
REPEAT_SECONDS_MAX: Final = Timeouts().read_seconds


class ExecutorBase:
    """What both executors know: the project, the policy, the meter.

    ``read_within_seconds`` bounds a read as a whole: all its attempts and the
    waits between them, from the first one's beginning. Without it only the
    repeats are bounded, by :data:`REPEAT_SECONDS_MAX`: a long answer that goes
    on coming is not cut off. Waiting for a query's turn is no part of it.
    """

    def __init__(
        self,
        project: Project,
        *,
        retry: RetryPolicy | None = None,
        randomness: Randomness | None = None,
        meter: Meter | None = None,
        rate: QueryRate | None = None,
        read_within_seconds: float | None = None,
    ) -> None:
        self.project = project
        self._rate = rate
        self._read_within_seconds = read_within_seconds
        self._retry = RetryPolicy() if retry is None else retry
        self._randomness = SystemRandomness() if randomness is None else randomness
        self._meter = Meter() if meter is None else meter

    @property
    def cost(self) -> Cost:
        """Requests and bytes so far, repeated attempts included."""
        return self._meter.cost

    @property
    def server_clock(self) -> ServerClock | None:
        """The latest reading of the server's clock from an authenticated JSON answer."""
        return self._meter.server_clock

    def _parse(self, operation: Operation[ResultT], request: Request, response: Response) -> ResultT:
        """Parse. An error says which call it is the answer to; the key is masked where the server repeats it."""
        try:
            return operation.parse(response)
        except ApiError as error:
            retell(error, f"{request.call}: {request.redact(error.message)}")
            raise

    @staticmethod
    def _bounded(request: Request, within_seconds: float | None) -> Request:
        return request if within_seconds is None else attrs.evolve(request, within_seconds=within_seconds)

    def _hold_seconds(self, request: Request) -> float:
        """How long a query has to wait before it may go out; 0: it may now, and counts. Nothing else waits."""
        return 0.0 if self._rate is None or request.kind != "query" else self._rate.wait_seconds()

    def _in_time(self, request: Request, elapsed_seconds: float) -> Request:
        """*request* with what is left of a read's time, when so much has passed since its first attempt began."""
        if request.kind == "write":
            return request
        if self._read_within_seconds is not None:
            return self._bounded(request, max(0.001, self._read_within_seconds - elapsed_seconds))
        left_seconds = max(0.001, REPEAT_SECONDS_MAX - elapsed_seconds)
        return attrs.evolve(request, timeout_seconds=left_seconds) if elapsed_seconds else request

    def _wait_seconds(
        self, attempt: int, request: Request, error: ApiError, elapsed_seconds: float
    ) -> float | None:
        """How long to wait before the next attempt; None for none. A write never has one."""
        if request.kind == "write":
            return None
        if request.kind == "query" and isinstance(error, RateLimitedError) and self._rate is not None:
            # Whoever asks meanwhile would prolong the block, in this thread or another.
            self._rate.fall_silent(max(SILENCE_SECONDS, self._retry.honoured_seconds(error)))
        wait_seconds = self._retry.wait_seconds(attempt, error, self._randomness)
        within_seconds = self._read_within_seconds
        most_seconds = REPEAT_SECONDS_MAX if within_seconds is None else within_seconds
        if wait_seconds is None or elapsed_seconds + wait_seconds >= most_seconds:
            return None
        return wait_seconds


class Executor(ExecutorBase):
    """Runs operations over one transport. Reads are repeated as the policy says, writes never.

    Safe from any thread.
    """

    def __init__(
        self,
        project: Project,
        transport: Transport,
        *,
        retry: RetryPolicy | None = None,
        clock: Clock | None = None,
        randomness: Randomness | None = None,
        meter: Meter | None = None,
        rate: QueryRate | None = None,
        read_within_seconds: float | None = None,
    ) -> None:
        super().__init__(
            project,
            retry=retry,
            randomness=randomness,
            meter=meter,
            rate=rate,
            read_within_seconds=read_within_seconds,
        )
        self._transport = transport
        self._clock = SystemClock() if clock is None else clock
        self._closed = threading.Event()

    def run(self, operation: Operation[ResultT]) -> ResultT:
        """Carry *operation* out and return what it parses from the answer.

        Raises:
            NotSentError: The request surely did not reach the server.
            OutcomeUnknownError: It may have, and no answer came. Of no matter for a read.
            KeenApiError: Keen refused.
            UnreadableResponseError: The answer is not Keen's.
            InvalidEnvironmentError: A key is missing. Nothing was sent.
            ClientClosedError: After, or while waiting when, :meth:`close` is called.
        """
        return self.exchange(operation, operation.request(self.project))

    def run_steps(self, steps: Steps[ResultT]) -> ResultT:
        """Carry out all operations of *steps*, one after the other, and return what it returns.

        Raises:
            KeenError: As for :meth:`run`, unless *steps* caught it. What the
                operations before did stays done.
        """
        return carry_out(steps, self.run)

    def exchange(self, operation: Operation[ResultT], request: Request) -> ResultT:
        """:meth:`run`, for who has made the *request* of *operation* already."""
        attempt, began_ns = 0, None
        while True:
            attempt += 1
            while hold_seconds := self._hold_seconds(request):
                if self._clock.wait(self._closed, hold_seconds):
                    raise ClientClosedError("the client was closed while a query was waiting for its turn")
            began_ns = self._clock.monotonic_ns() if began_ns is None else began_ns
            elapsed_seconds = (self._clock.monotonic_ns() - began_ns) / 1e9
            try:
                return self._parse(operation, request, self._send(self._in_time(request, elapsed_seconds)))
            except ApiError as error:
                elapsed_seconds = (self._clock.monotonic_ns() - began_ns) / 1e9
                wait_seconds = self._wait_seconds(attempt, request, error, elapsed_seconds)
                if wait_seconds is None:
                    raise
            if self._clock.wait(self._closed, wait_seconds):
                raise ClientClosedError("the client was closed while a query was waiting to be repeated")

    def attempt(self, operation: Operation[object], within_seconds: float | None = None) -> Response:
        """Make one attempt and return the answer as it came, whatever its status: no repeat, no parsing.

        It ends within *within_seconds*, with the transport's own timeouts otherwise.

        Raises:
            NotSentError: The request surely did not reach the server. Nothing was stored.
            OutcomeUnknownError: It may have, and no whole answer came.
        """
        return self._send(self._bounded(operation.request(self.project), within_seconds))

    def close(self) -> None:
        """End all waits and close the transport. May be called again."""
        self._closed.set()
        self._transport.close()

    def _send(self, request: Request) -> Response:
        try:
            response = self._transport.send(request)
        except OutcomeUnknownError:
            self._meter.note_unanswered()
            raise
        self._meter.note_answer(request, response)
        return response
