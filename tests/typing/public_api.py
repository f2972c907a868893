"""The whole public interface, as type checkers see it. Never run: mypy and pyright read it, both strictly.

What is asserted is what an editor shows to whoever uses the package: where a
result is ``Any`` because it is the user's or Keen's JSON, that is asserted too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TypedDict, assert_type

import attrs

import keen_client
import keen_client.compat as keen
from keen_client import (
    AccessKey,
    ApiError,
    ApiVersion,
    AsyncKeenClient,
    AuthenticationError,
    Backlog,
    BatchTooLargeError,
    ClientClosedError,
    CollectionSchema,
    ConfigurationError,
    Dataset,
    DatasetPage,
    DatasetResults,
    Deletion,
    DeliveryConfig,
    EntryId,
    EventLogBoundElsewhereError,
    EventLogBusyError,
    EventLogDamagedError,
    EventLogError,
    EventLogFullError,
    EventLogPermissionError,
    EventLogTooNewError,
    EventTooLargeError,
    FlushReport,
    ForbiddenError,
    InvalidCollectionNameError,
    InvalidEnvironmentError,
    InvalidEventError,
    InvalidQueryError,
    InvalidRequestError,
    KeenApiError,
    KeenClient,
    KeenError,
    LogConfig,
    LoggedEvent,
    LogView,
    MissingExtraError,
    NightlyLockedError,
    NightReport,
    NotFoundError,
    NotSentError,
    OutcomeUnknownError,
    PaymentRequiredError,
    ProjectInfo,
    PropertySchema,
    QueryResult,
    RateLimitedError,
    Receipt,
    RecordOutcomeUnknownError,
    ReplayReport,
    RequestTooLargeError,
    SavedQuery,
    SavedQueryResult,
    ServerError,
    TransportError,
    UnreadableResponseError,
    UnsupportedPlatformError,
    UsageError,
    Verdict,
    VerifyReport,
    WindowReport,
    WindowTotal,
    scoped_keys,
)
from keen_client.compat import cached_datasets, client, direction, exceptions, saved_queries
from keen_client.compat import scoped_keys as keys_as_before
from keen_client.queries import (
    SUB_TIMEFRAMES_MAX,
    AllOf,
    Analysis,
    AnalysisMethods,
    AnyOf,
    Filter,
    Funnel,
    FunnelStep,
    Interval,
    Query,
    RelativeTimeframe,
    Timeframe,
)
from keen_client.results import (
    Columns,
    ColumnType,
    EventFile,
    Kind,
    check_columns,
    event_file,
    flat_event,
    rows_of,
)
from keen_client.sample import EVENTS_PER_WEEK, MS_PER_WEEK, WEEK_START_MS, SampleEvent, load_flights
from keen_client.server import (
    FaultEngine,
    Faults,
    LocalServer,
    Project,
    Store,
    create_app,
    parse_faults,
    serve_forever,
)


def whole(*_: int) -> None:
    """Takes whole numbers, however narrowly their types say which."""


def text(*_: str) -> None:
    """Takes texts likewise."""


class PurchaseDict(TypedDict):
    """An event as a typed dict."""

    item: str


@attrs.frozen
class AttrsPurchase:
    """An event as an attrs class."""

    item: str


@dataclasses.dataclass(frozen=True, slots=True)
class Purchase:
    """An event as a dataclass."""

    item: str


def misspell() -> None:
    """A name that the package has not is an error; were it none, the comment that expects it would be one."""
    whole(keen_client.KeenCleint)  # type: ignore[attr-defined]


def record_and_send(at: datetime) -> None:
    """Recording: receipts, reports, the log."""
    with KeenClient(
        "project",
        "write",
        "read",
        master_key="master",
        log=Path("log"),
        log_config=LogConfig(durability="normal"),
        delivery_config=DeliveryConfig(unknown="resend"),
    ) as client:
        assert_type(client, KeenClient)
        receipt = client.add_event("c", {"a": 1}, timestamp=at)
        assert_type(receipt, Receipt)
        assert_type(receipt.id, str | None)
        assert_type(receipt.collection, str)
        assert_type(receipt.timestamp, datetime)
        assert_type(client.add_events({"c": [{"a": 1}]}), dict[str, list[Receipt]])
        assert_type(client.add_event("c", AttrsPurchase("book")), Receipt)
        assert_type(client.add_event("c", Purchase("book")), Receipt)
        assert_type(client.add_event("c", PurchaseDict(item="book")), Receipt)
        client.add_events(
            {"c": [AttrsPurchase("book"), Purchase("book"), {"a": 1}], "d": iter([Purchase("pen")])}
        )
        client.add_event("c", ["book"])  # type: ignore[arg-type]
        client.add_event("c", Purchase)  # type: ignore[arg-type]
        report = client.flush(timeout=1)
        assert_type(report, FlushReport)
        assert_type((report.acknowledged, report.rejected, report.pending), tuple[int, int, int])
        assert_type(client.generate_image_beacon("c", {}), str)
        assert_type(client.log, LogView)
        for entry in client.log.entries("c", at, at):
            assert_type(entry, LoggedEvent)
            assert_type(entry.event, dict[str, Any])
            assert_type(entry.recorded_at, datetime)
        assert_type(client.log.totals("c", at, at), list[WindowTotal])
        backlog = client.log.backlog()
        assert_type(backlog, Backlog)
        assert_type(backlog.pending, int)
        assert_type(client.deletions(), list[Deletion])


def ask(client: KeenClient) -> None:
    """Queries: a value is whatever Keen answers; what is known of it is typed."""
    assert_type(client.count("c", "today"), Any)
    assert_type(client.sum("c", "p", timeframe={"start": "2024-01-01", "end": "2024-01-02"}), Any)
    query: Query = Analysis(
        analysis_type="count",
        event_collection="c",
        timeframe=Timeframe.between("2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z"),
        interval=Interval("daily"),
        filters=[AnyOf((Filter("p", "eq", 1), AllOf((Filter("q", "exists", property_value=True),))))],
    )
    check_columns(query)
    result = client.run(query)
    assert_type(result, QueryResult)
    assert_type(result.value, Any)
    assert_type(result.rows, list[dict[str, Any]])
    assert_type(result.columns, Columns)
    assert_type(result.columns.types, dict[str, ColumnType])
    assert_type(result.metadata, Mapping[str, Any] | None)
    # Not to_arrow: pyarrow ships no types, and pyright minds.
    whole(len(result.to_pandas()), len(result.to_polars()))
    assert_type(rows_of(query, result.body), list[dict[str, Any]])
    assert_type(client.query(query, all_keys=True), Any)
    steps = [FunnelStep(event_collection="c", actor_property="user.id", timeframe=RelativeTimeframe("today"))]
    assert_type(client.query(Funnel(steps=steps)), Any)
    with event_file(Path("events.parquet")) as file:
        assert_type(file, EventFile)
        for event in client.extract("c", "today"):
            assert_type(event, dict[str, Any])
            assert_type(flat_event(event), dict[str, Any])
            file.write(event)
    assert_type(ColumnType(Kind.NUMBER), ColumnType)
    whole(SUB_TIMEFRAMES_MAX)
    methods: AnalysisMethods[Any] = client
    assert_type(methods.median("c", "p"), Any)


def administer(client: KeenClient) -> None:
    """Administration: what Keen shows comes as typed dicts."""
    key = client.create_access_key("name", permitted=["queries"])
    assert_type(key, AccessKey)
    assert_type(key["permitted"], list[str])
    assert_type(client.list_access_keys(), list[AccessKey])
    assert_type(client.delete_access_key(key["key"]), bool)
    assert_type(client.get_collection("c"), CollectionSchema)
    assert_type(client.get_all_collections(), list[CollectionSchema])
    assert_type(client.get_property("c", "p"), PropertySchema)
    assert_type(client.delete_events("c", timeframe="today"), bool)
    assert_type(client.update_events("c", {"user.plan": "pro"}, "today", upsert=True), int | None)
    assert_type(client.get_project(), ProjectInfo)
    assert_type(client.get_versions(), list[ApiVersion])
    assert_type(client.saved_queries.all(), list[SavedQuery])
    assert_type(client.saved_queries.create("q", {}), SavedQuery)
    assert_type(client.saved_queries.results("q"), SavedQueryResult)
    assert_type(client.saved_queries.delete("q"), bool)
    assert_type(client.cached_datasets.get("d"), Dataset)
    assert_type(client.cached_datasets.all(), DatasetPage)
    assert_type(client.cached_datasets.results("d", "i", "today"), DatasetResults)
    assert_type(client.cached_datasets.iterate(), Iterator[Dataset])
    assert_type(scoped_keys.encrypt("key", {}), str)
    assert_type(scoped_keys.decrypt("key", b"scoped"), Any)


async def awaited(at: datetime) -> None:
    """The async twin: the same, awaited."""
    async with AsyncKeenClient("project", "write", naive_datetimes="utc") as client:
        assert_type(client, AsyncKeenClient)
        assert_type(await client.add_event("c", {"a": 1}, at), Receipt)
        assert_type(await client.add_event("c", Purchase("book")), Receipt)
        assert_type(await client.add_events({"c": [AttrsPurchase("book"), {}]}), dict[str, list[Receipt]])
        assert_type(await client.flush(), FlushReport)
        assert_type(client.count("c"), Awaitable[Any])
        result = await client.run(Analysis(analysis_type="count", event_collection="c", timeframe="today"))
        assert_type(result, QueryResult)
        async for event in client.extract("c", "today"):
            assert_type(event, dict[str, Any])
        assert_type(await client.get_collection("c"), CollectionSchema)
        assert_type(await client.list_access_keys(), list[AccessKey])
        assert_type(await client.saved_queries.get("q"), SavedQuery)
        assert_type(await client.cached_datasets.create("d", {}, "i", "D"), Dataset)
        async for definition in client.cached_datasets.iterate():
            assert_type(definition, Dataset)
        assert_type(await client.deletions(), list[Deletion])


def prove(client: KeenClient, at: datetime) -> None:
    """Verification, replay and the nightly job."""
    receipt = client.add_event("c", {})
    verified = client.verify(at, "2024-01-02T00:00:00Z", collections=["c"], window="1h")
    assert_type(verified, VerifyReport)
    assert_type(verified.as_of, datetime)
    for window in verified.windows:
        assert_type(window, WindowReport)
        assert_type((window.start, window.end, window.due), tuple[datetime, datetime, datetime | None])
        assert_type(window.state, Verdict)
        assert_type(window.missing, tuple[EntryId, ...])
        assert_type(receipt.id in window.missing, bool)
        text(*window.missing)
        assert_type(window.collection, str)
        assert_type((window.start_ms, window.end_ms), tuple[int, int])
        assert_type(window.server_count, int | None)
    client.verify(at, at, window="2h")  # type: ignore[arg-type]
    client.verify(at, at, preset="hasty")  # type: ignore[arg-type]
    assert_type(verified.exit_status(), int)
    assert_type(verified.document(), dict[str, Any])
    replayed = client.replay(at, at, yes=False)
    assert_type(replayed, ReplayReport)
    assert_type(replayed.found, tuple[EntryId, ...])
    assert_type(replayed.is_dry_run, bool)
    assert_type(replayed.document(), dict[str, Any])
    night = client.nightly(max_replay=10)
    assert_type(night, NightReport)
    assert_type((night.sent, night.before, night.after), tuple[FlushReport, VerifyReport, VerifyReport])
    assert_type(night.exit_status(), int)


def fail(client: KeenClient) -> None:
    """Errors: what each class has beyond message and hint."""
    try:
        client.add_event("c", {})
    except InvalidEventError as error:
        assert_type((error.path, error.collection, error.index), tuple[str, str | None, int | None])
    except EventLogError as error:
        assert_type(error.path, Path | None)
    except KeenApiError as error:
        assert_type((error.status, error.error_code), tuple[int, str | None])
        assert_type(error.retry_after_seconds, float | None)
    except UnreadableResponseError as error:
        assert_type(error.status, int)
    except KeenError as error:
        assert_type((error.message, error.hint, error.code), tuple[str, str | None, str])


ERRORS: tuple[type[KeenError], ...] = (
    ApiError,
    AuthenticationError,
    BatchTooLargeError,
    ClientClosedError,
    ConfigurationError,
    EventLogBoundElsewhereError,
    EventLogBusyError,
    EventLogDamagedError,
    EventLogFullError,
    EventLogPermissionError,
    EventLogTooNewError,
    EventTooLargeError,
    ForbiddenError,
    InvalidCollectionNameError,
    InvalidEnvironmentError,
    InvalidQueryError,
    InvalidRequestError,
    MissingExtraError,
    NightlyLockedError,
    NotFoundError,
    NotSentError,
    OutcomeUnknownError,
    PaymentRequiredError,
    RateLimitedError,
    RecordOutcomeUnknownError,
    RequestTooLargeError,
    ServerError,
    TransportError,
    UnsupportedPlatformError,
    UsageError,
)


def serve(project: Project, store: Store) -> None:
    """The local server and the bundled events, for tests of users."""
    with LocalServer(faults=parse_faults("lose=0.5")) as server:
        assert_type(server, LocalServer)
        assert_type((server.url, server.project_id, server.write_key), tuple[str, str, str])
        assert_type(server.faults, FaultEngine)
    assert_type(Faults(), Faults)
    assert_type(project, Project)
    assert_type(store, Store)
    for callable_ in (create_app, serve_forever):
        assert_type(callable_.__name__, str)
    for sample in load_flights(10):
        assert_type(sample, SampleEvent)
    whole(EVENTS_PER_WEEK, MS_PER_WEEK, WEEK_START_MS)


def move(at: datetime) -> None:
    """A program of keen 0.7 with its import changed: its functions, each with its parameters."""
    keen.project_id = "project"
    keen.write_key = keen.read_key = keen.master_key = b"key"
    keen.base_url = "http://127.0.0.1:8200"
    assert_type(keen.add_event("c", body={"a": 1}, timestamp=at), Receipt)
    assert_type(keen.add_event("c", Purchase("book")), Receipt)
    assert_type(keen.add_events({"c": [{}]}), dict[str, list[client.EventResult]])
    assert_type(keen.generate_image_beacon("c", {}), str)
    assert_type(keen.flush(10), FlushReport)
    order = {"property_name": "result", "direction": direction.DESCENDING}
    assert_type(direction.is_valid_direction(direction.ASCENDING), bool)
    assert_type(keen.count("c", timeframe="today", group_by="p", order_by=order, limit=1), Any)
    assert_type(keen.sum("c", "p", "today"), Any)
    assert_type(keen.minimum("c", target_property="p"), Any)
    assert_type(keen.maximum("c", "p"), Any)
    assert_type(keen.average("c", "p"), Any)
    assert_type(keen.median("c", "p"), Any)
    assert_type(keen.percentile("c", "p", 99.5), Any)
    assert_type(keen.count_unique("c", "p"), Any)
    assert_type(keen.select_unique("c", "p"), Any)
    assert_type(keen.extraction("c", "today", latest=3), Any)
    assert_type(keen.multi_analysis("c", {"n": {"analysis_type": "count"}}), Any)
    assert_type(keen.funnel([], all_keys=True), Any)
    assert_type(keen.get_collection("c"), CollectionSchema)
    assert_type(keen.get_all_collections(), list[CollectionSchema])
    assert_type(keen.delete_events("c"), bool)
    key = keen.create_access_key("name")
    assert_type(key, AccessKey)
    assert_type(keen.list_access_keys(), list[AccessKey])
    for changed in (
        keen.get_access_key("k"),
        keen.update_access_key_name("k", "name"),
        keen.update_access_key_permissions("k", ["queries"]),
        keen.update_access_key_options("k", {}),
        keen.update_access_key_full("k", "name", False, [], {}),
        keen.add_access_key_permissions("k", []),
        keen.remove_access_key_permissions("k", []),
        keen.revoke_access_key("k"),
        keen.unrevoke_access_key("k"),
    ):
        assert_type(changed, AccessKey)
    assert_type(keen.delete_access_key("k"), bool)
    keen.close()


def move_a_client(project: str) -> None:
    """The same with the class, its interfaces and its errors."""
    moved = client.KeenClient(project, b"write", "read", None, None, 10, 20, "master", None)
    assert_type(moved, keen.KeenClient)
    assert_type(moved.add_events({}), dict[str, list[client.EventResult]])
    assert_type(moved.saved_queries, saved_queries.SavedQueriesInterface)
    assert_type(moved.saved_queries.get("q"), SavedQuery)
    assert_type(moved.cached_datasets, cached_datasets.CachedDatasetsInterface)
    assert_type(moved.cached_datasets.get("d"), Dataset)
    assert_type(keys_as_before.encrypt("key", {}), bytes)
    assert_type(keys_as_before.decrypt("key", b""), Any)
    try:
        moved.count("c")
    except exceptions.RefusedError as error:
        assert_type(error.hint, str | None)
    except exceptions.KeenApiError as error:
        assert_type(error.api_error, dict[str, Any])
    except exceptions.InvalidProjectIdError as error:
        assert_type(error.project_id, object)
    except (
        keen.InvalidEnvironmentError,
        exceptions.InvalidPersistenceStrategyError,
        exceptions.TransportError,
    ):
        raise
    except keen.exceptions.BaseKeenClientError as error:
        assert_type(error.message, str)
    assert_type(keen.scoped_keys.encrypt("key", {}), bytes)
    text(keen.direction.ASCENDING)
    assert_type(keen.client.KeenClient, type[keen.KeenClient])
    assert_type(keen.saved_queries.SavedQueriesInterface, type[saved_queries.SavedQueriesInterface])
    assert_type(keen.cached_datasets.CachedDatasetsInterface, type[cached_datasets.CachedDatasetsInterface])
