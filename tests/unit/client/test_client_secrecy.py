"""No key and no content of an event is ever shown: not by a repr, an error, a log line, a signal or a pickle."""

from __future__ import annotations

import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from keen_client import KeenClient, KeenError
from keen_client.delivery.batch import build_batch
from keen_client.events.encoding import encode_event
from keen_client.observability.signals import Signal

MakeClient = Callable[..., KeenClient]

WRITE, READ, MASTER = "wr1te5ecret" * 4, "re4d5ecret" * 4, "m45ter5ecret" * 4
CONTENT = "c0nf1dential"
SECRETS = (WRITE, READ, MASTER, CONTENT)

#: What a server may answer to a write: each repeats the key and the content, as a careless one does.
ANSWERS = [
    httpx.Response(
        401, json={"error_code": "InvalidApiKeyError", "message": f"no such key {WRITE} for {CONTENT}"}
    ),
    httpx.Response(400, json={"error_code": "InvalidEventError", "message": f"{CONTENT} {WRITE}"}),
    httpx.Response(400, json={"error_code": f"{CONTENT} {WRITE}", "message": "odd"}),
    httpx.Response(403, text=f"<html>{WRITE} {CONTENT}"),
    httpx.Response(429, json={"error_code": "TooManyRequests", "message": f"{WRITE} {CONTENT}"}),
    httpx.Response(500, json={"error_code": "InternalServerError", "message": f"{WRITE} {CONTENT}"}),
    httpx.Response(200, json={"error_code": "Strange", "message": f"{WRITE} {CONTENT}"}),
    httpx.Response(
        200, json={"c": [{"success": False, "error": {"name": f"no {CONTENT}", "description": WRITE}}]}
    ),
    httpx.Response(
        200,
        json={"c": [{"success": False, "error": {"name": "InvalidEventError", "description": CONTENT}}]},
    ),
]


@pytest.fixture
def everything_logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """All loggers at DEBUG, those of the libraries underneath too."""
    with caplog.at_level(logging.DEBUG):
        yield caplog


def _leaks(*texts: object) -> list[str]:
    return [secret for secret in SECRETS for text in texts if secret in str(text)]


def _shown(error: BaseException) -> list[object]:
    return [
        str(error),
        repr(error),
        getattr(error, "hint", None),
        vars(error),
        pickle.dumps(error),
        *traceback.format_exception(error),
    ]


@pytest.mark.parametrize("answer", ANSWERS, ids=range(len(ANSWERS)))
def test_a_careless_servers_words_are_not_repeated(
    make_client: MakeClient, desk: Any, everything_logged: pytest.LogCaptureFixture, answer: httpx.Response
) -> None:
    """Whatever a write is answered, no log line, signal or report repeats the key or the event."""
    signals: list[Signal] = []
    desk.answer = lambda request: httpx.Response(
        answer.status_code, content=answer.content, headers=answer.headers
    )
    with make_client(
        http_client=desk.http, write_key=WRITE, read_key=READ, master_key=MASTER, hooks=[signals.append]
    ) as client:
        client.add_event("c", {"name": CONTENT})
        report = client.flush(timeout=1)
        assert _leaks(everything_logged.text, signals, report, repr(client), str(client)) == []
        log = client._core.event_log
        assert log is not None
        letters = [*log.dead_letters.list(), *log.dead_letters.list("unsure")]
    assert all(WRITE not in repr(letter) for letter in letters)


def test_what_holds_an_event_shows_none_of_it(make_client: MakeClient) -> None:
    """On its way from the call to the request, and read back: a tracker that keeps the values of a traceback gets no content."""
    client = make_client(write_key=WRITE)
    event = {"name": CONTENT, "cents": 41_999_999, "keen": {"about": CONTENT}}
    client.add_event("c", event)
    log = client._core.event_log
    assert log is not None
    (logged,), (entry,) = client.log.entries(), log.entries()
    claim = log.outbox.claim(events_max=1, bytes_max=1_000_000)
    assert claim is not None
    batch = build_batch(claim.entries)
    assert CONTENT in str(logged.event)
    assert CONTENT.encode() in batch.body
    shown = [repr(value) for value in (encode_event("c", event), entry, logged, claim, batch)]
    assert _leaks(*shown) == []
    assert "41999999" not in "".join(shown)


def test_a_refused_query_shows_no_key(
    make_client: MakeClient, desk: Any, everything_logged: pytest.LogCaptureFixture
) -> None:
    """A server that repeats the read key in its refusal: the error, its pickle and its traceback mask it."""
    desk.answer = lambda request: httpx.Response(
        401, json={"error_code": "InvalidApiKeyError", "message": f"unknown key {READ}"}
    )
    client = make_client(http_client=desk.http, write_key=WRITE, read_key=READ)
    with pytest.raises(KeenError) as caught:
        client.count("c", "this_day")
    assert _leaks(everything_logged.text, *_shown(caught.value)) == []


@pytest.mark.parametrize(
    "event",
    [
        {"name": CONTENT, "when": object()},
        {"name": {"deep": [CONTENT, float("nan")]}},
        {"name": CONTENT * 2_000},
        {"name": CONTENT, "keen": {"timestamp": CONTENT}},
        {"name": CONTENT, "keen": CONTENT},
        {"name": CONTENT, "kc": CONTENT},
        CONTENT,
        {f"n{n}": CONTENT * 500 for n in range(200)},
    ],
    ids=range(8),
)
def test_a_refused_event_is_named_by_path_alone(
    make_client: MakeClient, everything_logged: pytest.LogCaptureFixture, event: Any
) -> None:
    """The error about an event says where, and never what."""
    client = make_client(write_key=WRITE)
    for call in (lambda: client.add_event("c", event), lambda: client.add_events({"c": [{}, event]})):
        with pytest.raises(KeenError) as caught:
            call()
        error = caught.value
        # The traceback quotes this file's source, so only the error itself is looked at.
        assert _leaks(everything_logged.text, *_shown(error)[:5]) == []
        assert type(pickle.loads(pickle.dumps(error))) is type(error)


def test_what_stands_about_shows_no_key(make_client: MakeClient, desk: Any) -> None:
    """Clients, their parts and settings may be printed; the log on disk holds no key."""
    client = make_client(http_client=desk.http, write_key=WRITE, read_key=READ, master_key=MASTER)
    client.add_event("c", {})
    client.flush()
    machinery = client._core.need_machinery()
    parts = [client, machinery, machinery.settings, machinery.api, machinery.sender, machinery.courier]
    own = {**vars(client), **vars(client._core)}
    assert _leaks(*map(repr, parts), repr(client.project), repr(client.log), own) == []
    assert repr(client.log) == f"LogView({client.log.path!r})"
    for key in (client.project.write_key, client.project.read_key, client.project.master_key):
        with pytest.raises(TypeError):
            pickle.dumps(key)
    assert client._core.event_log is not None
    place = client._core.event_log.directory.path
    client.close()
    stored = b"".join(path.read_bytes() for path in place.rglob("*") if path.is_file())
    assert [secret for secret in (WRITE, READ, MASTER) if secret.encode() in stored] == []
