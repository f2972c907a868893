"""Local cells: what a window should hold, a few bytes an event, for windows that differ."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from operator import le

import attrs

from keen_client.eventlog.expectation import Expectation, Page, Window
from keen_client.eventlog.fold import Sums
from keen_client.verify.signature import Stamps


def _times() -> array[int]:
    return array("q")


def _numbers() -> array[int]:
    return array("I")


@attrs.define(slots=True)
class LocalCell:
    """The expected events of one origin in one window, ascending by time: columns of equal length.

    The stamps are empty where nobody needs them: they cost a hash of every event.
    """

    times: array[int] = attrs.Factory(_times)
    seqs: array[int] = attrs.Factory(_numbers)
    h: array[int] = attrs.Factory(_numbers)
    g: array[int] = attrs.Factory(_numbers)

    def __len__(self) -> int:
        """How many events there are."""
        return len(self.seqs)

    @property
    def columns(self) -> tuple[array[int], ...]:
        """Time, seq and both stamps."""
        return self.times, self.seqs, self.h, self.g

    def extend(self, page: Page) -> None:
        """Add events behind the others, in whatever order they were recorded."""
        for column, more in zip(self.columns, (page.times, page.seqs, page.h, page.g), strict=True):
            column.extend(more)

    def in_time(self) -> LocalCell:
        """The same events, ascending by time; most often they are so already."""
        if all(map(le, self.times, islice(self.times, 1, None))):
            return self
        order = sorted(range(len(self)), key=self.times.__getitem__)
        return LocalCell(
            *(
                array(column.typecode, map(column.__getitem__, order if column else ()))
                for column in self.columns
            )
        )

    @property
    def stamps(self) -> Stamps:
        """What signatures are searched among."""
        return Stamps(self.h, self.g)

    @property
    def sums(self) -> Sums:
        """Count and hash totals, of a cell with stamps."""
        return Sums(len(self.seqs), sum(self.h), sum(self.g))

    def cut(self, start_ms: int, end_ms: int) -> LocalCell:
        """The events of [start, end)."""
        first, last = bisect_left(self.times, start_ms), bisect_left(self.times, end_ms)
        return LocalCell(*(column[first:last] for column in self.columns))


def load_cells(
    expectation: Expectation,
    collection: str,
    windows: Sequence[Window],
    origins: Mapping[int, Collection[str]],
    *,
    is_stamped: bool,
) -> dict[int, dict[str, LocalCell]]:
    """The cells of *windows* (ascending, of equal width), by start and origin; of each the *origins* named by start.

    Left out are cells that do not add up to what the window expects: some of
    their entries can no longer be read, or came meanwhile.
    """
    cells: dict[int, dict[str, LocalCell]] = {}
    for run in _runs(windows):
        wanted = {origin for window in run for origin in origins[window.start_ms]}
        stretch = {origin: LocalCell() for origin in wanted}
        span = (run[0].start_ms, run[-1].end_ms)
        for page in expectation.pages(collection, *span, wanted, is_stamped=is_stamped):
            stretch[page.origin].extend(page)
        stretch = {origin: cell.in_time() for origin, cell in stretch.items()}
        for window in run:
            cut = {o: stretch[o].cut(window.start_ms, window.end_ms) for o in origins[window.start_ms]}
            expected = {o: window.by_origin.get(o, Sums()) for o in cut}
            cells[window.start_ms] = {
                o: cell for o, cell in cut.items() if _adds_up(cell, expected[o], is_stamped=is_stamped)
            }
    return cells


def _adds_up(cell: LocalCell, expected: Sums, *, is_stamped: bool) -> bool:
    sums = cell.sums
    return sums.n == expected.n and (not is_stamped or (sums.h, sums.g) == (expected.h, expected.g))


def _runs(windows: Sequence[Window]) -> list[list[Window]]:
    """Windows that touch, as one stretch."""
    runs: list[list[Window]] = []
    for window in windows:
        if runs and runs[-1][-1].end_ms == window.start_ms:
            runs[-1].append(window)
        else:
            runs.append([window])
    return runs
