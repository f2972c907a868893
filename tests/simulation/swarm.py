"""A swarm history: a few days of a few events while some things go wrong, and then calm, in which progress is due.

In the first phase nothing is promised but safety: after every step, nothing was
counted twice, no receipt is void, no match is false. In the second the faults
are over, and every event has to come to be there exactly once, or be named.
"""

from __future__ import annotations

import os
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar
from unittest.mock import patch

import attrs
import httpx

from keen_client import KeenClient
from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR, MS_PER_SECOND, ms_to_iso
from keen_client.client.receipt import Receipt
from keen_client.errors import NightlyLockedError
from keen_client.eventlog.log import EventLog
from keen_client.replay.night import Night, NightReport
from keen_client.verify.finality import SilentApi
from keen_client.verify.presets import preset
from keen_client.verify.verdict import Verdict
from keen_client.verify.verifier import Verifier
from keen_client.verify.windows import Scope
from tests.simulation.estimates import drawn
from tests.simulation.fortnight import SimulationFailedError
from tests.simulation.history import Readings
from tests.simulation.machine import Crash, Machine, abandon, at_risk, copy_log, forget_locks
from tests.simulation.plan import Plan, draw
from tests.simulation.reached import found_in
from tests.simulation.scenarios import midnight_ms
from tests.simulation.swarm_invariants import (
    check_fairness,
    check_finished,
    check_log,
    check_reclaimed,
    check_report,
    check_step,
)
from tests.simulation.watched import WatchedStore
from tests.simulation.world import Recorded, World, waiting_in

_ResultT = TypeVar("_ResultT")

#: Hours between the nights of the second phase. In the worst case an event is missed twice, resent, swallowed
#: by its own token, missed again, resent under another one after eight days, read, and final after ten more.
CALM_GAPS_HOURS: Final = (28, 28, 28, 28, 150, 30, 30, 30, 250, 30, 250, 30)
#: The night of that phase after which events are recorded that belong to the first day.
BACK_FILLED_AFTER: Final = 8
#: A pause after which the server has forgotten its tokens.
AWAY_DAYS: Final = 32
#: How often a process dies in a step in which it may, and how many points one has at the most, or nearly.
DEATHS: Final = 0.4
POINTS: Final = {"record": 2, "flush": 14, "night": 45}
YEARS_MS: Final = 3_650 * MS_PER_DAY


@attrs.define(eq=False)
class Swarm:
    """One history under way. ``owed``: what the log has to account for, by id; the others it lost with a backup or power."""

    plan: Plan
    directory: Path
    machine: Machine
    world: World
    store: WatchedStore
    chance: random.Random
    reached: set[str] = attrs.Factory(set)
    readings: Readings = attrs.Factory(Readings)
    #: When each event was recorded, in true time, and which ones lie in two logs.
    recorded_ms: dict[str, int] = attrs.Factory(dict)
    shared: set[str] = attrs.Factory(set)
    orphans: set[str] = attrs.Factory(set)
    #: By night, the collections that were asked for.
    asked: list[set[str]] = attrs.Factory(list)
    #: Requests until the interlude; 0: there is none.
    interlude_in: int = 0
    is_calm: bool = False
    reclaimed: set[str] = attrs.Factory(set)
    steps: int = 0

    @property
    def owed(self) -> dict[str, Recorded]:
        """Every event that the client's log has to account for."""
        return self.world.recorded

    @property
    def client(self) -> KeenClient:
        """The client of the time."""
        return self.world.client

    @property
    def log(self) -> EventLog:
        """Its log."""
        log = self.world.client._core.event_log
        assert log is not None
        return log

    @property
    def now_ms(self) -> int:
        """The true time."""
        return self.world.clock.wall_ms()

    def live(self) -> None:
        """Live through all of it."""
        for day in range(self.plan.days):
            self._day(day)
        self._calm_down()
        for number, gap in enumerate(CALM_GAPS_HOURS):
            self.world.clock.advance(gap * 3_600 + self.chance.randrange(3_600))
            if number == BACK_FILLED_AFTER and "back-fill" in self.plan.troubles:
                self._back_fill()
            self._night()
            is_due = number < BACK_FILLED_AFTER and "back-fill" in self.plan.troubles
            if not is_due and self._is_finished():
                break
        check_finished(self)

    # ---- the days -----------------------------------------------------------------------

    def _day(self, day: int) -> None:
        world, plan, chance = self.world, self.plan, self.chance
        world.advance_to(midnight_ms(day) + 8 * MS_PER_HOUR)
        self._set_clock(day)
        self._restore_or_clone(day)
        for _ in range(plan.batches):
            self._record()
            self._write_by_others()
            if chance.random() < 0.8:
                self._flush()
            world.clock.advance(chance.choice((60, 600, 4 * 3_600)))
        world.advance_to(midnight_ms(day) + 26 * MS_PER_HOUR)
        world.clock.advance(chance.randrange(3_600))
        self._night()
        if chance.random() < 0.3:
            world.clock.advance(6 * 3_600)
            self._night()

    def _record(self, *, day: int | None = None) -> None:
        """Record a batch, or one event at a time; dated now by the true time, or by the client's clock."""
        plan, chance = self.plan, self.chance
        at_ms = self.now_ms if day is None else midnight_ms(day) + 8 * MS_PER_HOUR
        is_dated = "clock-years" not in plan.troubles or chance.random() < 0.5

        def event(number: int) -> dict[str, Any]:
            body = {"amount": chance.randrange(10_000), "user": f"u{chance.randrange(50)}"}
            return body | ({"keen": {"timestamp": ms_to_iso(at_ms - number * 1_000)}} if is_dated else {})

        batch = {name: [event(number) for number in range(plan.events)] for name in plan.collections}

        def together() -> list[Receipt]:
            return [receipt for receipts in self.client.add_events(batch).values() for receipt in receipts]

        if chance.random() < 0.6:
            self._keep(self._step("record", together) or [])
            return
        for name, bodies in batch.items():
            for body in bodies:
                receipt = self._step("record", lambda name=name, body=body: self.client.add_event(name, body))  # type: ignore[misc]
                self._keep([receipt] if receipt else [])

    def _keep(self, receipts: list[Receipt]) -> None:
        for receipt in receipts:
            assert receipt.id is not None
            timestamp_ms = round(receipt.timestamp.timestamp() * MS_PER_SECOND)
            self.owe(Recorded(receipt.id, receipt.collection, timestamp_ms))

    def owe(self, event: Recorded) -> None:
        """From now on the log has to account for *event*."""
        self.owed[event.id] = event
        self.recorded_ms.setdefault(event.id, self.now_ms)

    def _flush(self) -> None:
        self._step("flush", self.client.flush)

    def _write_by_others(self) -> None:
        hour_ms = self.now_ms // MS_PER_HOUR * MS_PER_HOUR
        if "others" in self.plan.troubles:
            self.world.record_by_others(2, hour_ms, self.plan.collections)
        if "twins" in self.plan.troubles:
            count = min(Counter(event.collection for event in self.owed.values()).values(), default=0)
            names = sorted({event.collection for event in self.owed.values()})
            self.world.record_by_others(min(count, 2), hour_ms, names, at_ours=True)
        if "impostors" in self.plan.troubles and self.chance.random() < 0.5:
            self.world.impersonate(2, hour_ms)

    def _back_fill(self) -> None:
        final = self._outlook().get(Verdict.FINAL, 0)
        self._record(day=0)
        self._flush()
        if final and self._outlook().get(Verdict.FINAL, 0) < final:
            self.reached.add("back-filled into a final window")

    # ---- troubles -----------------------------------------------------------------------

    def _set_clock(self, day: int) -> None:
        """Some days the machine takes another time for the true one."""
        clock, troubles = self.world.client_clock, self.plan.troubles
        clock.offset_ms = 0
        if "clock-hour" in troubles and self.chance.random() < 0.7:
            clock.offset_ms = self.chance.choice((-1, 1)) * MS_PER_HOUR
        if "clock-years" in troubles and day == self.plan.days // 2:
            clock.offset_ms = self.chance.choice((-1, 1)) * YEARS_MS
        if clock.offset_ms:
            ahead = "ahead" if clock.offset_ms > 0 else "behind"
            self.reached.add(f"clock {'years' if abs(clock.offset_ms) == YEARS_MS else 'an hour'} {ahead}")

    def _restore_or_clone(self, day: int) -> None:
        """A backup is made on the first day and put back on the last; a clone lives for a moment on each."""
        backup = self.directory / "backup"
        if "restore" in self.plan.troubles:
            if day == self.plan.days - 1 and backup.exists():
                self.machine.restore(backup)
                self.machine.boot += self.chance.random() < 0.5
                self._open()
                check_log(self, may_lack=True)
                self.reached.add("restored from a backup")
            elif day == 0:
                self._record()
                if self.chance.random() < 0.5:
                    self._flush()
                copy_log(self.machine.log, backup)
                self.shared |= set(self.owed)
        if "clone" in self.plan.troubles:
            self._clone(day)

    def _clone(self, day: int) -> None:
        """A copy of the log at work somewhere else, at the same project; then it is gone for good."""
        place = self.directory / f"clone-{day}"
        if self.chance.random() < 0.5:
            self._record()
        copy_log(self.machine.log, place)
        self.shared |= set(self.owed)
        clone = self.world.open_client(place)
        name = self.plan.collections[0]
        receipts = clone.add_events({name: [{"amount": 1}, {"amount": 2}]})[name]
        self.orphans |= {str(receipt.id) for receipt in receipts}
        clone.flush()
        if self.chance.random() < 0.5:
            self.world.clock.advance(30 * 3_600)
            clone.nightly(preset=self.plan.preset, window=self.plan.window)
        abandon(clone)
        forget_locks(place)
        self.reached.add("cloned")

    def _interlude(self) -> None:
        """Somebody else works on the log while a night is under way."""
        other = self._another()
        kind = self.chance.choice(("night", "verify", "record"))
        if kind == "night":
            try:
                other.nightly(preset=self.plan.preset, window=self.plan.window)
            except NightlyLockedError:
                self.reached.add("second night refused")
            else:
                raise AssertionError("two nightly jobs ran at once")
        elif kind == "verify":
            start_ms = self.now_ms // MS_PER_DAY * MS_PER_DAY - MS_PER_DAY
            span = ms_to_iso(start_ms), ms_to_iso(start_ms + 2 * MS_PER_DAY)
            other.verify(*span, preset=self.plan.preset, window=self.plan.window)
            self.reached.add("verified within a night")
        else:
            name = self.plan.collections[-1]
            stamp = {"timestamp": ms_to_iso(self.now_ms - MS_PER_DAY)}
            self._keep([other.add_event(name, {"amount": 1, "keen": stamp})])
            other.flush(0.05)
            self.reached.add("recorded within a night")
        self.machine.clients.remove(other)
        abandon(other)

    def _another(self) -> KeenClient:
        other = self.world.open_client(self.machine.log)
        self.machine.clients.append(other)
        return other

    def _leaving(self, request: httpx.Request) -> httpx.Response | None:
        """On the way to the server."""
        self.machine.point("request")
        if self.interlude_in:
            self.interlude_in -= 1
            if not self.interlude_in:
                self._interlude()
        lines = {} if self.is_calm else self.plan.lines
        if self.chance.random() < lines.get("down", 0):
            self.reached.add("down")
            raise httpx.ConnectError("nobody there", request=request)
        if self.chance.random() < lines.get("reset", 0):
            self.reached.add("reset")
            raise httpx.ReadError("the line was cut", request=request)
        if request.url.path.endswith("/events") and self.chance.random() < lines.get("busy", 0):
            self.reached.add("busy")
            return httpx.Response(429, json={"message": "slow down", "error_code": "TooManyRequests"})
        return None

    # ---- steps --------------------------------------------------------------------------

    def _step(self, what: str, action: Callable[[], _ResultT]) -> _ResultT | None:
        """Do *action*, in which the process may die; what has to hold after every step holds then."""
        machine, troubles = self.machine, self.plan.troubles
        may_die = not self.is_calm and not troubles.isdisjoint({"crash", "power"})
        if may_die and self.chance.random() < DEATHS:
            machine.fuse = self.chance.randrange(1, POINTS[what] + 1)
            machine.with_power = "power" in troubles and (
                "crash" not in troubles or self.chance.random() < 0.5
            )
        result: _ResultT | None = None
        self.steps += 1
        try:
            result = action()
        except Crash:
            machine.fuse = 0
            self._after_death()
        finally:
            machine.fuse = self.interlude_in = 0
        check_step(self)
        return result

    def _after_death(self) -> None:
        machine = self.machine
        self.reached.add(f"died at {machine.died_at}")
        if machine.with_power:
            self.reached.add("lost power")
        machine.bury()
        self._open()
        check_log(self, may_lack=False)

    def _open(self) -> None:
        self.world.client = self.world.open_client(self.machine.log)
        self.machine.clients.append(self.world.client)

    def _night(self) -> NightReport | None:
        """Run the job; what it reports has to be true."""
        if "two-jobs" in self.plan.troubles and not self.is_calm:
            self.interlude_in = self.chance.randrange(1, 5)
        is_short = "short-nights" in self.plan.troubles and not self.is_calm
        self.world.wire.collections_asked.clear()

        def night() -> NightReport:
            return self.client.nightly(
                preset=self.plan.preset, window=self.plan.window, budget_requests=1 if is_short else None
            )

        with drawn(self.chance, self.reached):
            report = self._step("night", night)
        self.asked.append(set(self.world.wire.collections_asked))
        self.readings.read(self)
        if report is None:
            return None
        reports = [report.before] if report.after is report.before else [report.before, report.after]
        self.reached |= found_in(reports)
        for one in reports:
            check_report(self, one)
        check_reclaimed(self, report.reclaimed)
        return report

    # ---- calm ---------------------------------------------------------------------------

    def _calm_down(self) -> None:
        """Nothing goes wrong any more; what happened, happened."""
        world, plan = self.world, self.plan
        check_fairness(self)
        if "away" in plan.troubles:
            self._flush()
            world.clock.advance(AWAY_DAYS * 86_400)
            self.reached.add("away")
        self.is_calm = True
        world.client_clock.offset_ms = 0
        world.control.change(dict.fromkeys(world.faults.faults.active, None) | {"tokens": plan.tokens})
        self._flush()

    def _outlook(self) -> Counter[Verdict]:
        """How many windows are in which state, from what is stored."""
        span = self.log.expectation.span()
        if span is None:
            return Counter()
        start_ms = span[0] // MS_PER_DAY * MS_PER_DAY
        scope = Scope(start_ms, span[1] // MS_PER_DAY * MS_PER_DAY + MS_PER_DAY, self.plan.width_ms, None)
        verifier = Verifier(self.log, SilentApi(), self.world.client_clock, preset(self.plan.preset))
        return Counter(state.state for state in verifier.outlook(scope).values())

    def _is_finished(self) -> bool:
        return set(self._outlook()) <= {Verdict.FINAL} and not self.log.outbox.backlog().unsent


def run_seed(seed: int) -> Swarm:
    """Run the swarm history of *seed*, which tells all of it.

    Raises:
        SimulationFailedError: an invariant does not hold, or something does not come to be.
    """
    return run_plan(draw(seed))


def run_plan(plan: Plan) -> Swarm:
    """The same of a *plan*."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as made, _made(plan, Path(made)) as swarm:
        try:
            swarm.live()
        except Exception as error:
            raise SimulationFailedError(
                f"swarm seed {plan.seed}, step {swarm.steps}: {type(error).__name__} {error!s}\n"
                f"with {plan}\nagain: python -m tests.simulation --swarm --seed {plan.seed}"
            ) from error
        swarm.reached |= (
            set(swarm.world.faults.counters) | swarm.world.wire.asked | set(swarm.readings.classes)
        )
    return swarm


@contextmanager
def _made(plan: Plan, directory: Path) -> Iterator[Swarm]:
    machine = Machine(directory / "log")
    with ExitStack() as stack:
        stack.enter_context(at_risk(machine))
        stack.enter_context(patch("keen_client.eventlog.shelf.READERS_MAX", plan.readers_max))
        world = World(
            directory,
            plan.seed,
            WatchedStore,
            log_config=plan.log_config,
            delivery_config=plan.delivery_config,
        )
        assert isinstance(world.store, WatchedStore)
        swarm = Swarm(plan, directory, machine, world, world.store, world.chance)
        machine.clients.append(world.client)
        stack.enter_context(waiting_in(world.clock))
        if "late" in plan.troubles:
            stack.enter_context(_late(swarm))
        world.wire.on_leaving = swarm._leaving
        world.wire.on_answer = lambda: machine.point("answer")
        world.control.change({**plan.faults, "tokens": plan.tokens})
        try:
            yield swarm
        finally:
            machine.stop()
            forget_locks(directory)
            world.close()


@contextmanager
def _late(swarm: Swarm) -> Iterator[None]:
    """Some events appear after years, or at the very moment between the read that missed them and their resend."""
    swarm.world.control.change({"delay": "0.5:3650d"})
    must_stop = Night._must_stop

    def must_stop_here(self: Night, *args: Any) -> str:
        if any(copy.visible_ms > swarm.now_ms for of in swarm.store.copies.values() for copy in of):
            swarm.world.control.release()
            swarm.reached.add("late")
        return must_stop(self, *args)

    with patch.object(Night, "_must_stop", must_stop_here):
        yield
