"""The document and the exit status that other programs rely on, frozen."""

from __future__ import annotations

from typing import Any

import pytest

from keen_client.api.cost import Cost
from keen_client.events.identity import EntryId
from keen_client.verify.report import Audit, Segment, VerifyReport, WindowReport
from keen_client.verify.verdict import EXIT_BITS, Verdict

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
