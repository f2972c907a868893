"""What the ladder asks, what it never believes, and what the planner prefers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE
from keen_client.eventlog.entry import DeliveryState
from keen_client.events.identity import EntryId
from keen_client.verify import planner
from keen_client.verify.planner import Branch, Load, Span, block_questions, choose
from keen_client.verify.verdict import Verdict

if TYPE_CHECKING:
    from tests.unit.verify.conftest import World

HOUR = 1_790_812_800_000
BY_ID = "kc.id kc.h kc.g keen.timestamp keen.uniqueness_token"
ANYWHERE = ("2000", "2100")
AROUND = ("2026", "2026")


def asked(world: World) -> list[str]:
    """The kinds of the questions, in their order."""
    return [" ".join([q.get("interval", ""), *q.get("group_by", [])]).strip() for q in world.server.queries]


def years_asked(world: World) -> list[tuple[str, str]]:
    """The years of the timeframes within which single events were asked for."""
    return [
        (q["timeframe"]["start"][:4], q["timeframe"]["end"][:4])
        for q in world.server.queries
        if "kc.id" in q["group_by"]
    ]


def test_a_few_missing_cost_no_search(world: World) -> None:
    """Three questions: totals, the suspects by id anywhere, and the totals again; single events are not read."""
    ids = world.record(100)
    world.send(lose={ids[3], ids[77]})
    (window,) = world.verify().windows
    assert window.missing == (ids[3], ids[77])
    assert asked(world) == ["hourly kc.o", BY_ID, "kc.o"]
    assert years_asked(world) == [ANYWHERE]


def test_ten_missing_of_a_day_cost_three_questions(world: World) -> None:
    """One confirmation for all windows that the sums decoded, and one closing read."""
    ids = [world.record(at_ms=HOUR + n * 5 * MS_PER_MINUTE)[0] for n in range(288)]
    lost = set(ids[::29])
    world.send(lose=lost)
    report = world.verify(end_ms=HOUR + MS_PER_DAY)
    assert {entry_id for window in report.windows for entry_id in window.missing} == lost
    assert asked(world) == ["hourly kc.o", BY_ID, "kc.o"]


def test_who_seems_to_be_there_is_asked_for_around_its_days_alone(world: World) -> None:
    """A doubled event and one that lost its stamps are not looked for over a century."""
    ids = world.record(100)
    world.record(100, at_ms=HOUR + MS_PER_HOUR)
    world.send()
    world.server.store("purchases", world.server.find(ids[3])[0])
    (nulled,) = world.server.find(EntryId(ids[0].origin, 150))
    nulled["kc"] = {**nulled["kc"], "h": None}
    first, second = world.verify().windows
    assert (set(first.duplicate), len(second.corrupt)) == ({ids[3]}, 1)
    assert years_asked(world) == [AROUND]


def test_who_is_not_told_is_asked_for_around_its_days_and_then_anywhere(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block that lost a weight tells of nobody: its 24 are asked for nearby, and only the absent one further on."""
    monkeypatch.setattr(planner, "EVENT_BYTES", 10**9)
    ids = world.record(100)
    world.send(lose={ids[4], ids[50], ids[60], ids[70], ids[80]})
    (nulled,) = world.server.find(ids[6])
    nulled["kc"] = {**nulled["kc"], "p": None}
    (window,) = world.verify().windows
    assert len(window.missing) == 5
    assert asked(world)[1:] == ["kc.b", BY_ID, BY_ID, BY_ID, "kc.o"]
    assert years_asked(world) == [ANYWHERE, AROUND, ANYWHERE]
    last = [q for q in world.server.queries if "kc.id" in q["group_by"]][-1]
    (named, _) = last["filters"][0]["operands"]
    assert str(ids[4]) in named["property_value"]
    assert len(named["property_value"]) == 2  # it, and the control


def test_windows_of_a_day_go_down_to_narrower_ones(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A day that lost twenty events is read in narrower windows that add up to it."""
    monkeypatch.setattr(planner, "EVENT_BYTES", 10**9)
    monkeypatch.setattr(planner, "BLOCK_BYTES", 10**8)
    ids = [world.record(at_ms=HOUR + n * 13 * MS_PER_MINUTE)[0] for n in range(100)]
    lost = set(ids[::5])
    world.send(lose=lost)
    (window,) = world.verify(width_ms=MS_PER_DAY, end_ms=HOUR + MS_PER_DAY).windows
    assert (window.state, set(window.missing)) == (Verdict.SHORT, lost)
    assert asked(world)[0] == "daily kc.o"
    assert asked(world)[1] in {"hourly kc.o", "every_30_minutes kc.o", "every_15_minutes kc.o"}


@pytest.mark.parametrize("missing", [1, 9])
def test_a_query_by_id_that_does_not_show_the_control_shows_no_absence(world: World, missing: int) -> None:
    """Queries by id that are always empty condemn nobody, whether sums name the suspects or a look at every event."""
    ids = world.record(20)
    world.send(lose=set(ids[:missing]))
    world.server.alter = lambda query, result: [] if "or" in str(query.get("filters")) else result
    (window,) = world.verify().windows
    assert (window.state, window.missing, window.eligible) == (Verdict.DISPUTED, (), ())


@pytest.mark.parametrize(("is_copy", "state"), [(True, Verdict.SETTLING), (False, Verdict.DISPUTED)])
def test_totals_that_changed_meanwhile_give_no_verdict(
    world: World, *, is_copy: bool, state: Verdict
) -> None:
    """What comes while suspects are asked for is late; what goes contradicts what was shown."""
    ids = world.record(20)
    world.send(lose={ids[3]})
    (other,) = world.server.find(ids[9])

    def change(number: int, query: dict[str, Any]) -> None:
        if number == 2 and is_copy:
            world.server.store("purchases", other)
        elif number == 2:
            world.server.remove({ids[9]})

    world.server.before_query = change
    (window,) = world.verify().windows
    assert (window.state, window.missing, window.eligible) == (state, (), ())


def test_pieces_that_do_not_add_up_are_not_believed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Minutes that lack more than their hour did: every event is looked at, and contradicts nothing."""
    monkeypatch.setattr(planner, "EVENT_BYTES", 10**9)
    monkeypatch.setattr(planner, "BLOCK_BYTES", 10**8)
    ids = [world.record(at_ms=HOUR + n * MS_PER_MINUTE)[0] for n in range(60)]
    world.send(lose=set(ids[:20]))

    def shorten(query: dict[str, Any], result: Any) -> Any:
        if query.get("interval") not in {None, "hourly"}:
            result[-1]["value"] = []
        return result

    world.server.alter = shorten
    (window,) = world.verify().windows
    assert (window.state, window.missing) == (Verdict.SHORT, tuple(ids[:20]))
    assert "kc.id kc.h kc.g keen.timestamp" in asked(world)


def test_streamed_stamps_are_those_of_the_expected_entries(world: World) -> None:
    """Other collections, other times and what is not expected are left out."""
    world.record(30)
    world.record(5, collection="refunds")
    world.record(5, at_ms=HOUR + 2 * MS_PER_HOUR)
    world.send()
    world.record(2, at_ms=HOUR + 5)
    world.send(DeliveryState.REJECTED)
    entries = world.log.expectation.entries("purchases", HOUR, HOUR + MS_PER_HOUR)
    origins = {entry.origin for entry in entries}
    span = ("purchases", HOUR, HOUR + MS_PER_HOUR)
    pages = list(world.log.expectation.pages(*span, origins, is_stamped=True))
    stamps = [
        (p.origin, *row)
        for p in pages
        for row in zip(p.seqs, p.times, zip(p.h, p.g, strict=True), strict=True)
    ]
    assert len(stamps) == 30
    assert stamps == [(e.origin, e.seq, e.timestamp_ms, e.digest()) for e in entries]
    (bare,) = world.log.expectation.pages(*span, origins, is_stamped=False)
    assert (bare.seqs, bare.times) == ([e.seq for e in entries], [e.timestamp_ms for e in entries])
    assert (list(bare.h), list(bare.g)) == ([], [])
    assert list(world.log.expectation.pages(*span, {"another"}, is_stamped=True)) == []


def test_events_recorded_out_of_time_are_found_on_the_way_down(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever records the past beside the present has the same minutes."""
    monkeypatch.setattr(planner, "EVENT_BYTES", 10**9)
    monkeypatch.setattr(planner, "BLOCK_BYTES", 10**8)
    minutes = [*range(50, 60), *range(20), *range(49, 19, -1)]
    ids = [world.record(at_ms=HOUR + minute * MS_PER_MINUTE)[0] for minute in minutes for _ in range(3)]
    lost = set(ids[::7])
    world.send(lose=lost)
    (window,) = world.verify().windows
    assert (window.state, set(window.missing)) == (Verdict.SHORT, lost)
    assert "kc.id kc.h kc.g keen.timestamp" not in asked(world)


def test_the_planner_takes_the_cheapest_way() -> None:
    """Few events: each; few differences: narrower windows; many of them: blocks."""
    assert choose(Load(100, 1, 50, MS_PER_HOUR)) == Branch("ids")
    assert choose(Load(42_000, 1, 3, MS_PER_HOUR)).kind == "narrow"
    assert choose(Load(42_000, 1, 42, MS_PER_HOUR)) == Branch("narrow", MS_PER_MINUTE)
    assert choose(Load(42_000, 1, 420, MS_PER_HOUR)) == Branch("blocks")
    assert choose(Load(42_000, 1, 420, MS_PER_MINUTE)) == Branch("blocks")
    assert choose(Load(42_000, 1, 420, MS_PER_MINUTE), blocks=False) == Branch("ids")


def test_blocks_are_asked_for_by_stretch_or_by_name() -> None:
    """Neighbours join, what lies far apart does not, and many small stretches are one list of names."""
    near = [Span(0, 1, 0, 999, 1000), Span(1, 2, 1000, 1999, 1000)]
    assert block_questions(near) == [(Span(0, 2, 0, 1999, 2000), False)]
    far = [Span(0, 1, 0, 999, 1000), Span(9, 10, 90_000, 90_999, 1000)]
    assert block_questions(far) == [(far[0], False), (far[1], False)]
    few = [Span(n, n + 1, n * 9_000, n * 9_000 + 9, 10) for n in range(5)]
    assert block_questions(few) == [(Span(0, 5, 0, 36_009, 50), True)]
