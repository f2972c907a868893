"""One window in depth: its reads, its minutes, and the evidence for every event that is out of the ordinary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from keen_client._foundation.clock import MS_PER_HOUR, MS_PER_MINUTE, ms_to_iso
from keen_client.errors import UsageError
from keen_client.report.drill_down import EVENTS_SHOWN, drill_down_lines
from keen_client.verify.drill_down import DrillDown, drill_down
from keen_client.verify.presets import preset

if TYPE_CHECKING:
    from tests.unit.verify.conftest import World

HOUR = 1_790_812_800_000


def shown(world: World, name: str = "fast", start_ms: int = HOUR) -> DrillDown:
    return drill_down(world.log, world.clock, preset(name), "purchases", start_ms, MS_PER_HOUR)


def text(document: dict[str, Any], *, ascii_only: bool = True) -> str:
    return "\n".join(line.plain for line in drill_down_lines(document, ascii_only=ascii_only))


def test_a_missing_event_is_shown_with_all_its_absences(world: World) -> None:
    """First and last absence, how many reads, and the attempt that they followed; nothing is asked."""
    world.record(10)
    later = world.record(5, at_ms=HOUR + 7 * MS_PER_MINUTE)
    world.send(lose=later[:1])
    for hours in (8, 2):
        world.advance(hours=hours)
        world.verify("fast")
    asked = len(world.server.queries)
    document = shown(world).document()
    assert len(world.server.queries) == asked
    assert (document["state"], len(document["observations"])) == ("short", 2)
    assert [(m["start"], m["events"], len(m["ids"])) for m in document["minutes"]] == [
        (ms_to_iso(HOUR), 10, 0),
        (ms_to_iso(HOUR + 7 * MS_PER_MINUTE), 5, 1),
    ]
    (event,) = document["minutes"][1]["ids"]
    assert event["id"] == str(later[0])
    assert (event["delivery"], event["attempt"], event["run"], event["unsure"]) == (
        "acknowledged",
        0,
        None,
        False,
    )
    (absence,) = event["evidence"]
    assert absence == {
        "kind": "absent",
        "first": ms_to_iso(HOUR + 8 * MS_PER_HOUR),
        "last": ms_to_iso(HOUR + 10 * MS_PER_HOUR),
        "reads": 2,
        "copies": None,
    }


def test_the_terminal_says_what_the_document_says(world: World) -> None:
    """State, reads, minutes as bars, the event with its evidence."""
    ids = world.record(10)
    world.send(lose=ids[:1])
    world.server.store("purchases", world.server.find(ids[4])[0])
    world.advance(hours=8)
    world.verify("fast")
    lines = text(shown(world).document())
    assert "mixed" in lines.splitlines()[0]
    assert "reads 1" in lines
    assert f"00:00       10  {'#' * 40}  2 with evidence" in lines
    assert f"    {ids[0]}" in lines
    assert "absent: first 2026-10-01T08:00:00.000Z, last 2026-10-01T08:00:00.000Z, in 1 reads" in lines
    assert "duplicate: first" in lines
    assert "2 copies" in lines
    assert "■" in text(shown(world).document(), ascii_only=False)


def test_what_was_not_read_is_said_loudly(world: World) -> None:
    """A window without any read says so."""
    world.record(3)
    document = shown(world).document()
    assert (document["state"], document["observations"]) == ("settling", [])
    assert "NOT READ YET" in text(document)
    assert document["minutes"][0]["events"] == 3


def test_a_window_that_there_is_not_is_a_usage_error(world: World) -> None:
    """Nothing recorded and nothing read there; or a start on no boundary."""
    with pytest.raises(UsageError, match="no events and no reads"):
        shown(world)
    with pytest.raises(UsageError, match="boundary"):
        shown(world, start_ms=HOUR + 1)


def test_a_long_list_is_cut_on_the_terminal() -> None:
    """The document has it all."""
    event: dict[str, Any] = {
        "id": "i",
        "timestamp": "t",
        "delivery": None,
        "attempt": None,
        "last_attempt": None,
        "run": 7,
        "unsure": True,
        "evidence": [],
    }
    read = {"at": "t", "verdict": "short", "reason": "\x1b", "expected": 1, "counted": 0}
    document = {
        "collection": "c",
        "start": "s",
        "end": "e",
        "state": None,
        "reason": "",
        "due": None,
        "observations": [read] * 12,
        "minutes": [
            {"start": "2026-10-01T04:05:00.000Z", "events": 900, "ids": [event] * (EVENTS_SHOWN + 3)}
        ],
    }
    lines = text(document).splitlines()
    assert lines[-1] == "and 3 more events with evidence; --json lists them all"
    assert "  2 earlier ones" in lines
    assert "\x1b" not in "".join(lines)
    assert sum("run 7, an attempt's outcome is not known" in line for line in lines) == EVENTS_SHOWN


def test_rows_are_the_document_in_order(world: World) -> None:
    """The lines of --ndjson: every window in its order, then all that is not a window."""
    world.record(3, collection="b")
    world.record(3, collection="a")
    world.record(3, at_ms=HOUR + MS_PER_HOUR)
    world.send()
    report = world.verify()
    *windows, summary = report.rows()
    document = report.document()
    assert [{"type": "window", **w} for w in document.pop("windows")] == windows
    assert [(w["start"][11:13], w["collection"]) for w in windows] == [
        ("00", "a"),
        ("00", "b"),
        ("01", "purchases"),
    ]
    assert summary == {"type": "summary", **document}
