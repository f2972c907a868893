"""What may be reclaimed: sealed, drained, old and final; the few that nothing settles are kept, the rest pins."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR
from keen_client.eventlog.config import LogConfig
from keen_client.eventlog.entry import DeliveryState
from keen_client.eventlog.retention import (
    KEPT_ENTRIES_MAX,
    CellFacts,
    ClockLook,
    Decision,
    SegmentFacts,
    Unsettled,
    is_near_horizon,
    look_at_clock,
    plan_horizons,
    plan_reclaim,
)
from keen_client.eventlog.segment import SegmentName

NOW_MS = 1_795_435_200_000
HOUR = NOW_MS // MS_PER_HOUR - 61 * 24
OLD_MS = NOW_MS - 61 * MS_PER_DAY
FACTS = SegmentFacts(
    name=SegmentName("2026-09-23", "4kq7x2m9pz"),
    is_drained=True,
    is_readable=True,
    newest_ms=OLD_MS,
    size_bytes=1_000,
    cells=(CellFacts("purchases", HOUR, 10), CellFacts("visits", HOUR + 1, 5)),
)


def always(collection: str, hour: int) -> bool:
    return True


def never(collection: str, hour: int) -> bool:
    return False


def entry(seq: int, reason: str, hour: int = HOUR, collection: str = "purchases") -> Unsettled:
    return Unsettled(seq, collection, hour * MS_PER_HOUR, reason)


def plan(facts: SegmentFacts, is_final: Any = always, size: int = 0, **settings: Any) -> Decision:
    (decision,) = plan_reclaim(
        [facts], now_ms=NOW_MS, config=LogConfig(**settings), log_size_bytes=size, is_final=is_final
    )
    return decision


def test_old_final_drained_segment_goes() -> None:
    """All its entries count as gone, none as unverified, and its hours are noted."""
    decision = plan(FACTS)
    assert decision.may_go
    assert (decision.entries, decision.unverified, decision.keep) == (15, 0, ())
    assert (decision.hour_lo, decision.hour_hi) == (HOUR, HOUR + 1)


@pytest.mark.parametrize(
    ("change", "pin"),
    [
        ({"is_drained": False}, "not sealed and read to its end"),
        ({"is_readable": False}, "not readable"),
        ({"newest_ms": NOW_MS - 60 * MS_PER_DAY + 1}, "younger than the retention"),
        ({"unsettled": (entry(1, "inflight"),)}, "entries in flight"),
    ],
)
def test_segment_stays_while_one_condition_fails(change: dict[str, Any], pin: str) -> None:
    """The reason is named."""
    assert plan(attrs.evolve(FACTS, **change)).pins == (pin,)


def test_retention_ends_to_the_millisecond() -> None:
    """Sixty days after the newest entry was recorded, not after the oldest."""
    assert plan(attrs.evolve(FACTS, newest_ms=NOW_MS - 60 * MS_PER_DAY)).may_go


def test_one_window_that_is_not_final_pins_the_file() -> None:
    """Its acknowledged entries are the only copy that a replay could use."""
    decision = plan(FACTS, lambda collection, hour: collection != "visits")
    assert decision.pins == ("windows that are not final",)


def test_acknowledged_entries_go_unverified_only_where_that_is_allowed() -> None:
    """Counted, those of final windows not among them."""
    decision = plan(FACTS, lambda collection, hour: collection != "visits", reclaim_unverified=True)
    assert decision.may_go
    assert decision.unverified == 5


def test_rebuilt_segment_never_goes_unverified() -> None:
    """Nobody knows what of it was acknowledged."""
    rebuilt = attrs.evolve(FACTS, rebuilt=True)
    assert not plan(rebuilt, never, reclaim_unverified=True).may_go
    assert plan(rebuilt, always, reclaim_unverified=True).may_go


@pytest.mark.parametrize(
    "reason", ["pending", "replay", "rejected", "disputed", "absent", "corrupt", "collision"]
)
def test_few_unsettled_entries_are_kept_and_do_not_pin(reason: str) -> None:
    """The file goes, they stay."""
    decision = plan(attrs.evolve(FACTS, unsettled=(entry(7, reason), entry(3, reason))))
    assert decision.may_go
    assert decision.keep == ((3, reason), (7, reason))


def test_unknown_entry_of_a_final_window_was_shown_by_it() -> None:
    """The match counted it; in any other window it is kept."""
    unknown = attrs.evolve(
        FACTS, unsettled=(entry(1, DeliveryState.UNKNOWN), entry(11, "unknown", HOUR + 1, "visits"))
    )
    assert plan(unknown).keep == ()
    decision = plan(unknown, lambda collection, hour: collection == "purchases", reclaim_unverified=True)
    assert decision.keep == ((11, "unknown"),)
    assert decision.unverified == 4


def test_entries_of_the_future_are_kept() -> None:
    """A timestamp in the year 2100 does not pin today's file until then."""
    hour = HOUR + 100 * 365 * 24
    facts = attrs.evolve(
        FACTS, cells=(*FACTS.cells, CellFacts("purchases", hour, 1)), future=(entry(15, "future", hour),)
    )
    decision = plan(facts, lambda collection, asked: asked != hour)
    assert decision.may_go
    assert decision.keep == ((15, "future"),)


def test_too_many_unsettled_entries_pin_the_file() -> None:
    """A server that was down for two months: the file itself is the better place."""
    unsettled = tuple(entry(seq, "pending") for seq in range(1, KEPT_ENTRIES_MAX + 2))
    decision = plan(attrs.evolve(FACTS, unsettled=unsettled))
    assert decision.pins == (f"more than {KEPT_ENTRIES_MAX:,} unsettled entries",)


def test_log_over_its_size_horizon_gives_up_final_segments_before_their_time_oldest_first() -> None:
    """As many as are needed, none that is unverified, none that something of has to stay."""
    young = [
        attrs.evolve(FACTS, name=SegmentName(f"2026-11-{day}", "4kq7x2m9pz"), newest_ms=NOW_MS - MS_PER_DAY)
        for day in (12, 10, 11)
    ]
    young[1] = attrs.evolve(young[1], unsettled=(entry(1, "rejected"),))
    decisions = plan_reclaim(
        young,
        now_ms=NOW_MS,
        config=LogConfig(log_size_max_bytes=10_000, reclaim_unverified=True),
        log_size_bytes=8_500,
        is_final=always,
    )
    assert [(decision.name.day, decision.may_go) for decision in decisions] == [
        ("2026-11-10", False),
        ("2026-11-11", True),
        ("2026-11-12", False),
    ]
    assert not plan(young[0], never, size=9_999, log_size_max_bytes=10_000, reclaim_unverified=True).may_go


# ---- warnings ---------------------------------------------------------------------------


def horizons(facts: SegmentFacts, is_final: Any = never, **settings: Any) -> Any:
    return plan_horizons([facts], now_ms=NOW_MS, config=LogConfig(**settings), is_final=is_final)


def test_warning_comes_a_week_before_and_not_earlier() -> None:
    """With days left, and how many events."""
    near = attrs.evolve(FACTS, newest_ms=NOW_MS - 54 * MS_PER_DAY)
    (horizon,) = horizons(near)
    assert (horizon.days, horizon.unverified, horizon.unsent, horizon.will_go) == (6.0, 15, 0, 0)
    assert horizons(attrs.evolve(FACTS, newest_ms=NOW_MS - 52 * MS_PER_DAY)) == []


def test_final_segment_is_no_cause_for_warning() -> None:
    """It goes as it should."""
    assert horizons(FACTS, always) == []


def test_warning_says_what_will_go_unverified() -> None:
    """Only where that is allowed; what is unsent never goes."""
    facts = attrs.evolve(FACTS, unsettled=(entry(1, "pending"), entry(2, "unknown")))
    (horizon,) = horizons(facts, reclaim_unverified=True)
    assert (horizon.unsent, horizon.unverified, horizon.will_go) == (2, 15, 13)


def test_entries_nobody_has_folded_are_unsent() -> None:
    """The sender has not run for two months."""
    (horizon,) = horizons(attrs.evolve(FACTS, cells=(), unfolded=1_000, is_drained=False))
    assert (horizon.unsent, horizon.unverified, horizon.days) == (1_000, 0, -1.0)


def test_most_urgent_comes_first() -> None:
    """Whatever the order of the files."""
    later = attrs.evolve(
        FACTS, name=SegmentName("2026-09-30", "4kq7x2m9pz"), newest_ms=OLD_MS + 6 * MS_PER_DAY
    )
    found = plan_horizons([later, FACTS], now_ms=NOW_MS, config=LogConfig(), is_final=never)
    assert [horizon.days for horizon in found] == [-1.0, 5.0]


def test_young_segment_is_not_looked_into_for_warnings() -> None:
    """Its name tells that it cannot be near; a clock one day back is allowed for."""
    config = LogConfig()
    assert is_near_horizon(NOW_MS - 54 * MS_PER_DAY, NOW_MS, config)
    assert not is_near_horizon(NOW_MS - 50 * MS_PER_DAY, NOW_MS, config)


def looks(*hours_and_agrees: tuple[float, bool | None]) -> list[bool]:
    """Whether the clock was trusted at looks so many hours after the first."""
    last: ClockLook | None = None
    trusted = []
    for hours, agrees in hours_and_agrees:
        last = look_at_clock(last, NOW_MS + round(hours * MS_PER_HOUR), agrees=agrees)
        trusted.append(last.is_trusted)
    return trusted


@pytest.mark.parametrize(
    ("hours", "trusted"),
    [
        ([0, 1, 2], [True, True, True]),
        ([0, 24.1, 48.3], [True, True, True]),  # once a day, a little later each time
        ([0, 1464, 1465, 1477], [True, False, False, True]),  # a machine that was off for 61 days
        ([0, 168, 336], [True, False, True]),  # once a week
        ([0, 1464, 1, 2, 14], [True, False, False, False, True]),  # it was the clock, and was set right
    ],
)
def test_a_clock_that_leapt_is_not_believed_until_time_has_gone_on_from_there(
    hours: list[float], trusted: list[bool]
) -> None:
    """Where no server was asked, a leap may be a machine that slept, or a clock that went wrong."""
    assert looks(*((at, None) for at in hours)) == trusted


def test_a_server_that_was_asked_decides_at_once() -> None:
    """Its clock agrees: no leap is doubted. It does not: no look is trusted, nor the next without it."""
    assert looks((0, True), (1464, True), (1465, None)) == [True, True, True]
    assert looks((0, True), (1, False), (2, None), (14, None)) == [True, False, False, True]
    assert looks((0, False), (1, False), (24, False), (48, True)) == [False, False, False, True]
