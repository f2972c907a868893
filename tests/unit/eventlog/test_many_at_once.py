"""Thousands of entries are looked up in a few statements, and are what one look each would give."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keen_client.eventlog import shelf
from keen_client.eventlog.entry import DeliveryState
from keen_client.eventlog.ranges import Range, put_range, range_at, ranges_at
from keen_client.eventlog.state import State
from keen_client.events.identity import EntryId

if TYPE_CHECKING:
    from tests.unit.eventlog.conftest import Till

ORIGINS = ("aaaaaaaaaa", "bbbbbbbbbb")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[State]:
    """Two origins whose ranges have all lengths, and gaps."""
    state = State(tmp_path_factory.mktemp("state"))
    with state.transaction() as db:
        for origin in ORIGINS:
            for low, high in ((1, 1), (2, 9), (12, 12), (13, 40), (60, 61)):
                put_range(db, Range(origin, low, high, DeliveryState.ACKNOWLEDGED, a=low))
    yield state
    state.close()


@given(ids=st.lists(st.builds(EntryId, st.sampled_from([*ORIGINS, "cccccccccc"]), st.integers(1, 70))))
def test_ranges_of_many_are_the_ranges_of_each(filled: State, ids: list[EntryId]) -> None:
    """In any order, twice, past the end, between two ranges, of an origin without any."""
    with filled.reading() as db:
        each = {entry_id: range_at(db, entry_id.origin, entry_id.seq) for entry_id in ids}
        assert ranges_at(db, ids) == {
            entry_id: place for entry_id, place in each.items() if place is not None
        }


def test_picked_entries_are_those_asked_for(
    make_till: Callable[..., Till], monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than one statement takes, scattered, some of them not there, in order."""
    monkeypatch.setattr(shelf, "PICKED_AT_ONCE", 3)
    till = make_till()
    ids = till.record(20)
    wanted = [ids[17], ids[2], ids[3], ids[2], ids[9], ids[11], EntryId(ids[0].origin, 999), ids[0]]
    picked = till.log.shelf.pick(wanted)
    assert list(picked) == sorted({entry_id for entry_id in wanted if entry_id.seq != 999})
    assert all(entry.id == entry_id for entry_id, entry in picked.items())
