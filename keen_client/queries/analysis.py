"""One analysis: what is computed, over which events, and how the result is cut up.

Parameter names and meanings are those of the official client (PyPI ``keen``
0.7.0). A missing timeframe is let through: Keen's current API demands one,
its earlier one took all time, and the server's answer says which it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import attrs

from keen_client.errors import InvalidQueryError
from keen_client.queries.filters import AnyFilter, FilterLike, parse_filters
from keen_client.queries.interval import Interval, check_sub_timeframes, parse_interval
from keen_client.queries.timeframe import RelativeTimeframe, Timeframe, parse_timeframe
from keen_client.queries.values import checked_text, checked_timezone, freeze, named, thaw, whole

#: Analyses that compute one value from one property.
PROPERTY_ANALYSES: Final = frozenset(
    {
        "count_unique",
        "minimum",
        "maximum",
        "sum",
        "average",
        "median",
        "percentile",
        "standard_deviation",
        "select_unique",
    }
)
#: Every analysis that this module can express.
ANALYSIS_TYPES: Final = PROPERTY_ANALYSES | {"count", "extraction", "multi_analysis"}

_DIRECTIONS: Final = ("ASC", "DESC")
_ORDER_MEMBERS: Final = {"property_name", "direction"}
_ENTRY_MEMBERS: Final = {"analysis_type", "target_property", "percentile"}
_NOT_FOR_EXTRACTION: Final = ("interval", "group_by", "order_by", "max_age", "limit")
_ONLY_FOR_EXTRACTION: Final = ("latest", "email", "property_names", "content_type", "content_encoding")
_CONTENT_TYPES: Final = ("application/json", "text/csv")
_CONTENT_ENCODINGS: Final = ("gzip",)
_PERCENT_MAX: Final = 100
_UTC_NAMES: Final = frozenset({"UTC", "Etc/UTC", "GMT"})


def _filters(value: Sequence[FilterLike] | None) -> tuple[AnyFilter, ...]:
    return parse_filters(value)


def _percentile(value: float | str | None) -> int | float | None:
    """A number from 0 to 100 with at most two decimals; a numeric string is read."""
    if value is None:
        return None
    try:
        number = None if isinstance(value, bool) else Decimal(str(value))
    except InvalidOperation:
        number = None
    if (
        number is None
        or not number.is_finite()
        or not 0 <= number <= _PERCENT_MAX
        or number != round(number, 2)
    ):
        raise InvalidQueryError(
            "percentile is not a number from 0 to 100 with at most two decimals; nothing was sent",
            "give one such as 99 or 99.9",
        )
    return int(number) if number == int(number) else float(number)


def _group_by(value: str | Mapping[str, Any] | Sequence[Any] | None) -> Any:
    """A property, a bucketed property (``{"property_name", "buckets"}``), or a list of such."""
    if value is None or (isinstance(value, list | tuple) and not value):
        return None
    members = value if isinstance(value, list | tuple) else [value]
    for member in members:
        if isinstance(member, Mapping):
            named(member.get("property_name"), "a group_by's property_name")
            _check_buckets(member.get("buckets"))
        else:
            named(member, "group_by")
    return freeze(value, "group_by")


def _check_buckets(buckets: object) -> None:
    """``{"size": n}``; how explicit ranges are written is left to the server."""
    size = buckets.get("size", 1) if isinstance(buckets, Mapping) else 1
    if isinstance(size, bool) or not isinstance(size, int | float) or not size > 0:
        raise InvalidQueryError(
            "the size of a group_by's buckets is not a number over 0; nothing was sent",
            "such as {'size': 10}",
        )


def _order_by(value: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None) -> tuple[Any, ...]:
    """A list of ``{"property_name", "direction"}``; Keen takes ``ASC`` where there is no direction."""
    if value is None:
        return ()
    members = value if isinstance(value, list | tuple) else [value]
    for member in members:
        if not isinstance(member, Mapping) or not set(member) <= _ORDER_MEMBERS:
            raise InvalidQueryError(
                "order_by is not a dict (or list of dicts) of property_name and direction; nothing was sent",
                "such as {'property_name': 'result', 'direction': 'DESC'}",
            )
        named(member.get("property_name"), "an order_by's property_name")
        if "direction" in member and member["direction"] not in _DIRECTIONS:
            raise InvalidQueryError(
                "an order_by's direction is not ASC or DESC; nothing was sent", "correct it"
            )
    return tuple(freeze(list(members), "order_by"))


def _analyses(value: Mapping[str, Mapping[str, Any]] | None) -> Any:
    """Label to ``{"analysis_type", "target_property"?, "percentile"?}``."""
    if value is None:
        return None
    if not isinstance(value, Mapping) or not value:
        raise InvalidQueryError(
            "analyses is not a dict of label and analysis; nothing was sent",
            "such as {'n': {'analysis_type': 'count'}}",
        )
    return freeze({label: _entry(label, entry) for label, entry in value.items()}, "analyses")


def _entry(label: object, entry: object) -> dict[str, Any]:
    where = f"the analysis labelled {named(label, 'a label of analyses')[:60]!r}"
    if not isinstance(entry, Mapping) or not set(entry) <= _ENTRY_MEMBERS:
        raise InvalidQueryError(
            f"{where} has other members than analysis_type, target_property, percentile; nothing was sent",
            "timeframe, filters and the like stand beside analyses, and hold for all of them",
        )
    analysis_type = entry.get("analysis_type")
    if analysis_type != "count" and analysis_type not in PROPERTY_ANALYSES:
        raise InvalidQueryError(
            f"{where} has no analysis_type that multi_analysis can do; nothing was sent",
            "count, " + ", ".join(sorted(PROPERTY_ANALYSES)),
        )
    _check_target(where, analysis_type, entry.get("target_property"), entry.get("percentile"))
    checked = dict(entry)
    if "percentile" in checked:
        checked["percentile"] = _percentile(checked["percentile"])
    return checked


def _property_names(value: str | Sequence[str] | None) -> tuple[str, ...]:
    if value is None:
        return ()
    members = [value] if isinstance(value, str) else value
    if not isinstance(members, list | tuple):
        raise InvalidQueryError(
            "property_names is not a string or a list of strings; nothing was sent", "correct it"
        )
    return tuple(named(member, "a property name") for member in members)


def _check_target(where: str, analysis_type: str, target_property: object, percentile: object) -> None:
    if analysis_type in PROPERTY_ANALYSES:
        if target_property is None:
            raise InvalidQueryError(
                f"{where} needs a target_property; nothing was sent", "name the property to look at"
            )
        named(target_property, "target_property")
    elif target_property is not None:
        raise InvalidQueryError(f"{where} takes no target_property; nothing was sent", "leave it out")
    if analysis_type == "percentile" and percentile is None:
        raise InvalidQueryError(
            f"{where} needs to know which percentile; nothing was sent", "give percentile, such as 99 or 99.9"
        )
    if analysis_type != "percentile" and percentile is not None:
        raise InvalidQueryError(
            f"{where} takes no percentile; nothing was sent",
            "leave it out, or ask for the analysis percentile",
        )


@attrs.frozen(kw_only=True)
class Analysis:
    """One analysis with its parameters, checked. :meth:`to_json` is the body of the request.

    ``timezone`` is a name or seconds east of UTC; ``max_age`` is in seconds
    (never use it to prove anything: it allows an old answer). ``limit`` needs
    ``order_by``, which needs ``group_by``. Empty lists count as not given.
    ``include_metadata`` asks what the query cost: it stands as
    ``execution_metadata`` beside the result (see ``all_keys``). An extraction
    with ``email`` is mailed as files, of ``content_type`` ``application/json``
    or ``text/csv`` and ``content_encoding`` ``gzip``.

    Raises:
        InvalidQueryError: With the reason. Nothing was sent.
    """

    analysis_type: str
    event_collection: str
    target_property: str | None = None
    percentile: int | float | None = attrs.field(default=None, converter=_percentile)
    timeframe: Timeframe | RelativeTimeframe | None = attrs.field(default=None, converter=parse_timeframe)
    timezone: str | int | None = None
    interval: Interval | None = attrs.field(default=None, converter=parse_interval)
    filters: tuple[AnyFilter, ...] = attrs.field(default=(), converter=_filters)
    group_by: Any = attrs.field(default=None, converter=_group_by)
    order_by: tuple[Any, ...] = attrs.field(default=(), converter=_order_by)
    max_age: int | None = None
    limit: int | None = None
    analyses: Any = attrs.field(default=None, converter=_analyses)
    latest: int | None = None
    email: str | None = None
    property_names: tuple[str, ...] = attrs.field(default=(), converter=_property_names)
    content_type: str | None = None
    content_encoding: str | None = None
    include_metadata: bool = False

    def __attrs_post_init__(self) -> None:
        """Refuse what Keen would refuse."""
        if self.analysis_type not in ANALYSIS_TYPES:
            raise InvalidQueryError(
                f"{str(self.analysis_type)[:40]!r} is not an analysis; nothing was sent",
                "one of " + ", ".join(sorted(ANALYSIS_TYPES)),
            )
        named(self.event_collection, "event_collection")
        _check_target(self.analysis_type, self.analysis_type, self.target_property, self.percentile)
        if (self.analysis_type == "multi_analysis") != (self.analyses is not None):
            raise InvalidQueryError(
                "analyses are for multi_analysis, which needs them; nothing was sent",
                "such as {'n': {'analysis_type': 'count'}}",
            )
        extraction = self.analysis_type == "extraction"
        for name in _NOT_FOR_EXTRACTION if extraction else _ONLY_FOR_EXTRACTION:
            if getattr(self, name):
                raise InvalidQueryError(
                    f"{self.analysis_type} takes no {name}; nothing was sent", "leave it out"
                )
        self._check_numbers()
        self._check_files()
        self._check_order()
        self._check_sub_timeframes()

    def _check_numbers(self) -> None:
        for name in ("latest", "limit", "max_age"):
            if getattr(self, name) is not None:
                whole(getattr(self, name), name, 1)
        if self.timezone is not None:
            checked_timezone(self.timezone)
        if self.email is not None:
            checked_text(self.email, "email")

    def _check_files(self) -> None:
        if not isinstance(self.include_metadata, bool):
            raise InvalidQueryError("include_metadata is not True or False; nothing was sent", "correct it")
        for name, known in (("content_type", _CONTENT_TYPES), ("content_encoding", _CONTENT_ENCODINGS)):
            value = getattr(self, name)
            if value is None:
                continue
            if value not in known:
                raise InvalidQueryError(
                    f"{str(value)[:40]!r} is no {name} of an extraction; nothing was sent",
                    "one of " + ", ".join(known),
                )
            if not self.email:
                raise InvalidQueryError(
                    f"{name} is for the files that are mailed, and there is no email; nothing was sent",
                    "give email, or leave it out: an extraction answered at once is JSON",
                )

    def _check_order(self) -> None:
        if self.order_by and self.group_by is None:
            raise InvalidQueryError(
                "order_by needs group_by; nothing was sent", "group the result, or leave order_by out"
            )
        if self.limit is not None and not self.order_by:
            raise InvalidQueryError(
                "limit needs order_by; nothing was sent", "say which groups come first, or leave limit out"
            )

    def _check_sub_timeframes(self) -> None:
        if self.interval is None or not isinstance(self.timeframe, Timeframe):
            return
        if isinstance(self.timezone, str) and self.timezone not in _UTC_NAMES:
            return  # left to the server: the zone's own rules decide
        offset_seconds = self.timezone if isinstance(self.timezone, int) else 0
        check_sub_timeframes(self.interval, self.timeframe, offset_seconds)

    def to_json(self) -> dict[str, Any]:
        """The JSON object of Keen's POST form; what was not given is left out."""
        members: dict[str, Any] = {
            "event_collection": self.event_collection,
            "target_property": self.target_property,
            "percentile": self.percentile,
            "timeframe": None if self.timeframe is None else self.timeframe.to_json(),
            "timezone": self.timezone,
            "interval": None if self.interval is None else self.interval.to_json(),
            "filters": [member.to_json() for member in self.filters] or None,
            "group_by": thaw(self.group_by),
            "order_by": thaw(self.order_by) or None,
            "max_age": self.max_age,
            "limit": self.limit,
            "analyses": thaw(self.analyses),
            "latest": self.latest,
            "email": self.email or None,
            "property_names": list(self.property_names) or None,
            "content_type": self.content_type,
            "content_encoding": self.content_encoding,
            "include_metadata": self.include_metadata or None,
        }
        return {name: member for name, member in members.items() if member is not None}
