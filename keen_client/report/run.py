"""A replay run as lines for a terminal, and how it could be undone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import orjson
from rich.text import Text

from keen_client.report.printable import printable

#: Ids shown of one list of a plan.
IDS_SHOWN: Final = 10
#: Events listed; the JSON document has them all.
EVENTS_SHOWN: Final = 200
#: Deletions printed in full.
_DELETIONS_SHOWN: Final = 10


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
    if not planned:
        return [Text("REPLAYED  nothing: no event is proven missing", style="bold")]
    lines = [Text(f"REPLAYED  {document['replayed']:,} of {planned:,} events", style="bold")]
    if document["run"] is not None:
        lines[0].append(f" in run {document['run']}")
    if document["found"]:
        lines.append(Text(f"  {len(document['found']):,} turned out to be there: {_some(document['found'])}"))
    if document["unsettled"]:
        lines.append(
            Text(f"  {document['unsettled']:,} are with the sender and not answered yet", style="yellow")
        )
    undo = document.get("undo") or ()
    if undo:
        count = sum(int(deletion["events"]) for deletion in undo)
        lines.append(
            Text(
                f"  UNDO  {count:,} copies could be deleted, by hand; keen-client replay --show-run"
                f" {document['run']} prints how"
            )
        )
    return lines


def run_lines(document: Mapping[str, Any]) -> list[Text]:
    """A stored run; *document* is that of ``replay --show-run --json``."""
    scope = document["scope"]
    collections = ", ".join(map(str, scope.get("collections") or ())) or "all collections"
    lines = [
        Text(f"RUN {document['run']}  preset {document['preset']}, made {document['made']}", style="bold"),
        Text(
            f"  done {document['done']}"
            if document["done"]
            else "  it did not end; the sender goes on with it until another job begins"
        ),
        Text(f"  windows {scope.get('start')} to {scope.get('end')}, {printable(collections)}"),
    ]
    if document["stopped"]:
        lines.append(Text(f"  stopped: {printable(document['stopped'])}", style="bold red"))
    events = document["events"]
    states = Counter(str(event["state"]) for event in events)
    told = ", ".join(f"{count:,} {state}" for state, count in states.most_common())
    lines.append(Text(f"  {len(events):,} events: {told or 'none'}"))
    lines.extend(
        Text(
            f"    {event['id']}  {printable(event['collection'])}  {event['timestamp']}"
            f"  token tier {event['tier']}  attempt {event['attempt']}  {event['state']}"
        )
        for event in events[:EVENTS_SHOWN]
    )
    if len(events) > EVENTS_SHOWN:
        lines.append(Text(f"    and {len(events) - EVENTS_SHOWN:,} more; --json lists them all"))
    return [*lines, *undo_lines(document["undo"])]


def undo_lines(undo: Sequence[Mapping[str, Any]]) -> Iterable[Text]:
    """How a run could be undone, by hand; nothing is deleted by this program."""
    if not undo:
        return
    count = sum(int(deletion["events"]) for deletion in undo)
    yield Text(
        f"  UNDO  {count:,} copies could be deleted, by hand and with the master key; nothing here does it."
    )
    yield Text("    A deletion without these filters takes the whole collection. Count with them first:")
    for deletion in undo[:_DELETIONS_SHOWN]:
        yield Text(
            f"    {printable(deletion['collection'])}: filters={printable(orjson.dumps(deletion['filters']).decode())}"
        )
    if len(undo) > _DELETIONS_SHOWN:
        yield Text(f"    and {len(undo) - _DELETIONS_SHOWN:,} more deletions; --json lists them all")


def _some(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - IDS_SHOWN:,} more; --json lists them all" if len(ids) > IDS_SHOWN else ""
    return " ".join(printable(text) for text in ids[:IDS_SHOWN]) + more
