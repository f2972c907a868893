"""``python -m tests.simulation``: run scenarios by hand, one alone, all pairs, or many seeds; a swarm, or a hunt."""

from __future__ import annotations

import argparse
import sys
import traceback
from typing import Final

import attrs

from tests.simulation.campaign import swarm
from tests.simulation.fortnight import SimulationFailedError, VacuousFortnightError, run
from tests.simulation.hunt import hunt
from tests.simulation.prey import PREY
from tests.simulation.reached import EVERYTHING
from tests.simulation.scenarios import SINGLES, TALES, Scenario, all_pairs, by_name

#: How often a fortnight is drawn that did not meet its faults, and what its seeds lie apart.
DRAWS: Final = 4
APART: Final = 1_000_000


@attrs.define
class Campaign:
    """What all the fortnights of one command came to."""

    clean: int = 0
    failed: int = 0
    events: int = 0
    reached: set[str] = attrs.Factory(set)

    def run(self, scenario: Scenario, seed: int) -> None:
        """Simulate one fortnight and say how it went; one that never met its faults is drawn again.

        Raises:
            SimulationFailedError: an invariant does not hold, or no draw met the faults.
        """
        for draw in range(DRAWS):
            try:
                fortnight = run(scenario, seed + draw * APART)
                break
            except VacuousFortnightError as error:
                sys.stdout.write(f"again   {error}\n")
        else:
            raise SimulationFailedError(f"{scenario.name}: {DRAWS} draws from seed {seed} on were vacuous")
        self.clean += 1
        self.events += len(fortnight.world.recorded)
        self.reached |= fortnight.reached
        sys.stdout.write(f"ok      {scenario.name} seed {fortnight.seed} {fortnight.counters}\n")


def hunt_all(name: str) -> int:
    """Hunt one mutant, or all of them; 1 when one lives."""
    lives = 0
    for prey in PREY:
        if name in ("", prey.name):
            seed, wrong = hunt(prey)
            lives += not seed
            said = f"dies on seed {seed} (recorded: {prey.seed}): {wrong}" if seed else "LIVES"
            sys.stdout.write(f"{prey.name}: {said}\n")
            sys.stdout.flush()
    return 1 if lives else 0


def main(arguments: list[str]) -> int:
    """Run what is asked for; 1 when a scenario failed, or all together never reached what they are to show."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--scenario", action="append", default=[], help="one by name; faults joined by +")
    parser.add_argument("--pairs", action="store_true", help="every two faults together")
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds, counting up")
    parser.add_argument(
        "--skip", type=int, default=0, help="fortnights to leave out, to go on after so many lines"
    )
    parser.add_argument("--traceback", action="store_true", help="show where a scenario failed")
    parser.add_argument("--swarm", action="store_true", help="histories in which a few of all faults are on")
    parser.add_argument("--jobs", type=int, default=1, help="how many of them at a time")
    parser.add_argument("--hunt", nargs="?", const="", help="hunt mutants: all, or the named one")
    chosen = parser.parse_args(arguments)
    if chosen.hunt is not None:
        return hunt_all(chosen.hunt)
    if chosen.swarm:
        return swarm(chosen.seed, chosen.seeds, chosen.jobs)
    scenarios: list[Scenario] = [by_name(name) for name in chosen.scenario]
    if chosen.pairs:
        scenarios += all_pairs()
    seeds = range(chosen.seed, chosen.seed + chosen.seeds)
    fortnights = [(scenario, seed) for scenario in scenarios or [*SINGLES, *TALES] for seed in seeds]
    campaign = Campaign()
    for scenario, seed in fortnights[chosen.skip :]:
        try:
            campaign.run(scenario, seed)
        except SimulationFailedError as error:
            campaign.failed += 1
            sys.stdout.write(f"FAILED  {error}\n")
            if chosen.traceback:
                traceback.print_exc()
        sys.stdout.flush()
    never = sorted(EVERYTHING - campaign.reached)
    sys.stdout.write(
        f"{campaign.clean} fortnights with {campaign.events:,} events ran clean, {campaign.failed} failed;"
        f" reached {', '.join(sorted(campaign.reached))}\n"
    )
    is_vacuous = bool(never) and not scenarios and not chosen.skip
    if is_vacuous:
        sys.stdout.write(f"FAILED  never reached, so nothing was shown of it: {', '.join(never)}\n")
    return 1 if campaign.failed or is_vacuous else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
