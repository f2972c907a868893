"""The verifier against the local server, over HTTP: what the server was told to do is what is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from keen_client._foundation.clock import MS_PER_HOUR
from keen_client._foundation.randomness import SeededRandomness
from keen_client.api import KeenApi, Project
from keen_client.eventlog.config import LogConfig
from keen_client.eventlog.directory import Binding
from keen_client.eventlog.entry import DeliveryState
from keen_client.eventlog.log import EventLog
from keen_client.eventlog.outbox import Settlement
from keen_client.events.encoding import encode_event
from keen_client.events.identity import EntryId
from keen_client.events.stamps import wire_event
from keen_client.server.running import LocalServer
from keen_client.testing.clocks import VirtualClock
from keen_client.transport import Secret
from keen_client.verify.presets import preset
from keen_client.verify.probe import TokenProbe
from keen_client.verify.report import VerifyReport
from keen_client.verify.verdict import Verdict
from keen_client.verify.verifier import Verifier
from keen_client.verify.windows import Scope

HOUR = 1_790_812_800_000


class Rig:
    """A log and a local server on one virtual clock."""

    def __init__(self, path: Path, *faults: str) -> None:
        self.clock = VirtualClock(HOUR)
        self.server = LocalServer(faults=faults, seed=7, clock=self.clock).start()
        self.api = KeenApi.open(
            Project(
                id=self.server.project_id,
                base_url=self.server.url,
                write_key=Secret(self.server.write_key),
                read_key=Secret(self.server.read_key),
                master_key=Secret(self.server.master_key),
            ),
            clock=self.clock,
        )
        binding = Binding(self.server.url, self.server.project_id)
        self.log = EventLog(path, binding, LogConfig(durability="normal"), self.clock, SeededRandomness(3))

    def record_and_send(self, count: int) -> list[EntryId]:
        events = [
            attrs.evolve(
                encode_event("purchases", {"price": number, "share": number / 7}),
                timestamp_ms=HOUR + number * (3 * MS_PER_HOUR // count),
            )
            for number in range(count)
        ]
        recorded = [made.id for made in self.log.record_all(events)]
        while claim := self.log.outbox.claim(events_max=500, bytes_max=9_000_000):
            parts = []
            for claimed in claim.entries:
                e, s = claimed.stamped.entry, claimed.stamped
                parts.append(
                    wire_event(
                        e.origin, e.seq, e.timestamp_ms, e.body, e.keen, (s.h, s.g), claimed.a, claimed.tier
                    )
                )
            response = self.api.post_batch(('{"purchases":[' + ",".join(parts) + "]}").encode())
            assert response.status == 200
            self.log.outbox.settle(claim, [Settlement(DeliveryState.ACKNOWLEDGED)] * len(claim.entries))
        return recorded

    def verify(self) -> VerifyReport:
        verifier = Verifier(self.log, self.api, self.clock, preset("immediate"))
        return verifier.verify(Scope(HOUR, HOUR + 6 * MS_PER_HOUR))

    def close(self) -> None:
        self.log.close()
        self.api.close()
        self.server.stop()


@pytest.fixture
def make_rig(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    made: list[Rig] = []

    def make(*faults: str) -> Rig:
        made.append(Rig(tmp_path / "log", *faults))
        return made[-1]

    yield make
    for rig in made:
        rig.close()


def test_a_clean_night_is_one_request(make_rig: Callable[..., Rig]) -> None:
    """All windows match, floats within rounding, with a single request."""
    rig = make_rig()
    rig.record_and_send(1000)
    report = rig.verify()
    assert [(w.state, w.local_count, w.server_count) for w in report.windows] == [
        (Verdict.FINAL, 334, 334),
        (Verdict.FINAL, 333, 333),
        (Verdict.FINAL, 333, 333),
    ]
    assert report.cost.requests == 1
    assert (report.audited[0].exact, report.audited[0].rounded) == (("price",), ("share",))


@pytest.mark.parametrize(
    ("fault", "lists", "status"),
    [
        ("lose=0.03", {"missing"}, 4),
        ("duplicate=0.03", {"duplicate"}, 8),
        ("null-properties=0.03", {"corrupt"}, 16),
        ("null-timestamp=0.03", {"missing"}, 4),
        ("shift=0.03:12h", {"shifted"}, 4),
    ],
)
def test_the_damage_is_found_event_by_event(
    make_rig: Callable[..., Rig], fault: str, lists: set[str], status: int
) -> None:
    """As many ids as the server counted faults, all in the right list, and in no other."""
    rig = make_rig(fault)
    ids = rig.record_and_send(1000)
    report = rig.verify()
    struck = rig.server.faults.counters[fault.partition("=")[0]]
    assert struck > 0
    for name in ("missing", "duplicate", "corrupt", "shifted", "disputed", "collision"):
        found = [entry_id for window in report.windows for entry_id in getattr(window, name)]
        assert len(found) == (struck if name in lists else 0)
        assert set(found) <= set(ids)
    assert report.exit_status() == status


def test_an_update_is_seen_where_it_changes_an_audited_sum_and_nowhere_else(
    make_rig: Callable[..., Rig],
) -> None:
    """Another amount is corrupt, with the event's id; a property that nobody audits changes unseen. Nothing is resent."""
    rig = make_rig()
    recorded = rig.record_and_send(30)
    assert rig.api.update_events("purchases", {"note": "checked"}, upsert=True) == 30
    assert {window.state for window in rig.verify().windows} == {Verdict.FINAL}
    fifth = [{"property_name": "price", "operator": "eq", "property_value": 5}]
    assert rig.api.update_events("purchases", {"price": 1_000}, filters=fifth) == 1
    windows = rig.verify().windows
    assert [window.state for window in windows] == [Verdict.CORRUPT, Verdict.FINAL, Verdict.FINAL]
    assert windows[0].corrupt == (recorded[5],)
    assert not any(window.missing or window.eligible for window in windows)


def test_partial_reads_never_call_an_event_missing_and_eligible(make_rig: Callable[..., Rig]) -> None:
    """Reads that each miss a fifth of the events contradict each other."""
    rig = make_rig("partial-reads=0.2")
    rig.record_and_send(500)
    report = rig.verify()
    assert report.eligible == ()
    assert {window.state for window in report.windows} <= {Verdict.DISPUTED, Verdict.SETTLING}


def test_a_cap_on_groups_is_met_with_smaller_pages(make_rig: Callable[..., Rig]) -> None:
    """Every lost event is found although the server refuses answers of more than sixty groups."""
    rig = make_rig("lose=0.03", "group-cap=60")
    rig.record_and_send(1000)
    report = rig.verify()
    assert rig.server.faults.counters["group-cap"] > 0
    assert len(report.eligible) == rig.server.faults.counters["lose"] > 0
    assert report.exit_status() == 4


def test_a_cap_on_scans_leaves_windows_incomplete(make_rig: Callable[..., Rig]) -> None:
    """What cannot be asked is neither a match nor missing."""
    rig = make_rig("lose=0.03", "scan-cap=500")
    rig.record_and_send(1000)
    report = rig.verify()
    assert {window.state for window in report.windows} == {Verdict.INCOMPLETE}
    assert all("scans at most 500" in window.reason for window in report.windows)
    assert (report.eligible, report.exit_status()) == ((), 32)


def test_the_confirmation_asks_over_all_time(make_rig: Callable[..., Rig]) -> None:
    """A lost event is confirmed absent, any other present."""
    rig = make_rig("lose=0.03")
    ids = rig.record_and_send(600)
    missing = rig.verify().eligible
    verifier = Verifier(rig.log, rig.api, rig.clock, preset("immediate"))
    found = verifier.confirm(ids)
    assert found.absent == missing
    assert len(found.present) == len(ids) - len(missing)


@pytest.mark.parametrize(("mode", "known"), [("edge", True), ("off", False)])
def test_the_probe_tells_how_tokens_are_handled(make_rig: Callable[..., Rig], mode: str, known: bool) -> None:
    """Against a server that honours tokens, and one that does not."""
    rig = make_rig(f"tokens={mode}")
    probe = TokenProbe(rig.log.state, rig.api, rig.clock, SeededRandomness(1))
    probe.send(ready_after_ms=0)
    assert probe.read() is known
