"""Windows: the stretches of ``keen.timestamp`` that are compared, and how a scope of them is asked for."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Literal

import attrs

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE, ms_to_iso
from keen_client.errors import UsageError

#: How windows are asked for.
WindowName = Literal["1m", "5m", "15m", "30m", "1h", "1d"]
#: Widths by their names.
WIDTHS_MS: Final = MappingProxyType(
    {
        "1m": MS_PER_MINUTE,
        "5m": 5 * MS_PER_MINUTE,
        "15m": 15 * MS_PER_MINUTE,
        "30m": 30 * MS_PER_MINUTE,
        "1h": MS_PER_HOUR,
        "1d": MS_PER_DAY,
    }
)
#: Keen's word for each width. In UTC all of them break at the same instants as the windows.
INTERVALS: Final = MappingProxyType(
    {
        MS_PER_MINUTE: "minutely",
        5 * MS_PER_MINUTE: "every_5_minutes",
        15 * MS_PER_MINUTE: "every_15_minutes",
        30 * MS_PER_MINUTE: "every_30_minutes",
        MS_PER_HOUR: "hourly",
        MS_PER_DAY: "daily",
    }
)
#: Windows of one query; Keen's documented cap is 2,500.
WINDOWS_PER_QUERY_MAX: Final = 2_400


def collection_names(given: Sequence[str] | None) -> tuple[str, ...] | None:
    """The collections that a verification is limited to; None: it is not.

    Raises:
        UsageError: there are none, or it is one text, whose letters would be taken for names. Nothing was asked.
    """
    if given is None:
        return None
    if isinstance(given, str | bytes):
        raise UsageError(
            f"collections is the text {given[:40]!r}, and not a list of names; nothing was asked",
            "put it into a list, also where it is the only one",
        )
    names = tuple(given)
    if not names:
        raise UsageError(
            "collections is empty, so nothing would be compared; nothing was asked",
            "name one or more, or leave it out to take all in the log",
        )
    return names


@attrs.frozen
class Scope:
    """What to verify: the windows of [start, end), in UTC milliseconds since 1970.

    ``collections`` None: every collection that the log expects something of.

    Raises:
        UsageError: no such width, start and end are not on its boundaries, or ``collections`` names none
            (:func:`collection_names`). Nothing was asked.
    """

    start_ms: int
    end_ms: int
    width_ms: int = MS_PER_HOUR
    collections: tuple[str, ...] | None = attrs.field(default=None, converter=collection_names)

    def __attrs_post_init__(self) -> None:
        """Refuse what cannot be cut into whole windows."""
        if self.width_ms not in INTERVALS:
            raise UsageError(
                f"there are no windows of {self.width_ms} ms; nothing was asked",
                "one of " + ", ".join(WIDTHS_MS),
            )
        if self.end_ms <= self.start_ms:
            raise UsageError(
                f"the end {ms_to_iso(self.end_ms)} is not after the start {ms_to_iso(self.start_ms)};"
                " nothing was asked",
                "the end is exclusive: one day runs from midnight to the next midnight",
            )
        for name, edge_ms in (("start", self.start_ms), ("end", self.end_ms)):
            if edge_ms % self.width_ms:
                floor_ms = edge_ms - edge_ms % self.width_ms
                raise UsageError(
                    f"the {name} {ms_to_iso(edge_ms)} is not on a boundary of the windows; nothing was asked",
                    f"such as {ms_to_iso(floor_ms)} or {ms_to_iso(floor_ms + self.width_ms)}",
                )

    @property
    def starts(self) -> range:
        """The starts of all windows."""
        return range(self.start_ms, self.end_ms, self.width_ms)

    def queries(self, windows_max: int = WINDOWS_PER_QUERY_MAX) -> Iterator[Scope]:
        """This scope in parts that one query each can answer."""
        step_ms = windows_max * self.width_ms
        for start_ms in range(self.start_ms, self.end_ms, step_ms):
            yield attrs.evolve(self, start_ms=start_ms, end_ms=min(self.end_ms, start_ms + step_ms))


#: Events of the windows, matching ones in between included, that are looked at together.
BATCH_EVENTS_MAX: Final = 10_000
#: A batch may span so many times the events of its differing windows, and so many events beside.
_WASTE_FACTOR: Final = 3
_WASTE_EVENTS: Final = 1_000


def batches(starts: Iterable[int], events: Mapping[int, int]) -> list[list[int]]:
    """Windows to be looked at together: one question over all of them costs less than one each.

    *starts* are the windows to look at, *events* the number of events of every
    window by its start, those in between included. Neighbours are joined while
    what lies between them is little beside themselves. Pure.
    """
    found: list[list[int]] = []
    spanned = wanted = 0
    ordered = sorted(events)
    for start in sorted(starts):
        own = events.get(start, 0)
        if found:
            between = sum(
                events[s] for s in ordered[bisect_right(ordered, found[-1][-1]) : bisect_left(ordered, start)]
            )
            span = spanned + between + own
            if span <= BATCH_EVENTS_MAX and span <= _WASTE_FACTOR * (wanted + own) + _WASTE_EVENTS:
                found[-1].append(start)
                spanned, wanted = span, wanted + own
                continue
        found.append([start])
        spanned = wanted = own
    return found
