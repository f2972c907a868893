"""Recording through the façade: receipts, all or nothing, and what is refused by name."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from keen_client import (
    BatchTooLargeError,
    InvalidCollectionNameError,
    InvalidEventError,
    KeenClient,
    Receipt,
    UsageError,
)
from keen_client.events import limits

MakeClient = Callable[..., KeenClient]


def test_receipt_names_the_event_as_the_log_has_it(make_client: MakeClient) -> None:
    """A receipt has the id, the collection, and `keen.timestamp`: aware, UTC, whole milliseconds."""
    client = make_client()

    receipt = client.add_event("purchases", {"item": "book"})

    (logged,) = client.log.entries()
    assert receipt == Receipt(logged.id, "purchases", logged.timestamp)
    assert receipt.timestamp.utcoffset() == timedelta(0)
    assert receipt.timestamp.microsecond % 1000 == 0
    assert logged.event == {
        "item": "book",
        "keen": {"timestamp": receipt.timestamp.isoformat(timespec="milliseconds").replace("+00:00", "Z")},
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (datetime(2026, 10, 1, 2, 0, 0, 123999, timezone(timedelta(hours=2))), 123_000),
        ("2026-10-01T00:00:00.123456Z", 123_000),
        ("2026-10-01T02:00:00+02:00", 0),
    ],
)
def test_a_given_time_is_kept_in_utc_and_whole_milliseconds(
    make_client: MakeClient, given: datetime | str, expected: int
) -> None:
    """Given as argument or within the event, the time is brought to UTC and truncated, never rounded up."""
    client = make_client()
    wanted = datetime(2026, 10, 1, 0, 0, 0, expected, UTC)

    assert client.add_event("c", {}, given).timestamp == wanted
    assert client.add_event("c", {"keen": {"timestamp": given}}).timestamp == wanted
    assert client.add_event("c", {"keen": {"timestamp": "2020-01-01T00:00:00Z"}}, given).timestamp == wanted
    assert [logged.timestamp for logged in client.log.entries()] == [wanted] * 3


def test_a_time_without_zone_is_refused_unless_it_was_agreed(make_client: MakeClient) -> None:
    """`naive_datetimes="utc"` reads a naive time as UTC; without, it is refused and nothing recorded."""
    naive = datetime(2026, 10, 1)
    with pytest.raises(InvalidEventError):
        make_client().add_event("c", {}, naive)

    receipt = make_client(naive_datetimes="utc").add_event("c", {}, naive)

    assert receipt.timestamp == naive.replace(tzinfo=UTC)


def test_add_events_answers_in_the_form_it_was_asked(make_client: MakeClient) -> None:
    """Receipts come by collection and in order; tuples and generators are lists too; an empty list stays one."""
    client = make_client()

    def generated() -> Iterator[dict[str, Any]]:
        yield from ({"n": n} for n in range(3))

    receipts = client.add_events({"b": ({"n": 9},), "none": [], "a": generated()})

    assert {collection: len(of) for collection, of in receipts.items()} == {"b": 1, "none": 0, "a": 3}
    assert list(receipts) == ["b", "none", "a"]
    logged = {event.id: (event.collection, event.event["n"]) for event in client.log.entries()}
    given = {
        receipt.id: (c, n)
        for c, numbers in (("b", [9]), ("a", [0, 1, 2]))
        for receipt, n in zip(receipts[c], numbers, strict=True)
    }
    assert logged == given
    assert {receipt.id.split("-")[0] for of in receipts.values() for receipt in of if receipt.id} == {
        next(iter(logged)).split("-")[0]
    }


def test_nothing_in_gives_nothing_out(make_client: MakeClient) -> None:
    """No collection, or collections without events: receipts of that form, and an empty log."""
    client = make_client()
    assert client.add_events({}) == {}
    assert client.add_events({"a": [], "b": ()}) == {"a": [], "b": []}
    assert list(client.log.entries()) == []


@pytest.mark.parametrize(
    ("events", "kind", "collection", "index"),
    [
        ({"a": [{}], "b": [{}, {"x.y": 1}]}, InvalidEventError, "b", 1),
        ({"a": [{}, {"kc": 1}]}, InvalidEventError, "a", 1),
        ({"a": [{}], "_b": [{}]}, InvalidCollectionNameError, "_b", None),
        ({"_empty": []}, InvalidCollectionNameError, "_empty", None),
        ({"a": [{}, "text"]}, InvalidEventError, "a", 1),
        ({"a": {"n": 1}}, InvalidEventError, "a", None),
        ({"a": "text"}, InvalidEventError, "a", None),
        ({"a": None}, InvalidEventError, "a", None),
        ([{"n": 1}], InvalidEventError, None, None),
    ],
)
def test_a_refused_call_records_nothing_and_names_its_place(
    make_client: MakeClient, events: Any, kind: type[InvalidEventError], collection: str, index: int | None
) -> None:
    """One bad event, name or list refuses the whole call; the error names collection and index, in words too."""
    client = make_client()

    with pytest.raises(kind) as caught:
        client.add_events(events)

    assert (caught.value.collection, caught.value.index) == (collection, index)
    assert "nothing was recorded" in str(caught.value)
    if index is not None:
        assert str(caught.value).startswith(f"{collection}[{index}]: ")
    assert list(client.log.entries()) == []


def test_a_generator_that_fails_records_nothing(make_client: MakeClient) -> None:
    """An exception of the caller's own, in the middle of the events, comes through; nothing was recorded."""

    def failing() -> Iterator[dict[str, Any]]:
        yield {"n": 1}
        raise LookupError("mine")

    client = make_client()
    with pytest.raises(LookupError, match="mine"):
        client.add_events({"a": failing()})
    assert list(client.log.entries()) == []


@pytest.mark.parametrize("enabled", [True, False])
def test_a_call_over_the_limits_is_refused_whole(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch, enabled: bool
) -> None:
    """More events or bytes than one call takes: refused before anything is recorded, switched off or not."""
    monkeypatch.setattr(limits, "CALL_EVENTS_MAX", 10)
    client = make_client(enabled=enabled)
    with pytest.raises(BatchTooLargeError):
        client.add_events({"a": ({"n": n} for n in iter(int, 1))})  # endless: it is not read to its end
    monkeypatch.setattr(limits, "CALL_SIZE_MAX_BYTES", 3_000)
    with pytest.raises(BatchTooLargeError):
        client.add_events({"a": [{"x": "y" * 2_000}], "b": [{"x": "y" * 2_000}]})
    client.add_event("a", {"x": "y" * 4_000})
    if enabled:
        assert len(list(client.log.entries())) == 1


def test_switched_off_validates_and_records_nothing(tmp_path: Path) -> None:
    """Receipts have no id but the time, nothing is made on disk, and what would be refused is refused."""
    with KeenClient(enabled=False, log=tmp_path / "log") as client:
        receipt = client.add_event("c", {}, "2026-10-01T00:00:00.123456Z")
        assert receipt == Receipt(None, "c", datetime(2026, 10, 1, 0, 0, 0, 123_000, UTC))
        now = client.add_event("c", {}).timestamp
        assert now.utcoffset() == timedelta(0)
        assert now.microsecond % 1000 == 0
        assert [receipt.id for receipt in client.add_events({"c": [{}, {}]})["c"]] == [None, None]
        with pytest.raises(InvalidEventError):
            client.add_events({"c": [{"": 1}]})
        report = client.flush()
        assert (report.acknowledged, report.rejected, report.pending, report.unknown) == (0, 0, 0, 0)
    assert list(tmp_path.iterdir()) == []


def test_threads_of_one_client_get_each_its_own_receipts(make_client: MakeClient) -> None:
    """Eight threads record at once: every receipt names the event that its thread gave."""
    client = make_client()
    given: dict[str | None, tuple[int, int]] = {}

    def work(thread: int) -> None:
        for n in range(20):
            given[client.add_event("c", {"thread": thread, "n": n}).id] = (thread, n)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    logged = {event.id: (event.event["thread"], event.event["n"]) for event in client.log.entries()}
    assert logged == given
    assert len(logged) == 160


def test_the_log_is_read_by_collection_and_time(make_client: MakeClient) -> None:
    """`entries` takes a collection and [start, end) as datetime, date or text; without zone is a usage error."""
    client = make_client()
    for day in (1, 2, 3):
        client.add_event("a", {"day": day}, datetime(2026, 10, day, tzinfo=UTC))
    client.add_event("b", {"day": 2}, datetime(2026, 10, 2, tzinfo=UTC))

    def days(*given: Any) -> list[int]:
        return [logged.event["day"] for logged in client.log.entries(*given)]

    assert days() == [1, 2, 3, 2]
    assert days("a") == [1, 2, 3]
    assert days("a", datetime(2026, 10, 2, tzinfo=UTC)) == [2, 3]
    assert days("a", date(2026, 10, 1), "2026-10-02T00:00:00Z") == [1]
    assert days(None, "2026-10-02", "2026-10-03") == [2, 2]
    with pytest.raises(UsageError):
        client.log.entries("a", datetime(2026, 10, 1))


def test_totals_are_what_is_expected_by_window(make_client: MakeClient) -> None:
    """`totals` counts by window, sent or not; bounds off the windows or without zone are usage errors."""
    client = make_client()
    hour = datetime(2026, 10, 1, 5, tzinfo=UTC)
    for minutes in (0, 1, 59, 60, 130):
        client.add_event("a", {}, hour + timedelta(minutes=minutes))

    totals = client.log.totals("a", hour, hour + timedelta(hours=4))

    assert [(window.start - hour, window.end - window.start, window.count) for window in totals] == [
        (timedelta(0), timedelta(hours=1), 3),
        (timedelta(hours=1), timedelta(hours=1), 1),
        (timedelta(hours=2), timedelta(hours=1), 1),
    ]
    assert [w.count for w in client.log.totals("a", "2026-10-01", "2026-10-02", 86_400_000)] == [5]
    assert client.log.totals("b", hour, hour + timedelta(hours=1)) == []
    for start, end in ((hour.replace(tzinfo=None), hour), (hour, hour + timedelta(minutes=30))):
        with pytest.raises(UsageError):
            client.log.totals("a", start, end)


def test_an_export_repeats_the_stored_text(make_client: MakeClient) -> None:
    """Each NDJSON line holds id, collection and the event as it goes to the server but for stamp and token."""
    client = make_client()
    receipt = client.add_event(
        "a",
        {"n": 2**63 - 1, "x": 0.1, "name": "Köln", "keen": {"location": {"city": "Köln"}}},
        "2026-10-01T00:00:00Z",
    )
    empty = client.add_event("b", {}, "2026-10-01T00:00:00Z")

    assert list(client.log.export()) == [
        (
            f'{{"id":"{receipt.id}","collection":"a","event":{{"n":9223372036854775807,"x":0.1,"name":"Köln",'
            '"keen":{"timestamp":"2026-10-01T00:00:00.000Z","location":{"city":"Köln"}}}}'
        ),
        f'{{"id":"{empty.id}","collection":"b","event":{{"keen":{{"timestamp":"2026-10-01T00:00:00.000Z"}}}}}}',
    ]
    assert list(client.log.export("b")) == list(client.log.export())[1:]
