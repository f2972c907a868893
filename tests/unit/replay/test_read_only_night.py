"""A night without a write key: it verifies, sends and probes nothing, and says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from keen_client import InvalidEnvironmentError, KeenClient
from keen_client.client.wiring import Seams
from keen_client.replay.night import NO_WRITE_KEY
from keen_client.verify.verdict import Verdict

if TYPE_CHECKING:
    from tests.unit.replay.conftest import Rig

DAY = ("2026-10-01", "2026-10-02")


def reader(rig: Rig) -> KeenClient:
    """A client of the same log that may only read."""
    return KeenClient(
        rig.server.project_id,
        None,
        rig.server.read_key,
        base_url=rig.server.url,
        log=rig.path,
        background=False,
        http_client=rig.http,
        seams=Seams(clock=rig.clock),
    )


def test_a_night_without_a_write_key_verifies_and_warns(rig: Rig) -> None:
    """Everything matches, so the status is 0; that nothing could be sent or probed stands in the report."""
    rig.record_and_send(5)
    rig.advance(hours=26)
    uploads = rig.uploads
    with reader(rig) as client:
        report = client.nightly()
    assert [window.state for window in report.after.windows] == [Verdict.MATCH]
    assert report.warnings == (NO_WRITE_KEY,)
    assert report.document()["warnings"] == [NO_WRITE_KEY]
    assert (report.exit_status(), rig.uploads) == (0, uploads)


def test_what_waits_is_counted_and_stays(rig: Rig) -> None:
    """Unsent events are pending in the report, with the reason and bit 32; not one of them is touched."""
    rig.record(3)
    rig.advance(hours=26)
    with reader(rig) as client:
        report = client.nightly()
    assert (report.sent.pending, report.sent.reason) == (3, "there is no write key")
    (window,) = report.after.windows
    assert (window.state, window.local_count) == (Verdict.SETTLING, 3)
    assert report.exit_status() == 32
    assert rig.uploads == 0
    assert rig.client.flush().acknowledged == 3


def test_what_is_proven_missing_is_planned_and_not_resent(rig: Rig) -> None:
    """The second night would resend: without the key it stops, and the window stays short, bit 4."""
    rig.record_and_send(20, lose=2)
    uploads = rig.uploads
    with reader(rig) as client:
        rig.advance(hours=26)
        client.nightly()
        rig.advance(hours=6)
        report = client.nightly()
        plan = client.replay(*DAY, yes=True)
    assert len(report.replay.planned) == len(plan.planned) == 2
    assert report.replay.stopped == plan.stopped == NO_WRITE_KEY
    assert (report.exit_status(), rig.uploads, rig.replayed()) == (4, uploads, [])


def test_with_the_key_nothing_is_warned_of(rig: Rig) -> None:
    """The next night that has it does what was left, and warns of nothing."""
    rig.record_and_send(20, lose=2)
    with reader(rig) as client:
        rig.advance(hours=26)
        client.nightly()
    rig.advance(hours=6)
    report = rig.nightly()
    assert report.warnings == ()
    assert len(report.replay.replayed) == 2


def test_without_a_read_key_there_is_no_night(rig: Rig) -> None:
    """Nothing can be verified, and that is an error."""
    client = KeenClient(
        rig.server.project_id,
        rig.server.write_key,
        base_url=rig.server.url,
        log=rig.path,
        background=False,
        http_client=rig.http,
        seams=Seams(clock=rig.clock),
    )
    rig.record_and_send(1)
    rig.advance(hours=26)
    with client, pytest.raises(InvalidEnvironmentError, match="KEEN_READ_KEY"):
        client.verify(*DAY)
