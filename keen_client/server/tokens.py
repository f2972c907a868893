"""Uniqueness tokens: per collection, the first event with a token is kept, for 31 days."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs

from keen_client._foundation.clock import MS_PER_DAY

TOKEN_MEMORY_MS: Final = 31 * MS_PER_DAY
MAX_TOKEN_LENGTH: Final = 64


@attrs.define
class TokenRegister:
    """Which tokens were seen, and when first. Not thread-safe: the intake's lock guards it.

    The 31 days count from the receipt, not from ``keen.timestamp``. Tokens are
    kept in order of arrival, so forgetting the old ones costs nothing.
    """

    _seen: dict[str, dict[str, int]] = attrs.field(factory=dict, init=False)

    def load(self, entries: Iterable[tuple[str, str, int]]) -> None:
        """Take over (collection, token, received at ms) of an earlier run, oldest first."""
        for collection, token, at_ms in entries:
            self._seen.setdefault(collection, {}).setdefault(token, at_ms)

    def current(self, collection: str, now_ms: int) -> dict[str, int]:
        """The tokens that *collection* remembers at *now_ms*, with the time of their first receipt.

        To ask and to register is to look up and to set; what is older than 31
        days has been let go of.
        """
        tokens = self._seen.get(collection)
        if tokens is None:
            tokens = self._seen[collection] = {}
        elif now_ms - next(iter(tokens.values()), now_ms) >= TOKEN_MEMORY_MS:
            for old in [held for held, at_ms in tokens.items() if now_ms - at_ms >= TOKEN_MEMORY_MS]:
                del tokens[old]
        return tokens

    def unregister(self, collection: str, token: str) -> None:
        """Forget *token*, as if its event had never been seen."""
        self._seen.get(collection, {}).pop(token, None)
