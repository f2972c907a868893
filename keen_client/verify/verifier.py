"""The verifier: asks the server what it holds, and remembers what it saw. Sends nothing, ever."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import attrs

from keen_client._foundation.clock import MS_PER_MINUTE, Clock
from keen_client.errors import ApiError
from keen_client.eventlog.dating import mind_leap, vouch
from keen_client.eventlog.entry import Entry
from keen_client.eventlog.log import EventLog
from keen_client.eventlog.unreadable import Unreadable
from keen_client.events.identity import EntryId
from keen_client.queries import Analysis, Timeframe
from keen_client.verify.answer import QueryApi
from keen_client.verify.control import sight_with_control
from keen_client.verify.evidence import Evidence, Kind
from keen_client.verify.examination import Examination, Tools
from keen_client.verify.features import Features, features_of
from keen_client.verify.given_up import warnings_of
from keen_client.verify.ladder import FATAL
from keen_client.verify.locate import kind_of
from keen_client.verify.observations import Observations
from keen_client.verify.presets import Preset, preset
from keen_client.verify.probe import tokens_honoured
from keen_client.verify.reader import Budget, Reader
from keen_client.verify.report import Audit, Confirmation, VerifyReport, WindowReport, merge_audits
from keen_client.verify.segments import segments_of
from keen_client.verify.settle_unknown import acknowledge_seen
from keen_client.verify.state import WindowState, is_apart
from keen_client.verify.tokens import tokens_of
from keen_client.verify.turns import Turn, Turns, unread_since_ms
from keen_client.verify.verdict import EXIT_BITS, Verdict
from keen_client.verify.windows import Scope

#: Called with (parts done, parts in all); a part is what one query of level 0 covers.
Progress = Callable[[int, int], None]

_KINDS: Final = {
    "present": Kind.PRESENT,
    "shifted": Kind.SHIFTED,
    "corrupt": Kind.CORRUPT,
    "collision": Kind.COLLISION,
}


#: Bits of states that are more than early: something is wrong, or was resent and not seen since.
_DIFFERS: Final = 4 | 8 | 16 | 64


@attrs.define
class _Due:
    """What a verification is to read, what it reports without reading, and how many windows it leaves out."""

    turns: list[Turn] = attrs.Factory(list)
    unasked: list[WindowReport] = attrs.Factory(list)
    not_due: int = 0
    not_due_differing: int = 0
    past_checking: int = 0


class Verifier:
    """Verifies one log against its server. Not for several threads at once.

    Observations and evidence go to ``state.db``, and entries whose outcome was
    unknown are settled there by what is seen. Callers check the preset
    (:func:`~keen_client.verify.presets.check_preset`) first.
    """

    def __init__(
        self,
        log: EventLog,
        api: QueryApi,
        clock: Clock,
        chosen: Preset | None = None,
        budget: Budget | None = None,
    ) -> None:
        """*budget* bounds what this verifier reads in its whole life."""
        self._log = log
        self._api = Reader(api, log.state, budget)
        self._turns = Turns(log.state)
        self._clock = clock
        self.preset: Final = preset() if chosen is None else chosen
        self._observations = Observations(log.state)
        self._evidence = Evidence(log.state, self._observations)
        #: Segments that cannot be read, as the last verification found; None: not looked for yet.
        self._unreadable: tuple[Unreadable, ...] | None = None

    def verify(
        self,
        scope: Scope,
        *,
        due_only: bool = False,
        again: VerifyReport | None = None,
        progress: Progress | None = None,
    ) -> VerifyReport:
        """Read the windows of *scope* and report on those that are not empty on both sides.

        One query a collection when everything matches. With *due_only* the
        windows whose next read is not due are not reported but counted; a
        collection without a due window is not asked for; windows that cannot be
        verified are reported without being read, or counted when they are old.
        With *again*, such a
        report of before, its windows are read once more, and no others. A query that fails,
        or that the budget does not allow any more, makes its windows
        *incomplete*; so are all further ones after three turns in a row that
        ended by a 429, by a timeout or without a connection.
        What was not read for longest is read first. Where a
        segment cannot be read, the windows that it may have a share in are
        *unverifiable*, and the report names it.

        Raises:
            InvalidEnvironmentError: there is no read key. Nothing was asked.
            AuthenticationError, ForbiddenError: the key cannot read. What was stored before stays.
            EventLogError: the log cannot be read or written.
        """
        self._api.begin()
        as_of_ms, cost, scanned = self._clock.wall_ms(), self._api.cost, self._api.properties
        state, clock = self._log.state, self._clock
        state.with_reserve(lambda: mind_leap(state, clock))
        self._unreadable = unreadable = self._log.outbox.unreadable(thorough=True)
        if again is not None:
            due = self._due_again(scope, again)
        else:
            due = self._due(scope) if due_only else _Due(self._all_turns(scope))
        turns, windows = due.turns, due.unasked
        audits: list[Audit] = []
        for done, turn in enumerate(self._turns.in_order(turns)):
            if progress is not None:
                progress(done, len(turns))
            found, audit = self._take(turn)
            windows += found
            audits.append(audit)
        if progress is not None:
            progress(len(turns), len(turns))
        unknown = self._unknown_collections(scope)
        reading = self._api.server_clock
        if reading is not None and reading.local_ms >= as_of_ms and not is_apart(reading.offset_ms):
            state.with_reserve(lambda: vouch(state, clock))
        return VerifyReport(
            as_of_ms=as_of_ms,
            preset=self.preset.name,
            windows=windows,
            not_due=due.not_due,
            not_due_differing=due.not_due_differing,
            past_checking=due.past_checking,
            cost=self._api.cost - cost,
            properties=self._api.properties - scanned,
            warnings=(
                *self._warnings(),
                *map(_warning_of, unreadable),
                *map(self._unknown_warning, unknown),
                *warnings_of(windows),
            ),
            unknown_collections=unknown,
            audited=merge_audits(audits),
            segments=segments_of(windows, self._days()),
            unreadable=unreadable,
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
            ApiError: no usable answer, or one that does not show an event which is known to be there;
                nothing is confirmed, so nothing may be resent.
        """
        at_ms = self._clock.wall_ms()
        entries = self._log.shelf.pick(ids)
        by_collection: dict[str, list[Entry]] = {}
        for entry in entries.values():
            by_collection.setdefault(entry.collection, []).append(entry)
        found: dict[str, set[EntryId]] = {kind: set() for kind in (*_KINDS, "absent")}
        for collection, wanted in sorted(by_collection.items()):
            tokens = tokens_of(self._log.state, [entry.id for entry in wanted])
            shown = sight_with_control(
                self._log, self._api, collection, wanted, tokens, self._features().list_max
            )
            for entry_id, sightings in shown.items():
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

    # ---- whose turn it is ---------------------------------------------------------------

    def _take(self, turn: Turn) -> tuple[list[WindowReport], Audit]:
        is_asked = not self._api.used_up
        if is_asked:
            self._turns.begin(turn, self._clock.wall_ms())
        # What the disk had no room for is asked for once more: as after a crash.
        reports, audit = self._log.state.with_reserve(
            lambda: Examination(self._tools(), turn.scope, turn.collection).run(turn.due)
        )
        self._api.end_turn()
        if is_asked and all(report.state is not Verdict.INCOMPLETE for report in reports):
            self._turns.end(turn)
        return reports, audit

    def _all_turns(self, scope: Scope) -> list[Turn]:
        now_ms, windows_max = self._clock.wall_ms(), self._features().windows_per_query
        parts = [(name, part) for name in self._collections(scope) for part in scope.queries(windows_max)]
        if len(parts) == 1:
            return [Turn(*parts[0], now_ms)]
        turns: list[Turn] = []
        for name, part in parts:
            span = (name, part.start_ms, part.end_ms, part.width_ms)
            expected, stored = self._log.expectation.windows(*span), self._observations.read(*span)
            turns.append(Turn(name, part, unread_since_ms(expected, stored, now_ms)))
        return turns

    def _due(self, scope: Scope) -> _Due:
        """What is due now.

        A window that cannot be verified is never due, as no read would tell
        more. It is reported all the same, while nights look back at it: a job
        that left it out would call the day good. After that it is counted
        only: nobody could ever make it match, and a bit that is always set
        tells nothing of the next trouble.
        """
        tools, now_ms = self._tools(), self._clock.wall_ms()
        due = _Due()
        for name in self._collections(scope):
            examination = Examination(tools, scope, name)
            starts: set[int] = set()
            unasked: dict[int, WindowState] = {}
            for start, state in examination.outlook().items():
                if state.state is Verdict.UNVERIFIABLE:
                    if examination.is_of_late(start):
                        unasked[start] = state
                    else:
                        due.past_checking += 1
                elif state.due_ms is not None and state.due_ms <= now_ms:
                    starts.add(start)
                else:
                    due.not_due += 1
                    due.not_due_differing += bool(EXIT_BITS[state.state] & _DIFFERS)
            due.unasked += examination.unasked(unasked)
            due.turns += self._turns_of(name, scope, starts)
        return due

    def _due_again(self, scope: Scope, report: VerifyReport) -> _Due:
        """What *report* was about, as if it were due."""
        due = _Due(
            not_due=report.not_due,
            not_due_differing=report.not_due_differing,
            past_checking=report.past_checking,
        )
        starts: dict[str, set[int]] = {}
        for window in report.windows:
            if window.state is Verdict.UNVERIFIABLE:
                due.unasked.append(window)
            else:
                starts.setdefault(window.collection, set()).add(window.start_ms)
        due.turns += [turn for name in starts for turn in self._turns_of(name, scope, starts[name])]
        return due

    def _turns_of(self, name: str, scope: Scope, due: set[int]) -> Iterator[Turn]:
        """The turns that read the windows of *scope* with the starts *due*, and as few others as may be."""
        if not due:
            return
        now_ms, width_ms = self._clock.wall_ms(), scope.width_ms
        hull = attrs.evolve(scope, start_ms=min(due), end_ms=max(due) + width_ms)
        for part in hull.queries(self._features().windows_per_query):
            starts = frozenset(start for start in due if part.start_ms <= start < part.end_ms)
            if starts:
                stored = self._observations.read(name, part.start_ms, part.end_ms, width_ms)
                tight = attrs.evolve(part, start_ms=min(starts), end_ms=max(starts) + width_ms)
                yield Turn(name, tight, unread_since_ms(starts, stored, now_ms), starts)

    def _collections(self, scope: Scope) -> list[str]:
        if scope.collections is not None:
            return sorted(set(scope.collections))
        return self._log.expectation.collections(scope.start_ms, scope.end_ms)

    def _unknown_collections(self, scope: Scope) -> tuple[str, ...]:
        """The collections that are asked for by name, and that neither the log nor the server has ever had.

        None while the log is empty or cannot be read: that has a warning of its own, and no name can be told
        to be wrong.
        """
        named = sorted(set(scope.collections or ())) if self._log.origins() and not self._unreadable else ()
        return tuple(
            name
            for name in named
            if not self._log.expectation.has_recorded(name) and not self._is_at_server(name, scope)
        )

    def _is_at_server(self, collection: str, scope: Scope) -> bool:
        """Whether the server has it, from an earlier answer where there is one; False too where it does not say."""
        if collection not in self._api.at_server:
            end_ms = scope.start_ms + scope.width_ms
            frame = Timeframe(scope.start_ms, end_ms)
            count = Analysis(analysis_type="count", event_collection=collection, timeframe=frame)
            try:
                self._api.query(count)
            except FATAL:
                raise
            except ApiError:
                pass  # a 404 is noted; anything else says nothing
        return self._api.at_server.get(collection, False)

    def _unknown_warning(self, collection: str) -> str:
        said = (
            "has none of that name" if collection in self._api.at_server else "did not say whether it has one"
        )
        return (
            f"the log has never recorded anything in the collection {collection}, and the server {said}:"
            " nothing of it was compared; look at its spelling"
        )

    def _tools(self) -> Tools:
        if self._unreadable is None:
            self._unreadable = self._log.outbox.unreadable()
        return Tools(
            log=self._log,
            api=self._api,
            clock=self._clock,
            preset=self.preset,
            observations=self._observations,
            evidence=self._evidence,
            tokens_used=tokens_honoured(self._log.state, self._clock.wall_ms()) is not False,
            features=self._features(),
            unreadable=self._unreadable,
        )

    def _days(self) -> dict[str, str]:
        """The days of recording, by origin."""
        with self._log.state.reading() as db:
            known = dict(db.execute("SELECT origin, day FROM origins").fetchall())
        return {name.origin: name.day for name in self._log.shelf.names()} | known

    def _features(self) -> Features:
        return features_of(self._log.state, self._clock.wall_ms())

    def _warnings(self) -> tuple[str, ...]:
        warnings = self._features().warnings()
        if not self._log.origins():
            warnings = (*warnings, "nothing was recorded yet: the log has no events")
        reading = self._api.server_clock
        if reading is None or not is_apart(reading.offset_ms):
            return warnings
        minutes = abs(reading.offset_ms) // MS_PER_MINUTE
        side = "ahead of" if reading.offset_ms > 0 else "behind"
        return (
            *warnings,
            f"the server's clock is {minutes} minutes {side} this machine's: no age can be trusted",
        )


def _warning_of(unreadable: Unreadable) -> str:
    return (
        f"{unreadable}: what was recorded there and not sent yet may be missing in any window,"
        " and no window of its day is called a match; run `keen-client doctor`"
    )
