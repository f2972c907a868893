"""Rate limits as Keen has them: over the limit of a class, all its calls are refused for the next minute."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from enum import Enum
from typing import Final

from keen_client._foundation.clock import MS_PER_MINUTE
from keen_client.server.refusal import RATE_LIMITED, Refusal

_MINUTE_NS: Final = MS_PER_MINUTE * 1_000_000


class RateClass(Enum):
    """What is limited together. Writes, and the results of saved queries and datasets, are not limited."""

    QUERIES = "queries"
    EXTRACTIONS = "extractions"
    UPDATES = "updates"
    DELETES = "deletes"
    COLLECTION_DELETES = "deletes of whole collections"


#: Calls a minute, as the platform limits them.
PLATFORM_LIMITS: Final[Mapping[RateClass, int]] = {
    RateClass.QUERIES: 200,
    RateClass.EXTRACTIONS: 200,
    RateClass.UPDATES: 10,
    RateClass.DELETES: 10,
    RateClass.COLLECTION_DELETES: 100,
}


class MinuteCounter:
    """The calls of the last minute. Not thread-safe. Times are those of a monotonic clock, in nanoseconds."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget every call, and that the limit was exceeded."""
        self._times_ns: list[int] = []
        self._blocked_until_ns = 0

    def is_over(self, limit: int, now_ns: int) -> bool:
        """Count a call; True where it is over *limit*, as are then all calls of the next minute."""
        if now_ns < self._blocked_until_ns:
            return True
        self._times_ns = [at_ns for at_ns in self._times_ns if now_ns - at_ns < _MINUTE_NS]
        if len(self._times_ns) >= limit:
            self._blocked_until_ns = now_ns + _MINUTE_NS
            self._times_ns = []
            return True
        self._times_ns.append(now_ns)
        return False


class RateLimits:
    """The limits that are on, by class; a class without one is not limited. Thread-safe."""

    def __init__(self, limits: Mapping[RateClass, int]) -> None:
        self._limits = dict(limits)
        self._counters = {rate_class: MinuteCounter() for rate_class in self._limits}
        self._lock = threading.Lock()

    def take(self, rate_class: RateClass, now_ns: int) -> None:
        """Count a call of *rate_class*; a 429 :class:`Refusal` where it is over the limit. Nothing was done then."""
        limit = self._limits.get(rate_class)
        if limit is None:
            return
        with self._lock:
            over = self._counters[rate_class].is_over(limit, now_ns)
        if over:
            text = f"More than {limit} {rate_class.value} a minute; they are refused for the next minute."
            raise Refusal(429, RATE_LIMITED, text)
