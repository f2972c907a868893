"""Turns: which windows are read first. Those that were not read for longest, so that no end of the list ever starves.

A job may be killed, or run out of budget, at the same place every night. So a
turn is noted before it is taken, and the note goes when it was read to its
end: what was tried in vain comes after what was not tried.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import attrs
import orjson

from keen_client.eventlog.state import State
from keen_client.verify.observations import Observation
from keen_client.verify.windows import Scope

_FACT: Final = "turns_tried"


@attrs.frozen
class Turn:
    """Windows of one collection that one query asks for. ``due``: report only these starts; None: all.

    ``since_ms``: since when the windows of it were not read, UTC milliseconds.
    """

    collection: str
    scope: Scope
    since_ms: int
    due: frozenset[int] | None = None


def unread_since_ms(starts: Collection[int], stored: Mapping[int, Sequence[Observation]], now_ms: int) -> int:
    """Since when the least recently read of the windows was not read. Pure.

    One never read waits since just before its start, so it goes before what
    was read at that moment. Without windows, *now_ms*: nothing is known to be there.
    """
    times = [stored[start][-1].at_ms if stored.get(start) else start - 1 for start in starts]
    return min([*times, now_ms])


class Turns:
    """Puts turns into their order and remembers which were tried in vain. Thread-safe through its state."""

    def __init__(self, state: State) -> None:
        self._state = state

    def in_order(self, turns: Iterable[Turn]) -> list[Turn]:
        """The turn that waits longest first; equals by name and start."""
        marks = self._marks()

        def key(turn: Turn) -> tuple[int, str, int]:
            tried = [mark.at_ms for mark in marks if mark.is_of(turn)]
            return max([turn.since_ms, *tried]), turn.collection, turn.scope.start_ms

        return sorted(turns, key=key)

    def begin(self, turn: Turn, now_ms: int) -> None:
        """Note that *turn* is being taken."""
        mark = _Mark(turn.collection, turn.scope.start_ms, turn.scope.end_ms, now_ms)
        self._keep([*(m for m in self._marks() if not m.is_of(turn)), mark])

    def end(self, turn: Turn) -> None:
        """Note that *turn* was read to its end."""
        self._keep([mark for mark in self._marks() if not mark.is_of(turn)])

    def _marks(self) -> list[_Mark]:
        noted = self._state.fact(_FACT)
        return [] if noted is None else [_Mark(*fields) for fields in orjson.loads(noted)]

    def _keep(self, marks: Sequence[_Mark]) -> None:
        self._state.note(_FACT, orjson.dumps([attrs.astuple(mark) for mark in marks]).decode())


@attrs.frozen
class _Mark:
    """When windows of [start, end) of a collection were last tried."""

    collection: str
    start_ms: int
    end_ms: int
    at_ms: int

    def is_of(self, turn: Turn) -> bool:
        """Whether it is about some of the windows of *turn*."""
        scope = turn.scope
        is_apart = self.end_ms <= scope.start_ms or scope.end_ms <= self.start_ms
        return self.collection == turn.collection and not is_apart
