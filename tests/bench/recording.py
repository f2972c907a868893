"""Recording against SQLite itself: the raw insert of the same bytes, and the same behind a lock."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

from keen_client import KeenClient
from keen_client._foundation.clock import SystemClock
from keen_client._foundation.randomness import SystemRandomness
from keen_client.eventlog.config import Durability, LogConfig
from keen_client.eventlog.directory import Binding
from keen_client.eventlog.log import EventLog
from keen_client.events.encoding import encode_event
from tests.bench.rounds import event, interleave, table, timed
from tests.bench.sink import COLLECTION

URL = "http://127.0.0.1:9"
_INSERT = "INSERT INTO entries (collection, ts, recorded, body, keen) VALUES (?, ?, ?, ?, ?)"
_TABLE = (
    "CREATE TABLE entries (seq INTEGER PRIMARY KEY, collection TEXT NOT NULL, ts INTEGER NOT NULL,"
    " recorded INTEGER NOT NULL, body TEXT NOT NULL, keen TEXT NOT NULL) STRICT"
)


def raw_database(path: Path, durability: Durability) -> sqlite3.Connection:
    """A plain table with the log's columns and the log's settings."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA synchronous={durability}")
    connection.execute("PRAGMA wal_autocheckpoint=4000")
    connection.execute(_TABLE)
    return connection


def one_thread(directory: Path, durability: Durability, events: int, rounds: int) -> str:
    """add_event and the log's own record against one autocommit insert."""
    place = directory / f"one-{durability}"
    place.mkdir()
    raw = raw_database(place / "raw.db", durability)
    ready = encode_event(COLLECTION, event(1))
    now_ms = SystemClock().wall_ms()
    row = (ready.collection, now_ms, now_ms, ready.body, ready.keen)
    body = event(1)
    log = EventLog(
        place / "log",
        Binding(URL, "p"),
        LogConfig(durability=durability),
        SystemClock(),
        SystemRandomness(),
    )
    client = KeenClient("p", base_url=URL, log=place / "client", durability=durability, background=False)

    def insert() -> None:
        for _ in range(events):
            raw.execute(_INSERT, row)

    def record() -> None:
        for _ in range(events):
            log.record(ready)

    def add() -> None:
        for _ in range(events):
            client.add_event(COLLECTION, body)

    results = interleave(
        {
            "raw autocommit INSERT": lambda: timed(insert, events),
            "the log's record, event encoded before": lambda: timed(record, events),
            "add_event, the whole call": lambda: timed(add, events),
        },
        rounds,
    )
    raw.close()
    log.close()
    client.close(0)
    return table(
        f"One thread, `{durability}`",
        f"{events:,} events a round, {rounds} rounds; {len(ready.body)} bytes of JSON each.",
        results,
    )


def many_threads(directory: Path, threads: int, events: int, rounds: int) -> str:
    """Group commit against the same insert behind a lock, both synced."""
    place = directory / f"threads-{threads}"
    place.mkdir()
    raw = raw_database(place / "raw.db", "full")
    ready = encode_event(COLLECTION, event(1))
    now_ms = SystemClock().wall_ms()
    row = (ready.collection, now_ms, now_ms, ready.body, ready.keen)
    log = EventLog(
        place / "log", Binding(URL, "p"), LogConfig(durability="full"), SystemClock(), SystemRandomness()
    )
    lock = threading.Lock()

    def insert() -> None:
        for _ in range(events):
            with lock:
                raw.execute(_INSERT, row)

    def record() -> None:
        for _ in range(events):
            log.record(ready)

    results = interleave(
        {
            "raw INSERT behind a lock": lambda: timed(_in_threads(insert, threads), threads * events),
            "the log's record": lambda: timed(_in_threads(record, threads), threads * events),
        },
        rounds,
    )
    raw.close()
    log.close()
    return table(
        f"{threads} threads, `full`", f"{events:,} events a thread and round, {rounds} rounds.", results
    )


def _in_threads(work: Callable[[], None], count: int) -> Callable[[], None]:
    def run() -> None:
        threads = [threading.Thread(target=work) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return run
