"""A key shows itself to nobody but the header."""

from __future__ import annotations

import copy
import pickle

import pytest

from keen_client.errors import ConfigurationError
from keen_client.transport import Request, Response, Secret

KEY = "0123456789abcdef"


def test_no_usual_way_of_printing_shows_the_key() -> None:
    """Mask in str, repr, formatting, and in the request that carries it."""
    secret = Secret(KEY)
    request = Request(
        method="POST",
        base_url="http://h",
        path="/p",
        kind="write",
        key=secret,
        body=b"payload",
        params=(("a", "b"),),
    )
    response = Response(status=200, headers={"set-cookie": "payload"}, body=b"payload")
    for shown in (str(secret), repr(secret), f"{secret}", f"{secret!r:>9}", repr([secret]), repr(request)):
        assert KEY not in shown
    assert "payload" not in repr(request) + repr(response)
    assert "'b'" not in repr(request)
    assert not hasattr(secret, "__dict__")


def test_key_is_revealed_on_request() -> None:
    """White space around it, as in a file, is no part of it."""
    assert Secret(f"  {KEY}\n").reveal() == KEY


def test_key_never_travels_in_a_pickle() -> None:
    """A job's arguments are no place for it; a copy within the process is the same value."""
    secret = Secret(KEY)
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(secret)
    assert copy.copy(secret) is secret
    assert copy.deepcopy({"k": secret})["k"] is secret


def test_equal_keys_are_equal() -> None:
    """As values are."""
    assert Secret(KEY) == Secret(KEY)
    assert Secret(KEY) != Secret("other")
    assert Secret(KEY) != KEY
    assert len({Secret(KEY), Secret(KEY)}) == 1


@pytest.mark.parametrize("bad", ["", "  \n", "two words", "line\nbreak", "k\u00e9y", "a\x00b"])
def test_key_that_no_header_can_carry_is_refused(bad: str) -> None:
    """With words that do not repeat it."""
    with pytest.raises(ConfigurationError, match="nothing was sent") as caught:
        Secret(bad)
    assert not bad.strip() or bad not in str(caught.value)


def test_redaction_masks_every_occurrence() -> None:
    """Where another's words repeat the key."""
    assert Secret(KEY).redact(f"bad {KEY} and {KEY}!") == "bad [key] and [key]!"
