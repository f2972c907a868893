"""``keen_client.compat.client.KeenClient``: the constructor and the results of keen 0.7, over our log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx

import keen_client
from keen_client import errors
from keen_client.compat.client import KeenClient
from keen_client.compat.exceptions import (
    InvalidPersistenceStrategyError,
    InvalidProjectIdError,
    KeenApiError,
    RefusedError,
)

URL = "http://127.0.0.1:9"


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeenClient]:
    """A client whose writes reach nobody."""
    monkeypatch.setenv("KEEN_LOG", str(tmp_path / "log"))
    with KeenClient("p", "w", "r", master_key="m", base_url=URL) as made:
        yield made


def _events(client: KeenClient) -> list[dict[str, Any]]:
    return [entry.event for entry in client.log.entries()]


def test_arguments_go_by_position_as_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """All nine; and what is asked of the client can be read again."""
    monkeypatch.setenv("KEEN_LOG", str(tmp_path / "log"))
    with KeenClient("p", "w", "r", None, None, 10, 20, "m", URL) as client:
        assert isinstance(client, keen_client.KeenClient)
        assert (client.project_id, client.base_url, client.get_timeout, client.post_timeout) == (
            "p",
            URL,
            10,
            20,
        )
        assert [client.project.key_for(kind).reveal() for kind in ("write", "read", "master")] == [
            "w",
            "r",
            "m",
        ]


@pytest.mark.parametrize("project_id", [None, "", 5, b"p"])
def test_a_project_id_is_a_text(project_id: Any) -> None:
    """The error has what was given, as in keen 0.7."""
    with pytest.raises(InvalidProjectIdError) as caught:
        KeenClient(project_id)
    assert caught.value.project_id == project_id


def test_another_way_to_keep_or_send_events_is_refused() -> None:
    """With an error that says what to do, and before anything is made."""
    strategy: Any = object()
    with pytest.raises(InvalidPersistenceStrategyError) as caught:
        KeenClient("p", persistence_strategy=strategy)
    assert "leave it out" in str(caught.value.hint)
    with pytest.raises(errors.ConfigurationError, match="api_class") as other:
        KeenClient("p", api_class=strategy)
    assert "http_client" in str(other.value.hint)


def test_keys_and_address_of_the_environment_are_not_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A client is for the project that it names: another one's key is never taken."""
    monkeypatch.setenv("KEEN_LOG", str(tmp_path / "log"))
    for name in ("WRITE_KEY", "READ_KEY", "MASTER_KEY"):
        monkeypatch.setenv(f"KEEN_{name}", "another-project's")
    monkeypatch.setenv("KEEN_BASE_URL", "http://127.0.0.1:1")
    with KeenClient("p") as client:
        assert client.base_url == "https://api.keen.io"
        for call in (lambda: client.add_event("c", {}), lambda: client.add_events({"c": [{}]})):
            with pytest.raises(errors.InvalidEnvironmentError, match="write key"):
                call()
        with pytest.raises(errors.InvalidEnvironmentError, match="read key"):
            client.count("c", timeframe="today")
        with pytest.raises(errors.InvalidEnvironmentError, match="master key"):
            client.saved_queries.all()
        assert _events(client) == []


def test_keys_may_be_bytes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As image beacons want them there, and as scoped keys come out."""
    monkeypatch.setenv("KEEN_LOG", str(tmp_path / "log"))
    with KeenClient("p", b"w", b"r", master_key=b"m", base_url=URL) as client:
        assert [client.project.key_for(kind).reveal() for kind in ("write", "read", "master")] == [
            "w",
            "r",
            "m",
        ]
        assert "api_key=w&" in client.generate_image_beacon("c", {})


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (datetime(2024, 1, 1, 2, 3, 4, 5_999), "2024-01-01T02:03:04.005Z"),
        (datetime(2024, 1, 1, 2, tzinfo=UTC), "2024-01-01T02:00:00.000Z"),
        (datetime(2024, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), "2024-01-01T00:00:00.000Z"),
    ],
)
def test_times_without_zone_are_utc(client: KeenClient, at: datetime, expected: str) -> None:
    """Keen reads them so, given as the timestamp, as a property or as a text of the event."""
    client.add_event("c", {}, at)
    client.add_event("c", {"keen": {"timestamp": at.isoformat()}})
    client.add_events({"c": [{"keen": {"timestamp": at}}]})
    assert {event["keen"]["timestamp"] for event in _events(client)} == {expected}


def test_each_event_of_a_batch_has_a_result(client: KeenClient) -> None:
    """Good ones are recorded whatever stands beside them; a bad one says why, and is not."""
    results = client.add_events({"c": [{"a": 1}, {"$b": 2}, {"a": 3}], "d": []})
    assert [result["success"] for result in results["c"]] == [True, False, True]
    assert results["d"] == []
    assert results["c"][1]["error"]["name"] == "InvalidEventError"
    assert "$b" in results["c"][1]["error"]["description"]
    assert [event["a"] for event in _events(client)] == [1, 3]


@pytest.mark.parametrize("events", [[{"a": 1}], {"c": {"a": 1}}, {"c": "text"}, {"$": "text"}])
def test_a_batch_that_is_none_is_refused_whole(client: KeenClient, events: Any) -> None:
    """As Keen refuses it: an error, and nothing is recorded."""
    with pytest.raises(KeenApiError):
        client.add_events(events)
    assert _events(client) == []


def test_names_of_collections_that_are_no_texts_become_texts(client: KeenClient) -> None:
    """As JSON writes them, in the results too: no event is recorded without a result that says so."""
    events: dict[Any, Any] = {1: [{"a": 1}], None: [{"a": 2}]}
    assert client.add_events(events) == {"1": [{"success": True}], "null": [{"success": True}]}
    assert [event["a"] for event in _events(client)] == [1, 2]


def test_names_of_properties_that_are_no_texts_become_texts(client: KeenClient) -> None:
    """As JSON writes them; the program's own dict stays as it was."""
    event: dict[Any, Any] = {"hours": {0: 1, -5: 3, None: [{7: 8}]}}
    client.add_event("c", event)
    client.add_events({"c": [event]})
    for recorded in _events(client):
        assert recorded["hours"] == {"0": 1, "-5": 3, "null": [{"7": 8}]}
    assert event == {"hours": {0: 1, -5: 3, None: [{7: 8}]}}


def test_an_event_that_keen_would_refuse_is_a_keen_api_error(client: KeenClient) -> None:
    """With the main package's error as its cause, which names the field."""
    with pytest.raises(RefusedError) as caught:
        client.add_event("c", {"user": {"a.b": 1}})
    assert isinstance(caught.value.__cause__, errors.InvalidEventError)
    assert caught.value.__cause__.path
    assert _events(client) == []


@respx.mock
def test_empty_arguments_are_left_out_of_a_query(client: KeenClient) -> None:
    """By position or by name: what keen 0.7 did not send is not sent; what is not empty is."""
    asked = respx.post(f"{URL}/3.0/projects/p/queries/count").mock(httpx.Response(200, json={"result": 3}))
    assert client.count("c", "today", "", "", [], "", {}, 0, 0) == 3
    assert _body(asked) == {"event_collection": "c", "timeframe": "today"}
    client.count("c", timeframe="today", timezone=3600, interval="", max_age=300)
    assert _body(asked) == {"event_collection": "c", "timeframe": "today", "timezone": 3600, "max_age": 300}


def _body(route: respx.Route) -> Any:
    return json.loads(route.calls.last.request.content)


@respx.mock
def test_a_funnel_gives_its_list_or_all_of_it(client: KeenClient) -> None:
    """``all_keys`` goes through, and False is not taken for nothing."""
    body = {"result": [2, 1], "steps": []}
    respx.post(f"{URL}/3.0/projects/p/queries/funnel").mock(httpx.Response(200, json=body))
    steps = [{"event_collection": "c", "actor_property": "u", "timeframe": "today"}]
    assert client.funnel(steps) == [2, 1]
    assert client.funnel(steps, all_keys=False) == [2, 1]
    assert client.funnel(steps, None, None, None, True) == body


@respx.mock
@pytest.mark.parametrize("status", [400, 401, 404, 500])
def test_keens_errors_have_one_class(client: KeenClient, status: int) -> None:
    """In queries, administration, saved queries and datasets; a page that is no JSON too."""
    error = {"message": "no", "error_code": "SomeError"}
    respx.route(host="127.0.0.1", method="GET").mock(httpx.Response(status, json=error))
    for call in (
        lambda: client.get_collection("c"),
        lambda: client.get_access_key("k"),
        lambda: client.saved_queries.get("q"),
        lambda: client.cached_datasets.get("d"),
    ):
        with pytest.raises(KeenApiError) as caught:
            call()
        assert (caught.value.api_error["error_code"], caught.value.status) == ("SomeError", status)
        assert isinstance(caught.value.__cause__, errors.KeenApiError)


@respx.mock
def test_a_page_that_is_not_keens_is_a_keen_api_error(client: KeenClient) -> None:
    """As in keen 0.7, with the status in the place of a code."""
    respx.get(f"{URL}/3.0/projects/p/events").mock(httpx.Response(404, text="<html>"))
    with pytest.raises(KeenApiError) as caught:
        client.get_all_collections()
    assert caught.value.api_error["error_code"] == "404"


def test_no_answer_is_a_transport_error(client: KeenClient) -> None:
    """Not Keen's refusal; the log goes on recording meanwhile."""
    with pytest.raises(errors.TransportError):
        client.saved_queries.create("q", {"query": {"analysis_type": "count", "event_collection": "c"}})
    client.add_event("c", {})
    assert len(_events(client)) == 1
