"""A run can be shown and, by hand, undone: what is printed names its copies and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keen_client.errors import UsageError
from keen_client.events.identity import EntryId
from keen_client.replay.stored_run import read_run
from keen_client.replay.undo import IDS_PER_DELETION_MAX, undo_of
from keen_client.report.run import run_lines, undo_lines

if TYPE_CHECKING:
    from tests.unit.replay.conftest import Rig

ORIGIN = "4kq7x2m9pz"


def loss_replayed(rig: Rig, *, lose: int = 2) -> tuple[list[EntryId], Any]:
    """Ten events of which some are lost and resent by run 1; the ids, and the report of that night."""
    ids = rig.record_and_send(10, lose=lose)
    rig.advance(hours=26)
    rig.nightly()
    rig.advance(hours=6)
    return ids, rig.nightly()


def test_a_finished_run_says_how_it_could_be_undone(rig: Rig) -> None:
    """Origin, attempt numbers of the run, and the ids, together."""
    ids, report = loss_replayed(rig)
    (deletion,) = report.document()["replay"]["undo"]
    assert (deletion["collection"], deletion["events"]) == ("purchases", 2)
    by_name = {(f["property_name"], f["operator"]): f["property_value"] for f in deletion["filters"]}
    assert by_name == {
        ("kc.o", "eq"): ids[0].origin,
        ("kc.a", "gte"): 100,
        ("kc.a", "lte"): 199,
        ("kc.id", "in"): [str(entry_id) for entry_id in report.replay.replayed],
    }


def test_deleting_by_the_plan_takes_exactly_the_copies_of_the_run(rig: Rig) -> None:
    """Executed by hand against a server, it leaves everything that the run did not send."""
    ids, report = loss_replayed(rig)
    assert rig.there() == dict.fromkeys(map(str, ids), 1)
    for deletion in report.document()["replay"]["undo"]:
        answer = httpx.delete(
            f"{rig.server.url}/3.0/projects/{rig.server.project_id}/events/{deletion['collection']}",
            params={"filters": orjson.dumps(deletion["filters"]).decode()},
            headers={"Authorization": rig.server.master_key},
        )
        assert answer.status_code == 204
    left = set(map(str, ids)) - set(map(str, report.replay.replayed))
    assert rig.there() == dict.fromkeys(left, 1)


def test_a_stored_run_is_read_back_with_its_states(rig: Rig) -> None:
    """Events, tiers, states and the same undo plan, long after."""
    _, report = loss_replayed(rig)
    document = read_run(rig.client._core.need_machinery().log.state, 1).document()
    assert [event["id"] for event in document["events"]] == [str(i) for i in report.replay.replayed]
    assert {(e["tier"], e["state"], e["attempt"]) for e in document["events"]} == {(0, "acknowledged", 100)}
    assert document["undo"] == report.document()["replay"]["undo"]
    assert (document["preset"], document["stopped"]) == ("standard", None)
    shown = "\n".join(line.plain for line in run_lines(document))
    assert "RUN 1" in shown
    assert "UNDO  2 copies" in shown
    assert all(event["id"] in shown for event in document["events"])


def test_a_run_that_did_not_end_or_sent_nothing_has_no_undo_plan(rig: Rig) -> None:
    """What is not sent has no copies to take back."""
    loss_replayed(rig)
    state = rig.client._core.need_machinery().log.state
    with state.transaction() as db:
        db.execute("UPDATE runs SET done_ms = NULL")
    run = read_run(state, 1)
    assert run.undo == ()
    assert "did not end" in "\n".join(line.plain for line in run_lines(run.document()))
    with state.transaction() as db:
        db.execute("UPDATE runs SET done_ms = 1, stopped = 'why'")
        db.execute("UPDATE ranges SET a = 0")
    assert read_run(state, 1).undo == ()


def test_a_run_that_there_was_not_is_a_usage_error(rig: Rig) -> None:
    """The hint names the numbers that there are."""
    state = rig.client._core.need_machinery().log.state
    with pytest.raises(UsageError, match="no replay run 7") as caught:
        read_run(state, 7)
    assert caught.value.hint == "there was none yet"


@given(st.sets(st.integers(1, 2000), max_size=300), st.integers(1, 9999))
def test_every_id_is_named_once_and_bounded(seqs: set[int], run: int) -> None:
    """However many events a run had, each is in one deletion, and no deletion names too many."""
    ids = {EntryId(ORIGIN, seq) for seq in seqs}
    plan = undo_of(run, [("c", entry_id) for entry_id in ids])
    named = [text for deletion in plan for text in deletion.filters[3].to_json()["property_value"]]
    assert sorted(named) == sorted(map(str, ids))
    assert all(deletion.events <= IDS_PER_DELETION_MAX for deletion in plan)
    low, high = ({deletion.filters[n].to_json()["property_value"] for deletion in plan} for n in (1, 2))
    assert low <= {100 * run}
    assert high <= {100 * run + 99}


def test_a_long_undo_plan_is_cut_on_the_terminal() -> None:
    """The document has it all."""
    many = undo_of(1, [("c", EntryId(ORIGIN, seq)) for seq in range(1, 1202)])
    lines = [line.plain for line in undo_lines([deletion.document() for deletion in many])]
    assert lines[-1] == "    and 3 more deletions; --json lists them all"
