"""A night whose write key may not write: verifying needs none, so the night verifies, and says what it could not do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from keen_client import KeenClient
from keen_client.client.wiring import Seams
from keen_client.errors import AuthenticationError, ForbiddenError
from keen_client.verify.verdict import Verdict

if TYPE_CHECKING:
    from tests.unit.replay.conftest import Rig


def opened(rig: Rig, write_key: str, read_key: str) -> KeenClient:
    """A client of the same log with other keys."""
    return KeenClient(
        rig.server.project_id,
        write_key,
        read_key,
        base_url=rig.server.url,
        log=rig.path,
        background=False,
        http_client=rig.http,
        seams=Seams(clock=rig.clock),
    )


@pytest.mark.parametrize("is_known", [True, False])
def test_a_key_that_may_not_write_stops_no_verification(rig: Rig, is_known: bool) -> None:
    """Refused with 403 (a key of another class) or 401 (of none): the night matches, and warns of the probe."""
    rig.record_and_send(5)
    rig.advance(hours=26)
    rig.client.close(0)
    with opened(rig, rig.server.read_key if is_known else "f" * 64, rig.server.read_key) as client:
        report = client.nightly()
    assert [window.state for window in report.after.windows] == [Verdict.MATCH]
    (warning,) = report.warnings
    assert warning.startswith("whether the server honours tokens could not be probed: ")
    assert report.exit_status() == 0


def test_a_key_that_may_not_read_ends_the_night(rig: Rig) -> None:
    """Nothing can be verified then, and the error says so."""
    rig.record_and_send(5)
    rig.advance(hours=26)
    rig.client.close(0)
    with (
        opened(rig, rig.server.write_key, rig.server.write_key) as client,
        pytest.raises((AuthenticationError, ForbiddenError)),
    ):
        client.nightly()
