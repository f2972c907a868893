"""A script that records and ends, without flush or close: nothing is lost, and the end is prompt."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from keen_client import KeenClient
from keen_client.server import LocalServer, Project

SCRIPT = """
import sys
from keen_client import KeenClient
client = KeenClient("p1", "write", log=sys.argv[1], base_url=sys.argv[2], durability=sys.argv[3])
for number in range(50):
    client.add_event("steps", {"number": number})
print("recorded", flush=True)
"""


#: The same, where nothing holds the client when the interpreter ends.
IN_A_FUNCTION = "def main(sys):\n    " + SCRIPT.strip().replace("\n", "\n    ") + "\nimport sys\nmain(sys)\n"


def run(log: Path, url: str, durability: str, script: str = SCRIPT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, str(log), url, durability],
        capture_output=True,
        text=True,
        check=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("KEEN_")},
    )


def recorded(log: Path, url: str) -> list[int]:
    with KeenClient("p1", log=log, base_url=url, background=False) as client:
        return [logged.event["number"] for logged in client.log.entries()]


@pytest.mark.parametrize("durability", ["full", "normal"])
def test_exit_without_flush_keeps_every_event_in_the_log(tmp_path: Path, durability: str) -> None:
    """With nobody at the server's address the script ends by itself, quietly, and its events wait in the log."""
    url = "http://127.0.0.1:9"
    done = run(tmp_path / "log", url, durability)
    assert (done.stdout, done.stderr) == ("recorded\n", "")
    assert recorded(tmp_path / "log", url) == list(range(50))


@pytest.mark.parametrize("script", [SCRIPT, IN_A_FUNCTION], ids=["global", "in_a_function"])
@pytest.mark.parametrize("durability", ["full", "normal"])
def test_exit_without_flush_sends_what_the_server_takes_in_time(
    tmp_path: Path, script: str, durability: str
) -> None:
    """With a server that answers the last events are there when the script has ended, wherever its client lived."""
    log = tmp_path / "log"
    with LocalServer(Project("p1", "write", "read", "master")) as server:
        run(log, server.url, durability, script)
        with KeenClient("p1", read_key="read", log=log, base_url=server.url, background=False) as client:
            assert client.count("steps", "this_2_hours") == 50


@pytest.mark.parametrize("durability", ["full", "normal"])
def test_kill_right_after_the_receipt_keeps_the_event(tmp_path: Path, durability: str) -> None:
    """SIGKILL gives no exit handler a chance; the events are in the log, and the next sender takes them."""
    script = SCRIPT + "import os\nos.kill(os.getpid(), 9)\n"
    log, url = tmp_path / "log", "http://127.0.0.1:9"
    done = subprocess.run(
        [sys.executable, "-c", script, str(log), url, durability], capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert recorded(log, url) == list(range(50))
