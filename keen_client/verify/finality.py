"""Finality: whether anything is still to be learned of an hour. Asks nothing; what is stored decides."""

from __future__ import annotations

from typing import NoReturn

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR, Clock
from keen_client.api.cost import Cost, ServerClock
from keen_client.eventlog.log import EventLog
from keen_client.queries import Analysis
from keen_client.verify.observations import Observations
from keen_client.verify.presets import Preset
from keen_client.verify.verdict import Verdict
from keen_client.verify.verifier import Verifier
from keen_client.verify.windows import INTERVALS, Scope

_DAY_HOURS = MS_PER_DAY // MS_PER_HOUR


class Finality:
    """Answers ``is_final(collection, hour)`` for retention, from stored observations. Not thread-safe."""

    def __init__(self, log: EventLog, clock: Clock, chosen: Preset) -> None:
        self._log = log
        self._clock = clock
        self._observations = Observations(log.state)
        self._verifier = Verifier(log, SilentApi(), clock, chosen)
        self._days: dict[tuple[str, int], frozenset[int]] = {}

    def __call__(self, collection: str, hour: int) -> bool:
        """Whether the window of *hour* (UTC milliseconds // 3,600,000), or a wider one around it, is final.

        It is not where a later read of any window that overlaps the hour found a difference.
        """
        day = hour // _DAY_HOURS
        known = self._days.get((collection, day))
        if known is None:
            known = self._days[collection, day] = self._final_hours(collection, day)
        return hour in known

    def _final_hours(self, collection: str, day: int) -> frozenset[int]:
        start_ms, end_ms = day * MS_PER_DAY, (day + 1) * MS_PER_DAY
        #: When a final window last showed each hour.
        final: dict[int, int] = {}
        for width_ms in self._widths(collection, start_ms, end_ms):
            scope = Scope(start_ms, end_ms, width_ms, (collection,))
            stored = self._observations.read(collection, start_ms, end_ms, width_ms)
            for (_, start), state in self._verifier.outlook(scope).items():
                if state.state is Verdict.FINAL:
                    at_ms = max(one.at_ms for one in stored[start] if one.at_ms <= self._clock.wall_ms())
                    for hour in range(start // MS_PER_HOUR, (start + width_ms) // MS_PER_HOUR):
                        final[hour] = max(final.get(hour, 0), at_ms)
        for start, end, at_ms in self._observations.differing(
            collection, start_ms, end_ms, self._clock.wall_ms()
        ):
            for hour in range(start // MS_PER_HOUR, -(-end // MS_PER_HOUR)):
                if at_ms >= final.get(hour, at_ms):
                    final.pop(hour, None)
        return frozenset(final)

    def _widths(self, collection: str, start_ms: int, end_ms: int) -> list[int]:
        """The widths, of whole hours, in which the day was ever read."""
        with self._log.state.reading() as db:
            rows = db.execute(
                "SELECT DISTINCT end_ms - start_ms FROM observations"
                " WHERE collection = ? AND start_ms >= ? AND end_ms <= ?",
                (collection, start_ms, end_ms),
            ).fetchall()
        return [width for (width,) in rows if width in INTERVALS and width % MS_PER_HOUR == 0]


class SilentApi:
    """An API that is never asked."""

    cost = Cost()
    server_clock: ServerClock | None = None

    def query(self, analysis: Analysis, *, all_keys: bool = False) -> NoReturn:
        """Nothing may ask."""
        raise AssertionError("finality is derived from what is stored")
