"""Laws of the outbox: whatever happens, every folded entry is in exactly one state, and totals are sums."""

from __future__ import annotations

import tempfile
from pathlib import Path

import attrs
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from keen_client._foundation.clock import MS_PER_HOUR
from keen_client._foundation.randomness import SystemRandomness
from keen_client.eventlog.config import LogConfig
from keen_client.eventlog.directory import Binding
from keen_client.eventlog.entry import DeliveryState
from keen_client.eventlog.fold import Sums, stamp_entry
from keen_client.eventlog.log import EventLog
from keen_client.eventlog.outbox import Claim, Settlement
from keen_client.eventlog.ranges import Range
from keen_client.events.encoding import encode_event
from keen_client.events.identity import EntryId
from keen_client.testing.clocks import VirtualClock

SENDABLE = [
    DeliveryState.ACKNOWLEDGED,
    DeliveryState.PENDING,
    DeliveryState.UNKNOWN,
    DeliveryState.REJECTED,
]


@attrs.define
class Model:
    """What must be true of one entry, whatever the log's rows look like."""

    state: DeliveryState
    ever_unknown: bool = False
    sends: int = 0


class OutboxMachine(RuleBasedStateMachine):
    """Random recording, claiming, settling, crashing; a dict as the model."""

    @initialize(entries_max=st.sampled_from([7, 1_000]))
    def start(self, entries_max: int) -> None:
        self.clock = VirtualClock()
        self.directory = tempfile.TemporaryDirectory()
        self.config = LogConfig(durability="normal", segment_entries_max=entries_max)
        self.log = self.open()
        self.model: dict[EntryId, Model] = {}
        self.in_flight: list[Claim] = []

    def open(self) -> EventLog:
        path = Path(self.directory.name) / "log"
        return EventLog(path, Binding("http://127.0.0.1:1", "p"), self.config, self.clock, SystemRandomness())

    @rule(count=st.integers(1, 12), collection=st.sampled_from("ab"), price=st.integers(-5, 5))
    def record(self, count: int, collection: str, price: int) -> None:
        events = [encode_event(collection, {"price": price + n}) for n in range(min(count, 7))]
        for recorded in self.log.record_all(events):
            assert recorded.id not in self.model
            self.model[recorded.id] = Model(DeliveryState.PENDING)

    @rule(events_max=st.integers(1, 9))
    def claim(self, events_max: int) -> None:
        claim = self.log.outbox.claim(events_max=events_max, bytes_max=10**6, resend_unknown_since_ms=0)
        if claim is None:
            return
        assert 1 <= len(claim.entries) <= events_max
        for claimed in claim.entries:
            model = self.model[claimed.stamped.entry.id]
            assert model.state in (DeliveryState.PENDING, DeliveryState.UNKNOWN)
            assert claimed.is_unsure == model.ever_unknown
            assert claimed.a == min(model.sends, 99)
            model.state = DeliveryState.INFLIGHT
            model.sends += 1
        self.in_flight.append(claim)

    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        if not self.in_flight:
            return
        claim = self.in_flight.pop(data.draw(st.integers(0, len(self.in_flight) - 1)))
        states = [data.draw(st.sampled_from(SENDABLE)) for _ in claim.entries]
        self.log.outbox.settle(claim, [Settlement(state, name="X") for state in states])
        for claimed, state in zip(claim.entries, states, strict=True):
            model = self.model[claimed.stamped.entry.id]
            if state is DeliveryState.UNKNOWN:
                model.ever_unknown = True
            elif model.ever_unknown and state is not DeliveryState.ACKNOWLEDGED:
                state = DeliveryState.UNKNOWN  # noqa: PLW2901 — sticky: a later refusal frees nothing
            model.state = state

    @rule()
    def crash_and_take_over(self) -> None:
        self.log.close()
        self.log = self.open()
        self.log.outbox.recover()
        self.in_flight = []
        for model in self.model.values():
            if model.state is DeliveryState.INFLIGHT:
                model.state = DeliveryState.UNKNOWN
                model.ever_unknown = True

    @rule(seconds=st.integers(0, 4_000))
    def pass_time(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @invariant()
    def every_folded_entry_is_in_exactly_one_range(self) -> None:
        if not hasattr(self, "log"):
            return
        with self.log.state.reading() as db:
            cursors = dict(db.execute("SELECT origin, cursor FROM origins").fetchall())
            rows = db.execute(
                "SELECT origin, seq_lo, seq_hi, state, a FROM ranges ORDER BY origin, seq_lo"
            ).fetchall()
        nexts = dict.fromkeys(cursors, 1)
        for origin, low, high, state, a in rows:
            assert low == nexts[origin]
            nexts[origin] = high + 1
            for seq in range(low, high + 1):
                model = self.model[EntryId(origin, seq)]
                # Refused after an unknown outcome is held as unknown, never to be resent.
                assert DeliveryState(state) is model.state
                assert a == min(model.sends - 1, 99)
        assert nexts == {origin: cursor + 1 for origin, cursor in cursors.items()}
        for entry_id, model in self.model.items():
            if entry_id.seq > cursors.get(entry_id.origin, 0):
                assert model.state is DeliveryState.PENDING
                assert model.sends == 0

    @invariant()
    def expected_totals_are_the_sums_of_the_entries(self) -> None:
        if not hasattr(self, "log"):
            return
        now = self.clock.wall_ms()
        start, end = 0, (now // MS_PER_HOUR + 1) * MS_PER_HOUR
        for collection in "ab":
            expected = Sums()
            for entry in self.log.entries(collection):
                if self.model[entry.id].state is not DeliveryState.REJECTED:
                    expected.add(stamp_entry(entry, {"price"}))
            shown = Sums()
            for window in self.log.expectation.windows(collection, start, end, MS_PER_HOUR).values():
                shown.merge(window.total)
            assert (shown.n, shown.h, shown.g) == (expected.n, expected.h, expected.g)
            price, amount = expected.amount("price"), shown.amount("price")
            assert (amount.count, amount.total) == (price.count, price.total)

    def teardown(self) -> None:
        if hasattr(self, "log"):
            self.log.close()
            self.directory.cleanup()


TestOutbox = OutboxMachine.TestCase
TestOutbox.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)


def test_a_range_is_followed_only_by_its_like() -> None:
    """Neighbours are joined when they differ in nothing but their seqs."""
    left = Range("o", 1, 3, DeliveryState.UNKNOWN, a=1)

    assert left.is_followed_by(Range("o", 4, 9, DeliveryState.UNKNOWN, a=1))
    assert not left.is_followed_by(Range("o", 5, 9, DeliveryState.UNKNOWN, a=1))
    assert not left.is_followed_by(Range("o", 4, 9, DeliveryState.UNKNOWN, a=2))
    assert not left.is_followed_by(Range("o", 4, 9, DeliveryState.PENDING, a=1))
