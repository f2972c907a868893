"""A simulated fortnight: days of recording and sending, nights of verifying and replaying, then calm."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

import attrs

from keen_client._foundation.clock import MS_PER_HOUR, MS_PER_MINUTE, ms_to_iso
from keen_client.replay.night import NightReport
from keen_client.verify.report import VerifyReport
from tests.simulation.estimates import drawn
from tests.simulation.invariants import check_end, check_night
from tests.simulation.reached import found_in
from tests.simulation.scenarios import Scenario, hour_ms, midnight_ms
from tests.simulation.world import World, waiting_in

#: The hours of which events are recorded and sent, one batch each.
HOURS: Final = (8, 16)
#: Events that somebody else sends under ids of ours, in each hour of such a day.
IMPOSTORS: Final = 2


class SimulationFailedError(AssertionError):
    """An invariant does not hold; the message says when, which, and how to see it again."""


class VacuousFortnightError(SimulationFailedError):
    """Nothing went wrong, and something that was to be shown was never met: another seed may."""


@attrs.define
class Fortnight:
    """What came of one scenario. ``nights`` are the reports, by day; ``end`` the last look at everything.

    ``counters`` are the faults that happened, ``reached`` what the verifier came to (:mod:`tests.simulation.reached`).
    """

    scenario: Scenario
    seed: int
    world: World
    nights: dict[int, NightReport] = attrs.Factory(dict)
    counters: dict[str, int] = attrs.Factory(dict)
    reached: set[str] = attrs.Factory(set)
    end: VerifyReport | None = None


def run(scenario: Scenario, seed: int, directory: Path | None = None) -> Fortnight:
    """Simulate *scenario*. What is simulated is told by its name and *seed* alone.

    Raises:
        SimulationFailedError: an invariant does not hold.
        VacuousFortnightError: all holds, but a fault was never reached, or what the scenario wants of the verifier.
    """
    # Syncing costs nothing in memory, and no crash is simulated here.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as made:
        world = World(directory or Path(made), seed)
        fortnight = Fortnight(scenario, seed, world)
        when = "before the first day"
        try:
            with waiting_in(world.clock):
                for day in range(scenario.days + scenario.nights):
                    when = f"day {day}"
                    _begin(fortnight, day)
                    _back_fill(fortnight, day)
                    for hour, act in _acts(scenario, day):
                        act(fortnight, day, hour)
                when = "the end"
                with _estimates(fortnight, scenario.days + scenario.nights):
                    fortnight.end = world.client.verify(
                        ms_to_iso(midnight_ms(0)),
                        ms_to_iso(midnight_ms(scenario.days)),
                        preset=scenario.preset,
                    )
                fortnight.reached |= found_in([fortnight.end]) | world.wire.asked
                check_end(world, scenario, fortnight.end)
            fortnight.counters = dict(world.faults.counters)
            unreached = {
                name
                for name in scenario.reached
                if not fortnight.counters.get(name) and name not in fortnight.reached
            }
            if unreached:
                raise VacuousFortnightError(
                    f"{scenario.name}, seed {seed}: never reached {sorted(unreached)}, so it shows nothing"
                )
        except VacuousFortnightError:
            raise
        except Exception as error:
            raise SimulationFailedError(
                f"{scenario.name}, seed {seed}, {when}: {error!s}\n"
                f"again: python -m tests.simulation --scenario '{scenario.name}' --seed {seed}"
            ) from error
        finally:
            world.close()
    return fortnight


def _begin(fortnight: Fortnight, day: int) -> None:
    scenario, world = fortnight.scenario, fortnight.world
    world.advance_to(midnight_ms(day))
    changes: dict[str, Any] = dict(scenario.faults) if day == 0 else {}
    changes.update(scenario.changes.get(day, {}))
    if day == scenario.days:
        world.control.change(dict.fromkeys(world.faults.faults.active, None) | {"tokens": _mode(scenario)})
    elif changes:
        world.control.change(changes)
    if day in scenario.offset_hours:
        world.server_clock.offset_ms = round(scenario.offset_hours[day] * MS_PER_HOUR)
    if day in scenario.resurrect:
        world.resurrect()
    if day in scenario.release:
        world.release()


def _mode(scenario: Scenario) -> str:
    """What a server does with tokens is no fault that ends."""
    return str(scenario.all_faults.get("tokens", "edge"))


def _acts(scenario: Scenario, day: int) -> list[tuple[int, Callable[[Fortnight, int, int], None]]]:
    """What is done in a day, hour by hour: the job runs last, in the night that follows."""
    work = [(hour, _work) for hour in HOURS if day < scenario.days]
    return sorted([*work, *((hour, _night) for hour in scenario.job_hours)], key=itemgetter(0))


def _work(fortnight: Fortnight, day: int, hour: int) -> None:
    """Record and send the events of an hour: some when it is over, the others a little later, in a batch of their own."""
    scenario, world = fortnight.scenario, fortnight.world
    count, start_ms = scenario.heavy.get(day, scenario.events), hour_ms(day, hour)
    world.advance_to(start_ms + MS_PER_HOUR)
    world.record(count - count // 3, start_ms, scenario.collections)
    if day in scenario.impostors:
        world.impersonate(IMPOSTORS, start_ms)
    world.record_by_others(scenario.others, start_ms, scenario.collections, at_ours=scenario.others_at_ours)
    world.client.flush()
    world.clock.advance(600)
    world.record(count // 3, start_ms, scenario.collections)
    world.client.flush()


def _back_fill(fortnight: Fortnight, day: int) -> None:
    scenario, world = fortnight.scenario, fortnight.world
    if day in scenario.backfill:
        world.advance_to(hour_ms(day, HOURS[0]))
        world.record(scenario.events, hour_ms(scenario.backfill[day], HOURS[0]), scenario.collections)
        world.client.flush()


def _night(fortnight: Fortnight, day: int, hour: int) -> None:
    """Run the job at *hour* of *day*, give or take; what it reports has to be true."""
    scenario, world = fortnight.scenario, fortnight.world
    chance = random.Random(fortnight.seed * 1_000 + day)
    world.advance_to(hour_ms(day, hour) + chance.randrange(60) * MS_PER_MINUTE)
    with _estimates(fortnight, day):
        report = world.client.nightly(preset=scenario.preset, max_replay=_allowed(scenario.max_replay, day))
    fortnight.nights[day] = report
    reports = [report.before] if report.after is report.before else [report.before, report.after]
    fortnight.reached |= found_in(reports)
    check_night(world, scenario, reports, world.clock.wall_ms())


def _estimates(fortnight: Fortnight, day: int) -> AbstractContextManager[None]:
    """Other estimates every night, told by the scenario's name and the seed."""
    chance = random.Random(f"{fortnight.scenario.name} {fortnight.seed} {day}")
    return drawn(chance, fortnight.reached)


def _allowed(by_day: Mapping[int, int | None], day: int) -> int | None:
    days = [since for since in by_day if since <= day]
    return by_day[max(days)] if days else None
