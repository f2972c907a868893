"""A lesson: what one read teaches the log, as evidence of single events and as outcomes that delivery did not know."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import attrs

from keen_client.eventlog.deletions import Deletions
from keen_client.eventlog.entry import Entry
from keen_client.eventlog.log import EventLog
from keen_client.events.identity import EntryId
from keen_client.verify.case import Case
from keen_client.verify.evidence import Absence, Evidence, Kind
from keen_client.verify.given_up import give_up
from keen_client.verify.locate import Findings
from keen_client.verify.presets import Preset
from keen_client.verify.settle_unknown import acknowledge_seen, bury_absent, unknown_entries
from keen_client.verify.written_off import write_off_deleted


@attrs.frozen
class Lesson:
    """What a read that was begun at ``at_ms`` teaches of one collection, between ``start_ms`` and ``end_ms``. UTC milliseconds."""

    log: EventLog
    evidence: Evidence
    preset: Preset
    collection: str
    start_ms: int
    end_ms: int
    at_ms: int

    def learn(self, cases: Iterable[Case], seen: Collection[EntryId]) -> None:
        """Store the evidence, and settle what delivery did not know, in one transaction; *seen* are such events.

        Nothing from windows that moved; with clocks apart only that events are there, which no age bears on.
        """
        with self.log.state.transaction():
            shown = set(seen)
            # What no stored read will vouch for, though a sighting settles it.
            unvouched = set(seen)
            missed = self._missed()
            for case in cases:
                if case.facts is None or case.facts.moved:
                    continue
                found = self._shown(case, missed)
                shown |= found
                if case.is_dateless or (case.findings is not None and case.findings.trouble):
                    unvouched |= found & self._unknown(case)
                if case.findings is not None:
                    self._learn_findings(case, case.findings)
            self.evidence.note(Kind.PRESENT, dict.fromkeys(unvouched, 1), self.at_ms)
            if shown:
                acknowledge_seen(self.log, shown)

    def _missed(self) -> list[Entry]:
        """What earlier reads missed and is expected on: totals that agree vouch for that, and for nothing else."""
        left_out = self.log.totals.excepted(self.collection, self.start_ms, self.end_ms)
        return [
            entry
            for entry in self.evidence.missed(self.log.shelf)
            if entry.collection == self.collection and (entry.origin, entry.seq) not in left_out
        ]

    # ---- what is there ------------------------------------------------------------------

    def _shown(self, case: Case, missed: Collection[Entry]) -> set[EntryId]:
        """The events of a window that were shown to be there, as far as delivery may not know that."""
        findings = case.findings
        if findings is None:
            is_match = case.comparison.verdict == "match" and not case.failure
            return self._vouch(case, missed, frozenset()) if is_match else set()
        shown = findings.seen | findings.corrupt | findings.shifted
        if findings.rest_is_seen and not findings.trouble:
            shown |= self._vouch(case, missed, findings.named)
        return shown

    def _vouch(self, case: Case, missed: Collection[Entry], but: Collection[EntryId]) -> set[EntryId]:
        """The totals vouch for all events of a window *but* some: note it where it matters, return what delivery may ask for.

        That is the unknown ones, and those missed before, which a run may be about to resend.
        """
        span = range(case.local.start_ms, case.local.end_ms)
        present = [e.id for e in missed if e.timestamp_ms in span and e.id not in but]
        self.evidence.note_seen(present, self.at_ms)
        return self._unknown(case).difference(but).union(present)

    def _unknown(self, case: Case) -> set[EntryId]:
        """The entries of a window whose outcome is not known."""
        local = case.local
        if not local.unknown:
            return set()
        return {
            entry.id for entry in unknown_entries(self.log, self.collection, local.start_ms, local.end_ms)
        }

    # ---- what was looked for ------------------------------------------------------------

    def _learn_findings(self, case: Case, findings: Findings) -> None:
        self.evidence.note_seen(findings.seen, self.at_ms)
        self.evidence.note(Kind.PRESENT, dict.fromkeys(findings.unexpected, 1), self.at_ms)
        if case.is_dateless:
            return
        self._note(findings)
        if not findings.trouble:
            self._learn_absences(case, findings)

    def _note(self, findings: Findings) -> None:
        note, at_ms = self.evidence.note, self.at_ms
        note(Kind.DUPLICATE, findings.duplicate, at_ms)
        note(Kind.CORRUPT, dict.fromkeys(findings.corrupt, 1), at_ms)
        note(Kind.SHIFTED, dict.fromkeys(findings.shifted, 1), at_ms)
        note(Kind.COLLISION, dict.fromkeys(findings.collision, 1), at_ms)
        disputed = self.log.shelf.pick(findings.disputed)
        self.evidence.note_disputed(disputed.values(), at_ms)

    def _learn_absences(self, case: Case, findings: Findings) -> None:
        """Count the absences, and let what they prove follow."""
        log, evidence, preset = self.log, self.evidence, self.preset
        missing = list(log.shelf.pick(findings.missing).values())
        absences = evidence.note_absent(missing, self.at_ms, preset)
        case.vanished = frozenset(i for i, absence in absences.items() if absence.vanished)
        case.held_back = Deletions(log.state).held_back(missing)
        eligible = frozenset(i for i, absence in absences.items() if absence.is_eligible(preset))
        case.eligible = eligible - case.held_back
        proven = [e for e in missing if absences[e.id].is_refused and absences[e.id].is_proven(preset)]
        bury_absent(log, proven, self.at_ms)
        self._give_up(case, missing, absences)
        write_off_deleted(log, evidence, missing, absences, preset, self.at_ms)

    def _give_up(self, case: Case, missing: Iterable[Entry], absences: Mapping[EntryId, Absence]) -> None:
        """Leave to a person what runs have resent in vain."""
        hopeless = [
            entry
            for entry in missing
            if absences[entry.id].is_hopeless(self.preset) and entry.id not in case.held_back
        ]
        give_up(self.log, hopeless, self.at_ms)
        case.given_up = frozenset(entry.id for entry in hopeless) | {
            entry_id for entry_id, absence in absences.items() if absence.is_given_up
        }
