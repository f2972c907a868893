"""What holds in a swarm history after every step, and what has come to be in its end."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import attrs

from keen_client._foundation.clock import MS_PER_DAY, ms_to_iso
from keen_client.eventlog.reclaim import Reclaimed
from keen_client.events.identity import EntryId
from keen_client.server.faults import parse_duration
from keen_client.verify.report import VerifyReport, WindowReport
from keen_client.verify.verdict import Verdict
from tests.simulation.invariants import (
    _GOOD,
    _UNSAID,
    FIRST_OF_A_RUN,
    _check_named,
    _is_there,
    _names,
    _some,
)
from tests.simulation.truth import Copies, Copy, made_by_client
from tests.simulation.world import Recorded

if TYPE_CHECKING:
    from tests.simulation.plan import Plan
    from tests.simulation.swarm import Swarm


def check_step(swarm: Swarm) -> None:
    """At any moment: no copy too many by the client's doing, no resend of what is there, and a log that adds up."""
    _check_copies(swarm)
    _check_resends(swarm)
    _check_state(swarm)


def _check_copies(swarm: Swarm) -> None:
    """No event has two copies by the client's doing, unless two logs had it to send, or no read could show the first."""
    now_ms, twice = swarm.now_ms, dict[str, int]()
    stale_ms = _stale_ms(swarm.plan)
    for entry_id, of in swarm.store.copies.items():
        if len(of) < 2 or entry_id in swarm.shared:
            continue
        kept = [copy for copy in of if not 0 < copy.vanish_ms <= now_ms]
        made = made_by_client(kept)
        if made < 2:
            continue
        last_ms = max(copy.created_ms for copy in kept)
        # What came late was there when it was resent, and stale reads did not show it yet.
        shown = [c for c in kept if c.visible_ms <= last_ms - stale_ms or c.created_ms == last_ms]
        if swarm.plan.is_delay_bounded or made_by_client(shown) > 1:
            twice[entry_id] = made
    assert not twice, f"copies made by the client: {_some(twice)}"


def _stale_ms(plan: Plan) -> int:
    """How old what the server shows may be."""
    return parse_duration(str(plan.faults.get("stale-reads", "0s")))


def _check_resends(swarm: Swarm) -> None:
    """No run resends what is there or on its way, and none that an earlier look of its own night has shown."""
    are_honoured, wrong = swarm.plan.tokens != "off", dict[str, str]()
    # What appeared at that very moment no stale read can have shown.
    stale_ms = _stale_ms(swarm.plan)
    for entry_id, sends in swarm.world.wire.sent.items():
        if len(sends) < 2 or entry_id in swarm.shared:
            continue
        for sent in sends:
            if sent.a < FIRST_OF_A_RUN or (sent.a % FIRST_OF_A_RUN and are_honoured):
                continue
            gone_ms, back_ms = swarm.store.away.get(entry_id, (0, 0))
            if gone_ms <= sent.at_ms < back_ms:
                continue
            for copy in swarm.store.copies.get(entry_id, ()):
                seen_ms = sent.at_ms - (stale_ms if copy.visible_ms else 0)
                if copy.created_ms < sent.at_ms and _is_there(copy, seen_ms, swarm.plan):
                    wrong[entry_id] = f"resent at {ms_to_iso(sent.at_ms)} beside {copy}"
    assert not wrong, f"resent although present: {_some(wrong)}"


def _check_state(swarm: Swarm) -> None:
    """Every folded entry is in exactly one state and counted once in the totals, and none is folded that is not there."""
    log = swarm.log
    with log.state.reading() as db:
        origins = db.execute("SELECT origin, cursor, status FROM origins").fetchall()
        counted = dict(db.execute("SELECT origin, sum(n) FROM totals GROUP BY origin").fetchall())
        ranges = db.execute("SELECT origin, seq_lo, seq_hi FROM ranges ORDER BY origin, seq_lo").fetchall()
    covered: dict[str, int] = defaultdict(int)
    for origin, low, high in ranges:
        assert low == covered[origin] + 1, f"the states of {origin} have a hole or overlap at {low}"
        covered[origin] = high
    for origin, cursor, status in origins:
        assert covered[origin] == cursor, (
            f"{origin} is folded to {cursor}, and has states to {covered[origin]}"
        )
        assert counted.get(origin, 0) == cursor, (
            f"{origin} has {cursor} entries, and totals of {counted.get(origin)}"
        )
        if status in ("open", "sealed", "drained"):
            last = log.shelf.last_seq(origin)
            is_undone = bool(swarm.reclaimed & {origin})
            assert cursor <= last or is_undone, f"{origin} was folded to {cursor} and ends at {last}"


def check_log(swarm: Swarm, *, may_lack: bool) -> None:
    """After a death: every receipt is good, and what has none is known from now on.

    Lost with power may be what ``normal`` recorded last, if nobody was sent it.
    *may_lack*: the log was put back to an older state, and lacks what came later.
    """
    present = {str(entry.id): entry for entry in swarm.log.entries()}
    lacking = {
        i: e
        for i, e in swarm.owed.items()
        if i not in present and EntryId.parse(i).origin not in swarm.reclaimed
    }
    if lacking and not may_lack:
        may_lose = swarm.machine.with_power and swarm.plan.log_config.durability == "normal"
        assert may_lose, f"receipts without events: {_some(lacking)}"
        # What a clone was copied with is on its own disk, and was its own to send.
        sent = {
            i: swarm.world.wire.sent[i] for i in lacking.keys() - swarm.shared if swarm.world.wire.sent.get(i)
        }
        assert not sent, f"lost from the log, and sent before: {_some(sent)}"
        last = {
            origin: max(e.seq for e in present.values() if e.origin == origin)
            for origin in {e.origin for e in present.values()}
        }
        holes = [i for i in lacking if EntryId.parse(i).seq <= last.get(EntryId.parse(i).origin, 0)]
        assert not holes, f"lost, and later ones not: {_some(holes)}"
        swarm.reached.add("lost with the power")
    for entry_id in lacking:
        del swarm.owed[entry_id]
        swarm.orphans.add(entry_id)
    for entry_id, entry in present.items():
        if entry_id not in swarm.owed:
            swarm.orphans.discard(entry_id)
            swarm.owe(Recorded(entry_id, entry.collection, entry.timestamp_ms))
            swarm.reached.add("recorded without a receipt")


def check_report(swarm: Swarm, report: VerifyReport) -> None:
    """A match is one: it holds exactly the expected events, once each, as the server showed them; and numbers add up."""
    plan, dead = swarm.plan, swarm.world.dead_ids()
    offset_ms = swarm.world.client_clock.offset_ms
    stale_ms = 0 if swarm.is_calm else _stale_ms(plan)
    moments = [report.as_of_ms - offset_ms - stale_ms, swarm.now_ms - stale_ms]
    is_partial = "partial-reads" in plan.faults and not swarm.is_calm
    known, recorded_late = swarm.log.origins(), set[tuple[str, int]]()
    expected: dict[tuple[str, int], set[str]] = defaultdict(set)
    for entry_id, event in swarm.owed.items():
        place = _place(swarm, event)
        if swarm.recorded_ms[entry_id] >= report.as_of_ms - offset_ms:
            recorded_late.add(place)
        if entry_id not in dead:
            expected[place].add(entry_id)
    for window in report.windows:
        place = window.collection, window.start_ms
        if window.state not in _GOOD or place in recorded_late:
            continue
        assert window.local_count == window.server_count, f"{place} matches with unequal counts"
        wanted = expected[place]
        shown = [_shown_in(swarm, place, known, at_ms) for at_ms in moments]
        is_true = any(wanted <= set(one) if is_partial else one == Counter(wanted) for one in shown)
        assert is_true, (
            f"{place} is {window.state} with {_some(wanted)}, and the server has {_some(shown[-1])}"
        )
    is_all_good = all(window.state in _GOOD for window in report.windows)
    assert (report.exit_status() == 0) is is_all_good, (
        f"the exit status {report.exit_status()} hides a window"
    )


def _place(swarm: Swarm, event: Recorded) -> tuple[str, int]:
    """The window of *event*."""
    return event.collection, event.timestamp_ms // swarm.plan.width_ms * swarm.plan.width_ms


def _shown_in(swarm: Swarm, place: tuple[str, int], known: set[str], at_ms: int) -> Counter[str]:
    collection, start_ms = place
    return Counter(
        copy.id
        for of in swarm.store.copies.values()
        for copy in of
        if copy.collection == collection
        and copy.timestamp_ms is not None
        and start_ms <= copy.timestamp_ms < start_ms + swarm.plan.width_ms
        and copy.has_stamps
        and copy.is_seen(at_ms)
        and EntryId.parse(copy.id).origin in known
    )


def check_reclaimed(swarm: Swarm, reclaimed: Reclaimed) -> None:
    """What has left the log is at the server, whole: a query has shown it, or it was kept."""
    if not reclaimed.segments:
        return
    swarm.reached.add("reclaimed")
    with swarm.log.state.reading() as db:
        gone = {origin for (origin,) in db.execute("SELECT origin FROM origins WHERE status = 'reclaimed'")}
    kept = {str(entry.id) for entry in swarm.log.entries()}
    fresh, swarm.reclaimed = gone - swarm.reclaimed, gone
    wrong = {
        i
        for i in swarm.owed
        if EntryId.parse(i).origin in fresh
        and i not in kept
        and not any(copy.has_stamps and copy.is_seen(swarm.now_ms) for copy in swarm.store.copies.get(i, ()))
    }
    assert not wrong - swarm.world.dead_ids(), f"reclaimed, and not at the server: {_some(wrong)}"
    if kept & {i for i in swarm.owed if EntryId.parse(i).origin in gone}:
        swarm.reached.add("kept")


def check_fairness(swarm: Swarm) -> None:
    """Nights too short for all collections take them in turn: none is asked for thrice before another is once."""
    plan = swarm.plan
    if (
        "short-nights" not in plan.troubles
        or plan.faults
        or plan.lines
        or plan.troubles & {"crash", "power", "late"}
    ):
        return  # what is not due is not asked for, and neither is what never was answered
    asked = Counter(name for night in swarm.asked for name in night if name in plan.collections)
    most, least = max(asked.values(), default=0), min(asked[name] for name in plan.collections)
    if most > 1:
        swarm.reached.add("took turns")
    assert most - least <= 2, f"some collections starve: {dict(asked)}"


def check_finished(swarm: Swarm) -> None:
    """In the end every event is seen exactly once, or named; where nothing lasting happened, all of it is final."""
    report = _last_look(swarm)
    check_log(swarm, may_lack=False)
    copies: Copies = {i: _known(of) for i, of in swarm.store.copies.items() if i in swarm.owed}
    now_ms, dead = swarm.now_ms, swarm.world.dead_ids()
    classes = swarm.readings.classify(swarm, dead)
    # Of two copies of two logs one may lie in another window, where the server or its own log put it: it is named there.
    moved = swarm.shared & {
        str(i) for window in report.values() for i in (*window.shifted, *window.collision)
    }
    unexplained: dict[str, str] = {}
    for entry_id, event in swarm.owed.items():
        seen = [copy for copy in copies.get(entry_id, ()) if copy.is_seen(now_ms)]
        window = report.get(_place(swarm, event))
        if entry_id in dead:
            is_explained = not seen
        elif _is_once(swarm, event, seen):
            is_explained = window is not None
        else:
            is_explained = entry_id in moved or (window is not None and _names(window, entry_id))
        if not is_explained:
            unexplained[entry_id] = (
                f"{classes[entry_id]} {seen} in {window and (window.state, window.reason)}"
            )
    assert not unexplained, f"neither seen once nor named: {_some(unexplained)}"
    unsaid = {
        i
        for i, event in swarm.owed.items()
        if (window := report.get(_place(swarm, event))) and window.state in _UNSAID
    }
    # Two of ours beside one of a clone: a collision, and a person decides.
    collisions = {str(i) for window in report.values() for i in window.collision}
    _check_named(copies, report.values(), now_ms, dead | unsaid | collisions | moved)
    # Under other faults what the clone sent may never have arrived, or be late for ever.
    is_plain = not swarm.plan.faults and not swarm.plan.lines and swarm.plan.is_delay_bounded
    unnamed = {i for i in swarm.world.impostors if _must_be_named(swarm, i)} - collisions - dead - unsaid
    assert not (is_plain and unnamed), f"events of a clone under our ids, not named: {_some(unnamed)}"
    if swarm.plan.heals:
        bad = {
            f"{w.collection} {ms_to_iso(w.start_ms)}": (w.state, w.reason)
            for w in report.values()
            if w.state is not Verdict.FINAL
        }
        assert not bad, f"faults are over and windows are not final: {_some(bad)}"
        backlog = swarm.log.outbox.backlog()
        assert not backlog.unsent, f"faults are over and events are not sent: {backlog}"


def _must_be_named(swarm: Swarm, entry_id: str) -> bool:
    """Whether what a clone sent under this id shows: it took the place of ours, or lies where ours are expected.

    A window in which the log expects nothing is compared only when somebody asks for it.
    """
    event = swarm.owed.get(entry_id)
    if event is None:
        return False
    theirs = attrs.evolve(event, timestamp_ms=swarm.world.impostors[entry_id])
    is_looked_at = _place(swarm, theirs) in {_place(swarm, one) for one in swarm.owed.values()}
    return is_looked_at or entry_id not in swarm.store.copies


def _known(of: Sequence[Copy]) -> Sequence[Copy]:
    """The copies *of* an event, without those of which nobody can tell that they are its: a stranger's, with no stamps.

    It was sent twice, by two logs or because the first copy was not shown in
    time, and one of the two has lost its properties: nothing is missing that could be looked for.
    """
    return [copy for copy in of if copy.has_stamps] or of


def _is_once(swarm: Swarm, event: Recorded, seen: Sequence[Copy]) -> bool:
    """Whether *seen* is the event: whole, and in its window; where in it no total can tell."""
    if len(seen) != 1 or not seen[0].has_stamps or seen[0].timestamp_ms is None:
        return False
    return _place(swarm, attrs.evolve(event, timestamp_ms=seen[0].timestamp_ms)) == _place(swarm, event)


def _last_look(swarm: Swarm) -> Mapping[tuple[str, int], WindowReport]:
    """A verification of every day on which something is expected; it sends nothing."""
    days = sorted({event.timestamp_ms // MS_PER_DAY for event in swarm.owed.values()})
    writes, found = swarm.world.wire.writes, dict[tuple[str, int], WindowReport]()
    for day in days:
        span = ms_to_iso(day * MS_PER_DAY), ms_to_iso((day + 1) * MS_PER_DAY)
        report = swarm.client.verify(*span, preset=swarm.plan.preset, window=swarm.plan.window)
        check_report(swarm, report)
        found.update({(window.collection, window.start_ms): window for window in report.windows})
    assert swarm.world.wire.writes == writes, "a verification wrote to the server"
    return found
