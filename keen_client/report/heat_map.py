"""The heat map: a row for each day, a column for each hour, a glyph for the state of what lies there.

A window that could not be checked has a glyph as loud as one that is wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import attrs
from rich.text import Text

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR, ms_to_day
from keen_client.verify.report import WindowReport
from keen_client.verify.verdict import Verdict

HOURS: Final = 24
#: Beyond so many days, stretches of days that match are told in one line.
DAYS_UNFOLDED_MAX: Final = 14
#: Stretches shorter than this are not folded.
_FOLD_MIN: Final = 3
#: Cells stand in groups of so many.
GROUP: Final = 6
_RULER: Final = "00     06     12     18     24 UTC"


@attrs.frozen
class Glyph:
    """How a state looks, with a stand-in where the terminal has no such character."""

    sign: str
    ascii: str
    style: str
    meaning: str


_MATCH: Final = Glyph("■", "#", "green", "match or final")
_WRONG: Final = Glyph("\N{MULTIPLICATION SIGN}", "x", "bold red", "corrupt or disputed")
_OPEN: Final = Glyph("?", "?", "bold yellow", "not checked")

GLYPHS: Final = MappingProxyType(
    {
        Verdict.MATCH: _MATCH,
        Verdict.FINAL: _MATCH,
        Verdict.REPLAYED: Glyph("□", "o", "cyan", "replayed, not confirmed"),
        Verdict.SETTLING: Glyph("·", ".", "blue", "settling"),
        Verdict.INCOMPLETE: _OPEN,
        Verdict.UNVERIFIABLE: _OPEN,
        Verdict.EXCESS: Glyph("▲", "^", "bold magenta", "excess"),
        Verdict.SHORT: Glyph("▼", "v", "bold red", "short"),
        Verdict.MIXED: Glyph("◆", "*", "bold red", "short and excess"),
        Verdict.DISPUTED: _WRONG,
        Verdict.CORRUPT: _WRONG,
    }
)
#: Where several windows share a cell the last of these among them is shown.
_SEVERITY: Final = MappingProxyType({state: rank for rank, state in enumerate(GLYPHS)})
GOOD: Final = frozenset({Verdict.MATCH, Verdict.FINAL})


@attrs.frozen
class DayRow:
    """One day of one collection: the worst state of each hour (None: no events), and the counts of its windows."""

    day_ms: int
    cells: tuple[Verdict | None, ...]
    counts: Counter[Verdict]

    @property
    def is_good(self) -> bool:
        """Whether every window of the day matches."""
        return set(self.counts) <= GOOD


def day_rows(windows: Iterable[WindowReport]) -> list[DayRow]:
    """The rows of one collection's windows, by day (UTC); days without windows are left out."""
    cells: dict[int, list[Verdict | None]] = {}
    counts: dict[int, Counter[Verdict]] = {}
    for window in windows:
        day_ms = window.start_ms - window.start_ms % MS_PER_DAY
        row = cells.setdefault(day_ms, [None] * HOURS)
        counts.setdefault(day_ms, Counter())[window.state] += 1
        first = (window.start_ms - day_ms) // MS_PER_HOUR
        last = min(HOURS - 1, (window.end_ms - 1 - day_ms) // MS_PER_HOUR)
        for hour in range(first, last + 1):
            row[hour] = worse(row[hour], window.state)
    return [DayRow(day_ms, tuple(cells[day_ms]), counts[day_ms]) for day_ms in sorted(cells)]


def draw(rows: Sequence[DayRow], *, ascii_only: bool = False, days_max: int = 62) -> list[Text]:
    """The map as lines, the ruler first.

    When there are many days, stretches that match are folded; of what is still
    over *days_max* lines the latest are drawn and the others counted.
    """
    if not rows:
        return []
    stretches = _folded(rows) if len(rows) > DAYS_UNFOLDED_MAX else [[row] for row in rows]
    lines = [Text(f"{'':12}{_RULER}", style="dim")]
    if len(stretches) > days_max:
        hidden = [row for stretch in stretches[:-days_max] for row in stretch]
        lines.append(Text(f"{len(hidden)} earlier days: {words(_sum(hidden))}", style=_style(hidden)))
        stretches = stretches[-days_max:]
    for stretch in stretches:
        if len(stretch) == 1:
            lines.append(_line(stretch[0], ascii_only=ascii_only))
        else:
            first, last = ms_to_day(stretch[0].day_ms), ms_to_day(stretch[-1].day_ms)
            lines.append(
                Text(f"{first} to {last}: {len(stretch)} days, {words(_sum(stretch))}", style="green")
            )
    return lines


def legend(windows: Iterable[WindowReport], *, ascii_only: bool = False) -> Text:
    """The glyphs that occur, with their meaning."""
    present = {GLYPHS[window.state] for window in windows}
    line = Text()
    for glyph in dict.fromkeys(GLYPHS.values()):
        if glyph in present:
            line.append("  " if line else "")
            line.append(glyph.ascii if ascii_only else glyph.sign, style=glyph.style)
            line.append(f" {glyph.meaning}")
    return line


def words(counts: Mapping[Verdict, int]) -> str:
    """What a stretch holds: ``final``, ``match``, or the count of each state that is neither."""
    if set(counts) == {Verdict.FINAL}:
        return "final"
    if set(counts) <= GOOD:
        return "match"
    return ", ".join(
        f"{counts[state]:,} {state}" for state in reversed(GLYPHS) if counts.get(state) and state not in GOOD
    )


def row_of(cells: Sequence[Verdict | None], *, ascii_only: bool = False) -> Text:
    """The glyphs of *cells*, in groups; None stays blank."""
    line = Text()
    for number, cell in enumerate(cells):
        if number and number % GROUP == 0:
            line.append(" ")
        if cell is None:
            line.append(" ")
        else:
            glyph = GLYPHS[cell]
            line.append(glyph.ascii if ascii_only else glyph.sign, style=glyph.style)
    return line


def worse(one: Verdict | None, other: Verdict) -> Verdict:
    """Of two states the one to be shown where there is room for one."""
    return other if one is None else max(one, other, key=_SEVERITY.__getitem__)


def style_of(states: Iterable[Verdict]) -> str:
    """The style of the worst of *states*."""
    return GLYPHS[max(states, key=_SEVERITY.__getitem__)].style


def _line(row: DayRow, *, ascii_only: bool) -> Text:
    line = Text(f"{ms_to_day(row.day_ms)}  ")
    line.append_text(row_of(row.cells, ascii_only=ascii_only))
    line.append("  ")
    line.append(words(row.counts), style=_style([row]))
    return line


def _folded(rows: Sequence[DayRow]) -> list[list[DayRow]]:
    stretches: list[list[DayRow]] = []
    for row in rows:
        last = stretches[-1] if stretches else None
        if last and row.is_good and last[-1].is_good and last[-1].day_ms + MS_PER_DAY == row.day_ms:
            last.append(row)
        else:
            stretches.append([row])
    return [
        part
        for stretch in stretches
        for part in ([stretch] if len(stretch) >= _FOLD_MIN else [[r] for r in stretch])
    ]


def _sum(rows: Iterable[DayRow]) -> Counter[Verdict]:
    return sum((row.counts for row in rows), Counter[Verdict]())


def _style(rows: Sequence[DayRow]) -> str:
    return style_of(state for row in rows for state in row.counts)
