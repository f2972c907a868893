"""A second night soon after a finding: nothing is due, and what is known to be wrong is told all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keen_client.report.terminal import verification_lines

if TYPE_CHECKING:
    from tests.unit.replay.conftest import Rig


def test_a_known_loss_is_told_by_a_night_that_asks_nothing(rig: Rig) -> None:
    """No bit, as for all that is not due; but a count, in the document and in the text, until it is seen to match."""
    rig.record_and_send(20, lose=1)
    told: list[tuple[int, int]] = []
    for hours in (26, 1, 23, 1, 30, 1):
        rig.advance(hours=hours)
        report = rig.nightly()
        summary = report.after.document()["summary"]
        told.append((report.exit_status(), summary["not_due_differing"]))
        lines = [str(line) for line in verification_lines(report.after, "nightly")]
        assert ("of those not due 1 window differs, or waits to be seen after a replay" in lines) is bool(
            summary["not_due_differing"]
        )
    # found, not due yet; resent, not due yet; seen again, and quiet
    assert told == [(4, 0), (0, 1), (64, 0), (0, 1), (0, 0), (0, 0)]
