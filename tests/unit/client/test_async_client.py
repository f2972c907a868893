"""The async twin: the same names, shared commits, and an event loop that never waits on the disk."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import threading
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, get_type_hints

import httpx
import pytest

from keen_client import (
    AsyncKeenClient,
    ClientClosedError,
    EventLogError,
    EventLogFullError,
    InvalidEventError,
    KeenClient,
)
from keen_client.client import committer
from keen_client.eventlog.entry import Recorded
from keen_client.eventlog.log import EventLog
from keen_client.events.encoding import EncodedEvent
from keen_client.queries.methods import AnalysisMethods
from keen_client.server import LocalServer

NOWHERE = "http://127.0.0.1:9"
METHODS = [name for name in vars(AnalysisMethods) if not name.startswith("_")]
Commit = Callable[[EventLog, Sequence[EncodedEvent]], list[Recorded]]


@asynccontextmanager
async def opened(log: Path, **settings: Any) -> AsyncIterator[AsyncKeenClient]:
    given = {"base_url": NOWHERE, "background": False, **settings}
    async with AsyncKeenClient("p1", "w", "r", log=log, **given) as client:
        yield client


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The size of each commit, in order."""
    sizes: list[int] = []
    real = EventLog.record_all

    def counted(self: EventLog, events: Sequence[EncodedEvent]) -> list[Recorded]:
        sizes.append(len(events))
        return real(self, events)

    monkeypatch.setattr(EventLog, "record_all", counted)
    return sizes


class Gate:
    """A disk that commits when it is let: ``entered`` once the first commit has begun."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered, self.open = threading.Event(), threading.Event()
        self.commits: list[int] = []
        real = EventLog.record_all

        def gated(log: EventLog, events: Sequence[EncodedEvent]) -> list[Recorded]:
            self.commits.append(len(events))
            self.entered.set()
            assert self.open.wait(60)
            return real(log, events)

        monkeypatch.setattr(EventLog, "record_all", gated)

    async def wait_entered(self) -> None:
        assert await asyncio.to_thread(self.entered.wait, 60)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(monkeypatch)


# ---- the same names -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["add_event", "add_events", "flush", "close", "verify", "replay", "nightly", *METHODS]
)
def test_the_twin_has_the_same_parameters(name: str) -> None:
    """Names, order, kinds, defaults and annotations of the parameters agree with the sync client's."""
    sync, twin = (inspect.signature(getattr(kind, name)) for kind in (KeenClient, AsyncKeenClient))
    assert list(sync.parameters.values()) == list(twin.parameters.values())


def test_the_twin_takes_the_same_settings() -> None:
    """So do the constructors, but for the kind of httpx client."""
    sync, twin = (dict(inspect.signature(kind).parameters) for kind in (KeenClient, AsyncKeenClient))
    assert list(sync) == list(twin)
    assert [n for n in sync if sync[n] != twin[n]] == ["http_client"]


def test_the_twin_has_every_public_name() -> None:
    """What the sync client offers, the twin offers too."""
    public = {name for name in dir(KeenClient) if not name.startswith("_")}
    assert public == {name for name in dir(AsyncKeenClient) if not name.startswith("_")}
    assert get_type_hints(AsyncKeenClient.add_event)["return"].__name__ == "Receipt"


# ---- shared commits -----------------------------------------------------------------------


async def _two_hundred(log: Path) -> list[str | None]:
    async with opened(log) as client:
        receipts = await asyncio.gather(*(client.add_event("c", {"n": n}) for n in range(200)))
        logged = {event.id: event.event["n"] for event in client.log.entries()}
        assert [logged[receipt.id] for receipt in receipts if receipt.id] == list(range(200))
        return [receipt.id for receipt in receipts]


def test_tasks_at_once_share_few_commits(tmp_path: Path, commits: list[int]) -> None:
    """200 tasks record at once: each gets its own receipt, and the commits are few."""
    ids = asyncio.run(_two_hundred(tmp_path / "log"))

    assert len(set(ids)) == 200
    assert sum(commits) == 200
    assert len(commits) <= 20


def test_large_events_are_committed_in_groups_that_a_transaction_takes(
    tmp_path: Path, commits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tasks with large events do not fail together for the size of their group."""
    monkeypatch.setattr(committer, "CALL_SIZE_MAX_BYTES", 5_000)

    async def run() -> int:
        async with opened(tmp_path / "log") as client:
            receipts = await asyncio.gather(*(client.add_event("c", {"x": "y" * 1_500}) for _ in range(20)))
            return len({receipt.id for receipt in receipts})

    assert asyncio.run(run()) == 20
    assert max(commits) <= 3


def test_the_loop_goes_on_while_the_disk_is_slow(tmp_path: Path, gate: Gate) -> None:
    """While a commit hangs, another task makes progress, and it is that task's progress that lets the commit end."""

    async def run() -> list[str]:
        told: list[str] = []
        async with opened(tmp_path / "log") as client:
            adding = asyncio.create_task(client.add_event("c", {}))
            await gate.wait_entered()
            for _ in range(3):
                await asyncio.sleep(0)
                told.append("progress")
            assert not adding.done()
            gate.open.set()
            assert (await adding).id
            told.append("recorded")
        return told

    assert asyncio.run(run()) == ["progress"] * 3 + ["recorded"]


# ---- cancellation and errors --------------------------------------------------------------


def test_a_cancelled_task_leaves_the_client_usable(tmp_path: Path, gate: Gate) -> None:
    """Cancelled in mid-commit, an event is recorded; cancelled while it waits, it is not; others are unharmed."""

    async def run() -> list[int]:
        async with opened(tmp_path / "log") as client:
            first = asyncio.create_task(client.add_event("c", {"n": 1}))
            await gate.wait_entered()
            waiting = [asyncio.create_task(client.add_event("c", {"n": n})) for n in (2, 3, 4)]
            await asyncio.sleep(0)
            first.cancel()
            waiting[1].cancel()
            done = await asyncio.gather(first, waiting[1], return_exceptions=True)
            assert [type(error) for error in done] == [asyncio.CancelledError] * 2
            gate.open.set()
            assert (await waiting[0]).id != (await waiting[2]).id
            assert (await client.add_event("c", {"n": 5})).id
            return [event.event["n"] for event in client.log.entries()]

    assert asyncio.run(run()) == [1, 2, 4, 5]
    assert gate.commits == [1, 2, 1]


def test_an_invalid_event_fails_its_own_task_only(tmp_path: Path) -> None:
    """Among many tasks, those with a bad event raise, at once; the others get their receipts."""

    async def run() -> list[Any]:
        async with opened(tmp_path / "log") as client:
            events: list[dict[str, Any]] = [{"n": n} if n % 3 else {"a.b": n} for n in range(30)]
            return await asyncio.gather(
                *(client.add_event("c", event) for event in events), return_exceptions=True
            )

    outcomes = asyncio.run(run())
    assert [isinstance(outcome, InvalidEventError) for outcome in outcomes] == [n % 3 == 0 for n in range(30)]
    assert all(outcome.id for n, outcome in enumerate(outcomes) if n % 3)


def test_a_failed_commit_is_the_error_of_the_tasks_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group whose commit failed: each of its tasks raises an error of its own; the next group is none the worse."""
    real = EventLog.record_all
    calls: list[int] = []

    def failing_once(log: EventLog, events: Sequence[EncodedEvent]) -> list[Recorded]:
        calls.append(len(events))
        if len(calls) == 1:
            raise EventLogFullError(
                "the disk is full; the event was not recorded", "free space", path=tmp_path
            )
        return real(log, events)

    monkeypatch.setattr(EventLog, "record_all", failing_once)

    async def run() -> None:
        async with opened(tmp_path / "log") as client:
            adding = [client.add_event("c", {"n": n}) for n in range(5)]
            outcomes = await asyncio.gather(*adding, return_exceptions=True)
            failed = [outcome for outcome in outcomes if isinstance(outcome, EventLogError)]
            assert len(failed) == calls[0]
            assert len({id(error) for error in failed}) == len(failed)
            assert {(type(e), e.hint, e.path) for e in failed} == {
                (EventLogFullError, "free space", tmp_path)
            }
            assert (await client.add_event("c", {"n": 9})).id
            assert len(list(client.log.entries())) == 5 - len(failed) + 1

    asyncio.run(run())


# ---- the end ------------------------------------------------------------------------------


def test_close_waits_for_what_was_handed_over(tmp_path: Path, gate: Gate) -> None:
    """Tasks that wait when close is called get their receipts; whoever comes later is refused; the loop is not blocked."""

    async def run() -> None:
        client = AsyncKeenClient("p1", log=tmp_path / "log", base_url=NOWHERE, background=False)
        adding = [asyncio.create_task(client.add_event("c", {"n": n})) for n in range(5)]
        await gate.wait_entered()
        await asyncio.sleep(0)
        closing = asyncio.create_task(client.close())
        while not client._committer or not client._committer._closed:  # noqa: ASYNC110 — a thread sets it
            await asyncio.sleep(0.001)
        with pytest.raises(ClientClosedError):
            await client.add_event("c", {"n": 6})
        assert not closing.done()
        gate.open.set()
        receipts = await asyncio.gather(*adding)
        await closing
        await client.close()
        with KeenClient("p1", log=tmp_path / "log", base_url=NOWHERE, background=False) as again:
            assert [event.id for event in again.log.entries()] == [receipt.id for receipt in receipts]

    asyncio.run(run())
    assert "keen-client-commit" not in {thread.name for thread in threading.enumerate()}


def test_every_method_is_refused_after_close(tmp_path: Path) -> None:
    """After close the twin raises what the sync client raises, queries included."""

    async def run() -> None:
        client = AsyncKeenClient("p1", "w", "r", log=tmp_path / "log", base_url=NOWHERE, background=False)
        await client.close()
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: client.add_event("c", {}),
            lambda: client.add_events({}),
            client.flush,
            lambda: client.verify("2026-10-01", "2026-10-02"),
            lambda: client.replay("2026-10-01", "2026-10-02"),
            client.nightly,
            lambda: client.count("c", "this_day"),
        ]
        for call in calls:
            with pytest.raises(ClientClosedError):
                await call()
        with pytest.raises(ClientClosedError):
            _ = client.log

    asyncio.run(run())


def test_switched_off_validates_and_asks_nothing(tmp_path: Path) -> None:
    """enabled=False: paper receipts, refusals as ever, no query, and nothing on disk."""

    async def run() -> None:
        async with AsyncKeenClient(enabled=False, log=tmp_path / "log") as client:
            assert (await client.add_event("c", {})).id is None
            assert [r.id for r in (await client.add_events({"c": [{}, {}]}))["c"]] == [None, None]
            with pytest.raises(InvalidEventError):
                await client.add_event("c", {"a.b": 1})
            with pytest.raises(ClientClosedError, match="switched off"):
                await client.count("c", "this_day")

    asyncio.run(run())
    assert list(tmp_path.iterdir()) == []


# ---- loops, processes, servers ------------------------------------------------------------


def test_one_loop_after_another(tmp_path: Path, server: LocalServer) -> None:
    """A client used in two event loops, one after the other: records, sends and asks in both."""
    client = AsyncKeenClient(
        server.project_id,
        server.write_key,
        server.read_key,
        base_url=server.url,
        log=tmp_path / "log",
        background=False,
    )

    async def use(n: int) -> int:
        await client.add_event("loops", {"n": n})
        assert (await client.flush()).acknowledged == 1
        count = await client.count("loops", "this_2_days")
        assert isinstance(count, int)
        return count

    async def use_and_close() -> int:
        try:
            return await use(2)
        finally:
            await client.close()

    assert asyncio.run(use(1)) == 1
    with warnings.catch_warnings():
        # A loop that ends before its client is closed leaves a connection to the collector, which says so.
        warnings.simplefilter("ignore", ResourceWarning)
        assert asyncio.run(use_and_close()) == 2
        gc.collect()


def test_a_callers_http_client_serves_queries_and_stays_open(tmp_path: Path) -> None:
    """Queries go through the given httpx.AsyncClient; close leaves it to its owner."""

    async def run() -> None:
        def answer(request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, json={"result": 7})

        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
            async with opened(tmp_path / "log", http_client=http) as client:
                assert await client.count("c", "this_day") == 7
            assert not http.is_closed

    asyncio.run(run())


def test_verify_and_replay_are_awaited(tmp_path: Path, server: LocalServer) -> None:
    """Proof works through the twin: recorded, sent, matched, nothing to replay."""

    async def run() -> None:
        async with AsyncKeenClient(
            server.project_id,
            server.write_key,
            server.read_key,
            base_url=server.url,
            log=tmp_path / "log",
            background=False,
        ) as client:
            times = [f"2026-10-01T00:00:{n:02}Z" for n in range(5)]
            await asyncio.gather(*(client.add_event("proven", {"n": 1}, at) for at in times))
            assert (await client.flush()).acknowledged == 5
            report = await client.verify("2026-10-01", "2026-10-02", preset="immediate")
            assert [(w.state.value, w.local_count) for w in report.windows] == [("final", 5)]
            plan = await client.replay("2026-10-01", "2026-10-02", preset="immediate")
            assert (plan.is_dry_run, plan.planned) == (True, ())

    asyncio.run(run())


def test_a_forked_child_commits_by_a_thread_of_its_own(tmp_path: Path) -> None:
    """Threads do not survive a fork: the child's first event starts another commit thread, and nothing hangs."""
    client = AsyncKeenClient("p1", log=tmp_path / "log", base_url=NOWHERE, background=False)
    asyncio.run(_add(client, "parent"))
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            asyncio.run(_add(client, "child"))
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    asyncio.run(_add(client, "parent again"))
    assert {event.event["who"] for event in client.log.entries()} == {"parent", "child", "parent again"}
    asyncio.run(client.close())


def test_where_no_thread_can_be_started_the_event_is_recorded_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the machine's limit, or while the interpreter ends: nothing hangs, and a later event tries again."""
    client = AsyncKeenClient("p1", log=tmp_path / "log", base_url=NOWHERE, background=False)

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as limited:
        limited.setattr(threading.Thread, "start", refuse)
        asyncio.run(_add(client, "limited"))
    asyncio.run(_add(client, "unlimited"))
    assert [event.event["who"] for event in client.log.entries()] == ["limited", "unlimited"]
    asyncio.run(client.close())


async def _add(client: AsyncKeenClient, who: str) -> None:
    await asyncio.wait_for(client.add_event("c", {"who": who}), 60)
