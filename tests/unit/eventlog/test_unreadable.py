"""A segment that cannot be read, or is gone, is not an empty one: who counts says so, and a repair settles it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from keen_client._foundation.randomness import SeededRandomness
from keen_client.errors import EventLogPermissionError
from keen_client.eventlog import damage as damage_module
from keen_client.eventlog import unreadable as unreadable_module
from keen_client.eventlog.doctor import examine
from keen_client.eventlog.entry import DeliveryState
from keen_client.eventlog.finding import Finding
from keen_client.eventlog.outbox import Settlement
from keen_client.eventlog.reclaim import Reclaimer
from keen_client.eventlog.repair import repair
from keen_client.eventlog.segment import SegmentName, list_segments
from keen_client.eventlog.shelf import Shelf
from keen_client.eventlog.unreadable import Unreadable, gone_segments, reason_of

if TYPE_CHECKING:
    from tests.unit.eventlog.conftest import Till

MakeTill = Callable[..., "Till"]

BOOT_ID = "boot-1"
PAGE = 4096


def only_segment(till: Till) -> tuple[SegmentName, Path]:
    (name,) = till.log.shelf.names()
    return name, name.path_in(till.log.directory.segments)


def settle_on_disk(till: Till) -> tuple[SegmentName, Path]:
    """The only segment, with all that was recorded in the database file."""
    name, path = only_segment(till)
    till.log.close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return name, path


def overwrite(path: Path, first: int, pages: int) -> None:
    with path.open("r+b") as file:
        file.seek(first * PAGE)
        file.write(b"\xa5" * pages * PAGE)


def page_with(path: Path, text: bytes) -> int:
    return path.read_bytes().index(text) // PAGE


def unlink(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def told(till: Till, *, thorough: bool = False) -> list[tuple[str, str, bool]]:
    found = till.log.outbox.unreadable(thorough=thorough)
    return [(each.name.origin, each.reason, each.is_gone) for each in found]


def findings(till: Till, name: str) -> list[Finding]:
    found = examine(till.log.directory, till.log.config, till.clock, boot_id=BOOT_ID)
    return [finding for finding in found if finding.name == name and finding.level != "ok"]


def mend(till: Till) -> list[Finding]:
    return repair(
        till.log.directory,
        till.log.config,
        till.clock,
        SeededRandomness(1),
        boot_id=BOOT_ID,
    )


HARMS: dict[str, Callable[[Path], object]] = {
    "inside": lambda path: overwrite(path, 1, path.stat().st_size // PAGE - 1),
    "end": lambda path: overwrite(path, page_with(path, b'{"number":9,'), 1),
    "header": lambda path: overwrite(path, 0, 1),
    "emptied": lambda path: os.truncate(path, 0),
}


@pytest.mark.parametrize("harm", sorted(HARMS))
@pytest.mark.parametrize("sent", [0, 40])
def test_what_cannot_be_read_is_named_beside_the_counts(make_till: MakeTill, harm: str, sent: int) -> None:
    """Whichever page is gone, and whether or not something of it was sent before."""
    till = make_till()
    till.record(sent)
    till.send()
    till.record(10)
    assert till.log.outbox.backlog().unreadable == ()
    name, path = settle_on_disk(till)
    HARMS[harm](path)
    till = make_till()
    (unreadable,) = till.log.outbox.backlog().unreadable
    assert (unreadable.name, unreadable.is_gone) == (name, False)
    assert unreadable.reason in reason_of([unreadable])
    assert till.send() == 0
    assert till.status(name.origin) == "open", "it was not rolled back: nobody knows where it ends"
    assert till.log.outbox.backlog().unreadable == (unreadable,)


def test_what_comes_before_the_damage_is_sent_and_the_rest_is_counted_and_named(make_till: MakeTill) -> None:
    """Its end can be read, so that it is known how many wait behind the bad page."""
    till = make_till()
    till.record(600)
    name, path = settle_on_disk(till)
    overwrite(path, page_with(path, b'{"number":300,'), 1)
    till = make_till()
    assert till.log.outbox.backlog().unreadable == (), "its end and its first entry can be read"
    ((_, reason, _),) = told(till, thorough=True)
    sent = till.send()
    assert 200 < sent <= 300
    backlog = till.log.outbox.backlog()
    assert (backlog.pending, backlog.unreadable) == (600 - sent, (Unreadable(name, reason),))
    assert reason == f"entry {sent + 1} cannot be read"


def test_sender_goes_on_with_the_segments_that_can_be_read(make_till: MakeTill) -> None:
    """One that cannot holds nobody up."""
    till = make_till()
    till.record(10)
    name, path = settle_on_disk(till)
    HARMS["inside"](path)
    till = make_till()
    till.record(7)
    assert till.send() == 7
    assert told(till)[0][0] == name.origin


def test_drained_segment_is_opened_by_a_thorough_look_only(make_till: MakeTill) -> None:
    """What nobody has to send of it costs the cheap look nothing."""
    till = make_till()
    till.record(10)
    till.roll()
    till.drain()
    drained = till.log.shelf.names()[0]
    assert till.status(drained.origin) == "drained"
    till.log.shelf.release(drained.origin)
    path = drained.path_in(till.log.directory.segments)
    path.chmod(0o600)
    os.truncate(path, 0)
    assert told(till) == []
    assert [origin for origin, _, _ in told(till, thorough=True)] == [drained.origin]


def test_healthy_log_reads_no_entry_that_was_folded(
    make_till: MakeTill, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cheap look asks each open segment for its end, and for one entry where something waits."""
    till = make_till()
    till.record(50)
    till.send()
    pages: list[tuple[int, int]] = []
    page = Shelf.page

    def counted(self: Shelf, origin: str, first: int, last: int, limit: int = 5_000) -> Any:
        pages.append((first, last))
        return page(self, origin, first, last, limit)

    monkeypatch.setattr(Shelf, "page", counted)
    assert till.log.outbox.backlog().unreadable == ()
    assert pages == []
    till.record(50)
    assert till.log.outbox.backlog().pending == 50
    assert pages == [(51, 51)]


def test_directory_that_cannot_be_listed_is_an_error_and_no_empty_log(
    make_till: MakeTill, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows which segments there are; a directory that is not there has none."""
    till = make_till()
    till.record()

    def denied(self: Path) -> Any:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", denied)
    with pytest.raises(EventLogPermissionError, match="which segments there are is not known"):
        till.log.outbox.backlog()
    with pytest.raises(EventLogPermissionError):
        list_segments(till.log.directory.segments)
    monkeypatch.undo()
    assert list_segments(till.log.directory.path / "nowhere") == []


# ---- gone -------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["open", "sealed", "drained", "abandoned"])
def test_segment_without_a_file_is_gone_whatever_its_status(make_till: MakeTill, status: str) -> None:
    """Nothing says that it may be: it is told by the cheap look, and is damage to the doctor."""
    till = make_till()
    till.record(5)
    till.send()
    name, path = only_segment(till)
    till.log.shelf.release(name.origin)
    with till.log.state.transaction() as db:
        db.execute("UPDATE origins SET status = ?", (status,))
    unlink(path)
    assert told(till) == [(name.origin, "there is no such file", True)]
    (finding,) = findings(till, "segments")
    assert (finding.level, name.file in finding.message) == ("damage", True)


def test_reclaimed_segment_is_not_gone_at_any_step(
    make_till: MakeTill, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the intent on its file may be absent, whether or not the run came to its end."""
    till = make_till()
    till.record(5)
    till.roll()
    till.drain()
    till.clock.turn(100 * 86_400)
    log, (name, _) = till.log, till.log.shelf.names()
    reclaimer = Reclaimer(log.directory, log.state, log.shelf, log.config, log.clock)
    looks: list[tuple[Unreadable, ...]] = []

    def watched(step: Callable[..., Any]) -> Callable[..., Any]:
        def look(*args: Any) -> Any:
            looks.append(log.outbox.unreadable(thorough=True))
            done = step(*args)
            looks.append(log.outbox.unreadable(thorough=True))
            return done

        return look

    for step in ("_intend", "_unlink", "_note_done"):
        monkeypatch.setattr(reclaimer, step, watched(getattr(reclaimer, step)))
    reclaimer.reclaim(lambda _collection, _hour: True, clock_agrees=True)
    assert looks
    assert set(looks) == {()}
    assert till.status(name.origin) == "reclaimed"
    assert name not in log.shelf.names()


def test_segment_that_is_reclaimed_under_a_look_is_not_gone(
    make_till: MakeTill, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row was read before, its file is not there after: what the row says now decides."""
    till = make_till()
    till.record(5)
    till.send()
    name, path = only_segment(till)
    till.log.shelf.release(name.origin)

    def reclaimed_meanwhile(directory: Path) -> list[SegmentName]:
        with till.log.state.transaction() as db:
            db.execute("UPDATE origins SET status = 'reclaimed'")
        unlink(path)
        return list_segments(directory)

    monkeypatch.setattr(unreadable_module, "list_segments", reclaimed_meanwhile)
    assert gone_segments(till.log.directory, till.log.state) == []


def test_segment_that_was_set_aside_and_not_saved_yet_is_unreadable_and_not_gone(
    make_till: MakeTill, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash came between; the repair saves it, and nothing is given up."""
    till = make_till()
    till.record(5)
    name, _ = only_segment(till)
    log = till.log
    salvager = damage_module.Salvager(log.directory, log.state, log.shelf, log.config, log.clock)

    def crash(*_args: object) -> None:
        raise KeyboardInterrupt

    till.send()
    with monkeypatch.context() as patch:
        patch.setattr(damage_module, "salvage_segment", crash)
        with pytest.raises(KeyboardInterrupt):
            salvager.set_aside(name, "test")
    ((origin, reason, is_gone),) = told(till)
    assert (origin, is_gone) == (name.origin, False)
    assert "not saved yet" in reason
    assert findings(till, "segments") == []
    log.close()
    mend(till)
    till = make_till()
    assert told(till, thorough=True) == []
    assert len(list(till.log.entries())) == 5


def test_repair_names_what_was_not_acknowledged_and_settles_the_rest(make_till: MakeTill) -> None:
    """What may be there is told apart; the totals stay; nothing is told again, but by the doctor while events are kept."""
    till = make_till()
    acknowledged = till.record(3)
    till.send()
    unsure = till.record(2)
    till.send(DeliveryState.UNKNOWN)
    waiting = till.record(4)
    till.clock.turn(1)
    claim = till.log.outbox.claim(events_max=1_000, bytes_max=10_000_000)
    assert claim is not None
    till.log.outbox.settle(claim, [Settlement(DeliveryState.PENDING)] * 4)
    till.record(9)  # never read: nobody will know
    name, path = only_segment(till)
    till.log.close()
    unlink(path)
    repaired = [finding for finding in mend(till) if finding.name == "segments"]
    (finding,) = repaired
    assert finding.level == "repaired"
    assert "was given up (its file is gone)" in finding.message
    assert "it is not known how many more there were" in finding.message
    assert "6 of them were not acknowledged, 2 of which the server may have" in finding.message
    assert f"{unsure[0]} to {unsure[1]}, {waiting[0]} to {waiting[3]}" in finding.message
    assert acknowledged[0] not in finding.message
    till = make_till()
    assert till.status(name.origin) == "damaged"
    with till.log.state.reading() as db:
        assert db.execute("SELECT origin, file, salvaged, lost FROM damages").fetchall() == [
            (name.origin, name.file, 0, None)
        ]
        assert db.execute("SELECT sum(n) FROM totals").fetchone() == (9,)
    assert (told(till, thorough=True), findings(till, "segments")) == ([], [])
    backlog = till.log.outbox.backlog()
    assert (backlog.pending, backlog.unknown, backlog.unreadable) == (0, 2, ())
    assert till.send() == 0
    assert mend(till) == []
    (journal,) = findings(till, "journal")
    assert "damaged or gone" in journal.message
    till.clock.turn((till.log.config.retention_days + 1) * 86_400)
    assert findings(till, "journal") == []


def test_gone_segment_that_was_drained_lost_what_it_had_and_no_more(make_till: MakeTill) -> None:
    """It was read to its end, so that the count is exact."""
    till = make_till()
    till.record(5)
    till.roll()
    till.drain()
    drained = till.log.shelf.names()[0]
    till.log.close()
    unlink(drained.path_in(till.log.directory.segments))
    mend(till)
    till = make_till()
    with till.log.state.reading() as db:
        assert db.execute("SELECT salvaged, lost FROM damages").fetchall() == [(0, 5)]


def test_what_is_left_beside_a_database_that_is_gone_is_set_aside(make_till: MakeTill) -> None:
    """Its write-ahead log may have been all of it: whoever puts the file back later finds it."""
    till = make_till()
    till.record(5)
    name, path = only_segment(till)
    told(till)
    till.send()
    wal = Path(f"{path}-wal").read_bytes()
    log = till.log
    log.shelf.release(name.origin)
    path.unlink()
    salvager = damage_module.Salvager(log.directory, log.state, log.shelf, log.config, log.clock)
    done = salvager.give_up(name)
    assert done is not None
    assert Path(f"{log.directory.damaged / done.file}-wal").read_bytes() == wal
    assert [p.name for p in log.directory.segments.iterdir() if name.origin in p.name] == []
    assert salvager.unfinished() == []


def test_file_that_was_put_back_is_not_given_up(make_till: MakeTill) -> None:
    """Put back before the repair, it is as if nothing had been."""
    till = make_till()
    ids = till.record(5)
    till.send()
    till.record(2)
    name, path = settle_on_disk(till)
    content = path.read_bytes()
    path.unlink()
    till = make_till()
    assert [is_gone for _, _, is_gone in told(till)] == [True]
    path.write_bytes(content)
    path.chmod(0o600)
    log = till.log
    salvager = damage_module.Salvager(log.directory, log.state, log.shelf, log.config, log.clock)
    assert salvager.give_up(name) is None
    assert (told(till), till.send()) == ([], 2)
    assert set(ids) <= {entry.id for entry in log.entries()}


def test_damaged_segment_that_a_rebuild_found_is_unreadable_until_it_is_repaired(make_till: MakeTill) -> None:
    """The new state knows nothing of it: that is no nought either."""
    till = make_till()
    till.record(600)
    name, path = settle_on_disk(till)
    till.log.directory.state.unlink()
    overwrite(path, page_with(path, b'{"number":300,'), 1)
    till = make_till()
    assert till.status(name.origin) == "damaged"
    assert [origin for origin, _, _ in told(till)] == [name.origin]
    till.log.close()
    mend(till)
    till = make_till()
    assert told(till, thorough=True) == []
    assert till.log.outbox.backlog().unknown > 500
