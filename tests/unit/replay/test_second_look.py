"""After something was resent a night looks again at the windows that it looked at, and at no others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from keen_client.verify.verdict import Verdict

if TYPE_CHECKING:
    from tests.unit.replay.conftest import Rig

#: The hour of the rig's events.
START = datetime(2026, 10, 1, tzinfo=UTC)


def test_windows_that_are_not_due_are_neither_read_nor_reported_after_a_replay(rig: Rig) -> None:
    """A day of windows too young to judge, and one event resent: the exit is 64 alone, and not an observation more."""
    state = rig.client._core.need_machinery().log.state

    def reads() -> dict[int, int]:
        with state.reading() as db:
            return dict(db.execute("SELECT start_ms, count(*) FROM observations GROUP BY start_ms"))

    rig.record_and_send(20, lose=1)
    rig.advance(hours=26)
    assert rig.nightly().exit_status() == 4
    rig.advance(hours=12)
    young = [START + timedelta(hours=hour) for hour in range(26, 38)]
    for at in young:
        rig.client.add_event("purchases", {"price": 1}, at)
    rig.client.flush()
    rig.advance(hours=12)
    before = reads()
    report = rig.nightly()

    assert len(report.replay.replayed) == 1
    assert [window.start for window in report.before.windows] == [START]
    assert [(window.start, window.state) for window in report.after.windows] == [(START, Verdict.REPLAYED)]
    assert (report.before.not_due, report.after.not_due, report.exit_status()) == (12, 12, 64)
    assert report.after.cost.bytes <= report.before.cost.bytes
    (first,) = before
    assert reads() == {first: before[first] + 2}


def test_a_night_over_a_given_day_looks_at_all_of_it_again(rig: Rig) -> None:
    """Whoever names the windows is told of each of them, before and after."""
    rig.nightly("immediate")
    rig.record_and_send(5, lose=1)
    rig.client.add_event("purchases", {"price": 1}, START + timedelta(hours=3))
    rig.client.flush()
    report = rig.night().run("2026-10-01", "2026-10-02")
    assert len(report.replay.replayed) == 1
    assert [len(look.windows) for look in (report.before, report.after)] == [2, 2]
    assert report.exit_status() == 0
