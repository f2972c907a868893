"""From an HTTP answer to a JSON value, or to the error it stands for.

What counts as Keen's own error is a JSON object with an ``error_code``,
whatever the status: an error body is now and then delivered with 200, and a
proxy's 404 page must not be taken for *no such collection*.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from keen_client.api.json_text import decode
from keen_client.errors import (
    ApiError,
    AuthenticationError,
    ForbiddenError,
    InvalidRequestError,
    KeenApiError,
    NotFoundError,
    PaymentRequiredError,
    RateLimitedError,
    RequestTooLargeError,
    ServerError,
    UnreadableResponseError,
)
from keen_client.transport.http_dates import retry_after_seconds
from keen_client.transport.message import Response

_BY_STATUS: Final[dict[int, type[KeenApiError]]] = {
    400: InvalidRequestError,
    401: AuthenticationError,
    402: PaymentRequiredError,
    403: ForbiddenError,
    404: NotFoundError,
    413: RequestTooLargeError,
    414: RequestTooLargeError,
    429: RateLimitedError,
}
#: Statuses that mean the same whoever sends them, Keen or a proxy in front of it.
_EVEN_WITHOUT_BODY: Final = frozenset({413, 414, 429})
#: Where an error body came with a status of success.
_BY_ERROR_CODE: Final[dict[str, type[KeenApiError]]] = {
    "InvalidApiKeyError": AuthenticationError,
    "AdminOnlyEndpointError": AuthenticationError,
    "RequestForbiddenError": ForbiddenError,
    "ResourceNotFoundError": NotFoundError,
    "InternalServerError": ServerError,
}
_HINTS: Final[dict[type[KeenApiError], str]] = {
    InvalidRequestError: "correct the request; the server's words say which rule it breaks",
    AuthenticationError: "check the key and the project id; a read needs the read key, a write the write key",
    PaymentRequiredError: "the account is unpaid or over its plan; events wait in the log meanwhile",
    ForbiddenError: "the key may not do this; use another or extend its permissions",
    NotFoundError: "check the project id and the name; a collection exists from its first event on",
    RequestTooLargeError: "ask or send less at once",
    RateLimitedError: "wait a minute: Keen blocks this class of calls for that long",
    ServerError: "try again later; a write may have been stored all the same",
}
_TEXT_MAX: Final = 500


def read_json(response: Response) -> Any:
    """The JSON value of a successful answer.

    Raises:
        KeenApiError: Keen's own error, by the subclass of its status. A 5xx
            says nothing about whether a write was stored; every other means it was not.
        UnreadableResponseError: Not Keen's JSON, or a redirect. Whether a write
            was stored is unknown.
    """
    value, is_json = _decoded(response)
    error = _error(response, value)
    if error is not None:
        raise error
    if not is_json:
        raise unreadable(response, "the body is not JSON")
    return value


def read_object(response: Response, *members: str) -> dict[str, Any]:
    """Like :func:`read_json`, for an answer that must be an object with *members*.

    Raises:
        UnreadableResponseError: It is something else.
    """
    value = read_json(response)
    if not isinstance(value, dict) or not all(name in value for name in members):
        wanted = f"an object with {', '.join(members)}" if members else "an object"
        raise unreadable(response, f"the body is not {wanted}")
    return value


def error_of(response: Response) -> ApiError | None:
    """The error that an answer stands for; None for a success.

    A status of success with a body that is no JSON is not looked into here:
    :func:`read_json` refuses it.
    """
    return _error(response, _decoded(response)[0])


def _decoded(response: Response) -> tuple[Any, bool]:
    try:
        return decode(response.body), True
    except ValueError:
        return None, False


def _error(response: Response, value: Any) -> ApiError | None:
    status = response.status
    error_code = value.get("error_code") if isinstance(value, dict) else None
    succeeded = 200 <= status < 300
    if isinstance(error_code, str):
        kind = _BY_ERROR_CODE.get(error_code, InvalidRequestError) if succeeded else _kind_of(status)
        return _keen_error(kind, response, error_code, value.get("message"))
    if succeeded:
        return None
    if 300 <= status < 400:
        return _redirect(response)
    if status >= 500 or status in _EVEN_WITHOUT_BODY:
        return _keen_error(_kind_of(status), response, None, None)
    return unreadable(response, "the body is not Keen's error")


def _kind_of(status: int) -> type[KeenApiError]:
    return _BY_STATUS.get(status, ServerError if status >= 500 else KeenApiError)


def _keen_error(
    kind: type[KeenApiError], response: Response, error_code: str | None, words: object
) -> KeenApiError:
    name = f" {error_code[:100]}" if error_code else ""
    said = f": {words[:_TEXT_MAX]}" if isinstance(words, str) and words else ""
    return kind(
        f"the server answered {response.status}{name}{said}",
        _HINTS.get(kind, "see the server's words and the status"),
        status=response.status,
        error_code=error_code,
        retry_after_seconds=retry_after_seconds(response),
    )


def _redirect(response: Response) -> UnreadableResponseError:
    return UnreadableResponseError(
        f"the server answered {response.status}, a redirect{_target(response)}; it was not followed,"
        " because the key must not travel to another address",
        "set the base URL to the final address",
        status=response.status,
    )


def _target(response: Response) -> str:
    """Where to, without path and query: they may quote the request."""
    try:
        parts = urlsplit(response.headers.get("location", ""))
        host, port = parts.hostname, parts.port
    except ValueError:
        return ""
    if not host:
        return ""
    return f" to {parts.scheme}://{host[:200]}" + (f":{port}" if port is not None else "")


def unreadable(response: Response, reason: str) -> UnreadableResponseError:
    """The error of an answer that is not Keen's; *reason* quotes nothing of it."""
    content_type = response.headers.get("content-type", "no content type")[:80]
    return UnreadableResponseError(
        f"the server answered {response.status} with {len(response.body)} bytes of {content_type}: {reason}",
        "check the base URL, and for a proxy or captive portal in between",
        status=response.status,
    )
