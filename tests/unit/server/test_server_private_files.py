"""A server within a program leaves its umask alone, and makes every file for its owner alone."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from keen_client.server import Store
from keen_client.server.database import Database
from keen_client.server.tail import Entry


@pytest.fixture
def careless(tmp_path: Path) -> Iterator[Path]:
    """A directory that is open to all, under an umask that hides nothing."""
    place = tmp_path / "data"
    place.mkdir()
    place.chmod(0o777)
    before = os.umask(0)
    yield place
    assert os.umask(before) == 0


def _open_to_others(place: Path) -> list[str]:
    return [
        f"{stat.S_IMODE(path.stat().st_mode):o} {path.name}"
        for path in place.rglob("*")
        if stat.S_IMODE(path.stat().st_mode) & 0o077
    ]


def _entries(first: int, count: int) -> list[Entry]:
    return [Entry(n, "c", n, n, 0, f"t{n}", '{"n":1}') for n in range(first, first + count)]


def test_the_log_of_the_database_is_private_after_each_checkpoint(careless: Path) -> None:
    """DuckDB takes its write-ahead log away at a checkpoint, and would make the next one as the umask lets."""
    store = Store(careless)
    for number in range(3):
        store.append(_entries(1 + number * 5, 5))
        with store.reading() as engine:
            assert (careless / "events.duckdb.wal").stat().st_size > 0
            assert _open_to_others(careless) == []
            engine.fetch("CHECKPOINT")
            assert not (careless / "events.duckdb.wal").exists()
    store.close()
    assert _open_to_others(careless) == []


def test_a_log_that_another_version_left_open_is_closed_to_others(careless: Path) -> None:
    """What lies there when the server starts is made private before events go into it, and nothing of it is lost."""
    store = Store(careless)
    store.append(_entries(1, 5))
    store.fold()
    for name in ("events.duckdb", "events.duckdb.wal"):
        (careless / name).chmod(0o666)
    copy = careless.with_name("copy")  # as a crash leaves it
    copy.mkdir()
    for path in careless.iterdir():
        if path.is_file():
            (copy / path.name).write_bytes(path.read_bytes())
            (copy / path.name).chmod(0o666)
    store.close()
    again = Store(copy)
    again.append(_entries(6, 1))
    with again.reading() as engine:
        assert len(engine.newest("c", 10)) == 6
        assert [name for name in _open_to_others(copy) if "events.duckdb" in name] == []
    again.close()


def test_what_a_query_spills_is_private_and_goes_with_it(careless: Path) -> None:
    """Sorting more than fits into memory writes events into files: in a directory for their owner alone."""
    database = Database(careless / "events.duckdb")
    run = database.connection.execute
    run("SET memory_limit = '60MB'")
    run("SET threads = 1")
    database.expect_write()
    run("CREATE TABLE t AS SELECT range AS a, repeat('x', 100) || range AS b FROM range(500000)")
    run("CREATE TEMP TABLE sorted AS SELECT * FROM t ORDER BY b, a")
    spill = careless / "events.duckdb.tmp"
    assert list(spill.iterdir())
    assert stat.S_IMODE(spill.stat().st_mode) == 0o700
    database.close()
    assert [path.name for path in careless.iterdir()] == ["events.duckdb"]


def test_a_server_in_memory_writes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where a query needs more memory than there is: it fails, and the directory at hand stays empty."""
    monkeypatch.chdir(tmp_path)
    database = Database(None)
    run = database.connection.execute
    run("SET memory_limit = '30MB'")
    run("SET threads = 1")
    with pytest.raises(Exception, match=r"(?i)memory"):
        run("CREATE TABLE t AS SELECT range AS a, repeat('x', 100) || range AS b FROM range(3000000)")
    database.close()
    assert list(tmp_path.iterdir()) == []
