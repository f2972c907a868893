"""The identity of an event: origin and seq, born with its row in the log.

An *origin* is ten characters of the operating system's randomness, made with a
segment file. A *seq* is the entry's rowid in that file, from 1, dense. The id
``<origin>-<seq in base 36>`` names the event for ever, and is its uniqueness
token at the server.
"""

from __future__ import annotations

import re
from functools import total_ordering
from typing import Final

import attrs

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


@total_ordering
@attrs.frozen(slots=True)
class EntryId:
    """(origin, seq): the name of one entry. Sorts by origin, then seq."""

    origin: str
    seq: int

    def __str__(self) -> str:
        """The event's id as it travels: ``4kq7x2m9pz-qglj``."""
        return f"{self.origin}-{base36(self.seq)}"

    def __lt__(self, other: EntryId) -> bool:
        """By origin, then seq. Written out: lists of a million ids are sorted."""
        return (self.origin, self.seq) < (other.origin, other.seq)

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
