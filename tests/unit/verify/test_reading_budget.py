"""What is read is counted, bounded by a budget, and in an order in which nothing starves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR
from keen_client.api.cost import Cost
from keen_client.errors import NotSentError, UsageError
from keen_client.queries import Analysis, Timeframe
from keen_client.verify.reader import Budget, Reader, properties_touched
from keen_client.verify.report import Audit, VerifyReport, merge_audits
from keen_client.verify.turns import unread_since_ms
from keen_client.verify.verdict import Verdict
from keen_client.verify.verifier import Verifier
from keen_client.verify.windows import Scope

if TYPE_CHECKING:
    from tests.unit.verify.conftest import World

HOUR = 1_790_812_800_000
SIX_HOURS = Scope(HOUR, HOUR + 6 * MS_PER_HOUR)


def verify(world: World, budget: Budget | None = None, scope: Scope = SIX_HOURS) -> VerifyReport:
    verifier = Verifier(world.log, world.server, world.clock, world.verifier().preset, budget)
    return verifier.verify(scope)


def asked(world: World) -> list[str]:
    """The collections asked for since the last call, in their order."""
    names = [str(query["event_collection"]) for query in world.server.queries]
    world.server.queries.clear()
    return list(dict.fromkeys(names))


def states(report: VerifyReport) -> dict[str, Verdict]:
    """The states of the windows with events, by collection."""
    return {w.collection: w.state for w in report.windows if w.local_count}


def three_collections(world: World) -> None:
    for name in ("a", "b", "c"):
        world.record(5, collection=name)
    world.send()


def test_what_the_budget_leaves_out_is_incomplete_and_says_so(world: World) -> None:
    """After one request two of three collections are unread: incomplete with the reason, bit 32, no match."""
    three_collections(world)
    report = verify(world, Budget(requests=1))
    assert states(report) == {"a": Verdict.FINAL, "b": Verdict.INCOMPLETE, "c": Verdict.INCOMPLETE}
    (unread,) = [w for w in report.windows if w.collection == "b" and w.local_count]
    assert unread.reason == "the budget of 1 requests is used up, so it was not asked for"
    assert unread.server_count is None
    assert report.exit_status() == 32
    assert report.cost.requests == 1


def test_a_budget_of_bytes_ends_with_the_answer_that_exceeds_it(world: World) -> None:
    """Two answers of a hundred bytes are read under a budget of 150."""
    three_collections(world)
    report = verify(world, Budget(bytes=150))
    assert report.cost == Cost(requests=2, bytes=200)
    assert states(report)["c"] is Verdict.INCOMPLETE


def test_a_difference_that_cannot_be_looked_into_is_incomplete_and_not_resent(world: World) -> None:
    """Level 0 saw it and the budget ended: nothing is missing yet, and nothing may be resent."""
    ids = world.record(200, collection="a")
    world.send(lose=ids[::3])
    report = verify(world, Budget(requests=1))
    assert states(report) == {"a": Verdict.INCOMPLETE}
    assert report.eligible == ()
    assert "budget" in report.windows[0].reason


def test_no_budget_at_all_reads_nothing(world: World) -> None:
    """With none left nothing is asked, and everything is incomplete."""
    three_collections(world)
    report = verify(world, Budget(requests=0))
    assert (report.cost.requests, asked(world)) == (0, [])
    assert set(states(report).values()) == {Verdict.INCOMPLETE}


def test_a_negative_budget_is_refused() -> None:
    """It bounds nothing sensible."""
    with pytest.raises(UsageError, match="nothing was asked"):
        Budget(requests=-1)


def test_what_was_not_read_for_longest_is_read_first(world: World) -> None:
    """With a budget of one, night after night, each collection has its turn; none starves."""
    three_collections(world)
    order = []
    for _ in range(6):
        verify(world, Budget(requests=1))
        order += asked(world)
        world.advance(hours=24)
    assert order == ["a", "b", "c"] * 2


def test_new_windows_of_a_collection_do_not_push_others_back(world: World) -> None:
    """Every hour brings new windows to all of them; who was read yesterday waits all the same."""
    order = []
    for night in range(6):
        for name in ("a", "b", "c"):
            world.record(5, collection=name)
        world.send()
        world.advance(hours=1)
        scope = Scope(HOUR, HOUR + (night + 1) * MS_PER_HOUR)
        verify(world, Budget(requests=1), scope)
        order += asked(world)
    assert sorted(order[:3]) == sorted(order[3:]) == ["a", "b", "c"]


def test_a_killed_verification_is_taken_up_where_it_ended(world: World) -> None:
    """Killed in the second of three collections: the third is first now, and the one it died in is last but the read one."""
    three_collections(world)

    def die(number: int, query: dict[str, Any]) -> None:
        if query["event_collection"] == "b":
            raise KeyboardInterrupt

    world.server.before_query = die
    with pytest.raises(KeyboardInterrupt):
        verify(world)
    assert asked(world) == ["a", "b"]
    world.server.before_query = lambda number, query: None
    world.advance(hours=1)
    assert set(states(verify(world)).values()) == {Verdict.FINAL}
    assert asked(world) == ["c", "a", "b"]


def test_one_that_kills_every_night_lets_the_others_through(world: World) -> None:
    """Whoever dies in the same collection each time has read all others after two nights."""
    three_collections(world)

    def die(number: int, query: dict[str, Any]) -> None:
        if query["event_collection"] == "a":
            raise KeyboardInterrupt

    world.server.before_query = die
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            verify(world)
        world.advance(hours=1)
    assert asked(world) == ["a", "b", "c"]


def test_parts_of_a_long_scope_have_their_turns_too(world: World) -> None:
    """Minutes of three days are two queries: with a budget of one each night reads the other one."""
    world.record(3, collection="a")
    world.record(3, collection="a", at_ms=HOUR + 2 * MS_PER_DAY)
    world.send()
    scope = Scope(HOUR, HOUR + 3 * MS_PER_DAY, 60_000)
    world.advance(hours=72)
    read = []
    for _ in range(3):
        report = verify(world, Budget(requests=1), scope)
        read += [w.start_ms for w in report.windows if w.state is not Verdict.INCOMPLETE]
        world.advance(hours=24 * 4)
    assert read == [HOUR, HOUR + 2 * MS_PER_DAY, HOUR]


def test_properties_scanned_follow_keens_account(world: World) -> None:
    """Level 0 touches timestamp, origin, both stamps, block, and the audited price: six for each of 50 events."""
    world.record(50)
    world.send()
    report = verify(world)
    assert report.properties == 6 * 50
    assert report.document()["cost"]["properties"] == 300


def test_properties_are_counted_once_each() -> None:
    """Filters, groups and targets by name, nested ones too, and the timestamp."""
    query = Analysis(
        analysis_type="sum",
        event_collection="c",
        target_property="price",
        timeframe=Timeframe(0, 1),
        group_by=["kc.o", "price"],
        filters=[
            {
                "operator": "or",
                "operands": [{"property_name": "kc.b", "operator": "lt", "property_value": 3}],
            }
        ],
    )
    assert properties_touched(query) == {"price", "kc.o", "kc.b", "keen.timestamp"}


def test_the_reader_counts_only_its_own_queries(world: World) -> None:
    """What others asked before is not in its cost."""
    three_collections(world)
    verify(world)
    reader = Reader(world.server, world.log.state)
    assert reader.cost == Cost()
    with pytest.raises(NotSentError):
        Reader(world.server, world.log.state, Budget(bytes=0)).query(
            Analysis(analysis_type="count", event_collection="a", timeframe=Timeframe(0, 1))
        )


@given(st.lists(st.integers(0, 100), max_size=5), st.integers(0, 1000))
def test_a_window_never_read_waits_since_its_start(starts: list[int], now_ms: int) -> None:
    """And nothing waits since later than now."""
    since_ms = unread_since_ms(starts, {}, now_ms)
    assert since_ms == min([now_ms, *(start - 1 for start in starts)])


def test_audits_of_parts_say_what_holds_for_all_of_them() -> None:
    """Exact only where all parts were exact; compared only where all parts compared it."""
    one = Audit(collection="c", exact=("n", "x"), rounded=("y",))
    other = Audit(collection="c", exact=("n",), rounded=("x",), left_out=(("z", "why"),))
    (merged,) = merge_audits([one, other])
    assert (merged.exact, merged.rounded) == (("n",), ("x",))
    assert dict(merged.left_out) == {"y": "not there in all parts", "z": "why"}
