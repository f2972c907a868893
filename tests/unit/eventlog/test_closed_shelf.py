"""A shelf that was closed opens nothing more, and does not say that entries are gone."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from keen_client.errors import ClientClosedError
from keen_client.eventlog.segment import SegmentReader
from keen_client.eventlog.shelf import Shelf
from keen_client.events.identity import EntryId

if TYPE_CHECKING:
    from tests.unit.eventlog.conftest import Till

_LOOKS: dict[str, Callable[[Shelf, EntryId], object]] = {
    "page": lambda shelf, at: shelf.page(at.origin, 1, 9),
    "entries": lambda shelf, at: list(shelf.entries(at.origin, 1, 9)),
    "contents": lambda shelf, at: list(shelf.contents(at.origin, 1, 9, "purchases", 0, 2**50, is_full=True)),
    "pick": lambda shelf, at: shelf.pick([at]),
    "last_seq": lambda shelf, at: shelf.last_seq(at.origin),
    "is_sealed": lambda shelf, at: shelf.is_sealed(at.origin),
    "sync": lambda shelf, at: shelf.sync(at.origin),
}


@pytest.mark.parametrize("look", _LOOKS)
def test_a_look_after_the_close_is_refused_and_opens_no_file(
    make_till: Callable[..., Till], monkeypatch: pytest.MonkeyPatch, look: str
) -> None:
    """A sender's thread that outlives a close without patience leaks no connection, and loses no entry to it."""
    opened: list[SegmentReader] = []
    checked = SegmentReader.checked

    def counted(*given: object) -> tuple[SegmentReader, object]:
        made = checked(*given)  # type: ignore[arg-type]
        opened.append(made[0])
        return made

    monkeypatch.setattr(SegmentReader, "checked", counted)
    till = make_till()
    (entry_id,) = till.record()
    shelf = till.log.shelf
    _LOOKS[look](shelf, entry_id)
    assert len(opened) == 1
    shelf.close()

    with pytest.raises(ClientClosedError, match="what was recorded is in it"):
        _LOOKS[look](shelf, entry_id)
    assert len(opened) == 1
    with pytest.raises(sqlite3.ProgrammingError):
        opened[0].connection.execute("SELECT 1")


def test_what_needs_no_file_is_done_after_the_close(make_till: Callable[..., Till]) -> None:
    """To close twice, to let go of a file, and to name the files there are."""
    till = make_till()
    (entry_id,) = till.record()
    till.log.shelf.close()
    till.log.shelf.release(entry_id.origin)
    till.log.shelf.close()
    assert [name.origin for name in till.log.shelf.names()] == [entry_id.origin]
