"""Saved queries: queries kept at Keen under a name. One with a refresh rate is a cached query.

An update at Keen replaces the whole definition, so changing a part is two
requests, a read and a write; who changes the same query in between is
overwritten.
"""

# mypy: disable-error-code="no-any-return"
# What run_steps makes of steps is its class's own affair: see StepMethods.

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Generic, NotRequired, TypedDict, TypeVar, cast

from keen_client.api.answers import read_object
from keen_client.api.call import Call, asking, changing, read_done, read_list
from keen_client.api.json_text import decode, encode
from keen_client.api.steps import StepMethods, Steps
from keen_client.errors import InvalidQueryError
from keen_client.queries.definition import checked_query, definition_of
from keen_client.queries.values import freeze, thaw
from keen_client.transport.message import Response

#: The bounds of a cached query's refresh rate, in seconds; 0 is no cached query.
REFRESH_RATE_MIN: Final = 3_600
REFRESH_RATE_MAX: Final = 172_800

_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
#: Keen makes these itself, and refuses a definition that holds them.
_OF_THE_SERVER: Final = frozenset(
    {"created_date", "last_modified_date", "user_last_modified_date", "run_information", "urls", "result"}
)

QueryR = TypeVar("QueryR")
QueriesR = TypeVar("QueriesR")
ResultR = TypeVar("ResultR")
DoneR = TypeVar("DoneR")


class SavedQuery(TypedDict):
    """A saved query as Keen shows it. Dates are ISO 8601 in UTC; ``refresh_rate`` is in seconds."""

    query_name: str
    refresh_rate: int
    query: dict[str, Any]
    metadata: NotRequired[dict[str, Any] | None]
    created_date: NotRequired[str]
    last_modified_date: NotRequired[str]
    user_last_modified_date: NotRequired[str]
    run_information: NotRequired[dict[str, Any] | None]
    urls: NotRequired[dict[str, str]]


class SavedQueryResult(SavedQuery):
    """The same with its ``result``, of the shape that the ad-hoc query's has.

    A funnel's ``result`` is its whole body, with ``steps`` and ``result``, or
    these stand beside it.
    """

    result: Any


def all_saved_queries() -> Steps[list[SavedQuery]]:
    """Ask for all definitions."""
    return asking(Call(method="GET", path="/queries/saved", key_class="master", read=_read_definitions))


def get_saved_query(query_name: str) -> Steps[SavedQuery]:
    """Ask for one definition."""
    return asking(Call(method="GET", path=_path(query_name), key_class="master", read=_read_definition))


def saved_query_results(query_name: str) -> Steps[SavedQueryResult]:
    """Ask for one definition with its result. A cached query's may be as old as its refresh rate."""
    return asking(Call(method="GET", path=f"{_path(query_name)}/result", key_class="read", read=_read_result))


def put_saved_query(query_name: str, definition: Mapping[str, Any] | str) -> Steps[SavedQuery]:
    """Make a saved query, or replace the whole definition of one."""
    return _put(query_name, checked_definition(definition))


def update_saved_query(query_name: str, attributes: Mapping[str, Any]) -> Steps[SavedQuery]:
    """Read a definition, and write it back with *attributes* merged in."""
    _path(query_name)
    changes = _checked_members(attributes)

    def steps() -> Steps[SavedQuery]:
        before = yield from get_saved_query(query_name)
        return (yield from _put(query_name, merged(before, changes)))

    return steps()


def delete_saved_query(query_name: str) -> Steps[bool]:
    """Delete one."""
    return changing(
        Call(method="DELETE", path=_path(query_name), key_class="master", read=read_done),
        "the saved query",
        "deleted",
        "saved_queries.get() raises NotFoundError when it is gone",
    )


def merged(before: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The definition to send: *before* without what Keen makes or refuses, and *changes* in it, at any depth.

    Keen shows absent members of a query as null or empty, and does not take
    them back; so one that is changed to None is cleared.
    """
    kept: dict[str, Any] = {
        "query_name": before["query_name"],
        "refresh_rate": before["refresh_rate"],
        "query": {name: member for name, member in before["query"].items() if member not in ("", [], {})},
    }
    if before.get("metadata"):
        kept["metadata"] = before["metadata"]
    after = _overlaid(kept, changes)
    after["query"] = {name: member for name, member in after["query"].items() if member is not None}
    return after


def checked_definition(definition: Mapping[str, Any] | str) -> dict[str, Any]:
    """A plain copy of a whole *definition*; a text is read as JSON.

    Raises:
        InvalidQueryError: Keen would refuse it. Nothing was sent.
    """
    if isinstance(definition, str):
        try:
            definition = decode(definition.encode())
        except ValueError:
            raise InvalidQueryError(
                "the definition is a text, and no JSON; nothing was sent", "give a dict"
            ) from None
    members = _checked_members(definition)
    members["query"] = checked_query(members.get("query"))
    return members


class SavedQueries(Generic[QueryR, QueriesR, ResultR, DoneR]):
    """``client.saved_queries``. Names are of letters, digits, ``_`` and ``-``.

    An unknown name is a ``NotFoundError``; a definition that Keen would refuse
    an ``InvalidQueryError``, and nothing was sent. Results do not count against
    Keen's rate of queries.
    """

    def __init__(self, runner: StepMethods) -> None:
        self._runner = runner

    def all(self) -> QueriesR:
        """All definitions (master key)."""
        return self._runner.run_steps(all_saved_queries())

    def get(self, query_name: str) -> QueryR:
        """One definition (master key)."""
        return self._runner.run_steps(get_saved_query(query_name))

    def results(self, query_name: str) -> ResultR:
        """One definition with its ``result`` (read key)."""
        return self._runner.run_steps(saved_query_results(query_name))

    def create(self, query_name: str, saved_query: Mapping[str, Any] | str) -> QueryR:
        """Save a query under a name (master key). One of that name is replaced.

        *saved_query* has ``query``, an Analysis, a Funnel, or a dict with its
        ``analysis_type`` and what an ad-hoc query has; ``refresh_rate``, 0 or seconds from 3,600 to 172,800,
        which make it a cached query; and ``metadata`` of any kind.
        """
        return self._runner.run_steps(put_saved_query(query_name, saved_query))

    def update(self, query_name: str, saved_query_attributes: Mapping[str, Any]) -> QueryR:
        """Change some members, at any depth, and leave the rest; reads the definition first (master key).

        Another ``query_name`` renames it.
        """
        return self._runner.run_steps(update_saved_query(query_name, saved_query_attributes))

    def update_full(self, query_name: str, saved_query_full_definition: Mapping[str, Any] | str) -> QueryR:
        """Replace the whole definition: what is left out is cleared (master key)."""
        return self._runner.run_steps(put_saved_query(query_name, saved_query_full_definition))

    def delete(self, query_name: str) -> DoneR:
        """Delete it for good; True when it is done (master key)."""
        return self._runner.run_steps(delete_saved_query(query_name))


def _put(query_name: str, definition: Mapping[str, Any]) -> Steps[SavedQuery]:
    return changing(
        Call(
            method="PUT",
            path=_path(query_name),
            key_class="master",
            read=_read_definition,
            body=encode(definition),
        ),
        "the saved query",
        "written",
        "saved_queries.get() shows its definition; writing the same again does no harm",
    )


def _path(query_name: str) -> str:
    return f"/queries/saved/{_checked_name(query_name)}"


def _checked_name(name: object) -> str:
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise InvalidQueryError(
            f"{str(name)[:60]!r} is no name of a saved query; nothing was sent",
            "use letters, digits, _ and - only",
        )
    return name


def _checked_members(value: object) -> dict[str, Any]:
    """A copy of a definition or of a part of one, as far as that can be judged by itself."""
    if not isinstance(value, Mapping):
        raise InvalidQueryError(
            f"a saved query's definition is a dict, not {type(value).__name__}; nothing was sent",
            "such as {'refresh_rate': 0, 'query': {'analysis_type': 'count', ...}}",
        )
    made = sorted(_OF_THE_SERVER & set(value))
    if made:
        raise InvalidQueryError(
            f"Keen makes {', '.join(made)} itself and refuses a definition with them; nothing was sent",
            "leave them out, or use update(), which does",
        )
    if value.get("query_name") is not None:
        _checked_name(value["query_name"])
    if "query" in value:
        value = {**value, "query": definition_of(value["query"])}
    if not isinstance(value.get("query", {}), Mapping):
        raise InvalidQueryError("the definition's query is not a dict; nothing was sent", "correct it")
    _check_refresh_rate(value.get("refresh_rate", 0))
    copy: dict[str, Any] = thaw(freeze(value, "the definition"))
    return copy


def _check_refresh_rate(value: object) -> None:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not is_whole or (value != 0 and not REFRESH_RATE_MIN <= cast("int", value) <= REFRESH_RATE_MAX):
        raise InvalidQueryError(
            f"refresh_rate is neither 0 nor seconds from {REFRESH_RATE_MIN:,} to {REFRESH_RATE_MAX:,};"
            " nothing was sent",
            "such as 14400 for every four hours, or 0 for a query that is computed when it is read",
        )


def _overlaid(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    both = dict(below)
    for name, member in above.items():
        under = both.get(name)
        if isinstance(member, Mapping) and isinstance(under, Mapping):
            both[name] = _overlaid(under, member)
        else:
            both[name] = member
    return both


def _read_definition(response: Response) -> SavedQuery:
    return cast("SavedQuery", read_object(response, "query_name", "refresh_rate", "query"))


def _read_definitions(response: Response) -> list[SavedQuery]:
    return read_list(response, "query_name", "refresh_rate", "query")


def _read_result(response: Response) -> SavedQueryResult:
    return cast("SavedQueryResult", read_object(response, "query_name", "result"))
