"""A WAL that ends anywhere: what is left is a prefix of the receipts, and the log goes on."""

from __future__ import annotations

import random
from pathlib import Path

import attrs
import pytest

from tests.crash.wal import LONG, SHORT, cut, go_on, recorded

#: Drawn by the run's seed. Every byte, and all around every frame: ``python -m tests.crash.wal``.
CUTS = 250
GONE_ON = 3


@pytest.mark.parametrize("events", [SHORT, LONG])
def test_a_wal_cut_at_any_byte_leaves_a_prefix_and_a_log_that_goes_on(
    tmp_path: Path, seed: int, events: int
) -> None:
    """Every commit whose frames are whole, none of the others; and no number is given twice afterwards."""
    whole = recorded(tmp_path, events)
    assert len(whole.rows) == events
    offsets = list(whole.every_byte() if events == SHORT else whole.around_frames())
    chance = random.Random(seed)
    drawn = sorted({0, whole.wal_bytes, *chance.sample(offsets, CUTS)})
    left = cut(whole, drawn, tmp_path)
    assert left == sorted(left)
    assert (left[0], left[-1]) == (0, events)
    for offset in chance.sample(drawn, GONE_ON):
        go_on(whole, offset)


def test_a_frame_that_is_not_as_it_was_written_is_found(tmp_path: Path) -> None:
    """The comparison above can fail: a WAL of other events is no prefix of these."""
    whole = recorded(tmp_path / "a", SHORT)
    (tmp_path / "b").mkdir()
    others = [(seq, body.replace("0", "9")) for seq, body in whole.rows]
    with pytest.raises(AssertionError):
        cut(attrs.evolve(whole, rows=others), [whole.wal_bytes], tmp_path / "b")
