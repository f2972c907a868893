"""What became of each event, told from what readers would have seen: a checker of histories.

An event is *stable* when every look after its acknowledgement showed it,
*stale* when some look did not and the last one does, *lost* when the last one
does not, *duplicated* when that shows several, *refused* when the client holds
it as a dead letter, and *unsent* when nothing was ever acknowledged or seen of it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from tests.simulation.swarm import Swarm

CLASSES: Final = ("stable", "stale", "lost", "duplicated", "refused", "unsent")


@attrs.define
class _Life:
    """Of one event: when it was recorded and first seen whole, and the looks that missed it once it was acknowledged."""

    recorded_ms: int
    seen_ms: int | None = None
    missed: int = 0
    copies: int = 0


@attrs.define
class Readings:
    """What the looks showed so far, one after each night. Times are true ones."""

    lives: dict[str, _Life] = attrs.Factory(dict)
    classes: Counter[str] = attrs.Factory(Counter)
    #: Of events that were not there at once: from their recording to the first look that showed them.
    latencies_ms: list[int] = attrs.Factory(list)

    def read(self, swarm: Swarm) -> None:
        """Look at the server as a reader would."""
        now_ms = swarm.now_ms
        for entry_id in swarm.owed:
            life = self.lives.setdefault(entry_id, _Life(swarm.recorded_ms[entry_id]))
            life.copies = sum(
                copy.is_seen(now_ms) and copy.has_stamps for copy in swarm.store.copies.get(entry_id, ())
            )
            if life.copies and life.seen_ms is None:
                life.seen_ms = now_ms
            elif not life.copies and swarm.world.wire.sent.get(entry_id):
                life.missed += 1

    def classify(self, swarm: Swarm, dead: set[str]) -> dict[str, str]:
        """The class of each event that the log accounts for, by the last look."""
        self.read(swarm)
        found: dict[str, str] = {}
        for entry_id in swarm.owed:
            life = self.lives[entry_id]
            if entry_id in dead:
                found[entry_id] = "refused"
            elif life.copies > 1:
                found[entry_id] = "duplicated"
            elif life.copies:
                found[entry_id] = "stale" if life.missed else "stable"
            else:
                found[entry_id] = "lost" if swarm.world.wire.sent.get(entry_id) else "unsent"
            if found[entry_id] == "stale" and life.seen_ms is not None:
                self.latencies_ms.append(life.seen_ms - life.recorded_ms)
        self.classes = Counter(found.values())
        return found
