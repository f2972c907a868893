"""Scoped keys as keen 0.7 gives them: as bytes. See :mod:`keen_client.scoped_keys`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keen_client import scoped_keys

__all__ = ["decrypt", "encrypt"]


def encrypt(api_key: str, options: Mapping[str, Any]) -> bytes:
    """A scoped key, in lower-case digits, which the clients here take as it is.

    Raises:
        UsageError: The master key or the options cannot be used. A ``ValueError`` too.
        MissingExtraError: The package ``cryptography`` is not installed.
    """
    return scoped_keys.encrypt(api_key, options).encode()


def decrypt(api_key: str, scoped_key: str | bytes) -> Any:
    """The options within a scoped key.

    Raises:
        UsageError: The two cannot be used, or do not belong together. A ``ValueError`` too.
        MissingExtraError: The package ``cryptography`` is not installed.
    """
    return scoped_keys.decrypt(api_key, scoped_key)
