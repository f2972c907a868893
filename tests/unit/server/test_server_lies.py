"""Reads that lie: stale, short of what was there, and aggregates that are wrong, each by its fault and its seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import anyio
import httpx
import orjson
import pytest

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR, ms_to_iso
from keen_client.server import FaultEngine, Project, Store, create_app
from keen_client.server.analysis import answer
from keen_client.server.control import Control
from keen_client.server.intake import Intake
from keen_client.server.query import parse_query
from keen_client.server.refusal import Refusal
from tests.unit.server.turned_clock import NOON_MS, TurnedClock

HOURS: Final = {"start": "2026-10-01T10:00:00Z", "end": "2026-10-01T14:00:00Z"}


class Desk:
    """The parts of the server without HTTP: write, ask, change faults."""

    def __init__(self, directory: Path | None = None, seed: int = 7) -> None:
        self.clock = TurnedClock()
        self.faults = FaultEngine(seed=seed)
        self.directory = directory
        self.open()

    def open(self) -> None:
        self.store = Store(self.directory, clock=self.clock)
        self.control = Control(self.store, self.faults)

    def fault(self, **changes: Any) -> None:
        self.control.change({name.replace("_", "-"): value for name, value in changes.items()})

    def write(self, numbers: range, start_ms: int = NOON_MS) -> None:
        """One event a number, ten a minute, each with the number as ``n``."""
        events = [
            {"n": n, "g": n % 3, "keen": {"timestamp": ms_to_iso(start_ms + n * 6_000)}} for n in numbers
        ]
        Intake(self.store, self.faults, self.clock).write_many({"c": events}, 0)

    def ask_raw(self, kind: str = "count", **given: Any) -> bytes:
        query = parse_query(kind, {"event_collection": "c", "timeframe": HOURS, **given}, self.clock.now_ms)
        reading = self.faults.reading(query)
        with self.store.reading() as engine:
            return answer(engine, query, now_ms=self.clock.now_ms, reading=reading)

    def ask(self, kind: str = "count", **given: Any) -> Any:
        return orjson.loads(self.ask_raw(kind, **given))["result"]


@pytest.fixture
def desk() -> Iterator[Desk]:
    """A server's parts in memory."""
    made = Desk()
    yield made
    made.store.close()


MULTI: Final[dict[str, Any]] = {
    "analyses": {"c": {"analysis_type": "count"}, "s": {"analysis_type": "sum", "target_property": "n"}},
    "interval": "hourly",
    "group_by": ["g"],
}


def _cells(result: list[Any]) -> dict[tuple[str, Any], tuple[Any, Any]]:
    return {
        (item["timeframe"]["start"], row["g"]): (row["c"], row["s"])
        for item in result
        for row in item["value"]
    }


def test_a_stale_read_sees_what_was_there_so_long_ago(desk: Desk) -> None:
    """Events written within the duration are not seen, and events delayed until within it are not either."""
    desk.write(range(10))
    desk.clock.now_ms += MS_PER_HOUR
    desk.write(range(10, 15))
    desk.fault(stale_reads="30m")
    assert desk.ask() == 10
    desk.clock.now_ms += MS_PER_HOUR // 2
    assert desk.ask() == 15
    desk.fault(stale_reads=None, delay="1:1ms")
    desk.write(range(15, 20))
    desk.fault(delay=None, stale_reads="1h")
    desk.clock.now_ms += MS_PER_HOUR
    assert desk.ask() == 15
    desk.clock.now_ms += 1
    assert desk.ask() == 20
    assert desk.faults.counters["stale-reads"] == 4


def test_a_vanished_event_is_seen_at_first_and_again_once_resurrected(desk: Desk) -> None:
    """It is there, then it is not, then it is there for good; its token stays registered all the while."""
    desk.fault(vanish="1:3h")
    desk.write(range(4))
    desk.fault(vanish=None)
    desk.write(range(4, 6))
    desk.clock.now_ms += 3 * MS_PER_HOUR - 1
    assert (desk.ask(), desk.control.resurrect()) == (6, {"resurrected": 0})
    desk.clock.now_ms += 1
    assert desk.ask() == 2
    assert desk.control.resurrect() == {"resurrected": 4}
    desk.clock.now_ms += MS_PER_DAY
    assert desk.ask() == 6
    assert desk.faults.counters["vanish"] == 4


@pytest.mark.parametrize("is_folded", [True, False])
def test_what_vanishes_vanishes_after_a_restart_too(tmp_path: Path, is_folded: bool) -> None:
    """The moment is kept, in the tables and in the tail."""
    desk = Desk(tmp_path / "data")
    desk.fault(vanish="1:3h")
    desk.write(range(4))
    if is_folded:
        desk.store.close()
    else:
        desk.store._engine.close()
        desk.store._tail.close()
    desk.open()
    assert desk.ask() == 4
    desk.clock.now_ms += 3 * MS_PER_HOUR
    assert desk.ask() == 0
    desk.store.close()


def test_a_directory_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    """Neither its tail nor its tables know of vanishing; what they hold never vanishes."""
    desk = Desk(tmp_path / "data")
    desk.write(range(3))
    desk.store.fold()
    desk.store._engine._connection.execute("ALTER TABLE events_1 DROP COLUMN vanish")
    desk.store._engine.close()
    desk.store._tail.close()
    tail = tmp_path / "data" / "tail.ndjson"
    lines = [line.split(b"\t") for line in tail.read_bytes().splitlines()]
    old = [orjson.dumps(orjson.loads(head)[:6]) + b"\t" + body for head, body in lines]
    tail.write_bytes(b"".join(line + b"\n" for line in old))
    desk.open()
    desk.write(range(3, 5))
    desk.clock.now_ms += MS_PER_DAY
    assert (desk.ask(), desk.control.resurrect()) == (5, {"resurrected": 0})
    desk.store.close()


@pytest.mark.parametrize(("lie", "place", "most"), [("lie-count", 0, 1), ("lie-sum", 1, 1_000)])
def test_one_number_of_the_answer_is_off(desk: Desk, lie: str, place: int, most: int) -> None:
    """Exactly one cell differs, in the right analysis, by no more than is said; nothing becomes negative."""
    desk.write(range(700))
    truth = _cells(desk.ask("multi_analysis", **MULTI))
    desk.control.change({lie: 1})
    for _ in range(20):
        told = _cells(desk.ask("multi_analysis", **MULTI))
        wrong = {key for key in truth if truth[key] != told[key]}
        assert len(wrong) == 1
        (key,) = wrong
        assert truth[key][1 - place] == told[key][1 - place]
        assert 1 <= abs(truth[key][place] - told[key][place]) <= most
        assert told[key][place] >= 0
    assert desk.faults.counters == {lie: 20}


def test_a_plain_count_lies_too(desk: Desk) -> None:
    """Without interval and groups the one number is off; an analysis of another kind stays true."""
    desk.write(range(5))
    desk.fault(lie_count=1)
    assert desk.ask() in (4, 6)
    assert desk.ask("maximum", target_property="n") == 4
    assert desk.faults.counters == {"lie-count": 1}


def test_an_interval_is_missing(desk: Desk) -> None:
    """One sub-timeframe of those asked for is not in the answer; a query without interval has none to lose."""
    desk.write(range(5))
    desk.fault(missing_interval=1)
    assert len(desk.ask(interval="hourly")) == 3
    assert desk.ask() == 5
    assert desk.faults.counters == {"missing-interval": 1}


def test_rows_come_in_any_order(desk: Desk) -> None:
    """The same rows as ever, in another order at least sometimes."""
    desk.write(range(700))
    truth = desk.ask("multi_analysis", **MULTI)
    desk.fault(reordered_rows=1)
    told = [desk.ask("multi_analysis", **MULTI) for _ in range(5)]
    assert all(_cells(one) == _cells(truth) for one in told)
    assert any(one != truth for one in told)
    groups = [desk.ask(group_by="g") for _ in range(9)]
    assert len({orjson.dumps(one) for one in groups}) > 1


def test_numbers_come_as_strings(desk: Desk) -> None:
    """Every value of an analysis is text; an extraction is the user's own data, and stays."""
    desk.write(range(3))
    desk.fault(strings=1)
    assert desk.ask() == "3"
    assert {row["result"] for row in desk.ask(group_by="g")} == {"1"}
    assert {event["n"] for event in desk.ask("extraction")} == {0, 1, 2}


def test_an_answer_is_cut_off(desk: Desk) -> None:
    """What is left of it is no JSON."""
    desk.write(range(3))
    desk.fault(truncated=1)
    for kind in ("count", "extraction"):
        with pytest.raises(orjson.JSONDecodeError):
            orjson.loads(desk.ask_raw(kind))


def test_numbers_are_printed_with_so_many_digits(desk: Desk) -> None:
    """A sum that needs more digits is rounded; one that does not stays exact, and is not counted."""
    Intake(desk.store, desk.faults, desk.clock).write_many({"c": [{"n": 2**53 - 1}, {"n": -1}]}, 0)
    desk.fault(digits=15)
    assert desk.ask("maximum", target_property="n") == 9007199254740990 != 2**53 - 1
    assert desk.ask() == 2
    assert desk.faults.counters == {"digits": 1}


def test_large_sums_depend_on_the_order_and_small_ones_do_not(desk: Desk) -> None:
    """Doubles beyond 2^53 add up to different sums; below it the order cannot matter."""
    events = [{"large": 1 if n else 2**53, "small": 3**n} for n in range(30)]
    Intake(desk.store, desk.faults, desk.clock).write_many({"c": events}, 0)
    small = sum(3**n for n in range(30))
    desk.fault(shuffled_sums=1)
    assert len({desk.ask("sum", target_property="large") for _ in range(30)}) > 1
    assert {desk.ask("sum", target_property="small") for _ in range(5)} == {small}


def test_caps_refuse_with_400(desk: Desk) -> None:
    """Over the cap nothing is answered; at the cap everything is."""
    desk.write(range(6))
    desk.fault(scan_cap=6, group_cap=3)
    assert (desk.ask(), len(desk.ask(group_by="g"))) == (6, 3)
    desk.fault(scan_cap=5)
    with pytest.raises(Refusal, match="at most 5 events") as refused:
        desk.ask()
    assert refused.value.status == 400
    desk.fault(scan_cap=None, group_cap=2)
    with pytest.raises(Refusal, match="at most 2 are allowed"):
        desk.ask(group_by="g")
    assert desk.ask() == 6
    assert desk.faults.counters == {"scan-cap": 1, "group-cap": 1}


def test_the_same_seed_tells_the_same_lies(seed: int) -> None:
    """Two servers, one seed, the same questions: byte for byte the same answers."""
    texts = dict.fromkeys(("lie-count", "lie-sum", "missing-interval", "reordered-rows", "strings"), 0.5)
    told = []
    for _ in range(2):
        desk = Desk(seed=seed)
        desk.write(range(700))
        desk.control.change({**texts, "truncated": 0.2})
        told.append([desk.ask_raw("multi_analysis", **MULTI) for _ in range(20)])
        desk.store.close()
    assert told[0] == told[1]
    assert len(set(told[0])) > 1


def test_resurrect_is_an_endpoint_of_the_master_key(desk: Desk) -> None:
    """POST with the master key brings back what has vanished; another key is refused."""
    app = create_app(Project("p", "W", "R", "M"), desk.store, desk.faults, desk.clock)
    desk.fault(vanish="1:1s")
    desk.write(range(2))
    desk.clock.now_ms += 1_000

    async def call(key: str) -> httpx.Response:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app), base_url="http://local"
        ) as client:
            return await client.post("/_control/resurrect", headers={"Authorization": key})

    run: Callable[..., httpx.Response] = anyio.run
    assert run(call, "W").status_code == 401
    assert run(call, "M").json() == {"resurrected": 2}
    assert desk.ask() == 2
