"""The runner that sets this client beside others: it counts what is there, and our rows hold."""

from __future__ import annotations

import base64
import json
import sys
import urllib.parse
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.bench.peers.counting_sink import Book, Counts, Sent, Trouble, read_events, verdict
from tests.bench.peers.running import OWN, measure
from tests.bench.peers.scenarios import SCENARIOS, Outcome, Scenario
from tests.bench.peers.table import plain, section, with_section

SCENARIO = {scenario.key: scenario for scenario in SCENARIOS}
ROOT = Path(__file__).parents[2]

# ---- our own rows, run as the table's are ---------------------------------------------------


def outcome_of(key: str, directory: Path) -> Outcome:
    return measure(SCENARIO[key], OWN, sys.executable, directory)


def test_the_runner_measures_this_client_as_it_measures_the_others(tmp_path: Path) -> None:
    """Nothing goes wrong: all arrive, once, and no call touches a socket."""
    outcome = outcome_of("calm", tmp_path)
    assert (outcome.calls, outcome.raised, outcome.touched_wire) == (50, 0, 0)
    assert outcome.exit_seconds is not None
    assert (outcome.at_exit.distinct, outcome.at_exit.again) == (50, 0)


def test_a_refused_event_is_named_and_takes_no_other_with_it(tmp_path: Path) -> None:
    """Nineteen arrive, and `dead list` shows the twentieth under the server's name for it."""
    outcome = outcome_of("poison", tmp_path)
    assert outcome.at_exit.distinct == 19
    assert outcome.dead_letters == ("InvalidPropertyValueError",)


def test_a_lost_answer_brings_no_second_copy(tmp_path: Path) -> None:
    """What was taken and not answered is sent again under its token, so that the server holds each once."""
    outcome = outcome_of("answer_lost", tmp_path)
    assert outcome.at_exit.again_same_id > 0
    assert (outcome.at_exit.distinct, outcome.at_exit.kept, outcome.at_exit.again_other_id) == (50, 50, 0)


# ---- the sink -------------------------------------------------------------------------------


def batch(member: str, id_member: str, events: list[tuple[str, str]]) -> bytes:
    return json.dumps({member: [{id_member: i, "properties": {"mark": mark}} for mark, i in events]}).encode()


def as_snowplow(events: list[tuple[str, str]]) -> bytes:
    encoded = [base64.urlsafe_b64encode(json.dumps({"mark": mark}).encode()).decode() for mark, _ in events]
    return json.dumps(
        {"data": [{"eid": i, "ue_px": e} for e, (_, i) in zip(encoded, events, strict=True)]}
    ).encode()


def as_mixpanel(events: list[tuple[str, str]]) -> bytes:
    data = json.dumps([{"properties": {"mark": mark, "$insert_id": i}} for mark, i in events])
    return urllib.parse.urlencode({"data": data, "verbose": 1}).encode()


def as_keen(events: list[tuple[str, str]]) -> bytes:
    return json.dumps({"c": [{"mark": mark, "keen": {"uniqueness_token": i}} for mark, i in events]}).encode()


def as_sentry(events: list[tuple[str, str]]) -> bytes:
    lines: list[dict[str, Any]] = [{"dsn": "http://k@h/1"}]
    for mark, i in events:
        lines += [{"type": "event"}, {"event_id": i, "message": mark}]
    return "\n".join(json.dumps(line) for line in [*lines, {"type": "session"}, {"init": True}]).encode()


def as_otlp(events: list[tuple[str, str]]) -> bytes:
    return b"\x0a".join(mark.encode() for mark, _ in events)


PROTOCOLS = {
    "/v1/batch": lambda events: batch("batch", "messageId", events),
    "/batch/": lambda events: batch("batch", "uuid", events),
    "/2/httpapi": lambda events: batch("events", "insert_id", events),
    "/com.snowplowanalytics.snowplow/tp2": as_snowplow,
    "/track": as_mixpanel,
    "/3.0/projects/p/events": as_keen,
    "/api/1/envelope/": as_sentry,
    "/v1/logs": as_otlp,
}
#: Protocols in which a server can refuse one event and take the others.
FINE = {"/3.0/projects/p/events", "/v1/logs"}


@pytest.mark.parametrize("path", PROTOCOLS)
def test_each_protocol_is_read_event_by_event(path: str) -> None:
    """Numbers and ids as they were sent, and an answer of success."""
    body = PROTOCOLS[path]([("peer-event-1", "a"), ("peer-event-22", "b")])
    events = read_events(path, body)
    assert events is not None
    ids = ["", ""] if path == "/v1/logs" else ["a", "b"]
    assert events == [Sent(number, i) for number, i in zip((1, 22), ids, strict=True)]
    taken, answer = verdict(path, events, body)
    assert (list(taken), answer.status) == (events, 200)


@pytest.mark.parametrize("path", PROTOCOLS)
def test_each_protocol_refuses_one_event_in_its_own_way(path: str) -> None:
    """Where the protocol can say it, the others are taken; else the whole request is refused."""
    body = PROTOCOLS[path]([("peer-event-1", "a"), ("poison-event-7", "x"), ("peer-event-2", "b")])
    taken, answer = verdict(path, read_events(path, body) or [], body)
    assert [event.number for event in taken] == ([1, 2] if path in FINE else [])
    assert answer.status == (200 if path in FINE else 400)
    if path == "/2/httpapi":
        assert json.loads(answer.body)["events_with_invalid_fields"] == {"event_properties": [1]}
    if path == "/3.0/projects/p/events":
        assert [result["success"] for result in json.loads(answer.body)["c"]] == [True, False, True]


def test_a_path_of_nobody_is_not_read() -> None:
    """What cannot be read is told apart from what holds no event."""
    assert read_events("/elsewhere", b"{}") is None
    assert read_events("/api/1/envelope/", b'{"dsn":"x"}\n{"type":"session"}\n{"init":true}') == []


@pytest.mark.parametrize(("honours_tokens", "kept"), [(True, 3), (False, 4)])
def test_copies_are_counted_by_whether_the_id_is_the_same(honours_tokens: bool, kept: int) -> None:
    """Under the id of the first time, under another one; and what a server holds that honours tokens."""
    book = Book(Trouble())
    book.take([Sent(1, "a"), Sent(2, "b")], honours_tokens=honours_tokens)
    book.take([Sent(1, "a"), Sent(2, "c"), Sent(None, "d")], honours_tokens=honours_tokens)
    counts = book.counts()
    assert (counts.distinct, counts.again_same_id, counts.again_other_id) == (2, 1, 1)
    assert (counts.kept, counts.bare) == (kept, 1)


def test_an_outage_begins_with_the_first_event_and_one_answer_is_lost() -> None:
    """Every peer meets the whole of the trouble, whenever it sends first."""
    assert Book(Trouble()).meet_trouble() is None
    out_of_order = Book(Trouble(outage_seconds=1_000.0)).meet_trouble()
    assert out_of_order is not None
    assert out_of_order.status == 503
    book = Book(Trouble(loses_first_answer=True))
    assert [book.take([Sent(n, "")], honours_tokens=False) for n in range(3)] == [True, False, False]


# ---- the table ------------------------------------------------------------------------------


def outcome(peer: str, arrived: int, **given: Any) -> Outcome:
    counts = Counts(arrived, 0, 0, arrived, 0, 1, 0)
    return Outcome(
        **{
            "peer": peer,
            "scenario": "ended",
            "calls": 530,
            "raised": 0,
            "error": "",
            "p50_ms": 0.1,
            "p99_ms": 0.1,
            "max_ms": 0.1,
            "touched_wire": 0,
            "exit_seconds": 0.25,
            "at_exit": counts,
            "at_last": counts,
            **given,
        }
    )


def table_of(outcomes: list[Outcome]) -> str:
    return section(outcomes, versions={"keen_client": "1", "segment": "2"}, machine="m", day="d")


def test_a_cell_is_the_least_and_the_most_of_the_rounds() -> None:
    """One figure where the rounds agree, words where there is no figure, no column for who was not measured."""
    text = table_of(
        [
            outcome("keen_client", 530),
            outcome("keen_client", 530),
            outcome("segment", 400),
            outcome("segment", 0, exit_seconds=None),
        ]
    )
    assert "| | **keen_client** | segment |" in text
    assert "| arrived | 530 | 0 to 400 |" in text
    assert "| from the last call to the end, s | 0.2 | 0.2, ended by us after 60 s |" in text
    assert " 2 rounds, " in text
    assert "0 to 400" in plain(text)


def test_the_section_takes_its_own_place_and_no_other() -> None:
    """Written again, it replaces itself; what stands before and after it stays."""
    text = table_of([outcome("keen_client", 530)])
    first = with_section("# Evidence\n\n## Before\n\nb\n", text)
    page = first + "\n## After\n\na\n"
    assert with_section(page, text) == page
    changed = with_section(page, table_of([outcome("keen_client", 529)]))
    assert changed.startswith("# Evidence\n\n## Before\n\nb\n\n## Beside other clients\n")
    assert changed.endswith("\n\n## After\n\na\n")
    assert "| arrived | 529 |" in changed
    assert "530 |" not in changed


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[scenario.key for scenario in SCENARIOS])
def test_each_row_names_a_test_of_this_suite(scenario: Scenario) -> None:
    """A row that no test holds for this client is a boast."""
    assert scenario.tests
    for test in scenario.tests:
        file, _, function = test.partition("::")
        assert f"def {function}(" in (ROOT / file).read_text(encoding="utf-8")


def test_outcomes_survive_their_file() -> None:
    """What --results keeps is what was measured."""
    from tests.bench.peers.__main__ import read_outcome

    measured = outcome("keen_client", 530, dead_letters=("A",))
    assert read_outcome(json.loads(json.dumps(attrs.asdict(measured)))) == measured
