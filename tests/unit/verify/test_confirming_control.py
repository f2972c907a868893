"""Right before a replay: an answer that shows nothing at all confirms no absence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from keen_client._foundation.clock import MS_PER_HOUR
from keen_client.errors import UnreadableResponseError
from keen_client.events.identity import EntryId

if TYPE_CHECKING:
    from tests.unit.verify.conftest import World

HOUR = 1_790_812_800_000


def named_in(query: dict[str, Any]) -> set[str]:
    """The ids that a question names."""
    operands = query["filters"][0]["operands"]
    return {str(name) for name in operands[0]["property_value"]}


def blind_to(world: World, hidden: set[EntryId] | None = None) -> None:
    """Have questions by id show nothing of *hidden*, or nothing at all."""
    names = None if hidden is None else {str(entry_id) for entry_id in hidden}
    honest = world.server.alter

    def alter(query: dict[str, Any], result: Any) -> Any:
        if "interval" in query:
            return honest(query, result)
        return [] if names is None else [row for row in result if row["kc.id"] not in names]

    world.server.alter = alter


def test_a_server_that_shows_nothing_confirms_nothing(world: World) -> None:
    """The question names an event of the same hour that was counted; an answer without it is none."""
    ids = world.record(20)
    world.send(lose={ids[3]})
    (window,) = world.verify().windows
    assert window.eligible == (ids[3],)
    blind_to(world)
    with pytest.raises(UnreadableResponseError, match="did not show those that are known to be there"):
        world.verifier().confirm([ids[3]])
    with world.log.state.reading() as db:
        kinds = {kind for (kind,) in db.execute("SELECT DISTINCT kind FROM evidence")}
    assert kinds == {"absent"}


def test_the_control_is_no_event_that_a_read_missed(world: World) -> None:
    """Of an hour whose first events are missing, a later one is the control; one question suffices."""
    ids = world.record(20)
    world.send(lose=set(ids[:7]))
    assert set(world.verify().windows[0].eligible) == set(ids[:7])
    asked = len(world.server.queries)
    assert set(world.verifier().confirm(ids[:3]).absent) == set(ids[:3])
    (query,) = world.server.queries[asked:]
    assert named_in(query) == {str(entry_id) for entry_id in (*ids[:3], ids[7])}


def test_an_hour_that_is_gone_as_a_whole_is_confirmed_by_another_that_matched(world: World) -> None:
    """Nothing of the hour itself can be the control."""
    gone = world.record(5)
    kept = world.record(5, at_ms=HOUR + 3 * MS_PER_HOUR)
    world.send(lose=set(gone))
    assert set(world.verify().windows[0].eligible) == set(gone)
    asked = len(world.server.queries)
    assert set(world.verifier().confirm(gone).absent) == set(gone)
    assert str(kept[0]) in named_in(world.server.queries[asked])
    blind_to(world)
    with pytest.raises(UnreadableResponseError):
        world.verifier().confirm(gone)


def test_a_control_that_went_since_is_replaced_by_another(world: World) -> None:
    """One event that vanished after it was counted stops no replay of the others."""
    ids = world.record(5)
    world.record(5, at_ms=HOUR + 2 * MS_PER_HOUR)
    world.send(lose={ids[0]})
    assert world.verify().windows[0].eligible == (ids[0],)
    blind_to(world, {ids[1]})
    assert world.verifier().confirm([ids[0]]).absent == (ids[0],)


def test_where_nothing_can_be_the_control_the_answer_is_taken(world: World) -> None:
    """All that was ever recorded is gone: no event is known to be there, and each was missed by the reads before."""
    ids = world.record(5)
    world.send(lose=set(ids))
    world.server.events["purchases"] = []
    assert set(world.verify().windows[0].eligible) == set(ids)
    assert set(world.verifier().confirm(ids).absent) == set(ids)
