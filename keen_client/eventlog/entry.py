"""An entry: one event in the log, and what its delivery state may be."""

from __future__ import annotations

from enum import StrEnum

import attrs

from keen_client.events import stamps
from keen_client.events.identity import EntryId, base36


@attrs.frozen(slots=True)
class Entry:
    """One event as it lies in a segment. Times are UTC milliseconds since 1970."""

    origin: str
    seq: int
    collection: str
    timestamp_ms: int
    recorded_ms: int
    body: str = attrs.field(repr=False)
    keen: str = attrs.field(repr=False)

    @property
    def id(self) -> EntryId:
        """The event's identity."""
        return EntryId(self.origin, self.seq)

    def digest(self) -> tuple[int, int]:
        """``(h, g)``: the stamps of this entry."""
        event_id = f"{self.origin}-{base36(self.seq)}"
        return stamps.digest(event_id, self.collection, self.timestamp_ms, self.body, self.keen)


@attrs.frozen(slots=True)
class Recorded:
    """What recording one event made of it. ``timestamp_ms`` is ``keen.timestamp``."""

    id: EntryId
    timestamp_ms: int


class DeliveryState(StrEnum):
    """Where delivery stands with a folded entry. Entries past the cursor are *pending* too.

    ::

        pending ──▶ inflight ──┬─▶ acknowledged
           ▲                   ├─▶ rejected          (dead letter)
           └───(surely not)────┤
                               └─▶ unknown ──▶ inflight again, or settled by a query
        replay ──▶ inflight                          (written by a replay run)
        dropped, superseded                          (an explicit, counted decision)
    """

    PENDING = "pending"
    INFLIGHT = "inflight"
    ACKNOWLEDGED = "acknowledged"
    UNKNOWN = "unknown"
    REJECTED = "rejected"
    REPLAY = "replay"
    DROPPED = "dropped"
    SUPERSEDED = "superseded"


#: States in which delivery has nothing left to do by itself.
AT_REST: frozenset[DeliveryState] = frozenset(
    {
        DeliveryState.ACKNOWLEDGED,
        DeliveryState.REJECTED,
        DeliveryState.DROPPED,
        DeliveryState.SUPERSEDED,
    }
)
#: States whose entries are not expected at the server.
NOT_EXPECTED: frozenset[DeliveryState] = frozenset(
    {DeliveryState.REJECTED, DeliveryState.DROPPED, DeliveryState.SUPERSEDED}
)
