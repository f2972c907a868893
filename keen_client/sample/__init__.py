"""Floor 1: real events to try things with, bundled with the package.

One week of departures from New York's airports, public-domain data; where it
comes from and how the file was made is told in docs/reference/sample-data.md.
"""

from __future__ import annotations

from keen_client.sample.flights import (
    EVENTS_PER_WEEK,
    MS_PER_WEEK,
    WEEK_START_MS,
    SampleEvent,
    load_flights,
)

__all__ = ["EVENTS_PER_WEEK", "MS_PER_WEEK", "WEEK_START_MS", "SampleEvent", "load_flights"]
