"""Scoped keys: a project's master key and some options, encrypted into a key that anyone may hold.

Deprecated at Keen: its pages point to access keys (``create_access_key``),
which can be listed and revoked; a scoped key is good until the master key
changes. Kept for programs that make or read them::

    from keen_client import scoped_keys

    key = scoped_keys.encrypt(master_key, {"allowed_operations": ["read"], "filters": [...]})
    options = scoped_keys.decrypt(master_key, key)

There are two schemes, both AES-256 in CBC mode under a random IV, written as
hexadecimal digits, IV first. With a master key of 64 characters, as projects
have since 2016, these are the key's digits; with any other the characters
themselves, padded to a multiple of 32. Needs the extra
``keen-client[scoped-keys]``. Nothing here touches the network.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from typing import Any, Final

from keen_client.errors import MissingExtraError, UsageError

_IV_BYTES: Final = 16
_NEW_KEY_CHARS: Final = 64
_NEW_BLOCK: Final = 16
_OLD_BLOCK: Final = 32
_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2})+")


def encrypt(api_key: str, options: Mapping[str, Any]) -> str:
    """A scoped key of the project whose master key is *api_key*, in lower-case digits; another one each time.

    *options* are ``allowed_operations``, a list of ``read`` and ``write``, and
    ``filters``, which are added to every query made with the key. They are
    encrypted as they are given: Keen ignores what it does not know.

    Raises:
        UsageError: The master key or the options cannot be used.
        MissingExtraError: The package ``cryptography`` is not installed.
    """
    key, block = _cipher_key(api_key)
    try:
        text = json.dumps(dict(options), allow_nan=False).encode()
    except (TypeError, ValueError):
        raise UsageError(
            "the options are not JSON; no key was made",
            "use strings, numbers, booleans, None, lists and dicts",
        ) from None
    iv = secrets.token_bytes(_IV_BYTES)
    return (iv + _encrypted(key, iv, _padded(text, block))).hex()


def decrypt(api_key: str, scoped_key: str | bytes) -> Any:
    """The options within *scoped_key*, given the project's master key.

    Raises:
        UsageError: One of the two cannot be used, or they do not belong together.
        MissingExtraError: The package ``cryptography`` is not installed.
    """
    key, block = _cipher_key(api_key)
    if isinstance(scoped_key, bytes):
        scoped_key = scoped_key.decode("ascii", "replace")
    if not isinstance(scoped_key, str) or _HEX.fullmatch(scoped_key) is None:
        raise UsageError("that is no scoped key: it is not hexadecimal", "copy it again")
    whole = bytes.fromhex(scoped_key)
    iv, ciphertext = whole[:_IV_BYTES], whole[_IV_BYTES:]
    if not ciphertext or len(ciphertext) % _IV_BYTES:
        raise UsageError("that is no scoped key: its length is wrong", "copy it again")
    text = _unpadded(_decrypted(key, iv, ciphertext), block)
    try:
        return json.loads(text.decode())
    except ValueError:
        raise UsageError(
            "the scoped key does not open with this master key", "give the master key that it was made with"
        ) from None


def _cipher_key(api_key: str) -> tuple[bytes, int]:
    """The 32 bytes that encrypt, and the block that options are padded to."""
    if not isinstance(api_key, str) or not api_key or not api_key.isascii():
        raise UsageError("that is no master key", "copy it again from the project's page")
    if len(api_key) != _NEW_KEY_CHARS:
        key = _padded(api_key.encode(), _OLD_BLOCK)
        if len(key) != _OLD_BLOCK:
            raise UsageError("the master key is too long for the old scheme", "copy it again")
        return key, _OLD_BLOCK
    if _HEX.fullmatch(api_key) is None:
        raise UsageError("the master key has 64 characters and is not hexadecimal", "copy it again")
    return bytes.fromhex(api_key), _NEW_BLOCK


def _padded(text: bytes, block: int) -> bytes:
    """To a multiple of *block*, each added byte saying how many there are; nothing where it is one already.

    PKCS #7 would add a whole block then. The official client does not, and
    reading works either way: JSON ends in a byte larger than any padding.
    """
    missing = -len(text) % block
    return text + bytes([missing]) * missing


def _unpadded(text: bytes, block: int) -> bytes:
    count = text[-1]
    return text[:-count] if 1 <= count <= block else text


def _encrypted(key: bytes, iv: bytes, text: bytes) -> bytes:
    encryptor = _cipher(key, iv).encryptor()
    return bytes(encryptor.update(text) + encryptor.finalize())


def _decrypted(key: bytes, iv: bytes, ciphertext: bytes) -> bytes:
    decryptor = _cipher(key, iv).decryptor()
    return bytes(decryptor.update(ciphertext) + decryptor.finalize())


def _cipher(key: bytes, iv: bytes) -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers import Cipher
        from cryptography.hazmat.primitives.ciphers.algorithms import AES256
        from cryptography.hazmat.primitives.ciphers.modes import CBC
    except ImportError:
        raise MissingExtraError(
            "scoped keys need the package cryptography, which is not installed; no key was made or read",
            "pip install 'keen-client[scoped-keys]'",
        ) from None
    return Cipher(AES256(key), CBC(iv))
