"""A Keen client that writes every event to a local log first, and proves that the server has it.

>>> from keen_client import KeenClient
>>> with KeenClient("project-id", "write-key") as keen:  # doctest: +SKIP
...     receipt = keen.add_event("purchases", {"item": "book", "price_cents": 1299})
"""

from __future__ import annotations

import typing as _typing
from importlib import import_module as _import_module

from keen_client.errors import (
    ApiError,
    AuthenticationError,
    BatchTooLargeError,
    ClientClosedError,
    ConfigurationError,
    EventLogBoundElsewhereError,
    EventLogBusyError,
    EventLogDamagedError,
    EventLogError,
    EventLogFullError,
    EventLogPermissionError,
    EventLogTooNewError,
    EventTooLargeError,
    ForbiddenError,
    InvalidCollectionNameError,
    InvalidEnvironmentError,
    InvalidEventError,
    InvalidQueryError,
    InvalidRequestError,
    KeenApiError,
    KeenError,
    MissingExtraError,
    NightlyLockedError,
    NotFoundError,
    NotSentError,
    OutcomeUnknownError,
    PaymentRequiredError,
    RateLimitedError,
    RecordOutcomeUnknownError,
    RequestTooLargeError,
    ServerError,
    TransportError,
    UnreadableResponseError,
    UnsupportedPlatformError,
    UsageError,
)

if _typing.TYPE_CHECKING:
    from keen_client.client.async_client import AsyncKeenClient
    from keen_client.client.receipt import Receipt
    from keen_client.client.sync_client import KeenClient
    from keen_client.delivery.config import DeliveryConfig
    from keen_client.delivery.courier import FlushReport
    from keen_client.eventlog.config import LogConfig

__version__ = "0.1.0"

__all__ = [
    "ApiError",
    "AsyncKeenClient",
    "AuthenticationError",
    "BatchTooLargeError",
    "ClientClosedError",
    "ConfigurationError",
    "DeliveryConfig",
    "EventLogBoundElsewhereError",
    "EventLogBusyError",
    "EventLogDamagedError",
    "EventLogError",
    "EventLogFullError",
    "EventLogPermissionError",
    "EventLogTooNewError",
    "EventTooLargeError",
    "FlushReport",
    "ForbiddenError",
    "InvalidCollectionNameError",
    "InvalidEnvironmentError",
    "InvalidEventError",
    "InvalidQueryError",
    "InvalidRequestError",
    "KeenApiError",
    "KeenClient",
    "KeenError",
    "LogConfig",
    "MissingExtraError",
    "NightlyLockedError",
    "NotFoundError",
    "NotSentError",
    "OutcomeUnknownError",
    "PaymentRequiredError",
    "RateLimitedError",
    "Receipt",
    "RecordOutcomeUnknownError",
    "RequestTooLargeError",
    "ServerError",
    "TransportError",
    "UnreadableResponseError",
    "UnsupportedPlatformError",
    "UsageError",
]

#: Loaded at first use: the client brings the network library with it.
_LATE = {
    "AsyncKeenClient": "keen_client.client.async_client",
    "DeliveryConfig": "keen_client.delivery.config",
    "FlushReport": "keen_client.delivery.courier",
    "KeenClient": "keen_client.client.sync_client",
    "LogConfig": "keen_client.eventlog.config",
    "Receipt": "keen_client.client.receipt",
}


def __getattr__(name: str) -> _typing.Any:
    module = _LATE.get(name)
    if module is None:
        raise AttributeError(f"module 'keen_client' has no attribute {name!r}")
    value = getattr(_import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
