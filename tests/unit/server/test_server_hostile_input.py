"""What is handed in to do harm: it is data, and stays data."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keen_client.server.openapi_schemas import QUERY_PARAMETERS

if TYPE_CHECKING:
    from tests.unit.server.conftest import Desk

#: Texts that end a quotation, begin a statement, or mean more than themselves in some language.
HOSTILE: Final = [
    "'; DROP TABLE collections; --",
    '"; DROP TABLE collections; --',
    "') OR ('1'='1",
    "$p0",
    "$1",
    "?",
    "*",
    "**",
    "$",
    "$.*",
    "[0]",
    "a[*]",
    "#",
    "/",
    "~1",
    "\\",
    '\\"',
    "{{7*7}}",
    "${keen.id}",
    "%s",
    "\x00",
    "a\x00b",
    "\u202e",
    "\N{PILE OF POO}",
    "read_csv('/etc/passwd')",
    "../../../etc/passwd",
    "__proto__",
]
DATA: Final = base64.b64encode(b"{}").decode()


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_a_property_of_any_name_is_that_property(desk: Desk, text: str) -> None:
    """A name finds its own property and no other: counted, grouped, summed, listed, extracted, deleted."""
    name = text.replace(".", "-").lstrip("$") or "-"
    desk.write({name: 3, "other": 1}, {"other": 2})
    exists = [{"property_name": name, "operator": "exists", "property_value": True}]
    equal = [{"property_name": name, "operator": "eq", "property_value": 3}]
    assert desk.query(filters=exists).json() == {"result": 1}
    assert desk.query(filters=equal).json() == {"result": 1}
    assert desk.query("sum", target_property=name).json() == {"result": 3}
    assert desk.query("select_unique", target_property=name).json() == {"result": [3]}
    grouped = desk.query(group_by=name).json()["result"]
    assert {row[name]: row["result"] for row in grouped} == {3: 1, None: 1}
    found = desk.query("extraction", property_names=[name]).json()["result"]
    assert sorted(found, key=len) == [{}, {name: 3}]
    url = f"/events/c/properties/{quote(name, safe='')}"
    assert desk.call("DELETE", url).status_code == 204
    assert desk.query(filters=exists).json() == {"result": 0}
    assert desk.query("sum", target_property="other").json() == {"result": 3}


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_a_value_of_any_text_is_that_value(desk: Desk, text: str) -> None:
    """Each operator on text holds for this text and not for another."""
    desk.write({"v": text}, {"v": "plain"})
    for operator, value in (("eq", text), ("in", [text]), ("contains", text), ("gte", text), ("lte", text)):
        filters = [
            {"property_name": "v", "operator": operator, "property_value": value},
            {"property_name": "v", "operator": "ne", "property_value": "plain"},
        ]
        assert desk.query(filters=filters).json() == {"result": 1}, operator
    assert sorted(desk.query("select_unique", target_property="v").json()["result"]) == sorted(
        [text, "plain"]
    )


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_a_collection_of_any_name_is_that_collection_or_none(desk: Desk, text: str) -> None:
    """A name is refused, or it names one collection, which lives and dies alone."""
    desk.write({"a": 1}, collection="other")
    url = f"/events/{quote(text, safe='')}"
    written = desk.call("POST", url, json={"a": 1})
    assert written.status_code in (201, 400)
    listed = [collection["name"] for collection in desk.call("GET", "/events").json()]
    assert listed == sorted(["other", text] if written.status_code == 201 else ["other"])
    expected = 200 if written.status_code == 201 else 404
    assert desk.query(event_collection=text).status_code == expected
    assert desk.call("DELETE", url).status_code == (204 if expected == 200 else 404)
    assert desk.query(event_collection="other").json() == {"result": 1}


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_names_in_paths_lead_nowhere_else(desk: Desk, text: str) -> None:
    """Of saved queries, datasets, keys and query types: unknown or refused, and no file is touched."""
    name = quote(text, safe="")
    for method, path in (
        ("GET", f"/queries/saved/{name}"),
        ("GET", f"/queries/saved/{name}/result"),
        ("PUT", f"/queries/saved/{name}"),
        ("GET", f"/datasets/{name}/results"),
        ("PUT", f"/datasets/{name}"),
        ("GET", f"/keys/{name}"),
        ("POST", f"/queries/{name}"),
    ):
        reply = desk.call(method, path, json={"name": "x"} if method != "GET" else None)
        assert reply.status_code in (400, 404), (method, path)
        assert reply.json().keys() == {"message", "error_code"}


@pytest.mark.parametrize(
    "text", ["../../etc/passwd", "/etc/localtime", "US/../US/Pacific", "localtime\x00", "."]
)
def test_a_timezone_is_a_name_and_not_a_path(desk: Desk, text: str) -> None:
    """What would leave the directory of time zones is unknown."""
    desk.write({"a": 1})
    reply = desk.query(timezone=text)
    assert (reply.status_code, reply.json()["error_code"]) == (400, "InvalidParameterError")


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*$", "([a-zA-Z]+)*$", "(.*a){25}", "(x+x+)+y"])
def test_no_pattern_takes_for_ever(desk: Desk, pattern: str) -> None:
    """Patterns that make a backtracking matcher try 2**5000 ways are answered: matching is linear."""
    desk.write({"v": "a" * 5_000 + "!"})
    filters = [{"property_name": "v", "operator": "regex", "property_value": pattern}]
    assert desk.query(filters=filters).json()["result"] in (0, 1)


@pytest.mark.parametrize(
    "pattern", ["(", "[", "a{2000}", "(?=a)", "(?<x", "\\", "*", "(" * 2_000, "a{1000}{1000}"]
)
def test_a_pattern_that_does_not_compile_is_refused(desk: Desk, pattern: str) -> None:
    """Broken patterns, and those that would become too large, are 400."""
    desk.write({"v": "a"})
    filters = [{"property_name": "v", "operator": "regex", "property_value": pattern}]
    reply = desk.query(filters=filters)
    assert (reply.status_code, reply.json()["error_code"]) == (400, "InvalidParameterError")


@pytest.mark.parametrize(
    "target",
    [
        "http://e.org/\r\nSet-Cookie: a=b",
        "http://e.org/\n\nbody",
        "http://e.org/%0d%0aSet-Cookie: a=b",
        "\r\n\r\n<script>",
        "http://e.org/\u560d\u560aX: y",
        "http://e.org/\x00\x85\u2028",
    ],
)
def test_a_redirect_adds_no_header_and_no_body(desk: Desk, target: str) -> None:
    """Whatever the target holds stays within one header, as printable ASCII."""
    reply = desk.call("GET", "/events/c", params={"data": DATA, "redirect": target})
    assert reply.status_code == 302
    assert reply.content == b""
    location = reply.headers["location"]
    assert location.isascii()
    assert location.isprintable()
    assert "set-cookie" not in reply.headers
    assert "x" not in reply.headers


@pytest.mark.parametrize(
    "callback",
    [
        "alert(1)//",
        "a;b",
        "a b",
        "a(",
        "<script>",
        "a\nb",
        "1a",
        "",
        "a-b",
        "a['b']",
        "a/*",
        "\u2028",
        "a" * 300 + "(",
    ],
)
def test_a_callback_is_a_name_and_nothing_more(desk: Desk, callback: str) -> None:
    """Script is never called by anything but a name; without one there is plain JSON."""
    desk.write({"a": 1})
    for path, params in (
        ("/queries/count", {"event_collection": "c", "timeframe": "today"}),
        ("/events/c", {"data": DATA}),
    ):
        reply = desk.call("GET", path, params={**params, "jsonp": callback})
        if callback:
            assert reply.status_code == 400
        assert reply.headers["content-type"] == "application/json"
        assert reply.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("callback", ["cb", "jQuery.cb_1", "$", "window.a.b"])
def test_a_callback_that_is_a_name_gets_its_script(desk: Desk, callback: str) -> None:
    """And no browser may take the script for anything else."""
    desk.write({"a": 1})
    params = {"event_collection": "c", "timeframe": "today", "jsonp": callback}
    reply = desk.call("GET", "/queries/count", params=params)
    assert reply.text == f'{callback}({{"result":1}});'
    assert reply.headers["content-type"].startswith("application/javascript")
    assert reply.headers["x-content-type-options"] == "nosniff"


def test_every_get_of_a_query_and_of_a_beacon_can_be_a_script(desk: Desk) -> None:
    """Saved results and datasets as well as ad-hoc queries; with status 200, which a script needs. An error stays one."""
    desk.write({"a": 1})
    query = {"analysis_type": "count", "event_collection": "c", "timeframe": "this_1_days"}
    desk.call("PUT", "/queries/saved/s", json={"query": query})
    desk.call("PUT", "/datasets/d", json={"query": {**query, "interval": "daily"}, "index_by": "a"})
    for path, params in (
        ("/queries/saved/s/result", {}),
        ("/datasets/d/results", {"index_by": "1", "timeframe": "this_1_days"}),
        ("/events/c", {"data": DATA}),
        ("/events/c", {"data": DATA, "redirect": "http://elsewhere.example/"}),
    ):
        reply = desk.call("GET", path, params={**params, "jsonp": "cb"})
        assert (reply.status_code, reply.text[:3], reply.text[-2:]) == (200, "cb(", ");"), path
        assert json.loads(reply.text[3:-2])
    failed = desk.call("GET", "/queries/count", params={"event_collection": "none", "jsonp": "cb"})
    assert failed.status_code == 400
    assert failed.json()["error_code"]


#: Values, as JSON, of which most are of the wrong type wherever they stand.
ODD: Final = [
    *("null", "true", "0", "-1", "1.5", "1e308", "-9223372036854775809", "18446744073709551615", "1e18"),
    *('""', '"."', '"a..b"', '"*"', '"\\u0000"', '"nan"', '"1e400"', f'"{"9" * 5_000}"', f'"{"x" * 5_000}"'),
    *("[]", "{}", "[[]]", "[null]", "[1]", "[{}]", '["a","a"]', '["a",1]', f"{'[' * 60}{']' * 60}"),
    *('{"a":1}', '{"property_name":["a"]}', '[{"property_name":{}}]', '[{"operator":[]}]'),
    *('{"start":1,"end":2}', '{"start":"0001-01-01T00:00:00+14:00","end":"9999-12-31"}'),
    *('"this_999999_years"', '"every_999999_minutes"', '"every_0_days"'),
]
QUERY: Final[dict[str, Any]] = {
    "event_collection": "c",
    "timeframe": "this_2_days",
    "target_property": "a",
    "percentile": 50,
    "group_by": "b",
    "interval": "daily",
    "analyses": {"x": {"analysis_type": "sum", "target_property": "a"}},
    "steps": [{"event_collection": "c", "actor_property": "a"}],
}


#: The type of query that reads a parameter; all others are read by any.
READ_BY: Final = {
    "analyses": "multi_analysis",
    "steps": "funnel",
    **dict.fromkeys(("latest", "property_names", "email", "content_type", "content_encoding"), "extraction"),
}


@pytest.mark.parametrize("name", sorted(QUERY_PARAMETERS))
def test_no_value_of_a_parameter_breaks_a_query(desk: Desk, name: str) -> None:
    """Each parameter with each odd value: answered or refused with a reason, never a 5xx."""
    desk.write({"a": 1, "b": "x"}, {"a": 2.5, "b": None})
    rest = {key: value for key, value in QUERY.items() if key != name}
    for odd in ODD:
        body = f"{json.dumps(rest)[:-1]},{json.dumps(name)}:{odd}}}"
        reply = desk.call("POST", f"/queries/{READ_BY.get(name, 'percentile')}", content=body)
        assert reply.status_code in (200, 400, 404), (odd, reply.text)
        assert reply.status_code == 200 or reply.json().keys() == {"message", "error_code"}


JSON: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(st.dictionaries(st.text(max_size=8), JSON, max_size=4))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_event_is_taken_is_read_back_as_it_was(desk: Desk, event: dict[str, Any]) -> None:
    """An event is refused with a reason, or stored and read back whole; both without a 5xx."""
    desk.call("DELETE", "/events/c")
    reply = desk.call("POST", "/events/c", json=event)
    if reply.status_code == 201:
        (read,) = desk.query("extraction").json()["result"]
        del read["keen"]
        assert read == {name: value for name, value in event.items() if name != "keen"}
    else:
        assert reply.status_code == 400
        assert reply.json().keys() == {"message", "error_code"}
