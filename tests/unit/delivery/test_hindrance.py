"""What stands in the way: walls are told from poison, pauses last, and a flush without a limit ends."""

from __future__ import annotations

from typing import Any

import pytest

from keen_client.delivery.hindrance import WALL_EVENTS
from keen_client.delivery.outcome import Turn
from keen_client.delivery.sender import StepKind
from keen_client.errors import NotSentError, OutcomeUnknownError
from keen_client.eventlog.entry import DeliveryState
from keen_client.eventlog.outbox import Settlement
from keen_client.observability.signals import DeliveryPaused, DeliveryResumed
from keen_client.testing.uploaders import ScriptedUploader, accept, fail, refuse, results_of

WALL = refuse(400, "ProjectDisabledError", "no")
EVENTS = 600


def _pauses(post: Any) -> int:
    return sum(isinstance(signal, DeliveryPaused) for signal in post.signals)


def _until_waiting(sender: Any) -> Any:
    for _ in range(100):
        step = sender.step()
        if step.kind is not StepKind.SENT:
            return step
    message = "the sender never paused"
    raise AssertionError(message)


def test_a_wall_of_400s_pauses_delivery_after_a_few_events(post: Any) -> None:
    """Told loudly, with the server's error; from then on one request a pause asks whether it still stands."""
    post.record(EVENTS)
    uploader = ScriptedUploader(WALL)
    sender = post.sender(uploader)

    assert _until_waiting(sender).turn is Turn.REFUSED

    asked = len(uploader.bodies)
    assert asked < EVENTS // 20
    assert _pauses(post) == 1
    assert "ProjectDisabledError" in sender.pause.reason
    for more in range(1, 4):
        post.clock.advance(130)
        assert _until_waiting(sender).turn is Turn.REFUSED
        assert len(uploader.bodies) == asked + more
    assert post.log.outbox.backlog().pending == EVENTS
    assert post.log.dead_letters.list() == []


def test_behind_a_wall_that_has_gone_everything_is_accepted_once(post: Any) -> None:
    """What was refused alone is no dead letter: nothing of the log was the cause."""
    ids = post.record(EVENTS)
    uploader = ScriptedUploader(*[WALL] * 12, accept)
    sender = post.sender(uploader)
    report = post.courier(sender).flush(3_600)
    assert report.is_drained
    assert sorted(event["kc"]["id"] for event in uploader.accepted) == sorted(ids)
    assert post.log.dead_letters.list() == []


def test_many_poison_events_hold_up_the_others_for_one_pause_at_most(post: Any) -> None:
    """They look like a wall until something else is accepted; that is asked for first, and then they are dead letters."""
    poison = set(post.record(3 * WALL_EVENTS, "poison"))

    def picky(parsed: Any) -> Any:
        return (
            refuse(400, "InvalidEventError", "it is poison")(parsed) if "poison" in parsed else accept(parsed)
        )

    uploader = ScriptedUploader(picky)
    sender = post.sender(uploader)
    _until_waiting(sender)
    good = post.record(3, "good")
    post.clock.advance(130)

    assert sender.step().accepted == 3
    assert [event["kc"]["id"] for event in uploader.accepted] == good
    for _ in range(200):
        if sender.step().kind is not StepKind.SENT:
            post.clock.advance(10)
    assert {str(letter.id) for letter in post.log.dead_letters.list()} == poison
    assert _pauses(post) == 1


def test_a_single_poison_event_pauses_nothing(post: Any) -> None:
    """However often it is tried: the others go on."""
    post.record()
    sender = post.sender(ScriptedUploader(refuse(400, "InvalidEventError", "it is poison")))
    for _ in range(4 * WALL_EVENTS):
        sender.step()
        post.clock.advance(61)
    assert _pauses(post) == 0


def test_the_answer_to_an_older_request_ends_no_pause(post: Any) -> None:
    """A 200 to what left before the 429 proves nothing of the limit: Retry-After is honoured; a later 200 ends it."""
    post.record(3)
    late: list[Any] = []

    def answered_last(parsed: Any) -> Any:
        late.append(sender.step())
        return accept(parsed)

    sender = post.sender(
        ScriptedUploader(answered_last, refuse(429, "TooMany", "slow", retry_after="300"), accept),
        batch_events_max=1,
    )
    assert sender.step().accepted == 1
    assert late[0].turn is Turn.RATE_LIMITED
    post.clock.advance(299)
    assert sender.step().kind is StepKind.WAITING
    assert not any(isinstance(signal, DeliveryResumed) for signal in post.signals)
    post.clock.advance(120)
    assert sender.step().accepted == 1
    assert sender.pause is None
    assert any(isinstance(signal, DeliveryResumed) for signal in post.signals)


def test_an_older_acceptance_disproves_no_wall(post: Any) -> None:
    """What left before the wall came up says nothing about it."""
    post.record(WALL_EVENTS + 1)
    nested: list[Any] = []

    def answered_last(parsed: Any) -> Any:
        nested.append(_until_waiting(sender))
        return accept(parsed)

    sender = post.sender(ScriptedUploader(answered_last, WALL), batch_events_max=1)
    assert sender.step().accepted == 1
    assert nested[0].turn is Turn.REFUSED
    post.clock.advance(130)
    step = sender.step()
    assert (step.kind, step.turn) == (StepKind.SENT, Turn.REFUSED)


# ---- a flush without a limit ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (refuse(400, "InvalidEventError", "it is poison"), "InvalidEventError"),
        (
            lambda _: results_of({"c": [{"success": False, "error": {"name": "StorageError"}}]}),
            "StorageError",
        ),
        (fail(OutcomeUnknownError("cut")), "cut"),
        (fail(NotSentError("refused")), "refused"),
    ],
)
def test_five_attempts_that_bring_nothing_end_a_flush_without_a_limit(
    post: Any, answer: Any, reason: str
) -> None:
    """Whatever is answered to them; and the report says what it was."""
    post.record()
    uploader = ScriptedUploader(answer)
    report = post.courier(post.sender(uploader, unknown="resend")).flush()
    assert len(uploader.bodies) == 5
    assert (report.pending + report.unknown, report.acknowledged) == (1, 0)
    assert reason in report.reason


def test_halving_a_batch_is_no_fruitless_attempt(post: Any) -> None:
    """A poison event among many is found by a flush without a limit, and the others are sent."""
    ids = post.record(500)

    def poisoned(parsed: Any) -> Any:
        has_it = any(event["kc"]["id"] == ids[-1] for event in parsed["c"])
        return refuse(400, "InvalidEventError", "it is poison")(parsed) if has_it else accept(parsed)

    report = post.courier(post.sender(ScriptedUploader(poisoned))).flush()
    assert (report.acknowledged, report.rejected, report.pending) == (499, 1, 0)


def test_a_report_says_when_what_is_left_is_due(post: Any) -> None:
    """What is due later than anybody should wait is left, and the reason is never empty."""
    post.record()
    sender = post.sender(ScriptedUploader(refuse(429, "TooMany", "slow", retry_after="300"), accept))
    sender.step()
    report = post.courier(sender).flush()
    assert report.pending == 1
    assert "due in 30" in report.reason


def test_a_flush_does_not_end_while_another_thread_takes_what_was_unknown(
    post: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Claimed between two looks it is in neither: it is looked at again, and waited for."""
    post.record()
    sender = post.sender(ScriptedUploader(fail(OutcomeUnknownError("cut"))), unknown="resend")
    sender.step()
    post.clock.advance(70)
    sender.release()
    assert post.log.directory.sender_lock().try_acquire()  # somebody else sends
    backlog, outbox = post.log.outbox.backlog, post.log.outbox
    claims: list[Any] = []

    def look_and_claim() -> Any:
        seen = backlog()
        if not claims:
            claims.append(outbox.claim(events_max=1, bytes_max=10**6, resend_unknown_since_ms=0))
        elif len(claims) == 1:
            claims.append(None)
            outbox.settle(claims[0], [Settlement(DeliveryState.ACKNOWLEDGED)])
        return seen

    monkeypatch.setattr(outbox, "backlog", look_and_claim)
    assert post.courier(sender).flush(60).is_drained
