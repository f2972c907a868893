"""The truth: every copy that the server's own tables hold, seen by queries or not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import attrs
import orjson

from keen_client.server import Store
from tests.simulation.world import COLLECTIONS, OTHERS


@attrs.frozen
class Copy:
    """One stored copy of one event. Times are UTC milliseconds since 1970, by the server's clock.

    ``timestamp_ms`` None: it falls into no timeframe. ``visible_ms`` 0: seen
    from ``created_ms`` on; ``vanish_ms`` 0: for ever. ``has_stamps``: nothing
    of it was nulled.
    """

    id: str
    collection: str
    timestamp_ms: int | None
    created_ms: int
    visible_ms: int
    vanish_ms: int
    has_stamps: bool

    def is_seen(self, at_ms: int) -> bool:
        """Whether a query at *at_ms* over its time shows it."""
        return (
            self.timestamp_ms is not None
            and self.created_ms <= at_ms
            and self.visible_ms <= at_ms
            and (self.vanish_ms == 0 or self.vanish_ms > at_ms)
        )


#: Every copy by the id of its event.
Copies = Mapping[str, Sequence[Copy]]


def read_copies(store: Store) -> Copies:
    """Every stored copy of the events that the client recorded."""
    found: dict[str, list[Copy]] = defaultdict(list)
    with store.reading() as engine:
        for name, table in engine._tables.items():
            if name not in COLLECTIONS:
                continue
            rows = engine.fetch(f"SELECT ts, created, visible, vanish, body FROM {table.sql} ORDER BY seq")
            for timestamp_ms, created_ms, visible_ms, vanish_ms, body in rows:
                event = orjson.loads(body)
                if OTHERS in event:
                    continue
                stamp = event.get("kc") or {}
                entry_id = stamp.get("id") or event["keen"]["uniqueness_token"].partition("~")[0]
                found[entry_id].append(
                    Copy(entry_id, name, timestamp_ms, created_ms, visible_ms, vanish_ms, bool(stamp))
                )
    return found


def made_by_client(copies: Iterable[Copy]) -> int:
    """How many of the *copies* that queries can ever count came in requests of their own.

    A second copy that the server made came with the first, in one moment.
    """
    return len({copy.created_ms for copy in copies if copy.timestamp_ms is not None})


def made_by_server(copies: Iterable[Copy]) -> int:
    """How many of *copies* that queries can ever count the server added."""
    counted = [copy for copy in copies if copy.timestamp_ms is not None]
    return len(counted) - made_by_client(counted)
