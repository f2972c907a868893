"""A campaign: many swarm histories, and what they came to together."""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections import Counter
from typing import Final

import attrs

from keen_client._foundation.clock import SystemClock
from tests.simulation.fortnight import SimulationFailedError
from tests.simulation.reached import EVERYTHING_IN_A_SWARM
from tests.simulation.swarm import run_seed

#: So many histories have to reach everything together.
WHOLE: Final = 1_000


@attrs.frozen
class Ran:
    """What one swarm history came to; ``wrong``: how it failed, if it did."""

    seed: int
    wrong: str = ""
    events: int = 0
    requests: int = 0
    cpu_seconds: float = 0.0
    reached: frozenset[str] = frozenset()
    classes: Counter[str] = attrs.Factory(Counter)


def run_one(seed: int) -> Ran:
    """Run the swarm history of *seed*."""
    started = time.process_time()
    try:
        ran = run_seed(seed)
    except SimulationFailedError as error:
        return Ran(seed, str(error))
    return Ran(
        seed,
        events=len(ran.owed) + len(ran.orphans),
        requests=ran.world.wire.requests,
        cpu_seconds=time.process_time() - started,
        reached=frozenset(ran.reached),
        classes=ran.readings.classes,
    )


def swarm(first: int, count: int, jobs: int) -> int:
    """Run *count* swarm histories from seed *first* on, *jobs* at a time.

    1 when one failed or, where there are enough of them, all together were vacuous.
    """
    reached, classes, failed, done = set[str](), Counter[str](), 0, list[Ran]()
    clock = SystemClock()
    started_ns = clock.monotonic_ns()
    # What a history has open and cached is its process's: each gets a new one now and then.
    with multiprocessing.get_context("spawn").Pool(jobs, maxtasksperchild=500) as pool:
        for ran in pool.imap_unordered(run_one, range(first, first + count)):
            done.append(ran)
            reached |= ran.reached
            classes += ran.classes
            if ran.wrong:
                failed += 1
                sys.stdout.write(f"FAILED  {ran.wrong}\n")
            if len(done) % 100 == 0:
                sys.stdout.write(f"{len(done)} seeds, {failed} failed\n")
            sys.stdout.flush()
    never = sorted(EVERYTHING_IN_A_SWARM - reached)
    is_vacuous = bool(never) and count >= WHOLE
    sys.stdout.write(
        f"{count - failed} of {count} histories ran clean, with {sum(ran.events for ran in done):,} events"
        f" and {sum(ran.requests for ran in done):,} requests, in {(clock.monotonic_ns() - started_ns) / 1e9:.0f} s,"
        f" {sum(ran.cpu_seconds for ran in done):.0f} s of CPU\n"
        f"events by what became of them: {dict(classes)}\nreached {', '.join(sorted(reached))}\n"
    )
    if never:
        sys.stdout.write(f"{'FAILED  ' if is_vacuous else ''}never reached: {', '.join(never)}\n")
    return 1 if failed or is_vacuous else 0
