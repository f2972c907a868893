"""Events that were deleted on purpose: once they are proven absent, they are expected no more."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from keen_client.eventlog.deletions import Deletions
from keen_client.eventlog.entry import DeliveryState, Entry
from keen_client.eventlog.fold import stamp_entry
from keen_client.eventlog.log import EventLog
from keen_client.eventlog.ranges import change_entry
from keen_client.events.identity import EntryId
from keen_client.verify.evidence import Absence, Evidence
from keen_client.verify.presets import Preset


def write_off_deleted(
    log: EventLog,
    evidence: Evidence,
    missing: Collection[Entry],
    absences: Mapping[EntryId, Absence],
    preset: Preset,
    at_ms: int,
) -> int:
    """Stop expecting those of *missing* that an accepted deletion took; how many, which is counted.

    They have to be absent as often as a replay would ask. That they had been
    seen before says nothing against it: that is what deleting is.
    """
    accepted = Deletions(log.state).written_off(missing)
    gone = [entry for entry in missing if entry.id in accepted and absences[entry.id].is_shown(preset)]
    if not gone:
        return 0
    with log.state.transaction() as db:
        for entry in gone:
            audited = log.totals.audited_properties(entry.collection, entry.body)
            log.totals.leave_out(db, stamp_entry(entry, audited), "dropped", at_ms)
            change_entry(
                db,
                entry.origin,
                entry.seq,
                state=DeliveryState.DROPPED,
                unsure=0,
                due_ms=0,
                batch_max=0,
                alone=0,
            )
        evidence.end_absences([entry.id for entry in gone])
        log.state.count("deleted", len(gone))
    return len(gone)
