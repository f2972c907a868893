"""JSON as Keen speaks it: exact integers, no NaN, no infinities.

orjson does the work; it rounds integers beyond 64 bits to floats when reading
and refuses them when writing, so texts that may hold one go through the
standard library.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final, NoReturn

import orjson

# 2**64 has 20 digits, 2**63 has 19: nothing shorter can be out of orjson's range.
# Looked for with every digit made a nought, which is many times faster than a pattern.
_NOUGHTS: Final = b"0" * 19
_DIGITS_TO_NOUGHTS: Final = bytes.maketrans(b"123456789", b"000000000")


def decode(text: bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: Not JSON (RFC 8259, UTF-8), or a number that no float can hold.
    """
    if _NOUGHTS not in text.translate(_DIGITS_TO_NOUGHTS):
        return orjson.loads(text)
    try:
        return json.loads(text.decode(), parse_float=_finite, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deep") from None


def encode(value: Any) -> bytes:
    """The compact JSON text of plain dicts, lists, strings, numbers, booleans and None.

    Raises:
        TypeError: Something else is among them, or a lone surrogate. Nothing was sent.
        ValueError: NaN or an infinity, beside an integer of over 64 bits.
    """
    try:
        return orjson.dumps(value)
    except TypeError as error:
        if "64-bit" not in str(error):
            raise
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("a number is too large for a float")
    return number


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
