"""Segments: what a verification found, by the file that the events were recorded into. Pure.

Where all that is wrong is of one segment, it is one machine's log of one day,
and that is where to look first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from keen_client.eventlog.expectation import Window
from keen_client.verify.compare import Delta
from keen_client.verify.level_zero import ServerWindow
from keen_client.verify.report import Segment, Share, WindowReport
from keen_client.verify.verdict import EXIT_BITS, Verdict

#: States in which a read looked at single events: only then is one origin told from another.
_LOOKED_INTO: Final = frozenset(
    {Verdict.SHORT, Verdict.EXCESS, Verdict.MIXED, Verdict.CORRUPT, Verdict.DISPUTED}
)


def share_state(window: Verdict, delta: Delta | None, named: Iterable[str]) -> Verdict:
    """The state of one origin's share of a window in state *window*.

    *delta* None: its totals agree. *named* are the lists in which events of it
    stand. What cannot be told apart has the state of the whole.
    """
    if window not in _LOOKED_INTO:
        return window
    named = set(named)
    if delta is None and not named:
        return Verdict.MATCH
    lacks = bool(named & {"missing", "vanished"})
    exceeds = bool(named & {"duplicate", "unexpected"})
    if lacks or exceeds:
        return Verdict.MIXED if lacks and exceeds else Verdict.SHORT if lacks else Verdict.EXCESS
    if window is Verdict.DISPUTED or named & {"disputed", "collision", "strangers"}:
        return Verdict.DISPUTED
    if "corrupt" in named:
        return Verdict.CORRUPT
    if delta is not None and delta.n:
        return Verdict.SHORT if delta.n < 0 else Verdict.EXCESS
    return window


def shares_of(
    report: WindowReport, local: Window, server: ServerWindow | None, deltas: Mapping[str, Delta]
) -> tuple[Share, ...]:
    """What each origin has of the window, by origin; *server* None: not obtained."""
    named: dict[str, set[str]] = {}
    for name, ids in report.named.items():
        for entry_id in ids:
            named.setdefault(entry_id.origin, set()).add(name)
    shown = {} if server is None else server.by_origin
    return tuple(
        Share(
            origin,
            local.by_origin[origin].n if origin in local.by_origin else 0,
            None if server is None else (shown[origin].n if origin in shown else 0),
            share_state(report.state, deltas.get(origin), named.get(origin, ())),
        )
        for origin in sorted({*local.by_origin, *shown})
    )


def segments_of(windows: Iterable[WindowReport], days: Mapping[str, str]) -> tuple[Segment, ...]:
    """The segments that have a share of *windows*, by day and origin; *days* are those of recording, by origin."""
    found: dict[str, _Sum] = {}
    for window in windows:
        for share in window.shares:
            total = found.setdefault(share.origin, _Sum())
            total.local += share.local_count
            if share.server_count is not None:
                total.server = (total.server or 0) + share.server_count
            total.windows[share.state] += 1
            if EXIT_BITS[share.state]:
                total.spans.append((window.start_ms, window.end_ms))
        for name, ids in window.named.items():
            for entry_id in ids:
                found.setdefault(entry_id.origin, _Sum()).named[name] += 1
    return tuple(
        Segment(
            origin=origin,
            day=days.get(origin, ""),
            local_count=total.local,
            server_count=total.server,
            windows=total.windows,
            named=total.named,
            first_ms=min((start for start, _ in total.spans), default=None),
            last_ms=max((end for _, end in total.spans), default=None),
        )
        for origin, total in sorted(found.items(), key=lambda item: (days.get(item[0], ""), item[0]))
    )


class _Sum:
    """What adds up to a segment."""

    def __init__(self) -> None:
        self.local = 0
        self.server: int | None = None
        self.windows: Counter[Verdict] = Counter()
        self.named: Counter[str] = Counter()
        self.spans: list[tuple[int, int]] = []
