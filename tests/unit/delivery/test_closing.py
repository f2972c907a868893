"""The end of a sender: what it had claimed, its lock, and whoever was waiting for it."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from keen_client.delivery.sender import StepKind
from keen_client.errors import ClientClosedError, EventLogBusyError, NotSentError
from keen_client.testing.uploaders import ScriptedUploader, accept, fail


def _is_free(post: Any) -> bool:
    lock = post.log.directory.sender_lock()
    taken = bool(lock.try_acquire())
    lock.release()
    return taken


def test_what_a_closed_connection_refused_is_pending_and_not_unknown(post: Any) -> None:
    """Nothing left this machine: no query is needed to send it later."""
    post.record(3)
    sender = post.sender(ScriptedUploader(fail(ClientClosedError("closed")), accept), unknown="query")
    assert sender.step().accepted == 0
    assert post.states() == {"pending": 3}
    sender.forget_pause()
    assert sender.step().accepted == 3


def test_what_was_claimed_when_the_client_was_closed_does_not_leave(
    post: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closed between the claim and the request: the batch goes back into the log, surely not sent."""
    post.record(3)
    uploader = ScriptedUploader()
    sender = post.sender(uploader)
    claim = post.log.outbox.claim

    def claim_and_close(**limits: Any) -> Any:
        claimed = claim(**limits)
        sender.close()
        return claimed

    monkeypatch.setattr(post.log.outbox, "claim", claim_and_close)
    sender.step()

    assert uploader.bodies == []
    assert post.states() == {"pending": 3}
    assert _is_free(post)


def test_a_closed_sender_claims_nothing_and_takes_the_lock_no_more(post: Any) -> None:
    """Neither a flush nor a lane that comes late gets it back."""
    post.record()
    uploader = ScriptedUploader()
    sender = post.sender(uploader)
    sender.close()
    assert not sender.acquire()
    assert sender.step().kind is StepKind.IDLE
    assert uploader.bodies == []
    assert _is_free(post)


def test_a_sender_that_is_closed_while_it_is_elected_leaves_the_lock(
    post: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The election takes a moment, for what its predecessor left; a client closed meanwhile must not hold it for ever."""
    sender = post.sender(ScriptedUploader())
    sender.release()
    monkeypatch.setattr(post.log.outbox, "recover", lambda: sender.close() or 0)
    assert not sender.acquire()
    assert _is_free(post)


@pytest.mark.parametrize("background", [True, False])
def test_a_flush_ends_when_the_client_is_closed_under_it(post: Any, background: bool) -> None:
    """It reports what is left and why, and the lock is free for another process."""
    post.record(2)

    def close_meanwhile(_: Any) -> BaseException:
        courier.close(0)
        return NotSentError("refused")

    sender = post.sender(ScriptedUploader(close_meanwhile))
    courier = post.courier(sender)
    report = courier.flush(60)
    assert report.pending == 2
    assert report.reason
    assert _is_free(post)


def test_closing_waits_for_what_is_being_settled_and_not_for_the_server(post: Any) -> None:
    """A step at the disk has its second; one that waits for an answer only what it is given, and is left then."""
    post.record()
    waiting, answer = threading.Event(), threading.Event()

    def hang(parsed: Any) -> Any:
        waiting.set()
        assert answer.wait(30)
        return accept(parsed)

    sender = post.sender(ScriptedUploader(hang))
    courier = post.courier(sender)
    thread = threading.Thread(target=sender.step)
    thread.start()
    assert waiting.wait(30)
    assert (sender.is_stepping, sender.is_settling) == (True, False)
    courier.close(0)
    began_ns = post.clock.monotonic_ns()
    courier.settle(0.1)
    assert 0.1e9 <= post.clock.monotonic_ns() - began_ns < 0.2e9
    answer.set()
    thread.join(30)
    assert not sender.is_stepping
    assert _is_free(post)


def test_a_close_that_fails_has_closed(post: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log fails under the last flush: the threads end and the lock is free nonetheless."""
    post.record()
    sender = post.sender(ScriptedUploader())
    courier = post.courier(sender, background=True)
    courier.notify()

    def busy() -> None:
        raise EventLogBusyError("state.db is busy")

    with monkeypatch.context() as patch:
        patch.setattr(post.log.outbox, "backlog", busy)
        with pytest.raises(EventLogBusyError):
            courier.close(5)
    assert not [t for t in threading.enumerate() if t.name.startswith("keen-client-sender")]
    assert _is_free(post)
    courier.close(5)
