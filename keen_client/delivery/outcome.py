"""Outcomes: what an answer, or its absence, means for each entry of a batch. Pure.

The line that matters: *surely not accepted* may be sent again freely; *may
have been accepted* is unknown, and stays so until a token or a query settles
it. An HTTP 200 proves nothing by itself: success is read per event.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any, Final

import attrs
import orjson

from keen_client.delivery.batch import Batch
from keen_client.errors import ApiError, NotSentError
from keen_client.transport.http_dates import http_date_ms, retry_after_seconds
from keen_client.transport.message import Response

#: Names under which Keen refuses one event for good (Keen API, error codes).
PERMANENT: Final = frozenset(
    {
        "InvalidCollectionNameError",
        "InvalidPropertyNameError",
        "InvalidPropertyValueError",
        "InvalidEventError",
        "InvalidKeenNamespaceProperty",
        "NamespaceTypeError",
        "ListsOfNonPrimitivesNotAllowedError",
    }
)
#: Names that say that the event's token is known, so that the event is there. What Keen answers is not
#: documented: its drop may be silent. By part of a name it must not be judged: other errors have duplicates too.
DUPLICATE: Final = frozenset({"DuplicateEventError"})
_WORDS_MAX: Final = 500
_ERROR_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,79}")


class Fate(StrEnum):
    """What became of one entry."""

    ACCEPTED = "accepted"
    REFUSED = "refused"  # for good
    NOT_ACCEPTED = "not_accepted"  # surely, this time
    UNKNOWN = "unknown"


@attrs.frozen(slots=True)
class Outcome:
    """The fate of one entry, with the server's words where it refused."""

    fate: Fate
    name: str = ""
    message: str = ""


class Turn(StrEnum):
    """What the sender does next because of an answer."""

    GO_ON = "go_on"
    SPLIT = "split"  # the batch hides something that is refused
    BACK_OFF = "back_off"  # the network or the server is in trouble
    RATE_LIMITED = "rate_limited"
    REFUSED = "refused"  # a wall: the key, the project, a proxy; somebody has to look
    LOCKED_OUT = "locked_out"  # the same, and another process may have better keys


@attrs.frozen
class Judgement:
    """The outcome of each entry, in the batch's order, and what to do next.

    ``reason`` and ``hint`` are for people, and for logs: they name the
    server's error, but do not repeat its words, which may quote keys or events.
    ``retry_after_seconds`` is the server's wish, None when it had none.
    ``server_ms``: when Keen itself answered, by its own clock (UTC ms); None when nobody knows.
    """

    outcomes: tuple[Outcome, ...]
    turn: Turn
    reason: str = ""
    hint: str = ""
    retry_after_seconds: float | None = None
    server_ms: int | None = None


_ACCEPTED: Final = Outcome(Fate.ACCEPTED)
_NOT_ACCEPTED: Final = Outcome(Fate.NOT_ACCEPTED)
_UNKNOWN: Final = Outcome(Fate.UNKNOWN)
#: Such events were recorded by early versions; now they are refused at the call.
_OUT_OF_CALENDAR: Final = Outcome(
    Fate.REFUSED,
    "TimestampOutOfCalendar",
    "keen.timestamp lies outside the years 1 to 9999 in UTC; it was never sent, and no server can be told of it",
)


def judge_unwritable(batch: Batch) -> Judgement:
    """Judge a batch of which nothing left: what cannot be written is refused by ourselves, the others wait for the next."""
    refused = frozenset(batch.unwritable)
    return Judgement(
        tuple(_OUT_OF_CALENDAR if i in refused else _NOT_ACCEPTED for i in range(batch.count)), Turn.GO_ON
    )


def judge_failure(batch: Batch, error: ApiError) -> Judgement:
    """Judge an attempt that brought no answer."""
    if isinstance(error, NotSentError):
        return Judgement((_NOT_ACCEPTED,) * batch.count, Turn.BACK_OFF, error.message, error.hint or "")
    return Judgement((_UNKNOWN,) * batch.count, Turn.BACK_OFF, error.message, error.hint or "")


def judge_answer(batch: Batch, answer: Response) -> Judgement:
    """Judge an answer of any status."""
    parsed = _parse(answer.body)
    status = answer.status
    retry_after = retry_after_seconds(answer)
    if 200 <= status < 300:
        judged = _judge_results(batch, parsed)
        if judged.turn is not Turn.GO_ON or "age" in answer.headers:
            return judged  # a proxy's page has a proxy's clock, and what lay in a cache an old one
        return attrs.evolve(judged, server_ms=http_date_ms(answer.headers.get("date", "")))
    name, message = _words(parsed)
    reason = f"the server answered {status}" + (f" {name}" if name else "")
    everything = (_NOT_ACCEPTED,) * batch.count
    if status == 413 or (status == 400 and name):
        refusal = Outcome(Fate.NOT_ACCEPTED, name or "RequestTooLarge", message or reason)
        return Judgement((refusal,) * batch.count, Turn.SPLIT, reason)
    if status == 429:
        return Judgement(everything, Turn.RATE_LIMITED, reason, "", retry_after)
    if status in (401, 402, 403):
        hint = {401: "check KEEN_WRITE_KEY", 402: "check the account's plan"}.get(
            status, "check the key's rights"
        )
        return Judgement(everything, Turn.LOCKED_OUT, reason, hint)
    if status == 408 or status >= 500:
        return Judgement((_UNKNOWN,) * batch.count, Turn.BACK_OFF, reason, "", retry_after)
    hint = "check the base URL, the project id and any proxy in between"
    return Judgement(everything, Turn.REFUSED, reason, hint)


def _judge_results(batch: Batch, parsed: Any) -> Judgement:
    """Map the mirrored results to the very entries sent; anything else than the mirror is unknown."""
    mirrored = (
        isinstance(parsed, dict)
        and set(parsed) == set(batch.layout)
        and all(isinstance(parsed[c], list) and len(parsed[c]) == len(i) for c, i in batch.layout.items())
    )
    if not mirrored:
        name, _ = _words(parsed)
        said = f" ({name})" if name else ""
        return Judgement(
            (_UNKNOWN,) * batch.count,
            Turn.BACK_OFF,
            f"the server's answer does not name a result for each event{said}",
            "look for a proxy that answers in its place",
        )
    outcomes = [_UNKNOWN] * batch.count
    for collection, indices in batch.layout.items():
        for index, result in zip(indices, parsed[collection], strict=True):
            outcomes[index] = _judge_result(result)
    return Judgement(tuple(outcomes), Turn.GO_ON)


def _judge_result(result: Any) -> Outcome:
    if not isinstance(result, dict):
        return _UNKNOWN
    if result.get("success") is True:
        return _ACCEPTED
    error = result.get("error")
    if result.get("success") is not False or not isinstance(error, dict):
        return _UNKNOWN
    name, message = _name(error.get("name")), str(error.get("description", ""))[:_WORDS_MAX]
    if name in PERMANENT:
        return Outcome(Fate.REFUSED, name, message)
    if name in DUPLICATE:
        return _ACCEPTED
    return Outcome(Fate.UNKNOWN, name, message)


def _parse(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except ValueError:
        return None


def _words(parsed: Any) -> tuple[str, str]:
    """Keen's (error_code, message); empty when the body is not Keen's."""
    if isinstance(parsed, dict) and "message" in parsed and _name(parsed.get("error_code")):
        return parsed["error_code"], str(parsed["message"])[:_WORDS_MAX]
    return "", ""


def _name(value: Any) -> str:
    """The name of an error; empty when *value* is none. It stands in logs, so a sentence is not one."""
    return value if isinstance(value, str) and _ERROR_NAME.fullmatch(value) else ""
