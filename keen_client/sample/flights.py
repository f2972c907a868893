"""One real week of departures from New York (EWR, JFK, LGA), as events.

Two collections: ``flights``, the departures that took place, and
``cancellations``, those that have no departure time. An event's timestamp is
the scheduled departure. Clock times in the properties (``sched_dep_time``,
``dep_time``, ``sched_arr_time``, ``arr_time``) are the source's: local time as
the number HHMM, so 517 is 05:17. Delays and ``air_time`` are minutes,
``distance`` is in miles. What the source does not know is absent, never null.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from importlib import resources
from typing import Any, Final

import attrs
import orjson

from keen_client._foundation.clock import MS_PER_DAY
from keen_client.errors import UsageError

#: Events in the bundled week.
EVENTS_PER_WEEK: Final = 6_114

MS_PER_WEEK: Final = 7 * MS_PER_DAY

#: Monday 2013-01-07 00:00 in New York, 05:00 UTC; the week ends seven days later.
WEEK_START_MS: Final = 1_357_534_800_000

_FILE: Final = "flights.ndjson.gz"


@attrs.frozen
class SampleEvent:
    """One departure: its collection, its time and its properties.

    ``timestamp_ms`` is in milliseconds since 1970, UTC. ``properties`` belongs
    to the caller: no two events share it.
    """

    collection: str
    timestamp_ms: int
    properties: dict[str, str | int]


def load_flights(count: int, ending_ms: int | None = None) -> Iterator[SampleEvent]:
    """The first *count* departures in order of time, then of carrier and flight.

    Beyond :data:`EVENTS_PER_WEEK` events the week is told again, moved on by
    whole weeks of UTC, as often as needed: the k-th week is the first with
    ``k * MS_PER_WEEK`` added to each timestamp and nothing else changed. So
    after the clocks change the HHMM properties are an hour off the timestamp.

    Args:
        count: How many events, 0 or more.
        ending_ms: Where the last week that is needed ends (exclusive), in
            milliseconds since 1970; all weeks move by the same amount. Give a
            whole hour to keep the events in their hours. When *count* is not a
            multiple of a week, the last week is told in part, from its start.
            ``None`` leaves the first week where it was, in January 2013.

    Returns:
        A lazy iterator; the file is read at its first step, in some tens of
        milliseconds, and not before.

    Raises:
        UsageError: *count* is negative. Nothing was read.
    """
    if count < 0:
        raise UsageError(f"a sample cannot have {count} events", "Ask for 0 events or more.")
    weeks = -(-count // EVENTS_PER_WEEK)
    shift_ms = 0 if ending_ms is None else ending_ms - (WEEK_START_MS + weeks * MS_PER_WEEK)
    return _repeat(count, shift_ms)


def _repeat(count: int, shift_ms: int) -> Iterator[SampleEvent]:
    """Tell the week until *count* events are told, each moved by *shift_ms* and its week's offset."""
    if count == 0:
        return
    week = _read_week()
    for position in range(count):
        week_index, row_index = divmod(position, EVENTS_PER_WEEK)
        row = week[row_index]
        yield SampleEvent(
            row["collection"],
            row["timestamp_ms"] + shift_ms + week_index * MS_PER_WEEK,
            row["properties"].copy(),
        )


def _read_week() -> list[dict[str, Any]]:
    """The rows of the bundled file, in its order."""
    packed = (resources.files(__package__) / _FILE).read_bytes()
    return [orjson.loads(line) for line in gzip.decompress(packed).splitlines()]
