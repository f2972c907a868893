"""A query as a stored definition holds it: one JSON object with its ``analysis_type``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

from keen_client.errors import InvalidQueryError
from keen_client.queries.analysis import ANALYSIS_TYPES, Analysis
from keen_client.queries.funnel import Funnel
from keen_client.queries.values import freeze, thaw

#: Whatever can be asked at once.
Query = Analysis | Funnel

_ANALYSIS: Final = frozenset(field.name for field in attrs.fields(Analysis))
_FUNNEL: Final = frozenset(field.name for field in attrs.fields(Funnel))


def definition_of(value: object) -> object:
    """The JSON object of a query that is given as a value; anything else as it is."""
    if isinstance(value, Analysis | Funnel):
        return {"analysis_type": value.analysis_type, **value.to_json()}
    return value


def checked_query(value: object) -> dict[str, Any]:
    """A plain copy of *value*, a query with its ``analysis_type`` or one as a value, if Keen would take it.

    Members that are None, and members that no ad-hoc query has (a dataset's
    ``project_id``), are left as they are and not judged.

    Raises:
        InvalidQueryError: With the reason. Nothing was sent.
    """
    value = definition_of(value)
    query_of(value)
    copy: dict[str, Any] = thaw(freeze(value, "the query"))
    return copy


def query_of(value: object) -> Query:
    """*value*, a query with its ``analysis_type`` or one as a value, as what can be asked at once.

    Members that are None, and members that no ad-hoc query has, are left out.

    Raises:
        InvalidQueryError: With the reason. Nothing was sent.
    """
    if isinstance(value, Analysis | Funnel):
        return value
    if not isinstance(value, Mapping):
        raise InvalidQueryError(
            f"a query is a dict, not {type(value).__name__}; nothing was sent",
            "such as {'analysis_type': 'count', 'event_collection': 'purchases', 'timeframe': 'this_7_days'}",
        )
    given = {name: member for name, member in value.items() if member is not None}
    analysis_type = given.get("analysis_type")
    if analysis_type != "funnel" and analysis_type not in ANALYSIS_TYPES:
        raise InvalidQueryError(
            f"the query's analysis_type is {str(analysis_type)[:40]!r}; nothing was sent",
            "one of funnel, " + ", ".join(sorted(ANALYSIS_TYPES)),
        )
    if analysis_type == "funnel":
        if "steps" not in given:
            raise InvalidQueryError("the funnel has no steps; nothing was sent", "give one or more")
        return Funnel(**{name: given[name] for name in given if name in _FUNNEL})
    if "event_collection" not in given:
        raise InvalidQueryError("the query has no event_collection; nothing was sent", "name one")
    return Analysis(**{name: given[name] for name in given if name in _ANALYSIS})
