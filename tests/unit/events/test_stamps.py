"""Stamps to the byte: a contract with other programs and later versions."""

from __future__ import annotations

from hashlib import blake2b

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keen_client._foundation.clock import ms_to_iso
from keen_client._foundation.randomness import SystemRandomness
from keen_client.events.identity import ORIGIN_ALPHABET, SEQ_MAX, EntryId, base36, is_origin, new_origin
from keen_client.events.stamps import attempt_number, digest, digests, wire_event

ORIGIN = "4kq7x2m9pz"
SEQ = 1_234_567
TIMESTAMP_MS = 1_790_812_800_123
BODY = '{"item":"book","price":10}'


def test_digest_vector() -> None:
    """The vector of the design: digest 807fa8668ebe1fbe."""
    h, g = digest("4kq7x2m9pz-qglj", "purchases", TIMESTAMP_MS, BODY, "")

    assert (h, g) == (2155849830, 2394824638)
    assert f"{h:08x}{g:08x}" == "807fa8668ebe1fbe"


def test_digest_vector_with_keen_members() -> None:
    """The same with the user's own keen members: digest e44d4c8894987f91."""
    h, g = digest("4kq7x2m9pz-qglj", "purchases", TIMESTAMP_MS, BODY, '{"location":{"city":"Köln"}}')

    assert (h, g) == (3830271112, 2493022097)
    assert f"{h:08x}{g:08x}" == "e44d4c8894987f91"


def test_wire_event_to_the_byte() -> None:
    """Order of members, block, place, token and timestamp as the contract has them."""
    text = wire_event(ORIGIN, SEQ, TIMESTAMP_MS, BODY, "", (2155849830, 2394824638), 0)

    assert text == (
        '{"item":"book","price":10,'
        '"kc":{"v":1,"id":"4kq7x2m9pz-qglj","o":"4kq7x2m9pz","b":51440,"p":16384,'
        '"h":2155849830,"g":2394824638,"a":0},'
        '"keen":{"timestamp":"2026-10-01T00:00:00.123Z","uniqueness_token":"4kq7x2m9pz-qglj"}}'
    )


def test_wire_event_keeps_the_users_keen_members_and_marks_the_token_tier() -> None:
    """A second-tier resend has another token, and nothing else of the event changes but `a`."""
    text = wire_event(
        ORIGIN, SEQ, TIMESTAMP_MS, "{}", '{"location":{"city":"Köln"}}', (1, 2), 300, token_tier=2
    )

    assert text.startswith('{"kc":{"v":1,')
    assert orjson.loads(text)["keen"] == {
        "timestamp": "2026-10-01T00:00:00.123Z",
        "uniqueness_token": "4kq7x2m9pz-qglj~2",
        "location": {"city": "Köln"},
    }


@given(st.integers(1, SEQ_MAX), st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_wire_event_is_the_json_it_stands_for(seq: int, timestamp_ms: int) -> None:
    """Joined text parses to the members that the rules give."""
    event = orjson.loads(wire_event(ORIGIN, seq, timestamp_ms, BODY, "", (1, 2), 0))

    assert event["kc"]["b"] * 24 <= seq < event["kc"]["b"] * 24 + 24
    assert event["kc"]["p"] == 4 ** (seq % 24) < 2**48
    assert event["kc"]["id"] == str(EntryId(ORIGIN, seq))
    assert event["keen"]["timestamp"] == ms_to_iso(timestamp_ms)


@given(st.text(max_size=20), st.text(max_size=20), st.integers(0, 2**45))
def test_digest_is_the_recipe(collection: str, body: str, timestamp_ms: int) -> None:
    """BLAKE2b-64 over five strings joined by NUL; two big-endian halves."""
    raw = blake2b(
        "\0".join(["x-1", collection, str(timestamp_ms), body, ""]).encode(), digest_size=8
    ).digest()

    expected = (int.from_bytes(raw[:4], "big"), int.from_bytes(raw[4:], "big"))
    assert digest("x-1", collection, timestamp_ms, body, "") == expected


@given(
    st.text(max_size=20),
    st.lists(
        st.tuples(st.integers(1, SEQ_MAX), st.integers(0, 2**45), st.text(max_size=9), st.text(max_size=9))
    ),
)
def test_many_digests_are_the_digests_of_each(collection: str, rows: list[tuple[int, int, str, str]]) -> None:
    """In their order, in two columns."""
    h, g = digests(ORIGIN, collection, rows)

    each = [digest(str(EntryId(ORIGIN, seq)), collection, ts, body, keen) for seq, ts, body, keen in rows]
    assert list(zip(h, g, strict=True)) == each


@given(st.integers(0, 2**60))
def test_base36_is_python_s(number: int) -> None:
    """Lower case, no leading zeros, read back by int()."""
    text = base36(number)

    assert int(text, 36) == number
    assert text == "0" or not text.startswith("0")
    assert text == text.lower()


@given(st.integers(1, SEQ_MAX))
def test_ids_read_back(seq: int) -> None:
    """An id parses to the entry it names."""
    assert EntryId.parse(str(EntryId(ORIGIN, seq))) == EntryId(ORIGIN, seq)


@pytest.mark.parametrize(
    "text", ["", "4kq7x2m9pz", "4kq7x2m9pz-", "4kq7x2m9pz-01", "4kq7x2m9pi-1", "x-1", "4kq7x2m9pz-A"]
)
def test_what_is_no_id_is_refused(text: str) -> None:
    """Nothing but our own form is taken for an id."""
    with pytest.raises(ValueError, match="not the id"):
        EntryId.parse(text)


def test_origins_are_ten_characters_of_the_alphabet() -> None:
    """No i, l, o or u; drawn from the operating system's randomness."""
    origins = {new_origin(SystemRandomness()) for _ in range(50)}

    assert len(origins) == 50
    assert all(is_origin(origin) and set(origin) <= set(ORIGIN_ALPHABET) for origin in origins)
    assert not set("ilou") & set(ORIGIN_ALPHABET)


def test_attempt_numbers() -> None:
    """Outside a run 0, 1, ... at most 99; in run r from 100 * r, at most 99 more."""
    assert [attempt_number(p) for p in (None, 0, 98, 99)] == [0, 1, 99, 99]
    assert [attempt_number(p, 3) for p in (None, 0, 99, 205, 300, 398, 399)] == [
        300,
        300,
        300,
        300,
        301,
        399,
        399,
    ]
