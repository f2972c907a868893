"""Local cells: the stamps of what a window should hold, a few bytes an event, for windows that differ."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence

import attrs

from keen_client._foundation.clock import MS_PER_MINUTE
from keen_client.eventlog.expectation import Expectation, Window
from keen_client.eventlog.fold import Sums
from keen_client.verify.signature import Stamps


def _numbers() -> array[int]:
    return array("Q")


@attrs.define(slots=True)
class LocalCell:
    """The expected events of one origin in one window, by seq: columns of equal length.

    ``minutes`` count from the start of the window that was loaded, also in a cell that was cut from it.
    """

    seqs: array[int] = attrs.Factory(_numbers)
    minutes: array[int] = attrs.Factory(_numbers)
    h: array[int] = attrs.Factory(_numbers)
    g: array[int] = attrs.Factory(_numbers)

    def __len__(self) -> int:
        """How many events there are."""
        return len(self.seqs)

    @property
    def stamps(self) -> Stamps:
        """What signatures are searched among."""
        return Stamps(self.h, self.g)

    @property
    def sums(self) -> Sums:
        """Count and hash totals."""
        return Sums(len(self.seqs), sum(self.h), sum(self.g))

    def cut(self, minutes: int) -> dict[int, LocalCell]:
        """In pieces of so many minutes, by their number."""
        pieces: dict[int, LocalCell] = {}
        for seq, minute, h, g in zip(self.seqs, self.minutes, self.h, self.g, strict=True):
            number = minute // minutes
            piece = pieces.get(number)
            if piece is None:
                piece = pieces[number] = LocalCell()
            piece.seqs.append(seq)
            piece.minutes.append(minute)
            piece.h.append(h)
            piece.g.append(g)
        return pieces


def load_cells(
    expectation: Expectation, collection: str, windows: Sequence[Window], origins: Mapping[int, Iterable[str]]
) -> dict[int, dict[str, LocalCell]]:
    """The cells of *windows* (ascending, of equal width), by start and origin; of each the *origins* named by start.

    Left out are cells that do not add up to what the window expects: some of
    their entries can no longer be read, or came meanwhile.
    """
    cells = {
        window.start_ms: {origin: LocalCell() for origin in origins[window.start_ms]} for window in windows
    }
    for start_ms, end_ms in _runs(windows):
        width = windows[0].end_ms - windows[0].start_ms
        for origin, seq, timestamp_ms, (h, g) in expectation.stamps(collection, start_ms, end_ms):
            offset = (timestamp_ms - start_ms) % width
            start = timestamp_ms - offset
            cell = cells[start].get(origin)
            if cell is None:
                continue
            cell.seqs.append(seq)
            cell.minutes.append(offset // MS_PER_MINUTE)
            cell.h.append(h)
            cell.g.append(g)
    for window in windows:
        mine = cells[window.start_ms]
        for origin in list(mine):
            sums, expected = mine[origin].sums, window.by_origin.get(origin, Sums())
            if (sums.n, sums.h, sums.g) != (expected.n, expected.h, expected.g):
                del mine[origin]
    return cells


def _runs(windows: Sequence[Window]) -> list[tuple[int, int]]:
    """Windows that touch, as one stretch."""
    runs: list[tuple[int, int]] = []
    for window in windows:
        if runs and runs[-1][1] == window.start_ms:
            runs[-1] = (runs[-1][0], window.end_ms)
        else:
            runs.append((window.start_ms, window.end_ms))
    return runs
