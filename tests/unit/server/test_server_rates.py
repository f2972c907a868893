"""Rate limits of the platform's kind, on request: which calls they count, and how long they last."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import httpx
import pytest

from keen_client._foundation.clock import MS_PER_MINUTE
from keen_client.server import LocalServer
from keen_client.server.rate_limit import PLATFORM_LIMITS, MinuteCounter, RateClass, RateLimits
from keen_client.server.refusal import Refusal

if TYPE_CHECKING:
    from tests.unit.server.conftest import Desk

MINUTE_NS = MS_PER_MINUTE * 1_000_000


@pytest.fixture
def limited(make_desk: Callable[..., Desk]) -> Desk:
    """A server with small limits: two of each class, three deletes of whole collections."""
    return make_desk(rate_limits=dict.fromkeys(RateClass, 2) | {RateClass.COLLECTION_DELETES: 3})


def _statuses(desk: Desk, count: int, kind: str = "count") -> list[int]:
    return [desk.query(kind).status_code for _ in range(count)]


def test_over_the_limit_a_class_is_refused_for_a_minute_and_others_are_not(limited: Desk) -> None:
    """The first call too many blocks its class for the next minute; extractions and writes go on."""
    limited.write({"a": 1})
    assert _statuses(limited, 4) == [200, 200, 429, 429]
    assert _statuses(limited, 3, "extraction") == [200, 200, 429]
    limited.write({"a": 2})
    limited.clock.now_ms += MS_PER_MINUTE - 1
    assert _statuses(limited, 1) == [429]
    limited.clock.now_ms += 1
    assert _statuses(limited, 1) == [200]


def test_a_refused_query_says_so_in_the_usual_form(limited: Desk) -> None:
    """429 with ``message`` and ``error_code``; a query that found nothing was counted too."""
    assert _statuses(limited, 2) == [404, 404]
    reply = limited.query()
    assert (reply.status_code, reply.json()["error_code"]) == (429, "RateLimitedError")
    assert "200" not in reply.json()["message"]
    assert "2 queries" in reply.json()["message"]


def test_deletes_are_counted_apart_from_deletes_of_whole_collections(limited: Desk) -> None:
    """What has a timeframe or filters, and what takes a property, is a delete; the rest takes a collection."""
    for number in range(5):
        limited.write({"a": 1, "b": 2}, collection=f"c{number}")
    selecting = {"timeframe": "previous_1_days"}
    assert limited.call("DELETE", "/events/c0", params=selecting).status_code == 204
    assert limited.call("DELETE", "/events/c0/properties/b").status_code == 204
    assert limited.call("DELETE", "/events/c1", params=selecting).status_code == 429
    whole = [limited.call("DELETE", f"/events/c{number}").status_code for number in range(1, 5)]
    assert whole == [204, 204, 204, 429]
    left = limited.call("GET", "/events").json()
    assert [collection["name"] for collection in left] == ["c0", "c4"]


def test_updates_are_counted_apart(limited: Desk) -> None:
    """Two updates here; deletes are another class."""
    limited.write({"a": 1})
    body = {"property_updates": [{"property_name": "a", "property_value": 2}]}
    statuses = [limited.call("PUT", "/events/c", json=body).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    assert limited.call("DELETE", "/events/c/properties/a").status_code == 204


def test_the_results_of_saved_queries_are_not_limited(limited: Desk) -> None:
    """Saved queries are read as often as one likes."""
    limited.write({"a": 1})
    query = {"analysis_type": "count", "event_collection": "c", "timeframe": "this_1_days"}
    assert (
        limited.call("PUT", "/queries/saved/s", json={"query": query, "refresh_rate": 0}).status_code == 201
    )
    replies = [limited.call("GET", "/queries/saved/s/result") for _ in range(5)]
    assert [reply.status_code for reply in replies] == [200] * 5


def test_without_limits_nothing_is_limited(desk: Desk) -> None:
    """Limits are off unless they are asked for."""
    desk.write({"a": 1})
    assert set(_statuses(desk, 250)) == {200}


def test_a_server_with_limits_has_those_of_the_platform() -> None:
    """200 queries, 200 extractions, 10 updates, 10 deletes and 100 deletes of whole collections a minute."""
    assert [PLATFORM_LIMITS[rate_class] for rate_class in RateClass] == [200, 200, 10, 10, 100]
    with (
        LocalServer(rate_limits=True) as server,
        httpx.Client(base_url=server.url, headers={"Authorization": server.master_key}) as client,
    ):
        collection = f"/3.0/projects/{server.project_id}/events/c"
        assert client.post(collection, json={}).status_code == 201
        replies = [client.delete(collection, params={"timeframe": "previous_1_days"}) for _ in range(11)]
    assert [reply.status_code for reply in replies] == [204] * 10 + [429]


def test_a_minute_slides() -> None:
    """Calls count for sixty seconds each, not until a whole minute of the clock ends."""
    counter = MinuteCounter()
    assert not counter.is_over(2, 0)
    assert not counter.is_over(2, MINUTE_NS - 1)
    assert not counter.is_over(2, MINUTE_NS)
    assert counter.is_over(2, MINUTE_NS + 1)
    assert counter.is_over(2, 2 * MINUTE_NS)
    assert not counter.is_over(2, 2 * MINUTE_NS + 1)
    counter.reset()
    assert not counter.is_over(1, 2 * MINUTE_NS + 2)


def test_a_class_without_a_limit_is_not_counted() -> None:
    """Only what has a limit can be refused."""
    limits = RateLimits({RateClass.DELETES: 1})
    for _ in range(3):
        limits.take(RateClass.QUERIES, 0)
    limits.take(RateClass.DELETES, 0)
    for _ in range(2):
        with pytest.raises(Refusal) as caught:
            limits.take(RateClass.DELETES, 0)
        assert (caught.value.status, caught.value.error_code) == (429, "RateLimitedError")
