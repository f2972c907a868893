"""Floor 2: one attempt at one HTTP request, and what its failure says about the data.

Nothing here knows collections or queries. A transport carries a
:class:`~keen_client.transport.message.Request` once and returns the answer,
whatever its status, or raises one of exactly two errors: *surely never
reached the server*, or *may have been acted on*. The whole of delivery rests
on that line being drawn honestly. Only ``httpx_transport`` imports httpx.
"""

from __future__ import annotations

from keen_client.transport.base_url import DEFAULT_BASE_URL, normalise_base_url
from keen_client.transport.httpx_transport import (
    AsyncHttpClient,
    AsyncHttpxTransport,
    HttpClient,
    HttpxTransport,
    Timeouts,
)
from keen_client.transport.message import Kind, Request, Response
from keen_client.transport.protocol import AsyncTransport, Transport
from keen_client.transport.retry import RetryPolicy
from keen_client.transport.secret import Secret

__all__ = [
    "DEFAULT_BASE_URL",
    "AsyncHttpClient",
    "AsyncHttpxTransport",
    "AsyncTransport",
    "HttpClient",
    "HttpxTransport",
    "Kind",
    "Request",
    "Response",
    "RetryPolicy",
    "Secret",
    "Timeouts",
    "Transport",
    "normalise_base_url",
]
