"""Policy: from a judgement to what each entry's delivery state becomes, and when to try again. Pure.

Waits come from the ``backoff`` package's exponential generator, with full
jitter drawn from the source of chance given; nothing here sleeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_SECOND
from keen_client._foundation.randomness import Randomness
from keen_client.delivery.config import TOKEN_TRUST_DAYS, DeliveryConfig
from keen_client.delivery.outcome import Fate, Judgement, Outcome, Turn
from keen_client.eventlog.entry import DeliveryState
from keen_client.eventlog.outbox import HELD_MAX_MS, Claimed, Settlement
from keen_client.transport.retry import RetryPolicy

#: A server's Retry-After is honoured up to this many seconds.
RETRY_AFTER_MAX_SECONDS: Final = 300.0

_ACKNOWLEDGED: Final = Settlement(DeliveryState.ACKNOWLEDGED)


@attrs.frozen
class Decision:
    """A settlement for each entry, and how long the sender as a whole waits before its next request."""

    settlements: tuple[Settlement, ...]
    wait_seconds: float


class Policy:
    """Turns judgements into decisions."""

    def __init__(self, config: DeliveryConfig, randomness: Randomness) -> None:
        self._config = config
        self._randomness = randomness
        self._waits = RetryPolicy(
            base_seconds=config.backoff_first_seconds, backoff_seconds_max=config.backoff_max_seconds
        )

    def resend_unknown_since_ms(self, now_ms: int, *, tokens_honoured: bool) -> int | None:
        """From which first attempt on unknown entries may be resent without asking; None: not at all."""
        if self._config.unknown == "resend":
            return 0
        if self._config.unknown == "auto" and tokens_honoured:
            return now_ms - TOKEN_TRUST_DAYS * MS_PER_DAY
        return None

    def decide(
        self,
        entries: Sequence[Claimed],
        judgement: Judgement,
        *,
        now_ms: int,
        failures: int,
        accepted_batch: int,
        is_wall: bool = False,
    ) -> Decision:
        """Decide on one attempt.

        *failures* are attempts in a row, this one included, after which the
        sender as a whole had to wait; *accepted_batch* is the number of
        the latest batch of which the server accepted anything; *is_wall*:
        what is refused is not the batch's fault.
        """
        wait_seconds = self._wait_seconds(Turn.REFUSED if is_wall else judgement.turn, judgement, failures)
        # A wall or a dead network is the sender's matter: with another key or tomorrow the events may go at once.
        held_seconds = wait_seconds if judgement.turn is Turn.RATE_LIMITED else 0.0
        settlements: list[Settlement] = []
        memo: dict[Outcome, Settlement] = {}
        for claimed, outcome in zip(entries, judgement.outcomes, strict=True):
            if outcome.fate is Fate.ACCEPTED:
                settlements.append(_ACKNOWLEDGED)
            elif judgement.turn is Turn.SPLIT:
                settlements.append(self._split(claimed, outcome, len(entries), now_ms, accepted_batch))
            else:
                settlement = memo.get(outcome)
                if settlement is None:
                    settlement = memo[outcome] = self._settle(outcome, claimed, now_ms, held_seconds)
                settlements.append(settlement)
        return Decision(tuple(settlements), wait_seconds)

    def _settle(self, outcome: Outcome, claimed: Claimed, now_ms: int, held_seconds: float) -> Settlement:
        if outcome.fate is Fate.REFUSED:
            return Settlement(DeliveryState.REJECTED, name=outcome.name, message=outcome.message)
        if outcome.fate is Fate.NOT_ACCEPTED:
            # What nothing holds is due at no time: the clock that says when may be put right meanwhile.
            due_ms = _due_ms(now_ms, held_seconds) if held_seconds else 0
            return Settlement(DeliveryState.PENDING, due_ms=due_ms, batch_max=claimed.was.batch_max)
        due_ms = _due_ms(now_ms, held_seconds + self._jittered(claimed.was.failures + 1))
        return Settlement(DeliveryState.UNKNOWN, due_ms=due_ms, name=outcome.name, message=outcome.message)

    def _split(
        self, claimed: Claimed, outcome: Outcome, count: int, now_ms: int, accepted_batch: int
    ) -> Settlement:
        """Halve a refused batch until what is refused stands alone.

        Alone, it becomes a dead letter when it is refused a second time, and a
        batch that left after its first refusal was accepted: a wall that
        refuses everything must not turn a log into dead letters.
        """
        if count > 1:
            return Settlement(DeliveryState.PENDING, batch_max=(count + 1) // 2, refused_whole=True)
        was = claimed.was
        if was.alone and 0 < was.refused_batch < accepted_batch:
            return Settlement(DeliveryState.REJECTED, name=outcome.name, message=outcome.message)
        return Settlement(
            DeliveryState.PENDING,
            due_ms=_due_ms(now_ms, self._jittered(was.failures + 1)),
            batch_max=1,
            refused_whole=True,
            refused_alone=True,
        )

    def _wait_seconds(self, turn: Turn, judgement: Judgement, failures: int) -> float:
        if turn in (Turn.GO_ON, Turn.SPLIT):
            return 0.0
        floor = min(judgement.retry_after_seconds or 0.0, RETRY_AFTER_MAX_SECONDS)
        if turn is Turn.RATE_LIMITED:
            floor = floor or self._config.rate_limit_seconds
        elif turn in (Turn.REFUSED, Turn.LOCKED_OUT):
            floor = self._config.refused_wait_seconds
        return floor + self._jittered(failures)

    def _jittered(self, failures: int) -> float:
        ceiling = self._waits.backoff_ceiling_seconds(max(1, failures))
        return self._randomness.uniform(ceiling / 2, ceiling)


def _due_ms(now_ms: int, wait_seconds: float) -> int:
    """When an entry that is held for *wait_seconds* is due."""
    return now_ms + min(int(wait_seconds * MS_PER_SECOND), HELD_MAX_MS)
