"""A batch: claimed entries as one bulk body, and which result belongs to which entry. Pure.

The stored texts are joined, never decoded. Results come back grouped by
collection; the layout maps each to the exact entry it is for.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import orjson

from keen_client._foundation.clock import FIRST_MS, LAST_MS
from keen_client.eventlog.outbox import Claimed
from keen_client.events.stamps import wire_event


@attrs.frozen
class Batch:
    """``body``: the JSON bulk request. ``layout``: collection -> indices of its entries, in the order sent.

    ``unwritable``: indices of entries that Keen has no way to write; where there are any, the body is none.
    """

    body: bytes = attrs.field(repr=False)
    layout: dict[str, list[int]]
    count: int
    unwritable: tuple[int, ...] = ()


def build_batch(entries: Sequence[Claimed]) -> Batch:
    """Join *entries* into one bulk body."""
    layout: dict[str, list[int]] = {}
    texts: dict[str, list[str]] = {}
    unwritable: list[int] = []
    for index, claimed in enumerate(entries):
        stamped = claimed.stamped
        entry = stamped.entry
        if not FIRST_MS <= entry.timestamp_ms <= LAST_MS:
            unwritable.append(index)
        text = wire_event(
            entry.origin,
            entry.seq,
            entry.timestamp_ms,
            entry.body,
            entry.keen,
            (stamped.h, stamped.g),
            claimed.a,
            claimed.tier,
        )
        if entry.collection in layout:
            layout[entry.collection].append(index)
            texts[entry.collection].append(text)
        else:
            layout[entry.collection] = [index]
            texts[entry.collection] = [text]
    if unwritable:
        return Batch(b"", layout, len(entries), tuple(unwritable))
    parts = [f"{orjson.dumps(name).decode()}:[{','.join(events)}]" for name, events in texts.items()]
    return Batch(("{" + ",".join(parts) + "}").encode(), layout, len(entries))
