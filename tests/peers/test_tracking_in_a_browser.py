"""npm keen-tracking 5.0.1, unchanged, in Chromium, on a page of another origin than ``keen-client serve``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.contract.reckoning import TIMEFRAME, Reckoning, orders
from tests.peers.served import Served

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.peers

#: How often, a tenth of a second apart, a write whose answer nobody hears is looked for.
LOOKS: Final = 100

_CLIENT: Final = """(config) => {
    window.client = new KeenTracking(config);
    // What a callback was given, as a promise.
    window.called = (call) => new Promise((resolve) => {
        const made = call((error, result) => resolve({ error: error ?? null, result: result ?? null }));
        if (made && made.catch) made.catch(() => {});
    });
    // Of a failed call the client rejects a promise that it keeps to itself.
    window.addEventListener('unhandledrejection', (event) => event.preventDefault());
}"""


@pytest.fixture
def shop(page: Page, site: str, served: Served) -> Page:
    """A tab with the site open and ``client`` made, as the README of the client shows it."""
    page.goto(f"{site}/keen-tracking")
    config = {
        "projectId": served.ready["project_id"],
        "writeKey": served.ready["write_key"],
        "protocol": "http",
        "host": f"127.0.0.1:{served.port}",
    }
    page.evaluate(_CLIENT, config)
    return page


def arrived(page: Page, served: Served, collection: str, count: int) -> list[dict[str, Any]]:
    """The events of *collection* once there are *count* of them."""
    for _ in range(LOOKS):
        stored = served.stored(collection)
        if len(stored) >= count:
            break
        page.wait_for_timeout(100)
    assert len(stored) == count
    return stored


def test_an_event_crosses_origins_after_a_preflight(shop: Page, served: Served) -> None:
    """The browser asks by OPTIONS first, is allowed the client's headers, then sends; the page reads the answer."""
    network = shop.context.new_cdp_session(shop)
    asked: dict[str, dict[str, Any]] = {}
    answered: dict[str, dict[str, Any]] = {}

    def ask(event: dict[str, Any]) -> None:
        asked[event["requestId"]] = event["request"]

    def answer(event: dict[str, Any]) -> None:
        answered[event["requestId"]] = event["response"]

    network.on("Network.requestWillBeSent", ask)
    network.on("Network.responseReceived", answer)
    network.send("Network.enable")
    event = {"item": "<Größe> \u2028 三", "price_cents": 1299}
    told = shop.evaluate(
        "async (event) => { const reply = await client.recordEvent('sales', event);"
        " return { status: reply.status, type: reply.type, body: await reply.json() }; }",
        event,
    )
    assert told == {"status": 201, "type": "cors", "body": {"created": True}}
    preflights = {key: request for key, request in asked.items() if request["method"] == "OPTIONS"}
    assert len(preflights) == 1
    (key,) = preflights
    allowed = {name.lower(): value for name, value in answered[key]["headers"].items()}
    assert answered[key]["status"] == 204
    assert {"authorization", "content-type", "keen-sdk"} <= set(
        allowed["access-control-allow-headers"].split(", ")
    )
    (stored,) = served.stored("sales")
    assert stored.items() >= event.items()


def test_a_batch_gives_the_numbers_that_plain_python_gives(shop: Page, served: Served) -> None:
    """`recordEvents` of two hundred orders: what is stored reckons up to what was sent."""
    batch = {"orders": orders(11, 200), "returns": orders(12, 7)}
    outcome = shop.evaluate("(batch) => called((callback) => client.recordEvents(batch, callback))", batch)
    assert outcome == {
        "error": None,
        "result": {name: [{"success": True}] * len(events) for name, events in batch.items()},
    }
    for name, events in batch.items():
        sent, stored = (
            Reckoning(found).within(TIMEFRAME["start"], TIMEFRAME["end"])
            for found in (events, served.stored(name))
        )
        for kind in ("sum", "minimum", "maximum", "average", "median", "count_unique"):
            path = "user.id" if kind == "count_unique" else "price_cents"
            assert stored.answer(kind, path) == sent.answer(kind, path)
        assert stored.answer("count") == sent.answer("count") > 0


def test_a_refused_event_of_a_batch_reaches_the_callback(shop: Page, served: Served) -> None:
    """The callback's error names the event that was refused; the other one is stored."""
    batch = {"mixed": [{"n": 1}, {"a.b": 2}]}
    outcome = shop.evaluate("(batch) => called((callback) => client.recordEvents(batch, callback))", batch)
    good, bad = outcome["error"]["mixed"]
    assert good == {"success": True}
    assert (bad["success"], bad["error"]["name"]) == (False, "InvalidPropertyNameError")
    assert [event["n"] for event in served.stored("mixed")] == [1]


def test_a_wrong_key_is_told_by_name(shop: Page, served: Served) -> None:
    """A page may read errors of another origin too: the status by the promise, the error code by the rejection."""
    told = shop.evaluate(
        """async () => {
            const rejected = new Promise((resolve) =>
                addEventListener('unhandledrejection', (event) => resolve(event.reason)));
            client.writeKey('nobody');
            const reply = await client.recordEvent('refused', { n: 1 });
            const { error_code, status, body } = await rejected;
            return { heard: reply.status, error_code, status, body };
        }"""
    )
    assert told.pop("body")
    assert told == {"heard": 401, "status": 401, "error_code": "InvalidApiKeyError"}
    assert "refused" not in served.collections()


def test_send_beacon_records_one_event_and_a_batch(shop: Page, served: Served) -> None:
    """With `requestType: 'beaconAPI'`: the key in the address, plain text as content type, nobody hears the answer."""
    shop.evaluate(
        "() => { client.recordEvent({ collection: 'beacons', event: { n: 1, text: 'é三' }, requestType: 'beaconAPI' });"
        " client.config.requestType = 'beaconAPI'; client.recordEvents({ 'beacon batch': [{ n: 2 }, { n: 3 }] }); }"
    )
    assert [(event["n"], event["text"]) for event in arrived(shop, served, "beacons", 1)] == [(1, "é三")]
    assert sorted(event["n"] for event in arrived(shop, served, "beacon batch", 2)) == [2, 3]


def test_a_beacon_sent_while_the_page_goes_away_arrives(shop: Page, served: Served) -> None:
    """What is recorded in `pagehide` is stored though the page is gone."""
    shop.evaluate(
        "() => addEventListener('pagehide', () => client.recordEvent("
        "{ collection: 'leavers', event: { left: true }, requestType: 'beaconAPI' }))"
    )
    shop.goto("about:blank")
    assert [event["left"] for event in arrived(shop, served, "leavers", 1)] == [True]


@pytest.mark.parametrize("form", ["img", "beacon"])
def test_an_image_beacon_records_and_shows_a_picture(shop: Page, served: Served, form: str) -> None:
    """A GET by an image: the event is stored, and the callback hears of a picture that has a size."""
    outcome = shop.evaluate(
        "([collection, requestType]) => called((callback) => client.recordEvent("
        "{ collection, event: { text: 'é>?~ÿþ 三 <b>' }, requestType, callback }))",
        [f"pictures {form}", form],
    )
    assert outcome == {"error": None, "result": None}
    (stored,) = served.stored(f"pictures {form}")
    assert stored["text"] == "é>?~ÿþ 三 <b>"


def test_deferred_extended_and_unique_events(shop: Page, served: Served) -> None:
    """The queue's flush, members added to each event, and a repeat that is held back, in a browser too."""
    repeats = shop.evaluate(
        """async () => {
            client.extendEvents(() => ({ page: { title: document.title } }));
            client.deferEvent('deferred', { n: 1 });
            client.deferEvents({ deferred: [{ n: 2 }, { n: 3 }] });
            client.recordDeferredEvents();
            const once = () => client.recordEvent({ collection: 'once', event: { n: 1 }, unique: true });
            await once();
            return [await once(), await once()];
        }"""
    )
    assert [repeat["created"] for repeat in repeats] == [False, False]
    deferred = arrived(shop, served, "deferred", 3)
    assert sorted((event["n"], event["page"]["title"]) for event in deferred) == [
        (1, "Shop"),
        (2, "Shop"),
        (3, "Shop"),
    ]
    assert len(served.stored("once")) == 1


def test_a_failing_server_is_asked_again_until_it_answers(shop: Page, served: Served) -> None:
    """Two failures, one of the server and one of a proxy, readable across origins: the third try stores the event."""
    served.faults(http_500={"times": 1}, html_502={"times": 1})
    status = shop.evaluate("async () => (await client.recordEvent('retried', { n: 1 })).status")
    assert status == 201
    assert [event["n"] for event in served.stored("retried")] == [1]


def test_auto_tracking_stores_page_views_and_clicks(shop: Page, served: Served, site: str) -> None:
    """What the client records by itself, its add-ons included, is accepted; placeholders and add-ons are resolved."""
    shop.evaluate("() => client.initAutoTracking()")
    shop.get_by_role("link", name="Buy").click()
    (view,) = arrived(shop, served, "pageviews", 1)
    (click,) = arrived(shop, served, "clicks", 1)
    assert view["url"]["full"] == f"{site}/keen-tracking"
    assert click["url"]["full"].startswith(site)
    assert view["user_agent"] == shop.evaluate("navigator.userAgent")
    assert view["ip_address"] == "127.0.0.1"
    assert view["url"]["info"]["domain"] == "127.0.0.1"
    assert "addons" not in view["keen"]
