"""Watermarks: how far each segment was recorded, and sent, when something happened. Told by numbers, not by clocks.

Each segment counts its entries, so what had been recorded by a moment can be
told for ever, though a clock was wrong at the record, then, or now.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Mapping
from typing import Any, Final

import attrs
import orjson

from keen_client.eventlog.shelf import Shelf
from keen_client.eventlog.state import State
from keen_client.events.identity import SEQ_MAX


@attrs.frozen
class Watermark:
    """The last seq that a segment had, and the last one that a sender had taken up; 0: none."""

    recorded: int = 0
    sent: int = 0


#: That of a segment that was made later.
_NOT_YET: Final = Watermark()


def watermarks_now(state: State, shelf: Shelf) -> dict[str, Watermark]:
    """Those of all segments whose entries may be read some day, by origin.

    Of one that cannot be read, or is gone, all counts as recorded: it may be mended, or put back.

    Raises:
        EventLogPermissionError, EventLogError: which segments there are cannot be told.
    """
    with state.reading() as db:
        listed = {
            origin: (status, cursor)
            for origin, status, cursor in db.execute("SELECT origin, status, cursor FROM origins")
        }
        kept = {origin for (origin,) in db.execute("SELECT DISTINCT origin FROM kept")}
    present = {name.origin for name in shelf.names()}
    gone = {origin for origin, (status, _) in listed.items() if status != "reclaimed"} | kept
    found: dict[str, Watermark] = {}
    for origin in sorted(present | gone):
        status, cursor = listed.get(origin, ("open", 0))
        last = cursor if status == "drained" else shelf.last_seq(origin) if origin in present else None
        found[origin] = Watermark(SEQ_MAX if last is None else last, cursor)
    return found


class Watermarks:
    """The watermarks of several numbered moments. A segment that did not change between them is listed once. Pure."""

    def __init__(self, text: str | None = None) -> None:
        """*text*: what :meth:`to_json` gave."""
        #: origin -> (number, recorded, sent) of the first moment and of each at which it had changed, ascending.
        self._steps: dict[str, list[list[int]]] = {} if text is None else orjson.loads(text)

    def to_json(self) -> str:
        """As text, to be stored."""
        return orjson.dumps(self._steps).decode()

    @property
    def last(self) -> int:
        """The number of the last moment; 0: there is none."""
        return max((steps[-1][0] for steps in self._steps.values()), default=0)

    def of(self, origin: str, number: int) -> Watermark:
        """That of *origin* at the moment with this *number*."""
        steps = self._steps.get(origin, [])
        place = bisect_right(steps, number, key=_number)
        return Watermark(*steps[place - 1][1:]) if place else _NOT_YET

    def add(self, number: int, marks: Mapping[str, Watermark]) -> None:
        """Add a moment, later than all others."""
        for origin, mark in marks.items():
            if self.of(origin, number) != mark:
                self._steps.setdefault(origin, []).append([number, mark.recorded, mark.sent])

    def keep(self, numbers: Collection[int], is_over: Collection[str]) -> None:
        """Forget all moments but *numbers*, and the segments *is_over*, of which nothing can be read any more."""
        ordered = sorted(numbers)
        for origin, steps in list(self._steps.items()):
            ends = [*(step[0] for step in steps[1:]), max(ordered, default=0) + 1]
            self._steps[origin] = [
                step
                for step, end in zip(steps, ends, strict=True)
                if bisect_left(ordered, step[0]) < bisect_left(ordered, end)
            ]
            if not self._steps[origin] or origin in is_over:
                del self._steps[origin]


def _number(step: list[Any]) -> int:
    return int(step[0])
