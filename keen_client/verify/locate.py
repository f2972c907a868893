"""Locating: from windows that differ to the very events.

For a stretch of differing windows, matching ones in between skipped, every
event of each differing origin is sighted, with its stamps and its time. What the log expects and no
sighting shows is looked for in the null group, then by id over the widest
timeframe: only what is found nowhere is missing. Nothing is concluded where the sightings contradict the totals.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import attrs

from keen_client.eventlog.entry import Entry
from keen_client.eventlog.expectation import Window
from keen_client.eventlog.log import EventLog
from keen_client.events.identity import EntryId
from keen_client.queries import Timeframe
from keen_client.verify.amounts import altered_entries
from keen_client.verify.answer import QueryApi
from keen_client.verify.compare import Comparison
from keen_client.verify.level_zero import Cell, ServerWindow
from keen_client.verify.null_group import Member, extract_members, match_members
from keen_client.verify.sightings import HORIZON, IDS_PER_QUERY_MAX, Sighting, sight_ids, sight_origin
from keen_client.verify.tokens import tokens_of
from keen_client.verify.verdict import CONTRADICTION

#: Why a window's sightings and totals may not agree.
LATE: Final = "late events were arriving while it was read"


@attrs.define
class Findings:
    """What was found of one window; each event stands in one set, but for ``duplicate``.

    ``seen``: the expected events that are there and whole. ``unreadable``:
    expected events whose entries can no longer be read. ``arrived``: events of
    ours that belong into another window; ``unexpected``: that were refused,
    dropped or superseded and are there all the same; ``strangers``: that carry an
    origin of ours and are not in the log. ``odd``: the events shown another
    number of times than expected, and how many times more. ``has_unnamed_amounts``:
    audited amounts differ in events that were not found out. ``rest_is_seen``:
    the totals prove that the expected events which stand in no set are there
    and whole. ``trouble``: why nothing can be concluded, empty when it can.
    """

    missing: set[EntryId] = attrs.Factory(set)
    duplicate: dict[EntryId, int] = attrs.Factory(dict)
    corrupt: set[EntryId] = attrs.Factory(set)
    shifted: set[EntryId] = attrs.Factory(set)
    collision: set[EntryId] = attrs.Factory(set)
    disputed: set[EntryId] = attrs.Factory(set)
    strangers: set[EntryId] = attrs.Factory(set)
    unexpected: set[EntryId] = attrs.Factory(set)
    arrived: set[EntryId] = attrs.Factory(set)
    seen: set[EntryId] = attrs.Factory(set)
    odd: dict[EntryId, int] = attrs.Factory(dict)
    altered_amounts: bool = False
    has_unnamed_amounts: bool = False
    rest_is_seen: bool = False
    unreadable: int = 0
    trouble: str = ""

    @property
    def named(self) -> frozenset[EntryId]:
        """The expected events that are not there, or not whole."""
        return frozenset(self.missing | self.corrupt | self.shifted | self.collision | self.disputed)


@attrs.frozen
class Differing:
    """A window that differs: both sides and the comparison."""

    local: Window
    server: ServerWindow
    comparison: Comparison


class Locator:
    """Finds the events of one collection. Reads the log and the server, changes neither."""

    def __init__(
        self,
        log: EventLog,
        api: QueryApi,
        collection: str,
        audited: Collection[str],
        names_max: int = IDS_PER_QUERY_MAX,
    ) -> None:
        """*names_max*: ids that one filter may name."""
        self._names_max = names_max
        self._log = log
        self._api = api
        self._collection = collection
        self._audited = audited

    def locate(
        self, stretch: Sequence[Differing], entries: Iterable[Entry] | None = None
    ) -> dict[int, Findings]:
        """The findings of windows that are looked at together, by start; *stretch* is ascending, of equal widths.

        *entries* are the expected ones where they are known already.

        Raises:
            ApiError: no answer, or not what was asked for; nothing was found out.
        """
        start_ms, end_ms = stretch[0].local.start_ms, stretch[-1].local.end_ms
        timeframe = Timeframe(start_ms, end_ms)
        if entries is None:
            entries = self._log.expectation.entries(self._collection, start_ms, end_ms)
        work = _Work(stretch, entries)
        origins = sorted({origin for window in stretch for origin in window.comparison.deltas})
        for origin in origins:
            own = [entry for entry in work.entries.values() if entry.origin == origin]
            work.sort_in(sight_origin(self._api, self._collection, timeframe, origin, own), origin)
        self._known_elsewhere(work)
        absent = {entry.id: entry for entry in work.absentees(origins)}
        if absent:
            self._search_null_group(work, absent)
            self._search_by_id(work, absent)
        work.note_odd(origins)
        for window in stretch:
            self._check_amounts(work, window)
        return work.findings

    def _known_elsewhere(self, work: _Work) -> None:
        """Of the ids that were not expected here, tell events of ours with another time from strangers."""
        known = self._log.shelf.pick(work.strangers)
        for entry_id, sightings in work.strangers.items():
            entry = known.get(entry_id)
            for sighting in sightings:
                findings = work.at(sighting.timestamp_ms)
                if findings is None:
                    continue
                if entry is None or entry.collection != self._collection:
                    findings.strangers.add(entry_id)
                elif (
                    sighting.h,
                    sighting.g,
                ) == entry.digest() and sighting.timestamp_ms != entry.timestamp_ms:
                    findings.arrived.add(entry_id)
                elif (sighting.h, sighting.g) == entry.digest():
                    findings.unexpected.add(entry_id)
                else:
                    findings.collision.add(entry_id)

    def _search_null_group(self, work: _Work, absent: dict[EntryId, Entry]) -> None:
        members = [Member(None, sighting.timestamp_ms) for sighting in work.nameless]
        for window in work.stretch:
            if window.server.nameless and any(
                window.local.start_ms <= entry.timestamp_ms < window.local.end_ms for entry in absent.values()
            ):
                timeframe = Timeframe(window.local.start_ms, window.local.end_ms)
                members += extract_members(self._api, self._collection, timeframe, window.server.nameless)
        matched = match_members(members, absent)
        for entry_id in matched.corrupt:
            work.home(absent.pop(entry_id)).corrupt.add(entry_id)
        for entry_id in matched.disputed:
            work.home(absent[entry_id]).disputed.add(entry_id)

    def _search_by_id(self, work: _Work, absent: Mapping[EntryId, Entry]) -> None:
        """Ask for the absentees by id and token; a disputed one that is found is no longer disputed.

        Answers that do not show an event which was seen a moment ago show no absence either.
        """
        tokens, control = tokens_of(self._log.state, absent), work.control
        found = sight_ids(self._api, self._collection, HORIZON, tokens, control, self._names_max)
        is_blind = control is not None and not found.pop(control)
        for entry_id, sightings in found.items():
            findings = work.home(absent[entry_id])
            if sightings:
                findings.disputed.discard(entry_id)
                _classify(findings, absent[entry_id], sightings)
            elif is_blind:
                findings.trouble = CONTRADICTION
            elif entry_id not in findings.disputed:
                findings.missing.add(entry_id)

    def _check_amounts(self, work: _Work, window: Differing) -> None:
        """Where all stamps are explained, look whether the audited amounts are too; find the altered events."""
        findings = work.findings[window.local.start_ms]
        if findings.trouble or findings.unreadable or findings.strangers or findings.collision:
            return
        timeframe = Timeframe(window.local.start_ms, window.local.end_ms)
        for origin, delta in window.comparison.deltas.items():
            if not delta.amounts:
                continue
            copies = work.copies_in(window.local.start_ms, origin)
            entries = self._log.shelf.pick(copies)
            cell = window.server.by_origin.get(origin, Cell())
            altered = altered_entries(
                self._api, self._collection, timeframe, origin, self._audited, copies, entries, cell
            )
            if altered is not None:
                findings.altered_amounts = True
                findings.has_unnamed_amounts |= not altered
                findings.corrupt |= altered
                findings.seen -= altered


def _classify(findings: Findings, entry: Entry, sightings: Iterable[Sighting]) -> None:
    """Sort an absentee that was found by id or token into what its sightings say. Pure."""
    kinds = {kind_of(entry, sighting) for sighting in sightings}
    if "present" in kinds:
        # Its own window did not show it a moment ago.
        findings.trouble = findings.trouble or CONTRADICTION
        findings.seen.add(entry.id)
    elif "shifted" in kinds:
        findings.shifted.add(entry.id)
    elif "corrupt" in kinds:
        findings.corrupt.add(entry.id)
    else:
        findings.collision.add(entry.id)


def kind_of(entry: Entry, sighting: Sighting) -> str:
    """What one sighting says of *entry*: present, shifted, corrupt or collision. Pure."""
    if sighting.id is None or sighting.h is None or sighting.g is None:
        return "corrupt"
    if sighting.id != entry.id or (sighting.h, sighting.g) != entry.digest():
        return "collision"
    return "present" if sighting.timestamp_ms == entry.timestamp_ms else "shifted"


class _Work:
    """The sightings of one stretch, sorted into its windows."""

    def __init__(self, stretch: Sequence[Differing], entries: Iterable[Entry]) -> None:
        self.stretch = stretch
        self.findings = {window.local.start_ms: Findings() for window in stretch}
        self.strangers: dict[EntryId, list[Sighting]] = {}
        self.nameless: list[Sighting] = []
        self._copies: dict[tuple[int, str], dict[EntryId, int]] = {}
        self._found: set[EntryId] = set()
        self._first = stretch[0].local.start_ms
        self._width = stretch[0].local.end_ms - self._first
        self.entries = {entry.id: entry for entry in entries if self.at(entry.timestamp_ms) is not None}
        self._readable = Counter(
            (self.start_of(entry.timestamp_ms), entry.origin) for entry in self.entries.values()
        )

    def start_of(self, timestamp_ms: int) -> int:
        """The start of the window that holds an instant of the stretch."""
        return self._first + (timestamp_ms - self._first) // self._width * self._width

    def at(self, timestamp_ms: int | None) -> Findings | None:
        """The findings of the window that holds an instant; None outside of the stretch."""
        return None if timestamp_ms is None else self.findings.get(self.start_of(timestamp_ms))

    def home(self, entry: Entry) -> Findings:
        """The findings of the window an entry belongs into."""
        return self.findings[self.start_of(entry.timestamp_ms)]

    @property
    def control(self) -> EntryId | None:
        """An expected event that was seen whole and in its place; None: there is none."""
        return next((entry.id for entry in self.entries.values() if entry.id in self.home(entry).seen), None)

    def copies_in(self, start_ms: int, origin: str) -> dict[EntryId, int]:
        """How often each id of *origin* was sighted in a window."""
        return self._copies.get((start_ms, origin), {})

    def sort_in(self, sightings: Sequence[Sighting], origin: str) -> None:
        """Take the sightings of one origin, and hold them against the totals and the log."""
        seen_sums: dict[int, list[int]] = {start: [0, 0, 0] for start in self.findings}
        for sighting in sightings:
            findings = self.at(sighting.timestamp_ms)
            if findings is None or sighting.timestamp_ms is None:
                continue  # not of this timeframe: the totals will not agree
            start = self.start_of(sighting.timestamp_ms)
            for place, value in enumerate((1, sighting.h or 0, sighting.g or 0)):
                seen_sums[start][place] += sighting.copies * value
            self._sort_one(sighting, start)
        for window in self.stretch:
            self._reconcile(window, origin, seen_sums[window.local.start_ms])
        self._note_duplicates(origin)

    def _sort_one(self, sighting: Sighting, start: int) -> None:
        if sighting.id is None:
            self.nameless.append(sighting)
            return
        entry = self.entries.get(sighting.id)
        if entry is None:
            self.strangers.setdefault(sighting.id, []).append(sighting)
        else:
            kind = kind_of(entry, sighting)
            self._found.add(entry.id)
            home = self.home(entry)
            if kind == "present":
                home.seen.add(entry.id)
            elif kind == "shifted":
                home.shifted.add(entry.id)
                self.findings[start].arrived.add(entry.id)
            elif kind == "corrupt":
                home.corrupt.add(entry.id)
            else:
                home.collision.add(entry.id)
        copies = self._copies.setdefault((start, sighting.id.origin), {})
        copies[sighting.id] = copies.get(sighting.id, 0) + sighting.copies

    def _reconcile(self, window: Differing, origin: str, shown: list[int]) -> None:
        """The single events must add up to the totals; the expected entries must all be readable."""
        findings = self.findings[window.local.start_ms]
        cell = window.server.by_origin.get(origin, Cell())
        if shown != [cell.n, cell.h, cell.g]:
            if shown[0] > cell.n:
                findings.trouble = findings.trouble or LATE
            else:
                findings.trouble = CONTRADICTION
        expected = window.local.by_origin.get(origin)
        readable = self._readable.get((window.local.start_ms, origin), 0)
        findings.unreadable += max(0, (expected.n if expected else 0) - readable)

    def _note_duplicates(self, origin: str) -> None:
        total: dict[EntryId, int] = {}
        for (_, of_origin), copies in self._copies.items():
            if of_origin == origin:
                for entry_id, count in copies.items():
                    total[entry_id] = total.get(entry_id, 0) + count
        for entry_id, count in total.items():
            entry = self.entries.get(entry_id)
            if entry is not None and count > 1 and entry_id not in self.home(entry).collision:
                findings = self.home(entry)
                findings.duplicate[entry_id] = count
                # With a whole copy in its place, the others are surplus, whatever they lost.
                if entry_id in findings.seen:
                    findings.shifted.discard(entry_id)
                    findings.corrupt.discard(entry_id)

    def note_odd(self, origins: Collection[str]) -> None:
        """Note, of each window, what was shown another number of times than expected there."""
        for entry in self.entries.values():
            if entry.origin in origins:
                start = self.start_of(entry.timestamp_ms)
                more = self._copies.get((start, entry.origin), {}).get(entry.id, 0) - 1
                if more:
                    self.findings[start].odd[entry.id] = more
        for (start, _), copies in self._copies.items():
            for entry_id, count in copies.items():
                known = self.entries.get(entry_id)
                if known is None or self.start_of(known.timestamp_ms) != start:
                    self.findings[start].odd[entry_id] = count

    def absentees(self, origins: Collection[str]) -> list[Entry]:
        """The expected entries of *origins* that no sighting showed, of windows where that may be told."""
        return [
            entry
            for entry in self.entries.values()
            if entry.origin in origins and entry.id not in self._found and not self.home(entry).trouble
        ]
