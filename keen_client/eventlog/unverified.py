"""What goes unverified: from a log that nobody verifies, or by explicit permission; and it is told before it goes.

Whether anybody verifies is read from the log, never from the keys of one
process: a web worker with the write key alone shares its log with a nightly
job that has the read key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs
import orjson

from keen_client._foundation.clock import MS_PER_DAY, Clock
from keen_client.eventlog.config import LogConfig
from keen_client.eventlog.directory import LogDirectory
from keen_client.eventlog.reclaim import Reclaimed, Reclaimer
from keen_client.eventlog.retention import Horizon
from keen_client.eventlog.shelf import Shelf
from keen_client.eventlog.state import State

#: The fact that says when a process that can verify first had this log open.
_READER: Final = "reader_ms"
#: The fact that keeps which segments were warned of.
_WARNED: Final = "unverified_warned"
#: Without permission nothing goes unverified that was not warned of for so long.
WARNED_MS: Final = MS_PER_DAY
#: A warning that still holds is told again after so long.
_AGAIN_MS: Final = MS_PER_DAY


@attrs.frozen
class _Warning:
    """When a segment was first warned of, and last (UTC ms)."""

    first_ms: int
    last_ms: int


def note_reader(state: State, at_ms: int) -> None:
    """Note that somebody can verify this log; once in its life."""
    if state.fact(_READER) is None:
        state.note(_READER, str(at_ms))


def has_reader(state: State) -> bool:
    """Whether anybody ever could verify this log, or tried to."""
    with state.reading() as db:
        row = db.execute(
            "SELECT EXISTS (SELECT 1 FROM facts WHERE name IN (?, 'last_nightly_ms'))"
            " OR EXISTS (SELECT 1 FROM observations) OR EXISTS (SELECT 1 FROM probes)",
            (_READER,),
        ).fetchone()
    return bool(row[0])


def retention_of(config: LogConfig, state: State) -> LogConfig:
    """*config* with the permission that holds: where nobody verifies, acknowledged entries go unverified."""
    if config.reclaim_unverified or has_reader(state):
        return config
    return attrs.evolve(config, reclaim_unverified=True)


class UnverifiedReclaim:
    """Warns of what goes unverified, then reclaims it. For the holder of the sender lock."""

    def __init__(
        self, directory: LogDirectory, state: State, shelf: Shelf, config: LogConfig, clock: Clock
    ) -> None:
        self._directory = directory
        self._state = state
        self._shelf = shelf
        self._config = config
        self._clock = clock

    def run(self) -> tuple[list[Horizon], Reclaimed]:
        """What is to be warned of now, and what was reclaimed; nothing of either where somebody verifies.

        Raises:
            EventLogError: the disk failed; what was journalled is finished by the next run.
        """
        config = retention_of(self._config, self._state)
        if not config.reclaim_unverified:
            return [], Reclaimed()
        reclaimer = Reclaimer(self._directory, self._state, self._shelf, config, self._clock)
        now_ms = self._clock.wall_ms()
        horizons = [horizon for horizon in reclaimer.horizons(_never) if horizon.will_go]
        before = self._warned(now_ms)
        after: dict[str, _Warning] = {}
        fresh: list[Horizon] = []
        for horizon in horizons:
            origin = horizon.name.origin
            warned = before.get(origin)
            if warned is None or now_ms - warned.last_ms >= _AGAIN_MS:
                fresh.append(horizon)
                warned = _Warning(now_ms if warned is None else warned.first_ms, now_ms)
            after[origin] = warned
        if after != before:
            self._note(after)
        patient = frozenset(o for o, warned in after.items() if now_ms - warned.first_ms >= WARNED_MS)
        may_go = None if self._config.reclaim_unverified else patient
        return fresh, reclaimer.reclaim(_never, unverified_of=may_go)

    def _warned(self, now_ms: int) -> Mapping[str, _Warning]:
        """By origin; what a clock that was ahead noted counts for nothing."""
        noted = self._state.fact(_WARNED)
        found = {} if noted is None else orjson.loads(noted)
        return {origin: _Warning(*times) for origin, times in found.items() if max(times) <= now_ms}

    def _note(self, warned: Mapping[str, _Warning]) -> None:
        times = {origin: attrs.astuple(warning) for origin, warning in sorted(warned.items())}
        self._state.note(_WARNED, orjson.dumps(times).decode())


def _never(_collection: str, _hour: int) -> bool:
    """No window is known to be final: nobody has looked."""
    return False
