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
    from keen_client.api.access_key import AccessKey
    from keen_client.api.cached_datasets import Dataset, DatasetPage, DatasetResults
    from keen_client.api.collection import CollectionSchema, PropertySchema
    from keen_client.api.discovery import ApiVersion, ProjectInfo
    from keen_client.api.saved_queries import SavedQuery, SavedQueryResult
    from keen_client.client.async_client import AsyncKeenClient
    from keen_client.client.log_view import LoggedEvent, LogView, WindowTotal
    from keen_client.client.receipt import Receipt
    from keen_client.client.sync_client import KeenClient
    from keen_client.delivery.config import DeliveryConfig
    from keen_client.delivery.courier import FlushReport
    from keen_client.eventlog.config import LogConfig
    from keen_client.eventlog.deletions import Deletion
    from keen_client.eventlog.outbox import Backlog
    from keen_client.events.identity import EntryId
    from keen_client.replay.night import NightReport
    from keen_client.replay.plan import ReplayReport
    from keen_client.results.query_result import QueryResult
    from keen_client.verify.report import VerifyReport, WindowReport
    from keen_client.verify.verdict import Verdict

__version__ = "0.1.0"

__all__ = [
    "AccessKey",
    "ApiError",
    "ApiVersion",
    "AsyncKeenClient",
    "AuthenticationError",
    "Backlog",
    "BatchTooLargeError",
    "ClientClosedError",
    "CollectionSchema",
    "ConfigurationError",
    "Dataset",
    "DatasetPage",
    "DatasetResults",
    "Deletion",
    "DeliveryConfig",
    "EntryId",
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
    "LogView",
    "LoggedEvent",
    "MissingExtraError",
    "NightReport",
    "NightlyLockedError",
    "NotFoundError",
    "NotSentError",
    "OutcomeUnknownError",
    "PaymentRequiredError",
    "ProjectInfo",
    "PropertySchema",
    "QueryResult",
    "RateLimitedError",
    "Receipt",
    "RecordOutcomeUnknownError",
    "ReplayReport",
    "RequestTooLargeError",
    "SavedQuery",
    "SavedQueryResult",
    "ServerError",
    "TransportError",
    "UnreadableResponseError",
    "UnsupportedPlatformError",
    "UsageError",
    "Verdict",
    "VerifyReport",
    "WindowReport",
    "WindowTotal",
]

#: Loaded at first use: the client brings the network library with it.
_LATE = {
    "AccessKey": "keen_client.api.access_key",
    "ApiVersion": "keen_client.api.discovery",
    "AsyncKeenClient": "keen_client.client.async_client",
    "Backlog": "keen_client.eventlog.outbox",
    "CollectionSchema": "keen_client.api.collection",
    "Dataset": "keen_client.api.cached_datasets",
    "DatasetPage": "keen_client.api.cached_datasets",
    "DatasetResults": "keen_client.api.cached_datasets",
    "Deletion": "keen_client.eventlog.deletions",
    "DeliveryConfig": "keen_client.delivery.config",
    "EntryId": "keen_client.events.identity",
    "FlushReport": "keen_client.delivery.courier",
    "KeenClient": "keen_client.client.sync_client",
    "LogConfig": "keen_client.eventlog.config",
    "LogView": "keen_client.client.log_view",
    "LoggedEvent": "keen_client.client.log_view",
    "NightReport": "keen_client.replay.night",
    "ProjectInfo": "keen_client.api.discovery",
    "PropertySchema": "keen_client.api.collection",
    "QueryResult": "keen_client.results.query_result",
    "Receipt": "keen_client.client.receipt",
    "ReplayReport": "keen_client.replay.plan",
    "SavedQuery": "keen_client.api.saved_queries",
    "SavedQueryResult": "keen_client.api.saved_queries",
    "Verdict": "keen_client.verify.verdict",
    "VerifyReport": "keen_client.verify.report",
    "WindowReport": "keen_client.verify.report",
    "WindowTotal": "keen_client.client.log_view",
}


if not _typing.TYPE_CHECKING:  # to a type checker it would say that every name is there

    def __getattr__(name: str) -> _typing.Any:
        module = _LATE.get(name)
        if module is None:
            raise AttributeError(f"module 'keen_client' has no attribute {name!r}")
        value = getattr(_import_module(module), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
