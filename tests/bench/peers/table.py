"""The table: a column a peer, a line a figure, ranges over the rounds; and its place on the page. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from tests.bench.peers.scenarios import SCENARIOS, Figure, Outcome, Scenario

TITLE: Final = "## Beside other clients"

#: Peer -> how it is called in the table.
NAMES: Final[Mapping[str, str]] = {
    "keen_client": "**keen_client**",
    "keen": "keen",
    "segment": "segment",
    "posthog": "posthog",
    "snowplow": "snowplow",
    "mixpanel": "mixpanel",
    "amplitude": "amplitude",
    "rudder": "rudder",
    "sentry": "sentry",
    "otel": "otel logs",
}

_HEAD: Final = """\
What becomes of the events when things go wrong, for this client and for the other Python SDKs that send events: the same
scenarios, by one runner, against one server on loopback that speaks each protocol and counts different events and their
copies. Every run is a fresh process, with a fresh directory and a fresh server; the rows about kills, ends and bursts were run
one at a time, the others, which mostly wait, several at once.

Each client is used as its manual shows, with its default settings but for the server's address. Where two figures stand,
they are the least and the most of the rounds. A figure that hangs on the moment of a kill would be another one on another
day; what says something is whether it is always all.
"""

_NOTES: Final = """\
What the lines mean, and what they do not:

- *Started again* is the same program without events of its own: it makes its client, flushes and closes. Only a client that
  keeps events on disk can have any left to send.
- **keen_client** has its defaults, durability `full` among them, and a log whose server was probed for uniqueness tokens, as
  the first nightly job does by itself. Before that, events without a usable answer wait for a query instead of being
  resent: see [Delivery guarantees](delivery_guarantees.md#unknown). Each of its calls waits for a sync of the disk, which the
  calls of the others do not: that is the price of the lines about kills, and on a disk that others write to it shows.
- **keen** 0.7.0 has no buffer: `add_event` makes one request and returns with its answer, so each call takes as long as the
  server and raises when it is out of order. What arrived had arrived by then, and what raised is the caller's to keep.
- **mixpanel** is its `BufferedConsumer`; its default consumer makes a request in each call, as keen does. Its manual asks for
  a flush before the program ends. **snowplow** is its `AsyncEmitter`, **sentry** is `capture_message`, which is made for errors
  and not for events, and **otel** a `BatchLogRecordProcessor` with the OTLP exporter over HTTP; they stand here because events
  are sent with them.
- A script that *ends without flush* does what several of these manuals ask not to do. It stands here because programs do.
- An *outage* begins with the first event that reaches the server, so that every client meets the whole of it. Afterwards the
  program is given time (60 s in all for 8 s, 75 s for 20 s), and is then told to flush and close: what that sent has arrived too.
- *Refuses one*: the server says so in the way that the protocol has for it: per event in Keen's, by index in Amplitude's, as a
  partial success in OTLP, else by a 400 for the request. Sentry sends each event in a request of its own. *Can be asked for*:
  whether the program can find out afterwards which event it was; a callback or a log line in passing does not count.
- *No JSON*: 20 arrived means that the client sent the event without that property, or with its text in place of it.
- *Burst*: who has not ended 60 s after the last call is ended by the runner, with what it still holds.
  *Used the network* is counted where sockets are used: whether a thread read, wrote or connected in the middle of a call.
- *Sent again* counts what the server received a second time. Under the same id a server can tell; Keen keeps the first of
  two events with one token, and the server of these runs does so too. Whether the others' servers drop copies by their ids
  is not measured here. Nothing sent again means that the events without an answer were given up: rightly here, where the
  server had taken them.
"""


def section(outcomes: Sequence[Outcome], versions: Mapping[str, str], machine: str, day: str) -> str:
    """The section of the page."""
    peers = [peer for peer in NAMES if any(outcome.peer == peer for outcome in outcomes)]
    lines = [
        TITLE,
        "",
        _HEAD,
        f"| | {' | '.join(NAMES[peer] for peer in peers)} |",
        f"| --- |{' ---: |' * len(peers)}",
        f"| version | {' | '.join(versions.get(peer, '?') for peer in peers)} |",
    ]
    measured = [s for s in SCENARIOS if any(outcome.scenario == s.key for outcome in outcomes)]
    for scenario in measured:
        lines.append(f"| **{scenario.title}** |{' |' * len(peers)}")
        for figure in scenario.figures:
            cells = [_cell(figure, _of(outcomes, scenario, peer)) for peer in peers]
            lines.append(f"| {figure.title} | {' | '.join(cells)} |")
    written = (
        f"Written by `python -m tests.bench.peers run` on {day}, {_rounds(outcomes)}, after"
        f" `python -m tests.bench.peers install`. Machine: {machine}; other work ran beside it."
    )
    lines += ["", _NOTES, _copies(outcomes, peers), "", written, ""]
    lines += [
        "Each row of keen_client is a test of the default suite too:",
        "",
        "| row | test |",
        "| --- | --- |",
    ]
    lines += [
        f"| {scenario.title} | {', '.join(f'`{test}`' for test in scenario.tests)} |" for scenario in measured
    ]
    return "\n".join([*lines, ""])


def plain(text: str) -> str:
    """*text* with the cells of its tables in columns, for a terminal."""
    out: list[str] = []
    table: list[list[str]] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            table.append([cell.strip() for cell in line.strip("|").split("|")])
            continue
        if table:
            out += _columns(table)
            table = []
        out.append(line)
    return "\n".join(out)


def _columns(table: Sequence[Sequence[str]]) -> list[str]:
    """Titles of groups run over all columns; nothing else is cut."""
    rows = [row for row in table if not set("".join(row)) <= set("-: ")]
    body = [row for row in rows if any(row[1:])]
    widths = [max(len(row[column]) for row in body) for column in range(len(body[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        if any(row[1:])
        else f"\n{row[0].strip('*')}"
        for row in rows
    ]


def with_section(page: str, text: str) -> str:
    """*page* with this section in its place: that of the old one, else the end."""
    found = re.search(rf"^{re.escape(TITLE)}\n.*?(?=^## |\Z)", page, flags=re.MULTILINE | re.DOTALL)
    if found is None:
        return f"{page.rstrip()}\n\n{text.strip()}\n"
    rest = page[found.end() :]
    return page[: found.start()] + text.strip() + "\n" + (f"\n{rest}" if rest else "")


def _of(outcomes: Iterable[Outcome], scenario: Scenario, peer: str) -> list[Outcome]:
    return [outcome for outcome in outcomes if (outcome.scenario, outcome.peer) == (scenario.key, peer)]


def _rounds(outcomes: Iterable[Outcome]) -> str:
    counts = Counter((outcome.scenario, outcome.peer) for outcome in outcomes).values()
    least, most = min(counts), max(counts)
    return f"{least} rounds" if least == most else f"{least} to {most} rounds a row"


def _cell(figure: Figure, outcomes: Sequence[Outcome]) -> str:
    """The least and the most of the rounds; words as they are."""
    values = [figure.read(outcome) for outcome in outcomes]
    numbers = sorted(value for value in values if not isinstance(value, str))
    words = sorted({value for value in values if isinstance(value, str)})
    shown = [f"{number:,.{figure.decimals}f}" for number in numbers]
    ranges = [] if not shown else [shown[0] if shown[0] == shown[-1] else f"{shown[0]} to {shown[-1]}"]
    return ", ".join([*ranges, *words]) or "-"


def _copies(outcomes: Sequence[Outcome], peers: Iterable[str]) -> str:
    """Two sentences about copies where no answer was lost."""
    said = []
    for peer in peers:
        counts = [o.at_last for o in outcomes if o.peer == peer and o.scenario != "answer_lost"]
        same, other = sum(c.again_same_id for c in counts), sum(c.again_other_id for c in counts)
        if same or other:
            kinds = [f"{same:,} under the same id"] * bool(same) + [f"{other:,} under none"] * bool(other)
            said.append(f"{NAMES[peer].strip('*')} {' and '.join(kinds)}")
    doubled = sum(o.at_last.kept - o.at_last.distinct for o in outcomes if o.peer == "keen_client")
    return (
        f"Copies that the server received in all other rows and rounds together: {', '.join(said) or 'none'}."
        f" Of keen_client's events the server held {doubled or 'none'} twice, in all rows and rounds."
    )
