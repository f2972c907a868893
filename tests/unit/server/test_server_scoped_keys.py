"""Scoped keys: both schemes of encryption with every quirk, and what such a key may do."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import orjson
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from hypothesis import given
from hypothesis import strategies as st

from keen_client.server.credential import Holder
from keen_client.server.filters import Filter
from keen_client.server.permission import Permission
from keen_client.server.scoped_key import read_scoped_key

if TYPE_CHECKING:
    from tests.unit.server.conftest import Desk

K64: Final = "24077ACBCB198BAAA2110EDDB673282F8E34909FD823A15C55A6253A664BE368"
IV: Final = bytes(range(16))
#: Keys that keen 0.7.0 made with that IV, and another implementation of AES checked.
PREFIX: Final = IV.hex()
ACCOUNT: Final = Filter("eq", "account.id", "4d9a4c421d011c553e000001")
VECTORS: Final = {
    "new scheme, padded": (
        K64,
        (
            "8c23729f3d84768dc0c91b48f20661bff96596b110a16b76d139a08a6bd4411029c1fbfd1dfa7725ac973fbc269ab5f0"
            "331d94cdd2cefbfd40ccb36c26cf3b001b368f5926def0178fba717e5b74784f6b13cdb51577555cc232aebf9bbbfcae"
            "cb08253ba2452a188651b24c8f806ad1a0f73f29e05a318115ce52df10457a15c624566456facef3ca59fd2a6f3eb6f7"
        ),
        Permission.QUERIES,
        (ACCOUNT,),
    ),
    "new scheme, for writing": (
        K64,
        "8c23729f3d84768dc0c91b48f20661bf8bac8a1c5600b745051f26c932cd6ff8ce67c59ec24f3af6fd28d9a50e2fdf16",
        Permission.WRITES,
        (),
    ),
    "new scheme, a text that fills its blocks and is not padded": (
        K64,
        "8c23729f3d84768dc0c91b48f20661bff96596b110a16b76d139a08a6bd441104a781fc99b4db8b1df986ac6cb2e7ee8",
        Permission.QUERIES,
        (),
    ),
    "old scheme, a master key of 32 characters, not padded": (
        "2e79c6ec1d0145be8891bf668599c79a",
        "d0188a8d46b8a49c75fe71165efddfee1d0cd5d664cfe49136795aa520a1f104",
        Permission.QUERIES,
        (),
    ),
    "old scheme, a short master key that is padded": (
        "ab428324dbdbcfe744",
        "f88ce2e0c86d8e782b44376c41af74d241ab63bb45569efeccaf9b03d5232f3e",
        Permission.QUERIES,
        (),
    ),
}


def _encrypted(aes_key: bytes, text: bytes) -> str:
    encryptor = Cipher(AES(aes_key), CBC(IV)).encryptor()
    return (IV + encryptor.update(text) + encryptor.finalize()).hex()


def _padded(text: bytes, block: int, *, fully: bool) -> bytes:
    missing = -len(text) % block
    if missing == 0 and fully:
        missing = block
    return text + bytes([missing]) * missing


def _new_key(options: object, master_key: str = K64, *, fully: bool = True) -> str:
    text = options if isinstance(options, bytes) else orjson.dumps(options)
    return _encrypted(bytes.fromhex(master_key), _padded(text, 16, fully=fully))


@pytest.mark.parametrize("name", sorted(VECTORS))
def test_keys_of_the_official_client_are_read(name: str) -> None:
    """Each recorded key permits exactly what it was made for; capital letters make no difference."""
    master_key, encrypted, permission, filters = VECTORS[name]
    for presented in (PREFIX + encrypted, (PREFIX + encrypted).upper()):
        credential = read_scoped_key(presented, master_key)
        assert credential is not None
        assert credential.holder is Holder.SCOPED
        assert credential.permissions == {permission}
        assert credential.filters == filters


@given(
    st.lists(st.sampled_from(["read", "write"]), unique=True),
    st.text(alphabet="abé\u20ac }\x01", max_size=70),
    st.booleans(),
    st.sampled_from([K64, "2e79c6ec1d0145be8891bf668599c79a", "a", "ab428324dbdbcfe744"]),
)
def test_every_text_comes_back_under_either_padding(
    operations: list[str], filler: str, fully: bool, master_key: str
) -> None:
    """For both schemes, texts of any length, and clients that pad full blocks or do not."""
    options = orjson.dumps({"filler": filler, "allowed_operations": operations})
    if master_key == K64:
        key = _new_key(options, fully=fully)
    else:
        aes_key = _padded(master_key.encode(), 32, fully=False)
        key = _encrypted(aes_key, _padded(options, 32, fully=fully))
    credential = read_scoped_key(key, master_key)
    assert credential is not None
    named = {"read": Permission.QUERIES, "write": Permission.WRITES}
    assert credential.permissions == {named[operation] for operation in operations}


@pytest.mark.parametrize("name", sorted(VECTORS))
def test_a_key_of_another_master_key_is_none(name: str) -> None:
    """What decrypts to no options under this project's master key is no key of it."""
    _, encrypted, _, _ = VECTORS[name]
    assert read_scoped_key(PREFIX + encrypted, "F" * 64) is None
    assert read_scoped_key(PREFIX + encrypted, "another master key") is None


def test_keys_of_the_old_scheme_are_refused_where_the_master_key_has_64_characters() -> None:
    """The characters of a long master key, or half of them, are no AES key: refused since 2016."""
    text = _padded(b'{"allowed_operations": ["read"]}', 32, fully=False)
    for aes_key in (K64[:32], K64[32:]):
        assert read_scoped_key(_encrypted(aes_key.encode(), text), K64) is None


@pytest.mark.parametrize("master_key", ["Z" * 64, "m" * 33, "é" * 20, "é" * 64])
def test_a_master_key_that_makes_no_aes_key_has_no_scoped_keys(master_key: str) -> None:
    """64 characters that are no hex, and more than 32 bytes, cannot encrypt: nothing is read, nothing fails."""
    assert read_scoped_key("0" * 128, master_key) is None


@pytest.mark.parametrize(
    "options",
    [
        b"",
        b"[]",
        b'"read"',
        b"null",
        b'{"allowed_operations": ["read"]',
        b"\xff\xfe",
        {"allowed_operations": "read"},
        {"allowed_operations": None},
        {"allowed_operations": ["read"], "filters": {"operator": "eq"}},
        {"allowed_operations": ["read"], "filters": [{"operator": "eq"}]},
        {"allowed_operations": ["read"], "filters": "all"},
    ],
)
def test_options_that_cannot_be_read_whole_make_no_key(options: object) -> None:
    """A filter that is not understood would have restricted: the key is refused, not widened."""
    assert read_scoped_key(_new_key(options), K64) is None


def test_operations_that_are_not_known_permit_nothing() -> None:
    """Only ``read`` and ``write`` mean something; none at all permits nothing."""
    meaningless: list[dict[str, Any]] = [
        {},
        {"allowed_operations": []},
        {"allowed_operations": ["delete", 5, None]},
    ]
    for options in meaningless:
        credential = read_scoped_key(_new_key(options), K64)
        assert credential is not None
        assert credential.permissions == frozenset()


@pytest.mark.parametrize(
    "presented", ["", "0" * 32, "0" * 63, "0" * 65, "g" * 64, "0" * 80, " " * 64, "\u0660" * 64]
)
def test_what_has_not_the_form_of_one_is_none(presented: str) -> None:
    """Hex, at least 64 characters, a whole number of blocks; everything else is not even decrypted."""
    assert read_scoped_key(presented, K64) is None


@given(st.binary(min_size=32, max_size=160).map(lambda data: data[: len(data) // 16 * 16].hex()))
def test_random_keys_open_nothing(presented: str) -> None:
    """Whatever is presented, the answer is that it is no key: no error."""
    assert read_scoped_key(presented, K64) is None


def test_a_scoped_key_reads_within_its_filters_only(desk: Desk) -> None:
    """Filters are added to every query of the key, and it opens nothing but queries."""
    desk.write({"account": {"id": 1}}, {"account": {"id": 2}}, {"account": {"id": 2}})
    filters = [{"property_name": "account.id", "operator": "eq", "property_value": 1}]
    key = _new_key({"allowed_operations": ["read"], "filters": filters})
    assert desk.query(key=key).json() == {"result": 1}
    other = [{"property_name": "account.id", "operator": "eq", "property_value": 2}]
    assert desk.query(key=key, filters=other).json() == {"result": 0}
    assert desk.call("GET", "/events", key=key).status_code == 403
    assert desk.call("POST", "/events/c", key=key, json={}).status_code == 403
    assert desk.call("DELETE", "/events/c", key=key).status_code == 401


def test_a_scoped_key_for_writing_writes_and_reads_nothing(desk: Desk) -> None:
    """A key for ``write`` is good for events, by header and in the URL of a beacon."""
    key = _new_key({"allowed_operations": ["write"]})
    desk.write({"a": 1}, key=key)
    reply = desk.call("GET", "/events/c", key="", params={"api_key": key, "data": "e30="})
    assert reply.json() == {"created": True}
    assert desk.query(key=key).status_code == 403
    assert desk.query().json() == {"result": 2}


@pytest.fixture
def without_cryptography(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package cryptography is not installed."""
    real = builtins.__import__

    def missing(name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith("cryptography"):
            raise ModuleNotFoundError(f"No module named {name!r}", name="cryptography")
        return real(name, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "__import__", missing)
        yield


@pytest.mark.usefixtures("without_cryptography")
def test_without_the_package_a_scoped_key_is_refused_and_the_log_says_why(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """The client hears 401; the server's log names the extra, and not the key. Other keys go on."""
    key = _new_key({"allowed_operations": ["read"]})
    reply = desk.query(key=key)
    assert (reply.status_code, reply.json()["error_code"]) == (401, "InvalidApiKeyError")
    assert "keen-client[server]" in caplog.text
    assert key not in caplog.text
    desk.write({"a": 1})
    assert desk.query().json() == {"result": 1}
