"""What a clock that was wrong while sending does to a verification once it was put right: nothing but a longer wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from keen_client._foundation.clock import MS_PER_HOUR
from keen_client.api.cost import ServerClock
from keen_client.eventlog.entry import DeliveryState
from keen_client.verify.report import VerifyReport, WindowReport
from keen_client.verify.state import DATED_AHEAD
from keen_client.verify.verdict import Verdict
from keen_client.verify.windows import Scope

if TYPE_CHECKING:
    from tests.unit.verify.conftest import World

HOUR = 1_790_812_800_000
YEAR_SECONDS = 365 * 86_400
SCOPE = Scope(start_ms=HOUR, end_ms=HOUR + 6 * MS_PER_HOUR)


def night(world: World, *, server_ahead_seconds: int = 0) -> VerifyReport:
    """A day and more later, what is due, with a server whose clock is so far ahead of this machine's."""
    world.advance(hours=26)

    def answer(number: int, query: object) -> None:
        now_ms = world.clock.wall_ms()
        world.server.server_clock = ServerClock(
            server_ms=now_ms + server_ahead_seconds * 1_000, local_ms=now_ms, elapsed_seconds=0.1
        )

    world.server.before_query = answer
    return world.verifier("standard").verify(SCOPE, due_only=True)


def only(report: VerifyReport) -> WindowReport:
    """The one window of *report*."""
    (window,) = report.windows
    return window


@pytest.mark.parametrize("ahead_seconds", [0, YEAR_SECONDS])
def test_a_loss_is_found_though_the_clock_was_a_year_ahead_at_the_send(
    world: World, ahead_seconds: int
) -> None:
    """The settle time begins at the first night by an honest clock, and that night is not green."""
    ids = world.record(3, at_ms=HOUR)
    world.clock.step_wall(ahead_seconds)
    world.send(lose={ids[1]})
    world.clock.step_wall(-ahead_seconds)
    if ahead_seconds:
        first = night(world)
        assert (only(first).state, only(first).reason, first.exit_status()) == (
            Verdict.SETTLING,
            DATED_AHEAD,
            32,
        )
    for eligible in ((), (ids[1],)):
        assert only(night(world)).eligible == eligible


def test_who_does_not_know_that_its_clock_is_right_dates_nothing_anew(world: World) -> None:
    """It may be this machine's that is behind now: then the attempts are right, and to lower them would cut their rest short."""
    world.record(3, at_ms=HOUR)
    sent_ms = world.clock.wall_ms() + YEAR_SECONDS * 1_000
    world.clock.step_wall(YEAR_SECONDS)
    world.send()
    world.clock.step_wall(-YEAR_SECONDS)
    assert only(night(world, server_ahead_seconds=YEAR_SECONDS)).state is Verdict.SETTLING
    assert world.log.totals.last_attempts("purchases", HOUR, HOUR + MS_PER_HOUR, MS_PER_HOUR) == {
        HOUR: sent_ms
    }


@pytest.mark.parametrize("behind_seconds", [0, 3 * 86_400])
def test_an_unanswered_event_that_is_late_is_not_missing_though_the_clock_was_behind(
    world: World, behind_seconds: int
) -> None:
    """Put right within the settle time, it does not make that over."""
    world.clock.step_wall(-behind_seconds)
    ids = world.record(2, at_ms=HOUR)
    world.send(DeliveryState.UNKNOWN, lose=ids)
    world.clock.step_wall(behind_seconds)
    for _ in range(3):
        world.advance(hours=5.5)
        for window in world.verify("standard").windows:
            assert (window.state, window.missing, window.eligible) == (Verdict.SETTLING, (), ())
    for eligible in ((), tuple(ids)):
        assert only(night(world)).eligible == eligible
