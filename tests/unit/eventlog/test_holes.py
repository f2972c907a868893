"""What the owner of a log gets of it where pages are damaged: everything around them, and never a silent short answer."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keen_client.errors import EventLogDamagedError
from keen_client.eventlog import holes
from keen_client.eventlog.holes import Around
from keen_client.eventlog.shelf import PAGE_ENTRIES
from keen_client.events.encoding import encode_event

ORIGIN = "4kq7x2m9pz"
COUNT = 300


@attrs.frozen
class Row:
    """Of an entry its seq is enough."""

    seq: int


class OneSegment:
    """A state and a shelf of one segment; a page with a bad entry gives what lies before it, or nothing."""

    def __init__(self, last: int, bad: set[int], *, prefix: bool) -> None:
        self.last, self.bad, self.prefix = last, bad, prefix
        self.pages = 0

    def page(self, _origin: str, first: int, last: int, limit: int) -> list[Row]:
        self.pages += 1
        found: list[Row] = []
        for seq in range(first, min(last, self.last, first + limit - 1) + 1):
            if seq in self.bad:
                return found if self.prefix else []
            found.append(Row(seq))
        return found

    def last_seq(self, _origin: str) -> int:
        return self.last

    def is_sealed(self, _origin: str) -> bool:
        return True

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.execute("CREATE TABLE origins (origin, status, cursor)")
            yield connection


@given(last=st.integers(0, 2_500), bad=st.sets(st.integers(1, 2_500), max_size=30), prefix=st.booleans())
def test_all_around_the_holes_is_read_and_the_holes_are_told(
    last: int, bad: set[int], *, prefix: bool
) -> None:
    """Every entry is given once and in order, or lies in exactly one hole; holes do not touch."""
    bad = {seq for seq in bad if seq <= last}
    segment: Any = OneSegment(last, bad, prefix=prefix)
    around = Around(segment, segment)
    given = [entry.seq for entry in around.segment(ORIGIN)]
    assert given == [seq for seq in range(1, last + 1) if seq not in bad]
    told = [seq for hole in around.holes for seq in range(hole.first, hole.last + 1)]
    assert told == sorted(bad)
    assert all(a.last + 1 < b.first for a, b in zip(around.holes, around.holes[1:], strict=False))


def test_a_hole_without_end_is_not_searched_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """After so many halves a stretch that cannot be read is one hole; the next page is read all the same."""
    monkeypatch.setattr(holes, "HALVED_MAX", 50)
    segment: Any = OneSegment(2 * PAGE_ENTRIES, set(range(100, PAGE_ENTRIES)), prefix=True)
    around = Around(segment, segment)
    given = {entry.seq for entry in around.segment(ORIGIN)}
    assert segment.pages < 300
    assert {*range(1, 100), *range(PAGE_ENTRIES + 1, 2 * PAGE_ENTRIES + 1)} <= given
    told = {seq for hole in around.holes for seq in range(hole.first, hole.last + 1)}
    assert (given | told, given & told) == (set(range(1, 2 * PAGE_ENTRIES + 1)), set())


def damaged(make_till: Callable[..., Any], *, sent: bool) -> Any:
    """A log of which one page cannot be read."""
    till = make_till()
    till.log.record_all([encode_event("purchases", {"n": n, "text": "x" * 500}) for n in range(COUNT)])
    if sent:
        till.send()
    till.log.close()
    (path,) = till.log.directory.segments.glob("*.db")
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    harm(path, path.read_bytes().find(b'"n":150') // 4096 * 4096)
    return make_till()


def harm(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\xff" * 8)


@pytest.mark.parametrize("sent", [False, True])
def test_one_bad_page_hides_only_what_lies_on_it(make_till: Callable[..., Any], *, sent: bool) -> None:
    """All others are given first; then an error says that they were not all."""
    till = damaged(make_till, sent=sent)
    given: list[int] = []
    with pytest.raises(EventLogDamagedError, match="all others were given"):
        given.extend(entry.seq for entry in till.log.entries())
    missing = set(range(1, COUNT + 1)) - set(given)
    assert 0 < len(missing) < 20
    assert given == sorted(given)
    assert {1, COUNT} <= set(given)


def test_totals_are_not_given_of_what_cannot_be_read(make_till: Callable[..., Any]) -> None:
    """What was sent is counted already; what waits would be missing from them."""
    till = damaged(make_till, sent=False)
    with pytest.raises(EventLogDamagedError, match="no totals were given"):
        till.log.check_tails()


def test_totals_of_what_was_sent_need_no_entries(make_till: Callable[..., Any]) -> None:
    """They are in state.db."""
    damaged(make_till, sent=True).log.check_tails()


def test_a_file_that_says_nothing_is_no_empty_log(make_till: Callable[..., Any]) -> None:
    """Neither one that cannot be opened, nor one that has fewer entries than were sent of it."""
    till = make_till()
    till.record(3)
    till.send()
    with till.log.state.transaction() as db:
        db.execute("UPDATE origins SET cursor = 5")
    with pytest.raises(EventLogDamagedError, match="2 entries"):
        list(till.log.entries())
    till.log.close()
    (path,) = till.log.directory.segments.glob("*.db")
    for file in till.log.directory.segments.glob("*.db-*"):
        file.unlink()
    path.write_bytes(b"no database" * 1000)
    again = make_till()
    with pytest.raises(EventLogDamagedError, match="whole segments"):
        list(again.log.entries())


def test_a_segment_that_is_gone_is_missed(make_till: Callable[..., Any]) -> None:
    """Nothing in the log says that it may be: it was neither reclaimed nor saved."""
    till = make_till()
    till.record(3)
    till.send()
    till.roll(2)
    till.log.close()
    first, *_ = sorted(till.log.directory.segments.glob("*.db"))
    for file in till.log.directory.segments.glob(f"{first.name}*"):
        file.unlink()
    again = make_till()
    given: list[str] = []
    with pytest.raises(EventLogDamagedError, match="whole segments"):
        given.extend(entry.collection for entry in again.log.entries())
    assert given == ["later"]
    with pytest.raises(EventLogDamagedError, match="no totals were given"):
        again.log.check_tails()
