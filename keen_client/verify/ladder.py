"""The ladder: from windows that differ to the very events, by the cheapest questions that tell.

What differs by a few events is decoded from the sums; what does not is read
again in narrower windows, then by blocks of 24 events, and in the end event by
event. The rungs only name suspects: each is asked for by its id, and a window
is concluded when what was found of the suspects explains its totals exactly
and the totals still are what they were. Wherever two rungs contradict each
other, the window is looked at event by event.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final

import attrs

from keen_client.errors import ApiError, AuthenticationError, ForbiddenError
from keen_client.eventlog.fold import Amount, Sums, amounts_of
from keen_client.eventlog.log import EventLog
from keen_client.events.identity import EntryId
from keen_client.queries import Timeframe
from keen_client.verify.answer import QueryApi
from keen_client.verify.blocks import BlockSum, ask_blocks
from keen_client.verify.closing import still_the_same
from keen_client.verify.compare import amounts_agree
from keen_client.verify.confirm import confirm
from keen_client.verify.level_zero import Cell, ServerWindow, ask_level_zero
from keen_client.verify.local_cells import load_cells
from keen_client.verify.locate import Differing, Findings, Locator
from keen_client.verify.patch import Patch, merge
from keen_client.verify.planner import Span, block_questions, joins
from keen_client.verify.sightings import IDS_PER_QUERY_MAX
from keen_client.verify.windows import BATCH_EVENTS_MAX, Scope, batches

#: Expected events of the windows that are taken down the ladder together.
EVENTS_HELD_MAX: Final = 2_000_000
#: Errors that the next query would meet as well.
FATAL: Final = (AuthenticationError, ForbiddenError)


@attrs.define
class Located:
    """The findings of each window by its start, or why its events could not be looked for."""

    findings: dict[int, Findings] = attrs.Factory(dict)
    failures: dict[int, ApiError] = attrs.Factory(dict)


class Ladder:
    """Finds the events of windows of one collection that differ. Reads the log and the server, changes neither."""

    def __init__(
        self,
        log: EventLog,
        api: QueryApi,
        collection: str,
        audited: Collection[str],
        names_max: int = IDS_PER_QUERY_MAX,
    ) -> None:
        """*names_max*: values that one filter may name."""
        self._log = log
        self._names_max = names_max
        self._api = api
        self._collection = collection
        self._audited = audited
        self._locator = Locator(log, api, collection, audited, names_max)

    def locate(
        self, differing: Sequence[Differing], answered: Mapping[int, ServerWindow], events: Mapping[int, int]
    ) -> Located:
        """The findings of windows of equal width, ascending.

        *answered*: what level 0 showed of all windows; *events*: how many each expects, by start.

        Raises:
            AuthenticationError, ForbiddenError: nothing can be read with this key.
        """
        located = Located()
        one_by_one: list[Differing] = []
        for group in _groups(differing):
            descent = _Descent(self._log, self._api, self._collection, self._locator, self._names_max)
            try:
                concluded = descent.conclude(group, answered)
            except FATAL:
                raise
            except ApiError as error:
                located.failures.update(dict.fromkeys((w.local.start_ms for w in group), error))
                continue
            for window in group:
                findings = concluded.get(window.local.start_ms)
                if findings is None or not self._amounts_agree(window, findings):
                    one_by_one.append(window)
                else:
                    located.findings[window.local.start_ms] = findings
        self._look_at_each(one_by_one, events, located)
        if differing:
            self._note_copies_elsewhere(located, differing[0].local.end_ms - differing[0].local.start_ms)
        return located

    def _look_at_each(
        self, differing: Sequence[Differing], events: Mapping[int, int], located: Located
    ) -> None:
        by_start = {window.local.start_ms: window for window in differing}
        for batch in batches(by_start, events):
            try:
                located.findings.update(self._locator.locate([by_start[start] for start in batch]))
            except FATAL:
                raise
            except ApiError as error:
                located.failures.update(dict.fromkeys(batch, error))

    def _note_copies_elsewhere(self, located: Located, width_ms: int) -> None:
        """An event that is whole in its place and was met in another window as well is there more than once."""
        arrived: dict[EntryId, int] = {}
        for findings in located.findings.values():
            for entry_id in findings.arrived:
                arrived[entry_id] = arrived.get(entry_id, 0) + findings.odd.get(entry_id, 0)
        for entry_id, entry in self._log.shelf.pick(arrived).items():
            home = located.findings.get(entry.timestamp_ms // width_ms * width_ms)
            if home is None or home.trouble or entry_id in home.named:
                continue
            if entry_id in home.seen or home.rest_is_seen:
                copies = 1 + home.odd.get(entry_id, 0) + arrived[entry_id]
                home.duplicate[entry_id] = max(copies, home.duplicate.get(entry_id, 0))
                home.seen.add(entry_id)

    def _amounts_agree(self, window: Differing, findings: Findings) -> bool:
        """Whether the audited totals are explained by what was found; where that cannot be told, they need not be."""
        if not self._audited or findings.trouble or findings.strangers or findings.collision:
            return True
        names = sorted(self._audited)
        entries = self._log.shelf.pick(findings.odd)
        for origin in window.comparison.deltas:
            local = window.local.by_origin.get(origin, Sums())
            expected = {name: attrs.evolve(local.amounts.get(name, Amount())) for name in names}
            for entry_id, more in findings.odd.items():
                entry = entries.get(entry_id)
                if entry_id.origin != origin or entry is None:
                    continue
                for name, value in amounts_of(entry.body, names).items():
                    for _ in range(abs(more)):
                        expected[name].add(value, 1 if more > 0 else -1)
            shown = window.server.by_origin.get(origin, Cell())
            if not all(amounts_agree(expected[name], shown.amounts.get(name, 0)) for name in names):
                return False
        return True


class _Descent:
    """One group of windows on its way down."""

    def __init__(
        self, log: EventLog, api: QueryApi, collection: str, locator: Locator, names_max: int
    ) -> None:
        self._log = log
        self._names_max = names_max
        self._api = api
        self._collection = collection
        self._locator = locator
        self._decoded: list[Patch] = []
        self._one_by_one: list[Patch] = []
        #: Starts of windows that are to be looked at whole, event by event.
        self._given_up: set[int] = set()

    def conclude(
        self, group: Sequence[Differing], answered: Mapping[int, ServerWindow]
    ) -> dict[int, Findings]:
        """The findings by start; windows that are left out are to be looked at event by event.

        Raises:
            ApiError: no answer, or not what was asked for; nothing was found out.
        """
        self._descend(self._patches(group))
        whole = [window for window in group if window.local.start_ms not in self._given_up]
        self._decoded = [patch for patch in self._decoded if patch.parent not in self._given_up]
        confirmed = confirm(self._log, self._api, self._collection, self._decoded, self._names_max)
        self._one_by_one += confirmed.refuted
        found = {window.local.start_ms: Findings(rest_is_seen=True) for window in whole}
        for patch, findings in confirmed.findings.items():
            merge(found[patch.parent], findings)
        for start, findings in self._look_at_each(group):
            merge(found[start], findings)
        found = {start: findings for start, findings in found.items() if start not in self._given_up}
        windows = [window for window in whole if window.local.start_ms in found]
        if windows:
            origins = self._log.origins()
            changed = still_the_same(self._api, self._collection, windows, answered, origins)
            for start, trouble in changed.items():
                found[start].trouble = trouble
        return found

    def _patches(self, group: Sequence[Differing]) -> list[Patch]:
        """The windows whose stamps differ, with what they should hold, as far as all of it can be read."""
        patches = [Patch(window.local.start_ms, window) for window in group]
        for is_stamped in (True, False):
            alike = [patch for patch in patches if patch.needs_stamps is is_stamped]
            cells = load_cells(
                self._log.expectation,
                self._collection,
                [patch.differing.local for patch in alike],
                {patch.start_ms: patch.origins for patch in alike},
                is_stamped=is_stamped,
            )
            for patch in alike:
                patch.cells = cells[patch.start_ms]
        readable = [patch for patch in patches if patch.cells and len(patch.cells) == len(patch.origins)]
        self._given_up |= {patch.parent for patch in patches} - {patch.parent for patch in readable}
        return readable

    def _descend(self, patches: Sequence[Patch]) -> None:
        """Until each patch is decoded, given up, or to be looked at event by event."""
        while patches:
            narrow: dict[int, list[Patch]] = {}
            by_blocks: list[Patch] = []
            for patch in patches:
                if patch.decode():
                    self._decoded.append(patch)
                    continue
                branch = patch.branch()
                if branch.kind == "narrow":
                    narrow.setdefault(branch.width_ms, []).append(patch)
                elif branch.kind == "blocks":
                    by_blocks.append(patch)
                else:
                    self._one_by_one.append(patch)
            self._read_blocks(by_blocks)
            self._decoded += by_blocks
            patches = [
                piece
                for width_ms, wide in narrow.items()
                for piece in self._read_narrower(wide, width_ms)
                if piece.parent not in self._given_up
            ]

    def _read_narrower(self, patches: Sequence[Patch], width_ms: int) -> Iterator[Patch]:
        """The pieces of *patches* that differ; a window whose pieces do not add up is given up."""
        origins = self._log.origins()
        shown: dict[int, ServerWindow] = {}
        for scope in _scopes(patches, width_ms):
            for part in scope.queries():
                shown.update(ask_level_zero(self._api, part, self._collection, (), origins))
        for patch in patches:
            pieces = patch.split(width_ms, shown)
            if pieces is None:
                self._given_up.add(patch.parent)
            else:
                yield from pieces

    def _read_blocks(self, patches: Sequence[Patch]) -> None:
        """Name the suspects of *patches* by their blocks."""
        for origin in sorted({origin for patch in patches for origin in patch.cells}):
            mine = {
                patch: blocks
                for patch in patches
                if origin in patch.cells and (blocks := patch.blocks(origin))
            }
            sums: dict[int, BlockSum] = {}
            spans = [Span(p.start_ms, p.end_ms, min(b), max(b), len(b)) for p, b in mine.items()]
            for span, named in block_questions(spans) if spans else ():
                inside = [b for p, b in mine.items() if span.start_ms <= p.start_ms < span.end_ms]
                sums = ask_blocks(
                    self._api,
                    self._collection,
                    Timeframe(span.start_ms, span.end_ms),
                    origin,
                    set[int]().union(*inside),
                    named=named,
                    names_max=self._names_max,
                )
                for patch in mine:
                    if span.start_ms <= patch.start_ms < span.end_ms:
                        patch.take_blocks(origin, sums)

    def _look_at_each(self, group: Sequence[Differing]) -> Iterator[tuple[int, Findings]]:
        """Look at the events of pieces one by one; whole windows are given up, to be looked at together."""
        whole = {window.local.start_ms: window.local.end_ms for window in group}
        pieces: list[Patch] = []
        for patch in self._one_by_one:
            if patch.end_ms == whole[patch.parent]:
                self._given_up.add(patch.parent)
            else:
                pieces.append(patch)
        pieces = [patch for patch in pieces if patch.parent not in self._given_up]
        for run in _runs(pieces):
            ids = [entry_id for patch in run for entry_id in patch.expected]
            entries = self._log.shelf.pick(ids).values()
            found = self._locator.locate([patch.differing for patch in run], entries)
            for patch in run:
                yield patch.parent, found[patch.start_ms]


def _groups(differing: Sequence[Differing]) -> Iterator[list[Differing]]:
    """Windows in groups that may be held together."""
    group: list[Differing] = []
    held = 0
    for window in differing:
        events = window.local.total.n
        if group and held + events > EVENTS_HELD_MAX:
            yield group
            group, held = [], 0
        group.append(window)
        held += events
    if group:
        yield group


def _scopes(patches: Sequence[Patch], width_ms: int) -> Iterator[Scope]:
    """The stretches to be read in windows of *width_ms*, small gaps included."""
    run: tuple[int, int] | None = None
    for patch in sorted(patches, key=lambda patch: patch.start_ms):
        if run is not None and joins(patch.start_ms - run[1], width_ms, len(patch.cells)):
            run = (run[0], patch.end_ms)
            continue
        if run is not None:
            yield Scope(*run, width_ms)
        run = (patch.start_ms, patch.end_ms)
    if run is not None:
        yield Scope(*run, width_ms)


def _runs(pieces: Sequence[Patch]) -> Iterator[list[Patch]]:
    """Pieces of equal width that touch, few enough events at a time."""
    run: list[Patch] = []
    events = 0
    for _, alike in groupby(
        sorted(pieces, key=lambda p: (p.width_ms, p.start_ms)), lambda patch: patch.width_ms
    ):
        for patch in alike:
            size = sum(len(cell) for cell in patch.cells.values())
            touches = run and run[-1].end_ms == patch.start_ms and run[-1].width_ms == patch.width_ms
            if run and not (touches and events + size <= BATCH_EVENTS_MAX):
                yield run
                run, events = [], 0
            run.append(patch)
            events += size
    if run:
        yield run
