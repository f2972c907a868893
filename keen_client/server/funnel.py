"""Funnels: how many actors did step after step, each counted once.

The order in time is not looked at. A step's actors are those of its events
that were in every required step before it; an ``inverted`` step keeps those
that did *not* do it, and what follows an ``optional`` step ignores it. A
collection that does not exist is an empty set.
"""

# ruff: noqa: S608 - statements are built from numbers and constants; all that users name is bound

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import attrs
import duckdb
import orjson

from keen_client.server.analysis import distinct_text, execution_metadata
from keen_client.server.columns import Parameters
from keen_client.server.engine import Engine
from keen_client.server.filters import Filter, parse_filters
from keen_client.server.query import is_true, parse_names, required_text
from keen_client.server.refusal import INVALID_PARAMETER, MISSING_PARAMETER, bad_request
from keen_client.server.response import number
from keen_client.server.selection import selection
from keen_client.server.timeframe import Timeframe, parse_timeframe, parse_zone

MAX_STEPS: Final = 50


@attrs.frozen
class Step:
    """One step: whose ``actors`` (the values of these properties) count, and from which events."""

    collection: str
    actors: tuple[str, ...]
    timeframe: Timeframe
    filters: tuple[Filter, ...] = ()
    inverted: bool = False
    optional: bool = False
    with_actors: bool = False

    def paths(self) -> list[str]:
        """Every property path that the step touches."""
        return list(dict.fromkeys([*self.actors, *(path for item in self.filters for path in item.paths())]))


@attrs.frozen
class Funnel:
    """A checked funnel. ``given`` holds the steps as they were asked for, inherited timeframes filled in."""

    steps: tuple[Step, ...]
    given: tuple[Mapping[str, Any], ...]
    with_metadata: bool = False

    def filtered(self, filters: Sequence[Filter]) -> Funnel:
        """The funnel with *filters* added to every step."""
        steps = (attrs.evolve(step, filters=(*step.filters, *filters)) for step in self.steps)
        return attrs.evolve(self, steps=tuple(steps))


def parse_funnel(given: Mapping[str, Any], now_ms: int) -> Funnel:
    """A checked funnel from its parameters. Raises a 400 refusal; unknown parameters are ignored."""
    steps = given.get("steps")
    if not isinstance(steps, list) or not 0 < len(steps) <= MAX_STEPS:
        raise bad_request(MISSING_PARAMETER, f"steps must be a list of 1 to {MAX_STEPS} steps.")
    inherited = {name: given[name] for name in ("timeframe", "timezone") if given.get(name) not in (None, "")}
    completed = []
    for step in steps:
        if not isinstance(step, Mapping):
            raise bad_request(INVALID_PARAMETER, "A step must be an object.")
        own = {name: value for name, value in step.items() if value is not None or name not in inherited}
        completed.append({**inherited, **own})
    parsed = tuple(_parse_step(step, now_ms) for step in completed)
    if parsed[0].inverted or parsed[0].optional:
        raise bad_request(INVALID_PARAMETER, "The first step can be neither inverted nor optional.")
    return Funnel(parsed, tuple(completed), is_true(given.get("include_metadata")))


def answer_funnel(
    engine: Engine, funnel: Funnel, *, now_ms: int, monotonic_ns: Callable[[], int] = lambda: 0
) -> bytes:
    """The JSON body that answers *funnel*. Raises a 400 refusal for a regular expression that does not compile."""
    began_ns = monotonic_ns()
    parameters = Parameters()
    sql = _statement(engine, funnel, parameters, now_ms)
    try:
        (row,) = engine.fetch(sql, parameters.values)
    except (duckdb.InvalidInputException, duckdb.OutOfRangeException) as error:
        raise bad_request(INVALID_PARAMETER, f"The funnel cannot be run: {str(error)[:200]}") from None
    size = len(funnel.steps)
    body: dict[str, Any] = {"result": list(row[:size]), "steps": funnel.given}
    if any(step.with_actors for step in funnel.steps):
        wanted = zip(funnel.steps, row[size:], strict=True)
        body["actors"] = [_actors(step, keys) if step.with_actors else None for step, keys in wanted]
    if funnel.with_metadata:
        body["execution_metadata"] = _metadata(engine, funnel, monotonic_ns() - began_ns)
    return orjson.dumps(body)


def _parse_step(given: Mapping[str, Any], now_ms: int) -> Step:
    actors = parse_names(given.get("actor_property"), "actor_property")
    if not actors:
        raise bad_request(MISSING_PARAMETER, "A step needs an actor_property.")
    return Step(
        collection=required_text(given, "event_collection"),
        actors=actors,
        timeframe=parse_timeframe(given.get("timeframe"), parse_zone(given.get("timezone")), now_ms),
        filters=parse_filters(given.get("filters")),
        inverted=is_true(given.get("inverted")),
        optional=is_true(given.get("optional")),
        with_actors=is_true(given.get("with_actors")),
    )


def _statement(engine: Engine, funnel: Funnel, parameters: Parameters, now_ms: int) -> str:
    """One row: the number of actors of each step, then their keys where they are asked for."""
    tables: list[str] = []
    required = ""
    for index, step in enumerate(funnel.steps):
        tables.append(f"did{index} AS MATERIALIZED ({_doers(engine, step, parameters, now_ms)})")
        if required:
            join = "ANTI" if step.inverted else "SEMI"
            selected = f"SELECT actor FROM {required} {join} JOIN did{index} USING (actor)"
        else:
            selected = f"SELECT actor FROM did{index}"
        tables.append(f"step{index} AS MATERIALIZED ({selected})")
        if not step.optional:
            required = f"step{index}"
    counts = [f"(SELECT count(*) FROM step{index})" for index in range(len(funnel.steps))]
    lists = [
        f"(SELECT list(actor ORDER BY actor) FROM step{index})" if step.with_actors else "NULL"
        for index, step in enumerate(funnel.steps)
    ]
    return f"WITH {', '.join(tables)} SELECT {', '.join(counts + lists)}"


def _doers(engine: Engine, step: Step, parameters: Parameters, now_ms: int) -> str:
    """The distinct actors of a step's events, each a list of one text a property; none has a null."""
    if not engine.has(step.collection):
        return "SELECT NULL::VARCHAR[] AS actor WHERE FALSE"
    source = engine.source(step.collection, step.paths(), now_ms, parameters=parameters)
    texts = [distinct_text(source.columns[path]) for path in step.actors]
    where = selection(step.timeframe, step.filters, source) + [f"{text} IS NOT NULL" for text in texts]
    return f"SELECT DISTINCT [{', '.join(texts)}] AS actor FROM {source.sql} WHERE {' AND '.join(where)}"


def _actors(step: Step, keys: Sequence[Sequence[str]] | None) -> list[Any]:
    """The actors' values: bare for one property, a list for several."""
    values = [[_value(text) for text in key] for key in keys or ()]
    return values if len(step.actors) > 1 else [value for (value,) in values]


def _value(text: str) -> Any:
    value = orjson.loads(text)
    return number(value) if isinstance(value, float) else value


def _metadata(engine: Engine, funnel: Funnel, took_ns: int) -> dict[str, Any]:
    scanned = sum(
        engine.count_between(step.collection, step.timeframe.start_ms, step.timeframe.end_ms)
        for step in funnel.steps
        if engine.has(step.collection)
    )
    properties = {"keen.timestamp", *(path for step in funnel.steps for path in step.paths())}
    return execution_metadata(scanned, len(properties), took_ns)
