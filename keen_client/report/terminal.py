"""A verification as lines for a terminal: the map, the windows that want a person, the cost, the result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

import attrs
from rich.text import Text

from keen_client._foundation.clock import ms_to_iso
from keen_client.report.heat_map import GLYPHS, GOOD, day_rows, draw, legend
from keen_client.report.printable import printable, share, size, span
from keen_client.report.run import undo_lines
from keen_client.verify.presets import PRESETS
from keen_client.verify.report import Ids, VerifyReport, WindowReport
from keen_client.verify.verdict import EXIT_BITS, Verdict

#: Ids shown of one list; the JSON document has them all.
IDS_SHOWN: Final = 3
_BIT_STATES: Final = {
    4: (Verdict.SHORT, Verdict.MIXED),
    8: (Verdict.EXCESS, Verdict.MIXED),
    16: (Verdict.CORRUPT, Verdict.DISPUTED),
    32: (Verdict.SETTLING, Verdict.INCOMPLETE, Verdict.UNVERIFIABLE),
    64: (Verdict.REPLAYED,),
}


@attrs.frozen(kw_only=True)
class Look:
    """How much to show, and in which characters. ``settle_ms`` None: the preset's own."""

    ascii_only: bool = False
    days_max: int = 62
    windows_max: int = 20
    settle_ms: int | None = None


def verification_lines(report: VerifyReport, title: str, look: Look | None = None) -> list[Text]:
    """The whole report. *title* says of which project."""
    look = look or Look()
    settle_ms = PRESETS[report.preset].settle_ms if look.settle_ms is None else look.settle_ms
    lines = [
        Text(
            f"{printable(title)}   as of {_minute(report.as_of_ms)}   preset {report.preset} (settle {span(settle_ms)})",
            style="bold",
        )
    ]
    for collection, windows in _by_collection(report.windows):
        lines.append(Text())
        lines.append(_collection_line(collection, windows))
        lines.extend(draw(day_rows(windows), ascii_only=look.ascii_only, days_max=look.days_max))
        lines.extend(_open_lines(windows, look))
    if report.windows:
        lines += [Text(), legend(report.windows, ascii_only=look.ascii_only)]
    if report.not_due:
        lines.append(Text(f"{report.not_due:,} windows are not due and were not asked for"))
    lines.extend(Text(f"warning: {printable(warning)}", style="yellow") for warning in report.warnings)
    lines.append(_audit_line(report))
    lines.append(
        Text(
            f"cost {report.cost.requests:,} requests, {size(report.cost.bytes)} of answers,"
            f" {report.properties:,} properties scanned"
        )
    )
    lines.append(result_line(report.windows, report.exit_status()))
    return lines


def result_line(windows: Iterable[WindowReport], exit_status: int) -> Text:
    """What it all comes to, with the bits of the exit status by name."""
    states = Counter(window.state for window in windows)
    whole = states.total()
    good = sum(states[state] for state in GOOD)
    if exit_status == 0:
        text = (
            f"everything matches: {good:,} windows"
            if whole
            else "nothing to compare: no events in these windows"
        )
        return Text(f"RESULT  {text}   exit 0", style="bold green")
    wrong = any(EXIT_BITS[state] & 28 for state in states)
    unchecked = states[Verdict.INCOMPLETE] + states[Verdict.UNVERIFIABLE]
    parts = [f"{good:,} of {whole:,} windows match ({share(good, whole)})"]
    if unchecked:
        parts.append(f"{unchecked:,} NOT CHECKED")
    head = "MISMATCH" if wrong else "NOT CHECKED" if unchecked else "NOT SETTLED YET"
    return Text(
        f"RESULT  {head}: {', '.join(parts)}   exit {exit_status} ({bit_names(states, exit_status)})",
        style="bold red" if wrong else "bold yellow",
    )


def bit_names(states: Mapping[Verdict, int], exit_status: int) -> str:
    """The bits of *exit_status* with the states that set them: ``4 short, 32 settling``."""
    named: list[str] = []
    for bit, candidates in _BIT_STATES.items():
        if exit_status & bit:
            present = [str(state) for state in candidates if states.get(state)]
            named.append(f"{bit} {' and '.join(present) or 'delivery'}")
    return ", ".join(named)


def plan_lines(document: Mapping[str, Any]) -> list[Text]:
    """What a replay did or would do; *document* is that of ``replay --json``."""
    planned = int(document["planned"])
    if document["dry_run"]:
        lines = [Text(f"PLAN  {planned:,} events would be resent", style="bold")]
        if planned:
            ids = [str(event["id"]) for event in document["events"]]
            lines.append(Text(f"  {_some(ids)}"))
            lines.append(Text("  nothing was sent; add --yes to resend them"))
        return lines
    if document["stopped"]:
        return [
            Text(f"STOPPED  nothing was resent: {printable(document['stopped'])}", style="bold red"),
            Text(f"  {planned:,} events wait; --max-replay {planned} lets them go"),
        ]
    lines = [Text(f"REPLAYED  {document['replayed']:,} of {planned:,} events", style="bold")]
    if document["run"] is not None:
        lines[0].append(f" in run {document['run']}")
    if document["found"]:
        lines.append(Text(f"  {len(document['found']):,} turned out to be there: {_some(document['found'])}"))
    if document["unsettled"]:
        lines.append(
            Text(f"  {document['unsettled']:,} are with the sender and not answered yet", style="yellow")
        )
    return [*lines, *undo_lines(document.get("undo") or ())]


def _by_collection(windows: Sequence[WindowReport]) -> list[tuple[str, list[WindowReport]]]:
    by_name: dict[str, list[WindowReport]] = {}
    for window in windows:
        by_name.setdefault(window.collection, []).append(window)
    return sorted(by_name.items())


def _collection_line(collection: str, windows: Sequence[WindowReport]) -> Text:
    local = _total(window.local_count for window in windows)
    server = _total(window.server_count for window in windows)
    foreign = _total(window.foreign for window in windows)
    return Text(
        f"collection {printable(collection)}   windows {len(windows):,}   local {local}   server {server}   foreign {foreign}",
        style="bold",
    )


def _total(counts: Iterable[int | None]) -> str:
    """The sum of the counts that were obtained; ``?`` beside it when some were not."""
    counts = list(counts)
    known = [count for count in counts if count is not None]
    if not known:
        return "?"
    return f"{sum(known):,}" + ("" if len(known) == len(counts) else " + ?")


def _open_lines(windows: Sequence[WindowReport], look: Look) -> list[Text]:
    """One line for each window that is not good, or for a stretch of them that have one reason and no ids."""
    shown = [window for window in windows if window.state not in GOOD]
    stretches = [list(group) for _, group in groupby(shown, key=_likeness)]
    # What is wrong comes before what only takes time.
    stretches.sort(key=lambda stretch: stretch[0].state is Verdict.SETTLING)
    lines = [_stretch_line(stretch, ascii_only=look.ascii_only) for stretch in stretches[: look.windows_max]]
    hidden = [window for stretch in stretches[look.windows_max :] for window in stretch]
    if hidden:
        counts = Counter(window.state for window in hidden)
        told = ", ".join(f"{count:,} {state}" for state, count in counts.most_common())
        lines.append(Text(f"  and {len(hidden):,} more windows: {told}; --json lists them all"))
    return lines


def _likeness(window: WindowReport) -> tuple[object, ...]:
    ids = (
        window.missing,
        window.duplicate,
        window.corrupt,
        window.shifted,
        window.disputed,
        window.collision,
    )
    return (window.state, window.reason, window.start_ms if any(ids) else None, window.due_ms)


def _stretch_line(stretch: Sequence[WindowReport], *, ascii_only: bool) -> Text:
    first = stretch[0]
    glyph = GLYPHS[first.state]
    line = Text("  ")
    line.append(glyph.ascii if ascii_only else glyph.sign, style=glyph.style)
    line.append(f" {_minute(first.start_ms)}")
    if len(stretch) > 1:
        line.append(f" to {_minute(stretch[-1].end_ms)} ({len(stretch):,} windows)")
    elif first.local_count is not None and first.server_count is not None:
        line.append(f"  {first.server_count - first.local_count:+,}")
    line.append(f"  {_state_word(first.state)}", style=glyph.style)
    for name in ("missing", "duplicate", "corrupt", "shifted", "disputed", "collision", "vanished"):
        ids: Ids = getattr(first, name)
        if ids:
            line.append(f"  {name} {len(ids):,}: {_some([str(entry_id) for entry_id in ids])}")
    if first.reason and not (first.missing and first.state is Verdict.SHORT):
        line.append(f"  ({printable(first.reason)})")
    if first.due_ms is not None:
        line.append(f"  next look {_minute(first.due_ms)}")
    return line


def _state_word(state: Verdict) -> str:
    if state in (Verdict.INCOMPLETE, Verdict.UNVERIFIABLE):
        return f"NOT CHECKED, {state}"
    return str(state)


def _audit_line(report: VerifyReport) -> Text:
    """What a match rests on."""
    told = []
    for audit in report.audited:
        names = [*audit.exact, *audit.rounded]
        told.append(
            f"{printable(audit.collection)}: {', '.join(printable(n) for n in names) if names else 'none'}"
        )
    return Text("amounts compared   " + ("; ".join(told) if told else "none"), style="dim")


def _some(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - IDS_SHOWN:,} more" if len(ids) > IDS_SHOWN else ""
    return " ".join(printable(text) for text in ids[:IDS_SHOWN]) + more


def _minute(ms: int) -> str:
    return f"{ms_to_iso(ms)[:16]}Z"
