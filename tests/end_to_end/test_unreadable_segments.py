"""A file of the log is written over, cut off or deleted: no command says that all is well until a repair has named the cost."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from keen_client.cli.app import app
from keen_client.server import LocalServer
from tests.bare_rights import bare_rights

#: (arguments, stdin) to (exit status, stdout).
Run = Callable[[list[str], str], tuple[int, str]]

SENT, UNSENT = 500, 10
PAGE = 4096
DAY = ("--start", "2026-10-01", "--end", "2026-10-02", "--preset", "immediate")


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    with LocalServer(seed=1) as server:
        yield server


@pytest.fixture
def log(server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the log of this test will be; the environment names it, and the project."""
    settings = {
        "KEEN_BASE_URL": server.url,
        "KEEN_PROJECT_ID": server.project_id,
        "KEEN_WRITE_KEY": server.write_key,
        "KEEN_READ_KEY": server.read_key,
        "KEEN_LOG": str(tmp_path / "log"),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return tmp_path / "log"


def as_process(arguments: list[str], stdin: str) -> tuple[int, str]:
    """The command line in a process of its own, as one uses it."""
    done = subprocess.run(
        [sys.executable, "-m", "keen_client", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout


def in_this_process(arguments: list[str], stdin: str) -> tuple[int, str]:
    """The same, in a tenth of the time."""
    done = CliRunner().invoke(app, arguments, input=stdin)
    return done.exit_code, done.stdout


def told(run: Run, *arguments: str, status: int, stdin: str = "") -> dict[str, Any]:
    """The JSON document of a command that ends with *status*."""
    exit_status, stdout = run([*arguments, "--json"], stdin)
    assert exit_status == status, (arguments, stdout)
    document: dict[str, Any] = orjson.loads(stdout)
    return document


def record(run: Run, collection: str, count: int) -> None:
    """Events of one day that is over, whenever the test runs."""
    keen = '"keen":{"timestamp":"2026-10-01T05:00:00Z"}'
    lines = "".join(f'{{"a":{number},"price":{number},{keen}}}\n' for number in range(count))
    told(run, "record", collection, status=0, stdin=lines)


def overwrite_the_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(os.urandom(PAGE))


def overwrite_the_end(path: Path) -> None:
    pages = path.stat().st_size // PAGE
    with path.open("r+b") as file:
        file.seek((pages - 3) * PAGE)
        file.write(os.urandom(3 * PAGE))


def only_segment(log: Path) -> Path:
    """The file of the only segment, without what readers leave beside it."""
    (path,) = (log / "segments").glob("*.db")
    wal = Path(f"{path}-wal")
    assert not wal.exists() or not wal.stat().st_size, "who wrote to it last made one file of it"
    for sidecar in (wal, Path(f"{path}-shm")):
        sidecar.unlink(missing_ok=True)
    return path


def test_ten_lost_receipts_beside_five_hundred_that_arrived_are_told_by_each_command(log: Path) -> None:
    """As one meets it: processes of their own, all that was sent is there, and what was not is overwritten."""
    record(as_process, "overwritten", SENT)
    assert told(as_process, "send", status=0)["acknowledged"] == SENT
    record(as_process, "overwritten", UNSENT)
    path = only_segment(log)
    overwrite_the_end(path)
    assert told(as_process, "status", status=16)["unreadable"][0]["segment"] == path.stem
    assert told(as_process, "send", status=32)["unreadable"] == 1
    verified = told(as_process, "verify", *DAY, status=32)
    assert [window["state"] for window in verified["windows"]] == ["unverifiable"]


CASES: list[Any] = [
    pytest.param(overwrite_the_header, False, id="header overwritten"),
    pytest.param(lambda path: os.truncate(path, 0), False, id="emptied"),
    pytest.param(Path.unlink, True, id="deleted"),
]


@pytest.mark.parametrize(("harm", "is_gone"), CASES)
def test_what_was_recorded_and_cannot_be_read_is_named_until_a_repair_settles_it(
    log: Path, harm: Callable[[Path], None], is_gone: bool
) -> None:
    """Status is 16, send and nightly and verify are 32, doctor sees damage; after the repair only its window is unverifiable."""
    run, collection = in_this_process, f"things_{log.parent.name}"[:60]
    record(run, collection, SENT)
    assert told(run, "send", status=0)["unreadable"] == 0
    record(run, collection, UNSENT)
    status = told(run, "status", status=0)
    assert (status["pending"], status["unreadable"]) == (UNSENT, [])
    path = only_segment(log)
    harm(path)

    (unreadable,) = told(run, "status", status=16)["unreadable"]
    assert (unreadable["segment"], unreadable["gone"]) == (path.stem, is_gone)
    sent = told(run, "send", status=32)
    assert (sent["acknowledged"], sent["unreadable"]) == (0, 1)
    assert path.name in sent["reason"]
    night = told(run, "nightly", *DAY, status=32)
    assert night["send"]["unreadable"] == 1
    (window,) = night["after"]["windows"]
    assert window["state"] == "unverifiable"
    assert path.name in night["after"]["warnings"][0]
    verified = told(run, "verify", *DAY, status=32)
    assert [w["state"] for w in verified["windows"]] == ["unverifiable"]
    assert verified["unreadable"] == [unreadable]
    assert told(run, "replay", *DAY, "--yes", status=32)["planned"] == 0
    _, report = run(["verify", "--start", "2026-10-02", "--end", "2026-10-03"], "")
    assert report.splitlines()[-1].endswith("exit 32 (32 unreadable segments)")
    # Whatever is recorded from now on is sent all the same.
    record(run, collection, 5)
    assert told(run, "send", status=32)["acknowledged"] == 5
    findings = told(run, "doctor", status=16)["findings"]
    assert [f["level"] for f in findings if f["name"] == "segments"] == ["damage"]

    repaired = told(run, "doctor", "--repair", status=32)["repairs"]
    assert any(path.stem[11:] in finding["message"] for finding in repaired)
    assert told(run, "status", status=0)["unreadable"] == []
    left = told(run, "send", status=0)
    assert left["unreadable"] == 0
    verified = told(run, "verify", *DAY, status=32)
    assert [w["state"] for w in verified["windows"]] == ["unverifiable"]
    assert (verified["unreadable"], verified["warnings"]) == ([], [])
    assert told(run, "verify", "--start", "2026-10-02", "--end", "2026-10-03", status=0)["windows"] == []


def test_file_that_this_user_may_not_read_is_not_an_empty_one(log: Path) -> None:
    """Nothing of it is lost: with its rights back it is sent."""
    record(in_this_process, "closed", 3)
    (path,) = (log / "segments").glob("*.db")
    path.chmod(0)
    with bare_rights():
        assert told(in_this_process, "status", status=16)["unreadable"][0]["segment"] == path.stem
        assert told(in_this_process, "send", status=32)["unreadable"] == 1
    path.chmod(0o600)
    assert told(in_this_process, "send", status=0)["acknowledged"] == 3


def test_directory_that_this_user_may_not_read_is_an_error(log: Path) -> None:
    """Which segments there are is not known: no command goes on as if there were none."""
    record(in_this_process, "closed", 3)
    (log / "segments").chmod(0)
    with bare_rights():
        for command in (["status"], ["send"], ["verify", *DAY], ["nightly", *DAY]):
            error = told(in_this_process, *command, status=1)["error"]
            assert error["code"] == "log_permission"
    (log / "segments").chmod(0o700)
    assert told(in_this_process, "send", status=0)["acknowledged"] == 3
