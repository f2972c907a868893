"""npm keen-tracking 5.0.1, unchanged, in node, against ``keen-client serve``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from keen_client import KeenClient
from tests.contract.reckoning import TIMEFRAME, Reckoning, orders
from tests.peers.conftest import RunNode
from tests.peers.served import Served

pytestmark = pytest.mark.peers

Tracking = Any


@pytest.fixture
def tracking(run_node: RunNode, served: Served) -> Iterator[Tracking]:
    """Runs a scenario of ``tracking.js`` against the server; faults end with the test."""

    def run(
        scenario: str, *, server: Served = served, config: dict[str, Any] | None = None, **given: Any
    ) -> Any:
        settings = {
            "projectId": server.ready["project_id"],
            "writeKey": server.ready["write_key"],
            "protocol": "http",
            "host": "127.0.0.1",
            "nodeRequestConfig": {"port": server.port},
            **(config or {}),
        }
        return run_node("tracking.js", {"scenario": scenario, "config": settings, **given})

    yield run
    served.faults(http_500=0, html_502=0, cut_after_store=0)


def same(stored: list[dict[str, Any]], sent: list[dict[str, Any]]) -> bool:
    """Whether both hold the same events, each as often; timestamps that the server gave are left out."""

    def bag(events: list[dict[str, Any]], *, timed: bool) -> Counter[bytes]:
        bodies = (event if timed else {n: v for n, v in event.items() if n != "keen"} for event in events)
        return Counter(orjson.dumps(body, option=orjson.OPT_SORT_KEYS) for body in bodies)

    timed = all("keen" in event for event in sent)
    return bag(stored, timed=timed) == bag(sent, timed=timed)


def test_single_events_are_stored_as_sent(tracking: Tracking, served: Served) -> None:
    """`recordEvent` resolves with what the server said, and each event is there once, under any collection's name."""
    names = ["sales", "a b/c?d#e", "100% <i>"]
    events = [(names[number % 3], order) for number, order in enumerate(orders(1, 12))]
    assert tracking("recordEvent", events=events) == [{"resolved": {"created": True}}] * 12
    for name in names:
        assert same(served.stored(name), [order for collection, order in events if collection == name])


def test_each_form_of_a_call_hears_the_answer(tracking: Tracking, served: Served) -> None:
    """Promise, callback and the form with one object: each stores one event and says so."""
    event = {"page": "/", "title": "<b>\u2028 Größe"}
    outcomes = tracking("recordEventForms", events=[["forms", event]])
    assert outcomes == [{"resolved": {"created": True}}, *[{"error": None, "result": {"created": True}}] * 2]
    assert same(served.stored("forms"), [event] * 3)


def test_a_batch_gives_the_numbers_that_plain_python_gives(
    tracking: Tracking, served: Served, tmp_path: Path
) -> None:
    """`recordEvents` of some hundred orders: our client's queries agree with a computation over the same list."""
    batch = {"orders": orders(2, 300), "returns": orders(3, 20)}
    expected = {name: [{"success": True}] * len(events) for name, events in batch.items()}
    assert tracking("recordEvents", batch=batch) == [
        {"resolved": expected},
        {"error": None, "result": expected},
    ]
    reckoning = Reckoning(batch["orders"] * 2).within(TIMEFRAME["start"], TIMEFRAME["end"])
    assert 0 < len(reckoning.events) < 600
    with KeenClient(
        served.ready["project_id"],
        read_key=served.ready["read_key"],
        base_url=served.url,
        log=tmp_path / "log",
        background=False,
    ) as client:
        assert client.count("orders", TIMEFRAME) == reckoning.answer("count")
        assert client.sum("orders", "price_cents", TIMEFRAME) == reckoning.answer("sum", "price_cents")
        assert client.median("orders", "price_cents", TIMEFRAME) == reckoning.answer("median", "price_cents")
        rows = client.sum("orders", "price_cents", TIMEFRAME, group_by=["item"], interval="daily")
        assert [part["timeframe"] for part in rows] == [timeframe for timeframe, _ in reckoning.daily()]
        for part, (_, day) in zip(rows, reckoning.daily(), strict=True):
            told = {row["item"]: row["result"] for row in part["value"]}
            assert told == {
                item: day.by("item").get((item,), Reckoning([])).answer("sum", "price_cents")
                for (item,) in reckoning.by("item")
            }
    assert same(served.stored("returns"), batch["returns"] * 2)


def test_deferred_events_are_sent_by_a_flush(tracking: Tracking, served: Served) -> None:
    """`deferEvent` and `deferEvents` hold back; recordDeferredEvents sends all, each once."""
    single, listed = orders(4, 7), orders(5, 5)
    outcomes = tracking(
        "deferAndFlush", events=[["deferred", order] for order in single], batch={"deferred": listed}
    )
    assert outcomes == [{"queued": 12}, {"queued": 0}]
    assert same(served.stored("deferred"), single + listed)


@pytest.mark.parametrize(("why", "capacity", "interval"), [("full", 5, 3_600), ("due", 5_000, 1)])
def test_a_queue_flushes_itself(
    tracking: Tracking, served: Served, why: str, capacity: int, interval: int
) -> None:
    """A queue that is full, or whose time has come, is sent without being asked to; nothing is sent twice."""
    collection, events = f"queue {why}", orders(6, 7)
    pairs = [[collection, order] for order in events]
    assert tracking("deferUntilFlushed", capacity=capacity, interval=interval, events=pairs) == [
        {"flushed": 7}
    ]
    assert same(served.stored(collection), events)


def test_extended_events_carry_what_was_added(tracking: Tracking, served: Served) -> None:
    """`extendEvents` and `extendEvent` merge deeply, functions are called an event, the event's own values win."""
    own = [{"n": 1}, {"n": 2, "app": {"name": "kiosk"}}, {"n": 3, "channel": "phone"}]
    events = [["extended", body] for body in own] + [["plain", {"n": 4}]]
    outcomes = tracking("extend", extended="extended", events=events, batch={"extended": [{"n": 5}]})
    assert outcomes[:4] == [{"resolved": {"created": True}}] * 4
    expected = [
        {"app": {"name": "shop", "version": 4}, "number": 1, "channel": "web", "n": 1},
        {"app": {"name": "kiosk", "version": 4}, "number": 2, "channel": "web", "n": 2},
        {"app": {"name": "shop", "version": 4}, "number": 3, "channel": "phone", "n": 3},
        {"app": {"name": "shop", "version": 4}, "number": 5, "channel": "web", "n": 5},
    ]
    assert same(served.stored("extended"), expected)
    assert same(served.stored("plain"), [{"app": {"name": "shop", "version": 3}, "number": 4, "n": 4}])


def test_a_unique_event_is_sent_once(tracking: Tracking, served: Served) -> None:
    """With ``unique`` a repeat is held back by the client, and another event is not."""
    events = [["visits", {"who": who}] for who in ("a", "b", "a", "a")]
    first, second, *repeats = tracking("unique", events=events)
    assert first == second == {"resolved": {"created": True}}
    assert [repeat["resolved"]["created"] for repeat in repeats] == [False, False]
    assert same(served.stored("visits"), [{"who": "a"}, {"who": "b"}])


@pytest.mark.parametrize("fault", ["http_500", "html_502"])
def test_a_failing_server_is_asked_again_until_it_answers(
    tracking: Tracking, served: Served, fault: str
) -> None:
    """Three failures, an error of the server or of a proxy before it: the fourth try stores the event, once."""
    struck = served.faults(**{fault: {"times": 3}}).get(fault.replace("_", "-"), 0)
    assert tracking("recordEvent", events=[[fault, {"n": 1}]]) == [{"resolved": {"created": True}}]
    assert served.faults()[fault.replace("_", "-")] - struck == 3
    assert same(served.stored(fault), [{"n": 1}])


def test_a_server_that_stays_broken_is_given_up(tracking: Tracking, served: Served) -> None:
    """After the last try the promise is rejected with the answer, and nothing is stored."""
    served.faults(html_502=1)
    config = {"retry": {"limit": 2, "initialDelay": 5}}
    (outcome,) = tracking("recordEvent", config=config, events=[["broken", {"n": 1}]])
    assert "502 Bad Gateway" in outcome["rejected"]
    served.faults(html_502=0)
    assert served.stored("broken") == []


def test_a_retry_after_a_lost_answer_doubles_unless_a_token_names_the_event(
    tracking: Tracking, served: Served
) -> None:
    """The client repeats a write whose answer was cut off: stored twice, but once where a uniqueness token is given."""
    config = {"retry": {"limit": 3, "initialDelay": 5}}
    for collection, keen, copies in (("bare", {}, 2), ("named", {"uniqueness_token": "order-1"}, 1)):
        served.faults(cut_after_store={"times": 1})
        event = {"n": 1, "keen": {"timestamp": "2024-01-01T00:00:00.000Z", **keen}}
        outcomes = tracking("recordEvent", config=config, events=[[collection, event]])
        assert outcomes == [{"resolved": {"created": True}}]
        assert [stored["n"] for stored in served.stored(collection)] == [1] * copies


def test_what_the_server_refuses_is_an_error_with_its_name(tracking: Tracking, served: Served) -> None:
    """A bad property, a bad collection and a bad key reject with Keen's error code; nothing is stored."""
    events = [["refused", {"a.b": 1}], ["$refused", {"a": 1}], ["refused", {"a": "x" * 10_001}]]
    assert tracking("recordEvent", events=events) == [
        {"rejected": "InvalidPropertyNameError"},
        {"rejected": "InvalidCollectionNameError"},
        {"rejected": "InvalidPropertyValueError"},
    ]
    wrong = {"writeKey": served.ready["read_key"]}
    (outcome,) = tracking("recordEvent", config=wrong, events=[["refused", {"a": 1}]])
    assert outcome == {"rejected": "InvalidApiKeyError"}
    assert served.stored("refused") == []


def test_a_refused_event_of_a_batch_harms_no_other(tracking: Tracking, served: Served) -> None:
    """The answer says which event was refused and why; its neighbours are stored."""
    (told, _) = tracking("recordEvents", batch={"mixed": [{"n": 1}, {"$n": 2}, {"n": 3}]})
    results = told["resolved"]["mixed"]
    assert [result["success"] for result in results] == [True, False, True]
    assert results[1]["error"]["name"] == "InvalidPropertyNameError"
    assert results[1]["error"]["description"]
    assert sorted(event["n"] for event in served.stored("mixed")) == [1, 1, 3, 3]


def test_a_disabled_client_sends_nothing(tracking: Tracking, served: Served) -> None:
    """``Keen.enabled = false`` is obeyed: no request, no collection."""
    outcomes = tracking("disabled", events=[["disabled", {"n": 1}]])
    assert {"returned": False} in outcomes
    assert "disabled" not in served.collections()
