"""Which events a query looks at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from keen_client.errors import InvalidQueryError
from keen_client.queries.values import freeze, named, thaw

#: Every operator that compares a property with a value.
OPERATORS: Final = frozenset(
    {
        "eq",
        "ne",
        "lt",
        "lte",
        "gt",
        "gte",
        "exists",
        "in",
        "contains",
        "not_contains",
        "regex",
        "within",
    }
)

#: Filters within filters are followed this deep.
DEPTH_MAX: Final = 20

_GEO_PROPERTY: Final = "keen.location.coordinates"
_PLAIN_MEMBERS: Final = {"property_name", "operator", "property_value"}
_COMPOUND_MEMBERS: Final = {"operator", "operands"}


def _property_value(value: Any) -> Any:
    return freeze(value, "a filter's property_value")


@attrs.frozen
class Filter:
    """One comparison: ``Filter("item", "eq", "book")``.

    ``property_name`` is a dotted path. ``exists`` takes a boolean, ``in`` a
    list, ``within`` (on ``keen.location.coordinates`` only) an object with
    ``coordinates`` and ``max_distance_miles``.

    Raises:
        InvalidQueryError: An unknown operator or a value it cannot take. Nothing was sent.
    """

    property_name: str
    operator: str
    property_value: Any = attrs.field(converter=_property_value)

    def __attrs_post_init__(self) -> None:
        """Refuse what Keen would refuse."""
        named(self.property_name, "a filter's property_name")
        if self.operator not in OPERATORS:
            raise InvalidQueryError(
                f"{str(self.operator)[:40]!r} is not a filter operator; nothing was sent",
                "one of " + ", ".join(sorted(OPERATORS)) + "; or and, or with operands",
            )
        if self.operator == "exists" and not isinstance(self.property_value, bool):
            raise InvalidQueryError(
                "the filter operator exists takes True or False; nothing was sent", "correct property_value"
            )
        if self.operator == "in" and not isinstance(self.property_value, tuple):
            raise InvalidQueryError(
                "the filter operator in takes a list; nothing was sent", "put the value into a list"
            )
        if self.operator == "within":
            self._check_within()

    def _check_within(self) -> None:
        if self.property_name != _GEO_PROPERTY:
            raise InvalidQueryError(
                f"the filter operator within works on {_GEO_PROPERTY} only; nothing was sent",
                "record positions as keen.location.coordinates, [longitude, latitude]",
            )
        value = self.property_value
        if not isinstance(value, Mapping) or not {"coordinates", "max_distance_miles"} <= set(value):
            raise InvalidQueryError(
                "the filter operator within takes coordinates and max_distance_miles; nothing was sent",
                "such as {'coordinates': [-122.4, 37.8], 'max_distance_miles': 10}",
            )

    def to_json(self) -> dict[str, Any]:
        """Keen's form."""
        return {
            "property_name": self.property_name,
            "operator": self.operator,
            "property_value": thaw(self.property_value),
        }


def _operands(value: Sequence[FilterLike]) -> tuple[AnyFilter, ...]:
    return parse_filters(value, "operands")


@attrs.frozen
class AnyOf:
    """At least one of the operands holds (``or``). Needs one operand or more."""

    operands: tuple[AnyFilter, ...] = attrs.field(converter=_operands)

    def __attrs_post_init__(self) -> None:
        """Refuse an empty list."""
        _check_operands(self.operands)

    def to_json(self) -> dict[str, Any]:
        """Keen's form."""
        return {"operator": "or", "operands": [operand.to_json() for operand in self.operands]}


@attrs.frozen
class AllOf:
    """All operands hold (``and``); of use inside :class:`AnyOf`. Needs one operand or more."""

    operands: tuple[AnyFilter, ...] = attrs.field(converter=_operands)

    def __attrs_post_init__(self) -> None:
        """Refuse an empty list."""
        _check_operands(self.operands)

    def to_json(self) -> dict[str, Any]:
        """Keen's form."""
        return {"operator": "and", "operands": [operand.to_json() for operand in self.operands]}


AnyFilter = Filter | AnyOf | AllOf
#: What a filter may be given as.
FilterLike = Filter | AnyOf | AllOf | Mapping[str, Any]


def parse_filter(value: FilterLike, depth: int = 0) -> AnyFilter:
    """Read one filter as callers of the official client pass it (a dict), or a filter value.

    Raises:
        InvalidQueryError: Neither, or one that Keen would refuse. Nothing was sent.
    """
    if depth > DEPTH_MAX:
        raise InvalidQueryError(f"filters are nested over {DEPTH_MAX} deep; nothing was sent", "flatten them")
    if isinstance(value, Filter | AnyOf | AllOf):
        return value
    if not isinstance(value, Mapping):
        raise InvalidQueryError(
            f"a filter is a dict, not {type(value).__name__}; nothing was sent",
            "such as {'property_name': 'item', 'operator': 'eq', 'property_value': 'book'}",
        )
    if value.get("operator") in ("or", "and"):
        if set(value) != _COMPOUND_MEMBERS:
            raise InvalidQueryError(
                "a filter with or, and has exactly operator and operands; nothing was sent",
                "such as {'operator': 'or', 'operands': [...]}",
            )
        operands = parse_filters(value["operands"], "operands", depth + 1)
        return AnyOf(operands) if value["operator"] == "or" else AllOf(operands)
    if set(value) != _PLAIN_MEMBERS:
        raise InvalidQueryError(
            "a filter has exactly property_name, operator and property_value; nothing was sent",
            "such as {'property_name': 'item', 'operator': 'eq', 'property_value': 'book'}",
        )
    return Filter(value["property_name"], value["operator"], value["property_value"])


def parse_filters(
    value: Sequence[FilterLike] | None, where: str = "filters", depth: int = 0
) -> tuple[AnyFilter, ...]:
    """Read a list of filters, all of which must hold; None is the empty list.

    Raises:
        InvalidQueryError: Not a list, or a bad filter in it. Nothing was sent.
    """
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise InvalidQueryError(
            f"{where} is a list of filters, not {type(value).__name__}; nothing was sent",
            "put the filter into a list",
        )
    return tuple(parse_filter(member, depth) for member in value)


def _check_operands(operands: tuple[AnyFilter, ...]) -> None:
    if not operands:
        raise InvalidQueryError("a filter with or, and has no operands; nothing was sent", "give one or more")
