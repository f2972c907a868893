"""The commit thread of the async client: it takes what the tasks hand over and commits it in groups.

The tasks of a group share its sync, and are woken a group at a time; no event
loop ever waits for the disk.
"""

from __future__ import annotations

import asyncio
import copy
import os
import threading
from collections.abc import Sequence
from typing import Final

import attrs

from keen_client.errors import ClientClosedError
from keen_client.eventlog.config import GROUP_EVENTS_MAX
from keen_client.eventlog.entry import Recorded
from keen_client.eventlog.log import EventLog
from keen_client.events.encoding import EncodedEvent
from keen_client.events.limits import CALL_SIZE_MAX_BYTES

#: How often the idle thread looks whether anybody still holds its client.
_LOOK_SECONDS: Final = 1.0


@attrs.frozen(slots=True, eq=False)
class _Waiting:
    """One task's event, and where its receipt is awaited."""

    event: EncodedEvent
    future: asyncio.Future[Recorded]
    loop: asyncio.AbstractEventLoop


class Committer:
    """Records for the tasks of any event loop. The thread starts with the first event, in a forked child anew."""

    def __init__(self, log: EventLog) -> None:
        self._log: Final = log
        self._closed = False
        self._is_forsaken = False
        self._forget()

    def _forget(self) -> None:
        self._ready = threading.Condition()
        self._queue: list[_Waiting] = []
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()

    async def record(self, event: EncodedEvent) -> Recorded:
        """Record one event; returns when it is on disk at the chosen durability.

        A task that is cancelled before its group is taken leaves nothing in
        the log; later, its event is recorded all the same.

        Raises:
            EventLogError: as for :meth:`EventLog.record`.
            ClientClosedError: after :meth:`close`; it was not recorded.
        """
        if self._pid != os.getpid():
            self._forget()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Recorded] = loop.create_future()
        with self._ready:
            if self._closed:
                raise ClientClosedError(
                    "the client is closed; the event was not recorded, and what was recorded before is in the log",
                    "make a new client",
                )
            if self._thread is None:
                self._thread = self._start()
            has_thread = self._thread is not None
            if has_thread:
                self._queue.append(_Waiting(event, future, loop))
                self._ready.notify()
        if not has_thread:
            return self._log.record(event)
        return await future

    def _start(self) -> threading.Thread | None:
        """The thread, started; None where no more can be: then the loop has to wait for the disk."""
        thread = threading.Thread(target=self._run, name="keen-client-commit", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the machine's limit, or the interpreter is shutting down
            return None
        return thread

    def close(self) -> None:
        """Commit what was handed over, then end the thread; waits for the disk. Idempotent."""
        if self._pid != os.getpid():
            self._forget()
        with self._ready:
            self._closed = True
            self._ready.notify()
            thread = self._thread
        if thread is not None:
            thread.join()

    def forsake(self) -> None:
        """Say that nobody holds the client any more, so that the thread ends. Takes no lock: the garbage collector calls it."""
        self._is_forsaken = True

    # ---- in the thread ------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._ready:
                while not self._queue and not (self._closed or self._is_forsaken):
                    self._ready.wait(_LOOK_SECONDS)
                if not self._queue:
                    return
                group = self._take_group()
            if group:
                self._commit(group)

    def _take_group(self) -> list[_Waiting]:
        """The head of the queue, as much as one transaction takes; without those whose task was cancelled."""
        group: list[_Waiting] = []
        size_bytes = taken = 0
        for waiting in self._queue[:GROUP_EVENTS_MAX]:
            size_bytes += waiting.event.size_bytes
            if group and size_bytes > CALL_SIZE_MAX_BYTES:
                break
            taken += 1
            if not waiting.future.cancelled():
                group.append(waiting)
        del self._queue[:taken]
        return group

    def _commit(self, group: Sequence[_Waiting]) -> None:
        recorded: list[Recorded] = []
        failure: BaseException | None = None
        try:
            recorded = self._log.record_all([waiting.event for waiting in group])
        except BaseException as error:  # noqa: BLE001 — it is every waiting task's, and raised there
            failure = error
        for loop in {waiting.loop for waiting in group}:
            pairs = [
                (waiting.future, failure or recorded[index])
                for index, waiting in enumerate(group)
                if waiting.loop is loop
            ]
            try:
                loop.call_soon_threadsafe(_settle, pairs)
            except RuntimeError:
                continue  # that loop is closed: its events are in the log, nobody waits for the receipts


def _settle(pairs: Sequence[tuple[asyncio.Future[Recorded], Recorded | BaseException]]) -> None:
    for future, outcome in pairs:
        if future.done():
            continue
        if isinstance(outcome, BaseException):
            error = copy.copy(outcome)  # each task adds its own frames to what it raises
            error.__cause__ = outcome.__cause__
            future.set_exception(error)
        else:
            future.set_result(outcome)
