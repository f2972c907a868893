"""Answers as tables and extractions past the cap, through both clients, against the local server."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keen_client import (
    ApiError,
    AsyncKeenClient,
    ClientClosedError,
    InvalidQueryError,
    KeenClient,
    NotFoundError,
)
from keen_client.api.extraction import EventIterator, Pages, extraction
from keen_client.client.wiring import Seams
from keen_client.queries import Analysis, Funnel
from keen_client.results import QueryResult
from keen_client.server import LocalServer
from keen_client.server import extraction as server_extraction
from keen_client.testing.clocks import VirtualClock

START = datetime(2026, 10, 1, tzinfo=UTC)
DAY = {"start": "2026-10-01T00:00:00Z", "end": "2026-10-02T00:00:00Z"}
ITEMS = ("book", "pen", None)
COUNT = 600


@pytest.fixture(scope="module")
def shop(server: LocalServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeenClient]:
    """A client whose sales have arrived: six hundred, the last third of them within one second."""
    with KeenClient(
        server.project_id,
        server.write_key,
        server.read_key,
        base_url=server.url,
        log=tmp_path_factory.mktemp("shop") / "log",
        background=False,
        seams=Seams(clock=VirtualClock(int((START + timedelta(days=2)).timestamp() * 1000))),
    ) as client:
        events = []
        for number in range(COUNT):
            at = START + (
                timedelta(minutes=number) if number < 400 else timedelta(hours=12, milliseconds=number)
            )
            body = {"number": number, "user": {"id": number % 7}, "keen": {"timestamp": at.isoformat()}}
            item = ITEMS[number % 3]
            events.append({**body, "item": item} if item else body)
        client.add_events({"sales": events})
        assert client.flush().acknowledged == COUNT
        yield client


ANALYSES: dict[str, dict[str, Any]] = {
    "plain": {"analysis_type": "count"},
    "interval": {"analysis_type": "sum", "target_property": "number", "interval": "hourly"},
    "group_by": {"analysis_type": "average", "target_property": "number", "group_by": ["item", "user.id"]},
    "both": {
        "analysis_type": "maximum",
        "target_property": "number",
        "interval": "hourly",
        "group_by": "item",
    },
    "select_unique": {"analysis_type": "select_unique", "target_property": "user.id"},
    "select_unique by": {"analysis_type": "select_unique", "target_property": "user.id", "group_by": "item"},
    **{
        f"multi {name}": {
            "analysis_type": "multi_analysis",
            "analyses": {
                "n": {"analysis_type": "count"},
                "users": {"analysis_type": "count_unique", "target_property": "user.id"},
            },
            **shape,
        }
        for name, shape in {
            "plain": {},
            "interval": {"interval": "every_6_hours"},
            "group_by": {"group_by": "item"},
            "both": {"interval": "every_6_hours", "group_by": "item"},
        }.items()
    },
    "extraction": {"analysis_type": "extraction", "latest": 50},
}


def _in_order(value: Any) -> Any:
    """Groups and distinct values come in no order."""
    if isinstance(value, dict):
        return {name: _in_order(member) for name, member in value.items()}
    return sorted(map(_in_order, value), key=repr) if isinstance(value, list) else value


@pytest.mark.parametrize("name", ANALYSES)
def test_every_shape_of_answer_becomes_a_table(shop: KeenClient, name: str) -> None:
    """As many rows in the table as rows, under the same columns; the value is Keen's own."""
    analysis = Analysis(event_collection="sales", timeframe=DAY, **ANALYSES[name])
    result = shop.run(analysis)
    assert _in_order(result.value) == _in_order(shop.query(analysis))
    table = result.to_arrow()
    assert table.num_rows == len(result.rows) > 0
    assert table.column_names == list(result.columns)
    assert len(result.to_pandas()) == result.to_polars().height == len(result.rows)


def test_grouped_counts_add_up(shop: KeenClient) -> None:
    """No row is lost or doubled on the way, the group without an item among them."""
    result = shop.run(
        Analysis(
            analysis_type="count", event_collection="sales", timeframe=DAY, interval="hourly", group_by="item"
        )
    )
    assert sum(row["result"] for row in result.rows) == COUNT
    assert {row["item"] for row in result.rows} == set(ITEMS)
    assert {row["timeframe.start"] for row in result.rows} == {START + timedelta(hours=n) for n in range(24)}


def test_a_funnel_becomes_a_table(shop: KeenClient) -> None:
    """One row a step, with its actors where asked for."""
    step = {"event_collection": "sales", "actor_property": "user.id"}
    only = {"property_name": "number", "operator": "lt", "property_value": 3}
    funnel = Funnel(steps=[step, {**step, "filters": [only], "with_actors": True}], timeframe=DAY)
    rows = shop.run(funnel).rows
    assert [(row["step"], row["result"]) for row in rows] == [(1, 7), (2, 3)]
    assert [sorted(row["actors"] or ()) for row in rows] == [[], [0, 1, 2]]


def test_metadata_comes_where_it_is_asked_for(shop: KeenClient) -> None:
    """What the query scanned."""
    result = shop.run(
        Analysis(analysis_type="count", event_collection="sales", timeframe=DAY, include_metadata=True)
    )
    assert result.metadata is not None
    assert result.metadata["events_scanned"] == COUNT


def test_a_query_with_two_columns_of_one_name_is_not_sent(shop: KeenClient) -> None:
    """Though the server would answer it."""
    analysis = Analysis(
        analysis_type="count", event_collection="sales", timeframe=DAY, group_by=["item", "item"]
    )
    with pytest.raises(InvalidQueryError, match="nothing was sent"):
        shop.run(analysis)


def test_all_events_come_in_order_of_time(shop: KeenClient) -> None:
    """In pages far smaller than the timeframe; two thirds spread over the day, one third in a second."""
    events = list(shop.extract("sales", DAY, page_events=50))
    assert [event["number"] for event in events] == list(range(COUNT))
    assert {"item", "user", "keen", "number", "kc"} >= set(events[0])


def test_property_names_and_filters_hold(shop: KeenClient) -> None:
    """Only what was asked for, of those that were meant."""
    pens = [{"property_name": "item", "operator": "eq", "property_value": "pen"}]
    events = list(shop.extract("sales", DAY, filters=pens, property_names=["user.id"], page_events=20))
    assert events == [{"user": {"id": number % 7}} for number in range(COUNT) if number % 3 == 1]


def test_a_relative_timeframe_is_by_the_clients_clock(shop: KeenClient) -> None:
    """Two days after the sales, ``yesterday`` holds none of them, and the two days before all."""
    assert list(shop.extract("sales", "yesterday")) == []
    assert len(list(shop.extract("sales", "previous_2_days"))) == COUNT
    # In California it is still the day before, which began at seven in the morning UTC.
    late = [event["number"] for event in shop.extract("sales", "yesterday", "US/Pacific")]
    assert late == list(range(400, COUNT))


def test_the_server_may_refuse_what_the_counts_promised(
    shop: KeenClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a cap of 60 events on its side, known to the client or not, every event still comes once."""
    monkeypatch.setattr(server_extraction, "MAX_EXTRACTED", 60)
    events = list(shop.extract("sales", DAY))
    assert [event["number"] for event in events] == list(range(COUNT))
    wanted = extraction("sales", DAY, now_ms=0)
    known = EventIterator(shop.run_steps, Pages(wanted, page_events=60, extraction_max=60))
    assert [event["number"] for event in known] == list(range(COUNT))


def test_a_scan_cap_is_cut_below_too(server: LocalServer, shop: KeenClient) -> None:
    """Where even the count is refused, halves are tried."""
    server.faults.change({"scan-cap": "100"})
    try:
        events = list(shop.extract("sales", DAY))
    finally:
        server.faults.change({"scan-cap": None})
    assert [event["number"] for event in events] == list(range(COUNT))


def test_the_async_twin_does_the_same(server: LocalServer, tmp_path: Path) -> None:
    """``run`` awaited, ``extract`` in ``async for``."""

    async def ask() -> tuple[QueryResult, list[int], int | None]:
        async with AsyncKeenClient(
            server.project_id,
            server.write_key,
            server.read_key,
            base_url=server.url,
            log=tmp_path / "log",
            background=False,
        ) as keen:
            result = await keen.run(Analysis(analysis_type="count", event_collection="sales", timeframe=DAY))
            events = keen.extract("sales", DAY, page_events=100)
            return result, [event["number"] async for event in events], events.expected

    result, numbers, expected = asyncio.run(ask())
    assert result.rows == [{"result": COUNT}]
    assert numbers == list(range(COUNT))
    assert expected == COUNT


def test_twins_take_the_same_parameters() -> None:
    """Who knows one knows the other."""
    for name in ("run", "extract"):
        ours, theirs = (
            inspect.signature(getattr(kind, name)).parameters for kind in (KeenClient, AsyncKeenClient)
        )
        assert list(ours) == list(theirs)


def test_what_cannot_be_extracted_is_told_at_the_call(shop: KeenClient) -> None:
    """Not at the first event; and a collection that does not exist at the first one, by the server."""
    with pytest.raises(InvalidQueryError):
        shop.extract("sales", "this_7_parsecs")
    with pytest.raises(InvalidQueryError):
        shop.extract("sales", "today", timezone="Nowhere/City")
    events = shop.extract("no_such_collection", DAY)
    with pytest.raises(NotFoundError):
        next(events)


def test_a_bad_filter_is_told_in_the_servers_words(shop: KeenClient) -> None:
    """And not after forty halvings."""
    bad = [{"property_name": "item", "operator": "regex", "property_value": "("}]
    with pytest.raises(ApiError, match="cannot be run"):
        next(shop.extract("sales", DAY, filters=bad))


def test_a_closed_client_extracts_nothing(make_client: Callable[..., KeenClient]) -> None:
    """The iterator ends by an error, not as if all events had come."""
    client = make_client()
    events = client.extract("sales", DAY)
    client.close()
    with pytest.raises(ClientClosedError):
        next(events)
