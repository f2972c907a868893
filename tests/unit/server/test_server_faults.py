"""Faults: what the command line and the control endpoint may say, and what is drawn from it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keen_client.server.faults import (
    NAMES,
    PROBABILITIES,
    Chance,
    Faults,
    Spread,
    Window,
    format_duration,
    parse_duration,
    parse_faults,
)
from keen_client.server.misbehaviour import SPARED, FaultEngine


def test_every_fault_of_the_contract_is_understood() -> None:
    """Each name takes the value that the contract gives as its form."""
    faults = parse_faults(
        [
            *(f"{name}=0.25" for name in PROBABILITIES),
            "delay=0.05:2s",
            "shift=1:5d",
            "forget=2026-10-01T00:00:00Z/2026-10-02",
            "rate-limit=200",
            "slow=500ms",
            "tokens=visible",
            "vanish=0.1:3d",
            "stale-reads=1h",
            "digits=15",
            "scan-cap=1000",
            "group-cap=50",
        ]
    )
    assert all(faults.chance(name) == Chance(0.25) for name in PROBABILITIES)
    assert faults.spread("delay") == Spread(0.05, 2_000)
    assert faults.spread("shift") == Spread(1.0, 5 * 86_400_000)
    assert faults.forget == Window(1_790_812_800_000, 1_790_899_200_000)
    assert (faults.rate_limit, faults.slow_ms, faults.tokens) == (200, 500, "visible")
    assert faults.spread("vanish") == Spread(0.1, 3 * 86_400_000)
    assert [faults.number(name) for name in ("stale-reads", "digits", "scan-cap", "group-cap")] == [
        3_600_000,
        15,
        1000,
        50,
    ]
    assert set(faults.document()) == set(NAMES)
    assert Faults().changed(faults.document()) == faults


@pytest.mark.parametrize(
    ("text", "clue"),
    [
        ("loose=0.1", "no such fault"),
        ("lose", "needs a value"),
        ("lose=2", "between 0 and 1"),
        ("lose=-0.1", "between 0 and 1"),
        ("lose=nan", "between 0 and 1"),
        ("lose=often", "lose=0.02"),
        ("delay=0.5", "not a duration"),
        ("delay=0.5:2w", "not a duration"),
        ("forget=2026-10-01", "forget="),
        ("forget=2026-10-02/2026-10-01", "ends before it starts"),
        ("rate-limit=0", "at least 1"),
        ("slow=fast", "not a duration"),
        ("tokens=maybe", "edge, visible or off"),
        ("vanish=0.5", "vanish=0.05:2h"),
        ("stale-reads=0.5", "stale-reads=1h"),
        ("digits=18", "at most 17"),
        ("scan-cap=0", "at least 1"),
        ("group-cap=few", "group-cap=50000"),
    ],
)
def test_a_wrong_fault_is_refused_and_named(text: str, clue: str) -> None:
    """The message names the fault or shows what would have been right."""
    with pytest.raises(ValueError, match=clue):
        parse_faults([text])


def test_a_probability_of_zero_means_off() -> None:
    """Zero is valid and turns nothing on."""
    assert parse_faults(["lose=0", "cut-after-store=0.0"]) == Faults()


@given(st.integers(min_value=0, max_value=10**12))
def test_durations_survive_being_written(duration_ms: int) -> None:
    """What is written is read back as the same duration."""
    assert parse_duration(format_duration(duration_ms)) == duration_ms


@pytest.mark.parametrize("nothing", [None, 0, 0.0, False])
def test_changes_add_replace_and_remove(nothing: Any) -> None:
    """The control endpoint's form: numbers and text set, null and zero remove."""
    faults = parse_faults(["lose=0.5", "slow=1s"])
    faults = faults.changed({"lose": 0.1, "duplicate": "0.2", "delay": "1:1h"})
    assert faults.chance("lose") == Chance(0.1)
    assert faults.changed({"lose": nothing, "duplicate": None, "delay": None, "slow": None}) == Faults()


@pytest.mark.parametrize("changes", [{"lose": 0.1, "no": 1}, {"lose": {"times": 0}}, {"lose": {"n": 1}}])
def test_a_wrong_change_is_refused(changes: dict[str, Any]) -> None:
    """An unknown name or a malformed count raises."""
    with pytest.raises(ValueError, match="fault"):
        Faults().changed(changes)


def test_a_counted_fault_strikes_exactly_so_often() -> None:
    """``{"times": 2}`` strikes the next two occasions and then is gone."""
    engine = FaultEngine()
    engine.change({"cut-after-store": {"times": 2}})
    assert [engine.strikes("cut-after-store") for _ in range(4)] == [True, True, False, False]
    assert engine.counters == {"cut-after-store": 2}
    assert engine.faults == Faults()


def test_the_same_seed_draws_the_same_fates(seed: int) -> None:
    """Two engines with one seed agree about every event; that is what makes a night repeatable."""
    texts = ["lose=0.3", "duplicate=0.3", "null-properties=0.2", "delay=0.5:1h", "shift=0.2:1h", "reject=0.1"]
    one, other = (FaultEngine(parse_faults(texts), seed) for _ in range(2))
    fates = [one.fate("c", str(number), number) for number in range(200)]
    assert fates == [other.fate("c", str(number), number) for number in range(200)]
    assert len(set(fates)) > 2


def test_an_event_is_lost_at_most_once() -> None:
    """A resend under the token of a lost event lands; an event without a token is a new one each time."""
    engine = FaultEngine(parse_faults(["lose=1"]))
    assert engine.fate("c", "t", 1).lost
    assert engine.fate("c", "t", 1) is SPARED
    assert engine.fate("other", "t", 1).lost
    assert engine.fate("c", None, 1).lost
    assert engine.fate("c", None, 1).lost
    assert engine.counters == {"lose": 4}


def test_a_forgotten_window_forgets_first_sightings_only() -> None:
    """Events inside the window vanish, those outside stay, and a resend of a forgotten one lands."""
    engine = FaultEngine(parse_faults(["forget=1970-01-01/1970-01-02"]))
    assert engine.fate("c", "t", 86_399_999).forgotten
    assert engine.fate("c", "t", 86_399_999) is SPARED
    assert engine.fate("c", "u", 86_400_000) is SPARED


def test_a_delay_lies_above_zero_and_at_most_at_its_bound(seed: int) -> None:
    """A delayed event is never visible at once and never later than promised."""
    engine = FaultEngine(parse_faults(["delay=1:5ms"]), seed)
    delays = {engine.fate("c", None, 1).delay_ms for _ in range(300)}
    assert delays == {1, 2, 3, 4, 5}


def test_the_rate_limit_blocks_for_a_minute() -> None:
    """The query over the limit and all of the following minute are refused, then it starts anew."""
    engine = FaultEngine(parse_faults(["rate-limit=2"]))
    second = 1_000_000_000
    assert [engine.over_rate_limit(at * second) for at in (0, 1, 2, 30, 61)] == [
        False,
        False,
        True,
        True,
        True,
    ]
    assert not engine.over_rate_limit(63 * second)


def test_a_partial_read_draws_a_new_choice_each_time() -> None:
    """Each query misses other events; without the fault nothing is drawn."""
    engine = FaultEngine(parse_faults(["partial-reads=0.5"]), 1)
    first, second = engine.partial_read(), engine.partial_read()
    assert first is not None
    assert second is not None
    assert first[0] == second[0] == 0.5
    assert first[1] != second[1]
    assert FaultEngine().partial_read() is None
