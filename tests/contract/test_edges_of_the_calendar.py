"""Events at the edges of the years 1 and 9999 stop neither their neighbours, nor the night, nor an export."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import attrs
import orjson
import pytest

from keen_client import KeenClient
from keen_client._foundation.clock import FIRST_MS, LAST_MS, SystemClock, ms_to_datetime
from keen_client._foundation.randomness import SystemRandomness
from keen_client.eventlog.config import LogConfig
from keen_client.eventlog.directory import Binding
from keen_client.eventlog.log import EventLog
from keen_client.events.encoding import encode_event
from keen_client.server import LocalServer
from keen_client.verify.verdict import Verdict


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    with LocalServer(seed=1) as server:
        yield server


def open_client(server: LocalServer, path: Path) -> KeenClient:
    return KeenClient(
        server.project_id, server.write_key, server.read_key, base_url=server.url, log=path, background=False
    )


def test_an_old_logs_event_out_of_the_calendar_is_a_dead_letter_and_its_neighbours_are_sent(
    server: LocalServer, tmp_path: Path
) -> None:
    """Early versions recorded such times; what cannot be written is named, nothing is unknown, and all can be exported."""
    log = EventLog(
        tmp_path / "log",
        Binding(server.url, server.project_id),
        LogConfig(),
        SystemClock(),
        SystemRandomness(),
    )
    plain = encode_event("edges", {"n": 1})
    times = [None, LAST_MS + 1, None, FIRST_MS - 1, None]
    ids = [str(log.record(attrs.evolve(plain, timestamp_ms=ms)).id) for ms in times]
    log.close()

    with open_client(server, tmp_path / "log") as client:
        report = client.flush()
        assert (report.acknowledged, report.rejected, report.pending, report.unknown) == (3, 2, 0, 0)
        assert client.count("edges", timeframe="this_2_days") == 3
        lines = [orjson.loads(line) for line in client.log.export()]
        assert [line["id"] for line in lines] == ids
        assert lines[1]["event"]["keen"]["timestamp"] == "+10000-01-01T00:00:00.000Z"
        assert lines[3]["event"]["keen"]["timestamp"] == "0000-12-31T23:59:59.999Z"
        shown = [entry.timestamp for entry in client.log.entries()]
        assert (shown[1], shown[3]) == (ms_to_datetime(LAST_MS), ms_to_datetime(FIRST_MS))
        assert not client.nightly(preset="fast", settle="0s").after.warnings

    log = EventLog(tmp_path / "log", None, LogConfig(), SystemClock(), SystemRandomness())
    letters = log.dead_letters.list()
    log.close()
    assert [(str(letter.id), letter.name) for letter in letters] == [
        (ids[1], "TimestampOutOfCalendar"),
        (ids[3], "TimestampOutOfCalendar"),
    ]


def test_a_window_that_ends_in_the_year_10000_stops_no_night(server: LocalServer, tmp_path: Path) -> None:
    """No timeframe can ask for it; it is unverifiable, and told as that while it is new; all others are compared."""
    with open_client(server, tmp_path / "log") as client:
        for time in ("9999-12-31T23:59:59.999Z", "9999-12-31T22:00:00Z", "0001-01-01T00:00:00Z", None):
            client.add_event("sentinels", {"n": 1}, time)
        assert client.flush().acknowledged == 4

        night = client.nightly(preset="fast", settle="0s")

    states = Counter(window.state for window in night.after.windows)
    assert states == {Verdict.MATCH: 3, Verdict.UNVERIFIABLE: 1}
    assert night.after.not_due == 0
