"""Add-ons and placeholders: what an event is enriched with when it is stored, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from keen_client.server.date_parts import date_parts
from keen_client.server.geography import Geography
from keen_client.server.referrers import referrer
from keen_client.server.url_parts import url_parts
from keen_client.server.user_agents import user_agent
from tests.unit.server.workbench import Workbench

IPHONE: Final = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15"
    " (KHTML, like Gecko) Version/17.0 Mobile/15E148 Safari/604.1"
)


@pytest.fixture
def bench() -> Iterator[Workbench]:
    """A server in memory."""
    made = Workbench()
    yield made
    made.store.close()


def _addon(name: str, output: Any, **inputs: Any) -> dict[str, Any]:
    return {"name": f"keen:{name}", "input": inputs, "output": output}


def test_placeholders_become_the_connections_address_and_user_agent(bench: Workbench) -> None:
    """Whole string values only, however deep; the rest of the event stays."""
    event = {"ip": "${keen.ip}", "deep": [{"ua": "${keen.user_agent}"}], "not": "see ${keen.ip}"}
    bench.call("POST", "/events/c", key="W", headers={"User-Agent": "probe/1"}, json=event)
    assert bench.stored() == [
        {"ip": "192.0.2.7", "deep": [{"ua": "probe/1"}], "not": "see ${keen.ip}", "keen": {}}
    ]


def test_addons_run_in_order_and_are_not_stored(bench: Workbench) -> None:
    """A later one reads what an earlier one wrote, and of the list nothing is left."""
    addons = [
        _addon("url_parser", "page.parts", url="page.url"),
        _addon("url_parser", "again", url="page.parts.query_string.next"),
    ]
    event = {"page": {"url": "https://ex.org/a?next=http://b.org/"}, "keen": {"addons": addons}}
    assert bench.write(event) == [{"success": True}]
    (stored,) = bench.stored()
    assert stored["keen"] == {}
    assert stored["page"]["parts"]["domain"] == "ex.org"
    assert stored["again"]["domain"] == "b.org"


def test_placeholders_are_filled_in_before_addons_run(bench: Workbench) -> None:
    """The documented pair: the user agent of the connection, parsed."""
    event = {
        "ua": "${keen.user_agent}",
        "keen": {"addons": [_addon("ua_parser", "parsed", ua_string="ua")]},
    }
    bench.call("POST", "/events", key="W", headers={"User-Agent": IPHONE}, json={"c": [event]})
    (stored,) = bench.stored()
    assert stored["parsed"]["os"]["family"] == "iOS"
    assert stored["parsed"]["device"] == {"family": "iPhone"}


@pytest.mark.parametrize(
    "event", [{}, {"u": 7}, {"u": None}, {"u": {"u": "x"}}, {"u": "not a URL"}, {"u": "http://[bad"}]
)
def test_an_input_of_which_nothing_can_be_made_gives_no_output(
    bench: Workbench, event: dict[str, Any]
) -> None:
    """It is no error: the event is stored as it is."""
    addon = _addon("url_parser", "parts", url="u")
    assert bench.write({**event, "keen": {"addons": [addon]}}) == [{"success": True}]
    assert bench.stored() == [{**event, "keen": {}}]


def test_an_output_does_not_replace_what_stands_in_its_way(bench: Workbench) -> None:
    """A text on the way to the output stays the sender's."""
    event = {"u": "http://a.org/", "keen": {"addons": [_addon("url_parser", "u.parts", url="u")]}}
    bench.write(event)
    assert bench.stored() == [{"u": "http://a.org/", "keen": {}}]


@pytest.mark.parametrize(
    "addons",
    [
        {"name": "keen:url_parser"},
        ["keen:url_parser"],
        [_addon("unheard_of", "x", url="u")],
        [{"name": ["keen:url_parser"], "input": {"url": "u"}, "output": "x"}],
        [_addon("url_parser", "x")],
        [_addon("url_parser", "x", url=5)],
        [_addon("url_parser", "", url="u")],
        [_addon("url_parser", "a..b", url="u")],
        [_addon("url_parser", "$x", url="u")],
        [_addon("url_parser", None, url="u")],
        [_addon("url_parser", "keen.timestamp", url="u")],
        [_addon("url_parser", "keen", url="u")],
        [_addon("url_parser", "x", url="u")] * 101,
    ],
)
def test_a_malformed_addon_refuses_its_event_only(bench: Workbench, addons: Any) -> None:
    """The error is the event's; its sibling is stored."""
    bad, good = bench.write({"u": "http://a.org/", "keen": {"addons": addons}}, {"n": 1})
    assert bad["error"]["name"] == "InvalidKeenNamespaceProperty"
    assert good == {"success": True}
    assert bench.stored() == [{"n": 1, "keen": {}}]


def test_without_a_database_an_address_has_no_place_and_is_removed_where_that_is_asked(
    bench: Workbench,
) -> None:
    """Who asks that the address be dropped has it dropped, whether or not it could be looked up."""
    addon = {"name": "keen:ip_to_geo", "input": {"ip": "ip", "remove_ip_property": True}, "output": "geo"}
    bench.write({"ip": "8.8.8.8", "n": 1, "keen": {"addons": [addon]}})
    assert bench.stored() == [{"n": 1, "keen": {}}]


def test_what_is_no_database_is_refused_before_anything_starts(tmp_path: Path) -> None:
    """The file is read when the server is made."""
    (tmp_path / "geo.mmdb").write_bytes(b"not a database")
    with pytest.raises(ValueError, match="not a database"):
        Geography(tmp_path / "geo.mmdb")


def test_the_parts_of_a_url() -> None:
    """All five; a parameter that cannot name a property is left out, of a repeated one the last value counts."""
    assert url_parts("https://Ex.org:8443/a/b?x=1&x=2&y=&a.b=3&$z=4#top") == {
        "protocol": "https",
        "domain": "ex.org",
        "path": "/a/b",
        "anchor": "top",
        "query_string": {"x": "2", "y": ""},
    }
    assert url_parts("http://ex.org") == {
        "protocol": "http",
        "domain": "ex.org",
        "path": "/",
        "anchor": None,
        "query_string": {},
    }


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://www.google.co.uk/search?q=keen+events", ("SEARCH", "Google", "keen events")),
        ("https://duckduckgo.com/?q=x", ("SEARCH", "DuckDuckGo", "x")),
        ("https://mail.google.com/mail", ("EMAIL", "Gmail", None)),
        ("https://news.ycombinator.com/", ("SOCIAL", "Hacker News", None)),
        ("https://shop.example/cart", ("INTERNAL", None, None)),
        ("https://google.evil.example/", ("UNKNOWN", None, None)),
        ("https://elsewhere.example/", ("UNKNOWN", None, None)),
    ],
)
def test_the_medium_of_a_referrer(url: str, expected: tuple[str, str | None, str | None]) -> None:
    """Known sites by name, the own site as internal, all others as unknown."""
    found = referrer(url, "https://shop.example/")
    assert (found["medium"], found["source"], found["term"]) == expected


@pytest.mark.parametrize("url", ["", "nonsense", "ftp://a.org/", "http://[bad"])
def test_a_malformed_referrer_has_no_members(url: str) -> None:
    """The output is there, and empty."""
    assert referrer(url, "https://shop.example/") == {}


def test_the_parts_of_a_time_are_those_of_its_own_clock() -> None:
    """The offset is kept beside them, in seconds."""
    assert date_parts("2026-10-01T23:30:05.250-05:00") == {
        "year": 2026,
        "month": 10,
        "day": 1,
        "hour": 23,
        "minute": 30,
        "second": 5,
        "millisecond": 250,
        "day_of_week": 4,
        "day_of_week_string": "Thursday",
        "timezone_offset": -18_000,
    }
    assert date_parts("yesterday") is None


def test_an_unknown_user_agent_is_of_the_family_other() -> None:
    """Every part is there, none is guessed."""
    found = user_agent("probe")
    assert {part: found[part]["family"] for part in found} == dict.fromkeys(
        ("device", "browser", "os"), "Other"
    )


@pytest.mark.parametrize(
    ("found", "place"),
    [
        (
            {
                "city": {"names": {"en": "Köln"}},
                "subdivisions": [{"names": {"en": "NRW"}}],
                "country": {"iso_code": "DE", "names": {"en": "Germany"}},
                "continent": {"names": {"en": "Europe"}},
                "postal": {"code": "50667"},
                "location": {"longitude": 6.95, "latitude": 50.94},
            },
            {
                "city": "Köln",
                "province": "NRW",
                "country": "Germany",
                "country_code": "DE",
                "continent": "Europe",
                "postal_code": "50667",
                "coordinates": [6.95, 50.94],
            },
        ),
        ({"country": {"iso_code": "DE"}}, {"country_code": "DE"}),
        (None, None),
    ],
)
def test_a_place_has_what_the_database_knows(found: Any, place: dict[str, Any] | None) -> None:
    """Members that it does not know are left out; longitude comes first."""

    class Reader:
        def get(self, _ip: object) -> Any:
            return found

    geography = Geography.__new__(Geography)
    geography._reader = Reader()  # type: ignore[assignment]
    assert geography.locate("192.0.2.1") == place
    assert geography.locate("no address") is None


def test_an_address_is_looked_up_where_there_is_a_database() -> None:
    """The output may be ``keen.location``, where geo filters look."""

    class Atlas(Geography):
        def __init__(self) -> None: ...

        def locate(self, ip: str) -> dict[str, Any] | None:
            return {"coordinates": [6.95, 50.94]} if ip == "192.0.2.7" else None

    bench = Workbench(geography=Atlas())
    addon = _addon("ip_to_geo", "keen.location", ip="ip")
    assert bench.write({"ip": "${keen.ip}", "keen": {"addons": [addon]}}) == [{"success": True}]
    circle = {"coordinates": [7, 51], "max_distance_miles": 20}
    near = {"property_name": "keen.location.coordinates", "operator": "within", "property_value": circle}
    assert bench.query("count", filters=[near]) == 1
    bench.store.close()
