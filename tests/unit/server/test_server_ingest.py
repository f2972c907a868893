"""What becomes of an event on its way in: names, values, the keen object, times, tokens."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keen_client.server.ingest import MAX_DEPTH, MAX_STRING, Admitted, admit, check_collection_name, encode
from keen_client.server.moment import is_canonical, parse_canonical, parse_moment
from keen_client.server.refusal import Refusal
from keen_client.server.tokens import TOKEN_MEMORY_MS, TokenRegister

NOW_MS = 1_790_812_800_123
NOW = "2026-10-01T00:00:00.123Z"


def _admit(event: Any) -> Admitted:
    admitted = admit(event, NOW_MS, NOW, "0" * 24)
    encode(admitted.event)
    return admitted


def _error(event: Any) -> str:
    with pytest.raises(Refusal) as caught:
        _admit(event)
    assert caught.value.status == 400
    return caught.value.error_code


@pytest.mark.parametrize("name", ["purchases", "a b", "a/b", "a.b", "x" * 64, "sign ups/ü".replace("ü", "u")])
def test_good_collection_names_pass(name: str) -> None:
    """Spaces, dots and slashes are allowed inside a name."""
    check_collection_name(name)


@pytest.mark.parametrize("name", ["", "x" * 65, "a$b", "_a", ".a", "a.", "caf\u00e9", "a\x00b", "a\nb"])
def test_bad_collection_names_are_refused(name: str) -> None:
    """Each broken rule is an InvalidCollectionNameError."""
    with pytest.raises(Refusal) as caught:
        check_collection_name(name)
    assert caught.value.error_code == "InvalidCollectionNameError"


@pytest.mark.parametrize(
    ("event", "code"),
    [
        ([1], "InvalidEventError"),
        (None, "InvalidEventError"),
        ({"a.b": 1}, "InvalidPropertyNameError"),
        ({"a": {"$b": 1}}, "InvalidPropertyNameError"),
        ({"a": [{"": 1}]}, "InvalidPropertyNameError"),
        ({"a": [[{"b.c": 1}]]}, "InvalidPropertyNameError"),
        ({"x" * 257: 1}, "InvalidPropertyNameError"),
        ({"keen.timestamp": NOW}, "InvalidPropertyNameError"),
        ({"a": "x" * MAX_STRING}, "InvalidPropertyValueError"),
        ({"a": ["x" * MAX_STRING]}, "InvalidPropertyValueError"),
        ({"a": 2**63}, "InvalidPropertyValueError"),
        ({"keen": "x"}, "NamespaceTypeError"),
        ({"keen": None}, "NamespaceTypeError"),
        ({"keen": {"mood": 1}}, "InvalidKeenNamespaceProperty"),
        ({"keen": {"timestamp": "yesterday"}}, "InvalidPropertyValueError"),
        ({"keen": {"timestamp": 5}}, "InvalidPropertyValueError"),
        ({"keen": {"timestamp": "2026-13-01T00:00:00.000Z"}}, "InvalidPropertyValueError"),
        ({"keen": {"uniqueness_token": "x" * 65}}, "InvalidPropertyValueError"),
        ({"keen": {"uniqueness_token": 7}}, "InvalidPropertyValueError"),
        ({"keen": {"uniqueness_token": ""}}, "InvalidPropertyValueError"),
    ],
)
def test_an_event_that_breaks_a_rule_is_refused_by_name(event: Any, code: str) -> None:
    """The error is the one that clients know for the rule."""
    assert _error(event) == code


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"a": "x" * (MAX_STRING - 1)},
        {"a": 2**63 - 1, "b": -(2**63), "c": 1.5e300},
        {"a": [1, "b", None, True, {"c": [{"d": 1}]}]},
        {"keening": 1, "x" * 256: 1},
    ],
)
def test_an_event_within_the_rules_is_admitted(event: dict[str, Any]) -> None:
    """What lies on the limit is allowed, and comes back as it was but for ``keen``."""
    before = orjson.dumps(event)
    admitted = _admit(event)
    keen = admitted.event.pop("keen")
    assert orjson.dumps(admitted.event) == before
    assert keen == {"timestamp": NOW, "created_at": NOW, "id": "0" * 24}
    assert admitted.timestamp_ms == NOW_MS


@pytest.mark.parametrize("kind", ["objects", "lists"])
def test_depth_is_a_rule_and_not_a_crash(kind: str) -> None:
    """An event as deep as the limit passes, a deeper one is refused."""

    def nested(depth: int) -> dict[str, Any]:
        node: Any = {}
        for _ in range(depth - 2):
            node = {"a": node} if kind == "objects" else [node]
        return {"a": node}

    assert admit(nested(MAX_DEPTH), NOW_MS, NOW, "0" * 24).timestamp_ms == NOW_MS
    with pytest.raises(Refusal):
        admit(nested(MAX_DEPTH + 2), NOW_MS, NOW, "0" * 24)


def test_what_the_sender_says_about_receipt_is_overwritten() -> None:
    """``keen.id`` and ``keen.created_at`` are the server's; token and location stay, add-ons go."""
    sent = {
        "id": "mine",
        "created_at": "never",
        "uniqueness_token": "t",
        "location": {"city": "K"},
        "addons": [],
    }
    admitted = _admit({"keen": sent})
    assert admitted.token == "t"
    assert admitted.event["keen"] == {
        "timestamp": NOW,
        "created_at": NOW,
        "id": "0" * 24,
        "uniqueness_token": "t",
        "location": {"city": "K"},
    }


@pytest.mark.parametrize(
    ("text", "at_ms"),
    [
        ("2026-10-01T00:00:00.123Z", 1_790_812_800_123),
        ("2026-10-01T00:00:00.123456", 1_790_812_800_123),
        ("2026-10-01T00:00:00.123999999Z", 1_790_812_800_123),
        ("2026-10-01T02:00:00+02:00", 1_790_812_800_000),
        ("2026-10-01T02:00:00.000+0200", 1_790_812_800_000),
        ("2026-09-30T19:00:00-05", 1_790_812_800_000),
        ("2026-10-01 00:00:00z", 1_790_812_800_000),
        ("2026-10-01T00:00Z", 1_790_812_800_000),
        ("2026-10-01", 1_790_812_800_000),
        ("1969-12-31T23:59:59.9999Z", -1),
    ],
)
def test_times_are_read_in_every_form_that_clients_send(text: str, at_ms: int) -> None:
    """Zones in all common forms, none meaning UTC; up to nine digits, cut to milliseconds."""
    assert parse_moment(text) == at_ms
    admitted = _admit({"keen": {"timestamp": text}})
    assert admitted.timestamp_ms == at_ms
    assert is_canonical(admitted.event["keen"]["timestamp"])


@given(
    st.text(alphabet="0123456789-:.TZW ", min_size=24, max_size=24)
    | st.datetimes().map(lambda d: d.isoformat()[:23] + "Z")
)
def test_the_fast_reader_of_times_agrees_with_the_careful_one(text: str) -> None:
    """For a canonical text both give the same instant, or both refuse."""
    if not is_canonical(text):
        return
    try:
        careful: int | None = parse_moment(text)
    except ValueError:
        careful = None
    try:
        fast: int | None = parse_canonical(text)
    except ValueError:
        fast = None
    assert fast == careful


def test_a_token_is_remembered_for_31_days() -> None:
    """The first receipt counts, per collection, and after 31 days the token is new again."""
    register = TokenRegister()
    register.current("c", NOW_MS)["t"] = NOW_MS
    assert "t" in register.current("c", NOW_MS + TOKEN_MEMORY_MS - 1)
    assert "t" not in register.current("d", NOW_MS)
    assert "t" not in register.current("c", NOW_MS + TOKEN_MEMORY_MS)
    register.current("c", NOW_MS)["u"] = NOW_MS
    register.unregister("c", "u")
    assert "u" not in register.current("c", NOW_MS)
