"""What a night lets go, and what it keeps: nothing goes of which anything is still to be learned."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from keen_client.eventlog.reclaim import Reclaimer
from keen_client.eventlog.retention import Horizon, IsFinal
from keen_client.events.identity import EntryId
from keen_client.verify.verdict import Verdict

#: The hour of the rig's events.
FIRST = ("2026-10-01T00:00:00Z", "2026-10-01T01:00:00Z")


def entries(rig: Any, ids: list[EntryId]) -> set[EntryId]:
    """Those of *ids* that the log can still show."""
    return set(rig.client._core.need_machinery().log.shelf.pick(ids))


def remove(rig: Any, entry_id: EntryId) -> None:
    """The server loses one event that it had."""
    condition = [{"property_name": "kc.id", "operator": "eq", "property_value": str(entry_id)}]
    rig.http.delete(
        f"{rig.server.url}/3.0/projects/{rig.server.project_id}/events/purchases",
        params={"filters": orjson.dumps(condition).decode()},
        headers={"Authorization": rig.server.master_key},
    ).raise_for_status()


def test_an_event_that_another_process_misses_while_the_night_reclaims_stays_in_the_log(
    rig: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The night found the window final, somebody's `verify` finds an event gone before the file goes: it does not go."""
    ids = rig.record_and_send(5)
    rig.advance(hours=1)
    assert rig.nightly("immediate").exit_status() == 0
    rig.advance(hours=61 * 24)
    rig.record(1, "later")
    look = Reclaimer.horizons

    def lose_and_verify(self: Reclaimer, is_final: IsFinal) -> list[Horizon]:
        found = look(self, is_final)
        monkeypatch.undo()
        remove(rig, ids[2])
        (window,) = rig.night("immediate").verify(*FIRST, collections=["purchases"]).windows
        assert (window.state, set(window.missing)) == (Verdict.SHORT, {ids[2]})
        return found

    monkeypatch.setattr(Reclaimer, "horizons", lose_and_verify)
    assert rig.nightly("immediate").reclaimed.segments == 0
    assert entries(rig, ids) == set(ids)
    (window,) = rig.night("immediate").verify(*FIRST, collections=["purchases"]).windows
    assert window.vanished == (ids[2],)


def test_without_such_a_find_the_segment_goes(rig: Any) -> None:
    """The same nights, and nobody else: it is reclaimed."""
    ids = rig.record_and_send(5)
    rig.advance(hours=1)
    rig.nightly("immediate")
    rig.advance(hours=61 * 24)
    rig.record(1, "later")
    assert rig.nightly("immediate").reclaimed.segments == 1
    assert entries(rig, ids) == set()
