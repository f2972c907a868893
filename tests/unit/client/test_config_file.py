"""keen-client.toml: read by the command line, member by member, and never by the library on its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from keen_client.client.settings import read_settings
from keen_client.errors import ConfigurationError, InvalidEnvironmentError

CONTENT = """
project_id = "p1"
base_url = "http://127.0.0.1:9/3.0/"
[log_settings]
durability = "normal"
retention_days = 30
audit = ["price_cents"]
[delivery]
unknown = "resend"
batch_events_max = 100
"""


def test_members_become_the_settings(tmp_path: Path) -> None:
    """Top-level members, and the two tables of how the log is kept and how delivery behaves."""
    file = tmp_path / "k.toml"
    file.write_text(CONTENT)

    settings = read_settings({}, {}, file, reads_file=True)

    assert (settings.project_id, settings.base_url) == ("p1", "http://127.0.0.1:9")
    assert (settings.log_config.durability, settings.log_config.retention_days) == ("normal", 30.0)
    assert settings.log_config.audit == ("price_cents",)
    assert (settings.delivery_config.unknown, settings.delivery_config.batch_events_max) == ("resend", 100)


def test_arguments_and_environment_win(tmp_path: Path) -> None:
    """The file is asked last."""
    file = tmp_path / "k.toml"
    file.write_text(CONTENT)

    environment = {"KEEN_PROJECT_ID": "p2", "KEEN_BASE_URL": "http://127.0.0.1:8"}
    settings = read_settings({"base_url": "http://127.0.0.1:7"}, environment, file, reads_file=True)

    assert (settings.project_id, settings.base_url) == ("p2", "http://127.0.0.1:7")


def test_the_library_does_not_look_into_its_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that happens to lie there must not decide where a program's events go."""
    (tmp_path / "keen-client.toml").write_text(CONTENT)
    monkeypatch.chdir(tmp_path)

    assert read_settings({}, {}, reads_file=True).project_id == "p1"
    with pytest.raises(InvalidEnvironmentError):
        read_settings({}, {})


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("projectid = 'p'", "projectid"),
        ("[log_settings]\nretention = 3", "retention"),
        ("[log_settings]\nretention_days = 'long'", "retention_days"),
        ("[log_settings]\naudit = 'price'", "audit"),
        ("[delivery]\nbatch_events_max = 1.5", "batch_events_max"),
        ("[delivery]\nunknown = 'maybe'", "maybe"),
        ("delivery = 5", "delivery"),
        ("project_id = ", "TOML"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, content: str, says: str) -> None:
    """A typo in a configuration is an error that names it, not a setting that silently does not hold."""
    file = tmp_path / "k.toml"
    file.write_text(content)

    with pytest.raises(ConfigurationError, match=says):
        read_settings({"project_id": "p"}, {}, file, reads_file=True)


@pytest.mark.parametrize("trick", ["another's", "all may write"])
def test_a_file_that_somebody_else_laid_out_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trick: str
) -> None:
    """In the working directory it would choose where the keys go; who trusts it names it."""
    file = tmp_path / "keen-client.toml"
    file.write_text(CONTENT)
    if trick == "another's":
        monkeypatch.setattr(os, "geteuid", lambda: file.stat().st_uid + 1)
        if file.stat().st_uid == 0:  # root's own files are trusted, so that this one has to be given away
            os.chown(file, 12_345, 12_345)
    else:
        file.chmod(0o666)
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ConfigurationError, match="nothing was sent") as caught:
        read_settings({}, {}, reads_file=True)
    assert "--config" in str(caught.value.hint)
    assert read_settings({}, {}, Path("keen-client.toml"), reads_file=True).project_id == "p1"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("disabled = []", "disabled"),
        ("disabled = 0.0", "disabled"),
        ("project_id = 5", "project_id"),
        ("log = { a = 1 }", "log"),
        ('log = "~nobody-of-this-name/x"', "names no directory"),
        ('log = "a\\u0000b"', "names no directory"),
        ("base_url = 1979-05-27", "base_url"),
    ],
)
def test_a_value_of_another_kind_is_refused_by_its_name(tmp_path: Path, line: str, told: str) -> None:
    """Nothing is guessed: a list for ``disabled`` would have switched recording off without a word."""
    file = tmp_path / "settings.toml"
    head = "" if line.startswith("project_id") else 'project_id = "p"\n'
    file.write_text(f"{head}{line}\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=told):
        read_settings({}, {}, file, reads_file=True)
