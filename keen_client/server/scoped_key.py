"""Scoped keys: options that a client encrypted with the master key, long deprecated and still accepted.

Two schemes, told apart by the master key's length alone: with 64 characters it
is 32 bytes in hex and the text is padded to 16 bytes; any other master key is
itself the AES key, padded as the text is, to 32 bytes. The key is
``hex(IV) + hex(AES-256-CBC(options as JSON))``.
"""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from keen_client.server.credential import Credential, Holder
from keen_client.server.filters import parse_filters
from keen_client.server.permission import Permission
from keen_client.server.refusal import Refusal

_IV_BYTES: Final = 16
_AES_KEY_BYTES: Final = 32
_NEW_SCHEME_LENGTH: Final = 64
_NEW_BLOCK: Final = 16
_OLD_BLOCK: Final = 32
_MIN_LENGTH: Final = 64
_HEX: Final = re.compile(r"[0-9A-Fa-f]+")
_PERMISSIONS: Final = {"read": Permission.QUERIES, "write": Permission.WRITES}


def read_scoped_key(presented: str, master_key: str) -> Credential | None:
    """What the scoped key *presented* permits; None when it is none of this master key's.

    Raises :class:`ModuleNotFoundError` when *presented* may be one, and the
    package ``cryptography`` is not installed.
    """
    options = _options(presented, master_key)
    if options is None:
        return None
    operations = options.get("allowed_operations", [])
    if not isinstance(operations, list):
        return None
    try:
        filters = parse_filters(options.get("filters"))
    except Refusal:
        return None
    permissions = frozenset(_PERMISSIONS[name] for name in operations if name in ("read", "write"))
    return Credential(Holder.SCOPED, permissions, {Permission.QUERIES: filters})


def _options(presented: str, master_key: str) -> dict[str, Any] | None:
    if len(presented) < _MIN_LENGTH or len(presented) % 32 or _HEX.fullmatch(presented) is None:
        return None
    try:
        aes_key, block = _aes_key(master_key)
    except ValueError:
        return None
    data = bytes.fromhex(presented)
    text = _decrypted(aes_key, data[:_IV_BYTES], data[_IV_BYTES:])
    # Some clients pad a text that fills its blocks, some do not; JSON ends with a brace, which no
    # padding is.
    padding = text[-1]
    if 1 <= padding <= block:
        text = text[:-padding]
    try:
        options = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return options if isinstance(options, dict) else None


def _aes_key(master_key: str) -> tuple[bytes, int]:
    """The AES key and the block of the padding. :class:`ValueError` when this master key can have no scoped keys."""
    if len(master_key) == _NEW_SCHEME_LENGTH:
        aes_key, block = bytes.fromhex(master_key), _NEW_BLOCK
    else:
        aes_key, block = master_key.encode(), _OLD_BLOCK
        missing = -len(aes_key) % _OLD_BLOCK
        aes_key += bytes([missing]) * missing
    if len(aes_key) != _AES_KEY_BYTES:
        raise ValueError(len(aes_key))
    return aes_key, block


def _decrypted(aes_key: bytes, initialization: bytes, data: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import AES
    from cryptography.hazmat.primitives.ciphers.modes import CBC

    decryptor = Cipher(AES(aes_key), CBC(initialization)).decryptor()
    return decryptor.update(data) + decryptor.finalize()
