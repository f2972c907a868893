"""The windows that are no match, one line each: by how much, which events, since when, and when to look again."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from rich.text import Text

from keen_client._foundation.clock import MS_PER_MINUTE, ms_to_iso
from keen_client.events.identity import EntryId
from keen_client.report.heat_map import GLYPHS, GOOD
from keen_client.report.look import Look
from keen_client.report.printable import counted, minute, printable
from keen_client.verify.report import VerifyReport, WindowReport
from keen_client.verify.state import settles_at
from keen_client.verify.verdict import Verdict
from keen_client.verify.windows import WIDTHS_MS

#: Words of a reason that say no more than the lists beside it do.
TOLD_BY_LISTS: Final = frozenset(
    {
        "missing",
        "there more than once",
        "corrupt",
        "at another time",
        "from another window",
        "perhaps among the events that lost their stamps",
        "under whose id another event is found",
    }
)
_COUNTED: Final = re.compile(r"[0-9]+ (.+)")


class OpenWindows:
    """The lines of the windows of one report that are not good. Names at most ``list_max`` events in all."""

    def __init__(self, report: VerifyReport, look: Look) -> None:
        self._report = report
        self._look = look
        self._listed: set[tuple[str, EntryId]] = set()

    def lines(self, windows: Sequence[WindowReport]) -> list[Text]:
        """One line for each of *windows* that is not good, or for several of them with one reason and no ids."""
        alike: dict[tuple[object, ...], list[WindowReport]] = {}
        for window in windows:
            if window.state not in GOOD:
                alike.setdefault(_likeness(window), []).append(window)
        # What is wrong comes before what only takes time.
        groups = sorted(
            alike.values(), key=lambda group: group[0].state is Verdict.SETTLING and not group[0].named
        )
        most = self._look.windows_max
        lines = [self._line(group) for group in groups[:most]]
        hidden = [window for group in groups[most:] for window in group]
        if hidden:
            counts = Counter(window.state for window in hidden)
            told = ", ".join(f"{count:,} {_word(state)}" for state, count in counts.most_common())
            hint = "; --json lists them all" if self._look.has_hints else ""
            lines.append(Text(f"  and {counted(len(hidden), 'more window')}: {told}{hint}"))
        return lines

    def not_listed(self) -> Iterator[Text]:
        """After all lines: how many events in doubt none of them names, and how to list those."""
        doubted = {
            (window.collection, entry_id): window
            for window in self._report.windows
            for ids in window.named.values()
            for entry_id in ids
        }
        hidden = sorted(doubted.keys() - self._listed, key=lambda key: (doubted[key].start_ms, key))
        if not hidden:
            return
        told = f"NOT LISTED  {len(hidden):,} of {len(doubted):,} events in doubt"
        if self._look.has_hints:
            told += "   all: verify --ndjson   of one window:"
        yield Text(told, style="bold yellow")
        if self._look.has_hints:
            yield Text(f"  {_show_command(doubted[hidden[0]], self._report.preset)}")

    def _line(self, group: Sequence[WindowReport]) -> Text:
        first = group[0]
        glyph = GLYPHS[first.state]
        line = Text("  ")
        line.append(glyph.ascii if self._look.ascii_only else glyph.sign, style=glyph.style)
        line.append(f" {minute(first.start_ms)}")
        if len(group) > 1:
            line.append(f" to {minute(group[-1].end_ms)} ({len(group):,} windows)")
        elif first.local_count is not None and first.server_count is not None:
            line.append(f"  {first.server_count - first.local_count:+,}")
        line.append(f"  {_word(first.state)}", style=glyph.style)
        if first.was is not None and first.was is not first.state:
            line.append(f", was {first.was}")
        for text in self._lists(first):
            line.append(f"  {text}")
        reason = _reason(first)
        if reason:
            line.append(f"  ({printable(reason)})")
        if first.due_ms is not None and first.due_ms > self._report.as_of_ms + MS_PER_MINUTE:
            line.append(f"  next look {minute(first.due_ms)}")
        return line

    def _lists(self, window: WindowReport) -> Iterator[str]:
        """``missing 5: id id and 3 more``; what an earlier read had named stands apart, with its time."""
        for name, ids in window.named.items():
            told = name.replace("_", " ")
            now = [entry_id for entry_id in ids if entry_id not in window.seen_earlier]
            if now:
                yield f"{told} {len(now):,}: {self._some(window, now)}"
            earlier = [entry_id for entry_id in ids if entry_id in window.seen_earlier]
            for at_ms in sorted({window.seen_earlier[entry_id] for entry_id in earlier}):
                then = [entry_id for entry_id in earlier if window.seen_earlier[entry_id] == at_ms]
                yield f"{told} {len(then):,} (seen {minute(at_ms)}): {self._some(window, then)}"

    def _some(self, window: WindowReport, ids: Sequence[EntryId]) -> str:
        shown: list[str] = []
        for entry_id in ids:
            key = (window.collection, entry_id)
            if key not in self._listed and len(self._listed) >= self._look.list_max:
                break
            self._listed.add(key)
            shown.append(str(entry_id))
        if len(shown) == len(ids):
            return " ".join(shown)
        return f"{' '.join(shown)} and {len(ids) - len(shown):,} more" if shown else "not listed"


def _likeness(window: WindowReport) -> tuple[object, ...]:
    due = None if window.due_ms is None else minute(window.due_ms)
    start_ms = window.start_ms if window.named else None
    return (window.state, window.was, _reason(window), start_ms, due)


def _reason(window: WindowReport) -> str:
    """The reason, where it says more than the lists and the time of the next look do."""
    if window.due_ms is not None and window.reason == settles_at(window.due_ms):
        return ""
    if set(window.named) == {"missing"} and window.state is Verdict.SHORT:
        return ""
    parts = [_COUNTED.fullmatch(part) for part in window.reason.split(", ")]
    if window.named and all(part is not None and part[1] in TOLD_BY_LISTS for part in parts):
        return ""
    return window.reason


def _word(state: Verdict) -> str:
    if state in (Verdict.INCOMPLETE, Verdict.UNVERIFIABLE):
        return f"NOT CHECKED, {state}"
    return str(state)


def _show_command(window: WindowReport, preset: str) -> str:
    named = f"{window.collection}@{ms_to_iso(window.start_ms)[:19]}Z"
    command = f"keen-client verify --show {shlex.quote(printable(named))}"
    width = next((name for name, ms in WIDTHS_MS.items() if ms == window.end_ms - window.start_ms), "1h")
    if width != "1h":
        command += f" --window {width}"
    if preset != "standard":
        command += f" --preset {preset}"
    return command
