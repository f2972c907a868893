"""Finality: whether anything is still to be learned of an hour. Asks nothing; what is stored decides."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import NoReturn

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR, Clock
from keen_client.api.cost import Cost, ServerClock
from keen_client.eventlog.log import EventLog
from keen_client.queries import Analysis
from keen_client.verify.evidence import Evidence
from keen_client.verify.examination import Examination, Tools
from keen_client.verify.features import features_of
from keen_client.verify.knowledge import Knowledge
from keen_client.verify.lasting import LastingDifferences
from keen_client.verify.observations import Observations
from keen_client.verify.presets import Preset
from keen_client.verify.probe import tokens_honoured
from keen_client.verify.verdict import Verdict
from keen_client.verify.windows import INTERVALS, Scope

_DAY_HOURS = MS_PER_DAY // MS_PER_HOUR


class Finality:
    """Answers ``is_final(collection, hour)`` for retention, from stored observations. Not thread-safe."""

    def __init__(self, log: EventLog, clock: Clock, chosen: Preset) -> None:
        self._log = log
        self._clock = clock
        self._preset = chosen
        self._observations = Observations(log.state)
        self._final: dict[tuple[str, int], frozenset[int]] = {}
        self._empty: dict[tuple[str, int], frozenset[int]] = {}

    def __call__(self, collection: str, hour: int) -> bool:
        """Whether nothing more is to be learned of *hour* (UTC milliseconds // 3,600,000).

        Its window is final, or a wider one around it, or all narrower ones in
        which something is expected; and no later read of any window that
        overlaps it found a difference. A window that differs lastingly, and
        names in the evidence all that it lacks, counts as one that matches.
        Or nothing of it is expected any more: all of it was refused, dropped or
        superseded.
        """
        day = hour // _DAY_HOURS
        if (collection, day) not in self._final:
            self._final[collection, day] = self._final_hours(collection, day)
        if hour in self._final[collection, day]:
            return True
        if (collection, day) not in self._empty:
            self._empty[collection, day] = self._empty_hours(collection, day)
        return hour in self._empty[collection, day]

    def _final_hours(self, collection: str, day: int) -> frozenset[int]:
        start_ms, end_ms = day * MS_PER_DAY, (day + 1) * MS_PER_DAY
        #: When a final window last showed each hour.
        final: dict[int, int] = {}
        settled: set[tuple[int, int]] = set()
        recorded = self._recorded_hours(collection, day)
        for width_ms in self._widths(collection, start_ms, end_ms):
            if width_ms < MS_PER_HOUR and recorded <= final.keys():
                break  # narrower ones are counted from the entries: they would show nothing new
            scope = Scope(start_ms, end_ms, width_ms, (collection,))
            reads = self._last_reads(scope, collection)
            settled |= {(start, start + width_ms) for start, at_ms in reads.items() if at_ms is not None}
            for hour, at_ms in _shown_hours(reads, width_ms).items():
                final[hour] = max(final.get(hour, 0), at_ms)
        for start, end, at_ms in self._observations.differing(
            collection, start_ms, end_ms, self._clock.wall_ms()
        ):
            for hour in _hours(start, end) if (start, end) not in settled else ():
                if at_ms >= final.get(hour, at_ms):
                    final.pop(hour, None)
        return frozenset(final)

    def _last_reads(self, scope: Scope, collection: str) -> dict[int, int | None]:
        """When each window of *scope* that expects something was last read, by start; None: it is not final."""
        states = Examination(self._tools, scope, collection).outlook()
        stored = self._observations.read(collection, scope.start_ms, scope.end_ms, scope.width_ms)
        now_ms = self._clock.wall_ms()
        return {
            start: max(one.at_ms for one in stored[start] if one.at_ms <= now_ms)
            if state.state is Verdict.FINAL
            else None
            for start, state in states.items()
        }

    def _empty_hours(self, collection: str, day: int) -> frozenset[int]:
        """The hours of which nothing is expected any more, and nothing open. Nobody reads them."""
        start_ms, end_ms = day * MS_PER_DAY, (day + 1) * MS_PER_DAY
        windows = self._log.expectation.windows(collection, start_ms, end_ms, MS_PER_HOUR)
        knowledge = Knowledge(self._log, collection, start_ms, end_ms, self._tools.unreadable)
        return frozenset(
            start // MS_PER_HOUR
            for start, window in windows.items()
            if not (window.fingerprint or window.unsent or window.unknown or knowledge.unverifiable(window))
        )

    def _widths(self, collection: str, start_ms: int, end_ms: int) -> list[int]:
        """The widths in which the day was ever read, the widest first."""
        with self._log.state.reading() as db:
            rows = db.execute(
                "SELECT DISTINCT end_ms - start_ms FROM observations"
                " WHERE collection = ? AND start_ms >= ? AND end_ms <= ?",
                (collection, start_ms, end_ms),
            ).fetchall()
        return sorted((width for (width,) in rows if width in INTERVALS), reverse=True)

    def _recorded_hours(self, collection: str, day: int) -> set[int]:
        """The hours of the day of which anything was ever folded."""
        with self._log.state.reading() as db:
            rows = db.execute(
                "SELECT DISTINCT hour FROM totals WHERE collection = ? AND hour >= ? AND hour < ?",
                (collection, day * _DAY_HOURS, (day + 1) * _DAY_HOURS),
            ).fetchall()
        return {hour for (hour,) in rows}

    @cached_property
    def _tools(self) -> Tools:
        now_ms, state = self._clock.wall_ms(), self._log.state
        return Tools(
            log=self._log,
            api=SilentApi(),
            clock=self._clock,
            preset=self._preset,
            observations=LastingDifferences(self._log, self._clock),
            evidence=Evidence(state, self._observations),
            tokens_used=tokens_honoured(state, now_ms) is not False,
            features=features_of(state, now_ms),
            unreadable=self._log.outbox.unreadable(),
        )


def _shown_hours(reads: Mapping[int, int | None], width_ms: int) -> dict[int, int]:
    """The hours that windows show which all were read (None: one was not), each with the oldest of the reads. Pure."""
    found: dict[int, list[int | None]] = {}
    for start, at_ms in reads.items():
        for hour in _hours(start, start + width_ms):
            found.setdefault(hour, []).append(at_ms)
    shown = {hour: [at_ms for at_ms in times if at_ms is not None] for hour, times in found.items()}
    return {hour: min(times) for hour, times in shown.items() if len(times) == len(found[hour])}


def _hours(start_ms: int, end_ms: int) -> range:
    """The hours that overlap [start, end)."""
    return range(start_ms // MS_PER_HOUR, -(-end_ms // MS_PER_HOUR))


class SilentApi:
    """An API that is never asked."""

    cost = Cost()
    server_clock: ServerClock | None = None

    def query(self, analysis: Analysis, *, all_keys: bool = False) -> NoReturn:
        """Nothing may ask."""
        raise AssertionError("finality is derived from what is stored")
