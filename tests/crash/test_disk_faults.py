"""The disk refuses what it is asked, at any moment: errors of the library and no others, and nothing lost after it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.crash.faults import DURABILITIES, FAULTS, LENGTHS, Tally, endured, operations_of, stepped
from tests.crash.nursery import Nursery

if TYPE_CHECKING:
    from tests.crash.conftest import Served

#: Of each fault, drawn by the run's seed. All: ``python -m tests.crash.faults``.
LIVES = 2


@pytest.mark.parametrize("durability", DURABILITIES)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_disk_that_refuses_any_operation_costs_no_receipt(
    nursery: Nursery, served: Served, tmp_path: Path, seed: int, fault: str, durability: str
) -> None:
    """Full, failing or read-only, once or for a while: then the same process goes on, and all with a receipt arrives once."""
    count = operations_of(nursery, served, tmp_path / "count", FAULTS[fault], durability)
    chance = random.Random(seed)
    tally = Tally(f"{fault}, {durability}")
    for number in range(LIVES):
        first, length = chance.randint(1, count), chance.choice(LENGTHS)
        endured(nursery, served, tmp_path / str(number), FAULTS[fault], durability, first, length, tally)
    print(f"\n{tally}")
    assert tally.lives == LIVES
    assert tally.met
    assert tally.receipts == tally.arrived - tally.doubtful


def test_a_calendar_that_steps_while_a_process_records_costs_nothing(
    nursery: Nursery, served: Served, tmp_path: Path
) -> None:
    """By an hour and by ten years, there and back, under a process that records and sends: each event arrives once."""
    hour, years = 3_600.0, 3_650 * 86_400.0
    steps = [hour, -hour, -hour, hour, years, -years, -years, years]
    assert stepped(nursery, served, tmp_path, steps) == 12 * (len(steps) + 1)
