"""The doctor names what is wrong without changing a byte; its repair does what is safe, and says so."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keen_client._foundation.randomness import SeededRandomness
from keen_client.eventlog import doctor as doctor_module
from keen_client.eventlog.cursors import Cursors
from keen_client.eventlog.directory import LogDirectory
from keen_client.eventlog.doctor import examine
from keen_client.eventlog.entry import DeliveryState
from keen_client.eventlog.finding import Finding
from keen_client.eventlog.reclaim import Reclaimer
from keen_client.eventlog.repair import repair
from keen_client.eventlog.segment import SegmentName, SegmentReader, SegmentWriter, list_segments
from keen_client.eventlog.succession import Succession

MakeTill = Callable[..., Any]
BOOT_ID = "boot-1"
NAMES = [
    "directory",
    "permissions",
    "filesystem",
    "space",
    "state",
    "segments",
    "clock",
    "sealing",
    "identity",
    "abandoned",
    "sender",
    "journal",
]


@pytest.fixture(autouse=True)
def _ordinary_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A local disk, and files as old as the test's clock says: it stands still, the machine's does not."""
    monkeypatch.setattr(doctor_module, "filesystem_type", lambda path: "ext4")
    monkeypatch.setattr(doctor_module, "_modified_ms", lambda path: 0)


def look(till: Any, **options: Any) -> list[Finding]:
    return examine(till.log.directory, till.log.config, till.clock, boot_id=BOOT_ID, **options)


def amiss(till: Any, **options: Any) -> list[tuple[str, str]]:
    return [(finding.level, finding.name) for finding in look(till, **options) if finding.level != "ok"]


def mend(till: Any) -> list[Finding]:
    return repair(till.log.directory, till.log.config, till.clock, SeededRandomness(1), boot_id=BOOT_ID)


def mended(till: Any) -> list[tuple[str, str]]:
    return [(finding.level, finding.name) for finding in mend(till)]


def only_segment(till: Any) -> tuple[SegmentName, Path]:
    (name,) = list_segments(till.log.directory.segments)
    return name, name.path_in(till.log.directory.segments)


def test_healthy_log_is_well_in_every_respect(make_till: MakeTill) -> None:
    """One "ok" for each thing that was looked at; repair finds nothing to do."""
    till = make_till()
    till.record(5)
    till.send()
    findings = look(till, thorough=True)
    assert [finding.name for finding in findings] == NAMES
    assert {finding.level for finding in findings} == {"ok"}
    assert mend(till) == []


def test_examination_changes_nothing(make_till: MakeTill) -> None:
    """Not a byte of any database, not a name."""
    till = make_till()
    till.record(5)
    till.roll(2)
    till.log.close()

    def snapshot() -> dict[str, bytes]:
        files = [path for path in till.log.directory.path.rglob("*") if path.is_file()]
        return {path.name: path.read_bytes() for path in files if not path.name.endswith(("-shm", ".lock"))}

    before = snapshot()
    look(till)
    after = snapshot()
    assert {name: content for name, content in after.items() if content} == {
        name: content for name, content in before.items() if content
    }


def test_place_without_a_log_is_told(tmp_path: Path, clock: Any, make_till: MakeTill) -> None:
    """And none is made."""
    config = make_till().log.config
    (finding,) = examine(LogDirectory(tmp_path / "nothing"), config, clock, boot_id=BOOT_ID)
    assert (finding.level, finding.name) == ("warning", "directory")
    (finding,) = repair(LogDirectory(tmp_path / "nothing"), config, clock, SeededRandomness(1))
    assert finding.level == "warning"
    assert not (tmp_path / "nothing").exists()


def test_damaged_description_is_told(make_till: MakeTill) -> None:
    """Which project it belongs to has to be restored by a person."""
    till = make_till()
    till.log.directory.description.write_text("{")
    assert amiss(till) == [("damage", "directory")]


def test_permissions_open_to_others_are_closed(make_till: MakeTill) -> None:
    """Files and directories; a sealed file stays read-only."""
    till = make_till()
    till.record()
    _name, path = only_segment(till)
    path.chmod(0o644)
    till.log.directory.segments.chmod(0o755)
    till.log.directory.description.chmod(0o444)
    assert amiss(till) == [("warning", "permissions")]
    assert mended(till) == [("repaired", "permissions")] * 3
    assert amiss(till) == []
    modes = [
        stat.S_IMODE(p.stat().st_mode)
        for p in (path, till.log.directory.segments, till.log.directory.description)
    ]
    assert modes == [0o600, 0o700, 0o400]


def test_file_of_another_user_is_told(make_till: MakeTill, monkeypatch: pytest.MonkeyPatch) -> None:
    """A root cron job would lock the web worker out."""
    till = make_till()
    till.record()
    lstat = Path.lstat

    def lstat_of_another(path: Path) -> Any:
        status = lstat(path)
        if path.suffix != ".db":
            return status
        values = list(status)
        values[4] = status.st_uid + 1
        return os.stat_result(values)

    monkeypatch.setattr(Path, "lstat", lstat_of_another)
    assert amiss(till) == [("damage", "permissions")]


@pytest.mark.parametrize(("kind", "word"), [("nfs4", "network"), ("tmpfs", "memory")])
def test_file_system_that_cannot_be_relied_on_is_told(
    make_till: MakeTill, monkeypatch: pytest.MonkeyPatch, kind: str, word: str
) -> None:
    """Locks over a network, a log that a restart forgets."""
    till = make_till()
    monkeypatch.setattr(doctor_module, "filesystem_type", lambda path: kind)
    (finding,) = [finding for finding in look(till) if finding.level != "ok"]
    assert (finding.level, finding.name) == ("warning", "filesystem")
    assert word in finding.message


def test_want_of_space_is_told_and_the_reserve_restored(
    make_till: MakeTill, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log's limit, the disk, the reserve."""
    till = make_till(log_size_max_bytes=5_000_000, reserve_bytes=4_000_000)
    till.record()
    assert amiss(till) == [("warning", "space")]
    till.log.directory.reserve.unlink()
    monkeypatch.setattr(doctor_module, "free_bytes", lambda path: 100)
    assert amiss(till) == [("warning", "space")] * 2
    assert mended(till) == [("repaired", "space")]
    assert till.log.directory.reserve.stat().st_size == 4_000_000


def test_future_is_told(make_till: MakeTill, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event recorded tomorrow, a file changed next week."""
    till = make_till()
    till.record()
    till.clock.now_ms -= 600_000
    assert amiss(till) == [("warning", "clock")]
    till.clock.now_ms += 600_000
    monkeypatch.setattr(doctor_module, "_modified_ms", lambda path: till.clock.now_ms + 600_000)
    assert amiss(till) == [("warning", "clock")]


@pytest.mark.parametrize("content", [None, b"", b"no database " * 1000], ids=["gone", "emptied", "damaged"])
def test_state_that_is_lost_is_told_and_rebuilt(make_till: MakeTill, content: bytes | None) -> None:
    """Every event is unknown then; nothing is overwritten."""
    till = make_till()
    till.record(3)
    till.log.close()
    till.log.directory.state.unlink()
    if content is not None:
        till.log.directory.state.touch(mode=0o600)
        till.log.directory.state.write_bytes(content)
    assert ("damage", "state") in amiss(till)
    assert mended(till) == [("repaired", "state")]
    assert ("damage", "state") not in amiss(till)
    assert make_till().log.outbox.backlog().unknown == 3
    if content:
        (aside,) = till.log.directory.damaged.iterdir()
        assert aside.read_bytes() == content


def test_state_of_a_later_version_is_left_alone(make_till: MakeTill) -> None:
    """It is no damage."""
    till = make_till()
    till.record()
    with till.log.state.transaction() as db:
        db.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('keen_client', '9999_x', '2030')"
        )
    before = till.log.directory.state.read_bytes()
    assert ("damage", "state") in amiss(till)
    assert mended(till) == [("damage", "state")]
    assert till.log.directory.state.read_bytes() == before


def test_damaged_segment_is_told_and_set_aside_with_what_it_held(make_till: MakeTill) -> None:
    """After the repair a warning stays: not all could be read."""
    till = make_till()
    till.record(300)
    _name, path = only_segment(till)
    till.log.close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    content = path.read_bytes()
    page = content.index(b'{"number":150,') // 4096
    path.write_bytes(content[: page * 4096] + b"\xff" * 4096 + content[(page + 1) * 4096 :])
    assert ("damage", "segments") in amiss(till)
    (finding,) = mend(till)
    assert (finding.level, finding.name) == ("repaired", "segments")
    assert "events were saved" in finding.message
    assert amiss(till) == [("warning", "journal")]
    again = make_till()
    assert 200 < again.send() < 300


def test_missing_rows_are_damage(make_till: MakeTill) -> None:
    """SQLite finds the file sound; that numbers are dense is ours to know."""
    till = make_till()
    till.record(3)
    _, path = only_segment(till)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("DROP TRIGGER entries_never_go")
    connection.execute("DELETE FROM entries WHERE seq = 2")
    connection.close()
    (finding,) = [finding for finding in look(till) if finding.level == "damage"]
    assert "1 of its 3 entries are missing" in finding.message


def test_earlier_segment_that_is_open_is_told_and_sealed(make_till: MakeTill) -> None:
    """Then it is made one read-only file; its events are sent as ever."""
    till = make_till()
    till.record(3)
    till.log.close()
    till.clock.turn(2 * 86_400)
    name, path = only_segment(till)
    assert ("warning", "sealing") in amiss(till)
    assert mended(till) == [("repaired", "sealing")] * 2
    assert ("warning", "sealing") not in amiss(till)
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    again = make_till()
    reader = SegmentReader(till.log.directory.segments, name)
    promised = reader.header().successor
    reader.close()
    (after,) = again.record()
    assert promised is not None
    assert after.origin == promised.origin
    assert again.send() == 4


def test_sealed_segment_that_somebody_keeps_open_is_told(make_till: MakeTill) -> None:
    """While it is in use it stays as it is; then it is finished."""
    till = make_till()
    till.record(3)
    _name, path = only_segment(till)
    with subprocess.Popen(
        [
            sys.executable,
            "-c",
            (
                "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]);"
                "print(c.execute('SELECT count(*) FROM entries').fetchone(), flush=True); sys.stdin.read()"
            ),
            str(path),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as reader:
        assert reader.stdout is not None
        assert reader.stdin is not None
        assert reader.stdout.readline() == "(3,)\n"
        till.roll(3)
        till.send()
        assert amiss(till) == [("warning", "sealing")]
        assert mended(till) == []
        reader.stdin.close()
    till.log.shelf.close()
    assert mended(till) == [("repaired", "sealing")]
    assert amiss(till) == []


def test_two_machines_at_work_are_told(make_till: MakeTill) -> None:
    """A boot identity that goes on writing after this one began is another machine's."""
    till = make_till()
    till.record()
    desk = till.log
    other = Succession(
        desk.directory, desk.config, till.clock, SeededRandomness(99), "boot-2", desk._cursor_of
    )
    foreign = other.find()
    till.clock.turn(60)
    foreign.begin()
    foreign.append_many([("purchases", till.clock.now_ms, till.clock.now_ms, "{}", "")])
    foreign.commit()
    foreign.close()
    assert amiss(till) == [("damage", "identity")]


def test_segment_of_before_a_restart_is_no_other_machine(make_till: MakeTill) -> None:
    """It was written before this boot's first one was made."""
    till = make_till()
    till.record()
    till.clock.turn(60)
    log = till.log
    Succession(
        log.directory, log.config, till.clock, SeededRandomness(99), "boot-2", log._cursor_of
    ).find().close()
    findings = examine(log.directory, log.config, till.clock, boot_id="boot-2")
    assert {finding.level for finding in findings} == {"ok"}


def test_restored_copy_is_told(make_till: MakeTill, tmp_path: Path) -> None:
    """Nothing is recorded in it; once it is sealed, by a repair say, nothing is told any more."""
    till = make_till()
    till.record()
    till.log.close()
    _, path = only_segment(till)
    copy = Path(shutil.copy(path, tmp_path / "copy"))
    copy.chmod(0o600)
    copy.replace(path)
    assert amiss(till) == [("warning", "identity")]
    (told,) = [finding for finding in look(till) if finding.level == "warning"]
    assert "--repair" in told.hint
    assert ("repaired", "sealing") in mended(till)
    assert amiss(till) == []
    assert [entry.seq for entry in make_till().log.entries()] == [1]


@pytest.mark.parametrize("way", ["state.db", "mark"])
def test_abandoned_segment_is_told_sealed_and_read_again(make_till: MakeTill, way: str) -> None:
    """A committed seal overwrites what recovery could revive; then its events can be sent."""
    till = make_till()
    till.record(3)
    name, _ = only_segment(till)
    if way == "mark":
        Cursors(till.log.state, till.log.shelf, till.log.clock).unfinished()
        (till.log.directory.path / f"abandoned-{name.origin}").touch(mode=0o600)
    else:
        till.log._abandon(name)
    till.log.close()
    assert ("warning", "abandoned") in amiss(till)
    assert ("repaired", "abandoned") in mended(till)
    assert ("warning", "abandoned") not in amiss(till)
    again = make_till()
    assert again.send() == 3
    assert not (till.log.directory.path / f"abandoned-{name.origin}").exists()


def test_segment_that_ends_before_its_cursor_is_entered_as_damage(make_till: MakeTill) -> None:
    """A backup was put in its place: what is missing is counted, never given again."""
    till = make_till()
    till.record(5)
    till.send()
    name, _ = only_segment(till)
    with till.log.state.transaction() as db:
        db.execute("UPDATE origins SET status = 'abandoned', cursor = 8 WHERE origin = ?", (name.origin,))
    assert ("repaired", "abandoned") in mended(till)
    assert till.status(name.origin) == "damaged"
    with till.log.state.reading() as db:
        assert db.execute("SELECT salvaged, lost FROM damages").fetchall() == [(5, 3)]
    assert amiss(till) == [("warning", "journal")]
    (after,) = till.record()
    assert after.origin != name.origin


def test_event_that_waits_for_hours_is_told(make_till: MakeTill) -> None:
    """With nobody sending, and with a sender that does not come on; what waits for its time is no cause."""
    till = make_till()
    till.record(2)
    assert amiss(till) == []
    till.clock.turn(2 * 3_600)
    (finding,) = [finding for finding in look(till) if finding.level != "ok"]
    assert (finding.level, finding.name) == ("warning", "sender")
    assert "no process is sending" in finding.message
    with till.log.directory.sender_lock().held() as alone:
        assert alone
        (finding,) = [finding for finding in look(till) if finding.level != "ok"]
        assert str(os.getpid()) in finding.message
        assert "stuck" in finding.message
        assert [found.name for found in mend(till)] == ["sender"]
    till.send(DeliveryState.ACKNOWLEDGED)
    assert amiss(till) == []


def test_unfinished_reclaim_is_told_and_completed(
    make_till: MakeTill, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal says that the file may go."""
    till = make_till()
    (old,) = till.record()
    till.roll(61)
    till.drain()
    log = till.log

    def crash(self: Reclaimer, origin: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Reclaimer, "_unlink", crash)
        with pytest.raises(KeyboardInterrupt):
            Reclaimer(log.directory, log.state, log.shelf, log.config, log.clock).reclaim(lambda *_: True)
    assert amiss(till) == [("warning", "journal")]
    assert mended(till) == [("repaired", "journal")]
    assert amiss(till) == []
    assert not list(log.directory.segments.glob(f"*{old.origin}*"))


def test_set_aside_that_was_interrupted_is_told_and_finished(make_till: MakeTill) -> None:
    """What can be read is saved by the next run."""
    till = make_till()
    ids = till.record(2)
    _, path = only_segment(till)
    till.log.close()
    till.log.directory.damaged.mkdir(mode=0o700)
    path.rename(till.log.directory.damaged / f"{path.name}.20261123T120000000Z")
    Path(f"{path}-wal").unlink(missing_ok=True)
    assert amiss(till) == [("warning", "journal")]
    assert mended(till) == [("repaired", "segments")]
    assert amiss(till) == []
    assert list(make_till().log.shelf.pick(ids)) == ids


def test_process_that_sends_keeps_the_repair_from_the_content(make_till: MakeTill) -> None:
    """Permissions are closed all the same; the rest is left and told."""
    till = make_till()
    till.record()
    till.log.directory.segments.chmod(0o755)
    with till.log.directory.nightly_lock().held() as alone:
        assert alone
        assert mended(till) == [("repaired", "permissions"), ("warning", "sender")]


def test_segment_writer_is_not_disturbed_by_an_examination(make_till: MakeTill) -> None:
    """A reader's integrity check holds no lock that a commit waits for."""
    till = make_till()
    till.record(2)
    name, _ = only_segment(till)
    writer = SegmentWriter(till.log.directory.segments, name, "full", 0.0)
    writer.begin()
    assert amiss(till) == []
    writer.append_many([("purchases", 1, till.clock.now_ms, "{}", "")])
    writer.commit()
    writer.close()
