"""The loop around the transport, sync and async: what is repeated, what is counted, what is shown."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from keen_client.api import (
    AioExecutor,
    Cost,
    Executor,
    Operation,
    Project,
    RecordEvent,
    RunAnalysis,
    ServerClock,
    UploadBatch,
)
from keen_client.api.answers import read_json
from keen_client.api.call import Call
from keen_client.api.executor import REPEAT_SECONDS_MAX
from keen_client.errors import (
    ApiError,
    AuthenticationError,
    ClientClosedError,
    ForbiddenError,
    InvalidCollectionNameError,
    InvalidEnvironmentError,
    InvalidEventError,
    NotSentError,
    OutcomeUnknownError,
    RateLimitedError,
    ServerError,
    UnreadableResponseError,
)
from keen_client.queries import Analysis, Funnel, FunnelStep
from keen_client.transport import Request, Response, Secret

KEY = "the-key-of-the-project"
PROJECT = Project(id="P", write_key=Secret(KEY), read_key=Secret(KEY))
COUNT = RunAnalysis(Analysis(analysis_type="count", event_collection="c", timeframe="today"))
FUNNEL = Funnel(
    steps=(
        FunnelStep(event_collection="visits", actor_property="user", timeframe="today"),
        FunnelStep(event_collection="purchases", actor_property="user", timeframe="today"),
        FunnelStep(event_collection="visits", actor_property="user", timeframe="today"),
    )
)
JSON = {"content-type": "application/json; charset=utf-8"}
SEVEN = Response(status=200, headers=JSON, body=b'{"result": 7, "query": {}}', received_wall_ms=5_000)
BUSY = Response(status=503, body=b"<html>")
LIMITED = Response(status=429, body=b'{"message": "m", "error_code": "E"}', headers={"retry-after": "90"})

T = TypeVar("T")
Step = Response | Exception


class Scripted:
    """A transport that plays a list, and notes what it was given."""

    def __init__(self, *steps: Step) -> None:
        self.steps = list(steps)
        self.requests: list[Request] = []
        self.closed = False
        self.clock = Clock()
        #: How long the server takes for an answer, if it is given the time.
        self.takes_seconds = 0.0

    def send(self, request: Request) -> Response:
        self.requests.append(request)
        waits = [self.takes_seconds, request.within_seconds, request.timeout_seconds]
        self.clock.passed_seconds += min(seconds for seconds in waits if seconds is not None)
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    def close(self) -> None:
        self.closed = True


class AioScripted:
    """Its async twin."""

    def __init__(self, sync: Scripted) -> None:
        self.sync = sync

    async def send(self, request: Request) -> Response:
        return self.sync.send(request)

    async def close(self) -> None:
        self.sync.close()


class NoJitter:
    """Chance that always gives the least."""

    def token(self, alphabet: str, length: int) -> str:
        return alphabet[0] * length

    def uniform(self, low: float, high: float) -> float:
        return low


class Clock:
    """Waits are noted, not waited."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self.closed_meanwhile = False
        self.passed_seconds = 0.0

    def wall_ms(self) -> int:
        return 0

    def monotonic_ns(self) -> int:
        return round(self.passed_seconds * 1e9)

    def wait(self, event: threading.Event, timeout_seconds: float | None) -> bool:
        assert timeout_seconds is not None
        self.waits.append(timeout_seconds)
        self.passed_seconds += timeout_seconds
        if self.closed_meanwhile:
            event.set()
        return event.is_set()

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.passed_seconds += seconds


class Bench:
    """An executor with its scripted surroundings."""

    def __init__(self, asynchronous: bool, *steps: Step, project: Project = PROJECT, **settings: Any) -> None:
        self.transport = Scripted(*steps)
        self.clock = self.transport.clock
        settings = {"clock": self.clock, "randomness": NoJitter(), **settings}
        self._sync: Executor | None = None
        self._aio: AioExecutor | None = None
        if asynchronous:
            self._aio = AioExecutor(project, AioScripted(self.transport), sleep=self._sleep, **settings)
        else:
            self._sync = Executor(project, self.transport, **settings)

    async def _sleep(self, seconds: float) -> None:
        self.clock.sleep(seconds)

    def run(self, operation: Operation[T]) -> T:
        if self._aio is not None:
            return asyncio.run(self._aio.run(operation))
        assert self._sync is not None
        return self._sync.run(operation)

    def attempt(self, operation: Operation[object]) -> Response:
        if self._aio is not None:
            return asyncio.run(self._aio.attempt(operation))
        assert self._sync is not None
        return self._sync.attempt(operation)

    @property
    def cost(self) -> Cost:
        return (self._aio or self._sync).cost  # type: ignore[union-attr]

    @property
    def server_clock(self) -> ServerClock | None:
        return (self._aio or self._sync).server_clock  # type: ignore[union-attr]


Make = Callable[..., Bench]


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def bench(request: pytest.FixtureRequest) -> Make:
    """Both executors."""

    def make(*steps: Step, **changes: Any) -> Bench:
        return Bench(request.param, *steps, **changes)

    return make


def test_query_is_a_post_with_a_json_body(bench: Make) -> None:
    """And its result is the result member."""
    it = bench(SEVEN)
    assert it.run(COUNT) == 7
    sent = it.transport.requests[0]
    assert (sent.method, sent.base_url, sent.path) == (
        "POST",
        "https://api.keen.io",
        "/3.0/projects/P/queries/count",
    )
    assert sent.body == b'{"event_collection":"c","timeframe":"today"}'
    assert sent.kind == "query"


def test_whole_body_on_request(bench: Make) -> None:
    """All members of the answer."""
    assert bench(SEVEN).run(RunAnalysis(COUNT.analysis, all_keys=True)) == {"result": 7, "query": {}}


def test_read_is_repeated_until_it_is_answered(bench: Make) -> None:
    """Not sent, unknown, 5xx and 429 pass; a 429 waits as the server wishes."""
    it = bench(NotSentError("m"), BUSY, LIMITED, SEVEN)
    assert it.run(COUNT) == 7
    assert it.clock.waits == [0.0, 0.0, 90.0]


def test_read_gives_up_with_the_last_error(bench: Make) -> None:
    """Four attempts, then the error is the caller's."""
    it = bench(BUSY, BUSY, BUSY, LIMITED)
    with pytest.raises(RateLimitedError):
        it.run(COUNT)
    assert len(it.transport.requests) == 4


def test_read_and_its_repeats_end_within_the_time_they_were_given(bench: Make) -> None:
    """A server that hangs is waited for once, and not once for each attempt."""
    it = bench(*[OutcomeUnknownError("cut")] * 4, read_within_seconds=2.0)
    it.transport.takes_seconds = 60.0
    with pytest.raises(OutcomeUnknownError):
        it.run(COUNT)
    assert it.clock.passed_seconds == 2.0
    assert [request.within_seconds for request in it.transport.requests] == [2.0]


def test_each_repeat_gets_what_is_left_of_the_time(bench: Make) -> None:
    """Attempts and waits are counted together."""
    it = bench(BUSY, BUSY, SEVEN, read_within_seconds=10.0)
    it.transport.takes_seconds = 3.0
    assert it.run(COUNT) == 7
    assert [request.within_seconds for request in it.transport.requests] == [10.0, 7.0, 4.0]


def test_no_repeat_is_waited_for_that_could_not_end_in_time(bench: Make) -> None:
    """A 429 asks for a minute and more: whoever gave ten seconds gets the error at once."""
    it = bench(LIMITED, SEVEN, read_within_seconds=10.0)
    with pytest.raises(RateLimitedError):
        it.run(COUNT)
    assert it.clock.waits == []


def test_without_a_time_no_repeat_begins_long_after_the_first_attempt(bench: Make) -> None:
    """The first has the transport's own timeouts; a later one waits no longer than until the bound."""
    it = bench(BUSY, BUSY, BUSY, SEVEN)
    it.transport.takes_seconds = 200.0
    with pytest.raises(ServerError):
        it.run(COUNT)
    first, second = it.transport.requests
    assert (first.within_seconds, first.timeout_seconds) == (None, None)
    assert (second.within_seconds, second.timeout_seconds) == (None, REPEAT_SECONDS_MAX - 200.0)


def test_time_of_a_read_is_no_matter_of_writes(bench: Make) -> None:
    """A write has the transport's own timeouts."""
    it = bench(Response(status=200, headers=JSON, body=b'{"created": true}'), read_within_seconds=1.0)
    it.run(RecordEvent("c", {"n": 1}))
    assert it.transport.requests[0].within_seconds is None


@pytest.mark.parametrize(
    "step",
    [NotSentError("m"), OutcomeUnknownError("m"), BUSY, LIMITED],
    ids=["not-sent", "unknown", "5xx", "429"],
)
@pytest.mark.parametrize("operation", [RecordEvent("c", {}), UploadBatch(b"{}")], ids=["event", "batch"])
def test_write_is_never_repeated(step: Step, operation: Operation[object], bench: Make) -> None:
    """What becomes of it is for the delivery to decide."""
    it = bench(step)
    with pytest.raises((NotSentError, OutcomeUnknownError, ServerError, RateLimitedError)):
        it.run(operation)
    assert len(it.transport.requests) == 1
    assert it.clock.waits == []


def test_refusal_is_not_repeated(bench: Make) -> None:
    """The same key would be refused again."""
    it = bench(Response(status=401, body=b'{"message": "m", "error_code": "InvalidApiKeyError"}'))
    with pytest.raises(AuthenticationError):
        it.run(COUNT)
    assert len(it.transport.requests) == 1


def test_key_in_the_servers_words_is_masked(bench: Make) -> None:
    """A server that repeats the key does not get it into our errors."""
    words = f'{{"message": "unknown key {KEY}", "error_code": "InvalidApiKeyError"}}'
    it = bench(Response(status=401, body=words.encode()))
    with pytest.raises(AuthenticationError, match=r"unknown key \[key\]") as caught:
        it.run(COUNT)
    assert KEY not in repr(caught.value)


@pytest.mark.parametrize(
    ("operation", "call"),
    [
        (COUNT, "POST /3.0/projects/P/queries/count of c"),
        (RunAnalysis(FUNNEL), "POST /3.0/projects/P/queries/funnel of visits, purchases"),
        (RecordEvent("book sales", {"secret": 1}), "POST /3.0/projects/P/events/book%20sales"),
    ],
)
@pytest.mark.parametrize(
    "answer",
    [
        Response(status=404, body=b'{"message": "none", "error_code": "ResourceNotFoundError"}'),
        Response(status=200, body=b"<html>", headers={"content-type": "text/html"}),
        Response(status=413, body=b""),
        Response(status=301, headers={"location": "https://elsewhere.example"}),
        Response(status=200, body=b"[]", headers=JSON),
    ],
    ids=["refused", "a page", "too large", "a redirect", "another shape"],
)
def test_error_of_an_answer_says_which_call_it_is_the_answer_to(
    operation: Operation[object], call: str, answer: Response, bench: Make
) -> None:
    """Method, path and collection, once; no key, and nothing of what was sent."""
    b = bench(answer)
    with pytest.raises(ApiError) as caught:
        b.run(operation)
    assert caught.value.message.startswith(f"{call}: ")
    assert caught.value.message.count("/3.0/") == 1
    assert str(caught.value.args[0]) == caught.value.message
    assert KEY not in caught.value.message
    assert "secret" not in caught.value.message


def test_secrets_and_questions_of_an_address_are_not_named(bench: Make) -> None:
    """An access key is part of its own path, and a query string holds what was asked."""
    b = bench(Response(status=403, body=b'{"message": "no", "error_code": "RequestForbiddenError"}'))
    hidden = Secret("an-access-key")
    call = Call(
        method="GET",
        path="/keys/an-access-key",
        key_class="read",
        read=read_json,
        params=(("name", "a-question"),),
        hidden=(hidden,),
    )
    with pytest.raises(ForbiddenError, match=r"GET /3\.0/projects/P/keys/") as caught:
        b.run(call)
    assert "an-access-key" not in str(caught.value)
    assert "a-question" not in str(caught.value)


def test_missing_key_is_found_before_anything_is_sent(bench: Make) -> None:
    """With the name of its variable."""
    it = bench(project=Project(id="P"))
    with pytest.raises(InvalidEnvironmentError, match="KEEN_READ_KEY"):
        it.run(COUNT)
    assert it.transport.requests == []


def test_attempt_returns_the_answer_as_it_came(bench: Make) -> None:
    """Any status, any body; once."""
    it = bench(BUSY)
    assert it.attempt(UploadBatch(b"{}")) is BUSY
    assert it.transport.requests[0].path == "/3.0/projects/P/events"


def test_cost_counts_what_may_have_arrived(bench: Make) -> None:
    """Repeated attempts and their bytes included; a refused connection cost the server nothing."""
    it = bench(NotSentError("m"), OutcomeUnknownError("m"), BUSY, SEVEN)
    it.run(COUNT)
    assert it.cost == Cost(requests=3, bytes=len(BUSY.body) + len(SEVEN.body))
    assert it.cost - Cost(requests=1, bytes=1) + Cost(requests=1, bytes=1) == it.cost


DATE = {"date": "Thu, 01 Oct 2026 00:00:00 GMT"}


def test_servers_clock_is_read_from_its_answers(bench: Make) -> None:
    """With the local clock at that moment, so that the difference can be taken."""
    it = bench(Response(status=200, headers=JSON | DATE, body=SEVEN.body, received_wall_ms=1_790_812_803_500))
    assert it.server_clock is None
    it.run(COUNT)
    clock = it.server_clock
    assert clock is not None
    assert (clock.server_ms, clock.offset_ms) == (1_790_812_800_000, -3_500)


@pytest.mark.parametrize(
    "answer",
    [
        Response(status=200, headers=JSON | DATE | {"age": "0"}, body=b"{}"),
        Response(status=200, headers={"content-type": "text/html"} | DATE, body=b"{}"),
        Response(status=200, headers=DATE, body=b"{}"),
        Response(status=200, headers=JSON | {"date": "now"}, body=b"{}"),
        Response(status=401, headers=JSON | DATE, body=b"{}"),
    ],
    ids=["cached", "html", "untyped", "no-date", "refused"],
)
def test_other_clocks_are_not_believed(answer: Response, bench: Make) -> None:
    """A cache's or a portal's date is not the server's."""
    it = bench(answer)
    it.attempt(UploadBatch(b"{}"))
    assert it.server_clock is None


def test_close_ends_a_wait() -> None:
    """A query that waits to be repeated does not hold up the exit."""
    it = Bench(False, LIMITED)
    it.clock.closed_meanwhile = True
    with pytest.raises(ClientClosedError):
        it.run(COUNT)


def test_event_is_posted_to_its_collection(bench: Make) -> None:
    """The name as one encoded segment."""
    it = bench(Response(status=201, body=b'{"created": true}'))
    it.run(RecordEvent("a b/c", {"n": 2**70}))
    sent = it.transport.requests[0]
    assert sent.path == "/3.0/projects/P/events/a%20b%2Fc"
    assert sent.body == b'{"n":%d}' % 2**70
    assert sent.kind == "write"


@pytest.mark.parametrize("body", [b"{}", b'{"created": false}', b'{"created": 1}', b"[]", b"", b"<html>"])
def test_event_is_created_only_when_keen_says_so(body: bytes, bench: Make) -> None:
    """Any other success leaves it open."""
    with pytest.raises(UnreadableResponseError):
        bench(Response(status=201, body=body)).run(RecordEvent("c", {}))


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        (RecordEvent("", {}), InvalidCollectionNameError),
        (RecordEvent("\ud800", {}), InvalidCollectionNameError),
        (RecordEvent("c", {"x": object()}), InvalidEventError),
        (RecordEvent("c", {"x": "\ud800"}), InvalidEventError),
    ],
)
def test_event_that_cannot_be_sent_is_refused(
    operation: RecordEvent, kind: type[Exception], bench: Make
) -> None:
    """Before anything leaves."""
    it = bench()
    with pytest.raises(kind, match="nothing was sent"):
        it.run(operation)
    assert it.transport.requests == []


def test_batch_answer_comes_raw(bench: Make) -> None:
    """Per-event results are the caller's to check; only an object will do."""
    body = b'{"c": [{"success": true}, {"success": false, "error": {"name": "N", "description": "d"}}]}'
    result = bench(Response(status=200, body=body)).run(UploadBatch(b"{}"))
    assert [each["success"] for each in result["c"]] == [True, False]
    with pytest.raises(UnreadableResponseError):
        bench(Response(status=200, body=b"[]")).run(UploadBatch(b"{}"))


def test_operations_show_no_payload() -> None:
    """An operation may stand in a log line."""
    assert "payload" not in repr(RecordEvent("c", {"payload": 1})) + repr(UploadBatch(b"payload"))
