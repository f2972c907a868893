"""A network that cuts, doubles, garbles and lies: every event is at the server exactly once when it turns honest.

Meanwhile the log says what is known of each event: *pending* where it surely
was not stored, *unknown* where nobody can tell; and no key stands anywhere.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from keen_client import DeliveryConfig, KeenClient, KeenError, NotFoundError
from keen_client.server import LocalServer
from tests.end_to_end.hostile_proxy import (
    Held,
    HostileProxy,
    Silent,
    Storm,
    Trouble,
    Tunnel,
    delayed,
    garbage,
    redirect,
    rewritten,
    say_error,
    store_and_cut_the_body,
    store_and_cut_the_head,
    store_and_reset,
    store_and_say_error,
    store_and_shorten,
    store_and_trickle,
    store_and_trickle_a_part,
    store_twice,
    vanish,
)

#: Waits of a sender in trouble, short: what is tested is what it decides, not how long it waits.
QUICK: Final = DeliveryConfig(backoff_first_seconds=0.01, backoff_max_seconds=0.05, refused_wait_seconds=0.01)
EVENTS: Final = 12
_numbers: Final = itertools.count()


@pytest.fixture(scope="module")
def shared() -> Iterator[LocalServer]:
    """One server for all; each test has a collection of its own."""
    with LocalServer(seed=1) as server:
        yield server


@pytest.fixture
def proxy(shared: LocalServer) -> Iterator[HostileProxy]:
    with HostileProxy(shared.url) as proxy:
        yield proxy


@pytest.fixture
def collection() -> str:
    """A name that no other test of this file uses."""
    return f"purchases-{next(_numbers)}"


@pytest.fixture(autouse=True)
def no_key_in_any_log_line(shared: LocalServer, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a test does, at the most talkative level of the libraries below: no key, and no line in a line."""
    with caplog.at_level(logging.DEBUG):
        yield
    lines = [(record.name, record.getMessage()) for record in caplog.get_records("call")]
    assert any(name == "keen_client" for name, _ in lines)
    assert not [line for _, line in lines for key in keys_of(shared) if key in line]
    assert not [line for name, line in lines if name == "keen_client" and not line.isprintable()]


def keys_of(server: LocalServer) -> tuple[str, ...]:
    return (server.write_key, server.read_key, server.master_key)


def client_of(server: LocalServer, url: str, log: Path, **settings: Any) -> KeenClient:
    given: dict[str, Any] = {"log": log, "background": False, "delivery_config": QUICK, "post_timeout": 5.0}
    return KeenClient(
        server.project_id, server.write_key, server.read_key, base_url=url, **{**given, **settings}
    )


def lately() -> tuple[datetime, datetime]:
    """Three hours around now, on the boundaries of windows."""
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    return start, start + timedelta(hours=3)


def stored(server: LocalServer, collection: str) -> list[int]:
    """The numbers of the events that the server has, asked for without any proxy."""
    start, end = lately()
    with client_of(server, server.url, Path(os.environ["XDG_STATE_HOME"]) / "asking") as asking:
        events = asking.extraction(collection, timeframe={"start": start.isoformat(), "end": end.isoformat()})
    return sorted(event["n"] for event in events)


def record(keen: KeenClient, collection: str, start: int = 0) -> None:
    keen.add_events({collection: [{"n": n} for n in range(start, start + EVENTS)]})


def set_right(keen: KeenClient, collection: str) -> None:
    """What happens at the latest in the following night."""
    keen.flush()
    night = keen.nightly(*lately(), collections=[collection], preset="immediate")
    assert {str(window.state) for window in night.after.windows} <= {"match", "final"}
    backlog = keen.log.backlog()
    assert (backlog.pending, backlog.unknown, backlog.inflight, backlog.replay) == (0, 0, 0, 0)


#: Each says that the events may be at the server, and that nobody knows.
UNKNOWN_WORDS: Final = (
    "the server may have acted on it",
    "the server's answer does not name a result for each event",
    "it is not known whether the server has",
)

#: Each leaves the client without a usable answer, whether the server has the events or not.
TROUBLES: Final[dict[str, Trouble]] = {
    "vanish": vanish,
    "store_and_reset": store_and_reset,
    "store_and_cut_the_head": store_and_cut_the_head,
    "store_and_cut_the_body": store_and_cut_the_body,
    "store_and_shorten": store_and_shorten,
    "store_and_trickle_a_part": store_and_trickle_a_part,
    "store_and_say_error": store_and_say_error,
    "say_error": say_error,
    "garbage": garbage(1, stores=False),
    "garbage_after_storing": garbage(2, stores=True),
    "empty": rewritten(lambda results: {}),
    "fewer": rewritten(lambda results: {name: all_[:-1] for name, all_ in results.items()}),
    "more": rewritten(lambda results: {name: [*all_, all_[0]] for name, all_ in results.items()}),
    "of_another_collection": rewritten(lambda results: {f"{name}2": all_ for name, all_ in results.items()}),
    "of_one_collection_more": rewritten(lambda results: {**results, "other": [{"success": True}]}),
    "of_success_that_is_a_word": rewritten(
        lambda results: {name: [{"success": "true"} for _ in all_] for name, all_ in results.items()}
    ),
}


@pytest.mark.parametrize("name", TROUBLES)
def test_no_usable_answer_is_unknown_and_settled_exactly_once(
    shared: LocalServer, proxy: HostileProxy, tmp_path: Path, collection: str, name: str
) -> None:
    """Nobody can tell whether the events were stored: unknown in the log, said in words; a night settles each."""
    proxy.trouble = TROUBLES[name]
    with client_of(shared, proxy.url, tmp_path / "log", post_timeout=0.5) as keen:
        record(keen, collection)
        report = keen.flush()
        assert (report.acknowledged, report.rejected, report.pending, report.unknown) == (0, 0, 0, EVENTS)
        assert any(words in report.reason for words in UNKNOWN_WORDS)
        assert not [key for key in keys_of(shared) if key in repr(report)]
        again = keen.flush()
        assert again.acknowledged == 0  # nothing is sent again before somebody asked
        assert f"it is not known whether the server has {EVENTS} events" in again.reason
        assert proxy.troubled == 1

        proxy.turn_honest()
        set_right(keen, collection)
    assert stored(shared, collection) == list(range(EVENTS))


@pytest.mark.parametrize("size", [0, 700])
def test_a_line_cut_before_the_request_is_through_stores_nothing(
    shared: LocalServer, proxy: HostileProxy, tmp_path: Path, collection: str, size: int
) -> None:
    """Cut after *size* bytes of the body: it looks like a lost answer, so it is unknown, and sent in the night."""
    proxy.cut_after = size
    with client_of(shared, proxy.url, tmp_path / "log") as keen:
        record(keen, collection)
        assert (report := keen.flush()).unknown == EVENTS, report

        proxy.turn_honest()
        with pytest.raises(NotFoundError):  # the server has not even heard of the collection
            keen.count(collection, timeframe="this_1_days")
        set_right(keen, collection)
    assert stored(shared, collection) == list(range(EVENTS))


@pytest.mark.parametrize("trouble", [delayed(0.1), store_and_trickle, store_twice])
def test_a_true_answer_is_believed_however_it_comes(
    shared: LocalServer, proxy: HostileProxy, tmp_path: Path, collection: str, trouble: Trouble
) -> None:
    """Late, a byte at a time, or after the proxy sent the POST twice: acknowledged, and stored once."""
    proxy.trouble = trouble
    with client_of(shared, proxy.url, tmp_path / "log") as keen:
        record(keen, collection)
        assert keen.flush().acknowledged == EVENTS
        assert stored(shared, collection) == list(range(EVENTS))

        proxy.turn_honest()
        set_right(keen, collection)
    assert stored(shared, collection) == list(range(EVENTS))


@pytest.mark.parametrize("overtaken", [False, True])
def test_a_request_that_arrives_after_the_client_gave_it_up_counts_once(
    shared: LocalServer, proxy: HostileProxy, tmp_path: Path, collection: str, overtaken: bool
) -> None:
    """Before the night, which then sends nothing again; or overtaken by its own resend, whose token keeps it out."""
    proxy.trouble = held = Held()
    with client_of(shared, proxy.url, tmp_path / "log") as keen:
        record(keen, collection)
        assert keen.flush().unknown == EVENTS

        proxy.turn_honest()
        if not overtaken:
            assert held.deliver() == [200]
        set_right(keen, collection)
        if overtaken:
            assert held.deliver() == [200]
            set_right(keen, collection)
        start, end = lately()
        timeframe = {"start": start.isoformat(), "end": end.isoformat()}
        sends = [event["kc"]["a"] for event in keen.extraction(collection, timeframe=timeframe)]
        assert sends == [1 if overtaken else 0] * EVENTS
    assert stored(shared, collection) == list(range(EVENTS))


def test_a_storm_of_chance_loses_and_doubles_nothing(
    shared: LocalServer, proxy: HostileProxy, tmp_path: Path, collection: str, seed: int
) -> None:
    """Every request meets another trouble, drawn by the run's seed; the nights that follow set all right."""
    chance = random.Random(seed)
    proxy.trouble = Storm(chance, (*TROUBLES.values(), store_twice, delayed(0.01)))
    small = DeliveryConfig(batch_events_max=7, backoff_first_seconds=0.01, backoff_max_seconds=0.02)
    with client_of(shared, proxy.url, tmp_path / "log", post_timeout=0.5, delivery_config=small) as keen:
        for start in range(0, 5 * EVENTS, EVENTS):
            record(keen, collection, start)
            keen.flush()
        backlog = keen.log.backlog()
        acknowledged = 5 * EVENTS - backlog.unsent
        assert backlog.pending + backlog.unknown == backlog.unsent
        assert acknowledged <= len(stored(shared, collection))

        proxy.turn_honest()
        set_right(keen, collection)
    assert stored(shared, collection) == list(range(5 * EVENTS))


def test_results_in_another_order_cannot_be_seen_and_a_night_tells_what_they_did(
    shared: LocalServer, proxy: HostileProxy, tmp_path: Path, collection: str
) -> None:
    """Results are told apart by their place alone: turned round, a stored event is called refused. A query sees both."""
    proxy.trouble = rewritten(lambda results: {name: all_[::-1] for name, all_ in results.items()})
    with client_of(shared, proxy.url, tmp_path / "log") as keen:
        events: list[dict[str, Any]] = [{"n": n} for n in range(EVENTS)]
        events[0]["keen"] = {"addons": 5}  # the server refuses this one
        poison, *_ = keen.add_events({collection: events})[collection]
        report = keen.flush()
        assert (report.acknowledged, report.rejected) == (EVENTS - 1, 1)

        proxy.turn_honest()
        (window,) = keen.verify(*lately(), collections=[collection], preset="immediate").windows
        assert str(window.state) == "mixed"
        assert [str(event_id) for event_id in window.missing] == [poison.id]
        assert "1 refused or dropped, and there all the same" in window.reason
    assert stored(shared, collection) == list(range(1, EVENTS))


@pytest.mark.parametrize("status", [200, 400, 500])
def test_no_answer_writes_a_line_of_its_own_into_the_log(
    shared: LocalServer,
    proxy: HostileProxy,
    tmp_path: Path,
    collection: str,
    caplog: pytest.LogCaptureFixture,
    status: int,
) -> None:
    """Line breaks in the words of an answer, wherever they stand, reach neither the log nor the report."""
    words = f"Odd\r\nCRITICAL forged {shared.write_key}"
    body: dict[str, Any] = {"error_code": words, "message": words}
    if status == 200:
        error = {"success": False, "error": {"name": words, "description": words}}
        body = {collection: [error] * EVENTS}
    proxy.trouble = lambda exchange: exchange.answer(status, json.dumps(body).encode())
    with client_of(shared, proxy.url, tmp_path / "log") as keen:
        record(keen, collection)
        report = keen.flush()
        assert (report.acknowledged, report.rejected) == (0, 0)
        assert "forged" not in report.reason
    assert "forged" not in caplog.text


# ---- redirects -----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [302, 307])
def test_keys_and_events_do_not_follow_a_redirect(
    shared: LocalServer, proxy: HostileProxy, tmp_path: Path, collection: str, status: int
) -> None:
    """The other host never hears of us, by a write or by a read; the events stay pending and are sent later."""
    with Silent() as elsewhere, client_of(shared, proxy.url, tmp_path / "log") as keen:
        proxy.trouble = proxy.read_trouble = redirect(status, elsewhere.url)
        record(keen, collection)
        report = keen.flush()
        assert (report.acknowledged, report.pending, report.unknown) == (0, EVENTS, 0)
        assert str(status) in report.reason
        with pytest.raises(KeenError) as caught:
            keen.count(collection, timeframe="this_1_days")
        assert not [key for key in keys_of(shared) if key in f"{caught.value!r} {caught.value.hint}"]
        assert elsewhere.connections == 0

        proxy.turn_honest()
        set_right(keen, collection)
        assert elsewhere.connections == 0
    assert stored(shared, collection) == list(range(EVENTS))


# ---- TLS -----------------------------------------------------------------------------------


def certificate(directory: Path, name: str, holder: str) -> tuple[Path, Path]:
    """A self-signed certificate of *holder* (``IP:127.0.0.1``), and its key."""
    cert, key = directory / f"{name}.pem", directory / f"{name}-key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName={holder}"),
            *("-keyout", str(key), "-out", str(cert)),
        ],
        check=True,
        capture_output=True,
    )
    return cert, key


@contextmanager
def served_with(pair: tuple[Path, Path], server: LocalServer | None = None) -> Iterator[LocalServer]:
    project = None if server is None else server.project
    with LocalServer(project, tls_cert=pair[0], tls_key=pair[1], seed=1) as served:
        yield served


def trust(monkeypatch: pytest.MonkeyPatch, file: Path, *certificates: Path) -> None:
    file.write_bytes(b"".join(path.read_bytes() for path in certificates))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))


@pytest.mark.parametrize("who", ["another host's name", "an unknown signer", "nobody", "no TLS at all"])
def test_whoever_cannot_prove_to_be_the_server_gets_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, collection: str, who: str
) -> None:
    """The handshake ends before a key or an event has left: pending, with the reason; sent once the server is the true one."""
    true = certificate(tmp_path, "true", "IP:127.0.0.1")
    wrong = certificate(tmp_path, "wrong", "DNS:elsewhere.example")
    unknown = certificate(tmp_path, "unknown", "IP:127.0.0.1")
    trust(monkeypatch, tmp_path / "trusted.pem", true[0], wrong[0])
    with (
        served_with(true) as server,
        served_with(unknown if who == "an unknown signer" else wrong, server) as impostor,
        Tunnel() as tunnel,
    ):
        url = f"https://127.0.0.1:{tunnel.port}"
        if who in ("nobody", "no TLS at all"):
            tunnel.says = b"" if who == "nobody" else b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
        else:
            tunnel.leads_to = port_of(impostor)
        with client_of(server, url, tmp_path / "log") as keen:
            record(keen, collection)
            report = keen.flush()
            assert (report.acknowledged, report.pending, report.unknown) == (0, EVENTS, 0)
            assert "nothing was stored there" in report.reason
            expected = {
                "another host's name": "certificate is not valid for '127.0.0.1'",
                "an unknown signer": "self-signed certificate",
            }
            assert expected.get(who, "SSL") in report.reason
            assert tunnel.connections > 0

            tunnel.leads_to = port_of(server)
            set_right(keen, collection)
            start, end = lately()
            inside = {"start": start.isoformat(), "end": end.isoformat()}
            assert keen.count(collection, timeframe=inside) == EVENTS


def port_of(server: LocalServer) -> int:
    return int(server.url.rpartition(":")[2])
