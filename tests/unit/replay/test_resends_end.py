"""Replays of one event end: a key that does not see it costs three copies and no more."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest

from keen_client import KeenClient
from keen_client._foundation.clock import MS_PER_DAY, ms_to_datetime
from keen_client.client.wiring import Seams
from keen_client.events.identity import EntryId
from keen_client.verify.presets import PRESETS
from keen_client.verify.resends import RESENDS_MAX, Resends, may_be_resent

DAY = ("2026-10-01", "2026-10-02")


def look_through_a_filter(rig: Any) -> None:
    """From now on the read key is an access key whose queries see the customer ``shown`` only."""
    seen = {"property_name": "customer", "operator": "eq", "property_value": "shown"}
    made = httpx.post(
        f"{rig.server.url}/3.0/projects/{rig.server.project_id}/keys",
        headers={"Authorization": rig.server.master_key},
        json={
            "name": "dashboard",
            "is_active": True,
            "permitted": ["queries"],
            "options": {"queries": {"filters": [seen]}},
        },
    )
    rig.client.close(0)
    rig.client = KeenClient(
        rig.server.project_id,
        rig.server.write_key,
        made.json()["key"],
        base_url=rig.server.url,
        log=rig.path,
        durability="normal",
        background=False,
        http_client=rig.http,
        seams=Seams(clock=rig.clock),
    )


def record_one_hidden(rig: Any) -> EntryId:
    """One event that the filter hides, beside nine that it shows."""
    at = ms_to_datetime(rig.clock.wall_ms())
    for number in range(9):
        rig.client.add_event("purchases", {"customer": "shown"}, at + timedelta(seconds=number))
    receipt = rig.client.add_event("purchases", {"customer": "hidden"}, at + timedelta(minutes=1))
    assert rig.client.flush().acknowledged == 10
    return EntryId.parse(receipt.id)


def copies(rig: Any, entry_id: EntryId) -> int:
    """How often the event is at the server, whoever looks."""
    rig.client.close(0)
    rig.client = rig.open()
    return int(rig.there()[str(entry_id)])


def test_a_filtered_read_key_makes_three_resends_and_then_a_finding(rig: Any) -> None:
    """Night after night: twice under the first token, once under a second one after its patience, and no more."""
    rig.server.faults.change({"tokens": "off"})
    look_through_a_filter(rig)
    hidden = record_one_hidden(rig)
    resent: list[int] = []
    for hours in (30, 30, 30, 30, 30, 30, 7 * 24, 30, 30, 30, 30, 30):
        rig.advance(hours=hours)
        report = rig.client.replay(*DAY, yes=True)
        resent.append(len(report.replayed))
    assert [len(report.replayed), sum(resent)] == [0, RESENDS_MAX]
    assert [tier for _, _, tier in rig.replayed()] == [0, 0, 1]
    (window,) = report.verification.windows
    assert (str(window.state), report.exit_status()) == ("short", 4)
    assert window.missing == window.given_up == (hidden,)
    assert window.eligible == ()
    (warning,) = report.verification.warnings
    for part in ("1 event ", "read key", "filter", "dead retry", "dead drop"):
        assert part in warning
    assert copies(rig, hidden) == 1 + RESENDS_MAX


@pytest.mark.parametrize(
    ("earlier", "may"),
    [
        (None, True),
        (Resends(0, 0, count=1), True),
        (Resends(0, MS_PER_DAY + 1, count=2), False),
        (Resends(0, MS_PER_DAY, count=2), True),
        (Resends(1, 9 * MS_PER_DAY, count=2), True),
        (Resends(0, 0, count=3), False),
        (Resends(1, 0, count=4), False),
    ],
)
def test_the_last_resend_waits_for_a_token_that_nothing_swallowed(
    earlier: Resends | None, *, may: bool
) -> None:
    """Two may go under the first token; the third only under another; a fourth never."""
    assert may_be_resent(earlier, PRESETS["standard"], 9 * MS_PER_DAY) is may
