"""Somebody harms a file of the log under a process that works with it: no surprise, no double, no loss elsewhere."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

from tests.crash.harm import FILES, HARMS, Tally, harmed
from tests.crash.nursery import Nursery

if TYPE_CHECKING:
    from tests.crash.conftest import Served

#: Drawn by the run's seed, each of another file. All: ``python -m tests.crash.harm``.
LOGS = 5


def test_files_that_are_harmed_under_a_process_cost_nothing_elsewhere(
    nursery: Nursery, served: Served, tmp_path: Path, seed: int
) -> None:
    """Deleted, cut, replaced or written over: errors of the library, and after a repair everything else arrives once."""
    chance = random.Random(seed)
    tally = Tally()
    for number, file in enumerate(chance.sample(FILES, LOGS)):
        harm = chance.choice(sorted(HARMS))
        harmed(nursery, served, tmp_path / str(number), file, harm, seed, tally)
    print(f"\n{tally}")
    assert tally.logs == LOGS
    assert tally.receipts > LOGS * 12
