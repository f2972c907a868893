"""The courier: the sender's threads, its elections, and draining the log in time.

No thread at import or construction: the first comes with the first event. The
threads are daemons; exit needs no flush, since what is not sent lies in the log.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable
from typing import Final

import attrs

from keen_client._foundation.clock import MS_PER_SECOND, Clock
from keen_client.delivery.outcome import Turn
from keen_client.delivery.prefork import is_before_fork_in_c
from keen_client.delivery.sender import Sender, StepKind
from keen_client.errors import ConfigurationError, KeenError
from keen_client.eventlog.outbox import Backlog
from keen_client.eventlog.unreadable import reason_of
from keen_client.observability.hooks import HookSet
from keen_client.observability.signals import SenderFailed

#: How often a courier that is not the elected sender looks whether the place is free.
_ELECTION_SECONDS: Final = 1.0
#: The longest nap of an idle sender: entries of other processes give no sign.
_IDLE_SECONDS: Final = 1.0
#: How long a flush without a time limit waits for another sender under whose hands nothing moves.
_OTHER_SENDER_SECONDS: Final = 60.0
#: How long a nap lasts at most before it is looked whether the client was closed.
_NAP_SECONDS: Final = 0.25
#: How long a closing client waits for what has been claimed to be settled: the log's own disk.
_SETTLE_SECONDS: Final = 1.0
#: Attempts in a row that brought nothing, after which draining without a time limit gives up.
_FRUITLESS_MAX: Final = 5


@attrs.frozen
class FlushReport:
    """What a flush did, in events.

    ``acknowledged`` and ``rejected`` by this log's sender during the call;
    ``pending`` and ``unknown`` are what is left in the log: nothing of it is
    lost. ``unreadable``: segments that cannot be read or are gone, so that
    nobody knows what is left there. ``reason`` says why something is left,
    empty when nothing is.
    """

    acknowledged: int
    rejected: int
    pending: int
    unknown: int
    reason: str = ""
    unreadable: int = 0

    @property
    def is_drained(self) -> bool:
        """Whether nothing is left to be sent or settled, as is known of every segment."""
        return self.pending == 0 and self.unknown == 0 and self.unreadable == 0


@attrs.frozen
class _Trouble:
    """Why the first lane's last round failed, and how many in a row did."""

    reason: str
    times: int


class _Stillness:
    """Whether a backlog that somebody else works on has not changed for long."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.end()

    def end(self) -> None:
        """Something moves."""
        self._seen: Backlog | None = None
        self._since_ns = 0

    def lasts(self, backlog: Backlog) -> bool:
        """Whether it was this very one for a minute."""
        now_ns = self._clock.monotonic_ns()
        if backlog != self._seen:
            self._seen, self._since_ns = backlog, now_ns
        return now_ns - self._since_ns >= _OTHER_SENDER_SECONDS * 1e9


class Courier:
    """Runs a :class:`Sender`: in the background, or in the caller's thread while it flushes. Thread-safe."""

    def __init__(self, sender: Sender, clock: Clock, hooks: HookSet, *, background: bool) -> None:
        self._sender = sender
        self._clock = clock
        self._hooks = hooks
        self._background = background
        self._closed = False
        self._is_forsaken = False
        self._leave: Callable[[], None] | None = None
        self._forget()

    def _forget(self) -> None:
        self._pid = os.getpid()
        self._guard = threading.RLock()  # a handler that it interrupts may record, or close
        self._wake = threading.Event()
        self._ringing: set[int] = set()
        self._stop = threading.Event()
        self._idle = threading.Condition()
        self._first: threading.Thread | None = None
        self._lanes: list[threading.Thread] = []
        self._urgent = 0
        self._trouble: _Trouble | None = None

    def adopt(self, leave: Callable[[], None]) -> None:
        """Have *leave* called, by the first lane, once nobody holds the client any more; until then the lane holds its owner."""
        self._leave = leave

    def forsake(self) -> None:
        """Say that nobody holds the client any more. Takes no lock: the garbage collector calls it, anywhere."""
        self._is_forsaken = True

    def notify(self) -> None:
        """Say that an event was recorded: starts the background thread when it is first needed."""
        if not self._background or self._closed:
            return
        self._mind_fork()
        if (self._first is None or not self._first.is_alive()) and not is_before_fork_in_c():
            self._start_first()
        if not self._wake.is_set():
            self._ring()

    def _ring(self) -> None:
        """Wake the first lane. An event's own lock is not for a handler that interrupts the thread which sets it."""
        thread = threading.get_ident()
        if thread in self._ringing:
            return  # that thread is about to
        try:
            self._ringing.add(thread)
            self._wake.set()
        finally:
            self._ringing.discard(thread)

    def close(self, timeout_seconds: float) -> None:
        """Stop, waiting at most *timeout_seconds* for what is due and for requests in flight.

        It has stopped also where an error is raised.
        """
        self._mind_fork()
        if self._closed:
            return
        deadline_ns = self._deadline_ns(timeout_seconds)
        try:
            if self._background and self._lanes and timeout_seconds > 0:
                self.flush(timeout_seconds)
        finally:
            self._closed = True
            self._stop.set()
            self._ring()
            try:
                self._sender.close()
            finally:
                for lane in list(self._lanes):
                    # Not one that a handler's close interrupts at its start, nor that of a hook which closes.
                    if lane.is_alive() and lane is not threading.current_thread():
                        lane.join(self._seconds_left(deadline_ns))

    def settle(self, timeout_seconds: float) -> None:
        """After :meth:`close`, and before the log is closed: have what was claimed settled, and every flush ended.

        What waits for the server gets *timeout_seconds*, and is unknown after
        them; what only the disk holds up, a second at least.
        """
        began_ns = self._clock.monotonic_ns()
        while self._sender.is_stepping or self._urgent:
            passed_seconds = (self._clock.monotonic_ns() - began_ns) / 1e9
            if passed_seconds >= (_SETTLE_SECONDS if self._sender.is_settling else timeout_seconds):
                return
            self._clock.sleep(0.005)

    def _deadline_ns(self, timeout_seconds: float | None) -> int | None:
        """When so many seconds are over; None: never.

        Raises:
            ConfigurationError: it is no number; nothing was sent.
        """
        if timeout_seconds is not None and math.isnan(timeout_seconds):
            raise ConfigurationError(
                "a timeout is a number of seconds; nothing was sent", "leave it out for none"
            )
        if timeout_seconds is None or timeout_seconds > threading.TIMEOUT_MAX:
            return None
        return self._clock.monotonic_ns() + int(timeout_seconds * 1e9)

    def _seconds_left(self, deadline_ns: int | None) -> float | None:
        return None if deadline_ns is None else max(0.0, (deadline_ns - self._clock.monotonic_ns()) / 1e9)

    # ---- flushing -----------------------------------------------------------------------

    def flush(self, timeout_seconds: float | None = None) -> FlushReport:
        """Send what lies in the log now, and report. Whoever is the elected sender does it; this waits for it.

        Without a time limit it ends when nothing is left that can be sent soon,
        when five attempts in a row brought nothing or failed at the log itself,
        or when another sender moved nothing for a minute. Where no background
        thread sends, the requests are made here, and none outlasts the time
        limit: what it brought to the server is unknown then. After a first one none is begun for which less
        time is left than the last one took.

        Raises:
            ClientClosedError: the client was closed meanwhile, before it could be reported what is left.
            EventLogError: the log's own disk failed. Under the hands of the background thread, which goes on
                trying, it is the report's ``reason``.
        """
        self._mind_fork()
        state = self._sender.log.state
        acknowledged, rejected = state.counter("acknowledged"), state.counter("rejected")
        deadline_ns = self._deadline_ns(timeout_seconds)
        self._sender.forget_pause()
        self._trouble = None
        was_elected = self._sender.holds_lock
        if self._background and not self._closed:
            self.notify()
        with self._guard:
            self._urgent += 1
        try:
            reason = self._drain(deadline_ns)
        finally:
            with self._guard:
                self._urgent -= 1
            if not self._background and not was_elected and not self._urgent:
                self._sender.release()  # who sends now and then must not keep others from sending
        backlog = self._sender.log.outbox.backlog()
        pause = self._sender.pause
        if pause is not None:
            reason = pause.reason
        left, unreadable = backlog.unsent, backlog.unreadable
        if not reason and left > backlog.unknown and not unreadable:
            unreadable = self._sender.log.outbox.unreadable(thorough=True)
        if not reason:
            reason = reason_of(unreadable)
        if left and not reason:
            reason = self._why_left(backlog)
        return FlushReport(
            acknowledged=state.counter("acknowledged") - acknowledged,
            rejected=state.counter("rejected") - rejected,
            pending=backlog.pending + backlog.inflight + backlog.replay,
            unknown=backlog.unknown,
            reason=reason if left or unreadable else "",
            unreadable=len(unreadable),
        )

    def _drain(self, deadline_ns: int | None) -> str:
        """Have sent what can be; why not more, as far as no pause tells."""
        took_ns = 0
        stillness, under_way = _Stillness(self._clock), _Stillness(self._clock)
        while deadline_ns is None or self._clock.monotonic_ns() < deadline_ns:
            if self._sender.is_closed:
                return "the client was closed"
            is_sent_elsewhere = self._has_lane() or not self._sender.acquire()
            if is_sent_elsewhere:
                if self._is_drained(deadline_ns):
                    return ""
                reason = self._futility(stillness)
                if reason is not None and deadline_ns is None:
                    return reason
                self._nap(0.02, deadline_ns)
                continue
            stillness.end()
            began_ns = self._clock.monotonic_ns()
            if self._would_cut_off(deadline_ns, took_ns):
                break
            step = self._sender.step(deadline_ns)
            if step.kind is StepKind.IDLE:
                if self._wait_for_due(deadline_ns):
                    continue
                # Another thread of this sender may have the last of it under way.
                backlog = self._sender.log.outbox.backlog()
                if not backlog.inflight:
                    return ""
                if under_way.lasts(backlog):
                    return "a request is under way, and did not end for a minute"
                self._nap(0.02, deadline_ns)
            elif step.kind is StepKind.WAITING:
                if deadline_ns is None and step.turn in (Turn.REFUSED, Turn.LOCKED_OUT):
                    return ""
                self._nap(self._pause_seconds(), deadline_ns)
            else:
                took_ns = self._clock.monotonic_ns() - began_ns
                if deadline_ns is None and self._sender.fruitless >= _FRUITLESS_MAX:
                    return self._said()
        return "the time was up" if self._trouble is None else self._trouble.reason

    def _futility(self, stillness: _Stillness) -> str | None:
        """Why nothing is to be hoped for from whoever sends, as far as no pause tells; None while something is."""
        trouble = self._trouble
        if self._sender.holds_lock or trouble is not None:
            stillness.end()
        elif stillness.lasts(self._sender.log.outbox.backlog()):
            return "another process is this log's sender, and nothing moved for a minute"
        if trouble is not None and trouble.times >= _FRUITLESS_MAX:
            return trouble.reason
        pause = self._sender.pause
        if pause is not None and pause.turn in (Turn.REFUSED, Turn.LOCKED_OUT):
            return pause.reason
        return self._said() if self._sender.fruitless >= _FRUITLESS_MAX else None

    def _said(self) -> str:
        said = self._sender.said
        return f"{_FRUITLESS_MAX} attempts in a row brought nothing" + (f": {said}" if said else "")

    def _why_left(self, backlog: Backlog) -> str:
        """Why something is left though neither the time, a pause nor a failure hinders."""
        if backlog.unsent == backlog.unknown and self._due_seconds() is None:  # only a proof helps
            return (
                f"it is not known whether the server has {backlog.unknown:,} events;"
                " a query settles that: verify, or run the nightly job"
            )
        due_seconds = self._due_seconds()
        if due_seconds:
            return f"the next attempt at what is left is due in {due_seconds:,.0f} s"
        return "it was recorded, or became due, while the flush ended"

    def _would_cut_off(self, deadline_ns: int | None, took_ns: int) -> bool:
        """Whether a request as long as the last would have to be cut off: only a query could tell what became of it."""
        if deadline_ns is None or deadline_ns - self._clock.monotonic_ns() >= took_ns:
            return False
        return not self._is_drained(deadline_ns)

    def _due_seconds(self) -> float | None:
        """In how many seconds the next entry that waits is due; None when none waits for a time."""
        due_ms = self._sender.log.outbox.next_due_ms(self._sender.resend_unknown_since_ms())
        return None if due_ms is None else max(0.0, (due_ms - self._clock.wall_ms()) / MS_PER_SECOND)

    def _limit_seconds(self) -> float:
        """How long who has no time limit waits for what is due later."""
        return self._sender.config.backoff_max_seconds * 2

    def _wait_for_due(self, deadline_ns: int | None) -> bool:
        """Wait for the next entry that is due later; False when there is none worth waiting for."""
        due_seconds = self._due_seconds()
        if due_seconds is None or (deadline_ns is None and due_seconds > self._limit_seconds()):
            return False
        self._nap(max(0.01, due_seconds), deadline_ns)
        return True

    def _is_drained(self, deadline_ns: int | None) -> bool:
        """Whether nothing is left that a sender would send by itself; without a time limit: that is worth waiting for."""
        outbox, state = self._sender.log.outbox, self._sender.log.state
        batches = state.counter("batches")
        backlog, since_ms = outbox.backlog(), self._sender.resend_unknown_since_ms()
        if backlog.pending or backlog.inflight or backlog.replay:
            limit_ms = int(self._limit_seconds() * MS_PER_SECOND)
            until_ms = self._clock.wall_ms() + limit_ms if deadline_ns is None else None
            is_drained = outbox.is_at_rest(since_ms, until_ms)
        else:
            is_drained = outbox.next_due_ms(since_ms) is None
        # What was claimed between the two looks, neither has seen.
        return is_drained and state.counter("batches") == batches

    def _nap(self, seconds: float, deadline_ns: int | None) -> None:
        if deadline_ns is not None:
            seconds = min(seconds, (deadline_ns - self._clock.monotonic_ns()) / 1e9)
        while seconds > 0 and not self._sender.is_closed:
            self._clock.sleep(min(seconds, _NAP_SECONDS))
            seconds -= _NAP_SECONDS

    # ---- the background -----------------------------------------------------------------

    def _has_lane(self) -> bool:
        return any(lane.is_alive() for lane in self._lanes)

    def _start_first(self) -> None:
        with self._guard:
            if self._stop.is_set() or (self._first is not None and self._first.is_alive()):
                return
            self._lanes = [lane for lane in self._lanes if lane.is_alive()]
            self._first = self._start(self._run_first, 0)

    def _start_lane(self) -> None:
        with self._guard:
            if not self._stop.is_set() and len(self._lanes) < self._sender.config.requests_max:
                self._start(self._run_more, len(self._lanes))

    def _start(self, run: Callable[[], None], number: int) -> threading.Thread | None:
        lane = threading.Thread(target=run, name=f"keen-client-sender-{number}", daemon=True)
        self._lanes.append(lane)
        try:
            lane.start()
        except RuntimeError:  # the interpreter is shutting down: the events are safe in the log
            self._lanes.remove(lane)
            return None
        return lane

    def _run_first(self) -> None:
        try:
            self._run_rounds()
        finally:
            try:
                self._sender.release()  # it may have been elected between close and its own end
            except KeenError as error:  # the log is gone, and its lock with it
                self._tell_failure(f"{type(error).__name__}: {error.message}")

    def _run_rounds(self) -> None:
        stop, wake = self._stop, self._wake
        while not stop.is_set():
            if self._is_forsaken and self._leave is not None:
                leave, self._leave = self._leave, None
                leave()
            try:
                nap_seconds = self._round()
                self._trouble = None
            except KeenError as error:
                self._tell_failure(f"{type(error).__name__}: {error.message}")
                nap_seconds = self._note_trouble(
                    f"{error.message} ({error.hint})" if error.hint else error.message
                )
            except Exception as error:  # noqa: BLE001 — the thread must outlive what it cannot name
                self._tell_failure(type(error).__name__)
                nap_seconds = self._note_trouble(f"the sender failed ({type(error).__name__})")
            if nap_seconds > 0 and not stop.is_set():
                woken = self._clock.wait(wake, nap_seconds)
                wake.clear()
                if woken and not self._urgent and not stop.is_set():
                    self._clock.wait(stop, self._sender.config.linger_seconds)

    def _note_trouble(self, reason: str) -> float:
        """Keep why the round failed, for who waits for it; how long to nap: not as long while somebody does."""
        former = self._trouble
        self._trouble = _Trouble(reason, 1 if former is None else former.times + 1)
        nap_seconds = self._sender.config.backoff_max_seconds / 10
        return min(nap_seconds, _IDLE_SECONDS) if self._urgent else nap_seconds

    def _tell_failure(self, error: str) -> None:
        if not self._stop.is_set():  # what ends under a closing client is no failure: the log has it
            self._hooks.emit(SenderFailed(error))

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
        due_seconds = self._due_seconds()
        return _IDLE_SECONDS if due_seconds is None else min(_IDLE_SECONDS, max(0.01, due_seconds))

    def _run_more(self) -> None:
        """A further lane: it helps while batches are full, and ends when they are not."""
        try:
            while not self._stop.is_set() and self._sender.holds_lock:
                step = self._sender.step()
                if step.kind is not StepKind.SENT or not step.is_full or step.turn is not Turn.GO_ON:
                    break
        except Exception as error:  # noqa: BLE001 — the first lane goes on and meets it again
            self._tell_failure(type(error).__name__)
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
