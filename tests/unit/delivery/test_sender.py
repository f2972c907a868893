"""The sender: what each kind of answer does to the entries it was for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from keen_client.delivery import sender as sender_module
from keen_client.delivery.batch import Batch, build_batch
from keen_client.delivery.courier import Courier
from keen_client.delivery.outcome import Turn
from keen_client.delivery.sender import StepKind
from keen_client.errors import EventLogBusyError, NotSentError, OutcomeUnknownError
from keen_client.eventlog.entry import DeliveryState
from keen_client.eventlog.outbox import Claimed, Settlement
from keen_client.observability.hooks import HookSet
from keen_client.observability.signals import InflightRecovered
from keen_client.testing.uploaders import ScriptedUploader, accept, fail, refuse, results_of
from keen_client.transport.message import Response

if TYPE_CHECKING:
    from tests.unit.delivery.conftest import Post

Bodies = dict[str, list[dict[str, Any]]]


def test_all_events_of_an_accepted_batch_are_acknowledged(post: Post) -> None:
    """Success for each event acknowledges each event, and nothing is left."""
    ids = post.record(7)
    uploader = ScriptedUploader()

    post.drain(post.sender(uploader))

    assert [e["kc"]["id"] for e in uploader.accepted] == ids
    assert {e["kc"]["a"] for e in uploader.accepted} == {0}
    assert [e["keen"]["uniqueness_token"] for e in uploader.accepted] == ids
    assert post.states() == {"acknowledged": 7}


class _DiedError(BaseException):
    """Nothing of the sender runs any more."""


def test_a_machine_that_slept_before_its_request_left_dates_the_attempt_by_the_leaving(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a window would seem to have rested since long before its event left, and the event would be resent."""
    post.record(1)

    def asleep(entries: Sequence[Claimed]) -> Batch:
        post.clock.advance(3_600)
        return build_batch(entries)

    def left(parsed: Bodies) -> Response:
        raise _DiedError

    monkeypatch.setattr(sender_module, "build_batch", asleep)
    with pytest.raises(_DiedError):
        post.sender(ScriptedUploader(left)).step()
    now_ms = post.clock.wall_ms()
    with post.log.state.reading() as db:
        assert db.execute("SELECT state, last_ms FROM ranges").fetchall() == [("inflight", now_ms)]
        assert db.execute("SELECT attempted_ms FROM totals").fetchall() == [(now_ms,)]


def test_no_request_of_a_flush_outlasts_its_time(post: Post) -> None:
    """Each is given what is left; and none is begun that would have to be cut off, if it takes as long as the last."""
    post.record(5)

    def slow(parsed: Bodies) -> Response:
        post.clock.advance(3)
        return accept(parsed)

    uploader = ScriptedUploader(slow)
    courier = Courier(post.sender(uploader, batch_events_max=1), post.clock, HookSet([]), background=False)
    report = courier.flush(10)
    assert uploader.bounds == [10.0, 7.0, 4.0]
    assert (report.acknowledged, report.pending, report.reason) == (3, 2, "the time was up")
    uploader.bounds.clear()
    assert courier.flush(6).is_drained
    assert uploader.bounds == [6.0, 3.0]


def test_a_flush_without_a_time_limit_leaves_each_request_its_usual_time(post: Post) -> None:
    """Nothing but the transport's own timeouts ends it."""
    post.record(2)
    uploader = ScriptedUploader()
    courier = Courier(post.sender(uploader, batch_events_max=1), post.clock, HookSet([]), background=False)
    assert courier.flush().is_drained
    assert uploader.bounds == [None, None]


def test_results_are_mapped_to_the_exact_entries_sent(post: Post) -> None:
    """A refusal in the middle of several collections hits the one event it is for."""
    for collection in ("a", "b", "a"):
        post.record(3, collection)

    def refuse_one(parsed: Bodies) -> Response:
        results: dict[str, list[Any]] = {c: [{"success": True} for _ in e] for c, e in parsed.items()}
        results["a"][4] = {
            "success": False,
            "error": {"name": "InvalidPropertyNameError", "description": "x"},
        }
        return results_of(dict(reversed(results.items())))

    uploader = ScriptedUploader(refuse_one)
    post.drain(post.sender(uploader))

    letters = post.log.dead_letters.list()
    assert [str(letter.id) for letter in letters] == [uploader.bodies[0]["a"][4]["kc"]["id"]]
    assert letters[0].name == "InvalidPropertyNameError"
    assert post.states() == {"acknowledged": 8, "rejected": 1}


@pytest.mark.parametrize(
    ("name", "state"), [("DuplicateEventError", "acknowledged"), ("DuplicatePropertyError", "unknown")]
)
def test_only_a_known_token_is_as_good_as_success(post: Post, name: str, state: str) -> None:
    """An error that merely names something else a duplicate proves nothing: a query has to settle the event."""
    post.record(1)

    def name_a_duplicate(parsed: Bodies) -> Response:
        return results_of({"c": [{"success": False, "error": {"name": name, "description": "x"}}]})

    post.drain(post.sender(ScriptedUploader(name_a_duplicate), unknown="query"))
    assert post.states() == {state: 1}


@pytest.mark.parametrize("place", [0, 123, 249, 250, 499])
def test_a_poison_event_in_500_becomes_the_only_dead_letter(post: Post, place: int) -> None:
    """A batch refused whole is halved until the poison stands alone; the 499 others arrive, each once."""
    ids = post.record(500)
    poison = ids[place]

    def poisoned(parsed: Bodies) -> Response:
        if any(event["kc"]["id"] == poison for event in parsed["c"]):
            return refuse(400, "InvalidEventError", "it is poison")(parsed)  # type: ignore[return-value]
        return accept(parsed)

    uploader = ScriptedUploader(poisoned)
    post.drain(post.sender(uploader))

    assert sorted(e["kc"]["id"] for e in uploader.accepted) == sorted(set(ids) - {poison})
    assert [(str(d.id), d.name) for d in post.log.dead_letters.list()] == [(poison, "InvalidEventError")]
    assert post.states() == {"acknowledged": 499, "rejected": 1}


def test_a_wall_of_400s_makes_no_dead_letter(post: Post) -> None:
    """A server that refuses everything with Keen's own error loses nothing: all waits until it accepts again."""
    ids = post.record(40)
    walled = post.sender(ScriptedUploader(refuse(400, "InvalidApiVersion", "no")))
    for _ in range(300):
        if walled.step().kind is not StepKind.SENT:
            post.clock.advance(60)
    assert post.states() == {"pending": 40}
    assert post.log.dead_letters.list() == []

    healed = ScriptedUploader()
    post.drain(post.sender(healed))

    assert sorted(e["kc"]["id"] for e in healed.accepted) == sorted(ids)
    assert post.states() == {"acknowledged": 40}


@pytest.mark.parametrize(
    ("status", "turn"),
    [
        (400, Turn.REFUSED),
        (401, Turn.LOCKED_OUT),
        (402, Turn.LOCKED_OUT),
        (403, Turn.LOCKED_OUT),
        (404, Turn.REFUSED),
        (302, Turn.REFUSED),
    ],
)
def test_a_proxys_page_pauses_delivery_and_keeps_everything(post: Post, status: int, turn: Turn) -> None:
    """A refusal that is not about an event pauses loudly; the events stay pending, surely not accepted."""
    post.record(5)
    sender = post.sender(ScriptedUploader(refuse(status)))

    assert sender.step().turn is turn

    assert post.states() == {"pending": 5}
    assert sender.pause is not None
    assert str(status) in sender.pause.reason
    assert any(type(signal).__name__ == "DeliveryPaused" for signal in post.signals)
    assert sender.step().kind is StepKind.WAITING


def test_429_waits_as_long_as_the_server_wishes(post: Post) -> None:
    """Retry-After is honoured: nothing is sent before, and the events are pending."""
    post.record(1)
    sender = post.sender(ScriptedUploader(refuse(429, "TooMany", "slow", retry_after="120"), accept))
    sender.step()

    post.clock.advance(119)
    assert sender.step().kind is StepKind.WAITING
    post.clock.advance(3)
    post.drain(sender)

    assert post.states() == {"acknowledged": 1}


def test_413_splits_the_batch(post: Post) -> None:
    """A body that is too large is sent in halves."""
    post.record(8)

    def small_only(parsed: Bodies) -> Response:
        return accept(parsed) if len(parsed["c"]) <= 2 else Response(status=413, body=b"<html>")

    uploader = ScriptedUploader(small_only)
    post.drain(post.sender(uploader))

    assert [len(body["c"]) for body in uploader.bodies] == [8, 4, 2, 2, 4, 2, 2]
    assert post.states() == {"acknowledged": 8}


def test_no_connection_leaves_everything_pending(post: Post) -> None:
    """What surely did not reach the server is pending again, and not unknown."""
    post.record(3)
    post.sender(ScriptedUploader(fail(NotSentError("refused")))).step()

    assert post.states() == {"pending": 3}


@pytest.mark.parametrize(
    "answer",
    [
        fail(OutcomeUnknownError("cut")),
        refuse(500, "InternalServerError", "x"),
        refuse(502),
        refuse(408),
        lambda _: Response(status=200, body=b"<html>hello</html>"),
        lambda _: results_of({"c": [{"success": True}]}),
        lambda _: results_of({"other": [{"success": True}] * 2}),
        lambda _: results_of({"error_code": "X", "message": "an error under 200"}),
        lambda _: results_of({"c": [{"success": "yes"}, {}]}),
    ],
)
def test_an_answer_that_proves_nothing_is_unknown(post: Post, answer: Callable[[Bodies], Any]) -> None:
    """Cut, 5xx, garbage, too few results, strange results: none of them acknowledges or frees an event."""
    post.record(2)
    post.sender(ScriptedUploader(answer)).step()

    assert post.states() == {"unknown": 2}


def test_unknown_is_resent_under_its_token_where_tokens_are_honoured(post: Post) -> None:
    """With the default policy and honoured tokens an unknown event goes again, same token, next attempt number."""
    (event_id,) = post.record(1)
    uploader = ScriptedUploader(fail(OutcomeUnknownError("cut")), accept)

    post.drain(post.sender(uploader))

    first, second = (body["c"][0] for body in uploader.bodies)
    assert first["keen"] == second["keen"]
    assert (first["kc"]["a"], second["kc"]["a"]) == (0, 1)
    assert second["keen"]["uniqueness_token"] == event_id
    assert post.states() == {"acknowledged": 1}


@pytest.mark.parametrize(("policy", "honoured"), [("auto", False), ("query", True)])
def test_unknown_waits_for_a_query_where_a_resend_could_double(
    post: Post, policy: str, honoured: bool
) -> None:
    """Without proof that tokens are honoured, or by policy, an unknown event is never resent by itself."""
    post.record(1)
    post.honoured = honoured
    uploader = ScriptedUploader(fail(OutcomeUnknownError("cut")), accept)
    sender = post.sender(uploader, unknown=policy)
    post.drain(sender)
    post.clock.advance(86_400 * 40)
    post.drain(sender)

    assert len(uploader.bodies) == 1
    assert post.states() == {"unknown": 1}


def test_unknown_older_than_the_servers_memory_is_not_resent(post: Post) -> None:
    """A token is trusted for 30 days from the first attempt, and no longer."""
    post.record(1)
    uploader = ScriptedUploader(fail(OutcomeUnknownError("cut")), accept)
    sender = post.sender(uploader)
    sender.step()
    post.clock.advance(86_400 * 31)
    post.drain(sender)

    assert len(uploader.bodies) == 1
    assert post.states() == {"unknown": 1}


@pytest.mark.parametrize(
    "later", [refuse(429, "TooMany", "x"), fail(NotSentError("down")), refuse(401, "InvalidApiKeyError", "x")]
)
def test_what_was_once_unknown_is_not_freed_by_a_later_refusal(
    post: Post, later: Callable[[Bodies], Any]
) -> None:
    """Unknown, then surely-not-accepted, is still unknown: the first attempt may be there."""
    post.record(1)
    sender = post.sender(ScriptedUploader(fail(OutcomeUnknownError("cut")), later))
    sender.step()
    post.clock.advance(70)
    sender.step()

    assert post.states() == {"unknown": 1}


def test_unknown_then_refused_for_good_waits_for_a_query(post: Post) -> None:
    """Unknown, then refused, is not surely absent: it is noted as unsure, expected still, and not resent."""
    post.record(1)
    refused = results_of(
        {"c": [{"success": False, "error": {"name": "InvalidEventError", "description": ""}}]}
    )
    uploader = ScriptedUploader(fail(OutcomeUnknownError("cut")), lambda _: refused)
    sender = post.sender(uploader)
    post.drain(sender)

    assert len(uploader.bodies) == 2
    assert post.states() == {"unknown": 1}
    assert post.log.dead_letters.list() == []
    assert [letter.name for letter in post.log.dead_letters.list("unsure")] == ["InvalidEventError"]


@pytest.mark.parametrize(
    ("ahead_seconds", "believed"),
    [(3 * 86_400, True), (301, True), (299, False), (-3 * 86_400, False)],
)
def test_what_a_clock_that_is_behind_sends_is_dated_by_the_server(
    post: Post, ahead_seconds: int, believed: bool
) -> None:
    """Put right again, it would seem to have rested for days; an attempt without an answer is dated alike."""
    post.record(2)
    server_ms = post.clock.wall_ms() + ahead_seconds * 1_000

    def accepted(body: dict[str, list[dict[str, Any]]]) -> Response:
        return attrs.evolve(accept(body), headers={"date": formatdate(server_ms / 1_000, usegmt=True)})

    sender = post.sender(ScriptedUploader(accepted, fail(OutcomeUnknownError("cut"))), batch_events_max=1)
    sender.step()
    sender.step()

    with post.log.state.reading() as db:
        attempts = [last_ms for (last_ms,) in db.execute("SELECT last_ms FROM ranges ORDER BY seq_lo")]
        attempted = db.execute("SELECT max(attempted_ms) FROM totals").fetchone()[0]
    assert len(attempts) == 2
    expected = server_ms if believed else post.clock.wall_ms()
    assert all(abs(at_ms - expected) <= 1_000 for at_ms in (*attempts, attempted))


def test_a_crash_in_flight_is_unknown_for_the_next_sender(post: Post) -> None:
    """A sender that dies between POST and settle leaves unknown entries, never pending ones."""
    post.record(4)
    assert post.log.outbox.claim(events_max=10, bytes_max=10**6) is not None
    post.log.directory.sender_lock().release()
    post.log.close()

    post.log = post.open()
    sender = post.sender(ScriptedUploader())

    assert post.states() == {"unknown": 4}
    post.honoured = False
    assert sender.step().kind is StepKind.IDLE


def test_what_could_not_be_settled_is_unknown_at_the_next_step(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """state.db was busy when the answer came: nothing stays in flight while the process lives, nor is another's taken."""
    post.record(3)
    sender = post.sender(ScriptedUploader(), unknown="query")

    def busy(*_: Any) -> None:
        message = "state.db is busy"
        raise EventLogBusyError(message)

    with monkeypatch.context() as patch:
        patch.setattr(post.log.outbox, "settle", busy)
        with pytest.raises(EventLogBusyError):
            sender.step()
    post.record(2)
    elsewhere = post.log.outbox.claim(events_max=2, bytes_max=10**6)  # another thread's
    assert elsewhere is not None
    assert post.states() == {"inflight": 5}

    assert sender.step().kind is StepKind.IDLE
    assert post.states() == {"unknown": 3, "inflight": 2}
    assert [signal for signal in post.signals if isinstance(signal, InflightRecovered)] == [
        InflightRecovered(3)
    ]


def test_a_dead_letter_can_be_retried_with_its_identity_unchanged(post: Post) -> None:
    """`retry` sends the same id, timestamp and token again, and success makes it expected once more."""
    (event_id,) = post.record(1)
    refused = results_of(
        {"c": [{"success": False, "error": {"name": "InvalidEventError", "description": ""}}]}
    )
    uploader = ScriptedUploader(lambda _: refused, accept)
    sender = post.sender(uploader)
    post.drain(sender)
    window = next(iter(post.log.expectation.windows("c", *_hour(post)).values()))
    assert window.total.n == 0

    letters = post.log.dead_letters
    assert letters.retry([letter.id for letter in letters.list()]) == 1
    post.drain(sender)

    assert uploader.bodies[1]["c"][0]["keen"] == uploader.bodies[0]["c"][0]["keen"]
    assert uploader.accepted[0]["kc"]["id"] == event_id
    assert next(iter(post.log.expectation.windows("c", *_hour(post)).values())).total.n == 1
    assert letters.list() == []


def test_a_dropped_dead_letter_stays_unexpected(post: Post) -> None:
    """`drop` is a counted decision: the event is not sent, and not expected."""
    post.record(2)
    refused = results_of(
        {"c": [{"success": False, "error": {"name": "InvalidEventError", "description": ""}}] * 2}
    )
    sender = post.sender(ScriptedUploader(lambda _: refused))
    post.drain(sender)
    letters = post.log.dead_letters

    assert letters.drop([letters.list()[0].id]) == 1

    assert post.states() == {"dropped": 1, "rejected": 1}
    assert next(iter(post.log.expectation.windows("c", *_hour(post)).values())).total.n == 0


def test_flush_reports_what_it_did_and_what_is_left(post: Post) -> None:
    """`flush` returns counts: acknowledged and rejected by it, pending and unknown left."""
    post.record(10)
    sender = post.sender(ScriptedUploader())
    courier = Courier(sender, post.clock, HookSet(), background=False)

    report = courier.flush()

    assert (report.acknowledged, report.rejected, report.pending, report.unknown) == (10, 0, 0, 0)
    assert report.is_drained


def test_flush_without_a_limit_ends_when_the_network_is_down(post: Post) -> None:
    """Five attempts that bring nothing end an unlimited flush; the reason is told, the events are kept."""
    post.record(3)
    sender = post.sender(ScriptedUploader(fail(NotSentError("connection refused"))))
    courier = Courier(sender, post.clock, HookSet(), background=False)

    report = courier.flush()

    assert (report.acknowledged, report.pending) == (0, 3)
    assert "refused" in report.reason


def test_flush_says_why_events_are_left_that_no_attempt_would_settle(post: Post) -> None:
    """Unknown entries wait for a query, not for a sender: the reason is told though nothing was tried."""
    post.honoured = False
    post.record(3)
    sender = post.sender(ScriptedUploader(fail(OutcomeUnknownError("cut"))))
    courier = Courier(sender, post.clock, HookSet(), background=False)
    assert courier.flush().reason == "cut"

    report = courier.flush()

    assert report.unknown == 3
    assert "not known whether the server has 3 events" in report.reason


def test_flush_waits_for_what_another_thread_has_under_way(post: Post) -> None:
    """A batch in flight in another lane is not left out of the report."""
    post.record(5)
    sender = post.sender(ScriptedUploader())
    outbox = post.log.outbox
    claim = outbox.claim(events_max=10, bytes_max=10**6)
    assert claim is not None
    naps = 0

    def settle_after_a_while(seconds: float) -> None:
        nonlocal naps
        naps += 1
        post.clock.advance(seconds)
        if naps == 5:
            outbox.settle(claim, [Settlement(DeliveryState.ACKNOWLEDGED)] * 5)

    post.clock.sleep = settle_after_a_while  # type: ignore[method-assign]
    report = Courier(sender, post.clock, HookSet(), background=False).flush()

    assert (report.acknowledged, report.pending) == (5, 0)


def test_only_one_sender_at_a_time(post: Post) -> None:
    """A second client of the same log in this process is not elected while the first one sends."""
    post.sender(ScriptedUploader())
    second = post.open()
    try:
        assert not second.directory.sender_lock().try_acquire()
    finally:
        second.close()


def _hour(post: Post) -> tuple[int, int, int]:
    hour = 3_600_000
    start = post.clock.wall_ms() // hour * hour
    return start - 24 * hour, start + hour, 25 * hour
