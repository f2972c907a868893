"""The identity of an event: origin and seq, born with its row in the log.

An *origin* is ten characters of the operating system's randomness, made with a
segment file. A *seq* is the entry's rowid in that file, from 1, dense. The id
``<origin>-<seq in base 36>`` names the event for ever, and is its uniqueness
token at the server.
"""

from __future__ import annotations

import re
from typing import Final, NoReturn, Self

from keen_client._foundation.randomness import Randomness

ORIGIN_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
ORIGIN_CHARS: Final = 10
#: Entries of one segment: with 32-bit stamps every sum stays exact in a double.
SEQ_MAX: Final = 2**21
#: Consecutive entries that share a block number; four to the power of 23 is below 2**48.
BLOCK_ENTRIES: Final = 24

_BASE36: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
#: Two digits at a time: ids are made for every event that is folded and sent.
_PAIRS: Final = [high + low for high in _BASE36 for low in _BASE36]
_PAIRS_COUNT: Final = len(_PAIRS)
_SHORT: Final = [pair.lstrip("0") or "0" for pair in _PAIRS]
_ID: Final = re.compile(rf"([{ORIGIN_ALPHABET}]{{{ORIGIN_CHARS}}})-([0-9a-z]{{1,5}})")
_ORIGIN: Final = re.compile(rf"[{ORIGIN_ALPHABET}]{{{ORIGIN_CHARS}}}")

_set: Final = object.__setattr__


class EntryId(str):
    """(origin, seq): the name of one entry, and the text of it, ``4kq7x2m9pz-qglj``, as a receipt has it.

    It equals that text, and serialises as it. Sorts by origin, then seq, which
    is not the order of the texts. Immutable.
    """

    __slots__ = ("origin", "seq")

    origin: str
    seq: int

    def __new__(cls, origin: str, seq: int) -> Self:
        """The entry *seq*, from 1, of *origin*."""
        self = str.__new__(cls, f"{origin}-{base36(seq)}")
        _set(self, "origin", origin)
        _set(self, "seq", seq)
        return self

    def __setattr__(self, name: str, value: object) -> NoReturn:
        """An identity never changes."""
        raise AttributeError(f"{name!r} of an event's id cannot be changed")

    def __reduce__(self) -> tuple[type[Self], tuple[str, int]]:
        """Copies and pickles are made anew."""
        return type(self), (self.origin, self.seq)

    def __lt__(self, other: str) -> bool:
        """By origin, then seq. Written out: lists of a million ids are sorted."""
        if isinstance(other, EntryId):
            return (self.origin, self.seq) < (other.origin, other.seq)
        return str.__lt__(self, other)

    def __le__(self, other: str) -> bool:
        """See :meth:`__lt__`."""
        return self == other or self < other

    def __gt__(self, other: str) -> bool:
        """See :meth:`__lt__`."""
        return not self <= other

    def __ge__(self, other: str) -> bool:
        """See :meth:`__lt__`."""
        return not self < other

    @classmethod
    def parse(cls, text: str) -> EntryId:
        """Read an id; ValueError when it is not one of ours."""
        match = _ID.fullmatch(text)
        if match is None or (match[2][0] == "0"):
            raise ValueError(f"{text[:80]!r} is not the id of an event of this client")
        return cls(match[1], int(match[2], 36))


def new_origin(randomness: Randomness) -> str:
    """Draw a fresh origin."""
    return randomness.token(ORIGIN_ALPHABET, ORIGIN_CHARS)


def is_origin(text: object) -> bool:
    """Whether *text* has the form of an origin."""
    return isinstance(text, str) and _ORIGIN.fullmatch(text) is not None


def base36(number: int) -> str:
    """*number* in lower-case base 36 without leading zeros."""
    if number < _PAIRS_COUNT:
        return _SHORT[number]
    high, low = divmod(number, _PAIRS_COUNT)
    if high < _PAIRS_COUNT:
        return _SHORT[high] + _PAIRS[low]
    digits = ""
    while number >= _PAIRS_COUNT:
        number, rest = divmod(number, _PAIRS_COUNT)
        digits = _PAIRS[rest] + digits
    return _SHORT[number] + digits
