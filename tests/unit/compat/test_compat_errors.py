"""Code that catches the errors of keen 0.7 catches ours, and finds in them what it looks for."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

import keen_client.compat as keen
from keen_client import errors
from keen_client.compat import exceptions
from keen_client.compat.exceptions import KeenApiError, RefusedError, as_before

ANSWERS = [
    errors.NotFoundError("the server answered 404", "look", status=404, error_code="ResourceNotFoundError"),
    errors.RateLimitedError("429", "wait", status=429, retry_after_seconds=7.0),
    errors.ServerError("the server answered 503", status=503),
    errors.UnreadableResponseError("the server answered 404 with a page", "check", status=404),
]
REFUSALS = [
    errors.InvalidEventError("no such event", "mend it", path="a.b"),
    errors.InvalidCollectionNameError("no such collection"),
    errors.InvalidQueryError("no such query"),
    errors.UsageError("no such option"),
]
#: Nothing of the kind was a KeenApiError there: what must not be caught as one.
OTHERS = [
    errors.InvalidEnvironmentError("no read key"),
    errors.ConfigurationError("no such base URL"),
    errors.NotSentError("refused"),
    errors.OutcomeUnknownError("no answer"),
    errors.EventLogFullError("full"),
    errors.ClientClosedError("closed"),
]


@pytest.mark.parametrize("error", ANSWERS, ids=lambda error: type(error).__name__)
def test_what_keen_answers_is_a_keen_api_error(error: Any) -> None:
    """With its code, or the status where Keen named none, and all that our error says."""
    told = as_before(error)
    assert type(told) is KeenApiError
    expected = getattr(error, "error_code", None) or str(error.status)
    assert told.api_error == {"message": error.message, "error_code": expected}
    assert (str(told), told.hint, told.status) == (error.message, error.hint, error.status)
    assert told.retry_after_seconds == getattr(error, "retry_after_seconds", None)


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: type(error).__name__)
def test_what_is_refused_here_is_caught_as_keens_refusal(error: errors.KeenError) -> None:
    """It was the server's 400 there; and a ValueError, as an ``order_by`` without ``group_by`` was."""
    told = as_before(error)
    assert isinstance(told, RefusedError)
    assert isinstance(told, ValueError)
    assert told.api_error == {"message": error.message, "error_code": type(error).__name__}
    assert told.hint == error.hint


@pytest.mark.parametrize("error", OTHERS, ids=lambda error: type(error).__name__)
def test_other_errors_stay_what_they_are(error: errors.KeenError) -> None:
    """No refusal of Keen's; ``BaseKeenClientError`` catches them, as it catches everything."""
    assert as_before(error) is error
    assert not isinstance(error, KeenApiError)
    assert isinstance(error, exceptions.BaseKeenClientError)


def test_an_error_is_translated_once() -> None:
    """A call that stands on another call tells the same error."""
    told = as_before(REFUSALS[0])
    assert as_before(told) is told


@pytest.mark.parametrize(
    "error",
    [
        KeenApiError({"message": "m", "error_code": "c"}, hint="h", status=500),
        RefusedError({"message": "m", "error_code": "c"}),
        exceptions.InvalidProjectIdError(5),
        exceptions.InvalidPersistenceStrategyError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_travel_between_processes(error: errors.KeenError) -> None:
    """Pickled and back: the same class, words and members."""
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert (str(copy), vars(copy)) == (str(error), vars(error))


def test_a_program_can_make_the_errors_as_before() -> None:
    """As its tests do, in the place of a server."""
    error = keen.exceptions.KeenApiError({"message": "no", "error_code": "AnError", "unique_id": "1"})
    assert (str(error), error.error_code, error.args) == ("no", "AnError", (error.api_error,))
    assert keen.exceptions.InvalidEnvironmentError("no key").message == "no key"
    assert keen.InvalidEnvironmentError is errors.InvalidEnvironmentError
