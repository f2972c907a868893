"""A patch: a window that differs, or a piece of one, on its way down the ladder. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import attrs

from keen_client.eventlog.entry import Entry
from keen_client.eventlog.expectation import Window
from keen_client.eventlog.fold import Sums
from keen_client.events.identity import BLOCK_ENTRIES, EntryId
from keen_client.verify.blocks import BlockSum, unlike
from keen_client.verify.compare import compare
from keen_client.verify.level_zero import EMPTY, Cell, ServerWindow
from keen_client.verify.local_cells import LocalCell
from keen_client.verify.locate import Differing, Findings, kind_of
from keen_client.verify.planner import Branch, Load, choose
from keen_client.verify.sightings import Sighting
from keen_client.verify.signature import DECODABLE, decode
from keen_client.verify.verdict import CONTRADICTION


@attrs.define(eq=False)
class Patch:
    """``parent``: start of the window it is a piece of; ``cells``: of each origin whose stamps differ.

    ``suspects`` are the events, by origin and seq, that may not be there
    exactly once and whole, each with the copies that the sums or blocks show of
    it, None where they do not tell; all others are believed to be, until the
    sums are held against what is found of the suspects.
    """

    parent: int
    differing: Differing
    cells: Mapping[str, LocalCell] = attrs.Factory(dict)
    suspects: dict[str, dict[int, int | None]] = attrs.Factory(dict)

    @property
    def start_ms(self) -> int:
        """The start of this piece."""
        return self.differing.local.start_ms

    @property
    def end_ms(self) -> int:
        """Its end."""
        return self.differing.local.end_ms

    @property
    def width_ms(self) -> int:
        """Its length."""
        return self.end_ms - self.start_ms

    @property
    def ids(self) -> Iterator[EntryId]:
        """The suspects."""
        return (EntryId(origin, seq) for origin, seqs in self.suspects.items() for seq in seqs)

    @property
    def gone(self) -> Iterator[EntryId]:
        """The suspects of which nothing is shown here."""
        return (
            EntryId(origin, seq)
            for origin, seqs in self.suspects.items()
            for seq, copies in seqs.items()
            if copies == 0
        )

    @property
    def expected(self) -> Iterator[EntryId]:
        """All events of the origins that differ."""
        return (EntryId(origin, seq) for origin, cell in self.cells.items() for seq in cell.seqs)

    @property
    def origins(self) -> list[str]:
        """The origins whose stamps differ."""
        return [origin for origin, d in self.differing.comparison.deltas.items() if d.is_of_stamps]

    @property
    def needs_stamps(self) -> bool:
        """Whether what comes next looks at the stamps of its events: a signature, or sums of narrower windows."""
        deltas = self.differing.comparison.deltas
        is_decodable = all(not self.shown(o).n or deltas[o].n in DECODABLE for o in self.origins)
        return is_decodable or self.branch().kind == "narrow"

    def shown(self, origin: str) -> Cell:
        """What the server shows of an origin."""
        return self.differing.server.by_origin.get(origin, Cell())

    def decode(self) -> bool:
        """Name suspects from the sums alone, where each origin has one explanation.

        Not while events have no origin here: ours may be among them.
        """
        if self.differing.server.nameless:
            return False
        suspects: dict[str, dict[int, int | None]] = {}
        for origin, cell in self.cells.items():
            if not self.shown(origin).n:
                suspects[origin] = dict.fromkeys(cell.seqs, 0)
                continue
            delta = self.differing.comparison.deltas[origin]
            signature = decode(cell.stamps, delta.n, delta.h, delta.g)
            if signature is None:
                return False
            suspects[origin] = {cell.seqs[i]: signature.copies(i) for i in sorted(signature.indexes)}
        self.suspects = suspects
        return True

    def branch(self) -> Branch:
        """The way on for a patch that was not decoded."""
        shown = [self.shown(origin).n for origin in self.origins]
        more = [self.differing.comparison.deltas[origin].n for origin in self.origins]
        events = sum(max(n, n - delta) for n, delta in zip(shown, more, strict=True))
        load = Load(events, len(shown), sum(max(1, abs(delta)) for delta in more), self.width_ms)
        return choose(load, blocks=not self.differing.server.nameless)

    def take_blocks(self, origin: str, sums: Mapping[int, BlockSum]) -> None:
        """Name the suspects of an origin from its blocks."""
        self.suspects[origin] = unlike(self.cells[origin].seqs, sums)

    def blocks(self, origin: str) -> set[int]:
        """The numbers of the blocks of an origin's events."""
        return {seq // BLOCK_ENTRIES for seq in self.cells[origin].seqs}

    def split(self, width_ms: int, narrower: Mapping[int, ServerWindow]) -> list[Patch] | None:
        """The narrower pieces that differ; None: together they are not what was shown of the whole."""
        starts = range(self.start_ms, self.end_ms, width_ms)
        shown = [narrower.get(start, EMPTY) for start in starts]
        whole = self.differing.server
        for origin in {*whole.by_origin, *(name for part in shown for name in part.by_origin)}:
            parts = [part.by_origin.get(origin, Cell()) for part in shown]
            total = self.shown(origin)
            if [sum(p.n for p in parts), sum(p.h for p in parts), sum(p.g for p in parts)] != [
                total.n,
                total.h,
                total.g,
            ]:
                return None
        if sum(part.nameless for part in shown) != whole.nameless:
            return None
        found: list[Patch] = []
        for start, part in zip(starts, shown, strict=True):
            cells = {origin: cell.cut(start, start + width_ms) for origin, cell in self.cells.items()}
            local = Window(start, start + width_ms, {origin: cell.sums for origin, cell in cells.items()})
            own = {origin: cell for origin, cell in part.by_origin.items() if origin in cells}
            server = ServerWindow(own, part.nameless, part.others)
            comparison = compare(local, server, ())
            if comparison.deltas:
                differing = {origin: cells[origin] for origin in comparison.deltas}
                found.append(Patch(self.parent, Differing(local, server, comparison), differing))
        return found or None

    def adds_up(self, entries: Mapping[EntryId, Entry], found: Mapping[EntryId, Sequence[Sighting]]) -> bool:
        """Whether the sightings of the suspects, and the others once and whole, are exactly what was counted here.

        *entries*: the suspects, at least.
        """
        for origin in self.cells:
            expected = self.differing.local.by_origin.get(origin, Sums())
            sums = Sums(expected.n, expected.h, expected.g)
            for seq in self.suspects.get(origin, {}):
                h, g = entries[EntryId(origin, seq)].digest()
                sums.merge(Sums(-1, -h, -g))
                for sighting in self._inside(found[EntryId(origin, seq)]):
                    copies = sighting.copies
                    sums.merge(Sums(copies, copies * (sighting.h or 0), copies * (sighting.g or 0)))
            total = self.shown(origin)
            if (sums.n, sums.h, sums.g) != (total.n, total.h, total.g):
                return False
        return True

    def sort_in(
        self,
        findings: Findings,
        entries: Mapping[EntryId, Entry],
        found: Mapping[EntryId, Sequence[Sighting]],
    ) -> None:
        """Sort the suspects by what their sightings say; those without any are left."""
        for entry_id in self.ids:
            sightings = found[entry_id]
            more = sum(sighting.copies for sighting in self._inside(sightings)) - 1
            if more:
                findings.odd[entry_id] = more
            if sightings:
                sort_suspect(findings, entries[entry_id], sightings)

    def _inside(self, sightings: Iterable[Sighting]) -> Iterator[Sighting]:
        return (
            sighting
            for sighting in sightings
            if sighting.timestamp_ms is not None and self.start_ms <= sighting.timestamp_ms < self.end_ms
        )


def sort_suspect(findings: Findings, entry: Entry, sightings: Sequence[Sighting]) -> None:
    """Sort one event by all its *sightings*."""
    kinds = {kind_of(entry, sighting) for sighting in sightings}
    # Beside a whole copy, an event that merely bears its token is somebody's remains.
    named = [sighting for sighting in sightings if sighting.id == entry.id]
    copies = sum(sighting.copies for sighting in named)
    is_seen = "present" in kinds
    if is_seen:
        findings.seen.add(entry.id)
        kinds = {kind_of(entry, sighting) for sighting in named}
    if "collision" in kinds:
        findings.collision.add(entry.id)
    elif copies > 1:
        findings.duplicate[entry.id] = copies
        if is_seen:
            return  # the others are surplus, whatever they lost
    if "shifted" in kinds:
        findings.shifted.add(entry.id)
    if "corrupt" in kinds:
        findings.corrupt.add(entry.id)


def merge(findings: Findings, more: Findings) -> None:
    """Add the findings of a piece to those of its window."""
    for name in ("missing", "corrupt", "shifted", "collision", "disputed", "strangers"):
        getattr(findings, name).update(getattr(more, name))
    for name in ("unexpected", "arrived", "seen"):
        getattr(findings, name).update(getattr(more, name))
    for entry_id, copies in more.duplicate.items():
        findings.duplicate[entry_id] = max(copies, findings.duplicate.get(entry_id, 0))
    for entry_id, odd in more.odd.items():
        findings.odd[entry_id] = findings.odd.get(entry_id, 0) + odd
    findings.unreadable += more.unreadable
    if not findings.trouble or more.trouble == CONTRADICTION:
        findings.trouble = more.trouble or findings.trouble
