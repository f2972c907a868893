"""A network that is not to be trusted: proxies of the tests, in front of a real server, troubled on command.

:class:`HostileProxy` reads whole requests and lets the bulk writes among them
meet a trouble; :class:`Tunnel` passes bytes on without reading them, as in front
of TLS. Both listen on loopback, and keep their port when they turn honest.
"""

from __future__ import annotations

import contextlib
import json
import random
import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import attrs

_JSON: Final = "application/json"
#: How long the proxies' own sockets wait: nothing of a test hangs longer.
_WAIT_SECONDS: Final = 20.0


class Exchange:
    """One request that is through, and what may be done with it and its connection."""

    def __init__(self, near: socket.socket, request: bytes, far: tuple[str, int]) -> None:
        self._near = near
        self._request = request
        self._far = far

    def store(self) -> tuple[int, bytes]:
        """Hand the request to the server; its status and its body."""
        with socket.create_connection(self._far, timeout=_WAIT_SECONDS) as server:
            head, _, body = self._request.partition(b"\r\n\r\n")
            server.sendall(head + b"\r\nConnection: close\r\n\r\n" + body)
            answer = b"".join(iter(lambda: server.recv(65_536), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split(b" ", 2)[1]), body

    def say(self, raw: bytes) -> None:
        """Bytes to the client, whatever they are."""
        self._near.sendall(raw)

    def answer(self, status: int, body: bytes, *, length: int | None = None, more: str = "") -> None:
        """An HTTP answer whose Content-Length may lie."""
        size = len(body) if length is None else length
        head = f"HTTP/1.1 {status} Of the proxy\r\nContent-Type: {_JSON}\r\nContent-Length: {size}\r\n{more}"
        self.say(head.encode() + b"Connection: close\r\n\r\n" + body)

    def reset(self) -> None:
        """End the connection by a TCP reset, so that nothing is polite about it."""
        reset(self._near)


Trouble = Callable[[Exchange], None]


def reset(connection: socket.socket) -> None:
    """Close *connection* by a TCP reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class _Listener:
    """Listens on a port of its own, with a thread for each connection."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: Final[int] = self._listening.getsockname()[1]
        #: Connections that were made.
        self.connections = 0
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._accepting.join()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:  # closed: the test is over
                return
            self.connections += 1
            thread = threading.Thread(target=self._attend, args=(near,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _attend(self, near: socket.socket) -> None:
        near.settimeout(_WAIT_SECONDS)
        self._open.add(near)
        # Whoever hangs up first, the other side meets an OSError: that is the trouble, not a failure.
        with contextlib.suppress(OSError), near:
            self._serve(near)
        self._open.discard(near)

    def _serve(self, near: socket.socket) -> None:
        """What this listener does with a connection: hang up."""


class Silent(_Listener):
    """Another host: it should never hear of anybody."""

    @property
    def url(self) -> str:
        """A place that a redirect can lead to."""
        return f"http://127.0.0.1:{self.port}"


class HostileProxy(_Listener):
    """A proxy that reads HTTP. Bulk writes meet ``trouble`` while there is one; the rest passes."""

    def __init__(self, server_url: str) -> None:
        super().__init__()
        parts = urlsplit(server_url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._far = (parts.hostname, parts.port)
        #: What bulk writes meet; None: the proxy is honest.
        self.trouble: Trouble | None = None
        #: What reads meet.
        self.read_trouble: Trouble | None = None
        #: Bytes of a bulk write after which the line is cut, before it is through; None: it gets through.
        self.cut_after: int | None = None
        #: Bulk writes that met a trouble.
        self.troubled = 0

    @property
    def url(self) -> str:
        """The base URL to give to a client."""
        return f"http://127.0.0.1:{self.port}"

    def turn_honest(self) -> None:
        """From now on everything passes as it is."""
        self.trouble = self.read_trouble = self.cut_after = None

    def _serve(self, near: socket.socket) -> None:
        with near.makefile("rb") as stream:
            head = bytearray()
            while not head.endswith(b"\r\n\r\n"):
                line = stream.readline()
                if not line:
                    return
                head += line
            lines = bytes(head).decode("latin-1").split("\r\n")
            is_write = lines[0].startswith("POST ") and lines[0].split()[1].endswith("/events")
            size = next((int(line[15:]) for line in lines if line.lower().startswith("content-length:")), 0)
            if is_write and self.cut_after is not None:
                self.troubled += 1
                stream.read(min(self.cut_after, size - 1))
                reset(near)
                return
            body = stream.read(size)
        kept = [line for line in lines[:-2] if not line.lower().startswith("connection:")]
        exchange = Exchange(near, "\r\n".join(kept).encode("latin-1") + b"\r\n\r\n" + body, self._far)
        trouble = self.trouble if is_write else self.read_trouble
        if trouble is None:
            exchange.answer(*exchange.store())
        else:
            self.troubled += is_write
            trouble(exchange)


class Tunnel(_Listener):
    """Passes bytes to a port, or breaks the handshake. ``leads_to`` None: it answers with ``says`` and hangs up."""

    def __init__(self) -> None:
        super().__init__()
        self.leads_to: int | None = None
        self.says = b""

    def _serve(self, near: socket.socket) -> None:
        if self.leads_to is None:
            near.recv(65_536)
            near.sendall(self.says)
            return
        with socket.create_connection(("127.0.0.1", self.leads_to), timeout=_WAIT_SECONDS) as far:
            back = threading.Thread(target=_pour, args=(far, near), daemon=True)
            back.start()
            _pour(near, far)
            back.join()


def _pour(source: socket.socket, target: socket.socket) -> None:
    """Pass bytes on until one of the two is closed."""
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


# ---- troubles: what a hostile proxy may do with a request that is through -------------------


def vanish(exchange: Exchange) -> None:
    """Cut the line: nothing was stored, and nobody can know."""
    exchange.reset()


def store_and_reset(exchange: Exchange) -> None:
    """Store, then reset the line before a byte of the answer."""
    exchange.store()
    exchange.reset()


def store_and_cut_the_head(exchange: Exchange) -> None:
    """Store, then end in the middle of the answer's headers."""
    exchange.store()
    exchange.say(b"HTTP/1.1 200 OK\r\nContent-Ty")


def store_and_cut_the_body(exchange: Exchange) -> None:
    """Half a body under the Content-Length of the whole: HTTP shows the cut."""
    status, body = exchange.store()
    exchange.answer(status, body[: len(body) // 2], length=len(body))


def store_and_shorten(exchange: Exchange) -> None:
    """Half a body under a Content-Length that fits: only the JSON shows the cut."""
    status, body = exchange.store()
    exchange.answer(status, body[: len(body) // 2])


def store_twice(exchange: Exchange) -> None:
    """Send the same POST twice, as an eager load balancer does, and pass the second answer on."""
    exchange.store()
    exchange.answer(*exchange.store())


def store_and_trickle(exchange: Exchange) -> None:
    """The true answer, a byte at a time."""
    status, body = exchange.store()
    exchange.say(b"HTTP/1.1 %d OK\r\nContent-Length: %d\r\n\r\n" % (status, len(body)))
    for byte in body:
        exchange.say(bytes([byte]))


def store_and_trickle_a_part(exchange: Exchange) -> None:
    """The true answer a byte at a time, and silence before its end."""
    status, body = exchange.store()
    exchange.say(b"HTTP/1.1 %d OK\r\nContent-Length: %d\r\n\r\n" % (status, len(body)))
    for byte in body[: len(body) // 2]:
        exchange.say(bytes([byte]))
    threading.Event().wait(1.0)


def store_and_say_error(exchange: Exchange) -> None:
    """Store, and answer 200 with an error in the body."""
    exchange.store()
    exchange.answer(200, b'{"error_code":"InternalServerError","message":"no"}')


def say_error(exchange: Exchange) -> None:
    """Store nothing, and answer 200 with an error in the body."""
    exchange.answer(200, b'{"error_code":"InternalServerError","message":"no"}')


def garbage(seed: int, *, stores: bool) -> Trouble:
    """Bytes of chance instead of HTTP."""

    def trouble(exchange: Exchange) -> None:
        if stores:
            exchange.store()
        exchange.say(random.Random(seed).randbytes(400))

    return trouble


def delayed(seconds: float) -> Trouble:
    """Let the request wait before it passes."""

    def trouble(exchange: Exchange) -> None:
        threading.Event().wait(seconds)
        exchange.answer(*exchange.store())

    return trouble


class Held:
    """Keep each request back, say nothing, and hand them to the server when asked to, long after the client left."""

    def __init__(self) -> None:
        self._exchanges: list[Exchange] = []

    def __call__(self, exchange: Exchange) -> None:
        """Take one."""
        self._exchanges.append(exchange)

    def deliver(self) -> list[int]:
        """Hand them over; the server's statuses."""
        return [exchange.store()[0] for exchange in self._exchanges]


def redirect(status: int, url: str) -> Trouble:
    """Send the client elsewhere, with everything that it carries."""

    def trouble(exchange: Exchange) -> None:
        exchange.answer(status, b"", more=f"Location: {url}/3.0/projects/p/events\r\n")

    return trouble


def rewritten(change: Callable[[dict[str, list[Any]]], Any]) -> Trouble:
    """Store, and change the results on their way back."""

    def trouble(exchange: Exchange) -> None:
        status, body = exchange.store()
        exchange.answer(status, json.dumps(change(json.loads(body))).encode())

    return trouble


@attrs.define
class Storm:
    """Each request meets a trouble of chance, the same for the same seed."""

    chance: random.Random
    troubles: tuple[Trouble, ...]

    def __call__(self, exchange: Exchange) -> None:
        """Draw, and let it happen."""
        self.chance.choice(self.troubles)(exchange)
