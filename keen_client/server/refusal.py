"""A refused request: the one exception that becomes an error reply.

Every error body of Keen holds ``message`` and ``error_code``; clients rely on
both being there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

NOT_FOUND: Final = "ResourceNotFoundError"
INVALID_KEY: Final = "InvalidApiKeyError"
REQUEST_FORBIDDEN: Final = "RequestForbiddenError"
ADMIN_ONLY: Final = "AdminOnlyEndpointError"
INVALID_BATCH: Final = "InvalidBatchError"
INVALID_COLLECTION: Final = "InvalidCollectionNameError"
INVALID_EVENT: Final = "InvalidEventError"
INVALID_JSON: Final = "InvalidJSONError"
INVALID_KEEN: Final = "InvalidKeenNamespaceProperty"
INVALID_PARAMETER: Final = "InvalidParameterError"
INVALID_PROPERTY_NAME: Final = "InvalidPropertyNameError"
INVALID_PROPERTY_VALUE: Final = "InvalidPropertyValueError"
INVALID_TIMEFRAME: Final = "InvalidTimeframeError"
INVALID_GEO_FILTER: Final = "InvalidPropertyNameForGeoFilter"
KEEN_NOT_AN_OBJECT: Final = "NamespaceTypeError"
MISSING_PARAMETER: Final = "MissingParameterError"
DUPLICATE_EVENT: Final = "DuplicateEventError"
TOO_LARGE: Final = "RequestTooLargeError"
UNSUPPORTED_ENCODING: Final = "UnsupportedContentEncodingError"
RATE_LIMITED: Final = "RateLimitedError"
METHOD_NOT_ALLOWED: Final = "MethodNotAllowedError"
INTERNAL: Final = "InternalServerError"


class Refusal(Exception):  # noqa: N818 - it is a reply, not a failure of the server
    """The request, or one event of it, is answered with an error; nothing of it was stored.

    ``status`` is the HTTP status of the whole reply; a refused event of a bulk
    write uses only ``error_code`` and ``message``. ``headers`` are added to the reply.
    """

    def __init__(
        self, status: int, error_code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error_code = error_code
        self.message = message
        self.headers = dict(headers or {})


def bad_request(error_code: str, message: str) -> Refusal:
    """A 400 with *error_code*."""
    return Refusal(400, error_code, message)


def not_found(message: str = "Resource not found") -> Refusal:
    """A 404 for an unknown project, collection or route."""
    return Refusal(404, NOT_FOUND, message)


def method_not_allowed(allowed: Iterable[str]) -> Refusal:
    """A 405 for a path that answers only the methods *allowed*."""
    names = set(allowed)
    if "GET" in names:
        names.add("HEAD")
    text = ", ".join(sorted(names))
    return Refusal(405, METHOD_NOT_ALLOWED, f"The method is not allowed here; {text} are.", {"allow": text})
