"""Every exception of the package.

Each says what is now true of the data and, in ``hint``, what to do next. A
rejected event is data (a dead letter), not an exception; a broken internal
invariant is an :class:`AssertionError`, so ``except KeenError`` hides no bug.

::

    KeenError
    ├── UsageError (ValueError)
    │   ├── ConfigurationError
    │   │   └── InvalidEnvironmentError
    │   ├── InvalidEventError
    │   │   ├── EventTooLargeError
    │   │   ├── InvalidCollectionNameError
    │   │   └── BatchTooLargeError
    │   └── InvalidQueryError
    ├── ClientClosedError (RuntimeError)
    ├── EventLogError
    │   ├── EventLogFullError
    │   ├── EventLogBusyError
    │   ├── EventLogTooNewError
    │   ├── EventLogBoundElsewhereError
    │   ├── EventLogPermissionError
    │   ├── EventLogDamagedError
    │   └── RecordOutcomeUnknownError
    ├── ApiError
    │   ├── TransportError
    │   │   ├── NotSentError
    │   │   └── OutcomeUnknownError
    │   ├── UnreadableResponseError
    │   └── KeenApiError
    │       ├── InvalidRequestError
    │       ├── AuthenticationError
    │       ├── PaymentRequiredError
    │       ├── ForbiddenError
    │       ├── NotFoundError
    │       ├── RequestTooLargeError
    │       ├── RateLimitedError
    │       └── ServerError
    ├── UnsupportedPlatformError
    ├── NightlyLockedError
    └── MissingExtraError (ImportError)
"""

from __future__ import annotations

from pathlib import Path


def _note(hint: str) -> str:
    return f"hint: {hint}"


class KeenError(Exception):
    """The root of the tree. ``str()`` is the message; ``hint`` is what to do next.

    The hint is a note of the exception too, so that a traceback ends with it.
    Neither ever holds a key or the content of an event.
    """

    #: A short, stable, machine-readable name, used as ``error.code`` in JSON documents.
    code: str = "keen_error"

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.message = message
        self._hint: str | None = None
        self.hint = hint

    @property
    def hint(self) -> str | None:
        """What to do next; None where nobody can tell."""
        return self._hint

    @hint.setter
    def hint(self, hint: str | None) -> None:
        former = [] if self._hint is None else [_note(self._hint)]
        others = [note for note in getattr(self, "__notes__", []) if note not in former]
        self._hint = hint
        # A list of its own: a copy of an error shares the one that it was copied with.
        self.__notes__ = others if hint is None else [_note(hint), *others]

    def __str__(self) -> str:
        """The message alone; the hint is shown apart."""
        return self.message


class UsageError(KeenError, ValueError):
    """The caller's input cannot be used. Nothing was recorded and nothing was sent."""

    code = "usage"


class ConfigurationError(UsageError):
    """A setting is missing or contradicts another. Nothing was recorded and nothing was sent."""

    code = "configuration"


class InvalidEnvironmentError(ConfigurationError):
    """A key that the call needs was not given. Nothing was sent."""

    code = "missing_key"


class InvalidEventError(UsageError):
    """An event that Keen would refuse, or that JSON cannot hold. Nothing of the call was recorded.

    ``path`` names the offending field in dotted form (``user.tags[3]``), or is
    empty for the event itself; ``collection`` and ``index`` (0-based within the
    collection's list) say which event of an ``add_events`` call it was.
    """

    code = "invalid_event"

    def __init__(
        self,
        message: str,
        hint: str | None = None,
        *,
        path: str = "",
        collection: str | None = None,
        index: int | None = None,
    ) -> None:
        super().__init__(message, hint)
        self.path = path
        self.collection = collection
        self.index = index


class EventTooLargeError(InvalidEventError):
    """One event is over Keen's 900,000 bytes. Nothing of the call was recorded."""

    code = "event_too_large"


class InvalidCollectionNameError(InvalidEventError):
    """A collection name that Keen refuses. Nothing of the call was recorded."""

    code = "invalid_collection_name"


class BatchTooLargeError(InvalidEventError):
    """One ``add_events`` call is over its limits. Nothing of the call was recorded; split it."""

    code = "batch_too_large"


class InvalidQueryError(UsageError):
    """A query that Keen would refuse. Nothing was sent."""

    code = "invalid_query"


class ClientClosedError(KeenError, RuntimeError):
    """The client was used after ``close()``. Nothing was recorded; what was recorded before is safe."""

    code = "closed"


class EventLogError(KeenError):
    """The local log could not do what was asked. ``path`` is the file or directory concerned."""

    code = "log"

    def __init__(self, message: str, hint: str | None = None, *, path: Path | None = None) -> None:
        super().__init__(message, hint)
        self.path = path


class EventLogFullError(EventLogError):
    """The disk, or the log's own size limit, is full. The event was not recorded; nothing older was lost."""

    code = "log_full"


class EventLogBusyError(EventLogError):
    """Another process holds the log for longer than the lock timeout. The event was not recorded."""

    code = "log_busy"


class EventLogTooNewError(EventLogError):
    """The log was written by a later version. Nothing was read or changed."""

    code = "log_too_new"


class EventLogBoundElsewhereError(EventLogError):
    """The log belongs to another base URL or project. Nothing was read or changed."""

    code = "log_bound_elsewhere"


class EventLogPermissionError(EventLogError):
    """The log's files cannot be read or written, or belong to another user. The event was not recorded."""

    code = "log_permission"


class EventLogDamagedError(EventLogError):
    """A file of the log is damaged. It was set aside under another name, never overwritten."""

    code = "log_damaged"


class RecordOutcomeUnknownError(EventLogError):
    """An I/O error at commit left it open whether the event is on disk.

    Recording it again may store it twice under two identities. ``doctor``
    names the segment, and says what became of the event once it can be read.
    """

    code = "record_outcome_unknown"


class ApiError(KeenError):
    """A call of Keen's HTTP API did not succeed."""

    code = "api"


class TransportError(ApiError):
    """No usable answer arrived."""

    code = "transport"


class NotSentError(TransportError):
    """The request surely did not reach Keen (the connection was refused, say). Nothing was stored there."""

    code = "not_sent"


class OutcomeUnknownError(TransportError):
    """The request was sent and no answer came. Keen may have acted on it."""

    code = "outcome_unknown"


class UnreadableResponseError(ApiError):
    """An answer arrived that is not Keen's JSON (a proxy's HTML page, a cut body). ``status`` is its HTTP status."""

    code = "unreadable_response"

    def __init__(self, message: str, hint: str | None = None, *, status: int = 0) -> None:
        super().__init__(message, hint)
        self.status = status


class KeenApiError(ApiError):
    """Keen answered with an error.

    ``status`` is the HTTP status, ``error_code`` Keen's own name for the error
    (such as ``ResourceNotFoundError``), ``retry_after_seconds`` the server's wish, if it had one.
    """

    code = "keen_api"

    def __init__(
        self,
        message: str,
        hint: str | None = None,
        *,
        status: int = 0,
        error_code: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message, hint)
        self.status = status
        self.error_code = error_code
        self.retry_after_seconds = retry_after_seconds


class InvalidRequestError(KeenApiError):
    """400: Keen refused the request itself."""

    code = "invalid_request"


class AuthenticationError(KeenApiError):
    """401: the key is unknown or of the wrong class."""

    code = "authentication"


class PaymentRequiredError(KeenApiError):
    """402: the account is unpaid or over its plan."""

    code = "payment_required"


class ForbiddenError(KeenApiError):
    """403: the key may not do this."""

    code = "forbidden"


class NotFoundError(KeenApiError):
    """404: no such project, collection or resource."""

    code = "not_found"


class RequestTooLargeError(KeenApiError):
    """413 or 414: the body or the URL is too large."""

    code = "request_too_large"


class RateLimitedError(KeenApiError):
    """429: over a rate or concurrency limit; Keen blocks the class of calls for the next minute."""

    code = "rate_limited"


class ServerError(KeenApiError):
    """5xx: Keen or a proxy in front of it failed. A write may have been stored."""

    code = "server_error"


class UnsupportedPlatformError(KeenError):
    """This operating system lacks something that the log's safety rests on. Nothing was recorded."""

    code = "unsupported_platform"


class NightlyLockedError(KeenError):
    """Another nightly or replay job is at work on this log. Nothing was done; try again when it has ended."""

    code = "nightly_locked"


class MissingExtraError(KeenError, ImportError):
    """A feature needs packages that are not installed; ``hint`` is the command that installs them."""

    code = "missing_extra"
