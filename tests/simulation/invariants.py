"""What has to hold after every night, and at the end, whatever the server did.

Everything is checked against the server's own list of copies, hidden ones
included, and against what really went over the wire.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR, ms_to_iso
from keen_client.server.faults import parse_duration
from keen_client.verify.report import VerifyReport, WindowReport
from keen_client.verify.verdict import Verdict
from tests.simulation.scenarios import Scenario
from tests.simulation.truth import Copies, Copy, made_by_client, read_copies
from tests.simulation.world import Recorded, World

#: The first attempt number of a replay run.
FIRST_OF_A_RUN: Final = 100
#: The presets' last look is ten days after the last send, by the job of the night after at the latest.
FINAL_AFTER_MS: Final = 11 * MS_PER_DAY + 2 * MS_PER_HOUR
#: A window: its collection and its start.
Place = tuple[str, int]

_GOOD = frozenset({Verdict.MATCH, Verdict.FINAL})
#: States that name no events because nothing can be said about them.
_UNSAID = frozenset({Verdict.INCOMPLETE, Verdict.UNVERIFIABLE, Verdict.SETTLING, Verdict.REPLAYED})


def check_night(world: World, scenario: Scenario, reports: Iterable[VerifyReport], ended_ms: int) -> None:
    """The invariants that hold at any time."""
    copies = read_copies(world.store)
    check_copies(copies, scenario, ended_ms + world.server_clock.offset_ms)
    check_resends(world, scenario, copies)
    for report in reports:
        check_matches(world, copies, report, ended_ms)


def check_copies(copies: Copies, scenario: Scenario, now_ms: int) -> None:
    """No event has two copies by the client's doing: within the bounds of delay, none is ever counted twice.

    Hidden ones included; but one that vanished before a read could show it was lost to all the world.
    """
    left = {i: [c for c in of if not 0 < c.vanish_ms <= now_ms] for i, of in copies.items()}
    twice = {entry_id: made for entry_id, of in left.items() if (made := made_by_client(of)) > 1}
    allowed = scenario.client_copies
    assert all(made <= allowed for made in twice.values()), f"copies made by the client: {_some(twice)}"


def check_resends(world: World, scenario: Scenario, copies: Copies) -> None:
    """No run resends what is there or merely on its way: counted, corrupt, shifted, duplicated or delayed."""
    offset_ms = world.server_clock.offset_ms
    are_honoured = scenario.all_faults.get("tokens") != "off"
    wrong: dict[str, str] = {}
    for entry_id, sends in world.wire.sent.items():
        for sent in sends:
            if sent.a < FIRST_OF_A_RUN or (sent.a % FIRST_OF_A_RUN and are_honoured):
                continue  # within a run, what was not answered is sent again under its token
            at_ms = sent.at_ms + offset_ms
            gone_ms, back_ms = world.away.get(entry_id, (0, 0))
            if gone_ms <= at_ms < back_ms:
                continue
            for copy in copies.get(entry_id, ()):
                if copy.created_ms < at_ms and _is_there(copy, at_ms, scenario):
                    wrong[entry_id] = f"resent at {ms_to_iso(at_ms)} beside {copy}"
    assert not wrong, f"resent although present: {_some(wrong)}"


class Bounded(Protocol):
    """What bounds its delays, or does not."""

    @property
    def is_delay_bounded(self) -> bool:
        """Whether nothing is hidden for longer than the settle time."""


def _is_there(copy: Copy, at_ms: int, scenario: Bounded) -> bool:
    if copy.timestamp_ms is None:
        return False  # no query over any timeframe shows it
    if copy.vanish_ms and copy.vanish_ms <= at_ms:
        return False
    return scenario.is_delay_bounded or copy.visible_ms <= at_ms


def check_matches(world: World, copies: Copies, report: VerifyReport, ended_ms: int) -> None:
    """A window that matches holds exactly the expected events, once each, as the server showed them."""
    if not report.windows:
        return
    width_ms = report.windows[0].end_ms - report.windows[0].start_ms
    expected, stored = _expected(world, width_ms), _whole(copies, width_ms)
    stale_ms = parse_duration(str(world.faults.faults.document().get("stale-reads", "0s")))
    is_partial = world.faults.faults.chance("partial-reads") is not None
    moments = [at_ms + world.server_clock.offset_ms - stale_ms for at_ms in (report.as_of_ms, ended_ms)]
    for window in report.windows:
        if window.state not in _GOOD:
            continue
        wanted = expected[window.collection, window.start_ms]
        shown = [_shown(stored[window.collection, window.start_ms], at_ms) for at_ms in moments]
        if is_partial:
            # A read that misses events at random may hide a surplus copy, never an expected event.
            assert any(wanted <= set(one) for one in shown), _place(window, wanted, shown[-1])
        else:
            once = Counter(wanted)
            assert any(one == once for one in shown), _place(window, wanted, shown[-1])


def check_end(world: World, scenario: Scenario, report: VerifyReport) -> None:
    """After the faults: every event is seen exactly once, or named in a window that does not match."""
    copies = read_copies(world.store)
    now_ms = world.clock.wall_ms() + world.server_clock.offset_ms
    windows = {(w.collection, w.start_ms): w for w in report.windows}
    width_ms = report.windows[0].end_ms - report.windows[0].start_ms
    unexplained: dict[str, str] = {}
    dead = world.dead_ids()
    for entry_id, event in world.recorded.items():
        seen = [copy for copy in copies.get(entry_id, ()) if copy.is_seen(now_ms)]
        window = windows.get((event.collection, event.timestamp_ms // width_ms * width_ms))
        if entry_id in dead:
            is_explained = not seen
        elif _is_once(event, seen):
            is_explained = window is not None
        else:
            is_explained = window is not None and _names(window, entry_id)
        if not is_explained:
            unexplained[entry_id] = f"{[*seen]} in {window and (window.state, window.reason)}"
    assert not unexplained, f"neither seen once nor named: {_some(unexplained)}"
    unsaid = {
        entry_id
        for entry_id, event in world.recorded.items()
        if (window := windows.get((event.collection, event.timestamp_ms // width_ms * width_ms)))
        and window.state in _UNSAID
    }
    _check_named(copies, windows.values(), now_ms, dead | unsaid)
    if scenario.heals:
        bad = {ms_to_iso(w.start_ms): (w.state, w.reason) for w in windows.values() if w.state not in _GOOD}
        assert not bad, f"faults are over and windows do not match: {_some(bad)}"
        late = {
            ms_to_iso(start_ms): windows[collection, start_ms].state
            for (collection, start_ms), sent_ms in _last_sends(world, width_ms).items()
            if now_ms - max(sent_ms, start_ms + width_ms) > FINAL_AFTER_MS
            and windows[collection, start_ms].state is not Verdict.FINAL
        }
        assert not late, f"matched for long enough and not final: {_some(late)}"


def _check_named(copies: Copies, windows: Iterable[WindowReport], now_ms: int, exempt: set[str]) -> None:
    """Every surplus copy is named as such, every nulled event as corrupt, and no other event as a duplicate.

    *exempt*: events that were refused, and those of windows of which it is too early to say anything.
    """
    named = {kind: _all(windows, kind) for kind in ("duplicate", "corrupt")}
    doubled, nulled = set(), set()
    for entry_id, of in copies.items():
        seen = [copy for copy in of if copy.is_seen(now_ms)]
        if len(seen) > 1:
            doubled.add(entry_id)
        if seen and not any(copy.has_stamps for copy in seen):
            nulled.add(entry_id)
    # A nulled pair has no id left by which it could be seen to be two.
    unnamed = doubled - nulled - exempt - named["duplicate"]
    assert not unnamed, f"unnamed duplicates: {_some(unnamed)}"
    assert named["duplicate"] <= doubled, f"no duplicates: {_some(named['duplicate'] - doubled)}"
    unnamed = nulled - exempt - named["corrupt"] - _all(windows, "disputed")
    assert not unnamed, f"unnamed nulled events: {_some(unnamed)}"


def _last_sends(world: World, width_ms: int) -> Mapping[Place, int]:
    """When an event of each window was last sent, by the client's clock."""
    found: dict[Place, int] = {}
    for entry_id, sends in world.wire.sent.items():
        event = world.recorded[entry_id]
        place = (event.collection, event.timestamp_ms // width_ms * width_ms)
        found[place] = max(found.get(place, 0), *(sent.at_ms for sent in sends))
    return found


def _expected(world: World, width_ms: int) -> Mapping[Place, set[str]]:
    dead = world.dead_ids()
    found: dict[Place, set[str]] = defaultdict(set)
    for entry_id, event in world.recorded.items():
        if entry_id not in dead:
            found[event.collection, event.timestamp_ms // width_ms * width_ms].add(entry_id)
    return found


def _whole(copies: Copies, width_ms: int) -> Mapping[Place, list[Copy]]:
    """The copies with all their stamps, by the window in which queries count them."""
    found: dict[Place, list[Copy]] = defaultdict(list)
    for of in copies.values():
        for copy in of:
            if copy.has_stamps and copy.timestamp_ms is not None:
                found[copy.collection, copy.timestamp_ms // width_ms * width_ms].append(copy)
    return found


def _shown(stored: Iterable[Copy], at_ms: int) -> Counter[str]:
    return Counter(copy.id for copy in stored if copy.is_seen(at_ms))


def _is_once(event: Recorded, seen: list[Copy]) -> bool:
    return len(seen) == 1 and seen[0].has_stamps and seen[0].timestamp_ms == event.timestamp_ms


def _names(window: WindowReport, entry_id: str) -> bool:
    if window.state in _GOOD:
        return False
    kinds = ("missing", "duplicate", "corrupt", "shifted", "collision", "disputed", "vanished")
    return window.state in _UNSAID or any(entry_id in _all([window], kind) for kind in kinds)


def _all(windows: Iterable[WindowReport], kind: str) -> set[str]:
    return {str(entry_id) for window in windows for entry_id in getattr(window, kind)}


def _place(window: WindowReport, wanted: set[str], shown: Counter[str]) -> str:
    surplus, lacking = shown - Counter(wanted), Counter(wanted) - shown
    where = f"{window.collection} {ms_to_iso(window.start_ms)} is {window.state}"
    return f"{where}, but the server lacks {_some(lacking)} and has besides {_some(surplus)}"


def _some(found: Mapping[str, object] | Iterable[str]) -> str:
    """The first few of what was found, and how many there are."""
    items = list(found.items() if isinstance(found, Mapping) else found)
    return f"{len(items)}: {items[:3]}"
