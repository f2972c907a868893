"""Windows: the stretches of ``keen.timestamp`` that are compared, and how a scope of them is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Final

import attrs

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE, ms_to_iso
from keen_client.errors import UsageError

#: Widths by their names on the command line.
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


@attrs.frozen
class Scope:
    """What to verify: the windows of [start, end), in UTC milliseconds since 1970.

    ``collections`` None: every collection that the log expects something of.

    Raises:
        UsageError: no such width, or start and end are not on its boundaries. Nothing was asked.
    """

    start_ms: int
    end_ms: int
    width_ms: int = MS_PER_HOUR
    collections: tuple[str, ...] | None = None

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

    def queries(self) -> Iterator[Scope]:
        """This scope in parts that one query each can answer."""
        step_ms = WINDOWS_PER_QUERY_MAX * self.width_ms
        for start_ms in range(self.start_ms, self.end_ms, step_ms):
            yield attrs.evolve(self, start_ms=start_ms, end_ms=min(self.end_ms, start_ms + step_ms))


def stretches(starts: list[int], width_ms: int) -> list[tuple[int, int]]:
    """The runs [start, end) of adjacent windows among *starts*, ascending."""
    runs: list[tuple[int, int]] = []
    for start in sorted(starts):
        if runs and runs[-1][1] == start:
            runs[-1] = (runs[-1][0], start + width_ms)
        else:
            runs.append((start, start + width_ms))
    return runs
