"""Windows that can no longer be verified: a night reports them unasked, for as long as nights look back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from keen_client._foundation.randomness import SystemRandomness
from keen_client.eventlog.config import LogConfig
from keen_client.eventlog.repair import repair
from keen_client.report.terminal import verification_lines
from keen_client.verify.verdict import Verdict

if TYPE_CHECKING:
    from tests.unit.replay.conftest import Rig


@pytest.fixture
def broken(rig: Rig) -> Rig:
    """A log that lost the file of its first day, with events of which nobody knows; a repair has settled that."""
    rig.record_and_send(5)
    rig.record(3)
    rig.advance(hours=26)
    rig.client.add_event("purchases", {"price": 1})
    directory = rig.client._core.need_machinery().log.directory
    rig.client.close(0)
    for path in directory.segments.glob("2026-10-01-*"):
        path.unlink()
    repair(directory, LogConfig(), rig.clock, SystemRandomness())
    rig.client = rig.open()
    return rig


def test_a_night_reports_what_it_cannot_verify_and_sets_its_bit(broken: Rig) -> None:
    """Each night, with its reason and 32, and without a query; what can be verified matches beside it."""
    requests: list[int] = []
    for _ in range(4):
        broken.advance(hours=30)
        report = broken.nightly()
        (window,) = (w for w in report.after.windows if w.state is Verdict.UNVERIFIABLE)
        assert "is damaged, and entries of it may be lost" in window.reason
        assert (window.local_count, window.server_count, window.foreign) == (5, None, None)
        assert report.exit_status() == 32
        requests.append(report.after.cost.requests)
    assert requests[-1] == 0


def test_after_ten_days_it_is_counted_apart(broken: Rig) -> None:
    """No bit and no window any more, nor one that waits for its time: a number of its own, in the text too."""
    broken.advance(hours=30)
    assert broken.nightly().exit_status() == 32
    broken.advance(hours=14 * 24)
    report = broken.nightly()
    summary = report.after.document()["summary"]
    assert report.exit_status() == 0
    assert (summary["past_checking"], summary["states"].get("unverifiable")) == (1, None)
    lines = [str(line) for line in verification_lines(report.after, "nightly")]
    assert any(line.startswith("1 old window cannot be verified any more") for line in lines)


def test_a_day_that_is_found_to_be_lost_late_is_told_from_then_on(rig: Rig) -> None:
    """Its windows were final for weeks when the file was given up: ten days count from the finding."""
    rig.record_and_send(5)
    rig.advance(hours=40 * 24)
    rig.client.add_event("purchases", {"price": 1})
    state = rig.client._core.need_machinery().log.state
    with state.transaction() as db:
        (origin,) = db.execute("SELECT origin FROM origins ORDER BY made_ms LIMIT 1").fetchone()
        db.execute(
            "INSERT INTO damages (at_ms, origin, file, reason, salvaged, lost) VALUES (?, ?, ?, 'damaged', 0, NULL)",
            (rig.clock.wall_ms(), origin, f"2026-10-01-{origin}.db"),
        )
    for days, told in ((1, 1), (8, 1), (2, 0)):
        rig.advance(hours=days * 24)
        states = [window.state for window in rig.nightly().after.windows]
        assert states.count(Verdict.UNVERIFIABLE) == told


def test_a_date_that_means_never_is_told_for_ten_days_and_not_until_then(rig: Rig) -> None:
    """The last hour of the year 9999 can be asked for by nobody: nights tell it while it is new."""
    rig.client.add_event("purchases", {"price": 1}, "9999-12-31T23:59:59.999Z")
    rig.client.flush()
    for hours, told in ((30, 1), (8 * 24, 1), (3 * 24, 0), (24, 0)):
        rig.advance(hours=hours)
        report = rig.nightly()
        assert [w.state for w in report.after.windows].count(Verdict.UNVERIFIABLE) == told
        assert report.after.past_checking == 1 - told


def test_a_second_look_tells_it_again_without_asking(broken: Rig) -> None:
    """Where something is resent that night, the window is in both reports."""
    broken.nightly("immediate")
    broken.server.faults.change({"lose": {"times": 1}})
    broken.client.add_event("purchases", {"price": 2})
    broken.client.flush()
    report = broken.nightly("immediate")
    assert len(report.replay.replayed) == 1
    for look in (report.before, report.after):
        assert [w.state for w in look.windows].count(Verdict.UNVERIFIABLE) == 1
    assert report.exit_status() == 32
