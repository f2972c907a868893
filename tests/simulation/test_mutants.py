"""Each rule of evidence is needed: without it, a fortnight goes wrong that is clean with it."""

from __future__ import annotations

import re

import pytest

from tests.simulation.fortnight import SimulationFailedError, run
from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.scenarios import SEED, SINGLES, TALES, by_name


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_verifier_without_one_of_its_rules_is_found_out(mutant: Mutant) -> None:
    """What goes wrong is what the rule is there for."""
    with mutant.at_work(), pytest.raises(SimulationFailedError, match=re.escape(mutant.wrong)):
        run(by_name(mutant.scenario), SEED)


def test_the_fortnights_of_the_mutants_are_those_that_are_clean() -> None:
    """The suite runs each of them with every rule at work."""
    assert {mutant.scenario for mutant in MUTANTS} <= {scenario.name for scenario in (*SINGLES, *TALES)}
