"""Where a client takes its settings from, and how it names the one that cannot be used."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keen_client import (
    AsyncKeenClient,
    ConfigurationError,
    DeliveryConfig,
    InvalidEnvironmentError,
    InvalidEventError,
    KeenClient,
    LogConfig,
)
from keen_client.client.settings import Settings, read_settings

MakeClient = Callable[..., KeenClient]


@pytest.mark.parametrize("kind", [KeenClient, AsyncKeenClient])
def test_positional_order_is_the_official_one(kind: type) -> None:
    """Project, write key and read key may be given by position, in this order; all else is by name."""
    parameters = list(inspect.signature(kind).parameters.values())
    by_position = [p.name for p in parameters if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    assert by_position == ["project_id", "write_key", "read_key"]
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in parameters[3:]), (
        "a fourth positional was a persistence strategy once"
    )
    assert inspect.signature(kind).parameters["durability"].default == "full"
    assert inspect.signature(kind).parameters["background"].default is True


def test_keys_by_position_reach_their_places(tmp_path: Path) -> None:
    """The second is the write key, the third the read key."""
    with KeenClient("p", "wkey", "rkey", master_key="mkey", log=tmp_path / "log", background=False) as client:
        project = client.project
    keys = (project.write_key, project.read_key, project.master_key)
    assert [key.reveal() for key in keys if key] == ["wkey", "rkey", "mkey"]


def test_environment_fills_what_is_not_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Project, keys, server and log come from KEEN_ variables; an argument wins over its variable."""
    for name, value in {
        "KEEN_PROJECT_ID": "fromenv",
        "KEEN_WRITE_KEY": "w1",
        "KEEN_READ_KEY": "r1",
        "KEEN_MASTER_KEY": "m1",
        "KEEN_BASE_URL": "http://127.0.0.1:9/3.0/",
        "KEEN_LOG": str(tmp_path / "there"),
    }.items():
        monkeypatch.setenv(name, value)

    with KeenClient(read_key="r2", background=False) as client:
        assert client.project.id == "fromenv"
        assert client.project.base_url == "http://127.0.0.1:9"
        assert client.log.path == str(tmp_path / "there")
        keys = (client.project.write_key, client.project.read_key, client.project.master_key)
        assert [key.reveal() for key in keys if key] == ["w1", "r2", "m1"]


@pytest.mark.parametrize("name", ["write_key", "read_key", "master_key"])
def test_a_key_may_lie_in_a_file(tmp_path: Path, name: str) -> None:
    """KEEN_…_FILE names a file with the key; the newline at its end is no part of it; the variable itself wins."""
    file = tmp_path / "secret"
    file.write_text("abc123\n")
    variable = f"KEEN_{name.upper()}"
    environment = {"KEEN_PROJECT_ID": "p", f"{variable}_FILE": str(file)}

    key = getattr(read_settings({}, environment), name)
    assert key.reveal() == "abc123"
    key = getattr(read_settings({}, {**environment, variable: "direct"}), name)
    assert key.reveal() == "direct"


@pytest.mark.parametrize("content", [None, "", " \n"])
def test_a_key_file_that_holds_none_is_named(tmp_path: Path, content: str | None) -> None:
    """A file that is missing or empty is an error that names the variable: a mount may have failed."""
    file = tmp_path / "secret"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigurationError, match="KEEN_WRITE_KEY_FILE"):
        read_settings({}, {"KEEN_PROJECT_ID": "p", "KEEN_WRITE_KEY_FILE": str(file)})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("https://api.keen.io", "https://api.keen.io"),
        ("https://api.keen.io/", "https://api.keen.io"),
        ("https://api.keen.io/3.0", "https://api.keen.io"),
        ("HTTPS://API.keen.io:443/3.0/", "https://api.keen.io"),
        ("http://gateway:8080/keen/3.0", "http://gateway:8080/keen"),
        (None, "https://api.keen.io"),
    ],
)
def test_a_base_url_is_the_part_before_the_version(given: str | None, expected: str) -> None:
    """A trailing slash or version is dropped, so that one server has one name."""
    environment = {"KEEN_PROJECT_ID": "p"} | ({} if given is None else {"KEEN_BASE_URL": given})
    assert read_settings({}, environment).base_url == expected
    assert read_settings({"base_url": given}, {"KEEN_PROJECT_ID": "p"}).base_url == expected


@pytest.mark.parametrize("value", ["1", "true", "TRUE", "yes", "on", "please"])
def test_keen_disabled_switches_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str) -> None:
    """Any value but the words for no; then not even a project is needed."""
    monkeypatch.setenv("KEEN_DISABLED", value)
    with KeenClient(log=tmp_path / "log") as client:
        assert client.add_event("c", {}).id is None
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize("value", ["", "0", "false", "False", " no ", "off"])
def test_keen_disabled_with_a_word_for_no_does_not(
    monkeypatch: pytest.MonkeyPatch, make_client: MakeClient, value: str
) -> None:
    """The words for no leave recording on."""
    monkeypatch.setenv("KEEN_DISABLED", value)
    assert make_client().add_event("c", {}).id


def test_default_log_lies_in_the_state_home() -> None:
    """Without a place of its own the log is made under XDG_STATE_HOME, by project; a relative one does not count."""
    with KeenClient("p7", background=False) as client:
        client.add_event("c", {})
        place = Path(os.environ["XDG_STATE_HOME"]) / "keen-client" / "p7"
        assert client.log.path == str(place)
        assert (place / "log.json").is_file()
    for relative in ({}, {"XDG_STATE_HOME": ""}, {"XDG_STATE_HOME": "state"}):
        settings = read_settings({"project_id": "p7"}, relative)
        assert settings.log == Path.home() / ".local" / "state" / "keen-client" / "p7"


def test_a_user_without_a_home_is_asked_for_a_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A container's user that nobody entered anywhere; a client that is switched off needs no place."""

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(ConfigurationError, match="no home directory; nothing was recorded") as caught:
        read_settings({"project_id": "p7"}, {})
    assert "KEEN_LOG" in str(caught.value.hint)
    assert read_settings({"project_id": "p7"}, {"XDG_STATE_HOME": str(tmp_path)}).log.is_relative_to(tmp_path)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert KeenClient("p7", enabled=False).add_event("c", {}).id is None


@pytest.mark.parametrize(
    "slip", [{"naive_datetimes": "Refuse"}, {"durability": "Full"}, {"unknown": "Query"}], ids=str
)
def test_a_slip_in_a_word_is_refused_at_construction(tmp_path: Path, slip: dict[str, Any]) -> None:
    """It is never taken for the other word, and not passed over where another setting wins."""
    name = next(iter(slip))
    for more in ({}, {"log_config": LogConfig(), "delivery_config": DeliveryConfig()}, {"enabled": False}):
        with pytest.raises(ConfigurationError, match=name):
            KeenClient("p", log=tmp_path / "log", background=False, **slip, **more)
    assert not (tmp_path / "log").exists()


def test_a_relative_log_means_the_directory_of_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later change of the working directory does not move the log."""
    monkeypatch.chdir(tmp_path)
    with KeenClient("p", log="here", background=False) as client:
        monkeypatch.chdir("/")
        client.add_event("c", {})
    assert (tmp_path / "here" / "log.json").is_file()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"project_id": None}, "KEEN_PROJECT_ID"),
        ({"project_id": "a/b"}, "project_id"),
        ({"project_id": ".."}, "project_id"),
        ({"write_key": "two words"}, "KEEN_WRITE_KEY"),
        ({"read_key": "zeile\nzwei"}, "KEEN_READ_KEY"),
        ({"master_key": "schlüssel"}, "KEEN_MASTER_KEY"),
        ({"write_key": "  "}, "KEEN_WRITE_KEY"),
        ({"base_url": "api.keen.io"}, "KEEN_BASE_URL"),
        ({"base_url": "ftp://api.keen.io"}, "KEEN_BASE_URL"),
        ({"base_url": "https://me:secret@api.keen.io"}, "KEEN_BASE_URL"),
        ({"base_url": "https://api.keen.io/?key=secret"}, "KEEN_BASE_URL"),
        ({"base_url": "https://[::1"}, "KEEN_BASE_URL"),
        ({"durability": "fast"}, "durability"),
        ({"unknown": "hope"}, "unknown"),
    ],
)
@pytest.mark.parametrize("enabled", [True, False])
def test_a_setting_that_cannot_be_used_is_named(
    make_client: MakeClient, tmp_path: Path, given: dict[str, Any], named: str, enabled: bool
) -> None:
    """The error names the setting, says that nothing happened and what to do, and repeats no secret; no file is made."""
    if not enabled and "project_id" in given and given["project_id"] is None:
        given = {"project_id": "a b"}
        named = "project_id"
    with pytest.raises(ConfigurationError) as caught:
        make_client(**given, enabled=enabled)
    shown = f"{caught.value} {caught.value.hint} {caught.value!r}"
    assert named in shown
    assert "nothing was" in str(caught.value)
    assert caught.value.hint
    for secret in ("secret", "two words", "zwei", "schlüssel"):
        assert secret not in shown
    assert list(tmp_path.iterdir()) == []


def test_a_missing_project_is_its_own_error() -> None:
    """A call without project says where it may be given."""
    with pytest.raises(InvalidEnvironmentError) as caught:
        KeenClient()
    assert "project_id" in str(caught.value.hint)
    assert "KEEN_PROJECT_ID" in str(caught.value.hint)


@pytest.mark.parametrize("make", [LogConfig, DeliveryConfig])
def test_configs_are_frozen_values(make: type) -> None:
    """A configuration does not change under a running client."""
    with pytest.raises(AttributeError):
        make().durability = "normal"


def test_a_whole_config_wins_over_its_shortcuts(make_client: MakeClient) -> None:
    """`log_config` is the whole of the log's settings."""
    client = make_client(durability="full", log_config=LogConfig(durability="normal"))
    assert client._core.event_log is not None
    assert client._core.event_log.config.durability == "normal"


def test_settings_show_no_key() -> None:
    """The gathered settings may be printed."""
    settings = read_settings({"project_id": "p", "write_key": "sesame"}, {})
    assert isinstance(settings, Settings)
    assert "sesame" not in f"{settings!r} {settings.project!r}"


def test_events_are_judged_before_the_disk_is_asked(make_client: MakeClient) -> None:
    """A name that Keen refuses is refused with `enabled=False` as well."""
    with pytest.raises(InvalidEventError):
        make_client(enabled=False).add_event("$c", {})


def test_a_relative_log_of_a_file_lies_below_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an option's and a variable's does: where the file lies says nothing about where the log is."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    file = tmp_path / "keen-client.toml"
    file.write_text('project_id = "p"\nlog = "events"\n', encoding="utf-8")
    assert read_settings({}, {}, file, reads_file=True).log == elsewhere / "events"
