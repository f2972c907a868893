"""Level 0 reads exactly what it asked for, or nothing."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from keen_client._foundation.clock import MS_PER_HOUR, ms_to_iso
from keen_client.errors import UnreadableResponseError, UsageError
from keen_client.eventlog.expectation import Window
from keen_client.eventlog.fold import Amount, Sums
from keen_client.transport.base_url import is_loopback
from keen_client.verify.compare import amounts_agree, compare
from keen_client.verify.level_zero import (
    Cell,
    ServerWindow,
    choose_audit,
    level_zero_query,
    read_level_zero,
)
from keen_client.verify.presets import check_preset, preset
from keen_client.verify.windows import BATCH_EVENTS_MAX, Scope, batches

HOUR = 1_790_812_800_000
ORIGIN = "aaaaaaaaaa"
SCOPE = Scope(HOUR, HOUR + 2 * MS_PER_HOUR)


def row(origin: object = ORIGIN, **values: object) -> dict[str, object]:
    return {"kc.o": origin, "c": 2, "h": 30, "g": 40, "b": 7, "x0": 5, **values}


def answer(*rows: dict[str, object]) -> list[dict[str, Any]]:
    return [
        {
            "value": list(rows),
            "timeframe": {"start": ms_to_iso(start), "end": ms_to_iso(start + MS_PER_HOUR)},
        }
        for start in SCOPE.starts
    ]


def parse(result: Any) -> dict[int, ServerWindow]:
    return read_level_zero(result, SCOPE, ["price"], {ORIGIN})


def test_the_query_is_the_documented_one() -> None:
    """One multi-analysis, hourly, by origin, over the absolute timeframe."""
    assert level_zero_query(SCOPE, "purchases", ["price"]).to_json() == {
        "event_collection": "purchases",
        "timeframe": {"start": "2026-10-01T00:00:00.000Z", "end": "2026-10-01T02:00:00.000Z"},
        "timezone": "UTC",
        "interval": "hourly",
        "group_by": ["kc.o"],
        "analyses": {
            "c": {"analysis_type": "count"},
            "h": {"analysis_type": "sum", "target_property": "kc.h"},
            "g": {"analysis_type": "sum", "target_property": "kc.g"},
            "b": {"analysis_type": "maximum", "target_property": "kc.b"},
            "x0": {"analysis_type": "sum", "target_property": "price"},
        },
    }


def test_groups_are_sorted_into_ours_nameless_and_others() -> None:
    """Integral floats are integers; null sums of nothing are nought; foreign sums are not looked at."""
    found = parse(answer(row(h=30.0), row(None, c=3, h=None), row("bbbbbbbbbb", c=4, h="x"), row(5, c=1)))
    window = found[HOUR]
    assert window.by_origin == {ORIGIN: Cell(2, 30, 40, 7, {"price": 5})}
    assert (window.nameless, window.others, window.count, window.foreign) == (3, 5, 2, 8)


@pytest.mark.parametrize(
    "bad",
    [
        row(c="2"),
        row(c=1.5),
        row(c=-1),
        row(h=2**53 + 1),
        row(h="30"),
        row(g=True),
        row(b="x"),
        row(x0="5"),
        row(x0=float("nan")),
        row(c=0),
        row(z=1),
        {"kc.o": ORIGIN, "c": 2},
        "row",
        None,
    ],
)
def test_a_group_that_is_not_what_was_asked_for_is_no_answer(bad: Any) -> None:
    """Texts, fractions, negatives, sums over 2^53, unknown and missing labels."""
    with pytest.raises(UnreadableResponseError):
        parse(answer(bad))


def _damage(kind: str) -> Any:
    result: Any = answer(row())
    first = result[0]
    if kind == "truncated":
        return result[:1]
    if kind == "twice":
        return [first, copy.deepcopy(first)]
    if kind == "clipped":
        first["timeframe"]["end"] = ms_to_iso(HOUR + 5)
    elif kind == "elsewhere":
        first["timeframe"] = {"start": ms_to_iso(HOUR - MS_PER_HOUR), "end": ms_to_iso(HOUR)}
    elif kind == "no zone":
        first["timeframe"]["start"] = "2026-10-01T00:00:00"
    elif kind == "group twice":
        first["value"].append(row())
    elif kind == "not a list":
        return {"result": 1}
    elif kind == "value":
        first["value"] = 3
    return result


@pytest.mark.parametrize(
    "kind",
    ["truncated", "twice", "clipped", "elsewhere", "no zone", "group twice", "not a list", "value"],
)
def test_an_answer_that_is_not_whole_is_no_answer(kind: str) -> None:
    """Every sub-timeframe exactly once, with the exact bounds; every group at most once."""
    with pytest.raises(UnreadableResponseError):
        parse(_damage(kind))


def window_of(**amounts: Amount) -> Window:
    return Window(HOUR, HOUR + MS_PER_HOUR, {ORIGIN: Sums(2, 30, 40, dict(amounts))})


def test_only_numbers_that_every_event_has_are_audited() -> None:
    """Integers exactly, others within rounding, and what some events lack not at all."""
    audit = choose_audit(
        "purchases",
        [
            window_of(
                a=Amount(2, 2, 7, 0.0, 7.0),
                b=Amount(2, 1, 3, 0.5, 3.5),
                c=Amount(1, 1, 7, 0.0, 7.0),
                d=Amount(2, 2, 2**60, 0.0, 2.0**60),
                e=Amount(2, 0, 0, float("inf"), float("inf")),
            )
        ],
    )
    assert (audit.exact, audit.rounded) == (("a",), ("b", "d"))
    assert [name for name, _ in audit.left_out] == ["c", "e"]


def test_amounts_agree_exactly_or_within_rounding() -> None:
    """0.1 + 0.2 may come in any order; one unit more may not."""
    tenths = Amount(3, 0, 0, 0.1 + 0.2 + 0.3, 0.6)
    assert amounts_agree(tenths, 0.3 + 0.2 + 0.1)
    assert not amounts_agree(tenths, 0.6000001)
    assert amounts_agree(Amount(2, 2, 7, 0.0, 7.0), 7.0)
    assert not amounts_agree(Amount(2, 2, 7, 0.0, 7.0), 7.0000001)


@pytest.mark.parametrize(
    ("cells", "verdict"),
    [
        ({ORIGIN: Cell(2, 30, 40)}, "match"),
        ({ORIGIN: Cell(1, 10, 10)}, "short"),
        ({ORIGIN: Cell(3, 50, 50)}, "excess"),
        ({ORIGIN: Cell(2, 31, 40)}, "differs"),
        ({ORIGIN: Cell(2, 30, 41)}, "differs"),
        ({ORIGIN: Cell(2, 30, 40), "bbbbbbbbbb": Cell(1, 1, 1)}, "excess"),
        ({ORIGIN: Cell(1, 10, 10), "bbbbbbbbbb": Cell(1, 1, 1)}, "mixed"),
        ({}, "short"),
    ],
)
def test_windows_are_compared_by_origin(cells: dict[str, Cell], verdict: str) -> None:
    """An event too many of one origin never makes up for one that another lacks."""
    assert compare(window_of(), ServerWindow(cells), []).verdict == verdict


def test_scopes_lie_on_the_boundaries_of_their_windows() -> None:
    """Otherwise a usage error that names the nearest ones."""
    with pytest.raises(UsageError) as caught:
        Scope(HOUR + 1, HOUR + MS_PER_HOUR)
    assert caught.value.hint == "such as 2026-10-01T00:00:00.000Z or 2026-10-01T01:00:00.000Z"
    with pytest.raises(UsageError):
        Scope(HOUR, HOUR)
    with pytest.raises(UsageError):
        Scope(HOUR, HOUR + MS_PER_HOUR, 7)


def test_a_long_scope_is_asked_for_in_parts() -> None:
    """At most 2,400 windows a query, together the whole scope."""
    parts = list(Scope(HOUR, HOUR + 5000 * 60_000, 60_000).queries())
    assert [len(part.starts) for part in parts] == [2400, 2400, 200]


def test_differing_windows_are_looked_at_together_while_little_lies_between() -> None:
    """Neighbours join over a small gap; a large gap, or a full batch, starts another question."""
    busy = dict.fromkeys(range(1, 10), 600)
    assert batches([3, 1, 2], busy) == [[1, 2, 3]]
    assert batches([1, 3, 5], busy) == [[1, 3, 5]]
    assert batches([1, 9], busy) == [[1], [9]]
    assert batches([1, 9], {1: 600, 9: 600}) == [[1, 9]]
    full = dict.fromkeys(range(5), BATCH_EVENTS_MAX // 2)
    assert batches(range(5), full) == [[0, 1], [2, 3], [4]]
    assert batches([4], {}) == [[4]]
    assert batches([], busy) == []


def test_immediate_is_for_loopback_or_on_demand() -> None:
    """A remote server needs time; so does every other preset have some."""
    check_preset(preset("immediate"), "http://127.0.0.1:8200")
    check_preset(preset("immediate"), "http://localhost:8200")
    check_preset(preset("immediate"), "https://api.keen.io", allow_immediate=True)
    check_preset(preset("fast"), "https://api.keen.io")
    with pytest.raises(UsageError):
        check_preset(preset("immediate"), "https://api.keen.io")
    assert is_loopback("http://[::1]:1")
    assert not is_loopback("http://10.0.0.1")


def test_presets_are_known_by_name_and_take_a_settle_time() -> None:
    """An unknown name and a negative time are usage errors."""
    assert preset().name == "standard"
    assert preset("fast", 5).settle_ms == 5
    with pytest.raises(UsageError):
        preset("slow")
    with pytest.raises(UsageError):
        preset("fast", -1)
