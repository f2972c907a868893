"""Features: what a verification relies on the server to do, and what no verdict rests on once it was seen not to.

Without a full probe of the last 30 days the documented behaviour is assumed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs
import orjson

from keen_client.eventlog.expectation import Window
from keen_client.eventlog.state import State
from keen_client.verify.answer import EXACT_MAX
from keen_client.verify.probe import VALID_MS
from keen_client.verify.sightings import IDS_PER_QUERY_MAX
from keen_client.verify.windows import WINDOWS_PER_QUERY_MAX

_NAME: Final = "features"


@attrs.frozen(kw_only=True)
class Features:
    """What the server was seen, or is assumed, to do.

    ``exact_max``: up to here its sums come out exact to the last digit, as
    they are added and as they are printed (``printed_max``: as they are
    printed). ``timeframes``: they include their start and exclude their end.
    ``null_group``: groups show events without the property. ``groups``: all
    groups are shown. ``windows_max``: sub-timeframes of one query, empty ones
    included. ``list_max``: values that a filter ``in`` takes.
    """

    exact_max: int = EXACT_MAX
    printed_max: int = EXACT_MAX
    timeframes: bool = True
    null_group: bool = True
    groups: bool = True
    windows_max: int = WINDOWS_PER_QUERY_MAX
    list_max: int = IDS_PER_QUERY_MAX

    def objection(self, comparison: str) -> str:
        """Why a window that compares so (``match``, ``short``, …) cannot be judged; empty when it can."""
        if not self.timeframes:
            return "the server's timeframes were seen not to include their start and exclude their end"
        if comparison == "match":
            return ""
        if not self.groups:
            return "it differs, and the server was seen to leave groups out of its answers"
        if not self.null_group:
            return (
                "it differs, and the server was seen not to show events without stamps, which could be those"
            )
        if not self.list_max:
            return "it differs, and the server was seen not to take lists of ids"
        return ""

    def unverifiable(self, window: Window) -> str:
        """Why the sums of *window* cannot be compared with this server; empty when they can."""
        highest = max((max(sums.h, sums.g) for sums in window.by_origin.values()), default=0)
        if highest <= self.exact_max:
            return ""
        return f"the server was seen to add or print inexactly beyond {self.exact_max:,}, and its sums are larger"

    def warnings(self) -> tuple[str, ...]:
        """What a match does not say with this server."""
        if self.null_group:
            return ()
        return (
            "the server does not show the group of events without stamps: a match says nothing of such events",
        )

    @property
    def windows_per_query(self) -> int:
        """How many windows one query asks for: as many as the server takes, at least a few."""
        return max(1, min(self.windows_max, WINDOWS_PER_QUERY_MAX))


def features_of(state: State, now_ms: int) -> Features:
    """What the full probe of the last 30 days saw, else what is documented."""
    at_ms, answer, _ = load(state)
    if answer is None or not 0 <= now_ms - at_ms < VALID_MS:
        return Features()
    return Features(
        **{field.name: answer[field.name] for field in attrs.fields(Features) if field.name in answer}
    )


def load(state: State) -> tuple[int, dict[str, Any] | None, dict[str, Any] | None]:
    """When the last full probe was read, what it saw, and the one that waits to be read."""
    with state.reading() as db:
        row = db.execute("SELECT at_ms, answer, pending FROM probes WHERE name = ?", (_NAME,)).fetchone()
    if row is None:
        return 0, None, None
    answer = orjson.loads(row[1])
    return row[0], answer or None, None if row[2] is None else orjson.loads(row[2])


def save(
    state: State, at_ms: int, answer: Mapping[str, Any] | None, pending: Mapping[str, Any] | None
) -> None:
    """Store both; *answer* None: nothing is known."""
    with state.transaction() as db:
        db.execute(
            "INSERT OR REPLACE INTO probes (name, at_ms, answer, pending) VALUES (?, ?, ?, ?)",
            (
                _NAME,
                at_ms,
                orjson.dumps(dict(answer or {})).decode(),
                None if pending is None else orjson.dumps(pending).decode(),
            ),
        )
