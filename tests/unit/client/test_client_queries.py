"""Keen's analyses through the client, against the local server; what a flush reports on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keen_client import (
    AuthenticationError,
    InvalidEnvironmentError,
    InvalidQueryError,
    InvalidRequestError,
    KeenClient,
    NotFoundError,
)
from keen_client.server import LocalServer

MakeClient = Callable[..., KeenClient]

START = datetime(2026, 10, 1, tzinfo=UTC)
DAY = {"start": "2026-10-01T00:00:00Z", "end": "2026-10-02T00:00:00Z"}
#: (item, price, hour of the day)
SALES = [("book", 10, 0), ("book", 12, 0), ("pen", 2, 1), ("pen", 3, 3), ("pen", 2, 3)]


@pytest.fixture(scope="module")
def shop(server: LocalServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeenClient]:
    """A client whose few sales have arrived."""
    with KeenClient(
        server.project_id,
        server.write_key,
        server.read_key,
        base_url=server.url,
        log=tmp_path_factory.mktemp("shop") / "log",
        background=False,
    ) as client:
        for item, price, hour in SALES:
            client.add_event("sales", {"item": item, "price": price}, START + timedelta(hours=hour))
        assert client.flush().acknowledged == len(SALES)
        yield client


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("count", {}, 5),
        ("sum", {"target_property": "price"}, 29),
        ("minimum", {"target_property": "price"}, 2),
        ("maximum", {"target_property": "price"}, 12),
        ("average", {"target_property": "price"}, 5.8),
        ("median", {"target_property": "price"}, 3),
        ("count_unique", {"target_property": "item"}, 2),
        ("select_unique", {"target_property": "item"}, ["book", "pen"]),
    ],
)
def test_an_analysis_answers_with_its_result(
    shop: KeenClient, name: str, given: dict[str, Any], expected: Any
) -> None:
    """Each method returns the `result` of Keen's answer, by keyword as the official client has them."""
    result = getattr(shop, name)("sales", timeframe=DAY, **given)
    assert (sorted(result) if isinstance(result, list) else result) == expected


def test_groups_filters_and_intervals(shop: KeenClient) -> None:
    """`group_by` gives rows, `filters` leave events out, `interval` gives windows; all at once too."""
    pens = [{"property_name": "item", "operator": "eq", "property_value": "pen"}]
    assert shop.count("sales", DAY, filters=pens) == 3
    rows = shop.sum("sales", "price", DAY, group_by="item")
    assert {row["item"]: row["result"] for row in rows} == {"book": 22, "pen": 7}
    hours = shop.count(
        "sales", {"start": "2026-10-01T00:00:00Z", "end": "2026-10-01T04:00:00Z"}, interval="hourly"
    )
    assert [hour["value"] for hour in hours] == [2, 1, 0, 2]
    both = shop.maximum("sales", "price", DAY, interval="daily", group_by=["item"], filters=pens)
    assert [(row["item"], row["result"]) for row in both[0]["value"]] == [("pen", 3)]


def test_an_extraction_shows_the_events_as_recorded(shop: KeenClient) -> None:
    """Properties, the given timestamp, and the stamp with the receipt's id."""
    events = shop.extraction("sales", timeframe=DAY, latest=100)
    logged = {event.id: event.event for event in shop.log.entries("sales")}
    assert {event["kc"]["id"]: event["item"] for event in events} == {
        event_id: event["item"] for event_id, event in logged.items()
    }
    assert {event["keen"]["timestamp"] for event in events} == {
        event["keen"]["timestamp"] for event in logged.values()
    }


def test_several_analyses_in_one_request(shop: KeenClient) -> None:
    """`multi_analysis` answers under the caller's labels."""
    result = shop.multi_analysis(
        "sales",
        {
            "how many": {"analysis_type": "count"},
            "turnover": {"analysis_type": "sum", "target_property": "price"},
        },
        timeframe=DAY,
    )
    assert result == {"how many": 5, "turnover": 29}


def test_a_query_that_keen_would_refuse_is_refused_here(shop: KeenClient) -> None:
    """Nothing is sent for a query that cannot be meant; a collection that is not there is Keen's own word."""
    with pytest.raises(InvalidQueryError):
        shop.count("sales", DAY, limit=3)
    with pytest.raises(NotFoundError):
        shop.count("never_seen", DAY)


def test_a_query_without_a_timeframe_is_for_the_server_to_refuse(shop: KeenClient) -> None:
    """Keen's earlier API took it for all time, so it is sent; today's demands one, and the error is the server's."""
    for ask in (shop.count, shop.extraction):
        with pytest.raises(InvalidRequestError, match="timeframe") as caught:
            ask("sales")
        assert caught.value.status == 400


def test_queries_need_the_read_key(at_server: MakeClient) -> None:
    """Without one the error names it; with a wrong one Keen's refusal is typed."""
    with pytest.raises(InvalidEnvironmentError) as caught:
        at_server(read_key=None).count("sales", DAY)
    assert "read" in str(caught.value)
    with pytest.raises(AuthenticationError):
        at_server(read_key="0" * 64).count("sales", DAY)


def test_flush_reports_counts_of_this_call(at_server: MakeClient, server: LocalServer) -> None:
    """Acknowledged and rejected count this call only; pending and unknown are what is left; the reason says why."""
    client = at_server()
    client.add_events({"flushed": [{"n": n} for n in range(3)]})
    assert client.flush().acknowledged == 3
    client.add_events({"flushed": [{"n": 4}, {"n": 5, "keen": {"made_up": 1}}]})
    report = client.flush()
    assert (report.acknowledged, report.rejected, report.pending, report.unknown) == (1, 1, 0, 0)
    assert (report.reason, report.is_drained) == ("", True)
    assert client.log.backlog().rejected == 1

    server.faults.change({"http-500": {"times": 1}})
    client.add_event("flushed", {"n": 6})
    report = client.flush()
    assert (report.acknowledged, report.pending, report.unknown) == (0, 0, 1)
    assert "500" in report.reason
    assert not report.is_drained


def test_flush_with_no_time_left_reports_what_waits(make_client: MakeClient) -> None:
    """A flush of zero seconds sends nothing and still says what is in the log, and why."""
    client = make_client()
    client.add_event("c", {})
    report = client.flush(0)
    assert (report.acknowledged, report.pending) == (0, 1)
    assert report.reason
