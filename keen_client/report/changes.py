"""What is new: windows whose state is another than when they were last read. What is as it was is not told again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich.text import Text

from keen_client.report.heat_map import GLYPHS
from keen_client.report.printable import minute, printable
from keen_client.verify.report import VerifyReport, WindowReport
from keen_client.verify.verdict import Verdict

#: Windows named of one kind of change.
_WINDOWS_NAMED: Final = 2


def change_lines(report: VerifyReport) -> Iterator[Text]:
    """One line for each kind of change, the worst first; one line where there is none."""
    if not report.windows:
        return
    changed: dict[tuple[Verdict, Verdict], list[WindowReport]] = {}
    for window in report.windows:
        if window.was is not None and window.was is not window.state:
            changed.setdefault((window.state, window.was), []).append(window)
    fresh = sum(window.was is None for window in report.windows)
    head = "changed since each window was last read"
    first = f"   {fresh:,} were never read before" if fresh else ""
    if not changed:
        yield Text(f"{head}: {'nothing' if fresh < len(report.windows) else 'all is new'}{first}")
        return
    yield Text(f"{head}:{first}")
    ranks = list(GLYPHS)
    for (now, was), windows in sorted(
        changed.items(), key=lambda change: [-ranks.index(state) for state in change[0]]
    ):
        line = Text("  ")
        line.append(f"now {now} {len(windows):,}", style=GLYPHS[now].style)
        line.append(f" (was {was}): ")
        line.append(
            ", ".join(f"{printable(w.collection)} {minute(w.start_ms)}" for w in windows[:_WINDOWS_NAMED])
        )
        if len(windows) > _WINDOWS_NAMED:
            line.append(f" and {len(windows) - _WINDOWS_NAMED:,} more")
        yield line
