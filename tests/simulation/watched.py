"""The truth kept alongside: every copy that the server stores, noted as it is stored.

As :mod:`tests.simulation.truth`, which reads it from the server's tables; this
costs no query, so it can be looked at after every step.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import attrs
import orjson

from keen_client._foundation.clock import Clock
from keen_client.server import Store
from keen_client.server.faults import Window
from keen_client.server.tail import Entry
from tests.simulation.truth import Copy
from tests.simulation.world import COLLECTIONS, OTHERS


class WatchedStore(Store):
    """A store in memory whose every change is noted in ``copies``, by the id of the event."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock=clock)
        self.clock = clock
        self.copies: dict[str, list[Copy]] = defaultdict(list)
        #: From when to when an event was hidden before it was released.
        self.away: dict[str, tuple[int, int]] = {}

    def append(self, entries: Sequence[Entry]) -> None:
        """Store, and note the copies of events that a client recorded."""
        super().append(entries)
        for entry in entries:
            if entry.collection not in COLLECTIONS or entry.body is None:
                continue
            event = orjson.loads(entry.body)
            if OTHERS not in event:
                copy = copy_of(entry, event)
                self.copies[copy.id].append(copy)

    def forget(self, window: Window) -> list[tuple[str, str]]:
        """Forget, here too."""
        for entry_id, of in self.copies.items():
            self.copies[entry_id] = [c for c in of if c.timestamp_ms is None or c.timestamp_ms not in window]
        return super().forget(window)

    def release(self) -> int:
        """Release, here too."""
        now_ms = self.clock.wall_ms()
        for entry_id, of in self.copies.items():
            for number, copy in enumerate(of):
                if copy.visible_ms > now_ms:
                    self.away[entry_id] = copy.created_ms, now_ms
                    of[number] = attrs.evolve(copy, visible_ms=now_ms)  # an earlier look did not see it
        return super().release()


def copy_of(entry: Entry, event: dict[str, Any]) -> Copy:
    """The stored *entry*, whose body is *event*."""
    stamp = event.get("kc") or {}
    return Copy(
        id=stamp.get("id") or event["keen"]["uniqueness_token"].partition("~")[0],
        collection=entry.collection,
        timestamp_ms=entry.timestamp_ms,
        created_ms=entry.created_ms,
        visible_ms=entry.visible_ms,
        vanish_ms=entry.vanish_ms,
        has_stamps=bool(stamp),
    )
