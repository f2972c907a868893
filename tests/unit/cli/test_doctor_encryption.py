"""The doctor says whether keys and events travel encrypted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from keen_client import KeenClient
from keen_client.cli import exit_codes
from keen_client.cli.app import app


def _finding(log: Path, **environment: str) -> tuple[dict[str, Any] | None, int]:
    done = CliRunner().invoke(app, ["doctor", "--json", "--log", str(log)], env=environment)
    findings = orjson.loads(done.stdout)["findings"]
    found = next((finding for finding in findings if finding["name"] == "encryption"), None)
    return found, done.exit_code


def _record(log: Path, base_url: str) -> None:
    with KeenClient("p", base_url=base_url, log=log, background=False) as client:
        client.add_event("c", {"n": 1})


@pytest.mark.parametrize(
    ("base_url", "level"),
    [
        ("https://api.keen.io", "ok"),
        ("https://10.0.0.1:8443", "ok"),
        ("http://127.0.0.1:8200", "ok"),
        ("http://[::1]:8200", "ok"),
        ("http://localhost:8200", "ok"),
        ("http://10.0.0.1:8200", "warning"),
        ("http://api.keen.io", "warning"),
        ("http://localhost.example.org", "warning"),
    ],
)
def test_an_unencrypted_server_beyond_this_machine_is_a_warning(
    tmp_path: Path, base_url: str, level: str
) -> None:
    """Told of the log's own server where no project is named, and of the project's where one is."""
    _record(tmp_path / "log", base_url)
    project = {"KEEN_PROJECT_ID": "p", "KEEN_BASE_URL": base_url}
    for environment in ({}, project):
        found, status = _finding(tmp_path / "log", **environment)
        assert found is not None
        assert found["level"] == level
        assert (status & exit_codes.WARNINGS != 0) is (level == "warning")
        if level == "warning":
            assert base_url in found["message"]
            assert "https" in found["hint"]


def test_a_project_without_a_log_is_warned_too(tmp_path: Path) -> None:
    """The server is known before the first event is recorded."""
    found, _ = _finding(tmp_path / "log", KEEN_PROJECT_ID="p", KEEN_BASE_URL="http://10.0.0.1")
    assert found is not None
    assert found["level"] == "warning"


def test_where_no_server_is_known_nothing_is_said_of_it(tmp_path: Path) -> None:
    """A place without a log and without a project has none."""
    assert _finding(tmp_path / "log")[0] is None
