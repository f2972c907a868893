"""Queries: the parameters of a request, checked and turned into one frozen value.

GET and POST take the same parameters; in a query string the structured ones
are JSON text, and plain ones may come bare or quoted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs
import orjson

from keen_client.server.filters import Filter, parse_filters
from keen_client.server.grouping import Group, parse_groups
from keen_client.server.json_input import check_nesting
from keen_client.server.refusal import INVALID_PARAMETER, MISSING_PARAMETER, bad_request, not_found
from keen_client.server.timeframe import Interval, Timeframe, parse_interval, parse_timeframe, parse_zone

AGGREGATIONS: Final = frozenset(
    {
        "count",
        "count_unique",
        "sum",
        "minimum",
        "maximum",
        "average",
        "median",
        "percentile",
        "standard_deviation",
        "select_unique",
    }
)
TYPES: Final = AGGREGATIONS | {"extraction", "funnel", "multi_analysis"}
CONTENT_TYPES: Final = ("application/json", "text/csv")
MAX_ANALYSES: Final = 100

# In a query string these are JSON where they parse as JSON, else plain text.
_STRUCTURED: Final = frozenset(
    {"filters", "timeframe", "group_by", "analyses", "property_names", "order_by", "timezone", "interval"}
    | {"steps", "target_property"}
)


@attrs.frozen
class Analysis:
    """One aggregation: its type, what it runs over, and the percentile if it is one."""

    kind: str
    target: str = ""
    percentile: float = 50.0


@attrs.frozen
class Order:
    """One key of ``order_by``."""

    property_name: str
    descending: bool = False


@attrs.frozen
class Query:
    """A checked query. ``analyses`` maps labels to analyses; a plain one has the single label ``result``."""

    kind: str
    collection: str
    timeframe: Timeframe
    filters: tuple[Filter, ...] = ()
    analyses: Mapping[str, Analysis] = attrs.field(factory=dict)
    interval: Interval | None = None
    group_by: tuple[Group, ...] = ()
    order_by: tuple[Order, ...] = ()
    limit: int | None = None
    latest: int | None = None
    property_names: tuple[str, ...] = ()
    emailed: bool = False
    content_type: str = CONTENT_TYPES[0]
    gzipped: bool = False
    with_metadata: bool = False

    @property
    def is_multi(self) -> bool:
        """Whether replies name each value by its label."""
        return self.kind == "multi_analysis"

    def filtered(self, filters: Sequence[Filter]) -> Query:
        """The query with *filters* added to its own."""
        return attrs.evolve(self, filters=(*self.filters, *filters))

    def paths(self) -> list[str]:
        """Every property path that the query touches."""
        paths = [path for item in self.filters for path in item.paths()]
        paths.extend(group.property_name for group in self.group_by)
        paths.extend(analysis.target for analysis in self.analyses.values() if analysis.target)
        return list(dict.fromkeys(paths))


def decode_parameters(pairs: Mapping[str, str]) -> dict[str, Any]:
    """Parameters of a query string, as they would stand in a POST body."""
    decoded: dict[str, Any] = {}
    for name, text in pairs.items():
        decoded[name] = text
        if name in _STRUCTURED:
            try:
                value = orjson.loads(text)
            except orjson.JSONDecodeError:
                continue
            # A bare number or true may as well be a name; where a number is asked for, its text will do.
            if isinstance(value, (str, list, dict)):
                decoded[name] = check_nesting(value)
    return decoded


def parse_query(kind: str, given: Mapping[str, Any], now_ms: int) -> Query:
    """A checked query of type *kind* from its parameters. Raises a refusal; unknown parameters are ignored."""
    if kind not in TYPES or kind == "funnel":
        raise not_found()
    query = Query(
        kind=kind,
        collection=required_text(given, "event_collection"),
        timeframe=parse_timeframe(given.get("timeframe"), parse_zone(given.get("timezone")), now_ms),
        filters=parse_filters(given.get("filters")),
        with_metadata=is_true(given.get("include_metadata")),
    )
    if kind == "extraction":
        return attrs.evolve(
            query,
            latest=_whole(given, "latest"),
            property_names=parse_names(given.get("property_names"), "property_names"),
            emailed=bool(given.get("email") or given.get("email_address")),
            content_type=_one_of(given, "content_type", CONTENT_TYPES),
            gzipped=_one_of(given, "content_encoding", ("identity", "gzip")) == "gzip",
        )
    group_by = parse_groups(given.get("group_by"))
    analyses = _analyses(given) if kind == "multi_analysis" else {"result": _analysis(kind, given)}
    order_by = _order_by(given.get("order_by"), {*analyses, *(g.property_name for g in group_by)})
    limit = _whole(given, "limit")
    if order_by and not group_by:
        raise bad_request(INVALID_PARAMETER, "order_by needs group_by.")
    if limit is not None and not order_by:
        raise bad_request(INVALID_PARAMETER, "limit needs order_by.")
    return attrs.evolve(
        query,
        analyses=analyses,
        interval=parse_interval(given.get("interval")),
        group_by=group_by,
        order_by=order_by,
        limit=limit,
    )


def _analyses(given: Mapping[str, Any]) -> dict[str, Analysis]:
    analyses = given.get("analyses")
    if not isinstance(analyses, Mapping) or not analyses or len(analyses) > MAX_ANALYSES:
        raise bad_request(MISSING_PARAMETER, f"analyses must be an object of 1 to {MAX_ANALYSES} analyses.")
    parsed = {}
    for label, item in analyses.items():
        if not isinstance(item, Mapping):
            raise bad_request(INVALID_PARAMETER, "An analysis must be an object.")
        parsed[label] = _analysis(item.get("analysis_type"), item)
    return parsed


def _analysis(kind: object, given: Mapping[str, Any]) -> Analysis:
    if not isinstance(kind, str) or kind not in AGGREGATIONS:
        raise bad_request(INVALID_PARAMETER, f"Not an analysis type here. You specified: '{str(kind)[:64]}'.")
    if kind == "count":
        return Analysis(kind)
    target = required_text(given, "target_property")
    if kind != "percentile":
        return Analysis(kind, target)
    try:
        percentile = float(given.get("percentile", "missing"))
    except (TypeError, ValueError):
        raise bad_request(MISSING_PARAMETER, "percentile must be a number from 0 to 100.") from None
    if not 0 <= percentile <= 100:
        raise bad_request(INVALID_PARAMETER, "percentile must be a number from 0 to 100.")
    return Analysis(kind, target, percentile)


def required_text(given: Mapping[str, Any], name: str) -> str:
    """The text that *given* must hold under *name*, or a 400 refusal."""
    value = given.get(name)
    if not isinstance(value, str) or not value:
        raise bad_request(MISSING_PARAMETER, f"{name} is required.")
    return value


def is_true(value: object) -> bool:
    """Whether a flag is set: JSON's true, or its text in a query string."""
    return str(value).lower() == "true"


def parse_names(value: object, parameter: str) -> tuple[str, ...]:
    """A property name or a list of them, each once; none where *value* is absent. Raises a 400 refusal."""
    if value is None or value == "":
        return ()
    names = value if isinstance(value, list) else [value]
    if not all(isinstance(name, str) and name for name in names):
        raise bad_request(
            INVALID_PARAMETER, f"{parameter} must be a property name or a list of property names."
        )
    return tuple(dict.fromkeys(names))


def _one_of(given: Mapping[str, Any], name: str, known: Sequence[str]) -> str:
    value = given.get(name) or known[0]
    if value not in known:
        raise bad_request(INVALID_PARAMETER, f"{name} must be one of {', '.join(known)}.")
    return str(value)


def _whole(given: Mapping[str, Any], name: str) -> int | None:
    value = given.get(name)
    if value is None or value == "":
        return None
    try:
        number = int(str(value))
    except ValueError:
        number = 0
    if number < 1:
        raise bad_request(INVALID_PARAMETER, f"{name} must be a whole number of at least 1.")
    return number


def _order_by(value: object, known: set[str]) -> tuple[Order, ...]:
    if value is None or value == "":
        return ()
    orders = []
    for item in value if isinstance(value, list) else [value]:
        given = {"property_name": item} if isinstance(item, str) else item
        if not isinstance(given, Mapping):
            raise bad_request(
                INVALID_PARAMETER, "order_by must hold objects with property_name and direction."
            )
        name, direction = given.get("property_name"), str(given.get("direction") or "ASC").upper()
        if not isinstance(name, str) or name not in known or direction not in ("ASC", "DESC"):
            text = "order_by needs a property_name that the reply has, and ASC or DESC."
            raise bad_request(INVALID_PARAMETER, f"{text} You specified: '{str(name)[:64]}'.")
        orders.append(Order(name, direction == "DESC"))
    return tuple(orders)
