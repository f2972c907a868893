"""What goes unverified: only where nobody ever verifies, or by permission; and it is warned of for a day."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from keen_client._foundation.clock import MS_PER_DAY

MakeTill = Callable[..., Any]
#: With some seconds, so that no look comes a moment too early.
DAY_SECONDS = MS_PER_DAY / 1000 + 5
#: Old after five days, warned of from the third on.
SHORT = {"retention_days": 5.0, "warn_days": 3.0, "durability": "normal"}


def live(till: Any, days: int) -> list[tuple[int, Any]]:
    """Let days pass, with a look at the log on each; (day, warning) of all that was warned of."""
    told: list[tuple[int, Any]] = []
    for day in range(days):
        till.clock.turn(DAY_SECONDS)
        if day == 0:
            till.record(collection="heartbeats")
            till.log.tend()
            till.send()
            till.drain()
        told += [(day, warning) for warning in till.log.tend()]
    return told


def first_day(till: Any) -> str:
    """A first day's events, sent; their segment's origin."""
    ids = till.record(3)
    till.send()
    return str(ids[0].origin)


def test_a_log_that_nobody_verifies_rolls_after_it_was_warned_of(make_till: MakeTill) -> None:
    """What was acknowledged goes after retention, counted; the warnings come daily, from `warn_days` before on."""
    till = make_till(**SHORT)
    origin = first_day(till)
    told = [(day, warning) for day, warning in live(till, 7) if warning.name.origin == origin]

    assert till.status(origin) == "reclaimed"
    assert till.log.state.counter("reclaimed_unverified") == 3
    assert [warning.will_go for _, warning in told] == [3] * len(told)
    days = [day for day, _ in told]
    assert days == list(range(days[0], days[-1] + 1))
    assert len(days) >= 3


@pytest.mark.parametrize("trace", ["a_reader", "a_nightly_job", "a_read", "a_probe"])
def test_a_log_that_somebody_verifies_keeps_what_is_not_verified(make_till: MakeTill, trace: str) -> None:
    """Whatever keys the sender's own process has: one trace of a reader in the log is enough."""
    till = make_till(**SHORT)
    origin = first_day(till)
    _leave(till, trace)
    assert live(till, 7) == []
    assert till.status(origin) == "drained"
    assert till.log.state.counter("reclaimed") == 0


def _leave(till: Any, trace: str) -> None:
    state = till.log.state
    if trace == "a_reader":
        till.log.note_reader()
        return
    if trace == "a_nightly_job":
        state.note("last_nightly_ms", "1")
        return
    with state.transaction() as db:
        if trace == "a_probe":
            db.execute("INSERT INTO probes VALUES ('tokens', 1, 'true', NULL)")
        else:
            db.execute(
                "INSERT INTO observations (collection, start_ms, end_ms, at_ms, verdict, reason, expected, counted,"
                " fingerprint) VALUES ('purchases', 0, 1, 1, 'match', '', 0, 0, '')"
            )


def test_a_reader_who_comes_late_keeps_what_was_warned_of(make_till: MakeTill) -> None:
    """The warning is there to be heeded: from then on nothing goes unverified."""
    till = make_till(**SHORT)
    origin = first_day(till)
    assert live(till, 4)
    till.log.note_reader()
    assert live(till, 4) == []
    assert till.status(origin) == "drained"


def test_what_was_never_warned_of_waits_for_a_day(make_till: MakeTill) -> None:
    """The sender may have been away while there was time for warnings."""
    till = make_till(**{**SHORT, "warn_days": 0.0})
    origin = first_day(till)
    told = live(till, 5)
    assert till.status(origin) == "drained"
    told += live(till, 2)
    assert till.status(origin) == "reclaimed"
    assert any(warning.name.origin == origin for _, warning in told)


def test_a_warning_by_a_clock_that_was_ahead_is_none(make_till: MakeTill) -> None:
    """Put right, it warns anew and waits for a day from then on."""
    till = make_till(**SHORT)
    origin = first_day(till)
    live(till, 1)
    till.clock.now_ms += 400 * MS_PER_DAY
    till.clock.turn(3_600)
    assert origin in {warning.name.origin for warning in till.log.tend()}
    till.clock.now_ms -= 400 * MS_PER_DAY
    told = live(till, 7)
    assert any(warning.name.origin == origin for _, warning in told)
    assert till.status(origin) == "reclaimed"


def test_permission_needs_no_warning_time(make_till: MakeTill) -> None:
    """Who permitted it has decided; the warnings come all the same."""
    till = make_till(**{**SHORT, "warn_days": 0.0}, reclaim_unverified=True)
    origin = first_day(till)
    till.log.note_reader()
    assert any(warning.name.origin == origin for _, warning in live(till, 5))
    assert till.status(origin) == "reclaimed"
