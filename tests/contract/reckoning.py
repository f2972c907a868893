"""The same numbers, worked out without a server: plain Python over a list of events.

What a query of Keen's API must answer, computed in the plainest way there is;
nothing of the package is used. Events are dictionaries as they are sent, each
with its ``keen.timestamp`` (UTC, milliseconds, ``Z``).
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import attrs

FIRST_DAY: Final = datetime(2024, 1, 1, tzinfo=UTC)
DAYS: Final = 3
#: The three days on which :func:`orders` lie; events at its end are outside.
TIMEFRAME: Final = {"start": "2024-01-01T00:00:00.000Z", "end": "2024-01-04T00:00:00.000Z"}
ABSENT: Final = object()

_ITEMS: Final = ("book", "pen", "mug", 'a "b" & <c>', "Größe 三", None)


def moment(at: datetime) -> str:
    """An instant as events carry it."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z"


def orders(seed: int, count: int) -> list[dict[str, Any]]:
    """*count* orders from *seed*, on the three days and on their bounds, with gaps and odd values in them."""
    chance = random.Random(seed)
    bounds = [timedelta(days=day, milliseconds=off) for day in range(DAYS + 1) for off in (-1, 0)]
    made = []
    for number in range(count):
        at = FIRST_DAY + (
            chance.choice(bounds)
            if number % 8 == 0
            else timedelta(milliseconds=chance.randrange(DAYS * 86_400_000))
        )
        order: dict[str, Any] = {
            "number": number,
            "item": chance.choice(_ITEMS),
            "price_cents": chance.choice(
                [chance.randint(1, 9_999), chance.randint(1, 50) * 100, "n/a", None]
            ),
            "user": {"id": f"u{chance.randint(1, 12)}", "age": chance.randint(18, 80)},
            "tags": chance.sample(["new", "sale", "gift"], chance.randint(0, 3)),
            "paid": chance.random() < 0.5,
            "keen": {"timestamp": moment(at)},
        }
        for name in ("item", "price_cents", "tags"):
            if chance.random() < 0.15:
                del order[name]
        made.append(order)
    return made


def at_path(event: dict[str, Any], path: str) -> Any:
    """The value at a dotted path, or ``ABSENT``."""
    node: Any = event
    for name in path.split("."):
        if not isinstance(node, dict) or name not in node:
            return ABSENT
        node = node[name]
    return node


def _together(events: Iterable[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    return tuple(events)


@attrs.frozen
class Reckoning:
    """Some events, and every analysis over them."""

    events: tuple[dict[str, Any], ...] = attrs.field(converter=_together)

    def within(self, start: str, end: str) -> Reckoning:
        """Those in [start, end); both as :func:`moment` writes them, which sorts as time does."""
        return self.where(lambda event: start <= event["keen"]["timestamp"] < end)

    def where(self, condition: Callable[[dict[str, Any]], bool]) -> Reckoning:
        """Those that *condition* holds for."""
        return Reckoning(event for event in self.events if condition(event))

    def daily(self) -> Iterator[tuple[dict[str, str], Reckoning]]:
        """Each of the three days, as the ``timeframe`` of a reply, with its events."""
        for day in range(DAYS):
            start, end = (moment(FIRST_DAY + timedelta(days=day + more)) for more in (0, 1))
            yield {"start": start, "end": end}, self.within(start, end)

    def by(self, *paths: str) -> dict[tuple[Any, ...], Reckoning]:
        """The events by the values at *paths*; without a value counts as null."""
        groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
        for event in self.events:
            values = (at_path(event, path) for path in paths)
            key = tuple(None if value is ABSENT else value for value in values)
            groups.setdefault(key, []).append(event)
        return {key: Reckoning(events) for key, events in groups.items()}

    def values(self, path: str) -> list[Any]:
        """What stands at *path*, null left out."""
        found = (at_path(event, path) for event in self.events)
        return [value for value in found if value is not ABSENT and value is not None]

    def numbers(self, path: str) -> list[float]:
        """The numbers at *path*, in order; true and false are none."""
        return sorted(v for v in self.values(path) if isinstance(v, (int, float)) and not isinstance(v, bool))

    def answer(self, kind: str, path: str = "", percentile: float = 50) -> Any:
        """The result of the analysis *kind*; of ``select_unique`` a sorted list without null."""
        if kind == "count":
            return len(self.events)
        if kind in ("count_unique", "select_unique"):
            unique = sorted(set(self.values(path)))
            return len(unique) if kind == "count_unique" else unique
        numbers = self.numbers(path)
        if kind == "sum":
            return sum(numbers)
        if not numbers:
            return None
        if kind in ("median", "percentile"):
            return numbers[max(1, math.ceil(percentile / 100 * len(numbers))) - 1]
        plain: dict[str, Callable[[Iterable[float]], float]] = {
            "minimum": min,
            "maximum": max,
            "average": statistics.fmean,
            "standard_deviation": statistics.pstdev,
        }
        return plain[kind](numbers)

    def actors(self, path: str) -> set[Any]:
        """Who is at *path* at all: the actors of a funnel's step."""
        return set(self.values(path))
