"""The tutorial's commands are run as they stand, and print what it says they print."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PAGE = "docs/tutorial/first_events.md"
#: The command of which the page says how many queries it asked.
_VERIFY = "keen-client verify --start 2026-10-01 --end 2026-10-02 --window 1d --preset immediate"
_NUMBERS = {"One": 1, "Two": 2, "Three": 3, "Four": 4, "Five": 5, "Six": 6}


def _queries_told(text: str) -> str:
    """What the page says in words, as the report says it."""
    found = re.search(r"(\w+) queries found them", text)
    assert found is not None
    return f"\ncost {_NUMBERS[found[1]]} requests, "


def _steps(text: str) -> list[tuple[str, list[str]]]:
    """Each command of the console blocks with the lines shown under it."""
    steps: list[tuple[str, list[str]]] = []
    for block in re.findall(r"^```console\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append((line[2:], []))
            else:
                steps[-1][1].append(line)
    return steps


@pytest.mark.slow
def test_tutorial_runs_as_it_stands(page: Callable[[str], Any], tmp_path: Path) -> None:
    """In one shell, with a free port; each shown line is among what its command printed."""
    text = page(PAGE).text
    installing = page(PAGE).section("Install")
    steps = _steps(text.replace(installing, ""))
    assert len(steps) > 12
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    script = "".join(f"echo '--- {number}'\n{command}\n" for number, (command, _) in enumerate(steps))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KEEN_")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script.replace("8200", port)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    printed = re.split(r"^--- \d+\n", done.stdout, flags=re.MULTILINE)[1:]
    assert len(printed) == len(steps)
    for (command, shown), output in zip(steps, printed, strict=True):
        for line in shown:
            assert line in output.splitlines(), f"{command}\n{output}\n{done.stderr}"
    assert _queries_told(text) in printed[[command for command, _ in steps].index(_VERIFY)]
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []
