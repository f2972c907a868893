"""A verification as lines for a terminal: the maps, the windows that want a person, what is new, the cost, the result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from rich.text import Text

from keen_client.report.changes import change_lines
from keen_client.report.heat_map import GOOD, day_rows, draw, legend
from keen_client.report.look import Look
from keen_client.report.printable import counted, minute, printable, share, size, span
from keen_client.report.segment_rows import segment_lines
from keen_client.report.window_lines import OpenWindows
from keen_client.verify.presets import PRESETS
from keen_client.verify.report import VerifyReport, WindowReport
from keen_client.verify.verdict import EXIT_BITS, Verdict

_BIT_STATES: Final = {
    4: (Verdict.SHORT, Verdict.MIXED),
    8: (Verdict.EXCESS, Verdict.MIXED),
    16: (Verdict.CORRUPT, Verdict.DISPUTED),
    32: (Verdict.SETTLING, Verdict.INCOMPLETE, Verdict.UNVERIFIABLE),
    64: (Verdict.REPLAYED,),
}


def verification_lines(
    report: VerifyReport, title: str, look: Look | None = None, exit_status: int | None = None
) -> list[Text]:
    """The whole report. *title* says of which project; *exit_status*: see :func:`result_line`."""
    look = look or Look()
    settle_ms = PRESETS[report.preset].settle_ms if look.settle_ms is None else look.settle_ms
    lines = [
        Text(
            f"{printable(title)}   as of {minute(report.as_of_ms)}   preset {report.preset} (settle {span(settle_ms)})",
            style="bold",
        )
    ]
    opened = OpenWindows(report, look)
    for collection, windows in _by_collection(report.windows):
        lines += [Text(), _collection_line(collection, windows)]
        if look.by == "day":
            lines += draw(day_rows(windows), ascii_only=look.ascii_only, days_max=look.days_max)
        lines += opened.lines(windows)
    lines += segment_lines(report, look)
    if report.windows:
        lines += [Text(), legend(report.windows, ascii_only=look.ascii_only)]
    lines += opened.not_listed()
    lines += change_lines(report)
    if report.not_due and report.windows:
        lines.append(Text(f"{counted(report.not_due, 'window')} not due, and not asked for"))
    if report.not_due_differing:
        which = "differs" if report.not_due_differing == 1 else "differ"
        text = f"of those not due {counted(report.not_due_differing, 'window')} {which}, or waits to be seen after a replay"
        lines.append(Text(text, style="bold yellow"))
    if report.past_checking:
        windows_told = counted(report.past_checking, "old window")
        lines.append(
            Text(f"{windows_told} cannot be verified any more: `keen-client verify` of their days says why")
        )
    lines += [Text(f"warning: {printable(warning)}", style="bold yellow") for warning in report.warnings]
    if report.windows:
        lines += _audit_lines(report)
    lines.append(
        Text(
            f"cost {counted(report.cost.requests, 'request')}, {size(report.cost.bytes)} of answers,"
            f" {report.properties:,} properties scanned"
        )
    )
    lines.append(result_line(report, exit_status))
    return lines


def result_line(report: VerifyReport, exit_status: int | None = None) -> Text:
    """What it all comes to, with the bits of the exit status by name.

    *exit_status* is that of the command, where more than the windows goes into it.
    """
    status = report.exit_status() if exit_status is None else exit_status
    states = Counter(window.state for window in report.windows)
    whole, good = states.total(), sum(states[state] for state in GOOD)
    if report.is_unread:
        return Text(
            f"RESULT  NOT CHECKED: there is nothing to compare yet   exit {status}", style="bold yellow"
        )
    states[Verdict.INCOMPLETE] += len(report.unknown_collections)
    if good == whole and report.unknown_collections:
        matched = f"of the windows {good:,} match, but " if whole else ""
        unknown = ", ".join(map(printable, report.unknown_collections))
        return Text(
            f"RESULT  NOT CHECKED: {matched}nobody knows of a collection {unknown}"
            f"   exit {status} ({bit_names(states, status)})",
            style="bold yellow",
        )
    if good == whole and report.unreadable:
        matched = f"of the windows {good:,} match" if whole else _nothing(report)
        lost = counted(len(report.unreadable), "segment")
        return Text(
            f"RESULT  NOT CHECKED: {matched}, but {lost} of the log cannot be read"
            f"   exit {status} ({bit_names(states, status, has_unreadable=True)})",
            style="bold yellow",
        )
    if good == whole:
        text = f"everything matches: {counted(good, 'window')}" if whole else _nothing(report)
        if status == 0:
            return Text(f"RESULT  {text}   exit 0", style="bold green")
        names = bit_names(states, status)
        return Text(
            f"RESULT  {text}, but DELIVERY IS NOT DONE   exit {status} ({names})", style="bold yellow"
        )
    known = sum(len(window.seen_earlier) for window in report.windows)
    wrong = any(EXIT_BITS[state] & 28 for state in states)
    unchecked = states[Verdict.INCOMPLETE] + states[Verdict.UNVERIFIABLE]
    parts = [f"{good:,} of {whole:,} windows match ({share(good, whole)})"]
    if unchecked:
        parts.append(f"{unchecked:,} NOT CHECKED")
    if known:
        parts.append(f"{known:,} events WRONG when last seen")
    head = "MISMATCH" if wrong else "NOT CHECKED" if unchecked else "NOT SETTLED YET"
    return Text(
        f"RESULT  {head}: {', '.join(parts)}   exit {status}"
        f" ({bit_names(states, status, has_unreadable=bool(report.unreadable))})",
        style="bold red" if wrong or known else "bold yellow",
    )


def _nothing(report: VerifyReport) -> str:
    if report.not_due:
        waiting = "waits for its" if report.not_due == 1 else "wait for their"
        return f"nothing was due: {counted(report.not_due, 'window')} {waiting} time"
    return "nothing to compare: no events in these windows"


def bit_names(states: Mapping[Verdict, int], exit_status: int, *, has_unreadable: bool = False) -> str:
    """The bits of *exit_status* with the states that set them: ``4 short, 32 settling``."""
    named: list[str] = []
    for bit, candidates in _BIT_STATES.items():
        if exit_status & bit:
            present = [str(state) for state in candidates if states.get(state)]
            if has_unreadable and bit == EXIT_BITS[Verdict.UNVERIFIABLE]:
                present.append("unreadable segments")
            named.append(f"{bit} {' and '.join(present) or 'delivery'}")
    return ", ".join(named)


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


def _audit_lines(report: VerifyReport) -> Iterable[Text]:
    """What a match rests on, and as loud what it does not; of the collections of which anything was read."""
    read = {window.collection for window in report.windows if window.server_count is not None}
    audited = [audit for audit in report.audited if audit.collection in read]
    compared = [
        f"{printable(audit.collection)}: {', '.join(map(printable, names)) if names else 'none'}"
        for audit in audited
        for names in [[*audit.exact, *audit.rounded]]
    ]
    yield Text("amounts compared   " + ("; ".join(compared) if compared else "none"))
    left_out = [
        f"{printable(audit.collection)}: {', '.join(map(printable, names))} ({printable(reason)})"
        for audit in audited
        for reason in sorted({why for _, why in audit.left_out})
        for names in [[name for name, why in audit.left_out if why == reason]]
    ]
    if left_out:
        yield Text(f"amounts NOT COMPARED   {'; '.join(left_out)}", style="yellow")
