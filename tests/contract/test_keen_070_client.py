"""The official client, PyPI keen 0.7.0, unchanged, against the local server."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import httpx
import pytest

from keen_client.server import LocalServer

with warnings.catch_warnings():
    # The client of 2021 and what it imports warn about today's Python; the tests are about the wire.
    warnings.simplefilter("ignore")
    from keen.client import KeenClient
    from keen.exceptions import KeenApiError

TIMEFRAME: Final = {"start": "2024-01-01T00:00:00.000Z", "end": "2024-01-04T00:00:00.000Z"}
EVENTS: Final = [
    ("2024-01-01T00:00:00.000Z", {"item": "book", "price": 10, "user": {"id": "u1"}}),
    ("2024-01-01T12:30:00.000Z", {"item": "book", "price": 20, "user": {"id": "u2"}}),
    ("2024-01-02T00:00:00.000Z", {"item": "pen", "price": 5, "user": {"id": "u1"}}),
    ("2024-01-03T00:00:00.000Z", {"price": 40, "user": {"id": "u2"}}),
]
BOOKS: Final = [{"property_name": "item", "operator": "eq", "property_value": "book"}]


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    """A server that holds the reference events in ``purchases``, written by the official client."""
    with LocalServer() as running:
        client = _client(running)
        batch = [{**event, "keen": {"timestamp": at}} for at, event in EVENTS]
        assert client.add_events({"purchases": batch}) == {"purchases": [{"success": True}] * len(EVENTS)}
        yield running
        client.api.session.close()


def _client(server: LocalServer) -> Any:
    return KeenClient(
        project_id=server.project_id,
        write_key=server.write_key,
        read_key=server.read_key,
        master_key=server.master_key,
        base_url=server.url,
    )


@pytest.fixture
def client(server: LocalServer) -> Iterator[Any]:
    """The official client."""
    made = _client(server)
    yield made
    made.api.session.close()


@pytest.mark.parametrize(
    ("method", "arguments", "expected"),
    [
        ("count", {}, 4),
        ("sum", {"target_property": "price"}, 75),
        ("minimum", {"target_property": "price"}, 5),
        ("maximum", {"target_property": "price"}, 40),
        ("average", {"target_property": "price"}, 18.75),
        ("median", {"target_property": "price"}, 10),
        ("percentile", {"target_property": "price", "percentile": 90}, 40),
        ("count_unique", {"target_property": "user.id"}, 2),
        ("select_unique", {"target_property": "item"}, ["book", "pen"]),
    ],
)
def test_each_analysis_answers(client: Any, method: str, arguments: dict[str, Any], expected: Any) -> None:
    """Every aggregation of the client over an absolute timeframe."""
    result = getattr(client, method)("purchases", timeframe=TIMEFRAME, **arguments)
    assert (sorted(result) if isinstance(result, list) else result) == expected


def test_intervals_filters_groups_orders_and_limits_pass(client: Any) -> None:
    """The parameters that the client encodes in its query string are understood."""
    daily = client.count("purchases", timeframe=TIMEFRAME, interval="daily", timezone="UTC")
    assert [part["value"] for part in daily] == [2, 1, 1]
    assert client.count("purchases", timeframe=TIMEFRAME, filters=BOOKS) == 2
    groups = client.sum(
        "purchases", target_property="price", timeframe=TIMEFRAME, group_by=["item", "user.id"]
    )
    assert {(row["item"], row["user.id"]): row["result"] for row in groups} == {
        ("book", "u1"): 10,
        ("book", "u2"): 20,
        ("pen", "u1"): 5,
        (None, "u2"): 40,
    }
    ordered = client.count(
        "purchases",
        timeframe=TIMEFRAME,
        group_by="item",
        order_by={"property_name": "result", "direction": "DESC"},
        limit=1,
    )
    assert ordered == [{"item": "book", "result": 2}]


def test_a_multi_analysis_names_its_values(client: Any) -> None:
    """Labels come back, by interval and group too."""
    analyses = {"n": {"analysis_type": "count"}, "s": {"analysis_type": "sum", "target_property": "price"}}
    assert client.multi_analysis("purchases", analyses=analyses, timeframe=TIMEFRAME) == {"n": 4, "s": 75}
    parts = client.multi_analysis(
        "purchases", analyses=analyses, timeframe=TIMEFRAME, interval="daily", group_by="item", filters=BOOKS
    )
    assert [part["value"] for part in parts] == [
        [{"item": "book", "n": 2, "s": 30}],
        [{"item": "book", "n": 0, "s": 0}],
        [{"item": "book", "n": 0, "s": 0}],
    ]


def test_an_extraction_is_newest_first_and_can_be_narrowed(client: Any) -> None:
    """``latest`` and ``property_names``, a string or a list."""
    events = client.extraction("purchases", timeframe=TIMEFRAME)
    assert [event["price"] for event in events] == [40, 5, 20, 10]
    assert all(len(event["keen"]["id"]) == 24 for event in events)
    latest = client.extraction(
        "purchases", timeframe=TIMEFRAME, latest=1, property_names=["price", "user.id"]
    )
    assert latest == [{"price": 40, "user": {"id": "u2"}}]
    assert client.extraction("purchases", timeframe=TIMEFRAME, latest=1, property_names="price") == [
        {"price": 40}
    ]


def test_single_events_and_relative_timeframes(client: Any) -> None:
    """An event of now is in this hour; one with a timestamp of the past is not."""
    client.add_event("visits", {"page": "a"})
    client.add_event("visits", {"page": "b"}, timestamp=datetime(2024, 1, 1, tzinfo=UTC))
    assert client.count("visits", timeframe="this_2_days") == 1
    assert client.count("visits", timeframe="today", timezone=0, filters=[]) <= 1
    assert client.count("visits", timeframe="previous_100_years") >= 1


def test_schemas_and_deletion(client: Any) -> None:
    """What the client can inspect and delete."""
    client.add_event("doomed", {"n": 1})
    client.add_event("doomed", {"n": 2})
    assert client.get_collection("doomed")["properties"]["n"] == "num"
    assert "doomed" in [collection["name"] for collection in client.get_all_collections()]
    below = [{"property_name": "n", "operator": "lt", "property_value": 2}]
    assert client.delete_events("doomed", timeframe="this_2_days", timezone=0, filters=below) is True
    assert client.count("doomed", timeframe="this_2_days") == 1


def test_an_image_beacon_records(server: LocalServer, client: Any) -> None:
    """The URL that the client makes, unescaped base64 and all, stores its event."""
    client.api.write_key = server.write_key.encode()
    url = client.generate_image_beacon("beacons", {"text": "é>?~ÿþ"})
    client.api.write_key = server.write_key
    response = httpx.get(url, headers={"accept": "image/png,image/*"})
    assert (response.status_code, response.headers["content-type"]) == (200, "image/gif")
    assert client.select_unique("beacons", target_property="text", timeframe="this_2_days") == ["é>?~ÿþ"]


def test_errors_reach_the_client_by_name(client: Any) -> None:
    """Both ``message`` and ``error_code`` are there, or the client would crash."""
    with pytest.raises(KeenApiError, match="ResourceNotFoundError"):
        client.count("nowhere", timeframe="today")
    with pytest.raises(KeenApiError, match="InvalidPropertyNameError"):
        client.add_event("purchases", {"a.b": 1})
