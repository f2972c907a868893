"""Whether a failed read is worth another attempt, and after how long.

A pure decision: it neither sleeps nor asks the time, and draws its jitter
from the source it is given. The exponential waits are those of the `backoff`
package. Writes are not decided here: what has once been sent is settled by
the delivery's own rules.
"""

from __future__ import annotations

import itertools
from typing import Final

import attrs
import backoff

from keen_client._foundation.randomness import Randomness
from keen_client.errors import (
    ApiError,
    KeenApiError,
    NotSentError,
    OutcomeUnknownError,
    RateLimitedError,
    ServerError,
)

#: Attempts at one read, the first included.
ATTEMPTS_MAX: Final = 4
#: The first wait's ceiling; each later one is twice as high.
BASE_SECONDS: Final = 0.5
#: No exponential wait is longer.
BACKOFF_SECONDS_MAX: Final = 30.0
#: Keen blocks a class of calls for the next minute when its rate is exceeded.
RATE_LIMIT_SECONDS: Final = 60.0
#: A server's ``Retry-After`` is honoured up to here.
RETRY_AFTER_SECONDS_MAX: Final = 300.0

_REQUEST_TIMEOUT: Final = 408
_EXPONENT_MAX: Final = 64


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """How often and how patiently to repeat a read. All durations in seconds.

    ``RetryPolicy(attempts_max=1)`` never repeats. Immutable; safe from any thread.
    """

    attempts_max: int = attrs.field(default=ATTEMPTS_MAX, validator=attrs.validators.ge(1))
    base_seconds: float = attrs.field(default=BASE_SECONDS, validator=attrs.validators.ge(0))
    backoff_seconds_max: float = attrs.field(default=BACKOFF_SECONDS_MAX, validator=attrs.validators.ge(0))
    rate_limit_seconds: float = attrs.field(default=RATE_LIMIT_SECONDS, validator=attrs.validators.ge(0))
    retry_after_seconds_max: float = attrs.field(
        default=RETRY_AFTER_SECONDS_MAX, validator=attrs.validators.ge(0)
    )

    def wait_seconds(self, attempt: int, error: ApiError, randomness: Randomness) -> float | None:
        """How long to wait after failed *attempt* (the first is 1); None when it should not be repeated.

        Full jitter: between 0 and the exponential ceiling. A ``Retry-After``
        (bounded), and for a 429 at least ``rate_limit_seconds``, come first,
        and the jitter is added to them, so that many clients do not come back
        at one instant.
        """
        if attempt >= self.attempts_max or not is_transient(error):
            return None
        floor = self.honoured_seconds(error)
        if isinstance(error, RateLimitedError):
            floor = max(floor, self.rate_limit_seconds)
        return floor + randomness.uniform(0.0, self.backoff_ceiling_seconds(attempt))

    def honoured_seconds(self, error: ApiError) -> float:
        """The server's ``Retry-After`` as far as it is honoured; 0 when there was none."""
        if not isinstance(error, KeenApiError) or error.retry_after_seconds is None:
            return 0.0
        return min(max(error.retry_after_seconds, 0.0), self.retry_after_seconds_max)

    def backoff_ceiling_seconds(self, attempt: int) -> float:
        """The exponential ceiling after failed *attempt* (the first is 1)."""
        waits = backoff.expo(factor=self.base_seconds, max_value=self.backoff_seconds_max)
        next(waits)  # the generator's first yield takes no part: it waits for a send()
        exponent = min(attempt - 1, _EXPONENT_MAX)
        return float(next(itertools.islice(waits, exponent, None)))


def is_transient(error: ApiError) -> bool:
    """True when the same read may well succeed a little later."""
    if isinstance(error, KeenApiError) and error.status == _REQUEST_TIMEOUT:
        return True
    return isinstance(error, NotSentError | OutcomeUnknownError | RateLimitedError | ServerError)
