"""A loopback server that takes events in the words of each peer, counts them and their copies, and fails as it is told.

It keeps apart what the peers differ in: where a request goes, where its events
and their ids stand in it, and what a server answers when it takes all of them
or refuses one. Only what was answered with success counts as arrived, but for
the one answer that is lost on purpose. Run as a process of its own.
"""

from __future__ import annotations

import base64
import gzip
import itertools
import json
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self

import attrs

#: Every event of a program holds one of the two, and the second is what the server refuses.
MARK: Final = re.compile(rb"peer-event-(\d+)")
POISON: Final = b"poison-event-"

#: Path -> (member that holds the events, member of an event that is its id).
_BATCHES: Final = {
    "/v1/batch": ("batch", "messageId"),  # segment and rudder
    "/batch/": ("batch", "uuid"),  # posthog
    "/com.snowplowanalytics.snowplow/tp2": ("data", "eid"),
    "/2/httpapi": ("events", "insert_id"),  # amplitude
}
_PROTOBUF: Final = "application/x-protobuf"
#: A partial success of OTLP: one log record was rejected.
_OTLP_ONE_REJECTED: Final = b"\x0a\x02\x08\x01"
#: Every peer finds the members that it looks for in an error.
_UNAVAILABLE: Final = {
    "code": 503,
    "status": 0,
    "error": "Service Unavailable",
    "error_code": "ServiceUnavailable",
    "message": "the server is out of order",
}
_KEEN_REFUSAL: Final = ("InvalidPropertyValueError", "made up: the server does not want this one")


@attrs.frozen(kw_only=True)
class Trouble:
    """How the server fails. Times in seconds, and from the first event on that reaches it."""

    latency_seconds: float = 0.0
    outage_seconds: float = 0.0
    loses_first_answer: bool = False


@attrs.frozen
class Sent:
    """One event of a request, and the id it came with. ``number`` is None where it came without its properties."""

    number: int | None
    id: str
    is_poison: bool = False


@attrs.frozen
class Counts:
    """What arrived: different events, and what came again, under the id of the first time and under another or none.

    ``kept`` is what a server holds that honours uniqueness tokens where the protocol has them, and keeps all elsewhere.
    ``bare`` came without any of the user's properties, and ``not_understood`` are requests that this sink cannot read.
    """

    distinct: int
    again_same_id: int
    again_other_id: int
    kept: int
    bare: int
    requests: int
    not_understood: int

    @property
    def again(self) -> int:
        """Events that came once more."""
        return self.again_same_id + self.again_other_id


@attrs.frozen
class Answer:
    """A status and a body."""

    status: int
    body: bytes
    content_type: str = "application/json"


class CountingSink:
    """The process: ``with CountingSink(trouble) as sink``. ``start`` after ``stop`` listens at the same port, emptied."""

    def __init__(self, trouble: Trouble | None = None) -> None:
        self._trouble = trouble or Trouble()
        self._process: subprocess.Popen[str] | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """Where it listens, or will again."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Listen."""
        self._process = subprocess.Popen(
            [sys.executable, __file__, json.dumps({"port": self._port, **attrs.asdict(self._trouble)})],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self._port = int(self._process.stdout.readline())

    def stop(self) -> None:
        """End: whoever connects now is refused. Idempotent."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def counts(self) -> Counts:
        """What arrived until now."""
        with urllib.request.urlopen(f"{self.url}/counts", timeout=30) as answer:
            return Counts(**json.load(answer))

    def wait_for(self, distinct: int, seconds: float) -> Counts:
        """The counts as soon as *distinct* events arrived or after *seconds*."""
        deadline = time.perf_counter() + seconds
        while True:
            counts = self.counts()
            if counts.distinct >= distinct or time.perf_counter() >= deadline:
                return counts
            threading.Event().wait(0.05)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Book:
    """What was taken in. Thread-safe."""

    def __init__(self, trouble: Trouble) -> None:
        self._trouble = trouble
        self._guard = threading.Lock()
        self._ids: dict[int, set[str]] = {}
        self._again = {True: 0, False: 0}
        self._turned_away = 0
        self._bare = 0
        self._requests = 0
        self._not_understood = 0
        self._first_seconds: float | None = None
        self._answer_is_lost = False
        self._probe: dict[str, dict[str, Any]] = {}

    def meet_trouble(self) -> Answer | None:
        """Wait as the server does; the answer where it is out of order."""
        now_seconds = time.perf_counter()
        with self._guard:
            self._requests += 1
            first_seconds = self._first_seconds = self._first_seconds or now_seconds
        if self._trouble.latency_seconds:
            threading.Event().wait(self._trouble.latency_seconds)
        if now_seconds - first_seconds < self._trouble.outage_seconds:
            return _json(503, _UNAVAILABLE)
        return None

    def take(self, events: Sequence[Sent], *, honours_tokens: bool) -> bool:
        """Count *events*; whether the answer is to be lost."""
        with self._guard:
            for event in events:
                if event.number is None:
                    self._bare += 1
                    continue
                ids = self._ids.get(event.number)
                if ids is None:
                    self._ids[event.number] = {event.id}
                    continue
                is_same = bool(event.id) and event.id in ids
                self._again[is_same] += 1
                self._turned_away += is_same and honours_tokens
                ids.add(event.id)
            is_lost = self._trouble.loses_first_answer and not self._answer_is_lost
            self._answer_is_lost = True
        return is_lost

    def note_not_understood(self) -> None:
        """A request that no peer was known to send: what is counted says less than the truth."""
        with self._guard:
            self._not_understood += 1

    def take_probe(self, events: Sequence[dict[str, Any]]) -> None:
        """Store probe events as a server that honours tokens does."""
        with self._guard:
            for event in events:
                self._probe.setdefault(event["keen"]["uniqueness_token"], event)

    def count_probe(self, nonce: str) -> list[dict[str, int]]:
        """The groups of the events of the probe *nonce*: no two are alike."""
        with self._guard:
            mine = [event for event in self._probe.values() if event["probe"] == nonce]
        return [{"pair": event["pair"], "copy": event["copy"], "result": 1} for event in mine]

    def counts(self) -> Counts:
        """What arrived until now."""
        with self._guard:
            again = self._again[True] + self._again[False]
            kept = len(self._ids) + again - self._turned_away
            return Counts(
                distinct=len(self._ids),
                again_same_id=self._again[True],
                again_other_id=self._again[False],
                kept=kept,
                bare=self._bare,
                requests=self._requests,
                not_understood=self._not_understood,
            )


# ---- what each protocol says -----------------------------------------------------------------


def read_events(path: str, body: bytes) -> list[Sent] | None:
    """The events of a request in the order in which they stand there; None where *path* is nobody's.

    Raises:
        ValueError, KeyError, TypeError: it is not what that peer is known to send.
    """
    if path in _BATCHES:
        member, id_member = _BATCHES[path]
        return [_sent(event, str(event.get(id_member, ""))) for event in json.loads(body)[member]]
    if path == "/track":  # mixpanel
        events = json.loads(urllib.parse.parse_qs(body.decode())["data"][0])
        events = events if isinstance(events, list) else [events]
        return [_sent(event, event["properties"].get("$insert_id", "")) for event in events]
    if path.startswith("/3.0/projects/"):
        content = json.loads(body)
        groups = content.values() if path.endswith("/events") else [[content]]
        return [
            _sent(event, event.get("keen", {}).get("uniqueness_token", ""))
            for group in groups
            for event in group
        ]
    if path.endswith("/envelope/"):  # sentry
        lines = [json.loads(line) for line in body.splitlines() if line.startswith(b"{")]
        return [
            _sent(event, event["event_id"])
            for head, event in itertools.pairwise(lines)
            if head.get("type") == "event"
        ]
    if path == "/v1/logs":  # OTLP: protobuf, and no id
        refused = [Sent(None, "", is_poison=True)] * body.count(POISON)
        return [*(Sent(int(number), "") for number in MARK.findall(body)), *refused]
    return None


def _sent(event: dict[str, Any], event_id: str) -> Sent:
    text = json.dumps(event).encode()
    if "ue_px" in event:  # snowplow encodes what is the user's
        text = base64.urlsafe_b64decode(event["ue_px"])
    found = MARK.search(text)
    return Sent(int(found[1]) if found else None, event_id, is_poison=POISON in text)


def verdict(path: str, events: Sequence[Sent], body: bytes) -> tuple[Sequence[Sent], Answer]:
    """What is taken of *events*, and the answer that says so in the way that the protocol has for it."""
    refused = [index for index, event in enumerate(events) if event.is_poison]
    good = [event for event in events if not event.is_poison]
    if path.startswith("/3.0/projects/"):
        return good, _answer_as_keen(path, body, bool(refused))
    if path == "/v1/logs":
        return good, Answer(200, _OTLP_ONE_REJECTED if refused else b"", _PROTOBUF)
    if path == "/2/httpapi" and refused:
        invalid = {"event_properties": refused}
        return [], _json(
            400, {"code": 400, "error": "Invalid request", "events_with_invalid_fields": invalid}
        )
    if refused:
        return [], _json(400, {"status": 0, "error": "invalid event"})
    if path == "/2/httpapi":
        return good, _json(200, {"code": 200, "events_ingested": len(events), "server_upload_time": 1})
    # One answer suits all others: each looks at the status, or at one of these members.
    return good, _json(200, {"success": True, "status": 1, "error": None, "id": "0" * 32})


def _answer_as_keen(path: str, body: bytes, refuses: bool) -> Answer:
    name, words = _KEEN_REFUSAL
    if not path.endswith("/events"):
        return (
            _json(400, {"error_code": name, "message": words}) if refuses else _json(201, {"created": True})
        )
    bad = {"success": False, "error": {"name": name, "description": words}}
    results = {
        collection: [
            bad if POISON in json.dumps(event).encode() else {"success": True} for event in collected
        ]
        for collection, collected in json.loads(body).items()
    }
    return _json(200, results)


def _json(status: int, content: object) -> Answer:
    return Answer(status, json.dumps(content).encode())


# ---- the process -----------------------------------------------------------------------------


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 65_536
    book: Book

    def do_GET(self) -> None:
        self._send(_json(200, attrs.asdict(self.book.counts())))

    def do_POST(self) -> None:
        path = urllib.parse.urlsplit(self.path).path
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        if len(body) < length:  # killed in the middle of it
            self.close_connection = True
            return
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if path.endswith("/queries/count"):
            nonce = json.loads(body)["filters"][0]["property_value"]
            self._send(_json(200, {"result": self.book.count_probe(nonce)}))
            return
        if b'"kc_probe"' in body:
            probes = json.loads(body)["kc_probe"]
            self.book.take_probe(probes)
            self._send(_json(200, {"kc_probe": [{"success": True}] * len(probes)}))
            return
        try:
            events = read_events(path, body)
        except (ValueError, KeyError, TypeError):
            events = None
        if events is None:
            self.book.note_not_understood()
            self._send(_json(404, {"error": "not understood"}))
            return
        if not events:  # a report of the peer's own
            self._send(_json(200, {}))
            return
        answer = self.book.meet_trouble()
        if answer is None:
            taken, answer = verdict(path, events, body)
            if self.book.take(taken, honours_tokens=path.startswith("/3.0/")):
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
        self._send(answer)

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def handle_one_request(self) -> None:
        """A client that was killed is no failure of the server's."""
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True


def _serve(port: int, trouble: Trouble) -> None:
    handler = type("Handler", (_Handler,), {"book": Book(trouble)})
    with _Server(("127.0.0.1", port), handler) as server:
        sys.stdout.write(f"{server.server_address[1]}\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    _serve(given.pop("port"), Trouble(**given))
