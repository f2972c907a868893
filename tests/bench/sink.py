"""A loopback sink that answers bulk writes as Keen does and keeps nothing; in a process of its own."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from types import TracebackType

COLLECTION = "purchases"
_MARK = b'"kc":{"v":'


class Sink:
    """Runs the sink: ``with Sink() as url``."""

    def __enter__(self) -> str:
        self._process = subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        return f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.communicate()


class _Connection(asyncio.Protocol):
    """Reads one request after the other; each event is answered with success."""

    answers: dict[int, bytes] = {}  # noqa: RUF012 — a cache of all connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._received = bytearray()
        self._end: int | None = None

    def data_received(self, data: bytes) -> None:
        self._received += data
        while True:
            if self._end is None:
                head_end = self._received.find(b"\r\n\r\n")
                if head_end < 0:
                    return
                head = bytes(self._received[:head_end]).lower()
                length = head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0]
                self._end = head_end + 4 + int(length)
            if len(self._received) < self._end:
                return
            events = self._received.count(_MARK, 0, self._end)
            del self._received[: self._end]
            self._end = None
            self._transport.write(self._answer(events))  # type: ignore[attr-defined]

    def _answer(self, events: int) -> bytes:
        known = self.answers.get(events)
        if known is None:
            body = json.dumps({COLLECTION: [{"success": True}] * events}, separators=(",", ":")).encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            known = self.answers[events] = head.encode() + body
        return known


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve())
