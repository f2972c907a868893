"""Random faults, exact findings: what is located is what was done to the events, and nothing else."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from keen_client._foundation.clock import MS_PER_HOUR, ms_to_iso
from keen_client.events.identity import EntryId
from keen_client.verify.verdict import Verdict

if TYPE_CHECKING:
    from tests.unit.verify.conftest import World

HOUR = 1_790_812_800_000
FAULTS = ("none", "lose", "duplicate", "null-stamps", "null-hash", "shift", "alter")


def strike(world: World, entry_id: EntryId, fault: str, chance: random.Random) -> None:
    """Do *fault* to the stored event."""
    (event,) = world.server.find(entry_id)
    if fault == "lose":
        world.server.remove({entry_id})
    elif fault == "duplicate":
        world.server.store("purchases", event)
    elif fault == "null-stamps":
        for name in event:
            event[name] = event[name] if name == "keen" else None
    elif fault == "null-hash":
        event["kc"] = {**event["kc"], "h": None}
    elif fault == "shift":
        event["keen"]["timestamp"] = ms_to_iso(HOUR + 20 * MS_PER_HOUR + chance.randrange(MS_PER_HOUR))
    elif fault == "alter":
        event["price"] = 11


@settings(max_examples=25)
@given(
    plan=st.lists(st.tuples(st.integers(0, 2), st.sampled_from(FAULTS)), min_size=1, max_size=40),
    foreign=st.integers(0, 3),
    seed=st.integers(0, 2**16),
)
def test_the_findings_are_exactly_what_was_done(
    make_world: Callable[..., World], plan: list[tuple[int, str]], foreign: int, seed: int
) -> None:
    """For random events and faults every list holds exactly the ids it should, and no window matches wrongly."""
    world, chance = make_world(), random.Random(seed)
    fault_of: dict[EntryId, str] = {}
    hour_of: dict[EntryId, int] = {}
    for number, (hour, fault) in enumerate(plan):
        (entry_id,) = world.record(at_ms=HOUR + hour * MS_PER_HOUR + number)
        fault_of[entry_id], hour_of[entry_id] = fault, hour
    world.send()
    for entry_id, fault in fault_of.items():
        strike(world, entry_id, fault, chance)
    for number in range(foreign):
        stamp = {"timestamp": ms_to_iso(HOUR + chance.randrange(3) * MS_PER_HOUR + 500_000 + number)}
        world.server.store("purchases", {"item": "pen", "keen": stamp})
    report = world.verify()

    def listed(name: str) -> dict[EntryId, int]:
        return {
            entry_id: (window.start_ms - HOUR) // MS_PER_HOUR
            for window in report.windows
            for entry_id in getattr(window, name)
        }

    def done(*faults: str) -> dict[EntryId, int]:
        return {entry_id: hour_of[entry_id] for entry_id, fault in fault_of.items() if fault in faults}

    assert listed("missing") == listed("eligible") == done("lose")
    assert listed("duplicate") == done("duplicate")
    assert listed("corrupt") == done("null-stamps", "null-hash", "alter")
    assert listed("shifted") == done("shift")
    assert listed("disputed") == listed("collision") == listed("vanished") == {}
    harmed = {hour_of[entry_id] for entry_id, fault in fault_of.items() if fault != "none"}
    for window in report.windows:
        is_harmed = (window.start_ms - HOUR) // MS_PER_HOUR in harmed
        assert (window.state is Verdict.FINAL) == (not is_harmed)
    world.server.queries.clear()
    for window in world.verify().windows:
        assert (window.state is Verdict.FINAL) == ((window.start_ms - HOUR) // MS_PER_HOUR not in harmed)


@settings(max_examples=40)
@given(
    copies=st.lists(st.integers(0, 3), min_size=1, max_size=12),
    widths=st.sampled_from([MS_PER_HOUR, 60_000]),
)
def test_no_match_where_the_multisets_differ(
    make_world: Callable[..., World], copies: list[int], widths: int
) -> None:
    """Whatever number of copies the server holds of each event: a match if and only if it is one of each."""
    world = make_world()
    ids = world.record(len(copies))
    world.send()
    events = world.server.events["purchases"]
    by_id = {event["kc"]["id"]: event for event in events}
    events[:] = [by_id[str(i)] for i, count in zip(ids, copies, strict=True) for _ in range(count)]
    (window,) = world.verify(width_ms=widths, end_ms=HOUR + MS_PER_HOUR).windows
    assert (window.state is Verdict.FINAL) == (Counter(copies) == {1: len(copies)})
    assert window.missing == tuple(i for i, count in zip(ids, copies, strict=True) if count == 0)
    assert window.duplicate == tuple(i for i, count in zip(ids, copies, strict=True) if count > 1)


@settings(max_examples=20)
@given(share=st.floats(0.05, 0.6), seed=st.integers(0, 2**16))
def test_reads_that_miss_events_at_random_prove_no_absence(
    make_world: Callable[..., World], share: float, seed: int
) -> None:
    """Reads that each miss other events contradict each other: nothing that is there becomes eligible."""
    world, chance = make_world(), random.Random(seed)
    world.record(30)
    world.send()
    whole = world.server.events["purchases"]

    def partial(number: int, query: dict[str, Any]) -> None:
        world.server.events["purchases"] = [event for event in whole if chance.random() >= share]

    world.server.before_query = partial
    for _ in range(3):
        world.advance(hours=8)
        assert world.verify("fast").eligible == ()
