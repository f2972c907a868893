"""What the floors above ask of a transport, sync and async."""

from __future__ import annotations

from typing import Protocol

from keen_client.transport.message import Request, Response


class Transport(Protocol):
    """Carries requests, each exactly once. Safe from any thread."""

    def send(self, request: Request) -> Response:
        """Make one attempt, never a second, never after a redirect.

        Returns:
            The answer, whatever its status: a redirect and an error are answers too.

        Raises:
            NotSentError: The request surely never reached the server. Nothing was stored there.
            OutcomeUnknownError: It may have reached the server, and no whole answer came back.
            ClientClosedError: After :meth:`close`. Nothing was sent.
        """

    def close(self) -> None:
        """Let go of the connections that this transport opened itself. May be called again."""


class AsyncTransport(Protocol):
    """The async twin of :class:`Transport`; for one event loop at a time."""

    async def send(self, request: Request) -> Response:
        """See :meth:`Transport.send`. After a cancellation the outcome is unknown."""

    async def close(self) -> None:
        """See :meth:`Transport.close`."""
