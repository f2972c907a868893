"""Reading answers strictly: what is not exactly what was asked for is no answer.

Everything here raises :class:`~keen_client.errors.UnreadableResponseError`
with the reason; the windows concerned are then *incomplete*, never a match.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NoReturn, Protocol

from keen_client._foundation.clock import datetime_to_ms
from keen_client.api.cost import Cost, ServerClock
from keen_client.errors import UnreadableResponseError
from keen_client.queries.analysis import Analysis

#: Every integer up to here is exactly a double.
EXACT_MAX: Final = 2**53


class QueryApi(Protocol):
    """What a verification needs of :class:`~keen_client.api.keen_api.KeenApi`."""

    @property
    def cost(self) -> Cost:
        """Requests and bytes so far."""

    @property
    def server_clock(self) -> ServerClock | None:
        """The latest reading of the server's clock."""

    def query(self, analysis: Analysis, *, all_keys: bool = False) -> Any:
        """Run one analysis and return its ``result``."""


def refuse(reason: str) -> NoReturn:
    """Give an answer up."""
    raise UnreadableResponseError(reason, "read again; if it stays, the server's answers cannot be relied on")


def whole(value: object, what: str) -> int:
    """A count or a sum of stamps: an integral number from 0 to 2^53."""
    number = real(value, what)
    if number != int(number) or not 0 <= number <= EXACT_MAX:
        refuse(f"{what} is {number!r}, not a whole number from 0 to 2^53")
    return int(number)


def whole_or_none(value: object, what: str) -> int | None:
    """Like :func:`whole`; null is what an analysis of no numbers gives."""
    return None if value is None else whole(value, what)


def real(value: object, what: str) -> int | float:
    """A finite number; never a text or a boolean."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        refuse(f"{what} is {_shown(value)}, not a number")
    if not math.isfinite(value):
        refuse(f"{what} is {value!r}, not a finite number")
    return value


def row_list(value: object, what: str) -> Sequence[Any]:
    """A JSON list."""
    if not isinstance(value, list):
        refuse(f"{what} is {_shown(value)}, not a list")
    return value


def record(value: object, names: frozenset[str], what: str) -> Mapping[str, Any]:
    """A JSON object with exactly the members *names*."""
    if not isinstance(value, dict):
        refuse(f"{what} is {_shown(value)}, not an object")
    if value.keys() != names:
        missing, unknown = sorted(names - value.keys()), sorted(map(str, value.keys() - names))
        refuse(f"{what} lacks {', '.join(missing) or 'nothing'} and has unknown {', '.join(unknown)[:100]}")
    return value


def instant_ms(value: object, what: str) -> int:
    """An ISO 8601 time with a zone, in whole milliseconds."""
    moment = None
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = None
    if moment is None or moment.tzinfo is None:
        refuse(f"{what} is {_shown(value)}, not a time with a zone")
    if moment.microsecond % 1000:
        refuse(f"{what} has parts of a millisecond")
    try:
        return datetime_to_ms(moment)
    except OverflowError:
        refuse(f"{what} is outside of the years 1 to 9999")


def instant_or_none(value: object) -> int | None:
    """The time that an event has at the server; None when it has none that can be read."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return None if moment.tzinfo is None else datetime_to_ms(moment)
    except (ValueError, OverflowError):
        return None


def _shown(value: object) -> str:
    """What kind of value, never its content: it may be a user's."""
    return "null" if value is None else type(value).__name__
