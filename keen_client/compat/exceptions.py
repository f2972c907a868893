"""The errors of keen 0.7 by their names, such that code written to catch those catches ours.

keen 0.7 has one class for whatever Keen refuses. Here a part of that is refused
before anything is sent or recorded, so those refusals belong to the same class.
A request that got no usable answer raised an error of ``requests`` there; here
it is a :class:`TransportError`, and adding events raises none at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keen_client import errors
from keen_client.errors import InvalidEnvironmentError, TransportError

__all__ = [
    "BaseKeenClientError",
    "InvalidEnvironmentError",
    "InvalidPersistenceStrategyError",
    "InvalidProjectIdError",
    "KeenApiError",
    "RefusedError",
    "TransportError",
]

#: Every error of this package, under the name that keen 0.7 has for it.
BaseKeenClientError = errors.KeenError


class InvalidProjectIdError(errors.ConfigurationError):
    """A project id that is empty or no text. Nothing was recorded and nothing was sent."""

    def __init__(self, project_id: object) -> None:
        super().__init__(
            f"a project id is a text, and not empty: {type(project_id).__name__} is none; nothing was recorded",
            "copy it from the project's page",
        )
        self.project_id = project_id
        self.args = (project_id,)


class InvalidPersistenceStrategyError(errors.ConfigurationError):
    """A persistence strategy was given: the log is the only one. Nothing was recorded and nothing was sent."""

    def __init__(self) -> None:
        super().__init__(
            "a persistence_strategy was given, and events always go to the log first; nothing was recorded",
            "leave it out: what is recorded is on disk, and sent in the background",
        )
        self.args = ()


class KeenApiError(errors.KeenApiError):
    """Keen refused, or answered with what is not Keen's. ``__cause__`` is the error that the main package has for it.

    ``api_error`` has the ``message`` and Keen's ``error_code``: the HTTP status
    as a text where Keen named none.
    """

    def __init__(
        self,
        api_error: Mapping[str, Any],
        *,
        hint: str | None = None,
        status: int = 0,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(
            str(api_error["message"]),
            hint,
            status=status,
            error_code=str(api_error["error_code"]),
            retry_after_seconds=retry_after_seconds,
        )
        self.api_error = dict(api_error)
        self.args = (self.api_error,)


class RefusedError(KeenApiError, errors.UsageError):
    """What Keen would refuse was refused at the call: nothing was recorded and nothing was sent. A ``ValueError`` too.

    ``error_code`` is the name of the main package's error, such as ``InvalidEventError``.
    """


def as_before(error: errors.KeenError) -> errors.KeenError:
    """The error that stands here for *error* of the main package: itself, unless keen 0.7 has it as KeenApiError."""
    if isinstance(error, KeenApiError | errors.ConfigurationError):
        return error
    if isinstance(error, errors.UsageError):
        api_error = {"message": error.message, "error_code": type(error).__name__}
        return RefusedError(api_error, hint=error.hint)
    if isinstance(error, errors.KeenApiError):
        return KeenApiError(
            {"message": error.message, "error_code": error.error_code or str(error.status)},
            hint=error.hint,
            status=error.status,
            retry_after_seconds=error.retry_after_seconds,
        )
    if isinstance(error, errors.UnreadableResponseError):
        api_error = {"message": error.message, "error_code": str(error.status)}
        return KeenApiError(api_error, hint=error.hint, status=error.status)
    return error
