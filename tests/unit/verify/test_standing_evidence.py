"""What earlier reads named is named until a read shows otherwise, and never under a match."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keen_client._foundation.clock import MS_PER_HOUR, ms_to_iso
from keen_client.errors import ServerError
from keen_client.events.identity import EntryId
from keen_client.verify.observations import Observation
from keen_client.verify.standing import named_until
from keen_client.verify.verdict import EXIT_BITS, Verdict

if TYPE_CHECKING:
    from tests.unit.verify.conftest import World

HOUR = 1_790_812_800_000


def hurt(world: World) -> tuple[list[EntryId], int]:
    """A window with a duplicate, a corrupt and a missing event, read once settled; the ids, and when it was read."""
    ids = world.record(10)
    world.send(lose={ids[7]})
    world.server.store("purchases", world.server.find(ids[4])[0])
    for name in (event := world.server.find(ids[2])[0]):
        event[name] = event[name] if name == "keen" else None
    world.advance(hours=8)
    (window,) = world.verify("fast").windows
    assert (window.duplicate, window.corrupt, window.missing) == ((ids[4],), (ids[2],), (ids[7],))
    assert window.seen_earlier == {}
    return ids, world.clock.wall_ms()


def test_a_window_that_settles_again_still_names_what_was_found(world: World) -> None:
    """Another event of its hour was sent: duplicates and corrupt events stay named, with when they were seen."""
    ids, read_ms = hurt(world)
    world.record(1, at_ms=HOUR + 50)
    world.send()
    world.advance(hours=1)
    (window,) = world.verify("fast").windows
    assert window.state is Verdict.SETTLING
    assert (window.duplicate, window.corrupt) == ((ids[4],), (ids[2],))
    assert window.seen_earlier == dict.fromkeys((ids[2], ids[4]), read_ms)
    assert window.missing == window.eligible == ()  # while it settles an absence proves nothing
    assert {"id": str(ids[4]), "at": ms_to_iso(read_ms)} in window.document()["seen_earlier"]


def test_it_is_so_after_many_reads_too_early_to_tell(world: World) -> None:
    """Reads that do not look into the window change nothing of what stands."""
    ids, read_ms = hurt(world)
    world.record(1, at_ms=HOUR + 50)
    world.send()
    for _ in range(3):
        world.advance(hours=1)
        (window,) = world.verify("fast").windows
    assert window.reads == 4
    assert window.seen_earlier == dict.fromkeys((ids[2], ids[4]), read_ms)


def test_a_window_that_could_not_be_read_names_it_too(world: World) -> None:
    """No answer is no reason to hide what is known."""
    ids, read_ms = hurt(world)

    world.server.before_query = fail_always
    window = world.verify("fast").windows[0]
    assert window.state is Verdict.INCOMPLETE
    assert window.duplicate == (ids[4],)
    assert window.seen_earlier == dict.fromkeys((ids[2], ids[4]), read_ms)


def test_the_next_look_replaces_what_stood(world: World) -> None:
    """Once the window has settled its events are found anew, and nothing is marked as seen earlier."""
    ids, _ = hurt(world)
    world.record(1, at_ms=HOUR + 50)
    world.send()
    world.advance(hours=7)
    (window,) = world.verify("fast").windows
    assert window.state is Verdict.MIXED
    assert (window.duplicate, window.corrupt) == ((ids[4],), (ids[2],))
    assert window.seen_earlier == {}


def test_nothing_stands_under_a_match(world: World) -> None:
    """The server took the copy away: the totals agree, so nobody is named, now or when the window settles again."""
    ids = world.record(3)
    world.send()
    world.server.store("purchases", world.server.find(ids[1])[0])
    world.advance(hours=7)
    assert world.verify("fast").windows[0].duplicate == (ids[1],)
    world.server.events["purchases"].pop()
    world.advance(hours=2)
    (window,) = world.verify("fast").windows
    assert (window.state, window.named) == (Verdict.MATCH, {})
    world.record(1, at_ms=HOUR + 50)
    world.send()
    world.advance(hours=1)
    (window,) = world.verify("fast").windows
    assert (window.state, window.named, window.seen_earlier) == (Verdict.SETTLING, {}, {})


def test_a_window_that_settles_and_agrees_names_nobody(world: World) -> None:
    """Too early for a verdict, but totals that agree leave no room for a copy."""
    ids = world.record(3)
    world.send()
    world.server.store("purchases", world.server.find(ids[1])[0])
    world.advance(hours=7)
    world.verify("fast")
    world.record(1, at_ms=HOUR + 50)
    world.send()
    world.server.events["purchases"].remove(world.server.find(ids[1])[1])
    (window,) = world.verify("fast").windows
    assert (window.state, window.named) == (Verdict.SETTLING, {})


def test_other_windows_and_collections_keep_their_own(world: World) -> None:
    """What stands is told in the window of its event alone."""
    ids, _ = hurt(world)
    world.record(2, at_ms=HOUR + MS_PER_HOUR)
    world.record(2, collection="refunds", at_ms=HOUR)
    world.record(1, at_ms=HOUR + 50)
    world.send()
    found = {(w.collection, w.start_ms): w.duplicate for w in world.verify("fast").windows}
    assert found == {
        ("purchases", HOUR): (ids[4],),
        ("purchases", HOUR + MS_PER_HOUR): (),
        ("refunds", HOUR): (),
    }


@pytest.mark.parametrize(
    ("verdicts", "since"),
    [
        ([], None),
        (["settling"], None),
        (["excess"], 0),
        (["excess", "settling", "settling"], 0),
        (["excess", "match", "settling"], None),
        (["match", "corrupt", "settling"], 1),
        (["excess", "disputed"], 1),
    ],
)
def test_the_last_read_that_looked_counts(verdicts: list[str], since: int | None) -> None:
    """Reads that did not look in are passed over; a match ends what stood before it."""
    reads = [Observation(at_ms, Verdict(verdict), "", 1, 1, "f") for at_ms, verdict in enumerate(verdicts)]
    assert named_until(reads) == since


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["record", "double", "heal", "blind", "wait"]), st.integers(0, 2), st.integers(0, 30)
    ),
    min_size=3,
    max_size=14,
)


@pytest.mark.slow
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_a_copy_once_named_is_named_as_long_as_it_is_there(
    make_world: Callable[..., World], steps: list[tuple[str, int, int]]
) -> None:
    """Whatever is sent, read or not answered in between; and a window that matches never names anybody."""
    world = make_world()
    for hour in range(3):
        world.record(4, at_ms=HOUR + hour * MS_PER_HOUR)
    world.send()
    world.advance(hours=10)
    named: set[EntryId] = set()
    for step, hour, number in steps:
        events = world.server.events["purchases"]
        if step == "record":
            world.record(1, at_ms=HOUR + hour * MS_PER_HOUR + 100 + number)
            world.send()
        elif step == "double":
            world.server.store("purchases", events[number % len(events)])
        elif step == "heal":
            world.server.events["purchases"] = list({e["kc"]["id"]: e for e in events}.values())
        elif step == "wait":
            world.advance(hours=number)
        world.server.before_query = fail_always if step == "blind" else answer
        report = world.verify("fast")
        copies = {
            i for i, n in Counter(e["kc"]["id"] for e in world.server.events["purchases"]).items() if n > 1
        }
        told = {entry_id for window in report.windows for entry_id in window.duplicate}
        assert {i for i in named if str(i) in copies} <= told
        assert all(window.named == {} for window in report.windows if not EXIT_BITS[window.state])
        named = told


def answer(number: int, query: dict[str, Any]) -> None:
    """The server answers."""


def fail_always(number: int, query: dict[str, Any]) -> None:
    """It does not."""
    raise ServerError("the server answered 503", status=503)
