"""``import keen_client.compat as keen``: one client of the settings as they are at the first call."""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import keen_client
import keen_client.compat as keen
from keen_client.compat.client import KeenClient
from keen_client.compat.exceptions import InvalidEnvironmentError


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No client, no settings, and a log of this test's own; nothing is sent."""
    monkeypatch.setenv("KEEN_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("KEEN_BASE_URL", "http://127.0.0.1:9")
    for name in ("project_id", "write_key", "read_key", "master_key", "base_url"):
        monkeypatch.setattr(keen, name, None)
    yield
    keen.close(0)


def _recorded() -> list[Any]:
    assert keen._client is not None
    return [entry.event for entry in keen._client.log.entries()]


def test_settings_are_read_at_the_first_call() -> None:
    """What is set after the import counts, and nothing is made before a call."""
    assert keen._client is None
    keen.project_id, keen.write_key = "p1", "w"
    receipt = keen.add_event("c", {"a": 1})
    assert keen._client is not None
    assert (keen._client.project_id, receipt.collection) == ("p1", "c")
    assert _recorded() == [{"a": 1, "keen": {"timestamp": _recorded()[0]["keen"]["timestamp"]}}]


def test_what_is_not_set_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each by its variable, or the file that it names; a setting of the module wins, and all can be read there."""
    (tmp_path / "key").write_text("from-file\n", encoding="utf-8")
    monkeypatch.setenv("KEEN_PROJECT_ID", "p2")
    monkeypatch.setenv("KEEN_WRITE_KEY", "w2")
    monkeypatch.setenv("KEEN_READ_KEY", "r2")
    monkeypatch.setenv("KEEN_MASTER_KEY_FILE", str(tmp_path / "key"))
    keen.read_key = "mine"
    keen.add_event("c", {})
    settings = (keen.project_id, keen.write_key, keen.read_key, keen.master_key, keen.base_url)
    assert settings == ("p2", "w2", "mine", "from-file", "http://127.0.0.1:9")


def test_without_a_project_the_first_call_says_so() -> None:
    """As in keen 0.7; and a later call with a project works."""
    with pytest.raises(InvalidEnvironmentError, match="no project id"):
        keen.count("c", timeframe="today")
    keen.project_id, keen.write_key = "p", "w"
    keen.add_event("c", {})


def test_close_gives_up_the_client_and_what_the_environment_filled_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The next call takes the settings as they are then: the program's own stay, the environment is read again."""
    monkeypatch.setenv("KEEN_PROJECT_ID", "p3")
    keen.write_key = "w"
    keen.add_event("c", {})
    first = keen._client
    keen.close(0)
    assert first is not None
    with pytest.raises(keen_client.ClientClosedError):
        first.add_event("c", {})
    assert (keen.project_id, keen.write_key) == (None, "w")
    keen.close()  # nothing to close is no error
    monkeypatch.setenv("KEEN_PROJECT_ID", "p4")
    monkeypatch.setenv("KEEN_LOG", os.environ["KEEN_LOG"] + "-p4")
    keen.add_event("c", {})
    assert keen.project_id == "p4"


def test_a_program_may_reset_the_client_as_keen_0_7_lets_it() -> None:
    """``keen._client = None``, private as it is, stands in many a test suite."""
    keen.project_id, keen.write_key = "p", "w"
    keen.add_event("c", {"a": 1})
    first = keen._client
    keen._client = None
    keen.add_event("c", {"a": 2})
    assert first is not None
    assert keen._client is not first
    assert {event["a"] for event in _recorded()} == {1, 2}
    first.close(0)


def test_threads_that_call_first_share_one_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many arrive at once, one client is made, and each event is recorded once."""
    made = []
    start = threading.Barrier(8)
    real = keen._new_client

    def counted() -> KeenClient:
        made.append(threading.get_ident())
        return real()

    def record(number: int) -> None:
        start.wait()
        keen.add_event("c", {"number": number})

    monkeypatch.setattr(keen, "_new_client", counted)
    keen.project_id, keen.write_key = "p", "w"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(record, range(8)))
    assert len(made) == 1
    assert sorted(event["number"] for event in _recorded()) == list(range(8))


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("is_made", [True, False], ids=["before", "after"])
def test_a_forked_child_goes_on(is_made: bool) -> None:
    """With the client made before the fork or by the child itself; parent and child record in one log."""
    keen.project_id, keen.write_key = "p", "w"
    if is_made:
        keen.add_event("c", {"who": "parent"})
    child = os.fork()
    if child == 0:
        try:
            keen.add_event("c", {"who": "child"})
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    keen.add_event("c", {"who": "parent again"})
    expected = {"child", "parent again"} | ({"parent"} if is_made else set())
    assert {event["who"] for event in _recorded()} == expected


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_waits_for_a_client_that_is_being_made() -> None:
    """A child never inherits half a client, nor a lock that a thread of its parent held."""
    keen.project_id, keen.write_key = "p", "w"
    holding, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with keen._making:
            holding.set()
            go_on.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    holding.wait()
    threading.Timer(0.05, go_on.set).start()
    child = os.fork()
    if child == 0:
        try:
            keen.add_event("c", {})
            os._exit(0)
        finally:
            os._exit(1)
    thread.join()
    assert os.waitpid(child, 0)[1] == 0


def test_the_functions_show_their_parameters() -> None:
    """To ``help()`` and editors: those of the method, without the client, under this module's name."""
    assert next(iter(inspect.signature(keen.count).parameters)) == "event_collection"
    assert (keen.count.__module__, keen.count.__qualname__) == ("keen_client.compat", "count")
    assert all(getattr(keen, name).__doc__ for name in keen.__all__ if callable(getattr(keen, name)))


def test_only_this_module_keeps_a_client() -> None:
    """The main package has none, however the program imports."""
    kept = list(vars(keen_client).values())
    assert not [value for value in kept if isinstance(value, keen_client.KeenClient)]
    for name in keen.__all__:
        assert hasattr(keen, name)
    assert sorted(keen.__all__) == keen.__all__


def test_switched_off_it_validates_and_records_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """``KEEN_DISABLED`` needs neither project nor key."""
    monkeypatch.setenv("KEEN_DISABLED", "1")
    assert keen.add_event("c", {}).id is None
    assert keen.add_events({"c": [{}, {"$": 1}]})["c"][0] == {"success": True}
    with pytest.raises(keen.exceptions.KeenApiError):
        keen.add_event("c", {"$a": 1})
    assert not Path(os.environ["KEEN_LOG"]).exists()
