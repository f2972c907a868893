"""Floor 3: Keen's operations, pure request and parse, and what runs them.

An :class:`~keen_client.api.operation.Operation` builds a request and reads an
answer without I/O; the two executors, sync and async, are a loop of a few
lines around a transport. Writes and reads run over transports of their own,
so that neither waits for the other. Only reads are repeated here; what
becomes of a write that failed is for the delivery to decide.
"""

from __future__ import annotations

from keen_client.api.aio_executor import AioExecutor
from keen_client.api.answers import error_of, read_json
from keen_client.api.cost import Cost, ServerClock
from keen_client.api.executor import Executor
from keen_client.api.keen_api import AsyncKeenApi, KeenApi
from keen_client.api.operation import Operation
from keen_client.api.project import Project
from keen_client.api.query import RunAnalysis
from keen_client.api.steps import Steps
from keen_client.api.write import RecordEvent, UploadBatch

__all__ = [
    "AioExecutor",
    "AsyncKeenApi",
    "Cost",
    "Executor",
    "KeenApi",
    "Operation",
    "Project",
    "RecordEvent",
    "RunAnalysis",
    "ServerClock",
    "Steps",
    "UploadBatch",
    "error_of",
    "read_json",
]
