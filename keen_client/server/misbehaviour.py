"""The drawing of faults: what becomes of each event, each request and each read.

Decisions come from one generator, in the order of the requests, so the same
seed and the same requests make the same night again.
"""

from __future__ import annotations

import random
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

from keen_client.server.faults import Chance, Faults
from keen_client.server.query import Query
from keen_client.server.rate_limit import MinuteCounter
from keen_client.server.reading import HONEST, LIES, Reading, applies

MAX_STRUCK_IDENTITIES: Final = 1_000_000


@attrs.frozen
class Fate:
    """What becomes of one accepted event. The default: it is stored, once, as it is, at once."""

    rejected: bool = False
    lost: bool = False
    token_kept: bool = False
    forgotten: bool = False
    duplicated: bool = False
    properties_nulled: bool = False
    timestamp_nulled: bool = False
    shift_ms: int = 0
    delay_ms: int = 0
    vanish_ms: int = 0


SPARED: Final = Fate()


class FaultEngine:
    """The faults that are on, the generator that decides, and counts of what was done.

    ``counters`` maps a fault's name to the number of events, writes, queries or
    replies that it struck. Thread-safe.

    An event is lost or forgotten at most once: a resend under the same
    uniqueness token of an event that was already struck is let through, as
    a second send through a pipeline that lost the first one would be. (The last
    1,000,000 struck identities are remembered.)
    """

    def __init__(self, faults: Faults | None = None, seed: int | None = None) -> None:
        self._faults = faults or Faults()
        self._random = random.Random(seed)  # noqa: S311 - faults are to be repeatable, not secret
        self._struck: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._lock = threading.RLock()
        self._queries = MinuteCounter()
        self.counters: dict[str, int] = {}

    @property
    def faults(self) -> Faults:
        """The faults that are on now."""
        return self._faults

    def change(self, changes: Mapping[str, Any]) -> Faults:
        """Turn faults on, off or to another value while running; see :meth:`Faults.changed`."""
        with self._lock:
            self._faults = self._faults.changed(changes)
            if "rate-limit" in changes:
                self._queries.reset()
            return self._faults

    def count(self, name: str, times: int = 1) -> None:
        """Add to a counter."""
        with self._lock:
            self.counters[name] = self.counters.get(name, 0) + times

    def strikes(self, name: str) -> bool:
        """Draw whether the fault *name* strikes this once, and count it if so."""
        with self._lock:
            return self._faults.chance(name) is not None and self._draw(name)

    def fate(self, collection: str, token: str | None, timestamp_ms: int) -> Fate:
        """What becomes of an event that arrives, is valid and is not a repeated token."""
        if not self._faults.active:
            return SPARED
        with self._lock:
            if self.strikes("reject"):
                return Fate(rejected=True)
            identity = None if token is None else (collection, token)
            if identity is None or identity not in self._struck:
                fate = self._loss(timestamp_ms)
                if fate is not None:
                    if identity is not None:
                        self.remember_struck([identity])
                    return fate
            return self._alterations()

    def remember_struck(self, identities: Iterable[tuple[str, str]]) -> None:
        """Let later resends of these (collection, token) through."""
        with self._lock:
            for identity in identities:
                self._struck[identity] = None
            while len(self._struck) > MAX_STRUCK_IDENTITIES:
                self._struck.popitem(last=False)

    def partial_read(self) -> tuple[float, int] | None:
        """The share of events that one query misses and the salt of its choice, or None."""
        with self._lock:
            chance = self._faults.chance("partial-reads")
            if chance is None:
                return None
            if chance.times is not None:
                # "The next n queries" miss half of what they should see.
                return (0.5, self._random.getrandbits(32)) if self._draw("partial-reads") else None
            self.count("partial-reads")
            return chance.probability, self._random.getrandbits(32)

    def reading(self, query: Query) -> Reading:
        """How *query* will be answered: what it misses, and how its answer lies.

        A lie is drawn only for a query whose answer can hold it: a missing
        interval needs an interval.
        """
        with self._lock:
            faults = self._faults
            partial = self.partial_read()
            if not faults.active:
                return HONEST
            stale_ms = faults.number("stale-reads") or 0
            if stale_ms:
                self.count("stale-reads")
            lies = frozenset(name for name in LIES if applies(name, query) and self.strikes(name))
            return Reading(
                partial=partial,
                stale_ms=stale_ms,
                lies=lies,
                salt=self._random.getrandbits(32) if lies else 0,
                digits=faults.number("digits"),
                scan_cap=faults.number("scan-cap"),
                group_cap=faults.number("group-cap"),
                struck=self.count,
            )

    def over_rate_limit(self, monotonic_ns: int) -> bool:
        """Count one query; True when it is to be refused with 429, as are all for the next minute."""
        with self._lock:
            limit = self._faults.rate_limit
            if limit is None or not self._queries.is_over(limit, monotonic_ns):
                return False
            self.count("rate-limit")
            return True

    def _loss(self, timestamp_ms: int) -> Fate | None:
        window = self._faults.forget
        if window is not None and timestamp_ms in window:
            self.count("forget")
            return Fate(forgotten=True)
        if self.strikes("lose"):
            return Fate(lost=True)
        if self.strikes("lose-keep-token"):
            return Fate(lost=True, token_kept=True)
        return None

    def _alterations(self) -> Fate:
        shift = self._faults.spread("shift")
        delay = self._faults.spread("delay")
        shift_ms = delay_ms = 0
        if shift is not None and self._random.random() < shift.probability:
            self.count("shift")
            shift_ms = shift.duration_ms
        if delay is not None and self._random.random() < delay.probability:
            self.count("delay")
            # In (0, duration]: at least one millisecond, so that a delayed event is never seen at once.
            delay_ms = max(1, round(delay.duration_ms * (1 - self._random.random())))
        vanish = self._faults.spread("vanish")
        vanish_ms = 0
        if vanish is not None and self._random.random() < vanish.probability:
            self.count("vanish")
            vanish_ms = max(1, vanish.duration_ms)
        fate = Fate(
            duplicated=self.strikes("duplicate"),
            properties_nulled=self.strikes("null-properties"),
            timestamp_nulled=self.strikes("null-timestamp"),
            shift_ms=shift_ms,
            delay_ms=delay_ms,
            vanish_ms=vanish_ms,
        )
        return SPARED if fate == SPARED else fate

    def _draw(self, name: str) -> bool:
        chance = self._faults.chance(name)
        if chance is None:
            return False
        if chance.times is None:
            struck = self._random.random() < chance.probability
        else:
            struck = True
            left = Chance(times=chance.times - 1) if chance.times > 1 else None
            self._faults = self._faults.changed({name: left})
        if struck:
            self.count(name)
        return struck
