"""A key that cannot be printed by accident."""

from __future__ import annotations

import hmac
import re
from typing import Final, NoReturn

from keen_client.errors import ConfigurationError

_HEADER_SAFE: Final = re.compile(r"[\x21-\x7e]+")

#: What is shown in the place of a key.
MASK: Final = "[key]"


class Secret:
    """One key of a project. ``str()``, ``repr()`` and formatting show a mask; :meth:`reveal` the key.

    White space around the text is dropped (keys are often read from files).
    A secret refuses to be pickled, so that it cannot leave the process inside
    a job's arguments or a cache. Immutable; safe from any thread.

    Raises:
        ConfigurationError: The text is empty or could not stand in an HTTP header. Nothing was sent.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        text = text.strip()
        if not text:
            raise ConfigurationError(
                "a key is empty; nothing was sent", "give the key, or leave the setting out altogether"
            )
        if _HEADER_SAFE.fullmatch(text) is None:
            # An illegal header value would be quoted in full by the HTTP layer's own error.
            raise ConfigurationError(
                "a key holds white space, control or non-ASCII characters; nothing was sent",
                "copy the key again from the project's page; it is usually 64 hexadecimal characters",
            )
        self._text = text

    def reveal(self) -> str:
        """The key itself, for the ``Authorization`` header and nothing else."""
        return self._text

    def redact(self, text: str) -> str:
        """*text* with every occurrence of the key masked."""
        return text.replace(self._text, MASK)

    def __repr__(self) -> str:
        """The mask; see the class."""
        return f"Secret({MASK})"

    def __str__(self) -> str:
        """The mask; see the class."""
        return MASK

    def __eq__(self, other: object) -> bool:
        """True for the same key (compared in constant time)."""
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text, other._text)

    def __hash__(self) -> int:
        """Equal keys have equal hashes."""
        return hash((Secret, self._text))

    def __copy__(self) -> Secret:
        """The secret itself: it is immutable."""
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        """The secret itself: it is immutable."""
        return self

    def __reduce__(self) -> NoReturn:
        """Refuse pickling."""
        message = "a key is never pickled; give it to the other process through its own environment"
        raise TypeError(message)
