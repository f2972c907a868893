"""Deleting events on purpose, and what the log does with that: nothing comes back by itself."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from keen_client import (
    AsyncKeenClient,
    AuthenticationError,
    InvalidEnvironmentError,
    InvalidQueryError,
    KeenClient,
    NotFoundError,
    OutcomeUnknownError,
    ServerError,
)
from keen_client.api import KeenApi, Project
from keen_client.eventlog.deletions import Deletions
from keen_client.server import LocalServer
from keen_client.transport import Secret
from keen_client.verify.report import Confirmation
from keen_client.verify.verifier import Verifier

MakeClient = Callable[..., KeenClient]

DAY = datetime(2026, 10, 1, tzinfo=UTC)
SPAN = {"start": "2026-10-01T00:00:00Z", "end": "2026-10-02T00:00:00Z"}
PENS = [{"property_name": "item", "operator": "eq", "property_value": "pen"}]
COLLECTIONS = (f"deleted{number}" for number in itertools.count())


@pytest.fixture
def collection() -> str:
    """A collection that no other test uses."""
    return next(COLLECTIONS)


@pytest.fixture
def shop(at_server: MakeClient, server: LocalServer, collection: str) -> KeenClient:
    """A client with the master key whose three events have arrived."""
    client = at_server(master_key=server.master_key)
    for hour, item in enumerate(("book", "pen", "pen")):
        client.add_event(collection, {"item": item}, DAY + timedelta(hours=hour))
    assert client.flush().acknowledged == 3
    return client


def _verify(client: KeenClient, collection: str) -> Any:
    return client.verify(
        DAY, DAY + timedelta(days=1), collections=[collection], window="1d", preset="immediate"
    )


def test_what_was_deleted_is_missing_and_not_resent(shop: KeenClient, collection: str) -> None:
    """The window is short and says why; nothing of it may be replayed."""
    assert shop.delete_events(collection, SPAN, filters=PENS) is True
    assert shop.count(collection, SPAN) == 1
    report = _verify(shop, collection)
    (window,) = report.windows
    assert (len(window.missing), window.eligible, report.eligible) == (2, (), ())
    assert "2 of the missing lie where delete_events went, and are not resent" in window.reason


def test_a_night_does_not_bring_it_back(shop: KeenClient, collection: str) -> None:
    """The whole job, once more after the window was looked at: nothing is planned, nothing arrives."""
    shop.delete_events(collection, SPAN, filters=PENS)
    for _ in range(2):
        night = shop.nightly(
            DAY, DAY + timedelta(days=1), collections=[collection], window="1d", preset="immediate"
        )
        assert (night.replay.planned, night.replay.run) == ((), None)
    assert shop.count(collection, SPAN) == 1


def test_a_deletion_while_a_replay_is_asking_is_minded(
    shop: KeenClient, server: LocalServer, collection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was eligible a moment ago is looked at once more right before it is sent."""
    project = Project(id=server.project_id, base_url=server.url, master_key=Secret(server.master_key))
    with KeenApi.open(project) as api:
        api.delete_events(collection, SPAN, filters=PENS)
    shop.nightly(
        DAY, DAY + timedelta(days=1), collections=["kc_probe"], preset="immediate"
    )  # learns that tokens are honoured
    confirm = Verifier.confirm

    def delete_meanwhile(verifier: Verifier, ids: Any) -> Confirmation:
        shop.delete_events(collection, SPAN, filters=PENS)
        return confirm(verifier, ids)

    monkeypatch.setattr(Verifier, "confirm", delete_meanwhile)
    report = shop.replay(
        DAY, DAY + timedelta(days=1), collections=[collection], window="1d", preset="immediate", yes=True
    )
    assert (report.stopped, len(report.planned)) == ("", 2)
    assert (report.run, report.replayed) == (None, ())


def test_what_was_deleted_whole_is_written_off_once_it_is_proven_absent(
    shop: KeenClient, collection: str
) -> None:
    """Without filters all of the timeframe went: once absent as often as the preset asks, the next read matches."""
    shop.delete_events(collection, {"start": "2026-10-01T01:00:00Z", "end": "2026-10-02T00:00:00Z"})
    (window,) = _verify(shop, collection).windows
    assert (len(window.missing), window.eligible) == (2, ())
    (window,) = _verify(shop, collection).windows
    assert (window.state, window.local_count, window.server_count) == ("final", 1, 1)
    assert shop._core.need_machinery().log.state.counter("deleted") >= 2


def test_what_filters_took_is_written_off_when_somebody_accepts_it(shop: KeenClient, collection: str) -> None:
    """Until then it is reported as missing, read after read; afterwards the windows match."""
    shop.delete_events(collection, SPAN, filters=PENS)
    for _ in range(3):
        (window,) = _verify(shop, collection).windows
        assert (window.state, len(window.missing)) == ("short", 2)
    (deletion,) = shop.deletions()
    assert not deletion.is_accepted
    assert shop.accept_deletion(deletion) is True
    assert shop.accept_deletion(deletion) is False  # it is another value now
    _verify(shop, collection)
    (window,) = _verify(shop, collection).windows
    assert (window.state, window.local_count) == ("final", 1)


def test_what_is_there_is_not_written_off(shop: KeenClient, collection: str) -> None:
    """A deletion that took nothing, or not everything, makes no event unexpected that the server shows."""
    shop.delete_events(collection, {"start": "2026-10-01T01:00:00Z", "end": "2026-10-01T02:00:00Z"})
    (deletion,) = shop.deletions()
    assert deletion.is_accepted
    for _ in range(3):
        (window,) = _verify(shop, collection).windows
    assert (window.state, window.local_count, window.server_count) == ("final", 2, 2)


def test_what_was_deleted_elsewhere_would_be_resent(
    shop: KeenClient, server: LocalServer, collection: str
) -> None:
    """The same deletion past the log: the events are taken for lost. That is what the note is for."""
    project = Project(id=server.project_id, base_url=server.url, master_key=Secret(server.master_key))
    with KeenApi.open(project) as api:
        assert api.delete_events(collection, SPAN, filters=PENS) is True
    assert len(_verify(shop, collection).eligible) == 2


def test_what_is_lost_elsewhere_or_later_is_still_replayed(
    shop: KeenClient, server: LocalServer, collection: str
) -> None:
    """A deletion holds back its own collection and timeframe, and what had been recorded by then."""
    shop.delete_events(collection, {"start": "2026-10-01T01:00:00Z", "end": "2026-10-01T02:00:00Z"})
    receipt = shop.add_event(collection, {"item": "ink"}, DAY + timedelta(hours=1))
    shop.flush()
    project = Project(id=server.project_id, base_url=server.url, master_key=Secret(server.master_key))
    with KeenApi.open(project) as api:
        api.delete_events(collection)
    report = _verify(shop, collection)
    assert len(report.windows[0].missing) == 4
    assert len(report.eligible) == 3  # all but the one pen of the deleted hour
    assert receipt.id in {str(entry_id) for entry_id in report.eligible}


def test_a_refused_deletion_holds_nothing_back(
    at_server: MakeClient, server: LocalServer, collection: str
) -> None:
    """An unknown collection, a wrong key or none: surely nothing was deleted, so nothing is held back."""
    client = at_server(master_key=server.master_key)
    with pytest.raises(NotFoundError, match="nothing was deleted"):
        client.delete_events(collection)
    wrong = at_server(master_key="0" * 64)
    with pytest.raises(AuthenticationError, match="nothing was deleted"):
        wrong.delete_events(collection)
    keyless = at_server()
    with pytest.raises(InvalidEnvironmentError, match="KEEN_MASTER_KEY"):
        keyless.delete_events(collection)
    assert client.deletions() + wrong.deletions() + keyless.deletions() == []


@pytest.mark.parametrize(
    ("failure", "kind"),
    [(httpx.ReadTimeout("slow"), OutcomeUnknownError), (httpx.Response(503), ServerError)],
    ids=["unanswered", "5xx"],
)
def test_a_deletion_that_may_have_happened_holds_back(
    make_client: MakeClient, failure: Any, kind: type[Exception]
) -> None:
    """It is sent once; the error says that it may or may not have been done, and the log minds it."""
    sent: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        if isinstance(failure, Exception):
            raise failure
        answer: httpx.Response = failure
        return answer

    http = httpx.Client(transport=httpx.MockTransport(handle))
    client = make_client(master_key="m" * 64, http_client=http)
    with pytest.raises(kind, match="the events may or may not have been deleted") as caught:
        client.delete_events("c", SPAN)
    assert "count" in str(getattr(caught.value, "hint", ""))
    assert len(sent) == 1
    (noted,) = client.deletions()
    assert (noted.collection, noted.start_ms, noted.end_ms) == (
        "c",
        1_790_812_800_000,
        1_790_899_200_000,
    )
    http.close()


@pytest.mark.parametrize("given", [{"filters": []}, {"timezone": "UTC"}, {"filters": [], "timezone": 0}])
def test_nothing_given_by_mistake_deletes_everything(
    shop: KeenClient, collection: str, given: dict[str, Any]
) -> None:
    """An empty list of filters names no events: it is refused, and nothing is sent or noted."""
    with pytest.raises(InvalidQueryError, match="it would be the whole collection; nothing was sent"):
        shop.delete_events(collection, **given)
    assert (shop.count(collection, SPAN), shop.deletions()) == (3, [])


def test_the_whole_collection_is_held_back_at_all_times(shop: KeenClient, collection: str) -> None:
    """Without timeframe and filters no event of it that is in the log is resent, whenever it happened."""
    long_ago = shop.add_event(collection, {"item": "old"}, datetime(1971, 1, 1, tzinfo=UTC))
    shop.delete_events(collection)
    entries = [
        entry
        for name in shop._core.need_machinery().log.shelf.names()
        for entry in shop._core.need_machinery().log.shelf.entries(name.origin, 1, 100)
    ]
    held = Deletions(shop._core.need_machinery().log.state).held_back(entries)
    assert {str(entry_id) for entry_id in held} == {str(entry.id) for entry in entries}
    assert long_ago.id in {str(entry_id) for entry_id in held}


def test_a_relative_timeframe_is_held_back_with_slack(shop: KeenClient, collection: str) -> None:
    """Its bounds are the server's; what is held back is an hour wider on both sides."""
    shop.delete_events(collection, "previous_1_days", timezone=3_600)
    (noted,) = shop.deletions()
    assert noted.end_ms - noted.start_ms == 26 * 3_600_000
    assert (noted.start_ms + 2 * 3_600_000) % 86_400_000 == 0  # midnight an hour east of UTC, less an hour


def test_the_async_twin_notes_it_too(server: LocalServer, tmp_path: Path, collection: str) -> None:
    """And withdraws it when it was refused."""

    async def run() -> tuple[int, int]:
        async with AsyncKeenClient(
            server.project_id,
            server.write_key,
            server.read_key,
            master_key=server.master_key,
            base_url=server.url,
            log=tmp_path / "log",
            background=False,
        ) as client:
            with pytest.raises(NotFoundError):
                await client.delete_events(collection)
            before = len(Deletions(client._core.need_machinery().log.state).all())
            await client.add_event(collection, {})
            await client.flush()
            assert await client.delete_events(collection) is True
            return before, len(Deletions(client._core.need_machinery().log.state).all())

    assert asyncio.run(run()) == (0, 1)
