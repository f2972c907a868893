"""A log that may not be written or entered: each call says so, whoever looks, and loses nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from keen_client import (
    DeliveryConfig,
    EventLogFullError,
    EventLogPermissionError,
    FlushReport,
    KeenClient,
)
from keen_client.cli.app import app
from keen_client.delivery.sender import Sender, Step
from keen_client.server import LocalServer
from tests.bare_rights import bare_rights

#: A lane that fails tries again so soon that the tests need not wait.
EAGER = DeliveryConfig(backoff_max_seconds=0.2)


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    with LocalServer(seed=1) as server:
        yield server


def client_of(server: LocalServer, log: Path, **settings: Any) -> KeenClient:
    return KeenClient(
        server.project_id,
        server.write_key,
        server.read_key,
        base_url=server.url,
        log=log,
        delivery_config=EAGER,
        **settings,
    )


def record(server: LocalServer, log: Path, count: int = 3) -> None:
    with client_of(server, log, background=False) as keen:
        keen.add_events({"purchases": [{"n": n} for n in range(count)]})


def flushed_without_rights(
    server: LocalServer, log: Path, file: str, mode: int, timeout: float | None
) -> FlushReport:
    """What a flush by a background sender says when *file* of the log had *mode* from its opening on."""
    before = (log / file).stat().st_mode
    (log / file).chmod(mode)
    try:
        with bare_rights(), client_of(server, log) as keen:
            return keen.flush(timeout)
    finally:
        (log / file).chmod(before)


@pytest.mark.parametrize(("file", "mode"), [("state.db", 0o400), (".", 0o500)])
@pytest.mark.parametrize("timeout", [None, 0.5])
def test_a_flush_says_which_file_of_the_log_keeps_it_from_sending(
    server: LocalServer, tmp_path: Path, file: str, mode: int, timeout: float | None
) -> None:
    """Not that the time was up, nor that another process is the sender: there is none. It ends by itself."""
    record(server, tmp_path / "log")
    report = flushed_without_rights(server, tmp_path / "log", file, mode, timeout)
    assert (report.acknowledged, report.pending) == (0, 3)
    assert str(tmp_path / "log") in report.reason
    assert "cannot be" in report.reason
    assert "another process" not in report.reason


def test_a_background_sender_goes_on_when_the_log_can_be_written_again(
    server: LocalServer, tmp_path: Path
) -> None:
    """Only the flush gave up; the next one sends all, and has nothing to complain of."""
    log = tmp_path / "log"
    record(server, log)
    (log / "state.db").chmod(0o400)
    with bare_rights(), client_of(server, log) as keen:
        assert keen.flush().reason
        (log / "state.db").chmod(0o600)
        report = keen.flush(60)
    assert (report.acknowledged, report.pending, report.reason) == (3, 0, "")


def test_a_disk_that_was_full_has_a_flush_give_up_and_a_background_sender_recover(
    server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason is the disk; once there is room all is sent without another call."""
    is_full = True
    step = Sender.step

    def on_a_full_disk(self: Sender, deadline_ns: int | None = None) -> Step:
        if is_full:
            raise EventLogFullError("the disk is full; the events are still in the log", "free space")
        return step(self, deadline_ns)

    monkeypatch.setattr(Sender, "step", on_a_full_disk)
    record(server, tmp_path / "log")
    with client_of(server, tmp_path / "log") as keen:
        report = keen.flush()
        assert report.pending == 3
        assert report.reason.startswith("the disk is full")
        assert "free space" in report.reason
        is_full = False
        assert keen.flush(60).is_drained


@pytest.fixture
def closed(server: LocalServer, tmp_path: Path) -> Iterator[Path]:
    """A log whose directory nobody may enter, until the test ends."""
    log = tmp_path / "log"
    record(server, log)
    log.chmod(0o000)
    yield log
    log.chmod(0o700)


def run(server: LocalServer, log: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit status and the document of a command that has no more rights than the modes give."""
    environment = {
        "KEEN_BASE_URL": server.url,
        "KEEN_PROJECT_ID": server.project_id,
        "KEEN_WRITE_KEY": server.write_key,
        "KEEN_READ_KEY": server.read_key,
        "KEEN_LOG": str(log),
    }
    with bare_rights():
        result = CliRunner().invoke(app, [*arguments, "--json"], env=environment)
    document: dict[str, Any] = orjson.loads(result.stdout)
    return result.exit_code, document


@pytest.mark.parametrize("command", ["status", "send", "nightly", "record", "dead list"])
def test_a_closed_log_is_an_error_of_the_log_in_every_command(
    server: LocalServer, closed: Path, command: str
) -> None:
    """Under the code and with the hint that the page of errors promises, and not as one that nobody foresaw."""
    arguments = [*command.split(), *(["purchases", "-"] if command == "record" else [])]
    status, document = run(server, closed, *arguments)
    assert status == 1
    assert document["error"]["code"] == "log_permission"
    assert str(closed) in document["error"]["message"]
    assert "nothing was" in document["error"]["message"]
    assert "owner" in document["error"]["hint"]


@pytest.mark.parametrize("options", [(), ("--repair",)])
def test_doctor_finds_what_is_wrong_with_a_closed_log(
    server: LocalServer, closed: Path, options: tuple[str, ...]
) -> None:
    """As a finding, with the command that opens it."""
    status, document = run(server, closed, "doctor", *options)
    (finding, _) = document["findings"]
    assert (status, finding["name"], finding["level"]) == (32, "permissions", "warning")
    assert f"chmod u+rwX {closed}" in finding["hint"]


def test_a_log_below_a_closed_directory_is_not_taken_for_unmade(server: LocalServer, tmp_path: Path) -> None:
    """Whether it was made cannot be told, and that is said."""
    record(server, tmp_path / "above" / "log")
    (tmp_path / "above").chmod(0o000)
    try:
        for command, status in (("status", 1), ("doctor", 32)):
            done, document = run(server, tmp_path / "above" / "log", command)
            assert done == status
            assert "Permission denied" in str(document)
    finally:
        (tmp_path / "above").chmod(0o700)


@pytest.mark.parametrize("mode", [0o000, 0o400, 0o500])
def test_a_copied_log_whose_state_cannot_be_written_records_nothing_and_says_so(
    server: LocalServer, tmp_path: Path, mode: int
) -> None:
    """The first who opens a copy notes that it is one; where that fails no event is said to be in the log."""
    record(server, tmp_path / "log")
    shutil.copytree(tmp_path / "log", tmp_path / "copy")
    (tmp_path / "copy" / "state.db").chmod(mode)
    with bare_rights(), pytest.raises(EventLogPermissionError, match="nothing was recorded") as caught:
        client_of(server, tmp_path / "copy", background=False)
    assert "still in the log" not in caught.value.message


CALLS: dict[str, Callable[[KeenClient], object]] = {
    "add_event": lambda keen: keen.add_event("purchases", {"n": 1}),
    "add_events": lambda keen: keen.add_events({"purchases": [{"n": 1}, {"n": 2}]}),
    "flush": lambda keen: keen.flush(1),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_log_that_is_closed_under_a_client_gives_errors_of_the_log(
    server: LocalServer, tmp_path: Path, call: str
) -> None:
    """Whoever catches the library's errors catches this one too, and what was recorded before is there again."""
    log = tmp_path / "log"
    keen = client_of(server, log, background=False)
    keen.add_event("purchases", {"n": 0})
    log.chmod(0o000)
    try:
        with bare_rights(), pytest.raises(EventLogPermissionError, match="recorded"):
            CALLS[call](keen)
    finally:
        log.chmod(0o700)
    assert len(list(keen.log.entries())) == 1
    keen.close()
