"""One window in depth, as lines for a terminal: its reads, its minutes, and the events that are out of the ordinary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from rich.text import Text

from keen_client.report.printable import printable

#: Events listed; the JSON document has them all.
EVENTS_SHOWN: Final = 500
#: The latest reads listed.
_READS_SHOWN: Final = 10
_BAR_MAX: Final = 40


def drill_down_lines(document: Mapping[str, Any], *, ascii_only: bool = False) -> Iterator[Text]:
    """*document* is that of ``verify --show --json``."""
    state = document["state"] or "nothing is expected"
    yield Text(
        f"{printable(document['collection'])}  {document['start']} to {document['end']}  {state}",
        style="bold",
    )
    if document["reason"]:
        yield Text(f"  {printable(document['reason'])}")
    if document["due"]:
        yield Text(f"  next look {document['due']}")
    reads = document["observations"]
    yield Text(f"reads {len(reads):,}" if reads else "NOT READ YET", style="" if reads else "bold yellow")
    if len(reads) > _READS_SHOWN:
        yield Text(f"  {len(reads) - _READS_SHOWN:,} earlier ones")
    for read in reads[-_READS_SHOWN:]:
        reason = f"  ({printable(read['reason'])})" if read["reason"] else ""
        yield Text(
            f"  {read['at']}  {read['verdict']}  expected {read['expected']:,}  shown {read['counted']:,}{reason}"
        )
    yield from _minute_lines(document["minutes"], ascii_only=ascii_only)


def _minute_lines(minutes: list[Mapping[str, Any]], *, ascii_only: bool) -> Iterator[Text]:
    most = max((int(minute["events"]) for minute in minutes), default=1)
    left = EVENTS_SHOWN
    for minute in minutes:
        events, ids = int(minute["events"]), minute["ids"]
        bar = ("#" if ascii_only else "■") * max(1, events * _BAR_MAX // most)
        yield Text(
            f"{minute['start'][11:16]}  {events:>7,}  {bar}"
            + (f"  {len(ids):,} with evidence" if ids else ""),
            style="bold red" if ids else "",
        )
        for event in ids[: max(0, left)]:
            yield from _event_lines(event)
        left -= len(ids)
    if left < 0:
        yield Text(f"and {-left:,} more events with evidence; --json lists them all")


def _event_lines(event: Mapping[str, Any]) -> Iterator[Text]:
    attempt = "never sent" if event["attempt"] is None else f"attempt {event['attempt']}"
    last = f" at {event['last_attempt']}" if event["last_attempt"] else ""
    run = f", run {event['run']}" if event["run"] else ""
    unsure = ", an attempt's outcome is not known" if event["unsure"] else ""
    yield Text(f"    {event['id']}  {event['timestamp']}  {event['delivery']}: {attempt}{last}{run}{unsure}")
    for shown in event["evidence"]:
        copies = f", {shown['copies']} copies" if (shown["copies"] or 0) > 1 else ""
        yield Text(
            f"        {shown['kind']}: first {shown['first']}, last {shown['last']}, in {shown['reads']} reads{copies}"
        )
