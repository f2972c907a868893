"""What a column holds, found out value by value.

The types form a lattice: any two have a least one that holds the values of
both exactly, and at its top stands JSON text, which holds everything. So the
type of a column depends on which values there are, and not on their order, nor
on how they were divided into pages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import Any, Final

import attrs


class Kind(StrEnum):
    """What the values of a column are. Null is a value of every kind."""

    #: Nothing but null.
    NULL = "null"
    BOOLEAN = "boolean"
    #: Integers that a double holds exactly: up to 2**53.
    SMALL_INTEGER = "small integer"
    #: Integers of 64 bits with sign.
    INTEGER = "integer"
    #: Integers of up to 38 digits.
    LARGE_INTEGER = "large integer"
    #: Doubles.
    NUMBER = "number"
    TEXT = "text"
    #: Moments, aware.
    TIMESTAMP = "timestamp"
    #: What nothing else holds: objects, lists of such, values of several kinds, as JSON text.
    JSON = "json"


_EXACT_IN_DOUBLE: Final = 2**53
_LONG: Final = 2**63
_DECIMAL_DIGITS: Final = 38
#: A ``repr`` shows so many columns.
_SHOWN: Final = 8
_LADDER: Final = (Kind.SMALL_INTEGER, Kind.INTEGER, Kind.LARGE_INTEGER)


@attrs.frozen
class ColumnType:
    """One value a row, or with *is_list* a list of them."""

    kind: Kind = Kind.NULL
    is_list: bool = False

    def __str__(self) -> str:
        """As a reader is told: ``text``, ``list of text``."""
        return f"list of {self.kind}" if self.is_list else str(self.kind)

    def join(self, other: ColumnType) -> ColumnType:
        """The least type that holds the values of both."""
        if other in (self, EMPTY):
            return self
        if self == EMPTY:
            return other
        if self.is_list != other.is_list:
            return JSON
        kind = _joined(self.kind, other.kind)
        return JSON if kind is Kind.JSON else ColumnType(kind, self.is_list)


#: One of each, so that the same type is the same object: millions of values are looked at.
_SCALARS: Final = {kind: ColumnType(kind) for kind in Kind}
_KINDS: Final[dict[type, Kind]] = {
    type(None): Kind.NULL,
    bool: Kind.BOOLEAN,
    float: Kind.NUMBER,
    str: Kind.TEXT,
    datetime: Kind.TIMESTAMP,
}
EMPTY: Final = _SCALARS[Kind.NULL]
JSON: Final = _SCALARS[Kind.JSON]


def _joined(one: Kind, other: Kind) -> Kind:
    if one is other or other is Kind.NULL:
        return one
    if one is Kind.NULL:
        return other
    if one in _LADDER and other in _LADDER:
        return max(one, other, key=_LADDER.index)
    if {one, other} == {Kind.SMALL_INTEGER, Kind.NUMBER}:
        return Kind.NUMBER
    return Kind.JSON


def type_of(value: Any) -> ColumnType:
    """The least type that holds *value*, of an answer or of a row made from one."""
    if isinstance(value, list):
        kind = Kind.NULL
        for member in value:
            kind = Kind.JSON if isinstance(member, list) else _joined(kind, _kind_of(member))
            if kind is Kind.JSON:
                return JSON
        return ColumnType(kind, is_list=True)
    return _SCALARS[_kind_of(value)]


def _kind_of(value: Any) -> Kind:
    found = _KINDS.get(type(value))
    if found is not None:
        return found
    if isinstance(value, int):
        if -_EXACT_IN_DOUBLE <= value <= _EXACT_IN_DOUBLE:
            return Kind.SMALL_INTEGER
        if -_LONG <= value < _LONG:
            return Kind.INTEGER
        return Kind.LARGE_INTEGER if abs(value) < 10**_DECIMAL_DIGITS else Kind.JSON
    return Kind.JSON


class Columns:
    """The columns of rows as they go by: names in order of first appearance, and their types."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        """*names* come first and are there even when no row has them."""
        self._types = dict.fromkeys(names, EMPTY)

    def observe(self, row: Mapping[str, Any]) -> None:
        """Take one row into account. A column that it lacks is null in it."""
        types = self._types
        for name, value in row.items():
            known = types.setdefault(name, EMPTY)
            found = type_of(value)
            if found is not known:
                types[name] = known.join(found)

    def widen(self, name: str, expected: ColumnType) -> None:
        """Have *name* hold the values of *expected* too, unless that would make text of numbers."""
        joined = self._types[name].join(expected)
        if joined != JSON:
            self._types[name] = joined

    @property
    def types(self) -> dict[str, ColumnType]:
        """By name, in order."""
        return dict(self._types)

    def __iter__(self) -> Iterator[str]:
        return iter(self._types)

    def __repr__(self) -> str:
        told = [f"{name}: {of}" for name, of in islice(self._types.items(), _SHOWN)]
        return f"Columns({', '.join(told)}{', ...' if len(self._types) > _SHOWN else ''})"
