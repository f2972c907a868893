"""How a replay run could be undone: which copies a deletion would have to name. Printed; nothing here deletes.

A copy of run r carries ``kc.a`` from 100 r to 100 r + 99, and an attempt number
alone says nothing: another machine's run may have the same. So a deletion
names origin, attempts and ids together.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import attrs

from keen_client.events.identity import EntryId
from keen_client.events.stamps import ATTEMPTS_PER_RUN
from keen_client.queries.filters import Filter

#: Ids that one deletion names.
IDS_PER_DELETION_MAX: Final = 100


@attrs.frozen
class Deletion:
    """What one ``DELETE`` on the events of *collection* would have to carry as ``filters``, and how many events it means."""

    collection: str
    filters: tuple[Filter, ...]
    events: int

    def document(self) -> dict[str, Any]:
        """The member of ``undo``."""
        return {
            "collection": self.collection,
            "filters": [condition.to_json() for condition in self.filters],
            "events": self.events,
        }


def undo_of(run: int, entries: Iterable[tuple[str, EntryId]]) -> tuple[Deletion, ...]:
    """The deletions that would take back what *run* sent; *entries* are (collection, id). Pure.

    A copy that the server dropped, or lost again, matches none of them.
    """
    groups: dict[tuple[str, str], list[EntryId]] = {}
    for collection, entry_id in entries:
        groups.setdefault((collection, entry_id.origin), []).append(entry_id)
    first = run * ATTEMPTS_PER_RUN
    found: list[Deletion] = []
    for (collection, origin), ids in sorted(groups.items()):
        ids.sort()
        for start in range(0, len(ids), IDS_PER_DELETION_MAX):
            part = [str(entry_id) for entry_id in ids[start : start + IDS_PER_DELETION_MAX]]
            filters = (
                Filter("kc.o", "eq", origin),
                Filter("kc.a", "gte", first),
                Filter("kc.a", "lte", first + ATTEMPTS_PER_RUN - 1),
                Filter("kc.id", "in", part),
            )
            found.append(Deletion(collection, filters, len(part)))
    return tuple(found)
