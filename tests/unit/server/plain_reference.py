"""Keen's queries over a list of events, in plain Python: what the server's answers are compared with.

It shares no code with the server. Instants are aware datetimes; events are as
they are stored, with ``keen.timestamp``.
"""

from __future__ import annotations

import calendar
import math
import re
import statistics
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo

import orjson

MISSING: Final = object()
NAMED: Final = {"hourly": "hour", "daily": "day", "weekly": "week", "monthly": "month", "yearly": "year"}
Event = dict[str, Any]


def resolve(event: Event, path: str) -> Any:
    """The value at *path*, or MISSING."""
    node: Any = event
    for name in path.split("."):
        if not isinstance(node, dict) or name not in node:
            return MISSING
        node = node[name]
    return node


def key(value: Any) -> tuple[Any, ...]:
    """Something to compare values of JSON by: type first, numbers by value."""
    if value is MISSING or value is None:
        return ("null",)
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, int | float):
        return ("number", value)
    return (type(value).__name__, orjson.dumps(value))


def holds(item: dict[str, Any], event: Event) -> bool:
    """Whether a filter selects an event."""
    operator = item["operator"]
    if operator in ("or", "and"):
        return {"or": any, "and": all}[operator](holds(operand, event) for operand in item["operands"])
    value, wanted = resolve(event, item["property_name"]), item["property_value"]
    if operator == "exists":
        return (value is not MISSING) is wanted
    if operator == "ne":
        return not holds({**item, "operator": "eq"}, event)
    if operator == "not_contains":
        return not holds({**item, "operator": "contains"}, event)
    if operator == "in":
        return any(holds({**item, "operator": "eq", "property_value": one}, event) for one in wanted)
    if operator == "regex":
        return isinstance(value, str) and re.search(wanted, value) is not None
    if operator == "within":
        return isinstance(value, list) and miles(value, wanted["coordinates"]) <= wanted["max_distance_miles"]
    if item["property_name"] == "keen.timestamp":
        value, wanted = instant(value), instant(wanted)
        if operator == "eq":
            return bool(value == wanted)
    elif operator == "eq":
        in_list = wanted is not None and isinstance(value, list) and key(wanted) in map(key, value)
        return key(value) == key(wanted) or in_list
    elif operator == "contains":
        if isinstance(value, list):
            return key(wanted) in map(key, value)
        return isinstance(value, str) and isinstance(wanted, str) and wanted in value
    elif key(value)[0] != key(wanted)[0]:
        return False
    compared = {"lt": value < wanted, "lte": value <= wanted, "gt": value > wanted, "gte": value >= wanted}
    return bool(compared[operator])


def miles(one: list[float], other: list[float]) -> float:
    """The great circle between two [longitude, latitude], on a sphere of 3,959 miles."""
    east, north, east2, north2 = map(math.radians, (*one, *other))
    chord = math.sin((north - north2) / 2) ** 2
    chord += math.cos(north) * math.cos(north2) * math.sin((east - east2) / 2) ** 2
    return 2 * 3_959 * math.asin(math.sqrt(chord))


def aggregate(analysis: dict[str, Any], chosen: list[Event]) -> Any:
    """One analysis over the chosen events; unordered results come back as sets."""
    kind = analysis["analysis_type"]
    if kind == "count":
        return len(chosen)
    found = [resolve(event, analysis["target_property"]) for event in chosen]
    present = {key(value) for value in found if value is not MISSING and value is not None}
    if kind in ("count_unique", "select_unique"):
        return len(present) if kind == "count_unique" else present
    numbers = sorted(float(v) for v in found if isinstance(v, int | float) and not isinstance(v, bool))
    if kind == "sum":
        return math.fsum(numbers)
    if not numbers:
        return None
    if kind in ("median", "percentile"):
        percent = 50 if kind == "median" else analysis["percentile"]
        return numbers[max(1, math.ceil(percent * len(numbers) / 100)) - 1]
    mean = math.fsum(numbers) / len(numbers)
    spread = statistics.pstdev(numbers) if kind == "standard_deviation" else 0
    return {"minimum": numbers[0], "maximum": numbers[-1], "average": mean, "standard_deviation": spread}[
        kind
    ]


def zone_of(given: Any) -> tzinfo:
    """The timezone parameter: absent, seconds, or a name."""
    if given is None:
        return UTC
    return timezone(timedelta(seconds=given)) if isinstance(given, int) else ZoneInfo(given)


def instant(text: str) -> datetime:
    """A time of ISO 8601; no zone means UTC."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=moment.tzinfo or UTC)


def floor(at: datetime, unit: str, zone: tzinfo) -> datetime:
    """The start of the unit that holds *at*, by the clocks of *zone*."""
    local = at.astimezone(zone)
    past = timedelta(seconds=local.second, microseconds=local.microsecond)
    if unit in ("minute", "hour"):
        return at - past - timedelta(minutes=local.minute if unit == "hour" else 0)
    day = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if unit in ("month", "year"):
        day = day.replace(month=1 if unit == "year" else day.month, day=1)
    back = timedelta(days=day.isoweekday() % 7 if unit == "week" else 0)
    return (day - back).astimezone(UTC)


def step(at: datetime, unit: str, count: int, zone: tzinfo) -> datetime:
    """*count* units later; days and longer by the calendar of *zone*."""
    if unit in ("minute", "hour"):
        return at + count * timedelta(**{f"{unit}s": 1})
    local = at.astimezone(zone)
    if unit in ("day", "week"):
        return (local + timedelta(days=count * (7 if unit == "week" else 1))).astimezone(UTC)
    months = local.year * 12 + local.month - 1 + count * (12 if unit == "year" else 1)
    year, month = months // 12, months % 12 + 1
    day = min(local.day, calendar.monthrange(year, month)[1])
    return local.replace(year=year, month=month, day=day, fold=0).astimezone(UTC)


def timeframe_of(given: Any, zone: tzinfo, now: datetime) -> tuple[datetime, datetime]:
    """Start and end of a timeframe, absolute or relative."""
    if isinstance(given, dict):
        return instant(given["start"]), instant(given["end"])
    which, count, unit = re.fullmatch(r"(this|previous)_(\d+)_(\w+?)s?", given).groups()  # type: ignore[union-attr]
    current = floor(now, unit, zone)
    if which == "this":
        return step(current, unit, 1 - int(count), zone), step(current, unit, 1, zone)
    return step(current, unit, -int(count), zone), current


def parts_of(start: datetime, end: datetime, interval: str | None, zone: tzinfo) -> list[datetime]:
    """The bounds of the sub-timeframes."""
    if interval is None:
        return [start, end]
    custom = re.fullmatch(r"every_(\d+)_(\w+?)s?", interval)
    unit, count = (custom[2], int(custom[1])) if custom else (NAMED[interval], 1)
    origin = start if custom else floor(start, unit, zone)
    bounds, number = [start], 1
    while (bound := step(origin, unit, number * count, zone)) < end:
        bounds.append(bound)
        number += 1
    return [*bounds, end]


def group_key(event: Event, group: Any) -> tuple[Any, ...]:
    """The key of an event's group; of a bucketed one, that of its label."""
    if isinstance(group, str):
        return key(resolve(event, group))
    value = resolve(event, group["property_name"])
    if not isinstance(value, int | float) or isinstance(value, bool):
        return key(None)
    size = group["buckets"]["size"]
    number = math.floor(round(value / size, 9))
    return key(f"[{number * size + 0.0:.12g}, {(number + 1) * size + 0.0:.12g})")


def members(events: list[Event], given: dict[str, Any], now: datetime) -> list[Event]:
    """The events that a timeframe and filters choose, oldest first."""
    start, end = timeframe_of(given["timeframe"], zone_of(given.get("timezone")), now)
    inside = [event for event in events if start <= instant(event["keen"]["timestamp"]) < end]
    chosen = [e for e in inside if all(holds(item, e) for item in given.get("filters", ()))]
    return sorted(chosen, key=lambda event: instant(event["keen"]["timestamp"]))


def funnel(events: list[Event], steps: list[dict[str, Any]], now: datetime) -> list[set[Any]]:
    """The actors of each step."""
    result: list[set[Any]] = []
    required: set[Any] | None = None
    for given in steps:
        chosen = members(events, given, now)
        did = {tuple(key(resolve(event, path)) for path in given["actor_property"]) for event in chosen}
        did = {actor for actor in did if ("null",) not in actor}
        if required is not None:
            did = required - did if given.get("inverted") else required & did
        result.append(did)
        required = required if given.get("optional") else did
    return result
