"""A batch that could not even be written has not left: nothing of it is unknown."""

from __future__ import annotations

from pathlib import Path

import pytest

from keen_client._foundation.randomness import SeededRandomness
from keen_client.delivery import sender as sender_module
from keen_client.delivery.config import DeliveryConfig
from keen_client.delivery.sender import Sender, StepKind
from keen_client.eventlog.config import LogConfig
from keen_client.eventlog.directory import Binding
from keen_client.eventlog.log import EventLog
from keen_client.events.encoding import encode_event
from keen_client.observability.hooks import HookSet
from keen_client.testing.clocks import VirtualClock
from keen_client.testing.uploaders import ScriptedUploader


def test_what_could_not_be_written_is_pending_and_goes_with_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the memory is used up: without tokens, what is unknown would wait for a query that nobody needs."""
    clock, uploader = VirtualClock(), ScriptedUploader()
    log = EventLog(
        tmp_path / "log", Binding("http://127.0.0.1:1", "p"), LogConfig(), clock, SeededRandomness(1)
    )
    sender = Sender(
        log,
        uploader,
        DeliveryConfig(),
        clock,
        SeededRandomness(2),
        HookSet([]),
        tokens_honoured=lambda: False,
    )
    assert sender.acquire()
    log.record_all([encode_event("c", {"n": n}) for n in range(3)])

    def fail(_entries: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(sender_module, "build_batch", fail)
        with pytest.raises(MemoryError):
            sender.step()

    backlog = log.outbox.backlog()
    assert (backlog.pending, backlog.unknown, backlog.inflight) == (3, 0, 0)
    assert sender.step().kind is StepKind.SENT
    assert [event["n"] for event in uploader.accepted] == [0, 1, 2]
    sender.release()
    log.close()
