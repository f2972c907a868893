"""What the peers run in: a server as a process, node with Keen's clients, Chromium. What is missing fails loudly."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

HERE = Path(__file__).parent
ROOT = str(HERE.parents[1])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

from tests.peers.served import Served  # noqa: E402 - found by the path set above

#: The folder that `tests/peers/install` filled.
FOLDER_VARIABLE = "PEERS"
NODE_SECONDS = 120

RunNode = Callable[..., Any]


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """Keen's JavaScript clients, as `npm ci` installed them; a failure where they are not there."""
    folder = os.environ.get(FOLDER_VARIABLE)
    modules = Path(folder or "", "node_modules").resolve()
    if not folder or not (modules / "keen-tracking").is_dir():
        pytest.fail(
            f"{FOLDER_VARIABLE} must name the folder that tests/peers/install has filled: "
            "see docs/contributing.md, section 'Peers'"
        )
    return modules


@pytest.fixture(scope="session")
def run_node(node_modules: Path) -> RunNode:
    """Runs a program of this folder in node with JSON on its stdin; returns the JSON of its last line."""
    node = shutil.which("node")
    assert node is not None, "node is missing: see docs/contributing.md, section 'Peers'"

    def run(program: str, given: dict[str, Any], **environment: str) -> Any:
        done = subprocess.run(
            [node, str(HERE / program)],
            input=orjson.dumps(given),
            capture_output=True,
            env={"PATH": os.environ["PATH"], "NODE_PATH": str(node_modules), **environment},
            timeout=NODE_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        return orjson.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """One server a module; tests use collections of their own, and leave no fault behind."""
    with Served() as server:
        yield server
