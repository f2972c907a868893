"""``python -m tests.simulation``: run scenarios by hand, one alone, all pairs, or many seeds."""

from __future__ import annotations

import argparse
import sys
import traceback

from tests.simulation.fortnight import SimulationFailedError, run
from tests.simulation.scenarios import SINGLES, TALES, Scenario, all_pairs, by_name


def main(arguments: list[str]) -> int:
    """Run what is asked for; 1 when a scenario failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--scenario", action="append", default=[], help="one by name; faults joined by +")
    parser.add_argument("--pairs", action="store_true", help="every two faults together")
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds, counting up")
    parser.add_argument("--traceback", action="store_true", help="show where a scenario failed")
    chosen = parser.parse_args(arguments)
    scenarios: list[Scenario] = [by_name(name) for name in chosen.scenario]
    if chosen.pairs:
        scenarios += all_pairs()
    failed = 0
    for scenario in scenarios or [*SINGLES, *TALES]:
        for seed in range(chosen.seed, chosen.seed + chosen.seeds):
            try:
                counters = run(scenario, seed).counters
                sys.stdout.write(f"ok      {scenario.name} seed {seed} {counters}\n")
            except SimulationFailedError as error:
                failed += 1
                sys.stdout.write(f"FAILED  {error}\n")
                if chosen.traceback:
                    traceback.print_exc()
            sys.stdout.flush()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
