"""Filters: Keen's operators, as conditions of SQL over shredded properties.

A missing property counts as null. ``lt``, ``contains`` and the like never hold
for null or for another type; ``ne`` and ``not_contains`` hold for whatever
their opposite does not. On a list, ``eq`` and ``in`` ask for membership.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import attrs
import orjson

from keen_client.server.columns import EXACT, Column, Parameters
from keen_client.server.moment import parse_moment
from keen_client.server.refusal import INVALID_GEO_FILTER, INVALID_PARAMETER, bad_request

#: Properties that are instants: stored as milliseconds in columns of every table.
INSTANTS: Final = {"keen.timestamp": "ts", "keen.created_at": "created"}
GEO_PROPERTY: Final = "keen.location.coordinates"
MAX_DEPTH: Final = 20
EARTH_RADIUS_MILES: Final = 3_959

_COMPARISONS: Final = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_GROUPS: Final = {"or": " OR ", "and": " AND "}
OPERATORS: Final = frozenset(
    {"eq", "ne", "exists", "in", "contains", "not_contains", "regex", "within", *_COMPARISONS, *_GROUPS}
)


@attrs.frozen
class Filter:
    """One filter, or a group of them (``operands``)."""

    operator: str
    property_name: str = ""
    value: Any = None
    operands: tuple[Filter, ...] = ()

    def paths(self) -> Iterator[str]:
        """The property paths that must be shredded for it."""
        if self.property_name and not self.is_instant:
            yield self.property_name
        for operand in self.operands:
            yield from operand.paths()

    @property
    def is_instant(self) -> bool:
        """Whether it compares one of Keen's times, as an instant."""
        return self.property_name in INSTANTS and self.operator in ("eq", "ne", *_COMPARISONS)


def parse_filters(value: object, depth: int = 0) -> tuple[Filter, ...]:
    """The ``filters`` parameter. Raises a 400 refusal that names the rule broken."""
    if value is None or value == "":
        return ()
    if not isinstance(value, list) or depth > MAX_DEPTH:
        raise bad_request(INVALID_PARAMETER, f"filters must be a list, nested at most {MAX_DEPTH} deep.")
    return tuple(_parse_one(item, depth) for item in value)


def conditions(filters: Sequence[Filter], columns: Mapping[str, Column], parameters: Parameters) -> list[str]:
    """The SQL of each of *filters*; NULL counts as false."""
    return [_condition(item, columns, parameters) for item in filters]


def _parse_one(item: object, depth: int) -> Filter:
    if not isinstance(item, Mapping):
        raise bad_request(INVALID_PARAMETER, "A filter must be an object.")
    operator = item.get("operator")
    if not isinstance(operator, str) or operator not in OPERATORS:
        raise bad_request(INVALID_PARAMETER, f"Not a filter operator. You specified: '{str(operator)[:64]}'.")
    if operator in _GROUPS:
        operands = parse_filters(item.get("operands"), depth + 1)
        if not operands:
            raise bad_request(INVALID_PARAMETER, f"The operator '{operator}' needs a list 'operands'.")
        return Filter(operator, operands=operands)
    name, value = item.get("property_name"), item.get("property_value")
    if not isinstance(name, str) or not name:
        raise bad_request(INVALID_PARAMETER, "A filter needs a property_name.")
    found = Filter(operator, name, value)
    _check_value(found)
    return found


def _check_value(item: Filter) -> None:
    operator, value = item.operator, item.value
    problem = ""
    if operator == "within":
        if item.property_name != GEO_PROPERTY:
            text = (
                f"A geo filter is allowed only on {GEO_PROPERTY}. You specified: '{item.property_name[:80]}'."
            )
            raise bad_request(INVALID_GEO_FILTER, text)
        if not _is_circle(value):
            problem = "needs coordinates [longitude, latitude] and max_distance_miles"
    elif operator == "exists" and str(value).lower() not in ("true", "false"):
        problem = "needs true or false"
    elif operator == "in" and not isinstance(value, list):
        problem = "needs a list"
    elif operator in _COMPARISONS and (isinstance(value, bool) or not isinstance(value, (str, int, float))):
        problem = "needs a number or a string"
    elif operator == "regex" and not isinstance(value, str):
        problem = "needs a string"
    if not problem and item.is_instant and isinstance(value, str):
        try:
            parse_moment(value)
        except (ValueError, OverflowError):
            problem = f"needs an ISO 8601 time on {item.property_name}"
    if problem:
        raise bad_request(INVALID_PARAMETER, f"The operator '{operator}' {problem}.")


def _is_circle(value: object) -> bool:
    if not isinstance(value, Mapping):
        return False
    point, radius = value.get("coordinates"), value.get("max_distance_miles")
    numbers = [*point, radius] if isinstance(point, list) and len(point) == 2 else [None]
    return all(isinstance(number, (int, float)) and not isinstance(number, bool) for number in numbers)


def _condition(item: Filter, columns: Mapping[str, Column], bind: Parameters) -> str:
    operator, value = item.operator, item.value
    if operator in _GROUPS:
        inner = [f"coalesce({_condition(operand, columns, bind)}, FALSE)" for operand in item.operands]
        return f"({_GROUPS[operator].join(inner)})"
    if item.is_instant:
        return _instant(item, bind)
    column = columns[item.property_name]
    if operator == "eq":
        return _equals(column, value, bind)
    if operator == "ne":
        return f"NOT coalesce({_equals(column, value, bind)}, FALSE)"
    if operator == "exists":
        present = f"({column.text} IS NOT NULL OR {column.number} IS NOT NULL)"
        return present if str(value).lower() == "true" else f"NOT {present}"
    if operator == "in":
        return _is_in(column, value, bind)
    if operator in _COMPARISONS:
        sign = _COMPARISONS[operator]
        if isinstance(value, str):
            return f"{_string(column)} {sign} {bind.bind(value, 'VARCHAR')}"
        return f"{column.number} {sign} {bind.bind(float(value), 'DOUBLE')}"
    if operator == "regex":
        return f"regexp_matches({_string(column)}, {bind.bind(value, 'VARCHAR')})"
    if operator == "within":
        return _within(column, value, bind)
    contains = _contains(column, value, bind)
    return contains if operator == "contains" else f"NOT coalesce({contains}, FALSE)"


def _instant(item: Filter, bind: Parameters) -> str:
    column = INSTANTS[item.property_name]
    if item.value is None:
        return f"{column} IS {'NOT ' if item.operator == 'ne' else ''}NULL"
    if not isinstance(item.value, str):
        return "TRUE" if item.operator == "ne" else "FALSE"
    at_ms = bind.bind(parse_moment(item.value), "BIGINT")
    if item.operator in _COMPARISONS:
        return f"{column} {_COMPARISONS[item.operator]} {at_ms}"
    return f"{column} IS {'NOT ' if item.operator == 'eq' else ''}DISTINCT FROM {at_ms}"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _json(value: object) -> str:
    """JSON text as the tables hold it (they write control characters with capital hex digits)."""
    text = orjson.dumps(value).decode()
    return re.sub(r"\\u00[0-9a-f]{2}", lambda found: "\\u" + found[0][2:].upper(), text)


def _string(column: Column) -> str:
    """The text of a string property; NULL for every other type."""
    return f"CASE WHEN {column.text}[1] = '\"' THEN json_extract_string({column.text}, '$') END"


def _elements(column: Column) -> str:
    """The JSON texts of a list property's elements; NULL for every other type."""
    return f"CASE WHEN {column.text}[1] = '[' THEN json_extract({column.text}, '$[*]')::VARCHAR[] END"


def _scalar_equals(column: Column, value: Any, bind: Parameters) -> str:
    if value is None:
        return f"(coalesce({column.text}, 'null') = 'null' AND {column.number} IS NULL)"
    if not _is_number(value):
        return f"{column.text} = {bind.bind(_json(value), 'VARCHAR')}"
    number = f"{column.number} = {bind.bind(float(value), 'DOUBLE')}"
    if abs(value) < EXACT:
        return number
    return f"({number} AND coalesce({column.text}, '') IN ('', {bind.bind(_json(value), 'VARCHAR')}))"


def _has_element(column: Column, value: Any, bind: Parameters) -> str:
    if not _is_number(value) or abs(value) >= EXACT:
        return f"list_contains({_elements(column)}, {bind.bind(_json(value), 'VARCHAR')})"
    return f"list_contains({_numeric_elements(column)}, {bind.bind(float(value), 'DOUBLE')})"


def _numeric_elements(column: Column) -> str:
    return (
        f"CASE WHEN {column.text}[1] = '[' THEN list_transform(json_extract({column.text}, '$[*]')::VARCHAR[],"
        " lambda e: CASE WHEN e >= '-' AND e < ':' THEN e::DOUBLE END) END"
    )


def _equals(column: Column, value: Any, bind: Parameters) -> str:
    equal = _scalar_equals(column, value, bind)
    if value is None:
        return equal
    return f"(coalesce({equal}, FALSE) OR coalesce({_has_element(column, value, bind)}, FALSE))"


def _is_in(column: Column, values: Sequence[Any], bind: Parameters) -> str:
    texts = [_json(value) for value in values if value is not None and not _is_number(value)]
    numbers = [float(value) for value in values if _is_number(value) and abs(value) < EXACT]
    large = [value for value in values if _is_number(value) and abs(value) >= EXACT]
    parts = []
    if texts:
        bound = bind.bind(texts, "VARCHAR[]")
        parts.append(f"{column.text} IN (SELECT unnest({bound}))")
        parts.append(f"list_has_any({_elements(column)}, {bound})")
    if numbers:
        bound = bind.bind(numbers, "DOUBLE[]")
        parts.append(f"{column.number} IN (SELECT unnest({bound}))")
        parts.append(f"list_has_any({_numeric_elements(column)}, {bound})")
    parts.extend(_equals(column, value, bind) for value in large)
    if None in values:
        parts.append(_scalar_equals(column, None, bind))
    return f"({' OR '.join(f'coalesce({part}, FALSE)' for part in parts)})" if parts else "FALSE"


def _contains(column: Column, value: Any, bind: Parameters) -> str:
    element = f"coalesce({_has_element(column, value, bind)}, FALSE)"
    if not isinstance(value, str):
        return element
    return f"(coalesce(contains({_string(column)}, {bind.bind(value, 'VARCHAR')}), FALSE) OR {element})"


def _within(column: Column, value: Mapping[str, Any], bind: Parameters) -> str:
    longitude, latitude = (bind.bind(float(number), "DOUBLE") for number in value["coordinates"])
    miles = bind.bind(float(value["max_distance_miles"]), "DOUBLE")
    theirs = [
        f"try_cast(CASE WHEN {column.text}[1] = '[' THEN json_extract({column.text}, '$[{index}]')::VARCHAR END"
        " AS DOUBLE)"
        for index in (0, 1)
    ]
    half_north = f"sin(radians({theirs[1]} - {latitude}) / 2)"
    half_east = f"sin(radians({theirs[0]} - {longitude}) / 2)"
    chord = f"{half_north} ** 2 + cos(radians({latitude})) * cos(radians({theirs[1]})) * {half_east} ** 2"
    return f"2 * {EARTH_RADIUS_MILES} * asin(sqrt(least(1.0, {chord}))) <= {miles}"
