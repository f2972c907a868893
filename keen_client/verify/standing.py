"""What stands: events that an earlier read named, of windows that the present one did not look into.

A window that settles again, because something else of it was sent, or that
could not be read hides nothing that is known of it. An absence is not among
that: while a window settles it proves nothing, and a resend may have ended it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from keen_client.eventlog.shelf import Shelf
from keen_client.events.identity import EntryId
from keen_client.verify.evidence import Evidence, Kind
from keen_client.verify.observations import Observation
from keen_client.verify.verdict import ACCOUNTED, Verdict

#: Verdicts of reads that looked at single events, or had no need to.
_CONCLUSIVE: Final = ACCOUNTED | {Verdict.DISPUTED}


@attrs.frozen
class Standing:
    """One event as a read at ``last_ms`` (UTC milliseconds) showed it, and none has shown otherwise since."""

    id: EntryId
    kind: Kind
    last_ms: int


def named_until(observations: Sequence[Observation]) -> int | None:
    """When the window was last looked into, if it did not match then; None: nothing can stand. Pure."""
    for observation in reversed(observations):
        if observation.verdict in _CONCLUSIVE:
            return None if observation.verdict is Verdict.MATCH else observation.at_ms
    return None


def standing(
    evidence: Evidence, shelf: Shelf, collection: str, since: Mapping[int, int], width_ms: int
) -> dict[int, list[Standing]]:
    """What stands of the windows of *collection* with the starts in *since*, each since that read; by start.

    Entries that can no longer be read are left out.
    """
    if not since:
        return {}
    named = evidence.named_since(min(since.values()))
    entries = shelf.pick({entry_id for entry_id, _, _ in named})
    found: dict[int, list[Standing]] = {}
    for entry_id, kind, last_ms in named:
        entry = entries.get(entry_id)
        if entry is None or entry.collection != collection:
            continue
        start = entry.timestamp_ms - entry.timestamp_ms % width_ms
        if start in since and last_ms >= since[start]:
            found.setdefault(start, []).append(Standing(entry_id, kind, last_ms))
    return found
