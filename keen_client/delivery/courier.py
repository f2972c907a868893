"""The courier: the sender's threads, its elections, and draining the log in time.

No thread at import or construction: the first comes with the first event. The
threads are daemons; exit needs no flush, since what is not sent lies in the log.
"""

from __future__ import annotations

import os
import threading
from typing import Final

import attrs

from keen_client._foundation.clock import MS_PER_SECOND, Clock
from keen_client.delivery.outcome import Turn
from keen_client.delivery.sender import Sender, Step, StepKind
from keen_client.errors import KeenError
from keen_client.observability.hooks import HookSet
from keen_client.observability.signals import SenderFailed

#: How often a courier that is not the elected sender looks whether the place is free.
_ELECTION_SECONDS: Final = 1.0
#: The longest nap of an idle sender: entries of other processes give no sign.
_IDLE_SECONDS: Final = 1.0
#: Attempts in a row that brought nothing, after which draining without a time limit gives up.
_FRUITLESS_MAX: Final = 5


@attrs.frozen
class FlushReport:
    """What a flush did, in events.

    ``acknowledged`` and ``rejected`` by this log's sender during the call;
    ``pending`` and ``unknown`` are what is left in the log: nothing of it is
    lost. ``reason`` says why something is left, empty when nothing is.
    """

    acknowledged: int
    rejected: int
    pending: int
    unknown: int
    reason: str = ""

    @property
    def is_drained(self) -> bool:
        """Whether nothing is left to be sent or settled."""
        return self.pending == 0 and self.unknown == 0


class Courier:
    """Runs a :class:`Sender`: in the background, or in the caller's thread while it flushes. Thread-safe."""

    def __init__(self, sender: Sender, clock: Clock, hooks: HookSet, *, background: bool) -> None:
        self._sender = sender
        self._clock = clock
        self._hooks = hooks
        self._background = background
        self._closed = False
        self._forget()

    def _forget(self) -> None:
        self._pid = os.getpid()
        self._guard = threading.Lock()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._idle = threading.Condition()
        self._lanes: list[threading.Thread] = []
        self._urgent = 0
        self._steps = 0

    def notify(self) -> None:
        """Say that an event was recorded: starts the background thread when it is first needed."""
        if not self._background or self._closed:
            return
        self._mind_fork()
        if not self._lanes:
            self._start_lane()
        if not self._wake.is_set():
            self._wake.set()

    def close(self, timeout_seconds: float) -> None:
        """Stop, waiting at most *timeout_seconds* for what is due and for requests in flight."""
        self._mind_fork()
        if self._closed:
            return
        deadline_ns = self._clock.monotonic_ns() + int(timeout_seconds * 1e9)
        if self._background and self._lanes and timeout_seconds > 0:
            self.flush(timeout_seconds)
        self._closed = True
        self._stop.set()
        self._wake.set()
        for lane in self._lanes:
            lane.join(max(0.0, (deadline_ns - self._clock.monotonic_ns()) / 1e9))
        if not any(lane.is_alive() for lane in self._lanes):
            self._sender.release()

    # ---- flushing -----------------------------------------------------------------------

    def flush(self, timeout_seconds: float | None = None) -> FlushReport:
        """Send what lies in the log now, and report. Whoever is the elected sender does it; this waits for it.

        Without a time limit it ends when nothing is left that can be sent, or
        when five attempts in a row brought nothing.

        Raises:
            EventLogError: the log's own disk failed.
        """
        self._mind_fork()
        state = self._sender.log.state
        acknowledged, rejected = state.counter("acknowledged"), state.counter("rejected")
        deadline_ns = (
            None if timeout_seconds is None else self._clock.monotonic_ns() + int(timeout_seconds * 1e9)
        )
        self._sender.forget_pause()
        if self._background and not self._closed:
            self.notify()
        self._urgent += 1
        try:
            self._drain(deadline_ns)
        finally:
            self._urgent -= 1
        backlog = self._sender.log.outbox.backlog()
        pause = self._sender.pause
        left = backlog.unsent
        return FlushReport(
            acknowledged=state.counter("acknowledged") - acknowledged,
            rejected=state.counter("rejected") - rejected,
            pending=backlog.pending + backlog.inflight + backlog.replay,
            unknown=backlog.unknown,
            reason=(pause.reason if pause is not None else "") if left else "",
        )

    def _drain(self, deadline_ns: int | None) -> None:
        fruitless = 0
        while deadline_ns is None or self._clock.monotonic_ns() < deadline_ns:
            if self._has_lane():
                if self._is_drained():
                    return
                pause = self._sender.pause
                if (
                    deadline_ns is None
                    and pause is not None
                    and pause.turn in (Turn.REFUSED, Turn.LOCKED_OUT)
                ):
                    return
                if deadline_ns is None and self._sender.failures >= _FRUITLESS_MAX:
                    return
                self._nap(0.02, deadline_ns)
                continue
            if not self._sender.acquire():  # another process sends
                if self._is_drained():
                    return
                self._nap(0.05, deadline_ns)
                continue
            step = self._step_here()
            if step.kind is StepKind.IDLE:
                if not self._wait_for_due(deadline_ns):
                    return
            elif step.kind is StepKind.WAITING:
                if deadline_ns is None and step.turn in (Turn.REFUSED, Turn.LOCKED_OUT):
                    return
                self._nap(self._pause_seconds(), deadline_ns)
            else:
                fruitless = 0 if step.accepted or step.rejected or step.turn is Turn.SPLIT else fruitless + 1
                if deadline_ns is None and fruitless >= _FRUITLESS_MAX:
                    return

    def _step_here(self) -> Step:
        """One step in the caller's thread; the lock stays with this process until close."""
        return self._sender.step()

    def _wait_for_due(self, deadline_ns: int | None) -> bool:
        """Wait for the next entry that is due later; False when there is none worth waiting for."""
        due_ms = self._sender.log.outbox.next_due_ms(self._sender.resend_unknown_since_ms())
        if due_ms is None:
            return False
        wait_seconds = max(0.0, (due_ms - self._clock.wall_ms()) / MS_PER_SECOND)
        limit = self._sender.config.backoff_max_seconds * 2
        if deadline_ns is None and wait_seconds > limit:
            return False
        self._nap(wait_seconds, deadline_ns)
        return True

    def _is_drained(self) -> bool:
        """Whether nothing is left that a sender would send by itself."""
        outbox = self._sender.log.outbox
        backlog = outbox.backlog()
        if backlog.pending or backlog.inflight or backlog.replay:
            return False
        return outbox.next_due_ms(self._sender.resend_unknown_since_ms()) is None

    def _nap(self, seconds: float, deadline_ns: int | None) -> None:
        if deadline_ns is not None:
            seconds = min(seconds, (deadline_ns - self._clock.monotonic_ns()) / 1e9)
        if seconds > 0:
            self._clock.sleep(seconds)

    # ---- the background -----------------------------------------------------------------

    def _has_lane(self) -> bool:
        return any(lane.is_alive() for lane in self._lanes)

    def _start_lane(self) -> None:
        with self._guard:
            if self._stop.is_set() or len(self._lanes) >= self._sender.config.requests_max:
                return
            is_first = not self._lanes
            lane = threading.Thread(
                target=self._run_first if is_first else self._run_more,
                name=f"keen-client-sender-{len(self._lanes)}",
                daemon=True,
            )
            self._lanes.append(lane)
            try:
                lane.start()
            except RuntimeError:  # the interpreter is shutting down: the events are safe in the log
                self._lanes.remove(lane)

    def _run_first(self) -> None:
        stop, wake = self._stop, self._wake
        while not stop.is_set():
            try:
                nap_seconds = self._round()
            except KeenError as error:
                self._hooks.emit(SenderFailed(f"{type(error).__name__}: {error.message}"))
                nap_seconds = self._sender.config.backoff_max_seconds / 10
            except Exception as error:  # noqa: BLE001 — the thread must outlive what it cannot name
                self._hooks.emit(SenderFailed(type(error).__name__))
                nap_seconds = self._sender.config.backoff_max_seconds / 10
            if nap_seconds > 0 and not stop.is_set():
                woken = self._clock.wait(wake, nap_seconds)
                wake.clear()
                if woken and not self._urgent and not stop.is_set():
                    self._clock.wait(stop, self._sender.config.linger_seconds)

    def _round(self) -> float:
        """One step of the first lane; how long to nap after it."""
        if not self._sender.acquire():
            return _ELECTION_SECONDS
        step = self._sender.step()
        if step.kind is StepKind.WAITING:
            if step.turn is Turn.LOCKED_OUT:
                self._sender.release()  # another process may have better keys
            return min(self._pause_seconds(), _IDLE_SECONDS)
        if step.kind is StepKind.SENT:
            if step.is_full and step.turn is Turn.GO_ON:
                self._start_lane()
            return 0.0
        due_ms = self._sender.log.outbox.next_due_ms(self._sender.resend_unknown_since_ms())
        if due_ms is None:
            return _IDLE_SECONDS
        return min(_IDLE_SECONDS, max(0.01, (due_ms - self._clock.wall_ms()) / MS_PER_SECOND))

    def _run_more(self) -> None:
        """A further lane: it helps while batches are full, and ends when they are not."""
        try:
            while not self._stop.is_set() and self._sender.holds_lock:
                step = self._sender.step()
                if step.kind is not StepKind.SENT or not step.is_full or step.turn is not Turn.GO_ON:
                    break
        except Exception as error:  # noqa: BLE001 — the first lane goes on and meets it again
            self._hooks.emit(SenderFailed(type(error).__name__))
        finally:
            with self._guard:
                current = threading.current_thread()
                self._lanes = [lane for lane in self._lanes if lane is not current]

    def _pause_seconds(self) -> float:
        pause = self._sender.pause
        if pause is None:
            return 0.0
        return max(0.0, (pause.until_ns - self._clock.monotonic_ns()) / 1e9)

    def _mind_fork(self) -> None:
        if self._pid != os.getpid():
            self._sender.after_fork()
            self._sender.log.after_fork()
            self._forget()
