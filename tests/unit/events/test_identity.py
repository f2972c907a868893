"""An event's id is the text that its receipt shows, and sorts as its numbers do."""

from __future__ import annotations

import copy
import json
import pickle
from itertools import pairwise

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keen_client.events.identity import ORIGIN_ALPHABET, SEQ_MAX, EntryId

ids = st.builds(
    EntryId, st.text(ORIGIN_ALPHABET, min_size=10, max_size=10), st.integers(min_value=1, max_value=SEQ_MAX)
)


@given(ids, ids)
def test_an_id_is_its_text_wherever_it_is_looked_up(one: EntryId, other: EntryId) -> None:
    """In tuples, sets and dicts, either way round, and never for another event."""
    text = str(one)
    assert type(text) is str
    assert text in (other, one)
    assert one in {text, str(other)}
    assert {one: 1}[text] == 1  # type: ignore[index]  # by its text, on purpose
    assert (text == other) == ((one.origin, one.seq) == (other.origin, other.seq)) == (one == other)


@given(ids)
def test_an_id_is_read_back_from_its_text(entry_id: EntryId) -> None:
    """And neither a copy nor a pickle loses its numbers."""
    for again in (EntryId.parse(entry_id), copy.deepcopy(entry_id), pickle.loads(pickle.dumps(entry_id))):
        assert type(again) is EntryId
        assert (again.origin, again.seq) == (entry_id.origin, entry_id.seq)


@given(st.lists(ids))
def test_ids_sort_by_origin_and_number(many: list[EntryId]) -> None:
    """Not as their texts do: the thirty-sixth event comes after the thirty-fifth."""
    assert sorted(many) == sorted(many, key=lambda entry_id: (entry_id.origin, entry_id.seq))
    for one, other in pairwise(many):
        assert (one < other, one <= other) == (not one >= other, not one > other)
        assert (one > other) == (other < one)


def test_an_id_prints_and_serialises_as_its_text() -> None:
    """Whoever lists invoices need not convert it."""
    entry_id = EntryId("4kq7x2m9pz", 1_234_567)
    text = "4kq7x2m9pz-qglj"
    assert (repr(entry_id), f"{entry_id}") == (repr(text), text)
    assert ", ".join([entry_id] * 2) == f"{text}, {text}"
    assert json.dumps([entry_id]).encode() == orjson.dumps([entry_id]) == b'["4kq7x2m9pz-qglj"]'


@pytest.mark.parametrize("name", ["origin", "seq", "other"])
def test_an_id_never_changes(name: str) -> None:
    """No member can be set."""
    entry_id = EntryId("4kq7x2m9pz", 7)
    with pytest.raises(AttributeError, match=name):
        setattr(entry_id, name, 8)
    assert (entry_id.origin, entry_id.seq, str(entry_id)) == ("4kq7x2m9pz", 7, "4kq7x2m9pz-7")
