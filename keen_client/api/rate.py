"""How fast queries may go out: Keen's own limit, kept on this side before Keen has to enforce it.

Keen counts the queries of an organization and blocks who exceeds the limit for
the next minute. :class:`Bucket` is the decision, pure; :class:`QueryRate`
shares one between the threads and clients of a process.
"""

from __future__ import annotations

from typing import Final

import attrs

from keen_client._foundation.clock import Clock, SystemClock
from keen_client._foundation.guard import Guard
from keen_client.transport.base_url import is_loopback

#: Queries that leave this process in whatever minute, at most (Keen API, rate limits).
QUERIES_PER_MINUTE: Final = 200
#: How long no query is sent after a 429: so long Keen blocks them.
SILENCE_SECONDS: Final = 60.0
#: The shortest wait: the rest of a token may be so little that no clock shows the time it takes.
SHORTEST_WAIT_SECONDS: Final = 1e-6

_NS: Final = 1_000_000_000
_MINUTE_NS: Final = 60 * _NS


@attrs.frozen
class Bucket:
    """A token bucket: *tokens* of *size* are left at *at_ns* (monotonic), and a minute brings *size* more.

    So at most twice its size goes out in any minute: *size* at once, and as
    many again as they come. Nothing goes out before *silent_until_ns*.
    """

    size: int
    tokens: float
    at_ns: int
    silent_until_ns: int = 0

    def take(self, now_ns: int) -> tuple[Bucket, float]:
        """Take one token; the bucket then, and 0. Or the same bucket, filled, and how many seconds to wait."""
        filled = self._filled(now_ns)
        if now_ns < self.silent_until_ns:
            return filled, (self.silent_until_ns - now_ns) / _NS
        if filled.tokens >= 1:
            return attrs.evolve(filled, tokens=filled.tokens - 1), 0.0
        return filled, max(SHORTEST_WAIT_SECONDS, (1 - filled.tokens) * 60 / self.size)

    def silence(self, now_ns: int, seconds: float) -> Bucket:
        """Let nothing out for *seconds*; a silence that is longer already stays."""
        return attrs.evolve(self, silent_until_ns=max(self.silent_until_ns, now_ns + int(seconds * _NS)))

    def _filled(self, now_ns: int) -> Bucket:
        more = max(0, now_ns - self.at_ns) * self.size / _MINUTE_NS
        return attrs.evolve(
            self, tokens=min(float(self.size), self.tokens + more), at_ns=max(self.at_ns, now_ns)
        )


class QueryRate:
    """Says how long a query has to wait. Thread-safe; waits itself for nothing."""

    def __init__(self, clock: Clock, per_minute: int = QUERIES_PER_MINUTE) -> None:
        """At most *per_minute* (2 or more) queries go out in any minute of *clock*."""
        size = per_minute // 2
        self._clock = clock
        self._guard = Guard()
        self._bucket = Bucket(size, float(size), clock.monotonic_ns())

    def wait_seconds(self) -> float:
        """0: a query may go out now, and counts. Otherwise wait so long, and ask again."""
        with self._guard:
            self._bucket, seconds = self._bucket.take(self._clock.monotonic_ns())
        return seconds

    def fall_silent(self, seconds: float = SILENCE_SECONDS) -> None:
        """A 429 came: no query for so long."""
        with self._guard:
            self._bucket = self._bucket.silence(self._clock.monotonic_ns(), seconds)


_shared: dict[str, QueryRate] = {}
_shared_guard = Guard()


def query_rate(base_url: str, clock: Clock | None = None) -> QueryRate | None:
    """The rate for a server: one for all clients of this process; None for a server on this machine.

    A *clock* that is not the machine's own gets a rate of its own.
    """
    if is_loopback(base_url):
        return None
    if clock is not None and not isinstance(clock, SystemClock):
        return QueryRate(clock)
    with _shared_guard:
        if base_url not in _shared:
            _shared[base_url] = QueryRate(SystemClock())
        return _shared[base_url]
