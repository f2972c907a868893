"""How one query is answered: honestly, or with the lies that aggregates were caught at.

A :class:`Reading` is drawn once a query (by
:class:`~keen_client.server.misbehaviour.FaultEngine`), before the query runs,
and is a value from then on: the same one distorts the same answer alike.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, Final

import attrs

from keen_client.server.query import Query

#: The lies that are drawn a query, in the order in which they are drawn and told.
LIES: Final = (
    "shuffled-sums",
    "lie-count",
    "lie-sum",
    "missing-interval",
    "reordered-rows",
    "strings",
    "truncated",
)
#: A false sum is off by at least one and at most so much.
_SUM_OFF_MAX: Final = 1_000


def _uncounted(name: str) -> None:
    """Nobody counts."""


@attrs.frozen(kw_only=True)
class Reading:
    """What one query misses and how its answer lies; the default is honest.

    ``partial``: the share of events that are missed, and the salt that chooses
    them. ``stale_ms``: how old the state is that is read. ``lies``: names of
    :data:`LIES`, carried out by ``salt``. ``digits``: significant digits of a
    printed number, None for all. ``scan_cap``, ``group_cap``: events in the
    timeframe and groups in the answer, over which the query is refused.
    ``struck`` is called with the name of one of the last three when it made a
    difference; the others were counted when they were drawn.
    """

    partial: tuple[float, int] | None = None
    stale_ms: int = 0
    lies: frozenset[str] = frozenset()
    salt: int = 0
    digits: int | None = None
    scan_cap: int | None = None
    group_cap: int | None = None
    struck: Callable[[str], None] = attrs.field(default=_uncounted, eq=False, repr=False)

    def told(self, query: Query, result: Any) -> Any:
        """The ``result`` of an aggregation as it is told; changed in place where it is a list."""
        if not self.lies and self.digits is None:
            return result
        chance = random.Random(self.salt)  # noqa: S311 - lies are to be repeatable, not secret
        holder = {"result": result}
        if "lie-count" in self.lies:
            _falsify(chance, list(_values(query, holder, "count")), 1)
        if "lie-sum" in self.lies:
            _falsify(chance, list(_values(query, holder, "sum")), _SUM_OFF_MAX)
        if self.digits is not None:
            self._round(query, holder, self.digits)
        if "strings" in self.lies:
            for place, name in _values(query, holder):
                if _is_number(place[name]):
                    place[name] = str(place[name])
        if "missing-interval" in self.lies and result:
            del result[chance.randrange(len(result))]
        if "reordered-rows" in self.lies:
            _reorder(chance, query, result)
        return holder["result"]

    def _round(self, query: Query, holder: MutableMapping[str, Any], digits: int) -> None:
        changed = False
        for place, name in _values(query, holder):
            value = place[name]
            if _is_number(value) and float(f"{value:.{digits}g}") != value:
                place[name] = float(f"{value:.{digits}g}")
                changed = True
        if changed:
            self.struck("digits")

    def printed(self, body: bytes) -> bytes:
        """The body as it leaves: whole, or cut off somewhere."""
        if "truncated" not in self.lies:
            return body
        return body[: random.Random(self.salt).randrange(len(body))]  # noqa: S311 - as above


HONEST: Final = Reading()


def applies(lie: str, query: Query) -> bool:
    """Whether the answer to *query* can hold *lie*."""
    if lie == "truncated":
        return True
    if query.kind == "extraction":
        return False
    if lie == "missing-interval":
        return query.interval is not None
    if lie == "reordered-rows":
        return query.interval is not None or bool(query.group_by)
    if lie == "strings":
        return True
    kind = "count" if lie == "lie-count" else "sum"
    return any(analysis.kind == kind for analysis in query.analyses.values())


def _values(
    query: Query, holder: MutableMapping[str, Any], kind: str | None = None
) -> Iterator[tuple[MutableMapping[str, Any], str]]:
    """Where the values of the analyses (of one *kind*) stand: the object and the member's name."""
    labels = [label for label, analysis in query.analyses.items() if kind in (None, analysis.kind)]
    places: list[tuple[MutableMapping[str, Any], str]] = [(holder, "result")]
    if query.interval is not None:
        places = [(item, "value") for item in holder["result"]]
    for place, name in places:
        if query.group_by:
            yield from ((row, label) for row in place[name] for label in labels)
        elif query.is_multi:
            yield from ((place[name], label) for label in labels)
        elif labels:
            yield place, name


def _falsify(chance: random.Random, places: list[tuple[MutableMapping[str, Any], str]], most: int) -> None:
    """Make one of the numbers at *places* wrong; a count or sum of nothing can only become too large."""
    numbers = [(place, name) for place, name in places if _is_number(place[name])]
    if numbers:
        place, name = chance.choice(numbers)
        off = chance.randint(1, most)
        place[name] += off if place[name] < off or chance.random() < 0.5 else -off


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _reorder(chance: random.Random, query: Query, result: Any) -> None:
    if query.interval is not None:
        chance.shuffle(result)
    if query.group_by:
        for rows in [item["value"] for item in result] if query.interval is not None else [result]:
            chance.shuffle(rows)
