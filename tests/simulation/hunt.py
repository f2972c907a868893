"""The hunt: each client that is wrong on purpose must die within 200 seeds of the swarm, and dies on its recorded one.

``given`` narrows the histories to those in which the rule that it lacks is
needed; on the recorded seed the client with all of its rules is clean.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Final
from unittest.mock import patch

import attrs

from tests.simulation.fortnight import SimulationFailedError
from tests.simulation.plan import Plan, draw
from tests.simulation.swarm import run_plan

#: Seeds that a hunt takes before it gives up.
SEEDS_MAX: Final = 200


@attrs.frozen(kw_only=True)
class Prey:
    """One rule gone, or several of which each makes up for the others.

    ``patches``: what stands in for which names of the package; ``seed``: where
    it dies. ``enough``: of several rules, by name, the patches that are undone
    where that rule is back, which alone keeps it from harm.
    """

    name: str
    patches: Mapping[str, Any]
    given: Mapping[str, Any] = attrs.Factory(dict)
    seed: int = 1
    enough: Mapping[str, frozenset[str]] = attrs.Factory(dict)

    @contextmanager
    def at_large(self) -> Iterator[None]:
        """Until the end of the block, it is the client."""
        with ExitStack() as stack:
            for target, value in self.patches.items():
                stack.enter_context(patch(f"keen_client.{target}", value))
            yield

    def spared(self) -> list[Prey]:
        """The same with one of the rules back that are enough, each in its turn: they have to live."""
        return [
            attrs.evolve(
                self,
                name=f"{self.name}, but {rule}",
                patches={target: value for target, value in self.patches.items() if target not in back},
                enough={},
            )
            for rule, back in self.enough.items()
        ]

    def plan(self, seed: int) -> Plan:
        """The history of *seed*, with what is given."""
        return attrs.evolve(draw(seed), **self.given)

    def dies(self, seed: int) -> str:
        """What is said of it in the history of *seed*; empty when it lives.

        Raises:
            SimulationFailedError: a client with all of its rules dies there too.
        """
        plan = self.plan(seed)
        try:
            with self.at_large():
                run_plan(plan)
        except SimulationFailedError as error:
            run_plan(plan)
            return str(error)
        return ""


def hunt(prey: Prey) -> tuple[int, str]:
    """The first seed on which *prey* dies, and of what; seed 0 and nothing if it lives through all of them."""
    for seed in range(1, SEEDS_MAX + 1):
        wrong = prey.dies(seed)
        if wrong:
            return seed, wrong
    return 0, ""
