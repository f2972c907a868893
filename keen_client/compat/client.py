"""``KeenClient`` with the constructor, the results and the errors of keen 0.7."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, NotRequired, TypedDict

from keen_client.client import sync_client
from keen_client.client.receipt import Receipt
from keen_client.compat.cached_datasets import CachedDatasetsInterface
from keen_client.compat.calls import leaving_out_empty_arguments, raising_as_before
from keen_client.compat.exceptions import (
    InvalidPersistenceStrategyError,
    InvalidProjectIdError,
)
from keen_client.compat.saved_queries import SavedQueriesInterface
from keen_client.errors import ConfigurationError, InvalidEventError
from keen_client.events.encoding import EncodedEvent, EventBody
from keen_client.events.limits import check_collection_name
from keen_client.queries.methods import AnalysisMethods
from keen_client.transport.base_url import DEFAULT_BASE_URL

__all__ = ["EventResult", "KeenClient"]

#: Seconds that keen 0.7 waits for an answer.
TIMEOUT_SECONDS: Final = 305


class EventResult(TypedDict):
    """What became of one event of ``add_events``: in the log, or refused, with ``name`` and ``description``."""

    success: bool
    error: NotRequired[dict[str, str]]


@raising_as_before
@leaving_out_empty_arguments(AnalysisMethods)
class KeenClient(sync_client.KeenClient):
    """A client for programs written for keen 0.7: in place of its own, with the log underneath.

    Everything that the main package's client can do is there too. What differs
    from that client: arguments by position as in keen 0.7, keys as text or
    bytes, nothing but the log's place (``KEEN_LOG``) and ``KEEN_DISABLED`` from
    the environment, times without zone read as UTC, the results of
    ``add_events``, empty arguments of queries taken as not given, and the
    classes of errors (:mod:`keen_client.compat.exceptions`).

    Args:
        project_id: Which project.
        write_key: For adding events and image beacons.
        read_key: For queries.
        persistence_strategy: There is one, the log: only None is taken.
        api_class: There is one: only None is taken.
        get_timeout: Seconds that a query waits for its answer; None: as the main package's client.
        post_timeout: Seconds that a write waits for its answer, in the background; None likewise.
        master_key: For administration.
        base_url: The part before ``/3.0``; Keen's own without it.

    Raises:
        InvalidProjectIdError, InvalidPersistenceStrategyError, ConfigurationError, EventLogError:
            nothing was recorded.
    """

    def __init__(
        self,
        project_id: str,
        write_key: str | bytes | None = None,
        read_key: str | bytes | None = None,
        persistence_strategy: None = None,
        api_class: None = None,
        get_timeout: float | None = TIMEOUT_SECONDS,
        post_timeout: float | None = TIMEOUT_SECONDS,
        master_key: str | bytes | None = None,
        base_url: str | None = None,
    ) -> None:
        self.check_project_id(project_id)
        if persistence_strategy is not None:
            raise InvalidPersistenceStrategyError
        if api_class is not None:
            raise ConfigurationError(
                "an api_class was given, and this client has one way to speak to Keen; nothing was recorded",
                "leave it out; keen_client.KeenClient takes an http_client of your own",
            )
        super().__init__(
            project_id,
            text_of(write_key),
            text_of(read_key),
            master_key=text_of(master_key),
            base_url=base_url or DEFAULT_BASE_URL,
            get_timeout=get_timeout,
            post_timeout=post_timeout,
            naive_datetimes="utc",
        )

    @staticmethod
    def check_project_id(project_id: object) -> None:
        """Refuse what is no project id.

        Raises:
            InvalidProjectIdError: It is empty or no text.
        """
        if not isinstance(project_id, str) or not project_id:
            raise InvalidProjectIdError(project_id)

    def add_event(
        self,
        event_collection: str,
        event_body: EventBody,
        timestamp: datetime | str | None = None,
    ) -> Receipt:
        """Record one event: on disk when this returns, sent in the background. keen 0.7 returns None.

        Raises:
            InvalidEnvironmentError: There is no write key. Nothing was recorded.
            KeenApiError: Keen would refuse it. Nothing was recorded.
            EventLogError: the disk, or another process. Nothing was recorded
                (:class:`~keen_client.errors.RecordOutcomeUnknownError`: it may have been).
        """
        self._need_write_key()
        return super().add_event(event_collection, _with_text_names(event_body), timestamp)

    def add_events(  # type: ignore[override]  # receipts there, keen 0.7's results here
        self, events: Mapping[str, Iterable[EventBody]]
    ) -> dict[str, list[EventResult]]:
        """Record events of several collections; for each event, in order, whether it was recorded.

        As at Keen, one that is refused keeps none of the others out, nor does a
        collection that no event may be in.

        Raises:
            InvalidEnvironmentError: There is no write key. Nothing was recorded.
            KeenApiError: The call as a whole cannot be used. Nothing was recorded.
            EventLogError: As for :meth:`add_event`.
        """
        self._need_write_key()
        named = _with_text_names(events)
        results = _refused_with_their_collection(named)
        encoded: list[EncodedEvent] = []
        usable = {name: named[name] for name in named if name not in results} if results else named
        for collection, event in self._encode_each(usable):
            if isinstance(event, InvalidEventError):
                result = _refusal(event)
            else:
                result = {"success": True}
                encoded.append(event)
            results.setdefault(collection, []).append(result)
        self._record_all(encoded)
        return {collection: results.get(collection, []) for collection in named}

    @property
    def saved_queries(self) -> SavedQueriesInterface:
        """Saved and cached queries."""
        return SavedQueriesInterface(self)

    @property
    def cached_datasets(self) -> CachedDatasetsInterface:
        """Cached datasets."""
        return CachedDatasetsInterface(self)

    def _need_write_key(self) -> None:
        """Without one, events would pile up in the log and never be sent: keen 0.7 refuses them too."""
        if self._core.event_log is not None:
            self.project.key_for("write")


def text_of(key: str | bytes | None) -> str:
    """A key as text; an empty one is none, and is looked for nowhere else."""
    return key.decode("ascii", "replace") if isinstance(key, bytes) else key or ""


def _refused_with_their_collection(events: object) -> dict[str, list[EventResult]]:
    """The results of all events whose collection has a name that Keen refuses."""
    refused: dict[str, list[EventResult]] = {}
    for collection, bodies in events.items() if isinstance(events, Mapping) else ():
        try:
            check_collection_name(collection)
        except InvalidEventError as error:
            if isinstance(bodies, list):  # anything else is for the call as a whole
                refused[collection] = [_refusal(error) for _ in bodies]
    return refused


def _refusal(error: InvalidEventError) -> EventResult:
    """The result of one event that is not recorded, while others are."""
    description = error.message.replace("; nothing was recorded", "; it was not recorded")
    return {"success": False, "error": {"name": type(error).__name__, "description": description}}


def _with_text_names(value: Any) -> Any:
    """*value* with the names of properties as JSON writes them: keen 0.7 takes numbers, booleans and None as names."""
    if isinstance(value, Mapping):
        return {_name(name): _with_text_names(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_with_text_names(member) for member in value]
    return value


def _name(name: Any) -> Any:
    return json.dumps(name) if isinstance(name, bool | int | float | None) else name
