"""By segment: whose recording is affected. And what changed since a window was last read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keen_client._foundation.clock import MS_PER_HOUR
from keen_client.verify.compare import Delta
from keen_client.verify.reader import Budget
from keen_client.verify.report import NAMED
from keen_client.verify.segments import share_state
from keen_client.verify.verdict import EXIT_BITS, Verdict
from keen_client.verify.verifier import Verifier
from keen_client.verify.windows import Scope

if TYPE_CHECKING:
    from tests.unit.verify.conftest import World

HOUR = 1_790_812_800_000


def test_a_loss_is_that_of_the_segment_it_was_recorded_into(world: World) -> None:
    """Two days of recording into one hour: only the segment whose events lack is short."""
    first = world.record(20)
    world.advance(hours=24)
    second = world.record(10, at_ms=HOUR + 100)
    world.send(lose={second[3], second[4]})
    assert first[0].origin != second[0].origin
    report = world.verify()
    (window,) = report.windows
    assert {s.origin: (s.local_count, s.server_count, s.state) for s in window.shares} == {
        first[0].origin: (20, 20, Verdict.MATCH),
        second[0].origin: (10, 8, Verdict.SHORT),
    }
    older, newer = report.segments
    assert (older.name, older.windows, older.named) == (
        f"2026-10-01-{first[0].origin}",
        {Verdict.MATCH: 1},
        {},
    )
    assert (newer.day, newer.local_count, newer.server_count) == ("2026-10-02", 10, 8)
    assert (newer.windows, newer.named) == ({Verdict.SHORT: 1}, {"missing": 2})
    assert (newer.first_ms, newer.last_ms) == (HOUR, HOUR + MS_PER_HOUR)
    assert (older.first_ms, older.last_ms) == (None, None)


def test_every_event_of_a_report_is_in_one_segment(world: World) -> None:
    """The segments' counts add up to those of the windows, and their lists to the ids."""
    ids = world.record(30)
    world.record(30, at_ms=HOUR + 2 * MS_PER_HOUR)
    world.advance(hours=24)
    world.record(30, at_ms=HOUR + 2 * MS_PER_HOUR + 40)
    world.send(lose=set(ids[:3]))
    report = world.verify()
    assert sum(s.local_count for s in report.segments) == sum(w.local_count or 0 for w in report.windows)
    assert sum(s.server_count or 0 for s in report.segments) == sum(
        w.server_count or 0 for w in report.windows
    )
    assert sum(s.named.get("missing", 0) for s in report.segments) == 3


def test_an_unread_window_has_no_count_in_any_segment(world: World) -> None:
    """What was not obtained is null, not nought."""
    world.record(3)
    world.send()
    verifier = Verifier(world.log, world.server, world.clock, None, Budget(requests=0))
    (segment,) = verifier.verify(Scope(HOUR, HOUR + MS_PER_HOUR)).segments
    assert (segment.local_count, segment.server_count) == (3, None)
    assert segment.document()["server"] == {"count": None}


NAMES = st.frozensets(st.sampled_from(NAMED))
DELTAS = st.none() | st.builds(Delta, st.integers(-3, 3), st.integers(-9, 9), st.integers(-9, 9))


@given(st.sampled_from(Verdict), DELTAS, NAMES)
def test_a_share_is_good_only_where_nothing_speaks_against_it(
    window: Verdict, delta: Delta | None, named: frozenset[str]
) -> None:
    """A match: the whole window is one, or it was looked into, and totals and lists have nothing of this origin."""
    state = share_state(window, delta, named)
    if EXIT_BITS[state] == 0 and state is not window:
        assert state is Verdict.MATCH
        assert delta is None
        assert not named
        assert EXIT_BITS[window] & 28
    if "missing" in named and EXIT_BITS[window] & 28:
        assert EXIT_BITS[state] & 4


def test_the_first_read_changes_nothing_and_a_loss_later_does(world: World) -> None:
    """A window never read has no state before; later each other state is a change, and the same one is none."""
    ids = world.record(5)
    world.record(5, at_ms=HOUR + MS_PER_HOUR)
    world.send()
    world.advance(hours=8)
    report = world.verify("fast")
    assert [window.was for window in report.windows] == [None, None]
    assert report.document()["summary"]["first_read"] == 2
    world.server.remove({ids[0]})
    world.advance(hours=2)
    report = world.verify("fast")
    assert report.changes == {(Verdict.MATCH, Verdict.SHORT): 1}
    assert report.document()["summary"]["changed"] == {"short": 1}
    assert report.document()["summary"]["first_read"] == 0
    assert world.verify("fast").changes == {}


def test_a_window_becomes_final_once(world: World) -> None:
    """Newly final is told in one report, not in every later one."""
    world.record(5)
    world.send()
    world.advance(hours=8)
    world.verify("fast")
    world.advance(hours=11 * 24)
    assert world.verify("fast").changes == {(Verdict.MATCH, Verdict.FINAL): 1}
    world.advance(hours=2)
    assert world.verify("fast").changes == {}


def test_what_settles_again_was_what_it_was(world: World) -> None:
    """After a match another event is sent: the window settles, and no longer counts as a match of before."""
    world.record(5)
    world.send()
    world.advance(hours=8)
    world.verify("fast")
    world.record(1, at_ms=HOUR + 9)
    world.send()
    (window,) = world.verify("fast").windows
    assert window.state is Verdict.SETTLING
    world.advance(hours=8)
    assert world.verify("fast").changes == {(Verdict.SETTLING, Verdict.MATCH): 1}


@pytest.mark.parametrize("name", ["fast", "standard"])
def test_looking_again_at_once_is_no_change(world: World, name: str) -> None:
    """The same server, the same log, the same moment: nothing is told as new."""
    ids = world.record(5)
    world.send(lose={ids[1]})
    world.advance(hours=30)
    world.verify(name)
    assert world.verify(name).changes == {}
