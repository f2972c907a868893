"""The sender: claims, sends and settles, one step at a time. No thread, no sleep.

One process at a time is the sender of a log: the holder of its sender lock. A
crash leaves what was in flight *unknown*, which the next holder notes first.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from typing import Final

import attrs

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_MINUTE, MS_PER_SECOND, Clock
from keen_client._foundation.randomness import Randomness
from keen_client.delivery.batch import Batch, build_batch
from keen_client.delivery.config import DeliveryConfig
from keen_client.delivery.hindrance import Hindrance, Pause
from keen_client.delivery.outcome import (
    Fate,
    Judgement,
    Turn,
    judge_answer,
    judge_failure,
    judge_unwritable,
)
from keen_client.delivery.policy import Policy
from keen_client.delivery.uploader import Uploader
from keen_client.delivery.waiting import Waiting, note_waiting, read_waiting
from keen_client.errors import (
    ApiError,
    ClientClosedError,
    ConfigurationError,
    EventLogError,
    NotSentError,
)
from keen_client.eventlog.entry import DeliveryState
from keen_client.eventlog.log import EventLog
from keen_client.eventlog.outbox import Claim, Settlement
from keen_client.observability.hooks import HookSet
from keen_client.observability.signals import (
    BatchAcknowledged,
    EventsRejected,
    HorizonNear,
    InflightRecovered,
    OutcomeUnknown,
    SegmentUnreadable,
)
from keen_client.transport.message import Response

#: A request that leaves later than this after its journal entry is journalled again: the machine slept.
_JOURNAL_STALE_MS: Final = 5_000
#: From so much on a server that is ahead is believed: what it says of its time has seconds, and is a little old.
_CLOCK_BEHIND_MS: Final = 5 * MS_PER_MINUTE
#: No machine's clock stands still for longer; but one that was never set begins in 1970, or with its firmware.
_CLOCK_BEHIND_MAX_MS: Final = 366 * MS_PER_DAY
_CLOCK_UNSET_BEFORE_MS: Final = 1_767_225_600_000  # 2026-01-01T00:00:00Z: no log is older
#: How often the sender looks after segments: sealing, finishing.
_TEND_SECONDS: Final = 30.0


class StepKind(StrEnum):
    """What one step did."""

    SENT = "sent"  # a request was made; ``Step.judgement`` says how it went
    IDLE = "idle"  # nothing is due
    WAITING = "waiting"  # the sender as a whole waits; nothing was claimed


@attrs.frozen
class Step:
    """The result of one step. ``is_full``: more was waiting than one batch takes."""

    kind: StepKind
    accepted: int = 0
    rejected: int = 0
    is_full: bool = False
    turn: Turn = Turn.GO_ON


class Sender:
    """Sends what lies in the log. Its steps may overlap in several threads."""

    def __init__(
        self,
        log: EventLog,
        uploader: Uploader,
        config: DeliveryConfig,
        clock: Clock,
        randomness: Randomness,
        hooks: HookSet,
        tokens_honoured: Callable[[], bool],
    ) -> None:
        self.log: Final = log
        self.config: Final = config
        self._uploader = uploader
        self._clock = clock
        self._policy = Policy(config, randomness)
        self._hooks = hooks
        self._tokens_honoured = tokens_honoured
        self._guard = threading.Lock()
        self._hindrance = Hindrance(clock)
        self._next_tend_ns = 0
        self._owner_pid: int | None = None
        self._stepping = 0
        self._uploading = 0
        self._is_leaving = False
        #: Segments that were told to be unreadable, and still are.
        self._told_unreadable: frozenset[str] = frozenset()
        self._is_closed = False
        #: Why delivery waits, as it is noted in the log: None where it is not.
        self._noted_reason: str | None = None
        #: Batches that were claimed and could not be settled.
        self._unsettled: set[int] = set()
        #: The server's clock less this machine's, by its last answer that can be believed.
        self._server_ahead_ms = 0

    def after_fork(self) -> None:
        """Start anew in a forked child, which does not hold the lock."""
        self._guard = threading.Lock()
        self._hindrance.after_fork()
        self._owner_pid = None
        self._stepping = 0
        self._uploading = 0
        self._is_leaving = False
        self._unsettled = set()

    # ---- the lock -----------------------------------------------------------------------

    def acquire(self) -> bool:
        """Become the log's sender if nobody is; a former holder's entries in flight become unknown.

        Another sender of the same log in this process is somebody too. Not after :meth:`close`.
        """
        with self._guard:
            if self._is_closed:
                return False
            if self._owns_lock():
                self._is_leaving = False
                return True
        lock = self.log.directory.sender_lock()
        if not lock.try_acquire():
            return False
        try:
            recovered = self.log.outbox.recover()
            waiting = read_waiting(self.log.state)
        except BaseException:
            lock.release()
            raise
        with self._guard:
            self._noted_reason = None if waiting is None else waiting.reason
            is_too_late = self._is_closed
            if not is_too_late:
                self._owner_pid = os.getpid()
                self._is_leaving = False
        if is_too_late:
            lock.release()
        if recovered:
            self._hooks.emit(InflightRecovered(recovered))
        return not is_too_late

    def release(self) -> None:
        """Let another sender have the log: at once, or when the last step under way has ended."""
        with self._guard:
            if not self._owns_lock():
                return
            self._is_leaving = bool(self._stepping)
            if not self._is_leaving:
                self._owner_pid = None
                self.log.directory.sender_lock().release()

    def close(self) -> None:
        """Claim nothing more, and let another sender have the log for good. What has not left yet goes back into it."""
        with self._guard:
            self._is_closed = True
        self.release()

    @property
    def is_closed(self) -> bool:
        """Whether it was closed: it sends nothing more."""
        return self._is_closed

    @property
    def is_stepping(self) -> bool:
        """Whether a step is under way."""
        return self._stepping > 0

    @property
    def is_settling(self) -> bool:
        """Whether a step is under way that does not wait for the server: it ends by itself, if the log is open."""
        with self._guard:
            return self._stepping > self._uploading

    @property
    def holds_lock(self) -> bool:
        """Whether this is the log's sender."""
        return self._owns_lock()

    def _owns_lock(self) -> bool:
        """Whoever never held it does not make its file: on a full disk that would fail, at close of all times."""
        return self._owner_pid == os.getpid() and self.log.directory.sender_lock().holds()

    # ---- one step -----------------------------------------------------------------------

    @property
    def pause(self) -> Pause | None:
        """Why nothing is sent at the moment; None when nothing hinders."""
        return self._hindrance.pause

    @property
    def fruitless(self) -> int:
        """Attempts in a row, of all threads, that brought nothing; see :class:`Hindrance`."""
        return self._hindrance.fruitless

    @property
    def said(self) -> str:
        """What was answered to the last attempt that brought nothing, for people; it may be empty."""
        return self._hindrance.said

    def forget_pause(self) -> None:
        """Try again now, whatever the last answer was."""
        self._hindrance.forget()

    def tokens_are_honoured(self) -> bool:
        """Whether the server was seen to honour uniqueness tokens of late."""
        return self._tokens_honoured()

    def resend_unknown_since_ms(self) -> int | None:
        """From which first attempt on unknown entries may be resent now."""
        return self._policy.resend_unknown_since_ms(
            self._clock.wall_ms(), tokens_honoured=self.tokens_are_honoured()
        )

    def step(self, deadline_ns: int | None = None) -> Step:
        """Send one batch, if one is due and this is the log's sender.

        Its request ends by *deadline_ns* of the monotonic clock, where given.

        Raises:
            EventLogError: the log's own disk failed; nothing is lost. What was in flight is journalled, and
                becomes unknown when the next step begins.
        """
        pause = self.pause
        if pause is not None and self._clock.monotonic_ns() < pause.until_ns:
            return Step(StepKind.WAITING, turn=pause.turn)
        with self._guard:
            if self._is_closed or not self.holds_lock:
                return Step(StepKind.IDLE)
            self._stepping += 1
        try:
            return self._send_batch(deadline_ns)
        finally:
            with self._guard:
                self._stepping -= 1
                is_last_to_leave = self._is_leaving and not self._stepping
            if is_last_to_leave:
                self.release()

    def _send_batch(self, deadline_ns: int | None) -> Step:
        self.log.mark_abandoned()
        self._tend()
        self._recover_unsettled()
        claim = self.log.outbox.claim(
            events_max=self.config.batch_events_max,
            bytes_max=self.config.batch_bytes_max,
            resend_unknown_since_ms=self.resend_unknown_since_ms(),
            refused_last=self._hindrance.is_wall,
        )
        if claim is None:
            return Step(StepKind.IDLE)
        self._hindrance.note_claim(claim.batch)
        try:
            batch = self._written(claim)
            judgement = (
                judge_unwritable(batch) if batch.unwritable else self._attempt(claim, batch, deadline_ns)
            )
            return self._settle(claim, batch, judgement)
        except BaseException:
            with self._guard:
                self._unsettled.add(claim.batch)
            raise

    def _written(self, claim: Claim) -> Batch:
        """The batch of *claim*. Where that fails nothing has left, and nothing of it is unknown: it waits as before."""
        try:
            return build_batch(claim.entries)
        except BaseException:
            waits = [
                Settlement(DeliveryState.PENDING, batch_max=claimed.was.batch_max)
                for claimed in claim.entries
            ]
            self.log.outbox.settle(claim, waits)
            raise

    def _recover_unsettled(self) -> None:
        """What a step claimed and could not settle is unknown: its entries would be in flight for as long as this lives."""
        with self._guard:
            batches = sorted(self._unsettled)
        for batch in batches:
            recovered = self.log.outbox.recover(batch)
            with self._guard:
                self._unsettled.discard(batch)
            if recovered:
                self._hooks.emit(InflightRecovered(recovered))

    def _attempt(self, claim: Claim, batch: Batch, deadline_ns: int | None) -> Judgement:
        if self._clock.wall_ms() - claim.started_ms > _JOURNAL_STALE_MS:
            self.log.outbox.journal_again(claim)
        within_seconds = None
        if deadline_ns is not None:
            within_seconds = max(0.001, (deadline_ns - self._clock.monotonic_ns()) / 1e9)
        try:
            answer = self._upload(batch.body, within_seconds)
        except ClientClosedError as error:
            return judge_failure(batch, NotSentError(error.message, error.hint))
        except ApiError as error:
            return judge_failure(batch, error)
        except ConfigurationError as error:  # no write key: nothing was sent
            refused = judge_failure(batch, ApiError(error.message, error.hint))
            outcomes = tuple(attrs.evolve(outcome, fate=Fate.NOT_ACCEPTED) for outcome in refused.outcomes)
            return Judgement(outcomes, Turn.LOCKED_OUT, error.message, error.hint or "")
        return judge_answer(batch, answer)

    def _upload(self, body: bytes, within_seconds: float | None) -> Response:
        with self._guard:
            if self._is_closed:
                raise ClientClosedError("the client was closed; nothing was sent", "make a new client")
            self._uploading += 1
        try:
            return self._uploader.upload(body, within_seconds)
        finally:
            with self._guard:
                self._uploading -= 1

    def _settle(self, claim: Claim, batch: Batch, judgement: Judgement) -> Step:
        now_ms = self._clock.wall_ms()
        accepted_batch = self.log.state.counter("accepted_batch")
        weight = self._hindrance.weigh(claim, judgement, accepted_batch)
        decision = self._policy.decide(
            claim.entries,
            judgement,
            now_ms=now_ms,
            failures=weight.failures,
            accepted_batch=accepted_batch,
            is_wall=weight.is_wall,
        )
        self.log.outbox.settle(claim, decision.settlements, self._attempted_ms(judgement, now_ms))
        signal = self._hindrance.note_wait(claim.batch, judgement, weight, decision.wait_seconds)
        if signal is not None:
            self._hooks.emit(signal)
        self._note_waiting(self.pause)
        accepted = sum(outcome.fate is Fate.ACCEPTED for outcome in judgement.outcomes)
        rejected = self._tell(claim, batch, judgement, accepted)
        turn = Turn.REFUSED if weight.is_wall else judgement.turn
        return Step(StepKind.SENT, accepted, rejected, claim.is_full, turn)

    def _attempted_ms(self, judgement: Judgement, now_ms: int) -> int:
        """When the attempt was: by the server, where this machine's clock is known to be behind.

        What is sent by a clock that is behind would seem to rest for longer
        than it does, once that is put right.
        """
        with self._guard:
            if judgement.server_ms is not None:
                ahead_ms = judgement.server_ms - now_ms
                if ahead_ms <= _CLOCK_BEHIND_MAX_MS or now_ms < _CLOCK_UNSET_BEFORE_MS:
                    self._server_ahead_ms = ahead_ms
            return now_ms + self._server_ahead_ms if self._server_ahead_ms > _CLOCK_BEHIND_MS else now_ms

    def _note_waiting(self, pause: Pause | None) -> None:
        """Keep for whoever asks the log why delivery waits; written only when that is another reason than before."""
        reason = None if pause is None else pause.reason
        with self._guard:
            if reason == self._noted_reason:
                return
            self._noted_reason = reason
        waiting = None
        if pause is not None:
            waiting = Waiting(self._clock.wall_ms(), pause.reason, pause.hint)
        with suppress(
            EventLogError, ClientClosedError
        ):  # the batch is settled, whether this can be told or not
            note_waiting(self.log.state, waiting)

    def _tell(self, claim: Claim, batch: Batch, judgement: Judgement, accepted: int) -> int:
        if accepted:
            elapsed = (self._clock.wall_ms() - claim.started_ms) / MS_PER_SECOND
            self._hooks.emit(BatchAcknowledged(accepted, elapsed))
        unknown = sum(outcome.fate is Fate.UNKNOWN for outcome in judgement.outcomes)
        if unknown:
            named = next((o.name for o in judgement.outcomes if o.fate is Fate.UNKNOWN and o.name), "")
            self._hooks.emit(OutcomeUnknown(unknown, judgement.reason or named))
        rejected = 0
        for collection, indices in batch.layout.items():
            refused = [judgement.outcomes[i] for i in indices if judgement.outcomes[i].fate is Fate.REFUSED]
            for name in sorted({outcome.name for outcome in refused}):
                count = sum(outcome.name == name for outcome in refused)
                rejected += count
                self._hooks.emit(EventsRejected(collection, name, count))
        return rejected

    def _tend(self) -> None:
        now_ns = self._clock.monotonic_ns()
        with self._guard:
            if now_ns < self._next_tend_ns:
                return
            self._next_tend_ns = now_ns + int(_TEND_SECONDS * 1e9)
        for horizon in self.log.tend():
            self._hooks.emit(HorizonNear(horizon.unsent + horizon.unverified, round(horizon.days, 1)))
        self._tell_unreadable()

    def _tell_unreadable(self) -> None:
        found = {segment.name.file: segment for segment in self.log.outbox.unreadable()}
        with self._guard:
            fresh = found.keys() - self._told_unreadable
            self._told_unreadable = frozenset(found)
        for file in sorted(fresh):
            self._hooks.emit(SegmentUnreadable(file, found[file].reason))
