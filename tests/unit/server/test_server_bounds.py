"""What a request may be at most: bodies, encodings, nesting, methods; over real connections where it matters."""

from __future__ import annotations

import gzip
import socket
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, Final

import httpx
import orjson
import pytest

from keen_client.server import LocalServer
from keen_client.server.ingest import MAX_BODY_BYTES, MAX_DEPTH, MAX_EVENT_BYTES
from keen_client.server.json_input import MAX_NESTING, is_deeper
from keen_client.server.protocol import MAX_DRAINED_BYTES

if TYPE_CHECKING:
    from tests.unit.server.conftest import Desk

MEBIBYTE: Final = 1024 * 1024


def _refusal(reply: httpx.Response) -> tuple[int, str]:
    assert reply.json()["message"]
    return reply.status_code, reply.json()["error_code"]


@pytest.fixture(scope="module")
def running() -> Iterator[LocalServer]:
    """A server that listens."""
    with LocalServer() as server:
        yield server


def _head(server: LocalServer, *headers: str, method: str = "POST", path: str = "/events") -> bytes:
    lines = [
        f"{method} /3.0/projects/{server.project_id}{path} HTTP/1.1",
        "Host: local",
        f"Authorization: {server.write_key}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def _connect(server: LocalServer) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def _sent_until_hung_up(line: socket.socket, most: int) -> int:
    """How many mebibytes were sent before the other end hung up; *most* where it did not."""
    for sent in range(most):
        try:
            line.sendall(b" " * MEBIBYTE)
        except ConnectionError:
            return sent
    return most


def _answer(line: socket.socket) -> bytes:
    """The first answer on *line*, whole."""
    text = b""
    while b"\r\n\r\n" not in text:
        received = line.recv(65_536)
        assert received, "the connection ended without an answer"
        text += received
    head, _, body = text.partition(b"\r\n\r\n")
    length = next(int(row.split(b":")[1]) for row in head.split(b"\r\n") if row.startswith(b"content-length"))
    while len(body) < length:
        body += line.recv(65_536)
    return head + b"\r\n\r\n" + body[:length]


def test_an_announced_length_over_the_limit_is_answered_before_any_of_it_is_sent(
    running: LocalServer,
) -> None:
    """413 on the headers alone; nothing of a body of a terabyte has to travel."""
    with _connect(running) as line:
        line.sendall(_head(running, "Content-Length: 1000000000000"))
        answer = _answer(line)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert orjson.loads(answer.partition(b"\r\n\r\n")[2])["error_code"] == "RequestTooLargeError"


def test_a_client_that_waits_for_leave_to_send_gets_the_answer_instead(running: LocalServer) -> None:
    """With ``Expect: 100-continue`` there is no 100 for a body that is too large."""
    with _connect(running) as line:
        line.sendall(_head(running, f"Content-Length: {MAX_BODY_BYTES + 1}", "Expect: 100-continue"))
        assert _answer(line).startswith(b"HTTP/1.1 413 ")


def test_an_unannounced_body_is_answered_once_it_is_too_long(running: LocalServer) -> None:
    """A chunked body that goes on gets its 413 while it is still being sent."""
    chunk = b"100000\r\n" + b" " * MEBIBYTE + b"\r\n"
    with _connect(running) as line:
        line.sendall(_head(running, "Transfer-Encoding: chunked"))
        for _ in range(MAX_BODY_BYTES // MEBIBYTE + 1):
            line.sendall(chunk)
        assert _answer(line).startswith(b"HTTP/1.1 413 ")


def test_after_the_answer_only_so_much_more_is_listened_to(running: LocalServer) -> None:
    """A client that sends on for ever is hung up on; the server goes on serving others."""
    with _connect(running) as line:
        line.sendall(_head(running, "Content-Length: 1000000000000"))
        _answer(line)
        # What the two ends of the line hold between them is on top of what is listened to.
        most = MAX_DRAINED_BYTES // MEBIBYTE + 64
        sent = _sent_until_hung_up(line, most)
    assert MAX_DRAINED_BYTES // MEBIBYTE <= sent < most
    reply = httpx.get(f"{running.url}/3.0", headers={"Authorization": running.master_key})
    assert reply.status_code == 200


def test_a_client_that_sends_everything_first_hears_the_answer_and_keeps_its_connection(
    running: LocalServer,
) -> None:
    """A body somewhat over the limit is thrown away after the answer, and the next request is answered."""
    body = b"[" + b" " * (MAX_BODY_BYTES + MEBIBYTE)
    with _connect(running) as line:
        for _ in range(2):
            line.sendall(_head(running, f"Content-Length: {len(body)}") + body)
            assert _answer(line).startswith(b"HTTP/1.1 413 ")
        event = b"{}"
        line.sendall(_head(running, f"Content-Length: {len(event)}", path="/events/kept") + event)
        assert _answer(line).startswith(b"HTTP/1.1 201 ")


def test_the_limits_are_to_the_byte(desk: Desk) -> None:
    """A body and an event of exactly the limit are taken, one byte more is not."""
    for path, limit in (("/events", MAX_BODY_BYTES), ("/events/c", MAX_EVENT_BYTES)):
        start = b'{"c":[]' if path == "/events" else b"{"
        body = start + b" " * (limit - len(start) - 1) + b"}"
        assert desk.call("POST", path, content=body).status_code in (200, 201)
        assert _refusal(desk.call("POST", path, content=body + b" ")) == (413, "RequestTooLargeError")


def test_every_body_is_bounded(desk: Desk) -> None:
    """Not only writes: queries, definitions, keys and faults too."""

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * MEBIBYTE

    for method, path in (
        ("POST", "/queries/count"),
        ("POST", "/keys"),
        ("PUT", "/queries/saved/s"),
        ("PUT", "/datasets/d"),
        ("PUT", "/events/c"),
        ("POST", "/_control/faults"),
    ):
        reply = desk.call(method, path, headers={"Content-Length": str(MAX_BODY_BYTES + 1)}, content=b"{}")
        assert _refusal(reply) == (413, "RequestTooLargeError"), path
        endlessly = {"Content-Length": "9" * 5_000}
        assert _refusal(desk.call(method, path, headers=endlessly, content=b"{}"))[0] == 413
        assert _refusal(desk.call(method, path, content=endless())) == (413, "RequestTooLargeError"), path


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "GZIP", "gzip, gzip", "x" * 300])
def test_compressed_bodies_are_refused_unread(desk: Desk, encoding: str) -> None:
    """415, so that no small body becomes a large one; and nothing is stored."""
    body = gzip.compress(b'{"c":[{}]}')
    reply = desk.call("POST", "/events", content=body, headers={"Content-Encoding": encoding})
    assert _refusal(reply) == (415, "UnsupportedContentEncodingError")
    assert desk.call("GET", "/events").json() == []


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/events"), ("POST", "/events/c"), ("PUT", "/events/c")]
)
def test_of_a_compressed_body_not_a_byte_is_read(desk: Desk, method: str, path: str) -> None:
    """However long it would be, packed or unpacked: the answer is there before the first piece is asked for."""
    read = []

    async def pieces() -> AsyncIterator[bytes]:
        while True:
            read.append(1)
            yield gzip.compress(b" " * 1_000_000)

    reply = desk.call(method, path, content=pieces(), headers={"Content-Encoding": "gzip"})
    assert _refusal(reply) == (415, "UnsupportedContentEncodingError")
    assert read == []


def test_an_encoding_that_changes_nothing_is_taken(desk: Desk) -> None:
    """``identity`` is no encoding."""
    assert (
        desk.call("POST", "/events/c", json={}, headers={"Content-Encoding": "identity"}).status_code == 201
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"a":1,}',
        b"{'a':1}",
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":1e999}',
        b'{"a":"\\ud800"}',
        b'{"a":"\xff"}',
        b"\xef\xbb\xbf{}",
        b"\x00",
        b"[" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"a":' + b"9" * 400 + b"}",
    ],
    ids=lambda body: repr(body[:24]),
)
def test_what_is_no_json_is_400_everywhere(desk: Desk, body: bytes) -> None:
    """Broken JSON, JSON of no encoding, numbers that are none, and depth without end."""
    for method, path in (
        ("POST", "/events"),
        ("POST", "/events/c"),
        ("POST", "/queries/count"),
        ("POST", "/queries/funnel"),
        ("POST", "/keys"),
        ("PUT", "/queries/saved/s"),
        ("PUT", "/datasets/d"),
        ("POST", "/_control/faults"),
    ):
        assert _refusal(desk.call(method, path, content=body)) == (400, "InvalidJSONError"), path


def _nested(levels: int) -> Any:
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


def test_events_are_nested_only_so_deep(desk: Desk) -> None:
    """What the limit allows is stored and read back whole; one level more is refused, alone and in a batch."""
    deepest = {"a": _nested(MAX_DEPTH - 1)}
    desk.write(deepest)
    assert desk.events() == [deepest]
    deeper = orjson.loads(b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1))
    # The encoder of the test bears no more than the server's.
    body = b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1)
    assert is_deeper(deeper, MAX_DEPTH)
    assert _refusal(desk.call("POST", "/events/c", content=body)) == (400, "InvalidPropertyValueError")
    batch = desk.call("POST", "/events", content=b'{"c":[{"b":1},' + body + b"]}").json()["c"]
    assert [event["success"] for event in batch] == [True, False]
    for limit in (100, 500, 900):
        body = b'{"a":[' * limit + b"1" + b"]}" * limit
        assert desk.call("POST", "/events/c", content=body).status_code in (201, 400)


@pytest.mark.parametrize(
    "name", ["filters", "timeframe", "group_by", "timezone", "interval", "order_by", "limit"]
)
def test_parameters_are_nested_only_so_deep(desk: Desk, name: str) -> None:
    """A parameter that nests deeper than is walked through is a 400, by POST and by GET."""
    desk.write({"a": 1})
    text = orjson.dumps(_nested(MAX_NESTING + 1))
    given = {"event_collection": "c", "timeframe": "today", "group_by": "a"}
    body = orjson.dumps(given)[:-1] + b',"' + name.encode() + b'":' + text + b"}"
    assert desk.call("POST", "/queries/count", content=body).status_code == 400
    reply = desk.call("GET", "/queries/count", params={**given, name: text.decode()})
    assert reply.status_code == 400


def test_depth_is_counted_in_objects_and_lists() -> None:
    """A scalar has no level, an empty list has one."""
    assert not is_deeper(1, 0)
    assert is_deeper([], 0)
    assert not is_deeper(_nested(7), 7)
    assert is_deeper(_nested(8), 7)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/3.0",
        "/3.0/projects",
        "",
        "/events",
        "/events/c",
        "/events/c/properties/a",
        "/queries",
        "/queries/count?event_collection=c&timeframe=today",
        "/queries/saved",
        "/datasets",
        "/keys",
        "/_control/faults",
    ],
)
def test_head_answers_as_get_does(desk: Desk, path: str) -> None:
    """The same status and the same headers for everything that is read."""
    desk.write({"a": 1})
    got, head = desk.call("GET", path), desk.call("HEAD", path)
    assert got.status_code == head.status_code == 200
    assert got.headers == head.headers


def test_head_has_no_body_on_the_line(running: LocalServer) -> None:
    """After the headers comes the next answer."""
    key = f"Authorization: {running.master_key}"
    with _connect(running) as line:
        line.sendall(
            _head(running, key, method="HEAD", path="/keys").replace(
                f"Authorization: {running.write_key}\r\n".encode(), b""
            )
        )
        text = b""
        while b"\r\n\r\n" not in text:
            text += line.recv(65_536)
        assert text.startswith(b"HTTP/1.1 200 ")
        assert text.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "TRACE", "CONNECT", "BREW", "POST", "DELETE", "GET"])
@pytest.mark.parametrize(
    "path", ["/events", "/queries/count", "/queries/saved/s", "/datasets/d", "/keys", "/keys/k/revoke"]
)
def test_a_method_that_a_path_does_not_answer_is_405_and_says_which_are(
    desk: Desk, method: str, path: str
) -> None:
    """The error is Keen's JSON, and ``Allow`` names what would have been answered: that, and nothing else, is."""
    reply = desk.call(method, path)
    if reply.status_code == 405:
        assert _refusal(reply) == (405, "MethodNotAllowedError")
        allowed = reply.headers["allow"].split(", ")
        assert method not in allowed
        assert all(desk.call(other, path).status_code != 405 for other in allowed)
    else:
        assert method in ("GET", "POST", "PUT", "DELETE")


@pytest.mark.parametrize(
    "path",
    [
        "/3.0/projects/other/events",
        "/3.0/nothing",
        "/nothing",
        "/events/",
        "/keys/k/nothing",
        "/queries/saved/s/nothing",
        "/_control/nothing",
        "//",
        "/2.0",
    ],
)
def test_a_path_that_is_none_is_404(desk: Desk, path: str) -> None:
    """Whatever the method; without a key too."""
    url = path if path.startswith(("/3.0", "/_", "/nothing", "//", "/2.0")) else desk.url(path)
    for method in ("PATCH", "BREW"):
        reply = desk.call(method, f"http://local{url}", key="")
        assert reply.status_code in (404, 405)
        assert reply.json().keys() == {"message", "error_code"}
