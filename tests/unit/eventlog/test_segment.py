"""A segment refuses what would break identity: changes, deletions, numbers past the bound, inserts after the seal."""

from __future__ import annotations

import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from keen_client._foundation.files import file_identity
from keen_client.errors import EventLogDamagedError, EventLogTooNewError
from keen_client.eventlog.entry import Entry
from keen_client.eventlog.segment import (
    SegmentName,
    SegmentReader,
    SegmentWriter,
    finish_sealed,
    list_segments,
    make_segment,
)
from keen_client.eventlog.sqlite_faults import is_sealed, is_segment_full
from keen_client.events.encoding import encode_event
from keen_client.events.identity import SEQ_MAX

NAME = SegmentName("2026-11-23", "4kq7x2m9pz")
NEXT = SegmentName("2026-11-24", "0000000000")
NOW_MS = 1_795_435_200_000


def make(directory: Path, name: SegmentName = NAME, scratch: str = "s1") -> bool:
    return make_segment(directory, name, made_ms=NOW_MS, boot_id="boot-1", scratch=scratch)


def writer(directory: Path, name: SegmentName = NAME) -> SegmentWriter:
    return SegmentWriter(directory, name, "full", 1.0)


def row(number: int) -> tuple[str, int, int, str, str]:
    return ("purchases", NOW_MS, NOW_MS, f'{{"n":{number}}}', "")


def append(opened: SegmentWriter, *numbers: int) -> tuple[int, int]:
    opened.begin()
    given = opened.append_many([row(number) for number in numbers])
    opened.commit()
    return given


def test_new_segment_is_whole_private_and_alone(tmp_path: Path) -> None:
    """It appears under its name with schema and header; nothing temporary stays beside it."""
    assert make(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["2026-11-23-4kq7x2m9pz.db"]
    path = NAME.path_in(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    reader = SegmentReader(tmp_path, NAME)
    header = reader.header()
    assert (header.origin, header.day, header.made_ms, header.boot_id) == (*_swap(NAME), NOW_MS, "boot-1")
    assert (header.device, header.inode) == file_identity(path)
    assert not header.is_sealed
    assert header.successor is None
    assert reader.last_seq() == 0
    assert reader.connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    reader.close()


def _swap(name: SegmentName) -> tuple[str, str]:
    return name.origin, name.day


def test_of_two_makers_one_wins(tmp_path: Path) -> None:
    """The second finds the first's file and leaves it as it is."""
    assert make(tmp_path, scratch="s1")
    identity = file_identity(NAME.path_in(tmp_path))
    assert not make(tmp_path, scratch="s2")
    assert file_identity(NAME.path_in(tmp_path)) == identity
    assert len(list(tmp_path.iterdir())) == 1


def test_of_many_makers_at_once_exactly_one_wins(tmp_path: Path) -> None:
    """Linking a finished file decides the race, whoever is how far."""
    results: list[bool] = []
    threads = [
        threading.Thread(target=lambda n=n: results.append(make(tmp_path, scratch=f"s{n}"))) for n in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [False] * 5 + [True]
    assert list_segments(tmp_path) == [NAME]
    assert len(list(tmp_path.iterdir())) == 1


def test_numbers_are_dense_from_one(tmp_path: Path) -> None:
    """Single inserts and batches of every size, within a statement's rows and beyond, count on."""
    make(tmp_path)
    opened = writer(tmp_path)
    assert opened.append_one(encode_event("purchases", {"n": 1}), NOW_MS, NOW_MS) == 1
    assert append(opened, 2, 3) == (2, 3)
    assert append(opened, *range(4, 1505)) == (4, 1504)
    assert opened.last_seq() == 1504
    reader = SegmentReader(tmp_path, NAME)
    assert [entry.seq for entry in reader.entries(1, SEQ_MAX)] == list(range(1, 1505))
    assert list(reader.entries(3, 9, limit=1)) == [
        Entry(NAME.origin, 3, "purchases", NOW_MS, NOW_MS, '{"n":3}', "")
    ]
    reader.close()
    opened.close()


def test_rolled_back_batch_leaves_no_gap(tmp_path: Path) -> None:
    """A number is given out by a commit, not by an insert."""
    make(tmp_path)
    opened = writer(tmp_path)
    append(opened, 1)
    opened.begin()
    opened.append_many([row(2), row(3)])
    opened.rollback()
    assert append(opened, 4) == (2, 2)
    opened.close()


@pytest.mark.parametrize("statement", ["UPDATE entries SET body = '{}'", "DELETE FROM entries"])
def test_entry_cannot_be_changed_or_deleted(tmp_path: Path, statement: str) -> None:
    """The file itself refuses, whoever opens it."""
    make(tmp_path)
    opened = writer(tmp_path)
    append(opened, 1)
    with pytest.raises(sqlite3.IntegrityError, match="entries never"):
        opened.connection.execute(statement)
    assert opened.last_seq() == 1
    opened.close()


def test_number_past_the_bound_is_refused_with_its_whole_batch(tmp_path: Path) -> None:
    """Sums of 2**21 stamps of 32 bits are exact in a double; one more would not be."""
    make(tmp_path)
    opened = writer(tmp_path)
    opened.connection.execute("INSERT INTO entries VALUES (?, 'purchases', 0, 0, '{}', '')", (SEQ_MAX - 1,))
    opened.begin()
    with pytest.raises(sqlite3.IntegrityError) as caught:
        opened.append_many([row(1), row(2)])
    assert is_segment_full(caught.value)
    opened.rollback()
    assert append(opened, 1) == (SEQ_MAX, SEQ_MAX)
    opened.close()


def test_seal_names_the_successor_and_refuses_a_late_writer(tmp_path: Path) -> None:
    """A writer with a prepared statement meets the seal; what was there stays readable."""
    make(tmp_path)
    late, sealer = writer(tmp_path), writer(tmp_path)
    append(late, 1)
    sealer.seal(NOW_MS + 5, NEXT)
    with pytest.raises(sqlite3.IntegrityError) as caught:
        append(late, 2)
    assert is_sealed(caught.value)
    late.rollback()
    with pytest.raises(sqlite3.IntegrityError) as caught:
        late.append_one(encode_event("purchases", {}), NOW_MS, NOW_MS)
    assert is_sealed(caught.value)
    header = late.header()
    assert (header.sealed_ms, header.successor) == (NOW_MS + 5, NEXT)
    assert late.last_seq() == 1
    late.close()
    sealer.close()


def test_second_seal_changes_nothing(tmp_path: Path) -> None:
    """The successor that a late writer may have gone to stays the successor."""
    make(tmp_path)
    opened = writer(tmp_path)
    opened.seal(NOW_MS, NEXT)
    opened.seal(NOW_MS + 9, SegmentName("2026-11-25", "1111111111"))
    assert opened.header().successor == NEXT
    assert opened.header().sealed_ms == NOW_MS
    opened.close()


def test_sealed_segment_becomes_one_read_only_file_when_the_last_user_lets_go(tmp_path: Path) -> None:
    """With another connection open it waits; then the WAL is gone and every entry is in the file."""
    make(tmp_path)
    opened = writer(tmp_path)
    append(opened, 1, 2, 3)
    opened.seal(NOW_MS, NEXT)
    assert not finish_sealed(tmp_path, NAME)
    opened.close()
    assert finish_sealed(tmp_path, NAME)
    assert finish_sealed(tmp_path, NAME)
    assert [path.name for path in tmp_path.iterdir()] == [NAME.path_in(tmp_path).name]
    assert stat.S_IMODE(NAME.path_in(tmp_path).stat().st_mode) == 0o400
    reader = SegmentReader(tmp_path, NAME)
    assert [entry.seq for entry in reader.entries(1, 9)] == [1, 2, 3]
    assert not reader.sync_wal()
    reader.close()


def test_crash_before_the_mode_was_set_is_made_good(tmp_path: Path) -> None:
    """The file is out of WAL already; finishing again only sets the mode."""
    make(tmp_path)
    opened = writer(tmp_path)
    opened.seal(NOW_MS, NEXT)
    opened.close()
    finish_sealed(tmp_path, NAME)
    NAME.path_in(tmp_path).chmod(0o600)
    assert finish_sealed(tmp_path, NAME)
    assert stat.S_IMODE(NAME.path_in(tmp_path).stat().st_mode) == 0o400


def test_reader_finds_every_entry_where_finishing_was_cut_off(tmp_path: Path) -> None:
    """The journal of the change of mode is left, of a process that died or found the disk full: it is rolled back."""
    make(tmp_path)
    opened = writer(tmp_path)
    append(opened, 1, 2, 3)
    opened.seal(NOW_MS, NEXT)
    opened.close()
    path = NAME.path_in(tmp_path)
    connection = sqlite3.connect(path, isolation_level=None)
    assert connection.execute("PRAGMA journal_mode=DELETE").fetchone() == ("delete",)
    connection.execute("PRAGMA cache_size=1")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE header SET sealed_ms = NULL")
    connection.execute("CREATE TABLE filler AS SELECT randomblob(40000)")
    at_the_cut = {end: Path(f"{path}{end}").read_bytes() for end in ("", "-journal")}
    connection.execute("ROLLBACK")
    connection.close()
    for end, content in at_the_cut.items():
        Path(f"{path}{end}").write_bytes(content)
    bare = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    with pytest.raises(sqlite3.OperationalError) as caught:
        bare.execute("SELECT sealed_ms FROM header")
    assert caught.value.sqlite_errorcode == sqlite3.SQLITE_READONLY_ROLLBACK
    bare.close()

    reader, header = SegmentReader.checked(tmp_path, NAME)
    assert header.sealed_ms == NOW_MS
    assert [entry.seq for entry in reader.entries(1, 9)] == [1, 2, 3]
    reader.close()
    assert finish_sealed(tmp_path, NAME)


def test_open_segment_is_never_finished(tmp_path: Path) -> None:
    """Without a seal it must stay in WAL, writable by all."""
    make(tmp_path)
    assert not finish_sealed(tmp_path, NAME)
    opened = writer(tmp_path)
    assert append(opened, 1) == (1, 1)
    opened.close()


def test_reader_leaves_every_byte_as_it_is(tmp_path: Path) -> None:
    """Opened read-only, it neither checkpoints nor changes the journal mode."""
    make(tmp_path)
    opened = writer(tmp_path)
    append(opened, 1)
    before = NAME.path_in(tmp_path).stat().st_mtime_ns
    reader = SegmentReader(tmp_path, NAME)
    with pytest.raises(sqlite3.OperationalError):
        reader.connection.execute("DELETE FROM header")
    reader.close()
    assert NAME.path_in(tmp_path).stat().st_mtime_ns == before
    opened.close()


def test_file_under_another_origin_s_name_is_refused(tmp_path: Path) -> None:
    """A renamed copy must not pass for a segment of its own."""
    make(tmp_path)
    other = SegmentName(NAME.day, "zzzzzzzzzz")
    NAME.path_in(tmp_path).rename(other.path_in(tmp_path))
    reader = SegmentReader(tmp_path, other)
    with pytest.raises(EventLogDamagedError, match="another origin"):
        reader.header()
    reader.close()


def test_file_without_header_is_damaged(tmp_path: Path) -> None:
    """An empty header table is no new segment."""
    make(tmp_path)
    opened = writer(tmp_path)
    opened.connection.execute("DELETE FROM header")
    with pytest.raises(EventLogDamagedError, match="no header"):
        opened.header()
    opened.close()


def test_later_format_is_refused_unread(tmp_path: Path) -> None:
    """A newer version's file is left alone, with the advice to upgrade."""
    make(tmp_path)
    opened = writer(tmp_path)
    opened.connection.execute("UPDATE header SET format = 2")
    with pytest.raises(EventLogTooNewError, match="format 2"):
        opened.header()
    opened.close()


@pytest.mark.parametrize(
    "file_name",
    [
        "2026-11-23-4kq7x2m9pz.db-wal",
        "2026-11-23-4kq7x2m9p.db",
        "2026-11-23-4kq7x2m9pi.db",
        "2026-13-45-4kq7x2m9pz.db",
        "yesterday.-4kq7x2m9pz.db",
        ".4kq7x2m9pz-s1.tmp",
        "copy.db",
    ],
)
def test_file_with_any_other_name_is_no_segment(tmp_path: Path, file_name: str) -> None:
    """Sidecars, copies and impossible days are passed over."""
    (tmp_path / file_name).touch()
    assert list_segments(tmp_path) == []


def test_segments_are_listed_by_day(tmp_path: Path) -> None:
    """Oldest first, whatever the order of the directory."""
    names = [SegmentName(f"2026-11-{day}", origin) for day, origin in (("09", "z" * 10), ("10", "a" * 10))]
    for name in reversed(names):
        name.path_in(tmp_path).touch()
    assert list_segments(tmp_path) == names


def test_directory_with_uri_characters_in_its_name_is_opened_as_it_is_named(tmp_path: Path) -> None:
    """``?``, ``#`` and ``%`` are characters of a path, not of an address."""
    odd = tmp_path / "a?mode=memory#%41"
    odd.mkdir()
    make(odd)
    opened = writer(odd)
    append(opened, 1)
    opened.close()
    assert file_identity(NAME.path_in(odd)) is not None


def test_file_is_itself_until_it_is_copied_or_the_machine_restarts(tmp_path: Path) -> None:
    """Boot, device and inode in the header are those of the file in hand, or it is another file."""
    make(tmp_path)
    path = NAME.path_in(tmp_path)
    opened = writer(tmp_path)
    assert opened.is_itself("boot-1")
    assert not opened.is_itself("boot-2")
    opened.close()
    copy = tmp_path / "copy"
    copy.write_bytes(path.read_bytes())
    copy.replace(path)
    opened = writer(tmp_path)
    assert not opened.is_itself("boot-1")
    opened.close()
