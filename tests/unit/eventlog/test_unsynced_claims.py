"""What cannot be synced is not sent."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import pytest

from keen_client.errors import EventLogError
from keen_client.eventlog.segment import SegmentReader


def test_what_the_disk_does_not_sync_is_not_claimed(
    make_till: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is the log's own and says so; the entries are still to be sent once the disk does."""
    till = make_till()
    till.record(3)

    def fail(reader: SegmentReader) -> bool:
        raise OSError(errno.EIO, "the disk fails")

    with monkeypatch.context() as patch:
        patch.setattr(SegmentReader, "sync_wal", fail)
        with pytest.raises(EventLogError, match="nothing was sent"):
            till.log.outbox.claim(events_max=10, bytes_max=1_000_000)
    assert till.log.outbox.backlog().pending == 3
    assert till.send() == 3
