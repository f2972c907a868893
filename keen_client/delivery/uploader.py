"""What delivery asks of the network: one attempt at one bulk request."""

from __future__ import annotations

from typing import Protocol

from keen_client.transport.message import Response


class Uploader(Protocol):
    """Sends a bulk body once. Safe from any thread."""

    def upload(self, body: bytes, within_seconds: float | None = None) -> Response:
        """Make exactly one attempt, within *within_seconds* where given; the answer as it came, whatever its status.

        Raises:
            NotSentError: nothing reached the server.
            OutcomeUnknownError: it may have, and no whole answer came.
            InvalidEnvironmentError: there is no write key; nothing was sent.
        """
