"""Cached datasets: a query with an interval, asked for one value of its index properties at a time.

Nothing is computed ahead: a result is the ad-hoc query with a filter ``eq`` for
each index property, so it is never behind. A dataset cannot be changed, only
deleted and made again.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

import attrs
import orjson

from keen_client.server.documents import Documents
from keen_client.server.filters import Filter
from keen_client.server.query import AGGREGATIONS, parse_names, parse_query
from keen_client.server.questions import answer_question
from keen_client.server.refusal import INVALID_PARAMETER, MISSING_PARAMETER, bad_request, not_found
from keen_client.server.saved_queries import check_name
from keen_client.server.services import Services

DEFINITIONS_FILE: Final = "datasets.json"
MAX_PAGE: Final = 100
DEFAULT_PAGE: Final = 10

_TYPES: Final = AGGREGATIONS | {"multi_analysis"}


@attrs.frozen
class Index:
    """One value of each index property, and the filters that select its events."""

    values: Mapping[str, Any]
    filters: tuple[Filter, ...]


class Datasets:
    """The datasets of a project. Thread-safe; results are computed in the caller's thread."""

    def __init__(self, services: Services) -> None:
        self._services = services
        directory = services.store.directory
        self._definitions = Documents(None if directory is None else directory / DEFINITIONS_FILE)
        self._lock = threading.Lock()

    def page(self, limit: object = None, after_name: str = "") -> dict[str, Any]:
        """At most *limit* definitions whose names come after *after_name*, and where the next ones are."""
        try:
            size = DEFAULT_PAGE if limit in (None, "") else int(str(limit))
        except ValueError:
            size = 0
        if not 1 <= size <= MAX_PAGE:
            raise bad_request(INVALID_PARAMETER, f"limit must be a whole number of 1 to {MAX_PAGE}.")
        names = self._definitions.names()
        following = [name for name in names if name > after_name]
        found = (self._definitions.get(name) for name in following[:size])
        next_page_url = None
        if len(following) > size:
            cursor = urlencode({"limit": size, "after_name": following[size - 1]})
            next_page_url = f"/3.0/projects/{self._services.project.id}/datasets?{cursor}"
        return {
            "datasets": [definition for definition in found if definition is not None],
            "next_page_url": next_page_url,
            "count": len(names),
        }

    def get(self, name: str) -> dict[str, Any]:
        """One definition, or a 404 refusal."""
        definition = self._definitions.get(name)
        if definition is None:
            raise not_found()
        return definition

    def create(self, name: str, given: object) -> dict[str, Any]:
        """Make a dataset; its definition. Raises a 400 refusal, also where there is one of that name."""
        check_name(name, "dataset")
        if not isinstance(given, Mapping):
            raise bad_request(INVALID_PARAMETER, "The body must be an object.")
        index_by = parse_names(given.get("index_by"), "index_by")
        query = self._checked_query(given.get("query"), index_by)
        definition = {
            "project_id": self._services.project.id,
            "dataset_name": name,
            "display_name": str(given.get("display_name") or name),
            "query": query,
            "index_by": list(index_by),
            "last_scheduled_date": None,
            "latest_subtimeframe_available": None,
            "milliseconds_behind": 0,
        }
        with self._lock:
            if self._definitions.get(name) is not None:
                text = f"The dataset '{name}' exists; to change one, delete it and make it again."
                raise bad_request(INVALID_PARAMETER, text)
            self._definitions.change({name: definition})
        return definition

    def delete(self, name: str) -> None:
        """Forget a dataset. Raises a 404 refusal where there is none."""
        with self._lock:
            self.get(name)
            self._definitions.change({name: None})

    def index(self, name: str, given: object, *, is_exact: bool = False) -> Index:
        """What the parameter ``index_by`` of a request for results means. Raises a 404 or 400 refusal.

        A bare ``5`` of a query string may be a number or a text; both match, unless *is_exact*: then it is
        what JSON makes of it, as it must be for a key that is restricted to some values.
        """
        values = _index_values(self.get(name)["index_by"], given)
        filters = [Filter("eq", path, value) for path, value in values.items()]
        is_bare = isinstance(given, str) and given.lstrip()[:1] not in ("[", "{")
        if is_bare and not is_exact and isinstance(filters[0].value, int | float):
            filters = [Filter("in", filters[0].property_name, [filters[0].value, given])]
        return Index(values, tuple(filters))

    def results(
        self, name: str, index: Index, timeframe: object = None, filters: Sequence[Filter] = ()
    ) -> dict[str, Any]:
        """The dataset's query for one value of each index property, over *timeframe* or the dataset's own.

        *filters* are those of a restricted key. Raises a 404 refusal, and those of the query itself.
        """
        definition = self.get(name)
        query = definition["query"]
        asked = timeframe or query["timeframe"]
        now_ms = self._services.clock.wall_ms()
        question = parse_query(query["analysis_type"], {**query, "timeframe": asked}, now_ms)
        question = question.filtered([*index.filters, *filters])
        answered = answer_question(self._services, question, now_ms)
        return {
            "result": orjson.loads(answered)["result"],
            "metadata": {"dataset": definition, "request": {"index_by": index.values, "timeframe": asked}},
        }

    def _checked_query(self, query: object, index_by: Sequence[str]) -> dict[str, Any]:
        """The query as it is kept and shown. It is checked as if it were asked now."""
        if not isinstance(query, Mapping):
            raise bad_request(MISSING_PARAMETER, "query is required, and must be an object.")
        if not index_by:
            raise bad_request(MISSING_PARAMETER, "index_by is required.")
        kept = {name: value for name, value in query.items() if value is not None}
        kind = kept.get("analysis_type")
        if not isinstance(kind, str) or kind not in _TYPES:
            raise bad_request(
                INVALID_PARAMETER, f"Not an analysis type here. You specified: '{str(kind)[:64]}'."
            )
        if not kept.get("interval"):
            raise bad_request(MISSING_PARAMETER, "A dataset's query needs an interval.")
        parsed = parse_query(kind, kept, self._services.clock.wall_ms())
        groups = [group.property_name for group in parsed.group_by]
        if set(groups) & set(index_by):
            raise bad_request(INVALID_PARAMETER, "An index property must not be in group_by too.")
        shown = {
            **kept,
            "project_id": self._services.project.id,
            "filters": kept.get("filters") or [],
            "timezone": kept.get("timezone") or "UTC",
        }
        if isinstance(kept.get("group_by"), str | Mapping):
            shown["group_by"] = [kept["group_by"]]
        if kind == "multi_analysis":
            empty = {"target_property": None, "percentile": None}
            shown["analyses"] = {label: {**empty, **item} for label, item in kept["analyses"].items()}
        return shown


def _index_values(index_by: Sequence[str], given: object) -> dict[str, Any]:
    """The value of each index property: from an object, from a list in their order, or bare for a single one."""
    if given is None or given == "":
        raise bad_request(MISSING_PARAMETER, f"index_by is required: a value of {', '.join(index_by)}.")
    value = given
    if isinstance(given, str):
        try:
            value = orjson.loads(given)
        except orjson.JSONDecodeError:
            value = given
    if isinstance(value, Mapping):
        if set(value) != set(index_by):
            raise bad_request(
                INVALID_PARAMETER, f"index_by must give {', '.join(index_by)}, and nothing else."
            )
        return {name: value[name] for name in index_by}
    values = value if isinstance(value, list) else [value]
    if len(values) != len(index_by):
        raise bad_request(INVALID_PARAMETER, f"index_by must give a value for each of {', '.join(index_by)}.")
    return dict(zip(index_by, values, strict=True))
