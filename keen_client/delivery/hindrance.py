"""What stands in the way of sending: a pause, attempts that bring nothing, a wall. No I/O."""

from __future__ import annotations

import threading
from typing import Final

import attrs

from keen_client._foundation.clock import Clock
from keen_client.delivery.outcome import Fate, Judgement, Turn
from keen_client.eventlog.outbox import Claim
from keen_client.observability.signals import DeliveryPaused, DeliveryResumed, Signal

#: So many different events refused alone, and nothing accepted since: it is not they that are refused.
WALL_EVENTS: Final = 5

_WALL_HINT: Final = (
    "event after event is refused and nothing is accepted: check the base URL, the project and any proxy in"
    " between; no event is given up before another one is accepted"
)


@attrs.frozen
class Pause:
    """Why the sender as a whole waits, and until when (monotonic nanoseconds).

    Batches up to ``since_batch`` had left before: what is answered to them does not end it.
    """

    reason: str
    hint: str
    turn: Turn
    until_ns: int
    since_batch: int


@attrs.frozen
class Weight:
    """What an attempt adds: ``failures`` in a row after which the sender has to wait, and whether a wall stands."""

    failures: int
    is_wall: bool


class Hindrance:
    """Keeps what the attempts of one sender show. Thread-safe: they overlap, and end in any order."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pause: Pause | None = None
        self._failures = 0
        self._fruitless = 0
        self._said = ""
        self._latest_batch = 0
        #: Events that were refused alone, by the batch in which that was.
        self._refused_alone: dict[str, int] = {}
        self.after_fork()

    def after_fork(self) -> None:
        """Forget a lock that another thread held at the fork."""
        self._guard = threading.Lock()

    @property
    def pause(self) -> Pause | None:
        """Why nothing is sent at the moment; None when nothing hinders."""
        with self._guard:
            return self._pause

    @property
    def fruitless(self) -> int:
        """Attempts in a row that brought nothing: no event was accepted, none refused for good, no batch halved."""
        with self._guard:
            return self._fruitless

    @property
    def said(self) -> str:
        """What was answered to the last attempt that brought nothing, for people; it may be empty."""
        with self._guard:
            return self._said

    @property
    def is_wall(self) -> bool:
        """Whether event after event was refused alone, and nothing was accepted since."""
        with self._guard:
            return self._stands()

    def forget(self) -> None:
        """Try again now, whatever the last answers were. What they prove of a wall stays proven."""
        with self._guard:
            self._pause = None
            self._failures = self._fruitless = 0

    def note_claim(self, batch: int) -> None:
        """*batch* is about to leave."""
        with self._guard:
            self._latest_batch = max(self._latest_batch, batch)

    def weigh(self, claim: Claim, judgement: Judgement, accepted_batch: int) -> Weight:
        """Add one attempt; *accepted_batch* is the latest batch of which the server accepted anything."""
        fates = {outcome.fate for outcome in judgement.outcomes}
        is_split = judgement.turn is Turn.SPLIT
        is_alone = len(claim.entries) == 1
        with self._guard:
            if Fate.ACCEPTED in fates:  # it disproves what was refused before it left, and no more
                self._refused_alone = {i: b for i, b in self._refused_alone.items() if b > claim.batch}
            was = claim.entries[0].was
            if is_split and is_alone and not 0 < was.refused_batch < accepted_batch and not self._stands():
                self._refused_alone[str(claim.entries[0].stamped.entry.id)] = claim.batch
            is_wall = is_split and self._stands()
            if fates & {Fate.ACCEPTED, Fate.REFUSED}:
                self._fruitless = 0
            elif not is_split or is_alone or is_wall:
                self._fruitless += 1
                named = (outcome.name for outcome in judgement.outcomes if outcome.name)
                self._said = judgement.reason or next(named, "")
            if is_wall or judgement.turn not in (Turn.GO_ON, Turn.SPLIT):
                self._failures += 1
            elif self._pause is None or claim.batch > self._pause.since_batch:
                self._failures = 0
            return Weight(self._failures, is_wall)

    def note_wait(
        self, batch: int, judgement: Judgement, weight: Weight, wait_seconds: float
    ) -> Signal | None:
        """After *batch* was answered: begin a pause, or end one; the signal that says so.

        A batch that had left before a pause began neither ends nor shortens it.
        """
        now_ns = self._clock.monotonic_ns()
        until_ns = now_ns + int(wait_seconds * 1e9)
        with self._guard:
            former = self._pause
            if former is not None and batch <= former.since_batch and until_ns <= former.until_ns:
                return None
            if wait_seconds > 0:
                turn, hint = (
                    (Turn.REFUSED, _WALL_HINT) if weight.is_wall else (judgement.turn, judgement.hint)
                )
                self._pause = Pause(judgement.reason, hint, turn, until_ns, self._latest_batch)
                return DeliveryPaused(judgement.reason, hint, round(wait_seconds, 3))
            self._pause = None
            return None if former is None else DeliveryResumed()

    def _stands(self) -> bool:
        return len(self._refused_alone) >= WALL_EVENTS
