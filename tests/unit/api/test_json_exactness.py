"""JSON in and out without losing a digit."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keen_client.api.json_text import decode, encode

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
)


@given(VALUES)
def test_value_comes_back_as_it_went(value: Any) -> None:
    """Integers of any size included."""
    assert decode(encode(value)) == value


@pytest.mark.parametrize("number", [2**53 + 1, 2**63, 2**64 - 1, 2**64, -(2**63) - 1, 10**40])
def test_large_integer_is_exact(number: int) -> None:
    """A sum beyond 64 bits is not rounded to a float."""
    value = decode(b'{"result": %d}' % number)["result"]
    assert value == number
    assert isinstance(value, int)
    assert encode([number]) == b"[%d]" % number


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"NaN",
        b"[1e999]",
        b'["%s", NaN]',
        b'["%s", 1e999]',
        b'["%s", -Infinity]',
        b'["%s"',
        b"\xff",
        b"01",
    ],
)
def test_what_is_no_json_is_refused(text: bytes) -> None:
    """On both ways of reading."""
    with pytest.raises(ValueError):
        decode(text.replace(b"%s", b"9" * 30))


def test_endless_nesting_is_refused() -> None:
    """As an error of the text, not of the interpreter."""
    for prefix in (b"", b'["' + b"9" * 30 + b'",'):
        with pytest.raises(ValueError):
            decode(prefix + b"[" * 100_000)


def test_text_stays_text_beside_large_numbers() -> None:
    """Long digits in a string are a string, and other scripts survive the other writer."""
    value = {"card": "1234567890" * 4, "city": "Köln", "n": 2**65}
    assert decode(encode(value)) == value
    assert json.loads(encode(value)) == value


@pytest.mark.parametrize("value", [object(), {1: 2}, "\ud800", [2**65, float("nan")]])
def test_what_json_cannot_hold_is_refused(value: object) -> None:
    """Before anything is sent."""
    with pytest.raises((TypeError, ValueError)):
        encode(value)
