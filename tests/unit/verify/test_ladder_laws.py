"""However the ladder goes, it finds what looking at every single event finds."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE, ms_to_iso
from keen_client.eventlog.entry import DeliveryState
from keen_client.events.identity import EntryId
from keen_client.verify import ladder, planner, signature
from keen_client.verify.report import VerifyReport

if TYPE_CHECKING:
    from tests.unit.verify.conftest import World

HOUR = 1_790_812_800_000
NEVER = 10**9
#: What makes the planner take another way: None is its own choice.
WAYS: Mapping[str, Mapping[str, int]] = {
    "its own": {},
    "blocks": {"EVENT_BYTES": NEVER},
    "narrower": {"EVENT_BYTES": NEVER, "BLOCK_BYTES": NEVER // 10},
    "narrower, then events": {"EVENT_BYTES": 10_000, "BLOCK_BYTES": NEVER},
}
FAULTS = (
    *("none",) * 6,
    *("lose",) * 4,
    *("duplicate",) * 2,
    "four copies",
    "null-stamps",
    "null-stamps-and-token",
    "null-hash",
    "null-both",
    "null-weight",
    "null-id",
    "shift-minutes",
    "shift-hours",
    "shift-far",
    "alter",
    "collision",
    "stranger",
    "copy-elsewhere",
)
#: What no total of a window tells of.
UNSEEN = frozenset({"shift-minutes", "null-id"})


def strike(world: World, entry_id: EntryId, fault: str) -> None:
    """Do *fault* to the stored event."""
    (event,) = world.server.find(entry_id)
    keen, kc = event["keen"], event["kc"]
    match fault:
        case "lose":
            world.server.remove({entry_id})
        case "duplicate" | "four copies":
            for _ in range(1 if fault == "duplicate" else 3):
                world.server.store("purchases", event)
        case "null-stamps" | "null-stamps-and-token":
            event.update(dict.fromkeys(event), keen=keen)
            if fault != "null-stamps":
                del keen["uniqueness_token"]
        case "null-hash":
            event["kc"] = {**kc, "h": None}
        case "null-both":
            event["kc"] = {**kc, "h": None, "g": None}
        case "null-weight":
            event["kc"] = {**kc, "p": None}
        case "null-id":
            event["kc"] = {**kc, "id": None}
        case "shift-minutes":
            keen["timestamp"] = ms_to_iso(HOUR + 59 * MS_PER_MINUTE + entry_id.seq)
        case "shift-hours":
            keen["timestamp"] = ms_to_iso(HOUR + 2 * MS_PER_HOUR + entry_id.seq)
        case "shift-far":
            keen["timestamp"] = ms_to_iso(HOUR + 400 * MS_PER_DAY)
        case "alter":
            event["price"] = 11
        case "collision":
            event["kc"] = {**kc, "g": kc["g"] * 2_654_435_761 % 2**32 ^ 5}
        case "stranger":
            other = str(EntryId(entry_id.origin, 2_000_000 + entry_id.seq))
            world.server.store(
                "purchases",
                {**event, "kc": {**kc, "id": other}, "keen": {**keen, "uniqueness_token": other}},
            )
        case "copy-elsewhere":
            moved = {**keen, "timestamp": ms_to_iso(HOUR + 3 * MS_PER_HOUR + entry_id.seq)}
            world.server.store("purchases", {**event, "keen": moved})


def build(make_world: Callable[..., World], plan: list[tuple[int, str]]) -> World:
    """A world in which the plan's events, one every twenty seconds or in its own minute, met their fault."""
    world = make_world()
    made = []
    for number, (minute, fault) in enumerate(plan):
        at_ms = HOUR + minute * MS_PER_MINUTE + 20 * number
        made.append((world.record(at_ms=at_ms, price=10 + number)[0], fault))
    world.send(DeliveryState.UNKNOWN)
    for entry_id, fault in made:
        strike(world, entry_id, fault)
    return world


def told(report: VerifyReport, unseen: Collection[int]) -> list[Any]:
    """What a report says of each window; where totals cannot tell of some events, only what a replay goes by."""
    documents = []
    for window in report.windows:
        document = window.document() | {"eligible": [*map(str, window.eligible)]}
        if unseen:
            names = ("start", "local", "server", "foreign", "missing", "duplicate", "eligible", "vanished")
            document = {name: document[name] for name in names}
        documents.append(document)
    return documents


def remembered(world: World, unseen: Collection[int]) -> list[tuple[str, int, int]]:
    """What delivery still does not know, and what evidence there is."""
    with world.log.state.reading() as db:
        evidence = db.execute("SELECT kind, seq, copies FROM evidence ORDER BY kind, seq").fetchall()
        return [
            *db.execute("SELECT state, seq_lo, seq_hi FROM ranges ORDER BY seq_lo").fetchall(),
            *(row for row in evidence if row[1] not in unseen),
        ]


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    plan=st.lists(st.tuples(st.integers(0, 119), st.sampled_from(FAULTS)), min_size=1, max_size=40),
    way=st.sampled_from(sorted(WAYS)),
    width_ms=st.sampled_from([MS_PER_HOUR, MS_PER_HOUR, 5 * MS_PER_MINUTE, MS_PER_MINUTE]),
)
@example([(n, "lose") for n in range(40)], "narrower", MS_PER_HOUR)
@example([(n // 8, "lose" if n % 2 else "none") for n in range(40)], "blocks", MS_PER_HOUR)
@example(
    [(0, "lose"), (0, "duplicate"), (0, "duplicate"), *[(n, "none") for n in range(30)]],
    "blocks",
    MS_PER_HOUR,
)
@example([(0, "collision"), (0, "lose"), (9, "null-weight")], "blocks", MS_PER_HOUR)
@example([(0, "shift-minutes"), (5, "lose"), (5, "lose")], "narrower, then events", MS_PER_HOUR)
def test_the_ladder_finds_what_looking_at_every_event_finds(
    make_world: Callable[..., World], plan: list[tuple[int, str]], way: str, width_ms: int
) -> None:
    """Any faults, any way down: the same states, lists and evidence; two reads in a row.

    But for what moved within its window or lost only its id: no total tells, so it may or may not be met.
    """
    scope: dict[str, Any] = {"width_ms": width_ms, "end_ms": HOUR + 4 * MS_PER_HOUR}
    outcomes = []
    unseen = {number + 1 for number, (_, fault) in enumerate(plan) if fault in UNSEEN}
    for is_ladder in (True, False):
        world = build(make_world, plan)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in WAYS[way].items():
                patch.setattr(planner, name, value)
            if not is_ladder:
                patch.setattr(ladder._Descent, "conclude", lambda self, group, answered: {})
            first = told(world.verify(**scope), unseen)
            world.advance(hours=1)
            outcomes.append((first, told(world.verify(**scope), unseen), remembered(world, unseen)))
    assert outcomes[0] == outcomes[1]


def test_ways_are_taken(make_world: Callable[..., World]) -> None:
    """The ways above lead where they say."""
    plan = [(n // 4, "lose" if n % 2 else "none") for n in range(80)]
    for way, wanted in (("blocks", "kc.b"), ("narrower", "minutely"), ("its own", "kc.id")):
        world = build(make_world, plan)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in WAYS[way].items():
                patch.setattr(planner, name, value)
            (window,) = world.verify().windows
        assert len(window.missing) == 40
        asked = [(q.get("interval"), *q.get("group_by", [])) for q in world.server.queries]
        assert any(wanted in question for question in asked[1:]), (way, asked)
    assert signature.THREES_AMONG_MAX > 0


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    share=st.floats(0.01, 0.6),
    seed=st.integers(0, 2**16),
    way=st.sampled_from(sorted(WAYS)),
)
def test_reads_that_miss_events_at_random_prove_no_absence_on_any_way(
    make_world: Callable[..., World], share: float, seed: int, way: str
) -> None:
    """Reads that each miss other events contradict each other, on every rung."""
    world, chance = make_world(), random.Random(seed)
    world.record(30, at_ms=HOUR)
    world.record(30, at_ms=HOUR + 3 * MS_PER_MINUTE)
    world.send()
    whole = world.server.events["purchases"]

    def partial(number: int, query: dict[str, Any]) -> None:
        world.server.events["purchases"] = [event for event in whole if chance.random() >= share]

    world.server.before_query = partial
    with pytest.MonkeyPatch.context() as patch:
        for name, value in WAYS[way].items():
            patch.setattr(planner, name, value)
        for _ in range(3):
            world.advance(hours=8)
            assert world.verify("fast").eligible == ()
