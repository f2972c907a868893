"""The JSON values that a query may carry, checked and made unchangeable.

A query is a frozen value, so what the caller passed is copied: lists become
tuples, mappings read-only copies.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from keen_client._foundation.clock import datetime_to_ms, ms_to_iso
from keen_client.errors import InvalidQueryError

#: Nesting beyond this is refused.
DEPTH_MAX: Final = 50


def freeze(value: object, where: str, depth: int = 0) -> Any:
    """A read-only copy of *value*, if JSON can hold it; aware datetimes become ISO 8601 in UTC.

    Args:
        value: Anything the caller gave.
        where: What the value is, for the message.
        depth: How deep it lies; for the recursion.

    Raises:
        InvalidQueryError: NaN, an infinity, a naive datetime, one that UTC cannot hold, or no JSON value. Nothing was sent.
    """
    if depth > DEPTH_MAX:
        raise InvalidQueryError(f"{where} is nested over {DEPTH_MAX} deep; nothing was sent", "flatten it")
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return checked_text(value, where)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidQueryError(f"{where} is not a finite number; nothing was sent", "JSON has none such")
        return value
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise InvalidQueryError(
                f"{where} is a datetime without a zone; nothing was sent", "add one: tzinfo=UTC"
            )
        try:
            return ms_to_iso(datetime_to_ms(value))
        except OverflowError:
            raise InvalidQueryError(
                f"{where} lies outside the years 1 to 9999; nothing was sent", "check the year"
            ) from None
    if isinstance(value, Mapping):
        copy = {}
        for name, member in value.items():
            if not isinstance(name, str):
                raise InvalidQueryError(
                    f"{where} has a member name that is not a string; nothing was sent", "use strings"
                )
            copy[checked_text(name, where)] = freeze(member, where, depth + 1)
        return MappingProxyType(copy)
    if isinstance(value, list | tuple):
        return tuple(freeze(member, where, depth + 1) for member in value)
    raise InvalidQueryError(
        f"{where} is {type(value).__name__}, which JSON cannot hold; nothing was sent",
        "use strings, numbers, booleans, None, lists and dicts",
    )


def thaw(value: Any) -> Any:
    """The plain dicts and lists of a value that :func:`freeze` made."""
    if isinstance(value, Mapping):
        return {name: thaw(member) for name, member in value.items()}
    if isinstance(value, tuple):
        return [thaw(member) for member in value]
    return value


def checked_text(text: object, where: str) -> str:
    """*text*, if it is a string that UTF-8 can hold.

    Raises:
        InvalidQueryError: Not a string, or one with a lone surrogate. Nothing was sent.
    """
    if not isinstance(text, str):
        raise InvalidQueryError(
            f"{where} is {type(text).__name__}, not a string; nothing was sent", "give a string"
        )
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidQueryError(
            f"{where} holds half of a surrogate pair; nothing was sent", "repair the text"
        ) from None
    return text


def named(text: object, where: str) -> str:
    """*text*, if it is a string that is not empty.

    Raises:
        InvalidQueryError: Anything else. Nothing was sent.
    """
    text = checked_text(text, where)
    if not text:
        raise InvalidQueryError(f"{where} is empty; nothing was sent", "give a name")
    return text


def whole(value: object, where: str, least: int) -> int:
    """*value*, if it is an integer of at least *least*.

    Raises:
        InvalidQueryError: Anything else. Nothing was sent.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidQueryError(
            f"{where} is not an integer of at least {least}; nothing was sent", "correct it"
        )
    return value


def checked_timezone(value: object) -> str | int:
    """*value*, if it is a time zone's name or an integer number of seconds east of UTC.

    Raises:
        InvalidQueryError: Anything else. Nothing was sent.
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InvalidQueryError(
            "timezone is not a name or an integer number of seconds; nothing was sent",
            "such as 'US/Pacific' or -28800",
        )
    return named(value, "timezone") if isinstance(value, str) else value
