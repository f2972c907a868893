"""Until when an entry is held, whatever the clock said when that was noted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from keen_client._foundation.clock import MS_PER_SECOND
from keen_client.delivery.sender import StepKind
from keen_client.errors import NotSentError, OutcomeUnknownError
from keen_client.eventlog.outbox import HELD_MAX_MS
from keen_client.testing.uploaders import ScriptedUploader, accept, fail, refuse, results_of

DAY_SECONDS = 86_400
YEAR_SECONDS = 365 * DAY_SECONDS
HELD_MAX_SECONDS = HELD_MAX_MS / MS_PER_SECOND


@pytest.mark.parametrize(
    "first",
    [
        fail(NotSentError("no such host")),
        refuse(429, "TooMany", "slow", retry_after="300"),
        refuse(400, "InvalidEventError", "it is poison"),
        fail(OutcomeUnknownError("cut")),
    ],
)
def test_what_a_clock_that_was_ahead_had_wait_is_sent_once_it_is_put_right(
    post: Any, first: Callable[..., Any]
) -> None:
    """A boot with a wrong clock and no network yet: nothing waits for the wrong time to come."""
    post.record()
    post.clock.step_wall(YEAR_SECONDS)
    assert post.sender(ScriptedUploader(first), unknown="resend").step().kind is StepKind.SENT
    post.clock.step_wall(-YEAR_SECONDS)

    healed = ScriptedUploader()
    report = post.courier(post.sender(healed, unknown="resend")).flush(10)

    assert report.is_drained
    assert len(healed.accepted) == 1


def test_what_nothing_holds_is_due_whatever_the_clock_says(post: Any) -> None:
    """No connection holds no entry: it goes at once after the smallest step back, and not when that is made up for."""
    post.record()
    sender = post.sender(ScriptedUploader(fail(NotSentError("down")), accept))
    sender.step()
    post.clock.step_wall(-HELD_MAX_SECONDS / 2)
    sender.forget_pause()
    assert sender.step().accepted == 1


def test_no_entry_is_held_for_longer_than_an_hour(post: Any) -> None:
    """A setting that would have it wait for a day: what is noted is an hour, so that more is known to be a clock's fault."""
    post.record()
    sender = post.sender(ScriptedUploader(refuse(429), accept), rate_limit_seconds=86_400.0)
    sender.step()
    due_ms = post.log.outbox.next_due_ms()
    assert due_ms == post.clock.wall_ms() + HELD_MAX_MS
    post.clock.advance(HELD_MAX_SECONDS - 1)
    sender.forget_pause()
    assert sender.step().kind is StepKind.IDLE
    post.clock.advance(1)
    assert sender.step().accepted == 1


def test_what_waits_for_a_query_is_not_due_by_a_wrong_clock(post: Any) -> None:
    """Unknown, then refused for good: no time frees it, and none that is far off is taken for a clock's fault."""
    post.record()
    refused = results_of(
        {"c": [{"success": False, "error": {"name": "InvalidEventError", "description": ""}}]}
    )
    script = ScriptedUploader(fail(OutcomeUnknownError("cut")), lambda _: refused)
    sender = post.sender(script, unknown="resend")
    sender.step()
    post.clock.advance(70)
    sender.step()
    assert post.states() == {"unknown": 1}
    assert post.log.outbox.next_due_ms(0) is None
    assert sender.step().kind is StepKind.IDLE
    assert len(script.bodies) == 2


@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_token_that_was_given_by_a_clock_that_was_ahead_is_never_trusted(
    post: Any, *, is_restarted: bool
) -> None:
    """Sent with an unknown outcome while the clock was 50 days ahead: when those are over the server has forgotten it."""
    post.record()
    post.clock.step_wall(50 * DAY_SECONDS)
    healed = ScriptedUploader(fail(OutcomeUnknownError("cut")))
    sender = post.sender(healed)
    sender.step()
    post.clock.step_wall(-50 * DAY_SECONDS)
    for _ in range(60):
        if is_restarted:
            sender = post.sender(healed)
        sender.forget_pause()
        assert sender.step().kind is StepKind.IDLE
        post.clock.advance(DAY_SECONDS)
    assert post.states() == {"unknown": 1}
    assert len(healed.bodies) == 1


def test_a_clock_that_was_ahead_by_less_than_an_hour_costs_no_query(post: Any) -> None:
    """So little makes no token expire: what is unknown is resent under it, as ever."""
    post.record()
    post.clock.step_wall(HELD_MAX_SECONDS - 1)
    sender = post.sender(ScriptedUploader(fail(OutcomeUnknownError("cut")), accept))
    sender.step()
    post.clock.step_wall(1 - HELD_MAX_SECONDS)
    assert post.courier(sender).flush(2 * HELD_MAX_SECONDS).is_drained
