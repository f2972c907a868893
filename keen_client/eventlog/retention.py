"""Retention: which segments may be reclaimed, what of them has to stay, and what is to be warned of. Pure.

An entry leaves the log only final, or by an explicit, counted decision. A
segment goes whole: when it is sealed, folded to its end, old enough, and every
entry of it lies in a final window (or, where no query can ever verify it, was
acknowledged, and that was allowed by ``reclaim_unverified``). A few entries
that nothing will ever settle do not pin the file: they move to ``kept``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import attrs

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR
from keen_client.eventlog.config import LogConfig
from keen_client.eventlog.entry import DeliveryState
from keen_client.eventlog.segment import SegmentName

#: ``is_final(collection, hour)``: whether nothing more is to be learned of the window [hour, hour + 1)
#: (``hour`` is UTC milliseconds // 3,600,000): it matched for good, or all that it lacks is named,
#: entry by entry, in ``evidence``. A false True loses the only copy of unverified events.
IsFinal = Callable[[str, int], bool]

#: Entries of one segment that may move to ``kept``; with more of them the file itself is the better place.
KEPT_ENTRIES_MAX: Final = 10_000
#: Above this part of ``log_size_max_bytes`` final segments go before their time, and `status` warns.
SIZE_HORIZON: Final = 0.8

#: So much may pass between two looks before the second one doubts the clock: daily ones, and a day of grace.
LOOKS_APART_MAX_MS: Final = 2 * MS_PER_DAY
#: A clock that is in doubt has to go on for so long, without a step back, before it is believed.
DOUBT_MS: Final = 12 * MS_PER_HOUR


@attrs.frozen
class ClockLook:
    """What one look at the clock left behind: when it was, and since when it is in doubt (UTC ms; None: it is not)."""

    at_ms: int
    doubted_ms: int | None = None

    @property
    def is_trusted(self) -> bool:
        """Whether ages may be told by it: one that is ahead makes everything look old."""
        return self.doubted_ms is None


def look_at_clock(last: ClockLook | None, now_ms: int, *, agrees: bool | None) -> ClockLook:
    """The look of now, after the *last* one. Pure.

    *agrees*: whether a server's clock says the same; None: nobody was asked.
    Then a leap since the last look is doubted until time has gone on from there.
    """
    if agrees:
        return ClockLook(now_ms)
    if agrees is False:
        return ClockLook(now_ms, now_ms)
    if last is None:
        return ClockLook(now_ms)
    if last.doubted_ms is None:
        return ClockLook(now_ms, now_ms if now_ms - last.at_ms > LOOKS_APART_MAX_MS else None)
    if now_ms < last.at_ms:
        return ClockLook(now_ms, now_ms)
    return ClockLook(now_ms, None if now_ms - last.doubted_ms >= DOUBT_MS else last.doubted_ms)


@attrs.frozen
class CellFacts:
    """The folded entries of one (collection, hour) in a segment."""

    collection: str
    hour: int
    entries: int


@attrs.frozen
class Unsettled:
    """One entry that delivery or verification has not come to an end with.

    ``reason``: its delivery state, or the kind of evidence against it.
    """

    seq: int
    collection: str
    timestamp_ms: int
    reason: str


@attrs.frozen
class SegmentFacts:
    """What is known of one segment present. Times are UTC milliseconds since 1970.

    ``is_drained``: sealed and folded to its end. ``is_readable``: no entry that
    should be there is missing. ``newest_ms``: when its newest entry was
    recorded. ``unfolded``: entries past the cursor. ``future``: its entries
    whose timestamp had not come when the facts were gathered. ``rebuilt``: its
    delivery states were lost, so nothing but a query settles it.
    """

    name: SegmentName
    is_drained: bool
    is_readable: bool
    newest_ms: int
    size_bytes: int
    cells: tuple[CellFacts, ...]
    unsettled: tuple[Unsettled, ...] = ()
    future: tuple[Unsettled, ...] = ()
    unfolded: int = 0
    rebuilt: bool = False


@attrs.frozen
class Decision:
    """What to do with one segment: reclaim it when ``pins`` is empty, else leave it for these reasons.

    ``keep``: (seq, reason) of the entries that move to ``kept`` first.
    ``unsettled``: (seq, reason) of all entries that nothing had come to an end
    with when this was decided. ``unverified``: acknowledged entries that would
    go without ever having been verified.
    """

    name: SegmentName
    pins: tuple[str, ...]
    keep: tuple[tuple[int, str], ...] = ()
    unsettled: tuple[tuple[int, str], ...] = ()
    entries: int = 0
    unverified: int = 0
    hour_lo: int | None = None
    hour_hi: int | None = None

    @property
    def may_go(self) -> bool:
        """Whether nothing pins the file."""
        return not self.pins


@attrs.frozen
class Horizon:
    """A warning: entries of one segment reach the end of their retention unsent or unverified.

    ``days`` until then, negative when it is past. ``will_go``: of the
    ``unverified``, so many will then be reclaimed as they are; the others, and
    all ``unsent``, pin the file until they are settled.
    """

    name: SegmentName
    days: float
    unsent: int
    unverified: int
    will_go: int


def plan_reclaim(
    segments: Iterable[SegmentFacts],
    *,
    now_ms: int,
    config: LogConfig,
    log_size_bytes: int,
    is_final: IsFinal,
) -> list[Decision]:
    """Decide for each segment, oldest day first.

    With the log above its size horizon, segments whose every window is final go
    before their retention is over, oldest first, until it is below.
    """
    decisions: list[Decision] = []
    excess_bytes = log_size_bytes - int(SIZE_HORIZON * config.log_size_max_bytes)
    for facts in sorted(segments, key=lambda facts: facts.name):
        is_old = facts.newest_ms + config.retention_days * MS_PER_DAY <= now_ms
        decision = _decide(facts, now_ms, is_final, allow_unverified=config.reclaim_unverified and is_old)
        if not is_old and (excess_bytes <= 0 or decision.keep):
            decision = attrs.evolve(decision, pins=("younger than the retention", *decision.pins))
        if decision.may_go:
            excess_bytes -= facts.size_bytes
        decisions.append(decision)
    return decisions


def _decide(facts: SegmentFacts, now_ms: int, is_final: IsFinal, *, allow_unverified: bool) -> Decision:
    pins: list[str] = []
    if not facts.is_drained:
        pins.append("not sealed and read to its end")
    if not facts.is_readable:
        pins.append("not readable")
    final = {
        cell: is_final(cell.collection, cell.hour) for cell in facts.cells if not _is_future(cell, now_ms)
    }
    settled = {(cell.collection, cell.hour) for cell, is_so in final.items() if is_so}
    keep: dict[int, tuple[Unsettled, str]] = {entry.seq: (entry, "future") for entry in facts.future}
    for entry in facts.unsettled:
        if entry.reason == DeliveryState.INFLIGHT:
            pins.append("entries in flight")
        elif entry.reason == DeliveryState.UNKNOWN and _window(entry) in settled:
            continue  # the matching window shows that it is there
        else:
            keep[entry.seq] = (entry, entry.reason)
    unverified = 0
    for cell, is_so in final.items():
        if not is_so and allow_unverified and not facts.rebuilt:
            kept_here = sum(_window(entry) == (cell.collection, cell.hour) for entry, _ in keep.values())
            unverified += cell.entries - kept_here
        elif not is_so:
            pins.append("windows that are not final")
    if len(keep) > KEPT_ENTRIES_MAX:
        pins.append(f"more than {KEPT_ENTRIES_MAX:,} unsettled entries")
    hours = [cell.hour for cell in facts.cells]
    return Decision(
        name=facts.name,
        pins=tuple(dict.fromkeys(pins)),
        keep=tuple((seq, reason) for seq, (_, reason) in sorted(keep.items())),
        unsettled=tuple((entry.seq, entry.reason) for entry in facts.unsettled),
        entries=sum(cell.entries for cell in facts.cells),
        unverified=unverified,
        hour_lo=min(hours, default=None),
        hour_hi=max(hours, default=None),
    )


def plan_horizons(
    segments: Iterable[SegmentFacts], *, now_ms: int, config: LogConfig, is_final: IsFinal
) -> list[Horizon]:
    """The warnings due within ``warn_days`` of the end of retention, most urgent first."""
    found: list[Horizon] = []
    for facts in segments:
        days = (facts.newest_ms + config.retention_days * MS_PER_DAY - now_ms) / MS_PER_DAY
        if days > config.warn_days:
            continue
        unsent = facts.unfolded + sum(entry.reason in _UNSENT for entry in facts.unsettled)
        unverified = sum(
            cell.entries
            for cell in facts.cells
            if not _is_future(cell, now_ms) and not is_final(cell.collection, cell.hour)
        )
        if unsent or unverified:
            goes = config.reclaim_unverified and not facts.rebuilt
            found.append(
                Horizon(facts.name, days, unsent, unverified, max(0, unverified - unsent) if goes else 0)
            )
    return sorted(found, key=lambda horizon: (horizon.days, horizon.name))


def is_near_horizon(day_ms: int, now_ms: int, config: LogConfig) -> bool:
    """Whether a segment of the day that begins at *day_ms* can concern retention at all; cheap, by its name."""
    end_of_day_ms = day_ms + MS_PER_DAY
    return end_of_day_ms + (config.retention_days - config.warn_days - 1) * MS_PER_DAY <= now_ms


_UNSENT: Final = frozenset(
    {DeliveryState.PENDING, DeliveryState.INFLIGHT, DeliveryState.UNKNOWN, DeliveryState.REPLAY}
)


def _window(entry: Unsettled) -> tuple[str, int]:
    return entry.collection, entry.timestamp_ms // MS_PER_HOUR


def _is_future(cell: CellFacts, now_ms: int) -> bool:
    return (cell.hour + 1) * MS_PER_HOUR > now_ms
