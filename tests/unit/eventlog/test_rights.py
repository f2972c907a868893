"""What the user has no right to open is told as that, and never taken for damage."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from keen_client._foundation.randomness import SeededRandomness
from keen_client.errors import EventLogPermissionError
from keen_client.eventlog import doctor as doctor_module
from keen_client.eventlog.checkup import check_segment, check_state
from keen_client.eventlog.doctor import examine
from keen_client.eventlog.finding import Finding
from keen_client.eventlog.repair import repair
from keen_client.eventlog.segment import list_segments
from tests.bare_rights import bare_rights

MakeTill = Callable[..., Any]
BOOT_ID = "boot-1"

#: What is forbidden -> the paths below the log and the mode that forbids it.
FORBIDDEN: dict[str, tuple[list[str], int]] = {
    "to read state.db": (["state.db"], 0o000),
    "to write state.db": (["state.db"], 0o400),
    "to read a lock": (["sender.lock"], 0o000),
    "to make files": (["."], 0o500),
    "to make files anywhere": (["segments", "."], 0o500),
    "to look into segments": (["segments"], 0o000),
    "to look into the log": (["."], 0o000),
    "to read a segment": (["segments/*.db"], 0o000),
    "to write an open segment": (["segments/*.db"], 0o400),
}


@pytest.fixture(autouse=True)
def _ordinary_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_module, "filesystem_type", lambda path: "ext4")
    monkeypatch.setattr(doctor_module, "_modified_ms", lambda path: 0)


@pytest.fixture
def till(make_till: MakeTill) -> Any:
    """A closed log with three events, none of them sent; its segment has no write-ahead log any more."""
    made = make_till()
    made.record(3)
    made.log.directory.sender_lock()
    made.log.close()
    return made


@pytest.fixture(params=FORBIDDEN, ids=lambda name: name.replace(" ", "-"))
def forbidden(request: pytest.FixtureRequest, till: Any) -> Iterator[str]:
    """One thing that the log's modes forbid; given back at the end."""
    patterns, mode = FORBIDDEN[request.param]
    place: Path = till.log.directory.path
    paths = [
        path for pattern in patterns for path in ([place] if pattern == "." else sorted(place.glob(pattern)))
    ]
    before = [(path, path.stat().st_mode) for path in paths]
    for path in paths:
        path.chmod(mode)
    try:
        yield str(request.param)
    finally:
        for path, former in reversed(before):
            path.chmod(former)


def look(till: Any) -> list[Finding]:
    with bare_rights():
        return examine(till.log.directory, till.log.config, till.clock, boot_id=BOOT_ID)


def mend(till: Any) -> list[Finding]:
    with bare_rights():
        return repair(till.log.directory, till.log.config, till.clock, SeededRandomness(1), boot_id=BOOT_ID)


def content(place: Path) -> dict[str, tuple[int, bytes]]:
    """Every file of the log by its name, with its number; read with all rights."""
    return {
        str(path.relative_to(place)): (path.stat().st_ino, path.read_bytes())
        for path in place.rglob("*")
        if path.is_file() and not path.name.endswith((".lock", "-wal", "-shm"))
    }


def test_want_of_a_right_is_told_as_that_and_never_as_damage(till: Any, forbidden: str) -> None:
    """Each has a finding "permissions" that names the user, a command that gives the right back, and no damage."""
    findings = look(till)
    assert [finding for finding in findings if finding.level == "damage"] == []
    told = [f for f in findings if f.name == "permissions" and f.level == "warning"]
    assert any(f"user {os.geteuid()} cannot" in f.message or "cannot be written" in f.message for f in told)
    assert any("`chmod u+" in finding.hint for finding in told)
    assert all(finding.hint for finding in told)


def test_repair_sets_nothing_aside_for_want_of_a_right(till: Any, forbidden: str) -> None:
    """It leaves every file where and as it is: one that cannot be opened may be sound."""
    place = till.log.directory.path
    before = content(place) if os.geteuid() == 0 else None
    done = mend(till)
    assert [finding for finding in done if finding.level == "damage"] == []
    assert not any("set aside" in finding.message or "rebuilt" in finding.message for finding in done)
    if before is not None:
        assert content(place) == before
    assert not (place / "damaged").exists() or not any((place / "damaged").iterdir())


def test_right_given_back_leaves_the_log_as_it_was(till: Any, make_till: MakeTill, forbidden: str) -> None:
    """After doctor, repair and the command of the hint every event waits as before, and none is unknown."""
    look(till)
    mend(till)
    for path in [till.log.directory.path, *till.log.directory.path.rglob("*")]:
        path.chmod(path.stat().st_mode | (0o700 if path.is_dir() else 0o600))
    again = make_till()
    assert [entry.seq for entry in again.log.entries()] == [1, 2, 3]
    assert again.log.outbox.backlog().unknown == 0
    assert again.send() == 3


def test_looks_tell_a_denial_apart_from_a_fault(till: Any) -> None:
    """A file without its right to be read has no fault, and is not sound either."""
    directory = till.log.directory
    (name,) = list_segments(directory.segments)
    for path in (directory.state, name.path_in(directory.segments)):
        path.chmod(0o000)
    with bare_rights():
        with pytest.raises(EventLogPermissionError):
            check_state(directory)
        check = check_segment(directory, name)
    assert (check.fault, check.header) == ("", None)
    assert check.denied


def test_a_log_with_every_right_denies_nothing(till: Any) -> None:
    """Its sealed segments are read-only, and that is as it should be."""
    again = till
    (name,) = list_segments(again.log.directory.segments)
    assert [
        finding for finding in look(again) if finding.name == "permissions" and finding.level != "ok"
    ] == []
    name.path_in(again.log.directory.segments).chmod(0o600)
    assert [
        finding for finding in look(again) if finding.name == "permissions" and finding.level != "ok"
    ] == []


def test_log_of_another_user_is_neither_looked_at_nor_repaired(
    till: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Doctor says what every other command says, and makes no file there that would lock the owner out."""
    place = till.log.directory.path
    (place / "sender.lock").unlink()
    names = sorted(place.rglob("*"))
    stranger = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: stranger)
    for findings in (look(till), mend(till)):
        (finding,) = findings
        assert (finding.level, finding.name) == ("warning", "permissions")
        assert str(stranger) in finding.message
        assert "nothing was read or changed" in finding.message
    assert sorted(place.rglob("*")) == names
