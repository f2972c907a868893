"""What a client and its async twin are built on, and nobody else has to see."""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import datetime
from typing import Final

from keen_client._foundation.clock import Clock, ms_to_datetime
from keen_client.client.receipt import Receipt
from keen_client.client.settings import Settings
from keen_client.client.wiring import Machinery
from keen_client.errors import ClientClosedError
from keen_client.eventlog.log import EventLog
from keen_client.events.encoding import EncodedEvent, EventBody, NaiveDatetimes, encode_event
from keen_client.observability.hooks import LOGGER


class Core:
    """The settings of a client, and its machinery where it is not switched off. Thread-safe."""

    def __init__(
        self, settings: Settings, machinery: Machinery | None, naive_datetimes: NaiveDatetimes, clock: Clock
    ) -> None:
        self.settings: Final = settings
        #: None where the client is switched off.
        self.machinery: Final = machinery
        self.naive_datetimes: Final[NaiveDatetimes] = naive_datetimes
        self._clock = clock
        self.is_closed = False
        self._guard = threading.RLock()  # a handler that interrupts a close may close, too
        self._leaving: threading.Thread | None = None
        if machinery is not None:
            machinery.courier.adopt(self._leave)

    @property
    def event_log(self) -> EventLog | None:
        """The log underneath; None where recording is switched off."""
        return None if self.machinery is None else self.machinery.log

    def encode(
        self, event_collection: str, event_body: EventBody, timestamp: datetime | str | None = None
    ) -> EncodedEvent:
        """Validate one event as ``add_event`` does, and record nothing."""
        self.mind_closed()
        return encode_event(event_collection, event_body, timestamp, naive_datetimes=self.naive_datetimes)

    def notify(self) -> None:
        """Tell the background sender that an event was recorded."""
        if self.machinery is not None:
            self.machinery.courier.notify()

    def paper_receipt(self, event: EncodedEvent) -> Receipt:
        """The receipt of an event that was validated and not recorded."""
        timestamp_ms = self._clock.wall_ms() if event.timestamp_ms is None else event.timestamp_ms
        return Receipt(None, event.collection, ms_to_datetime(timestamp_ms))

    def need_machinery(self) -> Machinery:
        """What the client is made of.

        Raises:
            ClientClosedError: it is closed, or switched off.
        """
        self.mind_closed()
        if self.machinery is None:
            raise ClientClosedError(
                "this client is switched off (enabled=False or KEEN_DISABLED): it has no log and asks nothing",
                "switch it on to query, verify or replay",
            )
        return self.machinery

    def close(self, timeout_seconds: float | None = None, *, passed_seconds: float = 0.0) -> None:
        """Send for at most *timeout_seconds* (``close_seconds`` when None), less what passed of them; then stop. Idempotent.

        Raises:
            EventLogError: the log's own disk failed; it is closed nonetheless.
        """
        with self._guard:
            if self.is_closed:
                return
            self.is_closed = True
        if self.machinery is not None:
            given = self._close_seconds() if timeout_seconds is None else timeout_seconds
            self.machinery.close(max(0.0, given - passed_seconds))

    def forsake(self) -> None:
        """Nobody holds the client any more: have it closed once its sender notices. Called by the garbage collector."""
        if self.machinery is not None:
            self.machinery.courier.forsake()

    def _leave(self) -> None:
        """Close from a thread of its own: the sender's is one of those that closing waits for."""
        self._leaving = threading.Thread(target=self.close_quietly, name="keen-client-closer", daemon=True)
        with suppress(RuntimeError):  # the interpreter is shutting down, and closes it itself
            self._leaving.start()

    def close_quietly(self, *, passed_seconds: float = 0.0) -> None:
        """Close where nobody is there to be told of an error but the log's reader; where it is being closed, wait for that."""
        try:
            self.close(passed_seconds=passed_seconds)
            leaving = self._leaving
            if leaving is not None and leaving.is_alive() and leaving is not threading.current_thread():
                leaving.join(max(0.0, self._close_seconds() - passed_seconds))
        except Exception as error:  # noqa: BLE001 — the other clients have events to send, too
            LOGGER.error(
                "the client over %s was not closed well (%s); what was recorded is in that log",
                self.settings.log,
                type(error).__name__,
            )

    def _close_seconds(self) -> float:
        return 0.0 if self.machinery is None else self.machinery.sender.config.close_seconds

    def mind_closed(self) -> None:
        """Refuse whatever is asked of a closed client.

        Raises:
            ClientClosedError: it is closed.
        """
        if self.is_closed:
            raise ClientClosedError(
                "the client is closed; nothing was recorded or sent, and what was recorded before is in the log",
                "make a new client",
            )
