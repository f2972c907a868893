"""The application in process, on a clock that the test turns: faults, tokens, delays, restarts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import anyio
import httpx
import pytest

from keen_client._foundation.clock import MS_PER_DAY, MS_PER_HOUR
from keen_client.server import FaultEngine, Project, Store, create_app, parse_faults
from keen_client.server.reply import ConnectionCut
from tests.unit.server.turned_clock import TurnedClock

PROJECT: Final = Project("5f0000000000000000000001", "W", "R", "M")
WIDE: Final = {"start": "1970-01-01T00:00:00Z", "end": "2100-01-01T00:00:00Z"}


class House:
    """A server in process: its clock, its faults and its directory, and short words for its calls."""

    def __init__(self, directory: Path | None = None) -> None:
        self.clock = TurnedClock()
        self.faults = FaultEngine(seed=1)
        self.directory = directory
        self._open()

    def _open(self) -> None:
        self.store = Store(self.directory, clock=self.clock)
        self.app = create_app(PROJECT, self.store, self.faults, self.clock)

    def restart(self, *, killed: bool = False) -> None:
        """Close the store, or leave it as a crash would, and open it again."""
        if killed:
            # What the engine folded and the tail synced is all that a crash leaves.
            self.store._engine.close()
            self.store._tail.close()
        else:
            self.store.close()
        self._open()

    def call(self, method: str, path: str, *, key: str = "M", **options: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://local") as client:
                return await client.request(method, path, headers={"Authorization": key}, **options)

        run: Callable[[Callable[[], Awaitable[httpx.Response]]], httpx.Response] = anyio.run
        return run(send)

    def control(self, **changes: Any) -> None:
        renamed = {name.replace("_", "-"): value for name, value in changes.items()}
        assert self.call("POST", "/_control/faults", json=renamed).status_code == 200

    def write(self, *events: dict[str, Any], collection: str = "c") -> list[Any]:
        batch = {collection: list(events)}
        reply = self.call("POST", f"/3.0/projects/{PROJECT.id}/events", key="W", json=batch)
        assert reply.status_code == 200
        results: list[Any] = reply.json()[collection]
        return results

    def query(self, kind: str, **parameters: Any) -> Any:
        body = {"event_collection": "c", "timeframe": WIDE, **parameters}
        reply = self.call("POST", f"/3.0/projects/{PROJECT.id}/queries/{kind}", key="R", json=body)
        if reply.status_code == 404:
            return 0
        assert reply.status_code == 200, reply.text
        return reply.json()["result"]

    def count(self, **parameters: Any) -> int:
        return int(self.query("count", **parameters))


@pytest.fixture
def house() -> Iterator[House]:
    """A server in memory."""
    made = House()
    yield made
    made.store.close()


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[House]:
    """A server with a directory."""
    made = House(tmp_path / "data")
    yield made
    made.store.close()


def _event(number: int, **keen: Any) -> dict[str, Any]:
    return {"n": number, "keen": {"uniqueness_token": f"t{number}", **keen}}


def test_an_event_is_seen_by_the_very_next_query(house: House) -> None:
    """Without faults there is no visibility delay."""
    for number in range(1, 4):
        house.write(_event(number))
        assert house.count() == number


def test_a_repeated_token_is_answered_as_success_and_stores_nothing(house: House) -> None:
    """The default: honoured at the edge, silently."""
    house.write(_event(1))
    assert house.write(_event(1), _event(2), _event(2)) == [{"success": True}] * 3
    assert house.count() == 2


def test_a_token_expires_after_31_days(house: House) -> None:
    """Then the same token is accepted again."""
    house.write(_event(1))
    house.clock.now_ms += 31 * MS_PER_DAY
    house.write(_event(1))
    assert house.count() == 2


def test_repeated_tokens_can_be_made_visible_or_be_ignored(house: House) -> None:
    """``tokens=visible`` names the duplicate, ``tokens=off`` stores it."""
    house.write(_event(1))
    house.control(tokens="visible")
    (result,) = house.write(_event(1))
    assert result["error"]["name"] == "DuplicateEventError"
    house.control(tokens="off")
    house.write(_event(1))
    assert house.count() == 2


def test_a_lost_event_can_be_sent_again_under_its_token(house: House) -> None:
    """``lose`` says success, stores nothing, and does not register the token."""
    house.control(lose=1)
    assert house.write(_event(1)) == [{"success": True}]
    assert house.count() == 0
    house.write(_event(1))
    assert house.count() == 1


def test_lose_keep_token_swallows_the_resend(house: House) -> None:
    """The trap: the token is registered, the event is gone, only a new token helps."""
    house.control(lose_keep_token={"times": 1})
    house.write(_event(1))
    assert house.write(_event(1)) == [{"success": True}]
    assert house.count() == 0
    house.write(_event(1, uniqueness_token="t1~1"))
    assert house.count() == 1


def test_duplicate_stores_a_second_copy(house: House) -> None:
    """Both copies carry the same token and content, under two keen.ids."""
    house.control(duplicate=1)
    house.write(_event(1))
    one, other = house.query("extraction")
    assert one["keen"].pop("id") != other["keen"].pop("id")
    assert one == other


def test_null_properties_leave_only_keen(house: House) -> None:
    """Every property reads null, the timestamp and the token stay."""
    house.control(null_properties=1)
    house.write({**_event(1), "kc": {"o": "x", "h": 5}})
    (event,) = house.query("extraction")
    assert (event["n"], event["kc"]) == (None, None)
    assert event["keen"]["uniqueness_token"] == "t1"
    assert house.query("count", group_by="kc.o") == [{"kc.o": None, "result": 1}]


def test_an_event_with_a_null_timestamp_falls_into_no_timeframe(house: House) -> None:
    """It is stored, and no timeframe shows it."""
    house.control(null_timestamp={"times": 1})
    house.write(_event(1), _event(2))
    assert house.count() == 1


def test_reject_refuses_single_events(house: House) -> None:
    """A permanent per-event error; its siblings are stored."""
    house.control(reject={"times": 1})
    bad, good = house.write(_event(1), _event(2))
    assert (bad["success"], bad["error"]["name"]) == (False, "InvalidPropertyValueError")
    assert good == {"success": True}
    assert house.count() == 1


def test_cut_after_store_stores_and_does_not_answer(house: House) -> None:
    """In process the cut is an exception; the event is there."""
    house.control(cut_after_store={"times": 1})
    with pytest.raises(ConnectionCut):
        house.write(_event(1))
    assert house.count() == 1


def test_a_delayed_event_appears_when_its_time_has_come(house: House) -> None:
    """It is hidden until then, whatever else is written."""
    house.control(delay="1:2h")
    house.write(_event(1))
    house.control(delay=None)
    house.write(_event(2))
    assert house.count() == 1
    house.clock.now_ms += 2 * MS_PER_HOUR
    assert house.count() == 2


def test_release_makes_delayed_events_visible_at_once(house: House) -> None:
    """The control endpoint says how many there were."""
    house.control(delay="1:10d")
    house.write(_event(1), _event(2))
    assert house.count() == 0
    assert house.call("POST", "/_control/release").json() == {"released": 2}
    assert house.count() == 2


def test_shift_moves_the_timestamp(house: House) -> None:
    """By exactly the duration, in the stored event too."""
    house.control(shift="1:1h")
    house.write(_event(1))
    (event,) = house.query("extraction")
    assert event["keen"]["timestamp"] == "2026-10-01T13:00:00.000Z"
    assert house.count(timeframe={"start": "2026-10-01T13:00:00Z", "end": "2026-10-01T14:00:00Z"}) == 1


def test_forget_drops_what_is_stored_and_what_comes(house: House) -> None:
    """As if never there: a resend lands, tokens and all; other hours are untouched."""
    house.write(_event(1), _event(2, timestamp="2026-10-01T09:00:00Z"))
    house.control(forget="2026-10-01T12:00:00Z/2026-10-01T13:00:00Z")
    house.write(_event(3))
    assert house.count() == 1
    house.write(_event(1), _event(3))
    assert house.count() == 3


def test_partial_reads_miss_other_events_each_time(house: House) -> None:
    """Counts flap, and nothing is lost."""
    house.write(*(_event(number) for number in range(200)))
    house.control(partial_reads=0.5)
    counts = [house.count() for _ in range(6)]
    assert len(set(counts)) > 1
    assert all(50 < count < 150 for count in counts)
    house.control(partial_reads=0)
    assert house.count() == 200


@pytest.mark.parametrize(
    ("fault", "status", "kind"), [("http-500", 500, "application/json"), ("html-502", 502, "text/html")]
)
def test_a_broken_front_answers_without_looking(house: House, fault: str, status: int, kind: str) -> None:
    """Nothing of such a request is stored."""
    house.call("POST", "/_control/faults", json={fault: {"times": 1}})
    reply = house.call("POST", f"/3.0/projects/{PROJECT.id}/events/c", key="W", json={"a": 1})
    assert (reply.status_code, reply.headers["content-type"].partition(";")[0]) == (status, kind)
    assert house.count() == 0


def test_slow_answers_after_the_work_is_done(house: House) -> None:
    """Each reply is held back, and counted."""
    house.control(slow="1ms")
    house.write(_event(1))
    assert house.count() == 1
    assert house.call("GET", "/_control/faults").json()["counters"]["slow"] == 2


def test_every_reply_carries_date_and_cors(house: House) -> None:
    """One Date, by the server's clock; browsers may read errors too, and may ask first."""
    for reply in (
        house.call("GET", "/3.0/nothing"),
        house.call("OPTIONS", f"/3.0/projects/{PROJECT.id}/events"),
    ):
        assert reply.headers.get_list("date") == ["Thu, 01 Oct 2026 12:00:00 GMT"]
        assert reply.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    ("key", "path", "code"),
    [
        ("X", "/_control/faults", "InvalidApiKeyError"),
        ("W", "/_control/faults", "AdminOnlyEndpointError"),
        ("R", f"/3.0/projects/{PROJECT.id}", "AdminOnlyEndpointError"),
        ("W", f"/3.0/projects/{PROJECT.id}/events", "InvalidApiKeyError"),
    ],
)
def test_a_key_opens_only_its_own_doors(house: House, key: str, path: str, code: str) -> None:
    """401, by the names that clients know."""
    reply = house.call("GET", path, key=key)
    assert (reply.status_code, reply.json()["error_code"]) == (401, code)


def test_another_project_is_not_found(house: House) -> None:
    """An unknown project is a 404, whatever the key."""
    assert house.call("GET", "/3.0/projects/other/events").status_code == 404


def test_too_much_is_refused_and_nothing_of_it_stored(house: House) -> None:
    """Over 900,000 bytes an event, over 10,000,000 a body: 413."""
    long = {f"a{number}": "x" * 9_999 for number in range(91)}
    single = house.call("POST", f"/3.0/projects/{PROJECT.id}/events/c", key="W", json=long)
    bulk = house.call("POST", f"/3.0/projects/{PROJECT.id}/events", key="W", json={"c": [{"a": 1}, long]})
    body = house.call("POST", f"/3.0/projects/{PROJECT.id}/events", key="W", content=b" " * 10_000_001)
    assert [reply.status_code for reply in (single, bulk, body)] == [413] * 3
    assert house.count() == 0


def test_too_many_subtimeframes_are_refused(house: House) -> None:
    """2,500 are answered, 2,501 are a 400."""
    house.write(_event(1))
    start = "2026-10-01T00:00:00Z"
    for end, status in (("2026-10-02T17:40:00Z", 200), ("2026-10-02T17:41:00Z", 400)):
        body = {"event_collection": "c", "timeframe": {"start": start, "end": end}, "interval": "minutely"}
        reply = house.call("POST", f"/3.0/projects/{PROJECT.id}/queries/count", key="R", json=body)
        assert reply.status_code == status


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("folded", [False, True])
def test_a_restart_loses_nothing(durable: House, *, killed: bool, folded: bool) -> None:
    """Events, tokens and delays are there again, once, whether they were folded or not."""
    durable.write(_event(1), _event(2))
    if folded:
        assert durable.count() == 2
    durable.control(delay="1:1h")
    durable.write(_event(3))
    durable.control(delay=None, lose_keep_token={"times": 1})
    durable.write(_event(4))
    durable.restart(killed=killed)
    assert durable.count() == 2
    durable.write(_event(1), _event(2), _event(3), _event(4))
    durable.clock.now_ms += MS_PER_HOUR
    assert durable.count() == 3
    durable.restart()
    assert durable.query("sum", target_property="n") == 6


def test_a_torn_write_at_the_end_of_the_tail_is_cut_off(durable: House) -> None:
    """It was never acknowledged; what stands before it stays, and new writes follow cleanly."""
    durable.write(_event(1))
    assert durable.directory is not None
    with (durable.directory / "tail.ndjson").open("ab") as tail:
        tail.write(b'[99,"c",1,1,0,null]\t{"half')
    durable.restart(killed=True)
    durable.write(_event(2))
    durable.restart(killed=True)
    assert durable.count() == 2


def test_a_large_tail_is_emptied_once_it_is_folded(durable: House) -> None:
    """The file does not grow for ever, and a restart reads the tables alone."""
    padding = {f"p{number}": "x" * 9_000 for number in range(90)}
    for number in range(12):
        durable.write({**padding, **_event(number)})
    assert durable.count() == 12
    assert durable.directory is not None
    assert (durable.directory / "tail.ndjson").stat().st_size == 0
    durable.write(_event(20))
    durable.restart(killed=True)
    assert durable.count() == 13


def test_deleting_takes_what_is_selected(house: House) -> None:
    """By filter and timeframe; without either the collection is gone."""
    house.write(*(_event(number) for number in range(5)))
    path = f"/3.0/projects/{PROJECT.id}/events/c"
    filters = '[{"property_name": "n", "operator": "lt", "property_value": 2}]'
    assert (
        house.call("DELETE", path, params={"filters": filters, "timeframe": "this_1_hours"}).status_code
        == 204
    )
    assert house.count() == 3
    assert house.call("DELETE", path).status_code == 204
    assert house.call("GET", path).status_code == 404


def test_forget_from_the_start_covers_what_a_directory_holds(durable: House) -> None:
    """A server started with the fault forgets what an earlier run stored."""
    durable.write(_event(1), _event(2, timestamp="2026-10-01T09:00:00Z"))
    durable.faults = FaultEngine(parse_faults(["forget=2026-10-01T12:00:00Z/2026-10-01T13:00:00Z"]))
    durable.restart()
    assert durable.count() == 1
    assert durable.faults.counters == {"forget": 1}
