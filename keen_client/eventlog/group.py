"""Group commit: the callers who wait are one commit, and share its sync.

The first of them leads; there is no writer thread (at one caller that would
cost four times as much).

A signal handler's exception may come between any two steps. It is its own
thread's alone: a leader still tells the others what became of their events,
and hands the lead on. Both are steps that can be taken again.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from keen_client.errors import EventLogError, RecordOutcomeUnknownError
from keen_client.eventlog.config import GROUP_EVENTS_MAX
from keen_client.eventlog.entry import Recorded
from keen_client.events.encoding import EncodedEvent

#: How often what a leaving caller owes the others is begun anew, when handlers' exceptions break it off.
_TRIES_MAX: Final = 8


class Outcome:
    """What the commit under way made of its events so far, exception or not. Under the commit lock.

    ``landed``: their receipts; none when they are not in the log; None while that is not known.
    """

    __slots__ = ("landed",)

    def __init__(self) -> None:
        self.landed: Sequence[Recorded] | None = ()


class _Waiting:
    """One caller in the queue. The bare lock is its wake-up call: an outcome, or the lead."""

    __slots__ = ("error", "event", "group", "has_left", "recorded", "wake")

    def __init__(self, event: EncodedEvent) -> None:
        self.event = event
        self.has_left = False
        self.recorded: Recorded | None = None
        self.error: BaseException | None = None
        #: Whom it owes an outcome, itself among them: those whom it commits as the leader.
        self.group: Sequence[_Waiting] = ()
        self.wake = threading.Lock()
        self.wake.acquire()


class Group:
    """The queue of one process's callers. Thread-safe; a forked child makes its own."""

    def __init__(
        self,
        log: Path,
        commit_lock: threading.Lock,
        commit: Callable[[Sequence[EncodedEvent]], list[Recorded]],
        outcome: Outcome,
    ) -> None:
        """*commit* is called under *commit_lock*, and notes in *outcome* how far it is."""
        self._log: Final = log
        self._commit_lock: Final = commit_lock
        self._commit: Final = commit
        self._outcome: Final = outcome
        self._queue_lock: Final = threading.Lock()
        self._queue: Final[list[_Waiting]] = []
        self._leader: _Waiting | None = None

    def append(self, event: EncodedEvent) -> Recorded:
        """Record *event* in a commit with others.

        Raises:
            EventLogError: the commit failed; it was not recorded.
            RecordOutcomeUnknownError: the disk failed at commit, or the thread that led was interrupted there.
        """
        waiting = _Waiting(event)
        try:
            with self._queue_lock:
                if self._leader is None:
                    self._leader = waiting
                self._queue.append(waiting)
            if self._leader is not waiting:
                waiting.wake.acquire()
            if self._leader is waiting:
                self._lead(waiting)
                self._hand_over(waiting)
        except BaseException:
            self._leave(waiting)
            raise
        if waiting.error is not None:
            raise waiting.error
        if waiting.recorded is None:
            raise AssertionError("a leader returned without an outcome for its own event")
        return waiting.recorded

    def _lead(self, leader: _Waiting) -> None:
        with self._commit_lock:
            try:
                self._outcome.landed = ()
                with self._queue_lock:
                    leader.group = group = self._queue[:GROUP_EVENTS_MAX]
                done = self._commit([waiting.event for waiting in group])
                for waiting, recorded in zip(group, done, strict=True):
                    waiting.recorded = recorded
            except BaseException as error:
                self._tell(leader, error)
                raise

    def _tell(self, leader: _Waiting, error: BaseException) -> None:
        """What *error* in the leader's thread means to its group: nothing, unless it is the commit that failed."""
        landed = self._outcome.landed
        if landed:
            for waiting, recorded in zip(leader.group, landed, strict=True):
                waiting.recorded = recorded
        elif isinstance(error, RecordOutcomeUnknownError if landed is None else EventLogError):
            for waiting in leader.group:
                # Tracebacks of several threads must not grow on one exception.
                waiting.error = copy.copy(error)
                waiting.error.__cause__ = error.__cause__
        elif landed is not None:
            leader.group = ()  # they stay in the queue, for the next leader

    def _hand_over(self, leader: _Waiting) -> None:
        """Wake the leader's group, each with its outcome, and the head of the queue: it leads.

        Broken off it is done again: what is done already changes nothing then.
        """
        group = leader.group
        if len(group) == 1:
            with self._queue_lock:
                if len(self._queue) == 1 and self._queue[0] is leader is self._leader:
                    self._queue.clear()
                    self._leader = None
                    return
        for waiting in group:
            if waiting.recorded is None and waiting.error is None:
                waiting.error = self._unknown()
        with self._queue_lock:
            if self._leader is leader:
                if group and self._queue and self._queue[0] is group[0]:
                    del self._queue[: len(group)]
                while self._queue and self._queue[0].has_left:
                    del self._queue[0]
                self._leader = self._queue[0] if self._queue else None
            if self._leader is not None:
                _wake(self._leader)  # who leads already does not wait, and does not mind
        for waiting in group:
            if waiting is not leader:
                _wake(waiting)

    def _leave(self, waiting: _Waiting) -> None:
        """Go with an error, having paid what is owed to the others, whatever comes between."""
        for _ in range(_TRIES_MAX):
            try:
                waiting.has_left = True
                self._hand_over(waiting)
            except BaseException:  # noqa: BLE001, S112 — the caller has an error already
                continue
            return

    def _unknown(self) -> RecordOutcomeUnknownError:
        return RecordOutcomeUnknownError(
            "the thread that recorded for several was interrupted; the event may or may not be in the log",
            "look for it in `client.log.entries()`, or record it again if a duplicate does no harm",
            path=self._log,
        )


def _wake(waiting: _Waiting) -> None:
    """Only one thread at a time wakes a caller: its leader, or under the queue's lock whoever gives it the lead."""
    if waiting.wake.locked():
        waiting.wake.release()
