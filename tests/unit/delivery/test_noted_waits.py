"""Why delivery waits stands in the log, for whoever asks; and costs nothing as long as nothing changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from keen_client.delivery.waiting import Waiting, read_waiting
from keen_client.errors import EventLogFullError, NotSentError
from keen_client.eventlog.state import State
from keen_client.report.log_status import read_status
from keen_client.testing.uploaders import ScriptedUploader, accept, fail, refuse
from keen_client.verify.presets import PRESETS


def noted(post: Any) -> Waiting | None:
    return read_waiting(post.log.state)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (refuse(401, "InvalidApiKeyError"), "the server answered 401 InvalidApiKeyError"),
        (refuse(429), "the server answered 429"),
        (refuse(503), "the server answered 503"),
        (fail(NotSentError("no such host", "check it")), "no such host"),
    ],
)
def test_the_reason_is_noted_and_cleared_by_success(
    post: Any, answer: Callable[..., Any], reason: str
) -> None:
    """With the time of its beginning; any other process can read it, and after a success there is none."""
    post.record()
    began_ms = post.clock.wall_ms()
    sender = post.sender(ScriptedUploader(answer, accept), unknown="resend")
    sender.step()
    waiting = noted(post)
    assert waiting is not None
    assert (waiting.reason, waiting.since_ms) == (reason, began_ms)
    status = read_status(post.log, PRESETS["standard"], post.clock.wall_ms())
    assert status.document()["delivery_waits"]["reason"] == reason
    post.clock.advance(300)
    sender.forget_pause()
    assert sender.step().accepted == 1
    assert noted(post) is None


def test_what_stays_the_same_is_not_written_again(post: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither for batch after batch that goes through, nor for try after try that fails in one way: since is the first."""
    writes: list[str] = []
    real = State.note

    def note(state: State, name: str, value: str) -> None:
        if name == "delivery_waits":
            writes.append(value)
        real(state, name, value)

    monkeypatch.setattr(State, "note", note)
    down = fail(NotSentError("no such host"))
    sender = post.sender(ScriptedUploader(accept, accept, down, down, down, accept), batch_events_max=1)
    post.record(6)
    began_ms = None
    for _ in range(6):
        sender.forget_pause()
        sender.step()
        waiting = noted(post)
        began_ms = began_ms or (waiting and waiting.since_ms)
        assert waiting is None or waiting.since_ms == began_ms
        post.clock.advance(70)
    assert [value == "null" for value in writes] == [False, True]


def test_the_next_sender_clears_what_the_one_before_noted(post: Any) -> None:
    """Whose memory is gone: a reason must not outlive the trouble because the process that met it died."""
    post.record()
    post.sender(ScriptedUploader(fail(NotSentError("no such host")))).step()
    assert noted(post) is not None
    post.clock.advance(300)
    assert post.sender(ScriptedUploader(accept)).step().accepted == 1
    assert noted(post) is None


def test_a_note_that_cannot_be_written_stops_no_delivery(post: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk the batch is settled all the same."""

    def full(*_: object) -> None:
        raise EventLogFullError("the disk is full")

    post.record(2)
    sender = post.sender(ScriptedUploader(fail(NotSentError("down")), accept))
    with monkeypatch.context() as patch:
        patch.setattr("keen_client.delivery.sender.note_waiting", full)
        sender.step()
    post.clock.advance(300)
    sender.forget_pause()
    assert sender.step().accepted == 2
