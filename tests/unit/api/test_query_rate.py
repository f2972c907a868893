"""Queries go out no faster than Keen takes them, and not at all for a minute after it said no."""

from __future__ import annotations

import asyncio
import math
import threading

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keen_client._foundation.clock import SystemClock
from keen_client.api import AioExecutor, Executor, Project, RecordEvent, RunAnalysis
from keen_client.api.rate import QUERIES_PER_MINUTE, SILENCE_SECONDS, Bucket, QueryRate, query_rate
from keen_client.errors import ClientClosedError, RateLimitedError
from keen_client.queries import Analysis
from keen_client.testing.clocks import VirtualClock
from keen_client.transport import Request, Response, Secret
from keen_client.transport.retry import RetryPolicy

PROJECT = Project(id="P", write_key=Secret("w"), read_key=Secret("r"))
COUNT = RunAnalysis(Analysis(analysis_type="count", event_collection="c", timeframe="today"))
MINUTE_NS = 60_000_000_000
JSON = {"content-type": "application/json"}
SEVEN = Response(status=200, headers=JSON, body=b'{"result": 7}')
LIMITED = Response(status=429, body=b'{"message": "m", "error_code": "TooManyRequests"}')


class Wire:
    """Answers everything, 429 while it is told so, and notes when each request came."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.times: list[float] = []
        self.refusals = 0

    def send(self, request: Request) -> Response:
        self.times.append(self.clock.monotonic_ns() / 1e9)
        if self.refusals:
            self.refusals -= 1
            return LIMITED
        return SEVEN

    def close(self) -> None:
        """Nothing is held."""


class AioWire:
    """Its async twin."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire

    async def send(self, request: Request) -> Response:
        return self.wire.send(request)

    async def close(self) -> None:
        """Nothing is held."""


@given(waits=st.lists(st.integers(0, 3_000_000_000), max_size=600), size=st.integers(1, 20))
def test_no_minute_sees_more_than_twice_the_bucket(waits: list[int], size: int) -> None:
    """Whenever one asks, the queries of any sixty seconds are at most twice the bucket's size."""
    bucket, now_ns, sent = Bucket(size, float(size), 0), 0, list[int]()
    for wait_ns in waits:
        now_ns += wait_ns
        bucket, seconds = bucket.take(now_ns)
        if seconds == 0:
            sent.append(now_ns)
        else:
            assert bucket.take(now_ns + int(seconds * 1e9) + 1)[1] == 0
    for first in sent:
        assert sum(first <= at < first + MINUTE_NS for at in sent) <= 2 * size


def test_a_wait_is_long_enough_for_a_clock_to_show_it() -> None:
    """A hair's breadth of a token is missing: whoever waits as told, on a clock of nanoseconds, has it then."""
    size = QUERIES_PER_MINUTE // 2
    _, seconds = Bucket(size, math.nextafter(1.0, 0.0), 0).take(0)
    assert round(seconds * 1e9) > 0
    assert Bucket(size, math.nextafter(1.0, 0.0), 0).take(round(seconds * 1e9))[1] == 0


def test_a_burst_is_spread_over_the_minutes_by_waiting_on_the_clock() -> None:
    """Five hundred queries in a row: never more than 200 in one minute, and each of them is sent."""
    clock = VirtualClock()
    wire = Wire(clock)
    executor = Executor(PROJECT, wire, clock=clock, rate=QueryRate(clock))
    for _ in range(500):
        executor.run(COUNT)
    assert len(wire.times) == 500
    for first in wire.times:
        assert sum(first <= at < first + 60 for at in wire.times) <= QUERIES_PER_MINUTE


def test_after_a_429_nobody_asks_for_a_minute() -> None:
    """The refused query's own repeat and any other query wait for the same silence."""
    clock = VirtualClock()
    wire = Wire(clock)
    rate = QueryRate(clock)
    wire.refusals = 1
    impatient = Executor(PROJECT, wire, clock=clock, rate=rate, retry=RetryPolicy(attempts_max=1))
    other = Executor(PROJECT, wire, clock=clock, rate=rate)
    with pytest.raises(RateLimitedError):
        impatient.run(COUNT)
    other.run(COUNT)
    assert wire.times[1] - wire.times[0] >= SILENCE_SECONDS


def test_a_write_neither_waits_nor_is_silenced() -> None:
    """The write path never waits for the read path."""
    clock = VirtualClock()
    wire = Wire(clock)
    rate = QueryRate(clock, per_minute=2)
    rate.fall_silent()
    executor = Executor(PROJECT, wire, clock=clock, rate=rate)
    for _ in range(5):
        executor.attempt(RecordEvent("c", {"a": 1}))
    assert wire.times == [0.0] * 5


def test_closing_ends_the_wait_for_a_turn() -> None:
    """A query that waits is given up at once, and was not sent."""
    clock = VirtualClock()
    wire = Wire(clock)
    rate = QueryRate(clock)
    rate.fall_silent()
    executor = Executor(PROJECT, wire, clock=clock, rate=rate)
    executor.close()
    with pytest.raises(ClientClosedError):
        executor.run(COUNT)
    assert wire.times == []


def test_the_async_twin_waits_in_its_loop() -> None:
    """The same rate, awaited."""
    clock = VirtualClock()
    wire = Wire(clock)

    async def sleep(seconds: float) -> None:
        clock.advance(seconds)

    async def ask() -> None:
        executor = AioExecutor(PROJECT, AioWire(wire), sleep=sleep, rate=QueryRate(clock, per_minute=4))
        for _ in range(6):
            await executor.run(COUNT)

    asyncio.run(ask())
    assert [round(at) for at in wire.times] == [0, 0, 30, 60, 90, 120]


def test_one_rate_for_all_clients_of_a_process_and_none_for_this_machine() -> None:
    """Keen counts what leaves, not who asked; a server on this machine counts nothing."""
    far = "https://api.keen.example"
    assert query_rate(far) is query_rate(far, SystemClock())
    assert query_rate(far, VirtualClock()) is not query_rate(far)
    for near in ("http://127.0.0.1:8200", "http://localhost:1", "http://[::1]:1"):
        assert query_rate(near) is None


def test_threads_share_one_bucket() -> None:
    """Many threads together take no more than there is."""
    rate = QueryRate(VirtualClock(), per_minute=100)
    got: list[float] = []
    threads = [
        threading.Thread(target=lambda: got.extend(rate.wait_seconds() for _ in range(25))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(seconds == 0 for seconds in got) == 50


@attrs.frozen
class ListNames:
    """A read that is no query."""

    def request(self, project: Project) -> Request:
        return Request(method="GET", base_url=project.base_url, path=f"{project.path}/events", kind="read")

    def parse(self, response: Response) -> None:
        if response.status == 429:
            raise RateLimitedError("m", status=429)


def test_a_read_that_is_no_query_neither_counts_nor_waits_nor_silences() -> None:
    """Keen counts ad-hoc queries; what lists and looks up is not delayed by them, and does not stop them."""
    clock = VirtualClock()
    rate = QueryRate(clock, per_minute=2)
    wire = Wire(clock)
    wire.refusals = 1
    once = Executor(PROJECT, wire, clock=clock, rate=rate, retry=RetryPolicy(attempts_max=1))
    with pytest.raises(RateLimitedError):
        once.run(ListNames())
    assert rate.wait_seconds() == 0.0  # not silenced, and the only token is there
    for _ in range(3):
        once.run(ListNames())
    assert wire.times == [0.0] * 4
