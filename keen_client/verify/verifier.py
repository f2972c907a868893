"""The verifier: asks the server what it holds, and remembers what it saw. Sends nothing, ever."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import attrs

from keen_client._foundation.clock import MS_PER_MINUTE, Clock
from keen_client.eventlog.entry import Entry
from keen_client.eventlog.log import EventLog
from keen_client.events.identity import EntryId
from keen_client.verify.answer import QueryApi
from keen_client.verify.evidence import Evidence, Kind
from keen_client.verify.examination import Examination, Tools
from keen_client.verify.locate import kind_of
from keen_client.verify.observations import Observations
from keen_client.verify.presets import Preset, preset
from keen_client.verify.probe import tokens_honoured
from keen_client.verify.report import Audit, Confirmation, VerifyReport, WindowReport
from keen_client.verify.settle_unknown import acknowledge_seen
from keen_client.verify.sightings import HORIZON, sight_ids
from keen_client.verify.state import CLOCKS_APART_MAX_MS, WindowState
from keen_client.verify.tokens import tokens_of
from keen_client.verify.windows import Scope

#: Called with (collections done, collections in all).
Progress = Callable[[int, int], None]

_KINDS: Final = {
    "present": Kind.PRESENT,
    "shifted": Kind.SHIFTED,
    "corrupt": Kind.CORRUPT,
    "collision": Kind.COLLISION,
}


class Verifier:
    """Verifies one log against its server. Not for several threads at once.

    Observations and evidence go to ``state.db``, and entries whose outcome was
    unknown are settled there by what is seen. Callers check the preset
    (:func:`~keen_client.verify.presets.check_preset`) first.
    """

    def __init__(self, log: EventLog, api: QueryApi, clock: Clock, chosen: Preset | None = None) -> None:
        self._log = log
        self._api = api
        self._clock = clock
        self.preset: Final = preset() if chosen is None else chosen
        self._observations = Observations(log.state)
        self._evidence = Evidence(log.state, self._observations)

    def verify(
        self, scope: Scope, *, due_only: bool = False, progress: Progress | None = None
    ) -> VerifyReport:
        """Read the windows of *scope* and report on those that are not empty on both sides.

        One query a collection when everything matches. With *due_only* the
        windows whose next read is not due are not reported but counted; a
        collection without a due window is not asked for. A query that fails
        makes its windows *incomplete*.

        Raises:
            InvalidEnvironmentError: there is no read key. Nothing was asked.
            AuthenticationError, ForbiddenError: the key cannot read. What was stored before stays.
            EventLogError: the log cannot be read or written.
        """
        as_of_ms, cost = self._clock.wall_ms(), self._api.cost
        names = self._collections(scope)
        windows: list[WindowReport] = []
        audits: list[Audit] = []
        not_due = 0
        for done, name in enumerate(names):
            if progress is not None:
                progress(done, len(names))
            found, audit, skipped = self._examine(scope, name, due_only=due_only)
            windows += found
            not_due += skipped
            if audit is not None:
                audits.append(audit)
        if progress is not None:
            progress(len(names), len(names))
        return VerifyReport(
            as_of_ms=as_of_ms,
            preset=self.preset.name,
            windows=windows,
            not_due=not_due,
            cost=self._api.cost - cost,
            warnings=self._warnings(),
            audited=tuple(audits),
        )

    def outlook(self, scope: Scope) -> dict[tuple[str, int], WindowState]:
        """The states of the windows that expect something, from what is stored, by (collection, start). Asks nothing."""
        tools = self._tools()
        return {
            (name, start): state
            for name in self._collections(scope)
            for start, state in Examination(tools, scope, name).outlook().items()
        }

    def confirm(self, ids: Sequence[EntryId]) -> Confirmation:
        """Look for single events over the widest timeframe, right before a replay; what is seen is remembered.

        Raises:
            ApiError: no usable answer; nothing is confirmed, so nothing may be resent.
        """
        at_ms = self._clock.wall_ms()
        entries = self._log.shelf.pick(ids)
        by_collection: dict[str, list[Entry]] = {}
        for entry in entries.values():
            by_collection.setdefault(entry.collection, []).append(entry)
        found: dict[str, set[EntryId]] = {kind: set() for kind in (*_KINDS, "absent")}
        for collection, wanted in sorted(by_collection.items()):
            tokens = tokens_of(self._log.state, [entry.id for entry in wanted])
            for entry_id, sightings in sight_ids(self._api, collection, HORIZON, tokens).items():
                kinds = {kind_of(entries[entry_id], sighting) for sighting in sightings}
                kind = next((kind for kind in _KINDS if kind in kinds), "absent")
                found[kind].add(entry_id)
        for name, kind in _KINDS.items():
            self._evidence.note(kind, dict.fromkeys(found[name], 1), at_ms)
        acknowledge_seen(self._log, found["present"] | found["shifted"] | found["corrupt"])
        return Confirmation(
            absent=found["absent"],
            present=found["present"],
            corrupt=found["corrupt"],
            shifted=found["shifted"],
            collisions=found["collision"],
            unreadable=set(ids) - set(entries),
        )

    def _examine(
        self, scope: Scope, name: str, *, due_only: bool
    ) -> tuple[list[WindowReport], Audit | None, int]:
        tools = self._tools()
        examination = Examination(tools, scope, name)
        if not due_only:
            reports, audit = examination.run()
            return reports, audit, 0
        now_ms = self._clock.wall_ms()
        outlook = examination.outlook()
        due = {
            start for start, state in outlook.items() if state.due_ms is not None and state.due_ms <= now_ms
        }
        if not due:
            return [], None, len(outlook)
        hull = attrs.evolve(scope, start_ms=min(due), end_ms=max(due) + scope.width_ms)
        reports, audit = Examination(tools, hull, name).run(due)
        return reports, audit, len(outlook) - len(due)

    def _collections(self, scope: Scope) -> list[str]:
        if scope.collections is not None:
            return sorted(set(scope.collections))
        return self._log.expectation.collections(scope.start_ms, scope.end_ms)

    def _tools(self) -> Tools:
        return Tools(
            log=self._log,
            api=self._api,
            clock=self._clock,
            preset=self.preset,
            observations=self._observations,
            evidence=self._evidence,
            tokens_used=tokens_honoured(self._log.state, self._clock.wall_ms()) is not False,
        )

    def _warnings(self) -> tuple[str, ...]:
        reading = self._api.server_clock
        if reading is None or abs(reading.offset_ms) <= CLOCKS_APART_MAX_MS:
            return ()
        minutes = abs(reading.offset_ms) // MS_PER_MINUTE
        side = "ahead of" if reading.offset_ms > 0 else "behind"
        return (f"the server's clock is {minutes} minutes {side} this machine's: no age can be trusted",)
