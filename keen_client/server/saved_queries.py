"""Saved and cached queries: definitions by name, and their results.

A saved query with a ``refresh_rate`` is a cached one: its result is stored,
and served until that many seconds are over by the server's clock. Others are
computed on each read.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from keen_client._foundation.clock import MS_PER_SECOND, ms_to_iso
from keen_client.server.documents import Documents
from keen_client.server.filters import Filter
from keen_client.server.funnel import Funnel
from keen_client.server.query import TYPES
from keen_client.server.questions import answer_question, parse_question
from keen_client.server.refusal import INVALID_PARAMETER, MISSING_PARAMETER, bad_request, not_found
from keen_client.server.services import Services

DEFINITIONS_FILE: Final = "saved_queries.json"
RESULTS_FILE: Final = "cached_results.json"
REFRESH_SECONDS: Final = range(3_600, 172_800 + 1)
MAX_NAME: Final = 256

_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
#: Members that a definition of anything but a funnel always shows.
_SHOWN: Final[Mapping[str, Any]] = {
    "timezone": None,
    "interval": None,
    "filters": [],
    "group_by": None,
    "target_property": None,
}


def check_name(name: object, what: str) -> str:
    """*name* as the name of a saved query or a dataset, or a 400 refusal."""
    if not isinstance(name, str) or len(name) > MAX_NAME or _NAME.fullmatch(name) is None:
        text = f"The name of a {what} must consist of letters, digits, '_' and '-'."
        raise bad_request(INVALID_PARAMETER, f"{text} You specified: '{str(name)[:64]}'.")
    return name


class SavedQueries:
    """The saved queries of a project. Thread-safe; results are computed in the caller's thread."""

    def __init__(self, services: Services) -> None:
        self._services = services
        directory = services.store.directory
        self._definitions = Documents(None if directory is None else directory / DEFINITIONS_FILE)
        self._results = Documents(None if directory is None else directory / RESULTS_FILE)
        self._lock = threading.Lock()

    def all(self) -> list[dict[str, Any]]:
        """Every definition, by name."""
        found = (self._definitions.get(name) for name in self._definitions.names())
        return [self._shown(definition) for definition in found if definition is not None]

    def get(self, name: str) -> dict[str, Any]:
        """One definition, or a 404 refusal."""
        return self._shown(self._kept(name))

    def put(self, name: str, given: object) -> tuple[dict[str, Any], bool]:
        """Create or replace the definition under *name*: how it is shown now, and whether it is new.

        Raises a 400 refusal; then nothing has changed.
        """
        if not isinstance(given, Mapping):
            raise bad_request(INVALID_PARAMETER, "The body must be an object.")
        now_ms = self._services.clock.wall_ms()
        new_name = check_name(given.get("query_name") or check_name(name, "saved query"), "saved query")
        rate = _refresh_rate(given.get("refresh_rate"))
        query = _checked_query(given.get("query"), rate, now_ms)
        metadata = given.get("metadata")
        if metadata is not None and not isinstance(metadata, Mapping):
            raise bad_request(INVALID_PARAMETER, "metadata must be an object.")
        now = ms_to_iso(now_ms)
        with self._lock:
            before = self._definitions.get(name)
            if new_name != name and self._definitions.get(new_name) is not None:
                raise bad_request(INVALID_PARAMETER, f"There is a saved query '{new_name}' already.")
            definition = {
                "query_name": new_name,
                "refresh_rate": rate,
                "query": query,
                "metadata": metadata or {},
                "created_date": now if before is None else before["created_date"],
                "last_modified_date": now,
                "user_last_modified_date": now,
            }
            self._results.change({name: None, new_name: None})
            self._definitions.change({name: None, new_name: definition})
        return self._shown(definition), before is None

    def delete(self, name: str) -> None:
        """Forget the definition under *name*, and its result. Raises a 404 refusal where there is none."""
        with self._lock:
            self._kept(name)
            self._definitions.change({name: None})
            self._results.change({name: None})

    def result(self, name: str, filters: Sequence[Filter] = ()) -> dict[str, Any]:
        """The definition with its ``result``. Raises a 404 refusal, and those of the query itself.

        With *filters* (those of a restricted key) nothing is taken from the cache, nor put there.
        """
        definition = self._kept(name)
        if not definition["refresh_rate"] or filters:
            result, _ = self._compute(definition, self._services.clock.wall_ms(), filters)
            return {**self._shown(definition), "result": result}
        kept = self._results.get(name)
        if kept is None or not self._is_fresh(definition, kept):
            kept = self._refresh(name, definition)
        return {
            **self._shown(definition),
            "run_information": kept["run_information"],
            "result": kept["result"],
        }

    def _kept(self, name: str) -> dict[str, Any]:
        definition = self._definitions.get(name)
        if definition is None:
            raise not_found()
        return definition

    def _shown(self, definition: Mapping[str, Any]) -> dict[str, Any]:
        name = definition["query_name"]
        url = f"/3.0/projects/{self._services.project.id}/queries/saved/{name}"
        kept = self._results.get(name)
        return {
            **definition,
            "run_information": None if kept is None else kept["run_information"],
            "urls": {"cached_query_url": url, "cached_query_results_url": f"{url}/result"},
        }

    def _is_fresh(self, definition: Mapping[str, Any], kept: Mapping[str, Any]) -> bool:
        age_ms = self._services.clock.wall_ms() - int(kept["run_ms"])
        # A clock that was set back must not keep a result for ever.
        return bool(0 <= age_ms < definition["refresh_rate"] * MS_PER_SECOND)

    def _refresh(self, name: str, definition: Mapping[str, Any]) -> dict[str, Any]:
        clock = self._services.clock
        now_ms, began_ns = clock.wall_ms(), clock.monotonic_ns()
        result, metadata = self._compute(definition, now_ms, ())
        kept = {
            "run_ms": now_ms,
            "result": result,
            "run_information": {
                "last_run_date": ms_to_iso(now_ms),
                "last_run_status": "200 OK",
                "last_run_message": None,
                "last_run_duration": (clock.monotonic_ns() - began_ns) // 1_000_000,
                "properties_per_event": metadata["properties_per_event"],
                "events_scanned": metadata["events_scanned"],
            },
        }
        with self._lock:
            # It may have been replaced or deleted meanwhile: what was computed then belongs to nobody.
            if self._definitions.get(name) == definition:
                self._results.change({name: kept})
        return kept

    def _compute(
        self, definition: Mapping[str, Any], now_ms: int, filters: Sequence[Filter]
    ) -> tuple[Any, dict[str, Any]]:
        """The result as a saved query shows it, and its metadata."""
        given = {**definition["query"], "include_metadata": True}
        question = parse_question(given["analysis_type"], given, now_ms).filtered(filters)
        body: dict[str, Any] = orjson.loads(answer_question(self._services, question, now_ms))
        metadata = body.pop("execution_metadata")
        # A funnel's result is its whole body: the numbers alone do not say what they count.
        return (body if isinstance(question, Funnel) else body["result"]), metadata


def _refresh_rate(value: object) -> int:
    if value is None:
        return 0
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or (value != 0 and value not in REFRESH_SECONDS):
        first, last = REFRESH_SECONDS[0], REFRESH_SECONDS[-1]
        raise bad_request(INVALID_PARAMETER, f"refresh_rate must be 0 or {first} to {last} seconds.")
    return int(str(value))


def _checked_query(query: object, refresh_rate: int, now_ms: int) -> dict[str, Any]:
    """The query as it is kept: without null members, checked as if it were asked now."""
    if not isinstance(query, Mapping):
        raise bad_request(MISSING_PARAMETER, "query is required, and must be an object.")
    kept = {name: value for name, value in query.items() if value is not None}
    kind = kept.get("analysis_type")
    if not isinstance(kind, str):
        raise bad_request(MISSING_PARAMETER, "query.analysis_type is required.")
    if kind not in TYPES:
        raise bad_request(INVALID_PARAMETER, f"Not an analysis type. You specified: '{kind[:64]}'.")
    question = parse_question(kind, kept, now_ms)
    asked = question.given if isinstance(question, Funnel) else [kept]
    if refresh_rate and not all(isinstance(step["timeframe"], str) for step in asked):
        raise bad_request(INVALID_PARAMETER, "A cached query needs a relative timeframe.")
    return kept if kind == "funnel" else {**_SHOWN, **kept}
