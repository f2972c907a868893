"""Image beacons: the address holds the event, percent-encoded, and nothing is sent to make it."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from keen_client.api import Project
from keen_client.api.beacon import URL_CHARS_MAX, image_beacon_url
from keen_client.errors import EventTooLargeError, InvalidEnvironmentError
from keen_client.events.encoding import encode_event
from keen_client.transport import Secret

PROJECT = Project(id="P", write_key=Secret("w+/="), base_url="http://127.0.0.1:8200")


def _event(url: str) -> Any:
    data = parse_qs(urlsplit(url).query, strict_parsing=True)["data"][0]
    return orjson.loads(base64.b64decode(data, validate=True))


@pytest.mark.parametrize(
    ("body", "timestamp", "expected"),
    [
        ({"s": "é>?~ÿþ"}, None, {"s": "é>?~ÿþ"}),
        ({}, None, {}),
        ({}, datetime(2026, 10, 1, tzinfo=UTC), {"keen": {"timestamp": "2026-10-01T00:00:00.000Z"}}),
        (
            {"a": 1, "keen": {"location": {"city": "Köln"}, "timestamp": "2026-10-01T02:00:00+02:00"}},
            None,
            {"a": 1, "keen": {"location": {"city": "Köln"}, "timestamp": "2026-10-01T00:00:00.000Z"}},
        ),
    ],
)
def test_the_event_is_in_the_address(body: Any, timestamp: Any, expected: Any) -> None:
    """As it was given, its time in UTC; without one it gets the time of loading from the server."""
    url = image_beacon_url(PROJECT, encode_event("c", body, timestamp))
    assert _event(url) == expected


def test_nothing_in_the_address_can_be_taken_for_something_else() -> None:
    """Collection, key and data are percent-encoded: a plus would be read as a space."""
    url = image_beacon_url(PROJECT, encode_event("sign ups/x", {"s": "é>?~ÿþ" * 20}))
    assert url.startswith(
        "http://127.0.0.1:8200/3.0/projects/P/events/sign%20ups%2Fx?api_key=w%2B%2F%3D&data="
    )
    assert set("+ ") & set(url) == set()
    assert urlsplit(url).query.count("=") == 2


def test_an_address_that_browsers_would_cut_is_refused() -> None:
    """At the limit it is made, a few characters beyond it is not."""
    spare = URL_CHARS_MAX - len(image_beacon_url(PROJECT, encode_event("c", {"a": "", "b": ""})))
    more = spare * 3 // 4 // 3 * 3  # base64 makes four of three
    fits = {"a": "x" * (more - 5_000), "b": "x" * 5_000}
    assert len(image_beacon_url(PROJECT, encode_event("c", fits))) > URL_CHARS_MAX - 8
    with pytest.raises(EventTooLargeError, match="nothing was made"):
        image_beacon_url(PROJECT, encode_event("c", fits | {"b": "x" * 5_009}))


def test_a_beacon_needs_the_write_key() -> None:
    """It is part of the address."""
    with pytest.raises(InvalidEnvironmentError, match="KEEN_WRITE_KEY"):
        image_beacon_url(Project(id="P", master_key=Secret("m")), encode_event("c", {}))
