"""A funnel: how many actors did this, then also that, and so on.

A step counts the distinct actors that are in it and in all required steps
before it. Keen does not look at the order in time; where that matters, give
the steps timeframes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from keen_client.errors import InvalidQueryError
from keen_client.queries.filters import AnyFilter, FilterLike, parse_filters
from keen_client.queries.timeframe import RelativeTimeframe, Timeframe, parse_timeframe
from keen_client.queries.values import checked_timezone, named, whole

_FLAGS: Final = ("inverted", "optional", "with_actors")


def _actor_property(value: str | Sequence[str]) -> str | tuple[str, ...]:
    if isinstance(value, str):
        return named(value, "a funnel step's actor_property")
    if not isinstance(value, list | tuple) or not value:
        raise InvalidQueryError(
            "a funnel step's actor_property is not a string or a list of strings; nothing was sent",
            "name the property that tells actors apart, such as user.id",
        )
    return tuple(named(member, "a funnel step's actor_property") for member in value)


def _filters(value: Sequence[FilterLike] | None) -> tuple[AnyFilter, ...]:
    return parse_filters(value)


@attrs.frozen(kw_only=True)
class FunnelStep:
    """One step: which events, and which property tells actors apart.

    ``inverted``: it counts the actors of the steps before that did *not* do
    this. ``optional``: later steps ignore it. ``with_actors``: the answer's
    ``actors`` lists who they are. Without a timeframe the funnel's own holds.

    Raises:
        InvalidQueryError: With the reason. Nothing was sent.
    """

    event_collection: str
    actor_property: str | tuple[str, ...] = attrs.field(converter=_actor_property)
    timeframe: Timeframe | RelativeTimeframe | None = attrs.field(default=None, converter=parse_timeframe)
    timezone: str | int | None = None
    filters: tuple[AnyFilter, ...] = attrs.field(default=(), converter=_filters)
    inverted: bool = False
    optional: bool = False
    with_actors: bool = False

    def __attrs_post_init__(self) -> None:
        """Refuse what Keen would refuse."""
        named(self.event_collection, "a funnel step's event_collection")
        if self.timezone is not None:
            checked_timezone(self.timezone)
        for flag in _FLAGS:
            if not isinstance(getattr(self, flag), bool):
                raise InvalidQueryError(
                    f"a funnel step's {flag} is not True or False; nothing was sent", "correct it"
                )

    def to_json(self) -> dict[str, Any]:
        """Keen's form; what was not given is left out."""
        actor = self.actor_property
        members: dict[str, Any] = {
            "event_collection": self.event_collection,
            "actor_property": actor if isinstance(actor, str) else list(actor),
            "timeframe": None if self.timeframe is None else self.timeframe.to_json(),
            "timezone": self.timezone,
            "filters": [member.to_json() for member in self.filters] or None,
            **{flag: getattr(self, flag) or None for flag in _FLAGS},
        }
        return {name: member for name, member in members.items() if member is not None}


_MEMBERS: Final = frozenset(field.name for field in attrs.fields(FunnelStep))

#: What a funnel's step may be given as.
FunnelStepLike = FunnelStep | Mapping[str, Any]


def parse_step(value: FunnelStepLike) -> FunnelStep:
    """Read one step as callers of the official client pass it (a dict), or a step.

    Members that are None were not given.

    Raises:
        InvalidQueryError: Neither, or one that Keen would refuse. Nothing was sent.
    """
    if isinstance(value, FunnelStep):
        return value
    if not isinstance(value, Mapping):
        raise InvalidQueryError(
            f"a funnel step is a dict, not {type(value).__name__}; nothing was sent",
            "such as {'event_collection': 'signups', 'actor_property': 'user.id'}",
        )
    given = {name: member for name, member in value.items() if member is not None}
    unknown = sorted(str(name)[:40] for name in given if name not in _MEMBERS)
    if unknown:
        raise InvalidQueryError(
            f"a funnel step has no member {', '.join(unknown)}; nothing was sent",
            "its members are " + ", ".join(sorted(_MEMBERS)),
        )
    for name in ("event_collection", "actor_property"):
        if name not in given:
            raise InvalidQueryError(f"a funnel step has no {name}; nothing was sent", "every step needs it")
    return FunnelStep(**given)


def _steps(value: Sequence[FunnelStepLike]) -> tuple[FunnelStep, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise InvalidQueryError(
            "a funnel's steps are not a list of one step or more; nothing was sent",
            "such as [{'event_collection': 'signups', 'actor_property': 'user.id'}, ...]",
        )
    return tuple(parse_step(member) for member in value)


@attrs.frozen(kw_only=True)
class Funnel:
    """A funnel with its steps, checked. :meth:`to_json` is the body of the request.

    The timeframe and timezone hold for each step that has none of its own;
    ``max_age`` is in seconds.

    Raises:
        InvalidQueryError: With the reason. Nothing was sent.
    """

    steps: tuple[FunnelStep, ...] = attrs.field(converter=_steps)
    timeframe: Timeframe | RelativeTimeframe | None = attrs.field(default=None, converter=parse_timeframe)
    timezone: str | int | None = None
    max_age: int | None = None

    def __attrs_post_init__(self) -> None:
        """Refuse what Keen would refuse."""
        first = self.steps[0]
        for flag in ("inverted", "optional"):
            if getattr(first, flag):
                raise InvalidQueryError(
                    f"the first step of a funnel cannot be {flag}: there is none before it; nothing was sent",
                    "begin with a plain step",
                )
        if self.timezone is not None:
            checked_timezone(self.timezone)
        if self.max_age is not None:
            whole(self.max_age, "max_age", 1)

    @property
    def analysis_type(self) -> str:
        """``funnel``, as :attr:`~keen_client.queries.analysis.Analysis.analysis_type` names the others."""
        return "funnel"

    def to_json(self) -> dict[str, Any]:
        """The JSON object of Keen's POST form; what was not given is left out."""
        members: dict[str, Any] = {
            "steps": [step.to_json() for step in self.steps],
            "timeframe": None if self.timeframe is None else self.timeframe.to_json(),
            "timezone": self.timezone,
            "max_age": self.max_age,
        }
        return {name: member for name, member in members.items() if member is not None}
