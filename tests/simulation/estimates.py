"""Other estimates for a night: wrong ones cost bytes and no verdict, and they lead where few events never would.

The planner counts a request as 50 kB, so windows of some dozen events are
looked at event by event at once, and pages of thousands are never turned. One
night the other rungs look cheaper, another night the sums name nobody, or a
page holds next to nothing.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final
from unittest.mock import patch

from keen_client.verify.signature import Signature, Stamps, decode

#: What the planner thinks of costs: as it is, blocks cheap, narrower windows cheap.
LEANINGS: Final[tuple[dict[str, int], ...]] = (
    {},
    {"planner.REQUEST_BYTES": 100},
    {"planner.REQUEST_BYTES": 100, "planner.BLOCK_BYTES": 10_000, "planner.BOUNDS_BYTES": 1},
)
#: Pages and groups that hold next to nothing.
SHORT: Final = {
    "sightings.PAGE_IDS_MAX": 7,
    "sightings.IDS_PER_QUERY_MAX": 17,
    "blocks.ROWS_MAX": 2,
    "blocks.NAMED_MAX": 3,
    "ladder.EVENTS_HELD_MAX": 40,
    "windows.BATCH_EVENTS_MAX": 30,
}


@contextmanager
def drawn(chance: random.Random, reached: set[str]) -> Iterator[None]:
    """Until the end of the block, limits and costs as *chance* has it; *reached* learns when sums named suspects."""
    limits: dict[str, int] = dict(chance.choice(LEANINGS))
    if chance.random() < 0.5:
        limits |= SHORT
    is_blind = chance.random() < 0.5

    def named(stamps: Stamps, dn: int, dh: int, dg: int) -> Signature | None:
        signature = None if is_blind else decode(stamps, dn, dh, dg)
        if signature is not None:
            reached.add("signature")
        return signature

    with ExitStack() as stack:
        for name, value in limits.items():
            stack.enter_context(patch(f"keen_client.verify.{name}", value))
        stack.enter_context(patch("keen_client.verify.patch.decode", named))
        yield
