"""The nightly job and the replay are killed at any moment and run again: what was lost is resent once."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.crash.night import JOBS, kill_often

if TYPE_CHECKING:
    from tests.crash.conftest import Arena

#: More of them: ``python -m tests.crash.night --kills 50``.
KILLS = 5


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("job", JOBS)
def test_job_killed_again_and_again_resends_each_lost_event_once(arena: Arena, job: str, seed: int) -> None:
    """Kills at random moments of faulty nights, new losses before each; then calm nights end it: all is there once."""
    tally = kill_often(arena, JOBS[job], KILLS, random.Random(seed))
    assert tally.kills == KILLS
    assert tally.resent
    print(f"\n{tally}")
