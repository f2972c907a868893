"""Token tiers: a resend that the server swallows is tried under a new token, counted from the tier's first try."""

from __future__ import annotations

from pathlib import Path

import pytest

from keen_client import KeenClient
from keen_client._foundation.clock import MS_PER_DAY
from keen_client.events.identity import EntryId
from keen_client.replay.plan import intents_for
from keen_client.replay.runs import Runs
from keen_client.testing.clocks import VirtualClock
from keen_client.verify.presets import PRESETS
from keen_client.verify.resends import Resends, token_tier

STANDARD = PRESETS["standard"]
EVENT = EntryId("4kq7x2m9pz", 7)


@pytest.mark.parametrize(
    ("earlier", "now_days", "tier"),
    [
        (None, 100, 0),
        (Resends(0, 0), 7.99, 0),
        (Resends(0, 0), 8, 1),
        (Resends(1, 10 * MS_PER_DAY), 17.99, 1),
        (Resends(1, 10 * MS_PER_DAY), 18, 2),
    ],
)
def test_the_next_tier_comes_after_the_patience_of_the_preset(
    earlier: Resends | None, now_days: float, tier: int
) -> None:
    """Eight days after the first run under a tier, and not before; an event never replayed starts at 0."""
    assert token_tier(earlier, STANDARD, round(now_days * MS_PER_DAY)) == tier


def test_resends_under_a_tier_do_not_begin_its_patience_anew(tmp_path: Path) -> None:
    """Replayed every three days under one token, an event still comes to the next one; each tier has its own start."""
    clock = VirtualClock()
    with KeenClient("p", "w", log=tmp_path / "log", background=False) as client:
        log = client._core.event_log
        assert log is not None
        with log.state.transaction() as db:
            for run, (day, tier) in enumerate([(0, 0), (3, 0), (6, 0), (9, 1), (12, 1)], start=1):
                made_ms = clock.wall_ms() + day * MS_PER_DAY
                db.execute(
                    "INSERT INTO runs (run, made_ms, preset, scope) VALUES (?, ?, ?, ?)",
                    (run, made_ms, "standard", "{}"),
                )
                db.execute(
                    "INSERT INTO run_entries VALUES (?, ?, ?, ?, ?, ?)",
                    (run, EVENT.origin, EVENT.seq, "c", 0, tier),
                )
        earlier = Runs(log.state, clock).earlier([EVENT, EntryId("4kq7x2m9pz", 8)])
    since_ms = clock.wall_ms() + 9 * MS_PER_DAY
    assert earlier == {EVENT: Resends(1, since_ms, count=5)}
    for days, tier in ((16, 1), (17, 2)):
        (intent,) = intents_for([EVENT], earlier, STANDARD, clock.wall_ms() + days * MS_PER_DAY)
        assert intent.tier == tier
