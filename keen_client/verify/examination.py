"""An examination: one pass over the windows of one collection, from the question to the stored verdicts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

import attrs

from keen_client._foundation.clock import Clock
from keen_client.errors import ApiError
from keen_client.eventlog.expectation import Window
from keen_client.eventlog.log import EventLog
from keen_client.eventlog.unreadable import Unreadable
from keen_client.events.identity import EntryId
from keen_client.verify.answer import QueryApi
from keen_client.verify.case import Case
from keen_client.verify.compare import compare
from keen_client.verify.evidence import Evidence, Kind
from keen_client.verify.features import Features
from keen_client.verify.judge import judge
from keen_client.verify.knowledge import Knowledge
from keen_client.verify.ladder import FATAL, Ladder
from keen_client.verify.lesson import Lesson
from keen_client.verify.level_zero import EMPTY, ServerWindow, ask_level_zero, choose_audit
from keen_client.verify.locate import Differing, Findings, kind_of
from keen_client.verify.observations import Observation, Observations
from keen_client.verify.presets import Preset, look_back_ms
from keen_client.verify.report import Audit, WindowReport
from keen_client.verify.segments import shares_of
from keen_client.verify.settle_unknown import unknown_entries
from keen_client.verify.sightings import days_around, sight_ids
from keen_client.verify.standing import Standing, named_until, standing
from keen_client.verify.state import (
    WindowFacts,
    WindowState,
    state_when_last_read,
    unsettled_state,
    window_state,
)
from keen_client.verify.tokens import tokens_of
from keen_client.verify.verdict import Verdict
from keen_client.verify.windows import Scope

#: Unknown entries of windows that are not located, asked for by id in one pass.
UNKNOWN_ASKED_MAX: Final = 10_000
#: Why a window smaller than an hour has no verdict.
UNREADABLE: Final = (
    "entries of its hour can no longer be read, and smaller windows are counted from the entries"
)
#: States in which what is missing may be resent.
_REPLAYABLE: Final = frozenset({Verdict.SHORT, Verdict.MIXED, Verdict.DISPUTED})


@attrs.frozen
class Tools:
    """What an examination works with. ``tokens_used``: uniqueness tokens may be honoured.

    ``unreadable``: segments that cannot be read, so that nobody knows all that is expected.
    """

    log: EventLog
    api: QueryApi
    clock: Clock
    preset: Preset
    observations: Observations
    evidence: Evidence
    tokens_used: bool
    features: Features = attrs.Factory(Features)
    unreadable: tuple[Unreadable, ...] = ()


class Examination:
    """Examines the windows of *scope* for one *collection*; the scope's list of collections is not looked at."""

    def __init__(self, tools: Tools, scope: Scope, collection: str) -> None:
        self._tools = tools
        self._scope = scope
        self._collection = collection
        self._asked_ms = tools.clock.wall_ms()
        self._lesson = Lesson(
            tools.log, tools.evidence, tools.preset, collection, scope.start_ms, scope.end_ms, self._asked_ms
        )
        #: What level 0 showed, by start.
        self._answered: dict[int, ServerWindow] = {}
        self._before = self._expected()
        self._knowledge = Knowledge(tools.log, collection, scope.start_ms, scope.end_ms, tools.unreadable)
        stored = tools.observations.read(collection, scope.start_ms, scope.end_ms, scope.width_ms)
        # What is dated in the future was stored by a clock that went wrong.
        self._stored = {
            start: [observation for observation in found if observation.at_ms <= self._asked_ms]
            for start, found in stored.items()
        }

    # ---- without asking -----------------------------------------------------------------

    def outlook(self) -> dict[int, WindowState]:
        """The states that follow from what is stored, by the start of each window that expects something."""
        states: dict[int, WindowState] = {}
        for start, local in self._before.items():
            if not Case(local).is_empty:
                facts = self._facts(local, local, self._tools.features.objection("match"))
                states[start] = window_state(
                    self._stored.get(start, []), facts, self._tools.preset, self._asked_ms
                )
        return states

    def unasked(self, states: Mapping[int, WindowState]) -> list[WindowReport]:
        """Reports of windows that no read would tell more of, by their *states*; nothing of the server is in them."""
        reports: list[WindowReport] = []
        for start, state in sorted(states.items()):
            reads = len(self._stored.get(start, []))
            case = Case(self._before[start], failure="not asked for")
            reports.append(self._report(case, state, state.state if reads else None, reads, ()))
        return reports

    def is_of_late(self, start: int) -> bool:
        """Whether the window that starts there ended, was sent to, or became unverifiable while nights still look back at it."""
        window = self._before[start]
        # One that is still to end would be told of until then: for eight thousand years, of a date that means never.
        ended_ms = window.end_ms if window.end_ms <= self._asked_ms else 0
        last_ms = max(ended_ms, window.last_attempt_ms, self._knowledge.found_ms(window))
        return self._asked_ms < last_ms + look_back_ms(self._tools.preset)

    # ---- asking -------------------------------------------------------------------------

    def run(self, only: Collection[int] | None = None) -> tuple[list[WindowReport], Audit]:
        """Ask, compare, locate, store; the reports of the windows that are not empty on both sides.

        *only*: report (and store, and look into) the windows with these starts alone.

        Raises:
            AuthenticationError, ForbiddenError, InvalidEnvironmentError: nothing can be read with this key.
                What was stored before stays.
        """
        audit = choose_audit(self._collection, self._before.values())
        audited = (*audit.exact, *audit.rounded)
        cases = self._ask(audited)
        if only is not None:
            cases = {start: case for start, case in cases.items() if start in only}
        for case in cases.values():
            case.facts = self._facts(case.local, case.local, case.failure)
            case.comparison = compare(case.local, case.server, audited)
            # What cannot be judged with this server is neither looked into nor remembered.
            case.failure = case.failure or self._tools.features.objection(case.comparison.verdict)
        seen_unsettled = self._locate(cases, audited)
        after = self._expected()
        for start, case in cases.items():
            now = after.get(start, Window(start, start + self._scope.width_ms))
            case.facts = self._facts(case.local, now, case.failure)
        self._lesson.learn(cases.values(), seen_unsettled)
        reports = self._conclude(cases)
        return reports, audit

    def _expected(self) -> dict[int, Window]:
        scope = self._scope
        return self._tools.log.expectation.windows(
            self._collection, scope.start_ms, scope.end_ms, scope.width_ms
        )

    def _ask(self, audited: tuple[str, ...]) -> dict[int, Case]:
        """Level 0; one query for up to 2,400 windows."""
        cases: dict[int, Case] = {}
        origins = self._tools.log.origins()
        for part in self._scope.queries():
            failure, answer = "", dict[int, ServerWindow]()
            try:
                answer = ask_level_zero(self._tools.api, part, self._collection, audited, origins)
            except FATAL:
                raise
            except ApiError as error:
                failure = str(error)
            self._answered.update(answer)
            for start in part.starts:
                local = self._before.get(start, Window(start, start + part.width_ms))
                case = Case(local, answer.get(start, EMPTY), failure)
                if not case.is_empty:
                    cases[start] = case
        return cases

    def _facts(self, before: Window, now: Window, failure: str) -> WindowFacts:
        reading = self._tools.api.server_clock
        moved = (before.fingerprint, before.last_attempt_ms, before.unsent) != (
            now.fingerprint,
            now.last_attempt_ms,
            now.unsent,
        )
        return WindowFacts(
            start_ms=before.start_ms,
            end_ms=before.end_ms,
            fingerprint=before.fingerprint,
            last_attempt_ms=now.last_attempt_ms,
            unsent=now.unsent,
            replaying=self._knowledge.replaying(before),
            unknown=now.unknown,
            resent_ms=self._knowledge.resent_ms(before),
            clock_offset_ms=None if reading is None else reading.offset_ms,
            tokens_used=self._tools.tokens_used,
            failure=failure,
            moved=moved,
            unverifiable=self._knowledge.unverifiable(before)
            or self._tools.features.unverifiable(before)
            or (UNREADABLE if before.has_unreadable and now.has_unreadable else ""),
        )

    # ---- looking closer -----------------------------------------------------------------

    def _locate(self, cases: Mapping[int, Case], audited: tuple[str, ...]) -> set[EntryId]:
        """Find the events of settled windows that differ; of the others, the unknown entries that are there."""
        settled: list[int] = []
        early: list[Case] = []
        for start, case in cases.items():
            if case.failure or case.comparison.verdict == "match" or case.facts is None:
                continue
            is_early = unsettled_state(case.facts, self._tools.preset, self._asked_ms) is not None
            if not is_early and not case.facts.unverifiable:
                settled.append(start)
            elif case.local.unknown:
                early.append(case)
        list_max = self._tools.features.list_max
        ladder = Ladder(self._tools.log, self._tools.api, self._collection, audited, list_max)
        events = {start: window.total.n for start, window in self._before.items()}
        differing = [
            Differing(c.local, c.server, c.comparison) for c in map(cases.__getitem__, sorted(settled))
        ]
        located = ladder.locate(differing, self._answered, events)
        for start, findings in located.findings.items():
            cases[start].findings = findings
        for start, error in located.failures.items():
            cases[start].failure = f"it differs, and its events could not be looked for: {error}"
        return self._seen_of_unknown(early)

    def _seen_of_unknown(self, early: list[Case]) -> set[EntryId]:
        """Ask by id for what delivery would like to know, where it is too early for a verdict."""
        entries = {
            entry.id: entry
            for case in early
            for entry in unknown_entries(
                self._tools.log, self._collection, case.local.start_ms, case.local.end_ms
            )
        }
        if not entries or len(entries) > UNKNOWN_ASKED_MAX:
            return set()
        tokens = tokens_of(self._tools.log.state, entries)
        try:
            found = sight_ids(
                self._tools.api,
                self._collection,
                days_around(entries.values()),
                tokens,
                names_max=self._tools.features.list_max,
            )
        except FATAL:
            raise
        except ApiError:
            return set()  # nothing is learnt; they stay unknown
        return {
            entry_id
            for entry_id, sightings in found.items()
            if any(kind_of(entries[entry_id], sighting) != "collision" for sighting in sightings)
        }

    def _conclude(self, cases: Mapping[int, Case]) -> list[WindowReport]:
        """Store one observation of each window that was read at a known time, and derive the states."""
        observed: list[tuple[int, Observation]] = []
        reports: list[WindowReport] = []
        named = self._standing(cases)
        for start, case in sorted(cases.items()):
            if case.facts is None:
                continue
            stored = list(self._stored.get(start, []))
            was = state_when_last_read(stored, case.facts, self._tools.preset)
            facts = attrs.evolve(case.facts, failure=case.failure)
            if not case.failure and not facts.moved:
                observation = self._observe(case)
                stored.append(observation)
                if not case.is_dateless:
                    observed.append((start, observation))
            state = window_state(stored, facts, self._tools.preset, self._asked_ms)
            reports.append(self._report(case, state, was, len(stored), named.get(start, ())))
        self._tools.observations.add(self._collection, self._scope.width_ms, observed)
        return reports

    def _observe(self, case: Case) -> Observation:
        if case.local.has_unreadable:
            verdict, reason = Verdict.UNVERIFIABLE, UNREADABLE
        elif case.findings is not None:
            verdict, reason = judge(case.findings, case.comparison.verdict)
        elif case.comparison.verdict == "match":
            verdict, reason = Verdict.MATCH, ""
        else:
            verdict, reason = Verdict.SETTLING, f"{case.comparison.verdict}, not looked into"
        return Observation(
            self._asked_ms, verdict, reason, case.local.total.n, case.server.count, case.local.fingerprint
        )

    def _standing(self, cases: Mapping[int, Case]) -> dict[int, list[Standing]]:
        """What earlier reads named of the windows that this one did not look into."""
        since: dict[int, int] = {}
        for start, case in cases.items():
            until_ms = named_until(self._stored.get(start, []))
            if until_ms is not None and not case.is_looked_into:
                since[start] = until_ms
        evidence, shelf = self._tools.evidence, self._tools.log.shelf
        return standing(evidence, shelf, self._collection, since, self._scope.width_ms)

    def _report(
        self,
        case: Case,
        state: WindowState,
        was: Verdict | None,
        reads: int,
        standing: Iterable[Standing],
    ) -> WindowReport:
        is_read = not case.failure or case.server is not EMPTY
        findings = Findings() if case.findings is None or case.failure else case.findings
        named = {
            Kind.DUPLICATE: set(findings.duplicate),
            Kind.CORRUPT: set(findings.corrupt),
            Kind.SHIFTED: findings.shifted | findings.arrived,
            Kind.COLLISION: set(findings.collision),
        }
        seen_earlier: dict[EntryId, int] = {}
        for stands in standing:
            if stands.id not in named[stands.kind]:
                named[stands.kind].add(stands.id)
                seen_earlier[stands.id] = stands.last_ms
        report = WindowReport(
            collection=self._collection,
            start_ms=case.local.start_ms,
            end_ms=case.local.end_ms,
            state=state.state,
            reason=_with_held_back(state.reason, len(case.held_back)),
            reads=reads,
            local_count=case.local.total.n,
            server_count=case.server.count if is_read else None,
            foreign=case.server.foreign if is_read else None,
            # What contradicts itself shows no absence; what was seen, was seen.
            missing=() if findings.trouble else findings.missing,
            duplicate=named[Kind.DUPLICATE],
            corrupt=named[Kind.CORRUPT],
            shifted=named[Kind.SHIFTED],
            collision=named[Kind.COLLISION],
            disputed=findings.disputed,
            vanished=case.vanished,
            given_up=case.given_up,
            unexpected=findings.unexpected,
            strangers=findings.strangers,
            eligible=case.eligible if state.state in _REPLAYABLE else (),
            due_ms=state.due_ms,
            was=was,
            seen_earlier=seen_earlier,
        )
        server = case.server if is_read else None
        return attrs.evolve(report, shares=shares_of(report, case.local, server, case.comparison.deltas))


def _with_held_back(reason: str, count: int) -> str:
    """*reason*, and how many of the missing may have been deleted on purpose."""
    if not count:
        return reason
    return f"{reason}; {count} of the missing lie where delete_events went, and are not resent"
