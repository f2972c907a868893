"""The programs that are measured: one adapter a peer, and what a program does with it. Standard library and the peer only.

Run as ``python programs.py PLAN`` by the interpreter that has the peer
installed. Each adapter uses its client as the manual of that client shows, with
its default settings but for the server's address. What a program has to tell
goes to stdout, a JSON document a line, at once.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

KEY = "0" * 64
PROJECT = "5" * 24
COLLECTION = "peer_events"
#: What carries the number of an event, and what the server refuses; see counting_sink.py.
MARK, POISON = "peer-event", "poison-event"

Event = dict[str, Any]


def _nothing() -> None:
    """What has no buffer has nothing to flush."""


class Client(NamedTuple):
    """A peer in use: record an event; send what waits and come back when it is sent; end in order."""

    record: Callable[[Event], object]
    flush: Callable[[], object] = _nothing
    close: Callable[[], object] = _nothing


Adapter = Callable[[str, str], Client]


def _module(name: str) -> Any:
    """A peer's module, by name: it lives in an environment that no type checker of this project sees."""
    return importlib.import_module(name)


# ---- one adapter a peer: (base URL, a directory of its own) -> client ---------------------------


def keen_client(url: str, folder: str) -> Client:
    """Durability ``full``, a background thread: the defaults."""
    from keen_client import KeenClient

    client = KeenClient(PROJECT, KEY, KEY, base_url=url, log=f"{folder}/log")
    return Client(lambda event: client.add_event(COLLECTION, event), client.flush, client.close)


def keen(url: str, folder: str) -> Client:
    """``add_event``: one request, made in the call."""
    from keen.client import KeenClient

    client = KeenClient(PROJECT, write_key=KEY, read_key=KEY, base_url=url)
    return Client(lambda event: client.add_event(COLLECTION, event))


def segment(url: str, folder: str) -> Client:
    """A queue and a thread, made with the client."""
    client = _module("segment.analytics.client").Client(KEY, host=url)
    return Client(
        lambda event: client.track(user_id="u1", event=COLLECTION, properties=event),
        client.flush,
        client.shutdown,
    )


def posthog(url: str, folder: str) -> Client:
    """A queue and a thread."""
    client = _module("posthog").Posthog(KEY, host=url)
    return Client(
        lambda event: client.capture(COLLECTION, distinct_id="u1", properties=event),
        client.flush,
        client.shutdown,
    )


def snowplow(url: str, folder: str) -> Client:
    """``AsyncEmitter``: a list, and a thread that posts ten at a time."""
    package, where = _module("snowplow_tracker"), urlsplit(url)
    tracker = package.Tracker("ns", package.AsyncEmitter(where.hostname, protocol="http", port=where.port))
    schema = "iglu:com.example/peer_events/jsonschema/1-0-0"

    def record(event: Event) -> None:
        tracker.track(package.SelfDescribing(package.SelfDescribingJson(schema, event)))

    return Client(record, tracker.flush)


def mixpanel(url: str, folder: str) -> Client:
    """``BufferedConsumer``: a list, posted in the call that makes it fifty long."""
    package = _module("mixpanel")
    consumer = package.BufferedConsumer(events_url=f"{url}/track")
    client = package.Mixpanel(KEY, consumer=consumer)
    return Client(lambda event: client.track("u1", COLLECTION, event), consumer.flush)


def amplitude(url: str, folder: str) -> Client:
    """A heap, and threads that begin after ten seconds or 200 events."""
    package = _module("amplitude")
    client = package.Amplitude(KEY, package.Config(server_url=f"{url}/2/httpapi"))

    def flush() -> None:
        for future in client.flush():
            if future is not None:
                future.result()

    return Client(
        lambda event: client.track(package.BaseEvent(COLLECTION, user_id="u1", event_properties=event)),
        flush,
        client.shutdown,
    )


def rudder(url: str, folder: str) -> Client:
    """A queue and a thread, made with the client."""
    client = _module("rudderstack.analytics.client").Client(KEY, host=url)
    return Client(
        lambda event: client.track(user_id="u1", event=COLLECTION, properties=event),
        client.flush,
        client.shutdown,
    )


def sentry(url: str, folder: str) -> Client:
    """``capture_message``: a queue of a hundred, one envelope an event."""
    sentry_sdk = _module("sentry_sdk")
    sentry_sdk.init(dsn=f"http://{KEY[:32]}@{urlsplit(url).netloc}/1")
    return Client(
        lambda event: sentry_sdk.capture_message(event["mark"], extras=event),
        sentry_sdk.flush,
        sentry_sdk.get_client().close,
    )


def otel(url: str, folder: str) -> Client:
    """Logs by a ``BatchLogRecordProcessor`` over OTLP, HTTP and protobuf."""
    logs, sdk = _module("opentelemetry._logs"), _module("opentelemetry.sdk._logs")
    export = _module("opentelemetry.sdk._logs.export")
    otlp = _module("opentelemetry.exporter.otlp.proto.http._log_exporter")
    provider = sdk.LoggerProvider()
    exporter = otlp.OTLPLogExporter(endpoint=f"{url}/v1/logs")
    provider.add_log_record_processor(export.BatchLogRecordProcessor(exporter))
    logger = provider.get_logger(COLLECTION)

    def record(event: Event) -> None:
        logger.emit(
            logs.LogRecord(severity_number=logs.SeverityNumber.INFO, event_name=COLLECTION, attributes=event)
        )

    return Client(record, provider.force_flush, provider.shutdown)


ADAPTERS: dict[str, Adapter] = {
    adapter.__name__: adapter
    for adapter in (
        keen_client,
        keen,
        segment,
        posthog,
        snowplow,
        mixpanel,
        amplitude,
        rudder,
        sentry,
        otel,
    )
}


# ---- what a program does ------------------------------------------------------------------------


class Wire:
    """Counts how often a thread that is in the middle of a call reads from, writes to or opens a connection."""

    def __init__(self) -> None:
        self.touched = 0
        self._calling = threading.local()
        for name in ("connect", "send", "sendall", "recv", "recv_into"):
            self._watch(name)

    def _watch(self, name: str) -> None:
        real = getattr(socket.socket, name)

        def watched(*given: Any, **named: Any) -> Any:
            self.touched += getattr(self._calling, "now", False)
            return real(*given, **named)

        setattr(socket.socket, name, watched)

    def during(self, record: Callable[[Event], object]) -> Callable[[Event], object]:
        """*record*, watched."""

        def call(event: Event) -> object:
            self._calling.now = True
            try:
                return record(event)
            finally:
                self._calling.now = False

        return call


def say(document: dict[str, Any]) -> None:
    """Tell the runner, in one write, however the process ends next."""
    os.write(1, json.dumps(document).encode() + b"\n")


def event_of(number: int, plan: dict[str, Any]) -> Event:
    """An event of some 200 bytes; the one that the plan names is refused by the server, or cannot be JSON."""
    word = POISON if number == plan["poison"] else MARK
    event: Event = {
        "mark": f"{word}-{number}",
        "number": number,
        "item": "Golden Gate T-shirt",
        "price": 19.99,
        "user": {"id": f"u_{number * 7919 % 10_000:04d}", "plan": "pro"},
    }
    if number == plan["odd"]:
        event["made_by"] = object()
    return event


def record_all(client: Client, plan: dict[str, Any]) -> None:
    """Make the calls, for at most so many seconds, and tell how they went. What is raised is caught, as a caller would."""
    wire = Wire()
    record = wire.during(client.record)
    waits_ns: list[int] = []
    raised: list[str] = []
    deadline = time.perf_counter() + plan["call_seconds"]
    for number in range(plan["events"]):
        event = event_of(number, plan)
        started = time.perf_counter_ns()
        try:
            record(event)
        except Exception as error:  # noqa: BLE001 — each peer raises what it likes
            raised.append(f"{type(error).__name__}: {error}")
        waits_ns.append(time.perf_counter_ns() - started)
        if time.perf_counter() > deadline:
            break
    ordered = sorted(waits_ns) or [0]
    say(
        {
            "calls": len(waits_ns),
            "raised": len(raised),
            "error": raised[0] if raised else "",
            "p50_ms": ordered[len(ordered) // 2] / 1e6,
            "p99_ms": ordered[len(ordered) * 99 // 100] / 1e6,
            "max_ms": ordered[-1] / 1e6,
            "touched_wire": wire.touched,
            # The same clock in all processes, on Linux and macOS.
            "at": time.perf_counter(),
        }
    )


def run(plan: dict[str, Any]) -> Client:
    """Carry out the plan; the client, which has to outlive it."""
    client = ADAPTERS[plan["peer"]](plan["url"], plan["folder"])
    if plan["forks"]:
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            os._exit(0)
    record_all(client, plan)
    match plan["then"]:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "terminate":
            os.kill(os.getpid(), signal.SIGTERM)
        case "stay":
            sys.stdin.read()
            client.flush()
            client.close()
        case "close":
            client.flush()
            client.close()
    if plan["forks"]:
        os._exit(0)
    return client


if __name__ == "__main__":
    kept = run(json.loads(sys.argv[1]))
