"""Absences that one preset counted, weighed by another one: as far apart and as late as that one asks."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize(("patient", "hours"), [("standard", 5), ("ledger", 5)])
def test_absences_an_hour_apart_are_no_proof_where_five_are_asked_for(
    world: Any, patient: str, hours: int
) -> None:
    """Two of preset fast make an event eligible under fast, and under a patient one only once they lie far enough apart."""
    (lost, *_) = world.record(5)
    world.send(lose=[lost])
    world.advance(hours=24 * 9)
    world.verify("fast")
    world.advance(hours=1)
    assert world.verify("fast").eligible == (lost,)
    assert world.verify(patient).eligible == ()
    world.advance(hours=hours - 1.1)
    assert world.verify(patient).eligible == ()
    world.advance(hours=1.1)
    assert world.verify(patient).eligible == (lost,)


def test_absences_that_are_far_enough_apart_count_whichever_preset_saw_them(world: Any) -> None:
    """Five hours of hourly looks under fast are two absences five hours apart."""
    (lost, *_) = world.record(5)
    world.send(lose=[lost])
    world.advance(hours=24 * 2)
    for _ in range(6):
        report = world.verify("fast")
        world.advance(hours=1)
    assert report.eligible == (lost,)
    assert world.verify("standard").eligible == (lost,)


def test_an_absence_before_the_longer_settle_time_does_not_count_with_a_later_one(world: Any) -> None:
    """Counted by fast after 8 and 26 hours, one absence is late enough for standard, which asks for another."""
    (lost, *_) = world.record(5)
    world.send(lose=[lost])
    world.advance(hours=8)
    world.verify("fast")
    world.advance(hours=18)
    assert world.verify("fast").eligible == (lost,)
    assert world.verify("standard").eligible == ()
    world.advance(hours=5)
    assert world.verify("standard").eligible == (lost,)
