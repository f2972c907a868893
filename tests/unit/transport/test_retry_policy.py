"""Whether and when a failed read is repeated: a pure decision."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keen_client._foundation.randomness import SeededRandomness
from keen_client.errors import (
    ApiError,
    AuthenticationError,
    InvalidRequestError,
    KeenApiError,
    NotSentError,
    OutcomeUnknownError,
    RateLimitedError,
    ServerError,
    UnreadableResponseError,
)
from keen_client.transport import RetryPolicy
from keen_client.transport.retry import RETRY_AFTER_SECONDS_MAX


class Fixed:
    """Chance that always gives the same share of the range."""

    def __init__(self, share: float) -> None:
        self.share = share

    def token(self, alphabet: str, length: int) -> str:
        return alphabet[0] * length

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * self.share


LATEST, EARLIEST = Fixed(1.0), Fixed(0.0)
BUSY = ServerError("m", status=503)


def test_waits_double_up_to_their_limit() -> None:
    """The ceilings are those of backoff's exponential generator."""
    policy = RetryPolicy(attempts_max=100, base_seconds=0.5, backoff_seconds_max=30.0)
    waits = [policy.wait_seconds(attempt, BUSY, LATEST) for attempt in range(1, 9)]
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert policy.wait_seconds(99, BUSY, LATEST) == 30.0


def test_jitter_is_full() -> None:
    """From nothing to the ceiling, by the given source of chance."""
    assert RetryPolicy().wait_seconds(1, BUSY, EARLIEST) == 0.0
    assert RetryPolicy().wait_seconds(2, BUSY, Fixed(0.25)) == 0.25


def test_same_seed_same_waits() -> None:
    """A night can be played again."""
    runs = [
        [RetryPolicy().wait_seconds(n, BUSY, chance) for n in (1, 2, 3)]
        for chance in (SeededRandomness(7), SeededRandomness(7))
    ]
    assert runs[0] == runs[1]


def test_attempts_end() -> None:
    """After the last attempt the error is the caller's."""
    policy = RetryPolicy(attempts_max=3)
    assert policy.wait_seconds(2, BUSY, EARLIEST) is not None
    assert policy.wait_seconds(3, BUSY, EARLIEST) is None
    assert RetryPolicy(attempts_max=1).wait_seconds(1, BUSY, EARLIEST) is None


@pytest.mark.parametrize(
    ("error", "repeated"),
    [
        (NotSentError("m"), True),
        (OutcomeUnknownError("m"), True),
        (BUSY, True),
        (RateLimitedError("m", status=429), True),
        (KeenApiError("m", status=408), True),
        (KeenApiError("m", status=409), False),
        (InvalidRequestError("m", status=400), False),
        (AuthenticationError("m", status=401), False),
        (UnreadableResponseError("m", status=200), False),
    ],
)
def test_only_what_may_pass_is_repeated(error: ApiError, repeated: bool) -> None:
    """A refusal stays a refusal."""
    assert (RetryPolicy().wait_seconds(1, error, EARLIEST) is not None) is repeated


def test_rate_limit_waits_out_keens_minute() -> None:
    """The whole class of calls is blocked that long; the jitter comes on top."""
    limited = RateLimitedError("m", status=429)
    assert RetryPolicy().wait_seconds(1, limited, EARLIEST) == 60.0
    assert RetryPolicy().wait_seconds(1, limited, LATEST) == 60.5
    assert RetryPolicy().wait_seconds(1, RateLimitedError("m", retry_after_seconds=1.0), EARLIEST) == 60.0
    assert RetryPolicy().wait_seconds(1, RateLimitedError("m", retry_after_seconds=90.0), EARLIEST) == 90.0


def test_retry_after_is_honoured_within_bounds() -> None:
    """A server cannot put a client to sleep for a day."""
    asked = ServerError("m", status=503, retry_after_seconds=7.0)
    assert RetryPolicy().wait_seconds(1, asked, EARLIEST) == 7.0
    endless = ServerError("m", status=503, retry_after_seconds=86_400.0)
    assert RetryPolicy().wait_seconds(1, endless, EARLIEST) == RETRY_AFTER_SECONDS_MAX


@given(st.integers(1, 10_000), st.floats(0, 1), st.one_of(st.none(), st.floats(-1e9, 1e9)))
def test_no_wait_is_endless(attempt: int, share: float, asked: float | None) -> None:
    """Every wait has a named limit, and none is negative."""
    policy = RetryPolicy(attempts_max=100_000)
    wait = policy.wait_seconds(attempt, RateLimitedError("m", retry_after_seconds=asked), Fixed(share))
    assert wait is not None
    assert 60.0 <= wait <= policy.retry_after_seconds_max + policy.backoff_seconds_max


@pytest.mark.parametrize("bad", [{"attempts_max": 0}, {"base_seconds": -1}, {"rate_limit_seconds": -1}])
def test_senseless_policy_is_refused(bad: dict[str, int]) -> None:
    """At the making, not in the middle of a night."""
    with pytest.raises(ValueError):
        RetryPolicy(**bad)
