"""What the calls cost, and what the server's clock says, as they go by."""

from __future__ import annotations

import attrs

from keen_client._foundation.guard import Guard
from keen_client.transport.http_dates import http_date_ms
from keen_client.transport.message import Request, Response


@attrs.frozen(kw_only=True)
class Cost:
    """A count of requests that may have reached the server, and of the bytes of the answers' bodies."""

    requests: int = 0
    bytes: int = 0

    def __add__(self, other: Cost) -> Cost:
        """Both together."""
        return Cost(requests=self.requests + other.requests, bytes=self.bytes + other.bytes)

    def __sub__(self, other: Cost) -> Cost:
        """What came on top of an earlier reading of the same meter."""
        return Cost(requests=self.requests - other.requests, bytes=self.bytes - other.bytes)


@attrs.frozen(kw_only=True)
class ServerClock:
    """One reading of the server's clock, from the ``Date`` of an answer; it has whole seconds.

    Both in milliseconds since 1970 UTC; *local_ms* is this machine's wall
    clock when the answer had come, *elapsed_seconds* how long the attempt took
    (the answer was made somewhere in that time).
    """

    server_ms: int
    local_ms: int
    elapsed_seconds: float

    @property
    def offset_ms(self) -> int:
        """How far the server is ahead of this machine; exact to a second and the time of the exchange."""
        return self.server_ms - self.local_ms


class Meter:
    """Adds up the cost of attempts and keeps the last reading of the server's clock. Thread-safe."""

    def __init__(self) -> None:
        self._guard = Guard()
        self._cost = Cost()
        self._server_clock: ServerClock | None = None

    @property
    def cost(self) -> Cost:
        """Since the meter was made."""
        with self._guard:
            return self._cost

    @property
    def server_clock(self) -> ServerClock | None:
        """The latest reading; None before the first."""
        with self._guard:
            return self._server_clock

    def note_answer(self, request: Request, response: Response) -> None:
        """An attempt was answered."""
        reading = _reading(request, response)
        with self._guard:
            self._cost += Cost(requests=1, bytes=len(response.body))
            if reading is not None:
                self._server_clock = reading

    def note_unanswered(self) -> None:
        """An attempt left, and no answer came."""
        with self._guard:
            self._cost += Cost(requests=1)


def _reading(request: Request, response: Response) -> ServerClock | None:
    """Only from Keen itself: a success in JSON to a request with a key, and not out of a cache."""
    headers = response.headers
    is_json = headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"
    if request.key is None or not 200 <= response.status < 300 or not is_json or "age" in headers:
        return None
    server_ms = http_date_ms(headers.get("date", ""))
    if server_ms is None:
        return None
    return ServerClock(
        server_ms=server_ms, local_ms=response.received_wall_ms, elapsed_seconds=response.elapsed_seconds
    )
