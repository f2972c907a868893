"""A server of raw bytes on loopback: what it answers, and how it breaks off, is scripted."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest

from keen_client._foundation.clock import SystemClock

#: Called for each connection after one whole request has been read: (socket, request bytes).
Script = Callable[[socket.socket, bytes], None]


class RawServer:
    """Reads one request per connection and lets the script answer."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests: list[bytes] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # closed
                return
            with connection, contextlib.suppress(OSError):
                request = _read_request(connection)
                self.requests.append(request)
                self._script(connection, request)

    def close(self) -> None:
        """Stop accepting and wait for the thread."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)


def _read_request(connection: socket.socket) -> bytes:
    text = b""
    while b"\r\n\r\n" not in text:
        chunk = connection.recv(65536)
        if not chunk:
            return text
        text += chunk
        if text.startswith(b"\x16"):  # a TLS handshake: answered as if it were a request
            return text
    head, _, body = text.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def answer(body: bytes, head: str = "200 OK", *lines: str) -> Script:
    """A whole answer."""
    headers = "".join(f"{line}\r\n" for line in (*lines, f"Content-Length: {len(body)}", "Connection: close"))

    def script(connection: socket.socket, request: bytes) -> None:
        connection.sendall(f"HTTP/1.1 {head}\r\n{headers}\r\n".encode() + body)

    return script


def reset(connection: socket.socket, request: bytes) -> None:
    """Break the connection with a TCP reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def hang_up(connection: socket.socket, request: bytes) -> None:
    """Close without a word."""


def half(connection: socket.socket, request: bytes) -> None:
    """Announce more than is sent."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")


def garbage(connection: socket.socket, request: bytes) -> None:
    """Speak something that is not HTTP."""
    connection.sendall(b"SSH-2.0-OpenSSH\r\n\r\n")


def bad_gzip(connection: socket.socket, request: bytes) -> None:
    """Announce gzip and send something else."""
    answer(b"not gzip", "200 OK", "Content-Encoding: gzip")(connection, request)


def silent(connection: socket.socket, request: bytes) -> None:
    """Say nothing until the other side goes."""
    connection.recv(1)


def without_end(*pieces: bytes) -> Script:
    """The first pieces, and the last one again and again, until the other side goes."""

    def script(connection: socket.socket, request: bytes) -> None:
        for piece in pieces[:-1]:
            connection.sendall(piece)
        while True:
            connection.sendall(pieces[-1])
            SystemClock().sleep(0.005)

    return script


def twice_and_then_trickle(connection: socket.socket, request: bytes) -> None:
    """Answer two requests of one connection, and begin to answer the third."""
    for _ in range(2):
        connection.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}")
        _read_request(connection)
    without_end(b"HTTP/1.1 201 Created\r\nX: ", b"x")(connection, request)


#: The header of a gzip file that bears a name: its bytes go on to the first that is 0.
GZIP_NAME = b"\x1f\x8b\x08\x08\0\0\0\0\0\xff"
OK = b"HTTP/1.1 200 OK\r\n"
SCRIPTS: dict[str, Script] = {
    "ok": answer(b'{"created": true}', "201 Created", "Content-Type: application/json"),
    "redirect": answer(b"", "302 Found", "Location: http://127.0.0.1:1/elsewhere?api_key=x"),
    "reset": reset,
    "hang_up": hang_up,
    "half": half,
    "garbage": garbage,
    "bad_gzip": bad_gzip,
    "silent": silent,
    "trickled_head": without_end(OK + b"X: ", b"x"),
    "trickled_body": without_end(OK + b"Content-Length: 1000000\r\n\r\n", b" "),
    "trickled_gzip": without_end(
        OK + b"Content-Encoding: gzip\r\nContent-Length: 1000000\r\n\r\n" + GZIP_NAME, b"n"
    ),
    "interim_without_end": without_end(b"HTTP/1.1 102 Processing\r\n\r\n"),
    "twice_and_then_trickle": twice_and_then_trickle,
    "refuse_tunnel": answer(b"", "403 Forbidden"),
}


@pytest.fixture
def raw_server() -> Iterator[Callable[[str], RawServer]]:
    """Start a server by the name of its script; stopped after the test."""
    servers: list[RawServer] = []

    def start(name: str) -> RawServer:
        servers.append(RawServer(SCRIPTS[name]))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def refused_url() -> str:
    """A loopback address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"
