"""What the log itself knows of windows: replays under way, and what can no longer be verified."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

import attrs

from keen_client._foundation.clock import (
    FIRST_MS,
    LAST_MS,
    MS_PER_DAY,
    MS_PER_HOUR,
    datetime_to_ms,
    ms_to_iso,
)
from keen_client.eventlog.entry import DeliveryState
from keen_client.eventlog.expectation import Window
from keen_client.eventlog.log import EventLog
from keen_client.eventlog.ranges import range_at
from keen_client.eventlog.segment import SegmentName
from keen_client.eventlog.unreadable import Unreadable
from keen_client.verify.answer import EXACT_MAX

_UNVERIFIABLE_BEFORE: Final = "unverifiable_before_ms"


@attrs.frozen
class Gap:
    """A stretch of time [start, end) in which entries may be missing from the log's own knowledge.

    ``since_ms``: when that was found, UTC milliseconds.
    """

    start_ms: int
    end_ms: int
    reason: str
    origin: str = ""
    since_ms: int = 0

    def is_of(self, window: Window) -> bool:
        """Whether it bears on *window*: by its time, or by what is expected of a segment there."""
        is_around = self.start_ms < window.end_ms and window.start_ms < self.end_ms
        return is_around or self.origin in window.by_origin


@attrs.frozen
class Resend:
    """An entry of a replay run: the end of its last attempt, and whether it is still to be sent."""

    timestamp_ms: int
    last_ms: int
    is_waiting: bool


class Knowledge:
    """A snapshot for one collection and scope. Reads the log, changes nothing."""

    def __init__(
        self,
        log: EventLog,
        collection: str,
        start_ms: int,
        end_ms: int,
        unreadable: Iterable[Unreadable] = (),
    ) -> None:
        """*unreadable* are the segments that cannot be read now: to a window they are what a damaged one is."""
        self._gaps = [*_gaps(log), *(_day_of(each.name, str(each), LAST_MS) for each in unreadable)]
        self._resends = _resends(log, collection, start_ms, end_ms)

    def unverifiable(self, window: Window) -> str:
        """Why *window* can no longer be verified; empty when it can."""
        for gap in self._gaps:
            if gap.is_of(window):
                return gap.reason
        if window.start_ms < FIRST_MS or window.end_ms > LAST_MS:
            return "no timeframe reaches beyond the years 1 to 9999"
        if any(max(sums.h, sums.g) > EXACT_MAX for sums in window.by_origin.values()):
            return "its sums are beyond 2^53, where no server adds exactly"
        return ""

    def found_ms(self, window: Window) -> int:
        """When the last thing was found for which *window* is unverifiable; :data:`LAST_MS`: it is so now; 0: not noted."""
        return max((gap.since_ms for gap in self._gaps if gap.is_of(window)), default=0)

    def resent_ms(self, window: Window) -> int:
        """The end of the last attempt of a replay run on an entry of *window*; 0 when there was none."""
        return max((resend.last_ms for resend in self._of(window) if not resend.is_waiting), default=0)

    def replaying(self, window: Window) -> int:
        """Entries of *window* that a replay run has still to send."""
        return sum(resend.is_waiting for resend in self._of(window))

    def _of(self, window: Window) -> list[Resend]:
        return [r for r in self._resends if window.start_ms <= r.timestamp_ms < window.end_ms]


def _resends(log: EventLog, collection: str, start_ms: int, end_ms: int) -> list[Resend]:
    found: list[Resend] = []
    with log.state.reading() as db:
        rows = db.execute(
            "SELECT DISTINCT origin, seq, ts FROM run_entries WHERE collection = ? AND ts >= ? AND ts < ?",
            (collection, start_ms, end_ms),
        ).fetchall()
        for origin, seq, timestamp_ms in rows:
            place = range_at(db, origin, seq)
            if place is not None and place.run:
                is_waiting = place.state is DeliveryState.REPLAY
                found.append(Resend(timestamp_ms, place.last_ms, is_waiting))
    return found


def _gaps(log: EventLog) -> list[Gap]:
    gaps: list[Gap] = []
    before = log.state.fact(_UNVERIFIABLE_BEFORE)
    if before is not None:
        reason = (
            f"the log's own state was lost, and what was recorded before {ms_to_iso(int(before))} with it"
        )
        rebuilt_ms = int(log.state.fact("rebuilt_ms") or 0)
        gaps.append(Gap(-(2**62), int(before), reason, since_ms=rebuilt_ms))
    with log.state.reading() as db:
        counted = {origin for (origin,) in db.execute("SELECT DISTINCT origin FROM totals")}
        reclaims = db.execute(
            "SELECT origin, intended_ms, hour_lo, hour_hi FROM reclaims WHERE unverified > 0"
        ).fetchall()
        whole = {origin for (origin,) in db.execute("SELECT origin FROM damages WHERE lost = 0")}
        lossy = dict(
            db.execute(
                "SELECT origin, max(at_ms) FROM damages WHERE lost IS NULL OR lost > 0 GROUP BY origin"
            ).fetchall()
        )
        origins = db.execute("SELECT origin, day, status, cursor, changed_ms FROM origins").fetchall()
    for origin, intended_ms, hour_lo, hour_hi in reclaims:
        if origin not in counted:
            start_ms = -(2**62) if hour_lo is None else hour_lo * MS_PER_HOUR
            end_ms = intended_ms if hour_hi is None else (hour_hi + 1) * MS_PER_HOUR
            reason = f"segment {origin} was reclaimed before it was verified"
            gaps.append(Gap(start_ms, end_ms, reason, since_ms=intended_ms))
    for origin, day, status, cursor, changed_ms in origins:
        is_lossy = origin in lossy or (status == "damaged" and origin not in whole)
        is_cut_off = status == "abandoned" and (log.shelf.last_seq(origin) or 0) > cursor
        if is_lossy or is_cut_off:
            reason = f"segment {origin} is damaged, and entries of it may be lost"
            if is_cut_off and not is_lossy:
                reason = f"segment {origin} was abandoned, and entries of it were never sent"
            gaps.append(_day_of(SegmentName(day, origin), reason, lossy.get(origin, changed_ms)))
    return gaps


def _day_of(name: SegmentName, reason: str, since_ms: int) -> Gap:
    """The gap that a segment leaves: its day of recording, and each window in which something of it is expected."""
    start_ms = datetime_to_ms(datetime.fromisoformat(name.day).replace(tzinfo=UTC))
    return Gap(start_ms, start_ms + MS_PER_DAY, reason, name.origin, since_ms)
