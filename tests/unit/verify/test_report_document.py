"""The document and the exit status that other programs rely on, frozen."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keen_client.api.cost import Cost
from keen_client.eventlog.segment import SegmentName
from keen_client.eventlog.unreadable import Unreadable
from keen_client.events.identity import EntryId
from keen_client.verify.report import NAMED, Audit, Segment, VerifyReport, WindowReport
from keen_client.verify.verdict import EXIT_BITS, Verdict

if TYPE_CHECKING:
    from tests.unit.verify.conftest import World

HOUR = 1_790_812_800_000


def window(state: Verdict, **fields: Any) -> WindowReport:
    return WindowReport(collection="purchases", start_ms=HOUR, end_ms=HOUR + 3_600_000, state=state, **fields)


def test_the_document_is_the_contract() -> None:
    """Names, nesting and order of the fields are those of schema 1."""
    short = window(
        Verdict.SHORT,
        reason="2 missing",
        reads=1,
        local_count=10,
        server_count=8,
        foreign=1,
        missing=[EntryId("zzzzzzzzzz", 40), EntryId("aaaaaaaaaa", 41), EntryId("aaaaaaaaaa", 5)],
        duplicate=[EntryId("aaaaaaaaaa", 6)],
        corrupt=[EntryId("aaaaaaaaaa", 7)],
        shifted=[EntryId("aaaaaaaaaa", 8)],
        due_ms=HOUR + 18_000_000,
        was=Verdict.MATCH,
        seen_earlier={EntryId("aaaaaaaaaa", 7): HOUR + 1},
    )
    unread = WindowReport(
        collection="a", start_ms=HOUR, end_ms=HOUR + 3_600_000, state=Verdict.INCOMPLETE, reason="no answer"
    )
    report = VerifyReport(
        as_of_ms=HOUR + 7,
        preset="standard",
        windows=[short, unread],
        not_due=3,
        cost=Cost(requests=2, bytes=345),
        warnings=("w",),
        audited=(Audit(collection="a", exact=("n",), rounded=("x",), left_out=(("y", "why"),)),),
        segments=(
            Segment(
                origin="aaaaaaaaaa",
                day="2026-10-01",
                local_count=9,
                server_count=8,
                windows={Verdict.SHORT: 1},
                named={"missing": 2, "duplicate": 1},
                first_ms=HOUR,
                last_ms=HOUR + 3_600_000,
            ),
        ),
        unreadable=(
            Unreadable(SegmentName("2026-10-02", "bbbbbbbbbb"), "there is no such file", is_gone=True),
        ),
    )
    assert report.document() == {
        "schema": 1,
        "as_of": "2026-10-01T00:00:00.007Z",
        "preset": "standard",
        "windows": [
            {
                "collection": "a",
                "start": "2026-10-01T00:00:00.000Z",
                "end": "2026-10-01T01:00:00.000Z",
                "state": "incomplete",
                "reason": "no answer",
                "reads": 0,
                "local": {"count": None},
                "server": {"count": None},
                "foreign": None,
                "missing": [],
                "duplicate": [],
                "corrupt": [],
                "shifted": [],
                "collision": [],
                "disputed": [],
                "vanished": [],
                "given_up": [],
                "unexpected": [],
                "strangers": [],
                "due": None,
                "was": None,
                "seen_earlier": [],
            },
            {
                "collection": "purchases",
                "start": "2026-10-01T00:00:00.000Z",
                "end": "2026-10-01T01:00:00.000Z",
                "state": "short",
                "reason": "2 missing",
                "reads": 1,
                "local": {"count": 10},
                "server": {"count": 8},
                "foreign": 1,
                "missing": ["aaaaaaaaaa-5", "aaaaaaaaaa-15", "zzzzzzzzzz-14"],
                "duplicate": ["aaaaaaaaaa-6"],
                "corrupt": ["aaaaaaaaaa-7"],
                "shifted": ["aaaaaaaaaa-8"],
                "collision": [],
                "disputed": [],
                "vanished": [],
                "given_up": [],
                "unexpected": [],
                "strangers": [],
                "due": "2026-10-01T05:00:00.000Z",
                "was": "match",
                "seen_earlier": [{"id": "aaaaaaaaaa-7", "at": "2026-10-01T00:00:00.001Z"}],
            },
        ],
        "summary": {
            "windows": 2,
            "match": 0,
            "incomplete": 1,
            "not_due": 3,
            "not_due_differing": 0,
            "past_checking": 0,
            "missing": 3,
            "duplicate": 1,
            "corrupt": 1,
            "states": {"short": 1, "incomplete": 1},
            "changed": {"short": 1},
            "first_read": 0,
        },
        "cost": {"requests": 2, "bytes": 345, "properties": 0},
        "warnings": ["w"],
        "audited": [{"collection": "a", "exact": ["n"], "rounded": ["x"], "left_out": {"y": "why"}}],
        "segments": [
            {
                "segment": "2026-10-01-aaaaaaaaaa",
                "origin": "aaaaaaaaaa",
                "day": "2026-10-01",
                "local": {"count": 9},
                "server": {"count": 8},
                "states": {"short": 1},
                "named": {"missing": 2, "duplicate": 1},
                "first": "2026-10-01T00:00:00.000Z",
                "last": "2026-10-01T01:00:00.000Z",
            }
        ],
        "unreadable": [{"segment": "2026-10-02-bbbbbbbbbb", "gone": True, "reason": "there is no such file"}],
    }


@pytest.mark.parametrize(
    ("states", "status"),
    [
        ([], 0),
        (["match", "final"], 0),
        (["short"], 4),
        (["excess"], 8),
        (["mixed"], 12),
        (["short", "excess"], 12),
        (["corrupt"], 16),
        (["disputed"], 16),
        (["settling"], 32),
        (["incomplete"], 32),
        (["unverifiable"], 32),
        (["replayed"], 64),
        (["match", "short", "corrupt", "settling", "replayed"], 116),
    ],
)
def test_the_exit_status_is_the_or_of_the_windows_bits(states: list[str], status: int) -> None:
    """Each state sets its bits; windows that match set none."""
    report = VerifyReport(as_of_ms=HOUR, preset="fast", windows=[window(Verdict(state)) for state in states])
    assert report.exit_status() == status


def test_every_state_has_its_bits() -> None:
    """No state is without an entry in the table."""
    assert set(EXIT_BITS) == set(Verdict)


ORIGINS = ("aaaaaaaaaa", "bbbbbbbbbb", "cccccccccc")
IDS = st.builds(EntryId, st.sampled_from(ORIGINS), st.integers(1, 99))
WINDOWS = st.builds(
    WindowReport,
    collection=st.sampled_from(["a", "b"]),
    start_ms=st.sampled_from([HOUR, HOUR + 3_600_000]),
    end_ms=st.just(HOUR + 7_200_000),
    state=st.sampled_from(Verdict),
    missing=st.lists(IDS, unique=True),
    duplicate=st.lists(IDS, unique=True),
    seen_earlier=st.dictionaries(IDS, st.integers(0, HOUR)),
)
SEGMENTS = st.builds(
    Segment,
    origin=st.sampled_from(ORIGINS),
    day=st.sampled_from(["2026-10-01", "2026-10-02"]),
    local_count=st.integers(0, 9),
    server_count=st.integers(0, 9),
    windows=st.dictionaries(st.sampled_from(Verdict), st.integers(1, 9)),
    named=st.dictionaries(st.sampled_from(NAMED), st.integers(1, 9)),
)
AUDITS = st.builds(
    Audit,
    collection=st.sampled_from(["a", "b"]),
    exact=st.lists(st.sampled_from("xyz"), unique=True).map(tuple),
    left_out=st.dictionaries(st.sampled_from("uvw"), st.just("why")).map(lambda d: tuple(d.items())),
)


def _shuffled(value: Any, rng: random.Random) -> Any:
    """The same value, put together in another order."""
    if isinstance(value, Mapping):
        members = list(value.items())
        rng.shuffle(members)
        return dict(members)
    if isinstance(value, tuple | list):
        parts = [_shuffled(part, rng) for part in value]
        rng.shuffle(parts)
        return tuple(parts)
    if isinstance(value, WindowReport | Segment):
        names = [field.name for field in attrs.fields(type(value))]
        return type(value)(**{name: _shuffled(getattr(value, name), rng) for name in names})
    if isinstance(value, Audit):
        return attrs.evolve(
            value, exact=_shuffled(value.exact, rng), left_out=_reordered(value.left_out, rng)
        )
    return value


def _reordered(pairs: tuple[tuple[str, str], ...], rng: random.Random) -> tuple[tuple[str, str], ...]:
    return tuple(rng.sample(pairs, len(pairs)))


def _key(window: WindowReport) -> tuple[str, int]:
    return window.collection, window.start_ms


@given(
    st.lists(WINDOWS, unique_by=_key),
    st.lists(SEGMENTS, unique_by=lambda segment: segment.origin),
    st.lists(AUDITS, unique_by=lambda audit: audit.collection),
    st.randoms(use_true_random=False),
)
def test_the_same_state_is_the_same_bytes(
    windows: list[WindowReport], segments: list[Segment], audits: list[Audit], rng: random.Random
) -> None:
    """In whatever order its parts were found, a report reads the same: those of two nights can be compared by line."""
    one = VerifyReport(
        as_of_ms=HOUR, preset="fast", windows=windows, segments=tuple(segments), audited=tuple(audits)
    )
    other = VerifyReport(
        as_of_ms=HOUR,
        preset="fast",
        windows=_shuffled(windows, rng),
        segments=_shuffled(segments, rng),
        audited=_shuffled(audits, rng),
    )
    assert [orjson.dumps(row) for row in one.rows()] == [orjson.dumps(row) for row in other.rows()]


def _in_any_order(rng: random.Random) -> Callable[[dict[str, Any], Any], Any]:
    def alter(query: dict[str, Any], result: Any) -> Any:
        return result if "interval" in query else rng.sample(result, len(result))

    return alter


@pytest.mark.parametrize("seed", range(5))
def test_a_server_that_answers_in_any_order_makes_the_same_report(
    make_world: Callable[..., World], seed: int
) -> None:
    """Lost, doubled and altered events are told in the same bytes, however the server stores its events and rows."""
    told = []
    for rng in (None, random.Random(seed)):
        world = make_world()
        ids = world.record(40) + world.record(40, at_ms=HOUR + 3_600_000)
        world.record(5, collection="refunds")
        world.send(lose=set(ids[3:50:9]))
        for entry_id in ids[1:60:13]:
            world.server.store("purchases", world.server.find(entry_id)[0])
        for entry_id in ids[2:70:17]:
            world.server.find(entry_id)[0]["price"] = 7
        if rng is not None:
            for events in world.server.events.values():
                rng.shuffle(events)
            world.server.alter = _in_any_order(rng)
        world.advance(hours=9)
        told.append([orjson.dumps(row) for row in world.verify("fast").rows()])
    assert told[0] == told[1]
    assert any(b'"missing":["' in row for row in told[0])
