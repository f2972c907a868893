"""By segment: a row for each file of the log, so that one sees whose recording is affected, and of which day."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich.text import Text

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR
from keen_client.report.heat_map import GOOD, HOURS, row_of, style_of, words, worse
from keen_client.report.look import Look
from keen_client.report.printable import minute, printable, span
from keen_client.verify.report import NAMED, Segment, VerifyReport
from keen_client.verify.verdict import EXIT_BITS, Verdict

#: What a column may stand for: the first with which all columns suffice.
_COLUMNS_MS: Final = (
    *(hours * MS_PER_HOUR for hours in (1, 2, 3, 4, 6, 8, 12)),
    *(days * MS_PER_DAY for days in (1, 2, 3, 5, 7, 14, 28, 56)),
)
#: Bits of states in which something is wrong, and not merely open.
_WRONG: Final = 4 | 8 | 16


def segment_lines(report: VerifyReport, look: Look) -> list[Text]:
    """All segments where *look* asks for them, else those in which something is wrong; none where nothing is."""
    if not report.segments:
        return []
    wrong = [segment for segment in report.segments if segment.named or _bits(segment) & _WRONG]
    if look.by == "origin":
        shown: Sequence[Segment] = report.segments
    elif wrong:
        shown = wrong[: look.segments_max]
    else:
        return []
    start_ms, column_ms = _columns(report)
    cells = _cells(report, start_ms, column_ms)
    lines = [
        Text(),
        Text(
            f"by segment, named by its day of recording   a column: {span(column_ms)}, from {minute(start_ms)}",
            style="bold",
        ),
    ]
    for segment in shown:
        lines.append(_row(segment, cells[segment.origin], ascii_only=look.ascii_only))
        lines.append(_figures(segment))
    if look.by != "origin":
        if len(wrong) > len(shown):
            more = len(wrong) - len(shown)
            lines.append(
                Text(f"  and {more:,} more segments in which something is wrong; --by origin shows them")
            )
        rest = [segment for segment in report.segments if segment not in wrong]
        lines += _of_the_rest(sum(map(_is_good, rest)), len(rest))
    return lines


def _of_the_rest(good: int, whole: int) -> Iterator[Text]:
    """Of the segments in which nothing was found wrong: how many were read, and how many were not."""
    if whole == 0:
        yield Text("  something is wrong in every segment that has events here")
    if good:
        yield Text(f"  nothing is wrong in what {good:,} other {_have(good)} here")
    if whole > good:
        yield Text(
            f"  what {whole - good:,} other {_have(whole - good)} here is not checked or not settled",
            style="bold yellow",
        )


def _have(count: int) -> str:
    return "segment has" if count == 1 else "segments have"


def _is_good(segment: Segment) -> bool:
    return set(segment.windows) <= GOOD


def _bits(segment: Segment) -> int:
    bits = 0
    for state in segment.windows:
        bits |= EXIT_BITS[state]
    return bits


def _columns(report: VerifyReport) -> tuple[int, int]:
    """Where the first column starts, and how long each one is."""
    first_ms = min((window.start_ms for window in report.windows), default=0)
    last_ms = max((window.end_ms for window in report.windows), default=0)
    for column_ms in _COLUMNS_MS:
        start_ms = first_ms - first_ms % column_ms
        if last_ms - start_ms <= HOURS * column_ms:
            return start_ms, column_ms
    days = -(-(last_ms - first_ms) // (HOURS * MS_PER_DAY)) + 1
    return first_ms - first_ms % MS_PER_DAY, days * MS_PER_DAY


def _cells(report: VerifyReport, start_ms: int, column_ms: int) -> dict[str, list[Verdict | None]]:
    cells: dict[str, list[Verdict | None]] = {s.origin: [None] * HOURS for s in report.segments}
    for window in report.windows:
        first = (window.start_ms - start_ms) // column_ms
        last = (window.end_ms - 1 - start_ms) // column_ms
        for share in window.shares:
            row = cells[share.origin]
            for column in range(first, last + 1):
                row[column] = worse(row[column], share.state)
    return cells


def _row(segment: Segment, cells: Sequence[Verdict | None], *, ascii_only: bool) -> Text:
    line = Text(f"{segment.name}  ")
    line.append_text(row_of(cells, ascii_only=ascii_only))
    if segment.windows:
        good = sum(count for state, count in segment.windows.items() if state in GOOD)
        whole = sum(segment.windows.values())
        told = words(segment.windows) if good == whole else f"{good:,} of {whole:,} windows match"
        line.append("  ")
        line.append(told, style=style_of(segment.windows))
    return line


def _figures(segment: Segment) -> Text:
    shown = "?" if segment.server_count is None else f"{segment.server_count:,}"
    line = Text(f"    local {segment.local_count:,}   server {shown}")
    for name in NAMED:
        if segment.named.get(name):
            line.append(f"   {name.replace('_', ' ')} {segment.named[name]:,}")
    if segment.first_ms is not None and segment.last_ms is not None:
        line.append(printable(f"   from {minute(segment.first_ms)} to {minute(segment.last_ms)}"))
    return line
