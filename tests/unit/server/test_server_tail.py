"""The tail: it lets go of what is in the tables, also while writes never pause, and of nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from keen_client.server import tail as tail_module
from keen_client.server.store import Store
from keen_client.server.tail import Entry, Tail


def _entry(seq: int) -> Entry:
    return Entry(seq, "c", 1_000, 1_000, 0, None, f'{{"n":{seq}}}')


def _held(path: Path) -> list[int]:
    tail = Tail(path)
    found = [entry.seq for entry in tail.recover()]
    tail.close()
    return found


@pytest.fixture
def tail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tail:
    """A tail with ten entries, that is large from its first byte on."""
    monkeypatch.setattr(tail_module, "MAX_TAIL_BYTES", 0)
    monkeypatch.setattr(tail_module, "MAX_BUSY_TAIL_BYTES", 0)
    made = Tail(tmp_path / "tail")
    assert list(made.recover()) == []
    made.append([_entry(seq) for seq in range(1, 11)])
    return made


def test_what_waits_is_kept_and_what_comes_is_added(tail: Tail, tmp_path: Path) -> None:
    """The file is written anew with just these, and goes on; it is still for its owner only."""
    tail.shrink_when_large([_entry(9), _entry(10)])
    tail.append([_entry(11)])
    tail.close()
    assert _held(tmp_path / "tail") == [9, 10, 11]
    assert (tmp_path / "tail").stat().st_mode & 0o077 == 0


def test_when_nothing_waits_it_is_emptied(tail: Tail, tmp_path: Path) -> None:
    """And goes on from there."""
    tail.shrink_when_large([])
    tail.append([_entry(11)])
    tail.close()
    assert _held(tmp_path / "tail") == [11]


def test_where_the_disk_fails_the_old_file_stays(
    tail: Tail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost, and writes go on into it."""

    def full(_self: Path, _target: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        tail.shrink_when_large([_entry(10)])
    tail.append([_entry(11)])
    tail.close()
    assert _held(tmp_path / "tail") == list(range(1, 12))


def test_events_that_come_during_a_fold_outlive_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are in the tail alone when it is written anew, and are found after a crash."""
    monkeypatch.setattr(tail_module, "MAX_BUSY_TAIL_BYTES", 0)
    store = Store(tmp_path / "data")
    store.append([_entry(1), _entry(2)])
    insert = store._engine.insert

    def interrupted(entries: Any) -> None:
        insert(entries)
        store.append([_entry(3)])

    monkeypatch.setattr(store._engine, "insert", interrupted)
    store.fold()
    store._engine.close()
    store._tail.close()
    assert _held(tmp_path / "data" / "tail.ndjson") == [3]
    again = Store(tmp_path / "data")
    with again.reading() as engine:
        assert sorted(engine.newest("c", 9)) == ['{"n":1}', '{"n":2}', '{"n":3}']
    again.close()
