"""The soak in small, and its judge: what is lost, doubled, altered or invented is named."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pytest

from tests.crash.soak.figures import GROWTH_MAX_BYTES, GROWTH_MAX_DESCRIPTORS, Sample, growth
from tests.crash.soak.judge import Verdict, accounts, judge, stored_events
from tests.crash.soak.ledger import Ledger, Told, collection_of, count_told, event_of, read_account

Events = Sequence[dict[str, Any]]

ROOT = Path(__file__).parents[2]
#: More of all: ``python -m tests.crash.soak``.
EVENTS, KILLS, MINUTES = 3_000, 12, 0.15


@pytest.fixture(scope="module")
def soaked(tmp_path_factory: pytest.TempPathFactory, seed: int) -> Path:
    """The folder of a soak that found nothing wrong."""
    folder = tmp_path_factory.mktemp("soak") / "soak"
    options = {"events": EVENTS, "kills": KILLS, "minutes": MINUTES, "seed": seed, "keep": folder}
    command = [sys.executable, "-m", "tests.crash.soak"]
    command += [text for name, value in options.items() for text in (f"--{name}", str(value))]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KEEN_")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    print(done.stdout[-4_000:])
    assert done.returncode == 0, done.stdout[-4_000:] + done.stderr[-4_000:]
    assert f"killed: {KILLS} (" in done.stdout
    return folder


@pytest.mark.slow
def test_every_receipt_is_there_once_after_kills_of_every_process_and_three_nights(soaked: Path) -> None:
    """Writers, senders, jobs and server are killed; nothing is lost, doubled, altered or invented."""
    verdict = _judge(soaked, soaked / "server")
    assert verdict.faults == {}
    assert verdict.receipts + verdict.promised >= EVENTS
    assert verdict.rows >= verdict.receipts + verdict.promised


def _dropped(events: Events) -> Events:
    return events[1:]


def _doubled(events: Events) -> Events:
    """A copy as a second send makes one."""
    first = events[0]
    again = {
        **first,
        "kc": {**first["kc"], "a": 1},
        "keen": {**first["keen"], "created_at": "2026-11-23T00:00:00.000Z"},
    }
    return [*events, again]


def _copied(events: Events) -> Events:
    """A copy as the server makes one."""
    return [*events, {**events[0], "keen": {**events[0]["keen"], "id": "another"}}]


def _recorded_twice(events: Events) -> Events:
    """The same event under a second id."""
    return [*events, {**events[0], "kc": {**events[0]["kc"], "id": "0123456789-1"}}]


def _altered(events: Events) -> Events:
    return [{**events[0], "amount_cents": -1}, *events[1:]]


def _moved(events: Events) -> Events:
    return [
        {**events[0], "keen": {**events[0]["keen"], "timestamp": "2026-11-01T00:00:00.000Z"}},
        *events[1:],
    ]


def _invented(events: Events) -> Events:
    stranger = {**events[0], "n": 10_000_000, "kc": {**events[0]["kc"], "id": "0123456789-1"}}
    return [*events, stranger]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (_dropped, "lost"),
        (_doubled, "doubled"),
        (_recorded_twice, "doubled"),
        (_copied, "unnamed"),
        (_altered, "altered"),
        (_moved, "altered"),
        (_invented, "foreign"),
    ],
)
def test_judge_names_the_one_event_that_is_wrong(
    soaked: Path,
    tmp_path: Path,
    change: Callable[[Events], Events],
    fault: str,
) -> None:
    """One event of the server's store is dropped, doubled, changed, moved or made up: it is named, and nothing else."""
    data = tmp_path / "server"
    shutil.copytree(soaked / "server", data)
    copies = _copies(soaked)
    receipts = (told.id for account in accounts(soaked / "ledgers") for told in account.told)
    touched = _change_store(data, next(id_ for id_ in receipts if copies[id_] == 1), change)
    verdict = _judge(soaked, data)
    assert {name: finding.count for name, finding in verdict.faults.items()} == {fault: 1}
    assert any(event_id in verdict.faults[fault].some[0] for event_id in touched)


def _judge(soaked: Path, data: Path) -> Verdict:
    """The verdict over *data*; what the server itself doubled in the soak counts as named."""
    named = [event_id for event_id, copies in _copies(soaked).items() if copies > 1]
    return judge(accounts(soaked / "ledgers"), stored_events(data), named)


def _copies(soaked: Path) -> Counter[str]:
    """How many rows each id had at the end of the soak."""
    return Counter(row.id for row in stored_events(soaked / "server"))


def _change_store(data: Path, event_id: str, change: Callable[[Events], Events]) -> set[str]:
    """Put what *change* makes of the rows of *event_id* into their place; the ids before and after."""
    with duckdb.connect(str(data / "events.duckdb")) as db:
        for (number,) in db.execute("SELECT number FROM collections").fetchall():
            mine = "json_extract_string(body, '$.kc.id') = $1"
            found = db.execute(f"SELECT body FROM events_{number} WHERE {mine}", [event_id]).fetchall()
            if not found:
                continue
            before = [orjson.loads(body) for (body,) in found]
            after = change(before)
            db.execute(f"DELETE FROM events_{number} WHERE {mine}", [event_id])
            for event in after:
                body = orjson.dumps(event).decode()
                db.execute(f"INSERT INTO events_{number} (seq, body) VALUES (0, $1)", [body])
            return {event["kc"]["id"] for event in [*before, *after]}
    raise AssertionError(f"{event_id} is not there")


def test_ledger_reads_back_what_was_written_and_no_torn_line(tmp_path: Path) -> None:
    """Plans, promises and receipts come back; a line that a kill cut off was never told."""
    ledger = Ledger(tmp_path, "single.1")
    ledger.intend(range(3, 5))
    ledger.tell([Told(3, "0123456789-1", 5), Told(4, "0123456789-2", 6)])
    ledger.promise(range(2))
    path = tmp_path / "single.1"
    with path.open("a") as lines:
        lines.write("= 5 0123456789-")
    account = read_account(path)
    assert account.by == "single.1"
    assert account.intended == [range(3, 5)]
    assert account.promised == [range(2)]
    assert account.told == [Told(3, "0123456789-1", 5), Told(4, "0123456789-2", 6)]
    assert count_told(path) == 4
    assert count_told(tmp_path / "another") == 0


def test_promised_event_without_a_row_is_lost(tmp_path: Path) -> None:
    """What a command said it recorded counts as a receipt does."""
    Ledger(tmp_path, "record.1").promise(range(2))
    verdict = judge(accounts(tmp_path), [], ())
    assert verdict.lost.some == ["number 0 of record.1", "number 1 of record.1"]


def test_events_of_two_writers_or_two_numbers_differ() -> None:
    """Who recorded an event, and as which number, is in it."""
    events = [event_of(by, n) for by in ("single.1", "single.2") for n in range(50)]
    assert len({orjson.dumps(event) for event in events}) == 100
    assert len({collection_of("bulk.1", n) for n in range(50)}) > 1
    assert len({collection_of("record.1", n) for n in range(50)}) == 1


@pytest.mark.parametrize(
    ("rss_bytes", "descriptors", "leaks"),
    [
        (0, 0, []),
        (GROWTH_MAX_BYTES, GROWTH_MAX_DESCRIPTORS, []),
        (GROWTH_MAX_BYTES + 1, 0, ["sender-1 grew from 60 to 84 MB"]),
        (0, GROWTH_MAX_DESCRIPTORS + 1, ["sender-1 grew from 9 to 34 descriptors"]),
    ],
)
def test_a_process_that_grows_is_named(rss_bytes: int, descriptors: int, leaks: list[str]) -> None:
    """By more than the segments that it may keep open, from the first quarter of a life to the last."""

    def samples(rss: int, fds: int) -> list[Sample]:
        return [Sample("sender-1", 7, 1.0, 1.0, rss, fds), Sample("sender-1", 7, 2.0, 2.0, rss, fds)]

    life = samples(60_000_000, 9), samples(60_000_000 + rss_bytes, 9 + descriptors)
    assert growth("sender-1", life) == leaks
    assert growth("sender-1", ([], life[1])) == []
