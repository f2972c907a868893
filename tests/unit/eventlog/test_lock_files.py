"""Lock files that cannot be made: told in words of the log, and only to those who need them."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from keen_client import KeenClient
from keen_client._foundation.locks import LockFile
from keen_client.errors import EventLogError, EventLogFullError, EventLogPermissionError
from keen_client.eventlog.directory import LogDirectory

LOCKS: list[Callable[[LogDirectory], LockFile]] = [
    LogDirectory.recorders_lock,
    LogDirectory.sender_lock,
    LogDirectory.nightly_lock,
]


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.ENOSPC, EventLogFullError),
        (errno.EROFS, EventLogPermissionError),
        (errno.EIO, EventLogError),
    ],
)
@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_file_that_cannot_be_made_is_told_as_an_error_of_the_log(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lock: Callable[[LogDirectory], LockFile],
    number: int,
    error: type[EventLogError],
) -> None:
    """A full or read-only disk gives the library's own error, which says that nothing was changed."""

    def refuse(path: Path, *rest: object) -> int:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(error, match="nothing was recorded or changed"):
        lock(LogDirectory(tmp_path))


def test_a_client_that_sent_nothing_closes_without_a_senders_lock(tmp_path: Path) -> None:
    """Close asks for no file that a full disk could refuse."""
    client = KeenClient("p", log=tmp_path / "log", background=False)
    client.add_event("purchases", {"price": 1})
    client.close()
    assert not (tmp_path / "log" / "sender.lock").exists()
