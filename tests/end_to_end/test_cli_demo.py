"""The demo keeps its promise: every loss found, replaced once, proven; and nothing is left behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

FIELDS = {
    "schema",
    "recorded",
    "acknowledged",
    "lost_by_server",
    "windows",
    "windows_short",
    "missing_found",
    "replayed",
    "missing_after",
    "duplicates_after",
    "verify_requests",
    "verify_bytes",
    "matched",
}


def demo(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "keen_client", "demo", *options],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    told: dict[str, Any] = orjson.loads(done.stdout)
    return told


def test_every_loss_is_found_and_replaced_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """2,000 events: what verification finds missing is what the server lost, and afterwards nothing is missing or double."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    done = demo("--events", "2000", "--seed", "3", "--json")
    told = document(done)
    assert done.returncode == 0, done.stderr
    assert set(told) == FIELDS
    assert told["recorded"] == told["acknowledged"] == 2000
    assert told["lost_by_server"] > 0
    assert told["missing_found"] == told["replayed"] == told["lost_by_server"]
    assert 0 < told["windows_short"] <= told["windows"]
    assert (told["missing_after"], told["duplicates_after"], told["matched"]) == (0, 0, True)
    assert list(tmp_path.iterdir()) == []


def test_a_demo_that_is_kept_can_be_looked_at(tmp_path: Path) -> None:
    """--keep leaves the log and the server's data, without --json the story is told, and a second demo goes elsewhere."""
    place = tmp_path / "demo"
    done = demo("--events", "100", "--keep", str(place))
    assert done.returncode == 0, done.stderr
    assert "BEFORE the replay" in done.stdout
    assert "AFTER the replay" in done.stdout
    assert "RESULT  everything matches" in done.stdout
    look = subprocess.run(
        [sys.executable, "-m", "keen_client", "status", "--log", str(place / "log"), "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert document(look)["pending"] == 0
    assert (place / "server").is_dir()
    assert demo("--keep", str(place)).returncode == 2


def test_a_demo_that_cannot_match_says_so() -> None:
    """When the server damages what it keeps, the demo does not exit 0: a status of 0 means a proof."""
    done = demo("--events", "300", "--fault", "null-properties=0.2", "--seed", "5", "--json")
    told = document(done)
    assert done.returncode & 16
    assert told["matched"] is False


def test_a_wrong_fault_is_a_usage_error() -> None:
    """The server's refusal is told in one line, exit 2."""
    done = demo("--fault", "lose=much", "--json")
    assert done.returncode == 2
    assert document(done)["error"]["code"] == "usage"
