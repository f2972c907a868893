"""HTTP/1.1 as this server speaks it: a connection can be cut, and an overlong body is not read for ever."""

from __future__ import annotations

import asyncio
from typing import Final

import h11
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from keen_client.server.reply import CUT_EXTENSION

#: A client that goes on sending after its answer is listened to for so long, as most read the answer
#: only when they have sent everything. Then the connection is closed.
MAX_DRAINED_BYTES: Final = 16 * 1024 * 1024


class LocalProtocol(H11Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Offer the cut to the application, through the scope's extensions."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self._drained_bytes = 0
        inner: ASGIApp = self.app
        abort = transport.abort  # type: ignore[attr-defined]

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            extensions = {**scope.get("extensions", {}), CUT_EXTENSION: abort}
            await inner({**scope, "extensions": extensions}, receive, send)

        self.app = app

    def data_received(self, data: bytes) -> None:
        """Hand *data* on; what belongs to a request that is answered already is thrown away, up to a bound."""
        if not self._is_draining():
            super().data_received(data)
            return
        self._drained_bytes += len(data)
        if self._drained_bytes > MAX_DRAINED_BYTES:
            self.transport.close()
            return
        # Not by way of the parent class: it would stop the clock that closes an idle connection, and
        # a client that sends a byte now and then would keep this one for ever.
        self.conn.receive_data(data)
        self.handle_events()
        if not self._is_draining():
            self._drained_bytes = 0

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP; where the answer is under way or out already, only the connection is closed."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()

    def _is_draining(self) -> bool:
        """Whether the request was answered, and its body is still coming."""
        answered = self.cycle is not None and self.cycle.response_complete
        return answered and self.conn.their_state is h11.SEND_BODY
