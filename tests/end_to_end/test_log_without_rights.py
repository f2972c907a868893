"""A log that may not be written or entered: each call says so, whoever looks, and loses nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keen_client import DeliveryConfig, EventLogFullError, FlushReport, KeenClient
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
