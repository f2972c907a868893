"""The server's page at ``/``, in Chromium: what it shows, what it keeps to itself, and that what it shows stays text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, Literal

import pytest

from tests.contract.reckoning import Reckoning, orders
from tests.peers.served import Served

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, Request

pytestmark = pytest.mark.peers

Open = Callable[..., "Page"]

#: As names and as values; each would say so in the variable `ran`, if it were ever taken for markup or a script.
HOSTILE: Final = [
    "<script>ran=1</script>",
    "<img src=x onerror=ran=2>",
    "'\"><svg onload=ran=3>",
    "javascript:ran=4",
    "</title></pre><iframe src='javascript:top[`ran`]=5'>",
    "{{[]['constructor']['constructor']('ran=6')()}}",
]
#: What only a value can hold: letters that turn the line around, and markup over several lines.
VALUE: Final = "\u202egnp.exe\u2066\u200b\n<style>*{display:none}</style>\n&lt;b&gt;\u2028\u0000"
#: Too big for a double; a page that rounded it would show another number than was sent.
BIG: Final = 9_007_199_254_740_993


@pytest.fixture(scope="module")
def orders_sent(served: Served) -> list[dict[str, Any]]:
    """Some hundred orders of January 2024, among hostile names and values, and what has just happened."""
    sent = orders(21, 250)
    served.write({"orders": sent, "visits": [{"page": "/"}, {"page": "/about"}]})
    for name in HOSTILE:
        event = {name: name, "list": [name, VALUE], "big": BIG, "__proto__": {"polluted": True}}
        served.write({name: [event]})
    return sent


@pytest.fixture
def show(page: Page, served: Served, orders_sent: list[dict[str, Any]]) -> Iterator[Open]:
    """Opens the page and types a key: the read key, unless told otherwise. Faults end with the test."""

    def open_(key: str | None = None, *, wait: bool = True) -> Page:
        page.goto(served.url)
        page.get_by_label("Read key or master key").fill(key or served.ready["read_key"])
        page.keyboard.press("Enter")
        if wait:
            page.locator("#total:not(:empty)").wait_for()
        return page

    yield open_
    served.faults(lose=0, html_502=0, rate_limit=0)


def _choose(page: Page, name: str) -> None:
    """Choose a collection, and wait until its figures are there."""
    page.locator("#collections button").filter(has=page.get_by_text(name, exact=True)).click()
    page.locator("#name").get_by_text(name, exact=True).wait_for()
    _settle(page)


def _settle(page: Page) -> None:
    """Wait until the page has what it asked for."""
    page.locator("#inside[aria-busy=false]").wait_for()


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def _in_words(locator: Locator) -> str:
    return re.sub(r"\s+", " ", locator.inner_text()).strip()


def test_without_a_key_there_is_nothing_to_see(page: Page, served: Served, orders_sent: object) -> None:
    """No request but for the page itself, no name of a collection, and the cursor waits where the key goes."""
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(served.url)
    assert requests == [f"{served.url}/"]
    assert "orders" not in page.content()
    assert page.evaluate("document.activeElement.id") == "key"
    assert page.locator("#inside").is_hidden()


def test_a_wrong_key_is_told_and_not_kept(show: Open, served: Served) -> None:
    """The server's words are shown, the form stays, nothing is remembered; the write key opens nothing either."""
    for key in ("nobody", served.ready["write_key"]):
        page = show(key, wait=False)
        assert "API key" in page.get_by_role("alert").get_by_role("paragraph").inner_text()
        assert page.locator("#door").is_visible()
        assert page.evaluate("sessionStorage.length + localStorage.length + document.cookie.length") == 0


def test_collections_counts_and_events_are_those_that_were_sent(
    show: Open, orders_sent: list[dict[str, Any]]
) -> None:
    """Names with counts, all figures over time, the newest events and the properties: as plain Python has them."""
    page = show()
    _settle(page)
    listed = {
        row.locator("bdi").inner_text(): row.locator(".number").inner_text()
        for row in page.locator("#collections button").all()
    }
    assert listed["orders"] == "250"
    assert listed["visits"] == "2"
    assert page.locator("#how-many").inner_text() == str(len(HOSTILE) + 2)
    _choose(page, "orders")
    assert _in_words(page.locator("#total")) == "250"
    page.get_by_text("The figures").click()
    told = [row.locator("td").all_inner_texts() for row in page.locator("#figures tr").all()]
    for start, end, count in told:
        bounds = (f"{at.replace(' ', 'T')}.000Z" for at in (start, end))
        assert _number(count) == len(Reckoning(orders_sent).within(*bounds).events) > 0
    assert sum(_number(count) for *_, count in told) == 250
    assert page.locator("#chart rect.bar").count() == len(told)
    newest = sorted((order["keen"]["timestamp"] for order in orders_sent), reverse=True)[:50]
    shown = page.locator("#events time").all_inner_texts()
    assert shown == [at.replace("T", " ")[:19] for at in newest]
    assert {"price_cents", "user.age", "keen.timestamp"} <= set(
        page.locator("#properties td.path").all_inner_texts()
    )


def test_each_timeframe_holds_what_has_just_happened(show: Open) -> None:
    """Two events of now are in every timeframe that ends now, which is divided into so many bars; older ones in none."""
    page = show()
    for span, bars in (("Hour", 60), ("Day", 24), ("Week", 28), ("Month", 30), ("Year", 12)):
        _choose(page, "visits")
        page.get_by_label(span, exact=True).check()
        _settle(page)
        assert _in_words(page.locator("#total")) == "2"
        assert re.fullmatch(
            r"events since \d{4}-\d\d-\d\d \d\d:\d\d:00 UTC", _in_words(page.locator("#total-of"))
        )
        assert page.locator("#chart rect.hit").count() == bars
        assert page.locator("#events details").count() == 2
        _choose(page, "orders")
        assert _in_words(page.locator("#total")) == "0"
        assert page.locator("#chart rect.bar").count() == page.locator("#events details").count() == 0


def test_events_of_other_centuries_are_counted_and_told(show: Open, served: Served) -> None:
    """The chart spans three centuries; what lies beyond them is in the total, in the list, and said to be missing."""
    years = ("0900", "2024", "2024", "9000")
    served.write({"ages": [{"keen": {"timestamp": f"{year}-05-01T00:00:00Z"}} for year in years]})
    page = show()
    _choose(page, "ages")
    assert _in_words(page.locator("#total")) == "4"
    assert _in_words(page.locator("#total-of")) == "events in all; 2 of them outside the years 1900 to 2199"
    assert page.locator("#chart rect.bar").count() == 1
    assert [shown[:4] for shown in page.locator("#events time").all_inner_texts()] == sorted(
        years, reverse=True
    )
    served.drop("ages")


def test_hostile_names_and_values_stay_text(show: Open) -> None:
    """As a collection's name, a property's name and a value: shown letter by letter, and nothing of it runs."""
    page = show()
    for name in HOSTILE:
        _choose(page, name)
        assert page.locator("#name").text_content() == name
        page.locator("#events summary").first.click()
        unfolded = page.locator("#events pre").inner_text()
        assert str(BIG) in unfolded
        assert page.evaluate("(text) => JSON.parse(text).list", unfolded) == [name, VALUE]
        assert {name, "__proto__.polluted"} <= set(page.locator("#properties bdi").all_text_contents())
    _settle(page)
    assert page.evaluate("[window.ran ?? null, ({}).polluted ?? null]") == [None, None]
    assert page.locator("iframe, object, embed, #inside img, #inside script, #events svg").count() == 0


def test_the_policy_stops_what_the_script_would_let_through(show: Open, site: str) -> None:
    """Even a mistake in the script would not run: no markup from text, no script, no picture, no other address."""
    page = show()
    _settle(page)
    stopped = page.evaluate(
        """async (elsewhere) => {
            const stopped = new Set();
            addEventListener('securitypolicyviolation', (event) => stopped.add(event.effectiveDirective));
            const tries = [
                () => { document.body.innerHTML = '<img src=x onerror=ran=7>'; },
                () => { const script = document.createElement('script'); script.text = 'ran=8'; document.head.append(script); },
                () => { document.body.setAttribute('onclick', 'ran=9'); document.body.click(); },
                () => fetch(elsewhere),
                () => new Promise((resolve) => { const image = new Image(); image.onerror = resolve; image.src = elsewhere; }),
                () => { document.body.setAttribute('style', 'display: none'); },
                () => document.body.append(Object.assign(document.createElement('iframe'), { src: elsewhere })),
            ];
            for (const attempt of tries) {
                try { await attempt(); } catch { continue; }
            }
            await new Promise((resolve) => setTimeout(resolve, 100));
            return { stopped: [...stopped].sort(), ran: window.ran ?? null };
        }""",
        site,
    )
    assert stopped == {
        "stopped": ["connect-src", "frame-src", "img-src", "require-trusted-types-for", "style-src-attr"],
        "ran": None,
    }
    assert page.locator("#name").is_visible()


def test_the_key_travels_in_a_header_and_stays_in_the_tab(show: Open, served: Served) -> None:
    """No address, no history and no lasting store holds it; a reload keeps it, forgetting it or a new tab does not."""
    requests: list[Request] = []

    def sent(request: Request) -> None:
        requests.append(request)

    page = show()
    page.on("request", sent)
    key = served.ready["read_key"]
    page.reload()
    page.locator("#total:not(:empty)").wait_for()
    _settle(page)
    asked = [request for request in requests if "/3.0/" in request.url]
    assert asked
    for request in requests:
        assert key not in request.url
        assert key not in (request.post_data or "")
        assert request.url.startswith(served.url) or request.url == "data:,"
    assert {request.headers["authorization"] for request in asked} == {key}
    assert key not in page.url
    assert page.evaluate("localStorage.length + document.cookie.length") == 0
    other = page.context.new_page()
    other.goto(served.url)
    assert other.locator("#door").is_visible()
    page.get_by_role("button", name="Forget key").click()
    assert page.evaluate("sessionStorage.length") == 0
    assert "orders" not in page.locator("body").inner_text()
    assert page.get_by_label("Read key or master key").input_value() == ""


def test_new_events_come_in_while_it_is_live(show: Open, served: Served) -> None:
    """With Live on, an event that is written appears without a click, and an opened event stays open."""
    served.write({"ticking": [{"n": 1}]})
    page = show()
    _choose(page, "ticking")
    page.locator("#events summary").click()
    page.get_by_label("Live").check()
    served.write({"ticking": [{"n": 2}]})
    page.locator("#total").get_by_text("2", exact=True).wait_for()
    page.locator("#events details").nth(1).wait_for()
    assert page.locator("#events details[open]").count() == 1
    assert '"n": 1' in page.locator("#events details[open] pre").inner_text()
    served.drop("ticking")


def test_what_goes_wrong_is_told(show: Open, served: Served) -> None:
    """A broken proxy, a refused query and a server that is gone: one line each, and the figures stay."""
    page = show()
    _choose(page, "orders")
    served.faults(html_502=1)
    page.get_by_role("button", name="Refresh").click()
    page.get_by_role("alert").get_by_text("502").wait_for()
    served.faults(html_502=0, rate_limit=1)
    page.get_by_role("button", name="Refresh").click()
    page.get_by_role("alert").get_by_text("RateLimitedError").wait_for()
    served.faults(rate_limit=0)
    page.context.set_offline(True)
    page.get_by_role("button", name="Refresh").click()
    page.get_by_role("alert").get_by_text("does not answer").wait_for()
    page.context.set_offline(False)
    assert _in_words(page.locator("#total")) == "250"
    page.get_by_role("button", name="Refresh").click()
    page.wait_for_function("() => document.getElementById('message').childElementCount === 0")


def test_the_master_key_shows_the_faults_too(show: Open, served: Served) -> None:
    """Which faults are on is for whoever could turn them off; the read key does not hear of them."""
    served.faults(lose=0.25)
    page = show()
    assert page.locator("#faults").is_hidden()
    page.get_by_role("button", name="Forget key").click()
    show(served.ready["master_key"])
    assert "lose=0.25" in page.locator("#faults").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_everything_fits_and_can_be_read(
    show: Open, page: Page, width: int, scheme: Literal["light", "dark"]
) -> None:
    """No sideways scrolling, text against its ground at 4.5 to 1 or better, each control named, in light and dark."""
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    show()
    _choose(page, "orders")
    page.locator("#events summary").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(_CONTRASTS) == []
    named = page.evaluate(
        "[...document.querySelectorAll('button, input, summary')].filter((control) => control.checkVisibility()"
        " && !(control.textContent.trim() || control.labels?.length)).length"
    )
    assert named == 0
    assert page.locator("svg[role=img]").get_attribute("aria-label")


def test_the_keyboard_reaches_everything(show: Open) -> None:
    """Tab alone leads from the key through the collections, timeframes and events; Enter chooses and unfolds."""
    page = show()
    _settle(page)
    reached: set[str] = set()
    for _ in range(200):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "(() => { const at = document.activeElement; return at.id || at.closest('[id]')?.id || at.tagName; })()"
            )
        )
        if reached >= {"live", "refresh", "leave", "collections", "spans", "events"}:
            break
    assert reached >= {"live", "refresh", "leave", "collections", "spans", "events"}
    page.locator("#events summary").focus()
    page.keyboard.press("Enter")
    page.locator("#events details[open] pre").wait_for()
    page.locator("#collections button").first.focus()
    page.keyboard.press("Tab")
    chosen = page.evaluate("document.activeElement.dataset.collection")
    page.keyboard.press("Enter")
    page.locator("#name").get_by_text(chosen, exact=True).wait_for()
    _settle(page)
    assert page.evaluate("document.activeElement.dataset.collection") == chosen


#: The texts that are shown with less than 4.5 to 1 against what is painted behind them.
_CONTRASTS: Final = """() => {
    const channels = (color) => color.match(/[\\d.]+/g).map(Number);
    const light = ([red, green, blue]) => [red, green, blue]
        .map((value) => value / 255)
        .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
        .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
    const ground = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const painted = channels(getComputedStyle(at).backgroundColor);
            if (painted.length === 3 || painted[3] === 1) return painted;
        }
        return [255, 255, 255];
    };
    const poor = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement;
        if (!walker.currentNode.data.trim() || !element.checkVisibility() || element.closest('script, noscript')) continue;
        const style = getComputedStyle(element);
        const ink = element.closest('svg') ? style.fill : style.color;
        const [one, other] = [light(channels(ink)), light(ground(element))].sort((a, b) => b - a);
        if ((one + 0.05) / (other + 0.05) < 4.5) poor.push(`${element.tagName} ${walker.currentNode.data.trim().slice(0, 40)}`);
    }
    return poor;
}"""
