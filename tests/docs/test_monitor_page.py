"""What docs/how_to/monitor.md watches is there: the fields of status, the metrics of its alerts, its hook, the logger."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from keen_client.cli.app import app
from keen_client.observability import signals
from keen_client.observability.hooks import LOGGER
from keen_client.report.log_status import empty_status
from keen_client.server import LocalServer

PAGE = "docs/how_to/monitor.md"


@pytest.fixture
def programs(page: Callable[[str], Any], tmp_path: Path) -> list[Path]:
    """The page's programs, in files of their own, in order."""
    found = []
    for number, text in enumerate(
        re.findall(r"^```python\n(.*?)^```", page(PAGE).text, flags=re.MULTILINE | re.DOTALL)
    ):
        found.append(tmp_path / f"program_{number}.py")
        found[-1].write_text(text, encoding="utf-8")
    return found


def metrics_of(program: Path, status: bytes) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, str(program)], input=status, capture_output=True, timeout=60, check=True
    )
    return {
        name: float(value) for name, value in (line.split() for line in done.stdout.decode().splitlines())
    }


def test_fields_that_are_to_be_watched_are_fields_of_status(
    page: Callable[[str], Any], tmp_path: Path
) -> None:
    """Each once; a misspelt one would never alert."""
    opened = page(PAGE)
    document = empty_status(tmp_path, None, 0).document()
    assert set(opened.rows(opened.section("Fields of status"))) <= set(document)


def test_the_metrics_say_what_status_says(programs: list[Path], tmp_path: Path) -> None:
    """Of a log with three events that nobody sends; and of none, where nothing waits and no night was."""
    options = ["--project-id", "p", "--log", str(tmp_path / "log")]
    status = ["status", "--json", *options]
    before = metrics_of(programs[0], CliRunner().invoke(app, status).stdout_bytes)
    assert before["keen_log_unsent"] == before["keen_log_oldest_unsent_seconds"] == 0
    assert before["keen_log_last_nightly_timestamp_seconds"] == 0
    CliRunner().invoke(app, ["record", "things", *options], input='{"n":1}\n' * 3)
    after = metrics_of(programs[0], CliRunner().invoke(app, status).stdout_bytes)
    assert (after["keen_log_unsent"], after["keen_log_sender_running"]) == (3, 0)
    assert after["keen_log_as_of_timestamp_seconds"] >= before["keen_log_as_of_timestamp_seconds"] > 0
    assert after["keen_log_size_bytes"] > 0


def test_alerts_are_about_metrics_that_there_are(page: Callable[[str], Any], programs: list[Path]) -> None:
    """Every metric that a rule names is printed by the program, and most of what is printed has a rule."""
    rules = re.findall(r"expr: (.+)", page(PAGE).text)
    named = {name for rule in rules for name in re.findall(r"keen_log_\w+", rule)}
    printed = set(re.findall(r'"(keen_log_\w+)"', programs[0].read_text(encoding="utf-8")))
    assert named <= printed
    assert len(named) >= 8


def test_the_hook_counts_what_the_server_took(
    programs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page's program, with a local server for the project."""
    with LocalServer() as server:
        for name, value in {
            "PROJECT_ID": server.project_id,
            "WRITE_KEY": server.write_key,
            "BASE_URL": server.url,
            "LOG": str(tmp_path / "log"),
        }.items():
            monkeypatch.setenv(f"KEEN_{name}", value)
        program = runpy.run_path(str(programs[1]))
        with program["keen"] as keen:
            keen.add_events({"things": [{"n": n} for n in range(3)]})
            assert keen.flush(60).is_drained
        assert program["told"]["BatchAcknowledged"] == 3


def test_signals_and_loggers_that_are_named_exist(page: Callable[[str], Any]) -> None:
    """By the names that a program has to write."""
    text = page(PAGE).section("In the program itself")
    for name in re.findall(r"`([A-Z]\w+)`", text) + re.findall(r'told\["(\w+)"\]', text):
        assert issubclass(getattr(signals, name), signals.Signal)
    assert f'logging.getLogger("{LOGGER.name}")' in text
