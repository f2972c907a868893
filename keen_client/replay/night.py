"""The night: send, verify, replay what is proven missing, verify again.

It may be killed at any moment and run again: what it knows lies in
``state.db``, intents are journalled before anything leaves, and a second one
finds ``nightly.lock`` and goes away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import attrs

from keen_client._foundation.clock import MS_PER_SECOND, Clock, ms_to_iso
from keen_client._foundation.randomness import Randomness, SystemRandomness
from keen_client.api.keen_api import KeenApi
from keen_client.delivery.courier import Courier, FlushReport
from keen_client.delivery.sender import Sender
from keen_client.errors import (
    ApiError,
    AuthenticationError,
    EventLogError,
    ForbiddenError,
    NightlyLockedError,
    UsageError,
)
from keen_client.eventlog.deletions import Deletions
from keen_client.eventlog.entry import DeliveryState
from keen_client.eventlog.log import EventLog
from keen_client.eventlog.reclaim import Reclaimed, Reclaimer
from keen_client.eventlog.recovery import copy_state
from keen_client.eventlog.unreadable import reason_of
from keen_client.events.identity import EntryId
from keen_client.observability.hooks import HookSet
from keen_client.observability.signals import HorizonNear
from keen_client.replay.plan import Intent, ReplayReport, breaker, intents_for
from keen_client.replay.runs import Runs
from keen_client.replay.stored_run import read_run
from keen_client.transport.base_url import is_loopback
from keen_client.verify.evidence import Evidence
from keen_client.verify.finality import Finality
from keen_client.verify.moments import Moment, duration_ms, moment_ms, width_ms
from keen_client.verify.observations import WHOLE_MS, Observations
from keen_client.verify.presets import Preset, check_preset, preset
from keen_client.verify.probe import PROBES_MAX, READY_AFTER_MS, TokenProbe, tokens_honoured
from keen_client.verify.reader import Budget
from keen_client.verify.report import VerifyReport
from keen_client.verify.state import CLOCKS_APART_MAX_MS
from keen_client.verify.verifier import Verifier
from keen_client.verify.windows import Scope, collection_names

SCHEMA: Final = 1

#: A settle time up to this is waited out within the job; a longer one is for another night.
WAIT_OUT_MAX_MS: Final = 60 * MS_PER_SECOND
#: How long to wait for another process that holds the sender lock to send a run.
OTHER_SENDER_SECONDS: Final = 300.0
#: How long a server on this machine is given to answer the token probe.
PROBE_PATIENCE_MS: Final = 10 * MS_PER_SECOND

_SENT_LEFT_BIT: Final = 32
_DEAD_LETTERS_BIT: Final = 16
#: What a night without a write key leaves undone.
NO_WRITE_KEY: Final = (
    "there is no write key: nothing was sent, nothing can be resent, and the server could not be probed"
)
#: Errors that whatever is asked next would meet as well.
_REFUSED: Final = (AuthenticationError, ForbiddenError)

Progress = Callable[[str, int, int], None]


@attrs.frozen(kw_only=True)
class NightReport:
    """What a nightly job did; ``warnings`` say what it could not do."""

    sent: FlushReport
    before: VerifyReport
    replay: ReplayReport
    after: VerifyReport
    reclaimed: Reclaimed
    warnings: tuple[str, ...] = ()

    def exit_status(self) -> int:
        """The windows' bits after the night; 32 when events are left unsent, 16 for new dead letters."""
        status = self.after.exit_status()
        if not self.sent.is_drained:
            status |= _SENT_LEFT_BIT
        if self.sent.rejected:
            status |= _DEAD_LETTERS_BIT
        return status

    def document(self) -> dict[str, Any]:
        """The JSON document of ``nightly --json``."""
        return {
            "schema": SCHEMA,
            "send": send_document(self.sent),
            "before": self.before.document(),
            "replay": {k: v for k, v in self.replay.document().items() if k not in ("schema", "verify")},
            "after": self.after.document(),
            "reclaimed": {
                "segments": self.reclaimed.segments,
                "entries": self.reclaimed.entries,
                "unverified": self.reclaimed.unverified,
                "kept": self.reclaimed.kept,
            },
            "warnings": list(self.warnings),
            "exit": self.exit_status(),
        }


def nothing_done(unread: VerifyReport) -> NightReport:
    """The report of a night before the first event: there is no log yet, and *unread* says so."""
    return NightReport(
        sent=FlushReport(0, 0, 0, 0),
        before=unread,
        replay=ReplayReport(is_dry_run=False, verification=unread),
        after=unread,
        reclaimed=Reclaimed(),
    )


def send_document(report: FlushReport) -> dict[str, Any]:
    """The JSON document of ``send --json``."""
    return {"schema": SCHEMA, **attrs.asdict(report), "reason": report.reason or None}


class Night:
    """Verifies and replays on one log. One job at a time holds ``nightly.lock``; not thread-safe."""

    def __init__(
        self,
        *,
        log: EventLog,
        api: KeenApi,
        sender: Sender,
        clock: Clock,
        randomness: Randomness | None = None,
        preset: str = "standard",
        settle: str | None = None,
        allow_immediate: bool = False,
        budget: Budget | None = None,
        hooks: HookSet | None = None,
        on_progress: Progress | None = None,
    ) -> None:
        """Choose how patient to be; *settle* is a duration such as ``24h``.

        *budget* bounds all that this night reads to verify and to confirm; the
        probe's own reading, one query a month, is not counted.

        Raises:
            UsageError: no such preset, or ``immediate`` for a far server. Nothing was asked.
        """
        self._log = log
        self._can_write = api.project.write_key is not None
        self._sender = sender
        self._clock = clock
        self._preset = _chosen(preset, settle)
        self._api = api
        self._base_url = log.binding.base_url
        check_preset(self._preset, self._base_url, allow_immediate=allow_immediate)
        self._progress: Progress = on_progress or (lambda _what, _done, _total: None)
        self._runs = Runs(log.state, clock)
        self._hooks = hooks or HookSet()
        self._courier = Courier(sender, clock, self._hooks, background=False)
        self._probe = TokenProbe(log.state, api, clock, randomness or SystemRandomness())
        self._verifier = Verifier(log, api, clock, self._preset, budget)

    # ---- the three jobs -----------------------------------------------------------------

    def verify(
        self,
        start: Moment,
        end: Moment,
        *,
        collections: Sequence[str] | None = None,
        window: str = "1h",
    ) -> VerifyReport:
        """Compare the server with the log. Sends nothing to the server."""
        return self._verify(_scope(start, end, collections, window))

    def replay(
        self,
        start: Moment,
        end: Moment,
        *,
        collections: Sequence[str] | None = None,
        window: str = "1h",
        yes: bool = False,
        max_replay: int | None = None,
    ) -> ReplayReport:
        """Verify, then resend what is proven missing; without *yes* only say what would be resent.

        Raises:
            NightlyLockedError: another nightly or replay job is at work; nothing was done.
        """
        scope = _scope(start, end, collections, window)
        with self._alone():
            if yes:
                self._runs.lapse()
            report = self._verify(scope)
            return self._resend(report, scope, yes=yes, max_replay=max_replay)

    def run(
        self,
        start: Moment | None = None,
        end: Moment | None = None,
        *,
        collections: Sequence[str] | None = None,
        window: str = "1h",
        max_replay: int | None = None,
        send_timeout: float | None = None,
    ) -> NightReport:
        """The whole nightly job; without *start* and *end* on the windows that are due.

        Without a write key it only verifies, and its report warns of that. On a
        full disk it does what the reserve has room for, reclaiming above all.

        Raises:
            NightlyLockedError: another nightly or replay job is at work; nothing was done.
        """
        if (start is None) != (end is None):
            raise UsageError(
                "a nightly job takes both start and end, or neither; nothing was done",
                "leave both out to check the windows that are due",
            )
        width, names = width_ms(window), collection_names(collections)
        asked = None if start is None or end is None else _scope(start, end, names, window)
        with self._alone():
            copying = self._copy_state()
            with_reserve = self._log.state.with_reserve
            with_reserve(self._runs.lapse)
            probing = self._probe_tokens() if self._can_write else NO_WRITE_KEY
            sent = with_reserve(lambda: self._send(send_timeout))
            scope = asked or self._due_scope(width, names)
            self._settle()
            before = self._verify(scope, due_only=asked is None)
            replay = self._resend(before, scope, yes=True, max_replay=max_replay)
            after = before
            if replay.replayed or replay.unsettled or replay.found:
                self._settle()
                # Of windows that are not due nothing more is to be learned, and a night is not to report them.
                after = self._verify(scope, again=before if asked is None else None)
            reclaimed = with_reserve(self._reclaim)
            seen = Observations(self._log.state)
            with_reserve(lambda: seen.thin(self._clock.wall_ms() - WHOLE_MS))
            self._log.state.note("last_nightly_ms", str(self._clock.wall_ms()))
            return NightReport(
                sent=sent,
                before=before,
                replay=replay,
                after=after,
                reclaimed=reclaimed,
                warnings=tuple(filter(None, (copying, probing))),
            )

    def _copy_state(self) -> str:
        """Keep a copy of ``state.db``; what to warn of where that cannot be: it must not cost the night."""
        try:
            copy_state(self._log.directory, self._log.state)
        except EventLogError as error:
            return f"no new copy of state.db could be made: {error}"
        return ""

    def _send(self, timeout_seconds: float | None) -> FlushReport:
        """Send what waits; without a write key only count it."""
        if not self._can_write:
            backlog = self._log.outbox.backlog()
            return FlushReport(
                acknowledged=0,
                rejected=0,
                pending=backlog.unsent - backlog.unknown,
                unknown=backlog.unknown,
                reason="there is no write key" if backlog.unsent else reason_of(backlog.unreadable),
                unreadable=len(backlog.unreadable),
            )
        self._tell("send", 0, 1)
        sent = self._courier.flush(timeout_seconds)
        self._tell("send", 1, 1)
        return sent

    # ---- resending ----------------------------------------------------------------------

    def _resend(
        self, report: VerifyReport, scope: Scope, *, yes: bool, max_replay: int | None
    ) -> ReplayReport:
        wanted = report.eligible
        planned = intents_for(wanted, self._runs.earlier(wanted), self._preset, self._clock.wall_ms())
        plan = ReplayReport(is_dry_run=not yes, verification=report, planned=planned)
        if not yes or not wanted:
            return plan
        stopped = self._must_stop(report, wanted, max_replay)
        if stopped:
            return attrs.evolve(plan, stopped=stopped)
        with_reserve = self._log.state.with_reserve
        self._tell("confirm", 0, len(wanted))
        try:
            confirmation = with_reserve(lambda: self._verifier.confirm(wanted))
        except _REFUSED:
            raise
        except ApiError as error:
            return attrs.evolve(plan, stopped=f"that they are still absent could not be confirmed: {error}")
        absent = set(confirmation.absent)
        intents = [intent for intent in planned if intent.id in absent]
        found = tuple(entry_id for entry_id in wanted if entry_id not in absent)
        run = with_reserve(lambda: self._begin(intents, scope))
        if run is None:
            return attrs.evolve(plan, found=found)
        self._send_run(run, len(intents))
        progress = self._runs.progress(run)
        replayed = _in_state(progress, {DeliveryState.ACKNOWLEDGED})
        unsettled = _in_state(
            progress, set(DeliveryState) - {DeliveryState.ACKNOWLEDGED, DeliveryState.REJECTED}
        )
        with_reserve(lambda: self._runs.finish(run))
        undo = read_run(self._log.state, run).undo
        return attrs.evolve(plan, run=run, replayed=replayed, unsettled=unsettled, found=found, undo=undo)

    def _begin(self, intents: Sequence[Intent], scope: Scope) -> int | None:
        """Journal a run of those of *intents* that are still to be resent; None when there are none.

        In the very transaction it is looked once more: while this night was
        asking, somebody may have deleted them, or a sender that resends what
        is unknown may have sent them, and then the absences say nothing.
        """
        log = self._log
        entries = log.shelf.pick(intent.id for intent in intents)
        with log.state.transaction():
            held_back = Deletions(log.state).held_back(entries.values())
            absences = Evidence(log.state, Observations(log.state)).absences(entries)
            kept = [
                intent
                for intent in intents
                if intent.id in entries
                and intent.id not in held_back
                and absences[intent.id].is_eligible(self._preset)
            ]
            if not kept:
                return None
            return self._runs.begin(kept, entries, self._preset.name, _scope_document(scope))

    def _must_stop(self, report: VerifyReport, wanted: Sequence[EntryId], max_replay: int | None) -> str:
        if not self._can_write:
            return NO_WRITE_KEY
        if self._preset.name == "immediate" and not self._sender.tokens_are_honoured():
            return (
                "the preset immediate needs a server that is known to honour uniqueness tokens:"
                " run `keen-client nightly` or `keen-client doctor --probe` first"
            )
        return breaker(report, wanted, max_replay)

    def _send_run(self, run: int, total: int) -> None:
        """Have the run sent: by this process, or by the one that holds the sender lock, bounded."""
        deadline_ns = self._clock.monotonic_ns() + int(OTHER_SENDER_SECONDS * 1e9)
        self._tell("replay", 0, total)
        while self._runs.is_under_way(run) and self._clock.monotonic_ns() < deadline_ns:
            if self._sender.holds_lock or self._sender.acquire():
                self._courier.flush()
                break
            self._clock.sleep(0.2)
        self._tell("replay", total, total)

    # ---- the rest -----------------------------------------------------------------------

    def _verify(
        self, scope: Scope, *, due_only: bool = False, again: VerifyReport | None = None
    ) -> VerifyReport:
        return self._verifier.verify(
            scope, due_only=due_only, again=again, progress=partial(self._tell, "verify")
        )

    def _probe_tokens(self) -> str:
        """Learn whether tokens are honoured, where that is not known of late; what to warn of.

        A far server's answer needs time to become visible, so the next night
        reads it. A server on this machine is given the settle time, thrice at most.
        A key that may not write is no reason not to verify; one that may not read is.
        """
        self._tell("probe", 0, 1)
        if tokens_honoured(self._log.state, self._clock.wall_ms()) is not None:
            return ""
        is_near = is_loopback(self._base_url)
        patience_ms = min(max(self._preset.settle_ms, MS_PER_SECOND // 4), PROBE_PATIENCE_MS)
        for _ in range(PROBES_MAX if is_near else 1):
            try:
                if not self._probe.is_pending:
                    self._probe.send(patience_ms if is_near else READY_AFTER_MS)
            except _REFUSED as error:
                return f"whether the server honours tokens could not be probed: {error}"
            except ApiError:
                continue  # one bad answer must not cost the night; the next one probes again
            try:
                ready_ms = self._probe.ready_ms
                if is_near and ready_ms is not None:
                    self._clock.sleep(max(0, ready_ms - self._clock.wall_ms()) / MS_PER_SECOND)
                if self._probe.read() is not None:
                    break
            except _REFUSED:
                raise
            except ApiError:
                continue
        return ""

    def _reclaim(self) -> Reclaimed:
        """Let what is old and final go, and warn of what soon goes unverified."""
        log = self._log
        reclaimer = Reclaimer(log.directory, log.state, log.shelf, log.config, self._clock)
        is_final = Finality(log, self._clock, self._preset)
        for horizon in reclaimer.horizons(is_final):
            self._hooks.emit(HorizonNear(horizon.unsent + horizon.unverified, round(horizon.days, 1)))
        reading = self._api.server_clock
        agrees = None if reading is None else abs(reading.offset_ms) <= CLOCKS_APART_MAX_MS
        return reclaimer.reclaim(is_final, clock_agrees=agrees)

    def _settle(self) -> None:
        """Wait out a short settle time; a long one is for another night."""
        if 0 < self._preset.settle_ms <= WAIT_OUT_MAX_MS:
            self._tell("settle", 0, 1)
            self._clock.sleep(self._preset.settle_ms / MS_PER_SECOND + 0.05)
            self._tell("settle", 1, 1)

    def _due_scope(self, width: int, collections: tuple[str, ...] | None) -> Scope:
        now_ms = self._clock.wall_ms()
        first_ms, last_ms = self._log.expectation.span() or (now_ms, now_ms)
        # The window of this moment is part of it, also where it begins now.
        last_ms = max(last_ms, now_ms + 1)
        return Scope(first_ms // width * width, -(-last_ms // width) * width, width, collections)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._log.directory.nightly_lock().held() as alone:
            if not alone:
                raise NightlyLockedError(
                    "another nightly or replay job is at work on this log; nothing was done",
                    "wait for it to end, or look with `keen-client status`",
                )
            yield

    def _tell(self, what: str, done: int, total: int) -> None:
        self._progress(what, done, total)


def _chosen(name: str, settle: str | None) -> Preset:
    return preset(name, None if settle is None else duration_ms(settle))


def _scope(start: Moment, end: Moment, collections: Sequence[str] | None, window: str) -> Scope:
    return Scope(moment_ms(start), moment_ms(end), width_ms(window), collections)


def _scope_document(scope: Scope) -> dict[str, object]:
    return {
        "start": ms_to_iso(scope.start_ms),
        "end": ms_to_iso(scope.end_ms),
        "collections": None if scope.collections is None else list(scope.collections),
    }


def _in_state(progress: dict[EntryId, DeliveryState], states: set[DeliveryState]) -> tuple[EntryId, ...]:
    return tuple(sorted(entry_id for entry_id, state in progress.items() if state in states))
