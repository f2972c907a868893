"""Scoped keys: both schemes, against keys that the official client made and reads."""

from __future__ import annotations

import secrets
import subprocess
import sys
import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keen_client import UsageError, scoped_keys

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the client of 2021 and today's Python
    from keen import scoped_keys as official

NEW_KEY = "24077ACBCB198BAAA2110EDDB673282F8E34909FD823A15C55A6253A664BE368"
OLD_KEY = "2e79c6ec1d0145be8891bf668599c79a"
SHORT_KEY = "ab428324dbdbcfe744"
IV = bytes(range(16))
READ = {"allowed_operations": ["read"]}
ACCOUNT = {
    "property_name": "account.id",
    "operator": "eq",
    "property_value": "4d9a4c421d011c553e000001",
}
#: Master key, options, and the scoped key that keen 0.7.0 makes of them under the vector of all small bytes.
VECTORS: list[tuple[str, dict[str, Any], str]] = [
    (
        NEW_KEY,
        READ | {"filters": [ACCOUNT]},
        (
            "000102030405060708090a0b0c0d0e0f8c23729f3d84768dc0c91b48f20661bff96596b110a16b76d139a08a6bd4411029c1f"
            "bfd1dfa7725ac973fbc269ab5f0331d94cdd2cefbfd40ccb36c26cf3b001b368f5926def0178fba717e5b74784f6b13cdb515"
            "77555cc232aebf9bbbfcaecb08253ba2452a188651b24c8f806ad1a0f73f29e05a318115ce52df10457a15c624566456facef"
            "3ca59fd2a6f3eb6f7"
        ),
    ),
    (
        NEW_KEY,
        {"allowed_operations": ["write"]},
        (
            "000102030405060708090a0b0c0d0e0f8c23729f3d84768dc0c91b48f20661bf8bac8a1c5600b745051f26c932cd6ff8ce67c"
            "59ec24f3af6fd28d9a50e2fdf16"
        ),
    ),
    (
        NEW_KEY,
        READ | {"pad": "aaaaa"},
        (
            "000102030405060708090a0b0c0d0e0f8c23729f3d84768dc0c91b48f20661bff96596b110a16b76d139a08a6bd441104a781"
            "fc99b4db8b1df986ac6cb2e7ee8"
        ),
    ),
    (
        OLD_KEY,
        READ,
        "000102030405060708090a0b0c0d0e0fd0188a8d46b8a49c75fe71165efddfee1d0cd5d664cfe49136795aa520a1f104",
    ),
    (
        SHORT_KEY,
        READ,
        "000102030405060708090a0b0c0d0e0ff88ce2e0c86d8e782b44376c41af74d241ab63bb45569efeccaf9b03d5232f3e",
    ),
]
IDS = ["new", "new-short", "new-unpadded", "old", "old-padded-key"]


@pytest.mark.parametrize(("key", "options", "scoped"), VECTORS, ids=IDS)
def test_the_vectors_are_made(
    key: str, options: dict[str, Any], scoped: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the same initial vector the very same key comes out."""
    monkeypatch.setattr(secrets, "token_bytes", lambda length: IV[:length])
    assert scoped_keys.encrypt(key, options) == scoped


@pytest.mark.parametrize(("key", "options", "scoped"), VECTORS, ids=IDS)
def test_the_vectors_are_read(key: str, options: dict[str, Any], scoped: str) -> None:
    """In lower and upper case, as text and as the bytes that the official client makes."""
    for form in (scoped, scoped.upper(), scoped.encode()):
        assert scoped_keys.decrypt(key, form) == options


JSON = st.dictionaries(
    st.text(max_size=8),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)


@pytest.mark.parametrize("key", [NEW_KEY, OLD_KEY, SHORT_KEY])
@given(options=JSON)
def test_each_client_reads_what_the_other_made(key: str, options: dict[str, Any]) -> None:
    """Whatever the options; and two keys of the same options differ."""
    ours = scoped_keys.encrypt(key, options)
    assert official.decrypt(key, ours) == options
    assert scoped_keys.decrypt(key, official.encrypt(key, options)) == options
    assert scoped_keys.encrypt(key, options) != ours


@pytest.mark.parametrize(
    ("key", "scoped", "words"),
    [
        ("", VECTORS[0][2], "no master key"),
        ("ö" * 64, VECTORS[0][2], "no master key"),
        ("x" * 64, VECTORS[0][2], "not hexadecimal"),
        ("x" * 65, VECTORS[0][2], "too long"),
        (NEW_KEY, "", "not hexadecimal"),
        (NEW_KEY, "zz", "not hexadecimal"),
        (NEW_KEY, VECTORS[0][2][:-1], "not hexadecimal"),
        (NEW_KEY, VECTORS[0][2][:32], "its length is wrong"),
        (NEW_KEY, VECTORS[0][2][:-2], "its length is wrong"),
        (NEW_KEY[::-1], VECTORS[0][2], "does not open with this master key"),
        (OLD_KEY, VECTORS[0][2], "does not open with this master key"),
    ],
)
def test_what_cannot_be_read_is_refused_without_showing_a_key(key: str, scoped: str, words: str) -> None:
    """With the reason."""
    with pytest.raises(UsageError, match=words) as caught:
        scoped_keys.decrypt(key, scoped)
    shown = f"{caught.value!r} {caught.value.hint}"
    assert not any(text in shown for text in (key, scoped) if text)


@pytest.mark.parametrize("options", [{"x": float("nan")}, {"x": object()}, {"x": {1, 2}}])
def test_options_that_are_no_json_make_no_key(options: dict[str, Any]) -> None:
    """Keen could not read them."""
    with pytest.raises(UsageError, match="no key was made"):
        scoped_keys.encrypt(NEW_KEY, options)


def test_without_the_extra_the_error_names_it() -> None:
    """The module imports all the same; only its use needs the package."""
    program = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from keen_client import MissingExtraError, scoped_keys\n"
        "try:\n    scoped_keys.encrypt('a' * 64, {})\n"
        "except MissingExtraError as error:\n    print(error.hint)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "keen-client[scoped-keys]" in done.stdout
