"""``KeenClient``: record now, on disk; send in the background; ask, verify and replay."""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar, get_args

from keen_client._foundation.clock import SystemClock, ms_to_datetime
from keen_client.api.beacon import image_beacon_url
from keen_client.api.project import Project
from keen_client.api.steps import Steps
from keen_client.client.analyst import Analyst
from keen_client.client.core import Core
from keen_client.client.deleting import Deleter
from keen_client.client.log_view import LogView
from keen_client.client.receipt import Receipt
from keen_client.client.settings import one_of, read_settings
from keen_client.client.wiring import Machinery, Seams
from keen_client.delivery.config import DeliveryConfig, UnknownPolicy
from keen_client.delivery.courier import FlushReport
from keen_client.errors import InvalidEventError
from keen_client.eventlog.config import Durability, LogConfig
from keen_client.eventlog.log import EventLog
from keen_client.events.encoding import EncodedEvent, EventBody, NaiveDatetimes, encode_event
from keen_client.events.limits import check_call_size, check_collection_name
from keen_client.observability.hooks import Hook
from keen_client.queries.definition import Query
from keen_client.queries.methods import AnalysisMethods
from keen_client.replay.night import Night, NightReport
from keen_client.replay.plan import ReplayReport
from keen_client.transport.httpx_transport import HttpClient, Timeouts
from keen_client.verify.moments import Moment
from keen_client.verify.presets import PresetName
from keen_client.verify.reader import Budget
from keen_client.verify.report import VerifyReport
from keen_client.verify.windows import WindowName

StepsT = TypeVar("StepsT")

#: A client that nobody holds any more is among them for as long as its sender's thread is.
_open_clients: Final[weakref.WeakSet[Core]] = weakref.WeakSet()


class KeenClient(AnalysisMethods[Any], Deleter, Analyst):
    """A client of one project, over one local log. Safe from any thread, and usable after a fork.

    ``add_event`` returns when the event is on disk; it never waits on the
    network. The queries and their parameters are those of the official client.

    Args:
        project_id: Else ``KEEN_PROJECT_ID``.
        write_key: Else ``KEEN_WRITE_KEY``. Recording needs none; sending does.
        read_key: Else ``KEEN_READ_KEY``. For queries and verification.
        master_key: Else ``KEEN_MASTER_KEY``.
        base_url: The part before ``/3.0``; else ``KEEN_BASE_URL``, else Keen's own.
        log: The log's directory; else ``KEEN_LOG``, else
            ``$XDG_STATE_HOME/keen-client/<project id>``.
        durability: ``full``: a receipt survives power loss; ``normal``: it
            survives kill -9, and power loss may take the last moments.
        background: Send from a thread of this process, started with the first
            event. Without, another process sends (``keen-client send --follow``).
        get_timeout: Seconds that a read may last, its repeats and the waits between them included. Without, it
            waits 305 for an answer, and no repeat begins after that.
        post_timeout: Seconds that a write waits for its answer.
        http_client: An ``httpx.Client`` of your own; it is not closed here.
        enabled: With False (or ``KEEN_DISABLED``) everything is validated, nothing recorded.
        naive_datetimes: ``refuse`` times without zone, or read them as ``utc``.
        unknown: What to do with events sent without an answer; see :class:`DeliveryConfig`.
        hooks: Called with each signal; what they raise is counted and swallowed.
        log_config: All settings of the log; its durability then wins.
        delivery_config: All settings of delivery; its ``unknown`` then wins.
        seams: Clock and chance, for simulations.

    Raises:
        InvalidEnvironmentError, ConfigurationError, EventLogError: nothing was recorded.
    """

    def __init__(
        self,
        project_id: str | None = None,
        write_key: str | None = None,
        read_key: str | None = None,
        *,
        master_key: str | None = None,
        base_url: str | None = None,
        log: str | Path | None = None,
        durability: Durability = "full",
        background: bool = True,
        get_timeout: float | None = None,
        post_timeout: float | None = None,
        http_client: HttpClient | None = None,
        enabled: bool = True,
        naive_datetimes: NaiveDatetimes = "refuse",
        unknown: UnknownPolicy = "auto",
        hooks: Iterable[Hook] = (),
        log_config: LogConfig | None = None,
        delivery_config: DeliveryConfig | None = None,
        seams: Seams | None = None,
    ) -> None:
        settings = read_settings(
            {
                "project_id": project_id,
                "write_key": write_key,
                "read_key": read_key,
                "master_key": master_key,
                "base_url": base_url,
                "log": log,
                "disabled": None if enabled else "1",
            }
        )
        #: Seconds that a read and a write wait for an answer; None: as long as the given http_client does.
        self.get_timeout: Final = _seconds(get_timeout, Timeouts.for_reads(), http_client)
        self.post_timeout: Final = _seconds(post_timeout, Timeouts.for_writes(), http_client)
        self._seams = seams or Seams()
        machinery: Machinery | None = None
        # A slip in a word is refused also where the word does not count.
        one_of("naive_datetimes", naive_datetimes, get_args(NaiveDatetimes))
        own_log_config, own_delivery_config = (
            LogConfig(durability=durability),
            DeliveryConfig(unknown=unknown),
        )
        log_config, delivery_config = log_config or own_log_config, delivery_config or own_delivery_config
        if not settings.is_disabled:
            machinery = Machinery(
                settings,
                log_config=log_config,
                delivery_config=delivery_config,
                background=background,
                hooks=hooks,
                http_client=http_client,
                get_timeout=get_timeout,
                post_timeout=post_timeout,
                seams=self._seams,
            )
        self._core = Core(settings, machinery, naive_datetimes, self._seams.clock)
        if machinery is not None:
            _open_clients.add(self._core)
            weakref.finalize(self, self._core.forsake).atexit = False

    # ---- recording ----------------------------------------------------------------------

    def add_event(
        self,
        event_collection: str,
        event_body: EventBody,
        timestamp: datetime | str | None = None,
    ) -> Receipt:
        """Record one event; when this returns it is in the log at the chosen durability.

        *timestamp* becomes ``keen.timestamp``, truncated to milliseconds; the
        time of recording when neither it nor the event gives one.

        Raises:
            InvalidEventError: Keen would refuse it. Nothing was recorded.
            EventLogError: the disk, or another process. Nothing was recorded
                (:class:`RecordOutcomeUnknownError`: it may have been).
            ClientClosedError: after :meth:`close`. Nothing was recorded.
        """
        event = self._core.encode(event_collection, event_body, timestamp)
        if self._core.machinery is None:
            return self._core.paper_receipt(event)
        recorded = self._core.machinery.log.record(event)
        self._core.notify()
        return Receipt(str(recorded.id), event.collection, ms_to_datetime(recorded.timestamp_ms))

    def add_events(self, events: Mapping[str, Iterable[EventBody]]) -> dict[str, list[Receipt]]:
        """Record ``{collection: [event, ...]}``: all of them or none, in one transaction.

        Returns the receipts in the same form and order, with an empty list
        where one was given.

        Raises:
            InvalidEventError: with ``collection`` and ``index`` of the first that
                Keen would refuse; ``index`` is None where the collection itself
                cannot be used. Nothing was recorded.
            BatchTooLargeError: over 100,000 events or 256 MB. Nothing was recorded.
            EventLogError, ClientClosedError: as for :meth:`add_event`.
        """
        encoded: list[EncodedEvent] = []
        for _, event in self._encode_each(events):
            if isinstance(event, InvalidEventError):
                raise event
            encoded.append(event)
        result: dict[str, list[Receipt]] = {collection: [] for collection in events}
        for receipt in self._record_all(encoded):
            result[receipt.collection].append(receipt)
        return result

    def _record_all(self, encoded: Sequence[EncodedEvent]) -> list[Receipt]:
        if self._core.machinery is None:
            return [self._core.paper_receipt(event) for event in encoded]
        recorded = self._core.machinery.log.record_all(encoded)
        self._core.notify()
        return [
            Receipt(str(r.id), e.collection, ms_to_datetime(r.timestamp_ms))
            for e, r in zip(encoded, recorded, strict=True)
        ]

    def _encode_each(
        self, events: Mapping[str, Iterable[EventBody]]
    ) -> Iterator[tuple[str, EncodedEvent | InvalidEventError]]:
        """Each event with its collection, in order, or why it is refused; raises what is wrong with the whole call."""
        self._core.mind_closed()
        if not isinstance(events, Mapping):
            raise InvalidEventError(
                f"add_events takes a mapping of collections, not a {type(events).__name__}; nothing was recorded",
                "pass {collection: [event, ...]}",
            )
        count = size_bytes = 0
        for collection, bodies in events.items():
            _check_list(collection, bodies)
            for index, body in enumerate(bodies):
                try:
                    event = encode_event(collection, body, naive_datetimes=self._core.naive_datetimes)
                except InvalidEventError as error:
                    _place(error, collection, index)
                    yield collection, error
                    continue
                count += 1
                size_bytes += event.size_bytes
                check_call_size(count, size_bytes)
                yield collection, event

    # ---- what it is for -----------------------------------------------------------------

    @property
    def project(self) -> Project:
        """The project and its keys; printing it shows none."""
        return self._core.settings.project

    @property
    def project_id(self) -> str:
        """Which project."""
        return self._core.settings.project_id

    @property
    def base_url(self) -> str:
        """The server, the part before ``/3.0``."""
        return self._core.settings.base_url

    # ---- delivery -----------------------------------------------------------------------

    def flush(self, timeout: float | None = None) -> FlushReport:
        """Send what lies in the log now and report; at most *timeout* seconds.

        Without a limit it ends when nothing is left that can be sent, or when
        five attempts in a row brought nothing. What is left stays in the log.
        """
        self._core.mind_closed()
        if self._core.machinery is None:
            return FlushReport(0, 0, 0, 0)
        return self._core.machinery.courier.flush(timeout)

    def close(self, timeout: float | None = None) -> None:
        """Send for at most *timeout* seconds (2 by default), then stop. What is left stays in the log. Idempotent.

        It is closed also where an error is raised: the log's own disk failed, say.
        """
        _open_clients.discard(self._core)
        self._core.close(timeout)

    # ---- asking -------------------------------------------------------------------------

    def query(self, analysis: Query, *, all_keys: bool = False) -> Any:
        """Run one analysis and return its ``result``; see the named methods.

        Raises:
            ApiError: the query did not succeed; nothing was changed.
            InvalidEnvironmentError: there is no read key.
        """
        return self._core.need_machinery().api.query(analysis, all_keys=all_keys)

    def run_steps(self, steps: Steps[StepsT]) -> StepsT:
        """Carry out a call of several requests; all administration stands on it."""
        return self._core.need_machinery().api.run_steps(steps)

    def _log_for_deletion(self) -> EventLog:
        return self._core.need_machinery().log

    def generate_image_beacon(
        self,
        event_collection: str,
        event_body: EventBody,
        timestamp: datetime | str | None = None,
    ) -> str:
        """The address of a picture that records the event each time somebody loads it. Sends nothing.

        It is not recorded in the log, so verification counts it as foreign, and
        it holds the write key. Without *timestamp* its time is that of loading.
        """
        return image_beacon_url(self.project, self._core.encode(event_collection, event_body, timestamp))

    # ---- proof --------------------------------------------------------------------------

    def verify(
        self,
        start: Moment,
        end: Moment,
        *,
        collections: Sequence[str] | None = None,
        window: WindowName = "1h",
        preset: PresetName = "standard",
        settle: str | None = None,
        budget_requests: int | None = None,
        budget_bytes: int | None = None,
    ) -> VerifyReport:
        """Compare the server with the log, window by window. Sends nothing to the server.

        *start* and *end* (aware datetimes or RFC 3339 text) lie on boundaries of
        *window*; *collections* is a list of names, None for all in the log.
        Observations are kept in the log's ``state.db``.

        *budget_requests* and *budget_bytes* (of answers) bound what is read, here
        and in ``replay`` and ``nightly``: windows that could not be read are
        *incomplete* and come first the next time.

        Raises:
            UsageError: of *collections* that are no list, or an empty one, too. Nothing was asked.
        """
        budget = Budget(requests=budget_requests, bytes=budget_bytes)
        return self._night(preset, settle, budget).verify(start, end, collections=collections, window=window)

    def replay(
        self,
        start: Moment,
        end: Moment,
        *,
        collections: Sequence[str] | None = None,
        window: WindowName = "1h",
        preset: PresetName = "standard",
        settle: str | None = None,
        yes: bool = False,
        max_replay: int | None = None,
        budget_requests: int | None = None,
        budget_bytes: int | None = None,
    ) -> ReplayReport:
        """Resend exactly what verification has proven missing; a dry run unless *yes*.

        Raises:
            NightlyLockedError: another nightly or replay job is at work on this log.
        """
        budget = Budget(requests=budget_requests, bytes=budget_bytes)
        return self._night(preset, settle, budget).replay(
            start, end, collections=collections, window=window, yes=yes, max_replay=max_replay
        )

    def nightly(
        self,
        start: Moment | None = None,
        end: Moment | None = None,
        *,
        collections: Sequence[str] | None = None,
        window: WindowName = "1h",
        preset: PresetName = "standard",
        settle: str | None = None,
        max_replay: int | None = None,
        budget_requests: int | None = None,
        budget_bytes: int | None = None,
    ) -> NightReport:
        """The whole nightly job: send, verify, replay what is proven missing, verify again, reclaim.

        Without *start* and *end* on the windows that are due. It also probes,
        where that is not known of late, whether the server honours uniqueness
        tokens (at most fifteen small events in the collection ``kc_probe``).

        Raises:
            NightlyLockedError: another nightly or replay job is at work on this log.
        """
        budget = Budget(requests=budget_requests, bytes=budget_bytes)
        return self._night(preset, settle, budget).run(
            start, end, collections=collections, window=window, max_replay=max_replay
        )

    def _night(self, preset: str, settle: str | None, budget: Budget) -> Night:
        machinery = self._core.need_machinery()
        return Night(
            log=machinery.log,
            api=machinery.api,
            sender=machinery.sender,
            clock=machinery.clock,
            randomness=machinery.randomness,
            preset=preset,
            settle=settle,
            budget=budget,
            hooks=machinery.hooks,
        )

    @property
    def log(self) -> LogView:
        """Read access to the local log."""
        return LogView(self._core.need_machinery().log, self._core.mind_closed)

    # ---- life ---------------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return (
            f"KeenClient(project_id={self._core.settings.project_id!r}, log={str(self._core.settings.log)!r})"
        )


def _seconds(given: float | None, usual: Timeouts, http_client: HttpClient | None) -> float | None:
    return given if given is not None or http_client is not None else usual.read_seconds


def _check_list(collection: str, bodies: object) -> None:
    try:
        check_collection_name(collection)
        if isinstance(bodies, str | bytes | Mapping) or not isinstance(bodies, Iterable):
            raise InvalidEventError(
                f"a {type(bodies).__name__} is no list of events; nothing was recorded",
                "pass {collection: [event, ...]}",
            )
    except InvalidEventError as error:
        _place(error, collection, None)
        raise


def _place(error: InvalidEventError, collection: str, index: int | None) -> None:
    """Have *error* name the event that it is about."""
    error.collection, error.index = collection, index
    where = str(collection)[:80] if index is None else f"{collection}[{index}]"
    error.message = f"{where}: {error.message}"
    error.args = (error.message, error.hint)


@atexit.register
def _close_at_exit() -> None:
    """Give the last events their bounded chance, all clients together; what does not make it is in the log."""
    clock = SystemClock()
    began_ns = clock.monotonic_ns()
    for core in list(_open_clients):
        core.close_quietly(passed_seconds=(clock.monotonic_ns() - began_ns) / 1e9)
