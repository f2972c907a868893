"""Sending what lies in the log while a bar shows how far it is."""

from __future__ import annotations

import threading
from typing import Final

from keen_client.cli.progress import OnProgress
from keen_client.client.wiring import Machinery
from keen_client.delivery.courier import FlushReport

_LOOK_SECONDS: Final = 0.5


def drain(machinery: Machinery, timeout_seconds: float | None, show: OnProgress) -> FlushReport:
    """Flush in this thread; another one tells *show* how many events have been dealt with."""
    outbox = machinery.log.outbox
    total = outbox.backlog().unsent
    if not total:
        return machinery.courier.flush(timeout_seconds)
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_LOOK_SECONDS):
            show("send", max(0, total - outbox.backlog().unsent), total)

    watcher = threading.Thread(target=watch, name="keen-client-progress", daemon=True)
    watcher.start()
    try:
        return machinery.courier.flush(timeout_seconds)
    finally:
        over.set()
        watcher.join()
