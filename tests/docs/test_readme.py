"""The README's commands are those that CI runs, and its program is one that works."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keen_client.server import LocalServer

ROOT = Path(__file__).parents[2]


def _commands(text: str) -> list[str]:
    return re.findall(r"^\$ (.+)$", text, flags=re.MULTILINE)


def _long(command: str) -> str:
    """The same with long options, as scripts write them."""
    return command.replace("install -q", "install --quiet").replace(" -e ", " --editable ")


def test_each_command_is_complete_on_a_fresh_machine(page: Callable[[str], Any]) -> None:
    """It makes the environment, installs into it and runs from it."""
    commands = _commands(page("README.md").section("Try it"))
    assert len(commands) == 2
    for command in commands:
        make, install, run = command.split(" && ")
        assert make == "python3 -m venv .venv"
        assert install.startswith(".venv/bin/pip install ")
        assert run.startswith(".venv/bin/")


def test_commands_are_those_of_ci(page: Callable[[str], Any]) -> None:
    """What is installed and run for the tests, and the demo."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    demo, tests = _commands(page("README.md").section("Try it"))
    _, install, run = tests.split(" && ")
    assert _long(install).removeprefix(".venv/bin/") in script.replace("python -m pip", "pip").replace(
        '"$scratch/py311/bin/', '"'
    ).replace('"', "")
    assert re.search(rf"^{run.removeprefix('.venv/bin/')}$", script, flags=re.MULTILINE)
    assert demo.split(" && ")[2].removeprefix(".venv/bin/") in script


def test_extras_exist(page: Callable[[str], Any]) -> None:
    """Those that the page installs are those of the metadata."""
    metadata = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    named = set(re.findall(r"'\.\[(\w+)\]'", page("README.md").text))
    assert named <= set(metadata["project"]["optional-dependencies"])
    assert named
    listed = re.search(
        r"^Extras: (.*?)\. ", page("README.md").section("Install"), flags=re.MULTILINE | re.DOTALL
    )
    assert listed is not None
    assert set(re.findall(r"`([\w-]+)`", listed[1])) == set(metadata["project"]["optional-dependencies"]) - {
        "test",
        "peers",
        "fuzz",
    }


def test_the_wheel_that_is_installed_is_the_one_that_is_built(page: Callable[[str], Any]) -> None:
    """Under the name that this version's has."""
    metadata = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wheel = f"dist/{metadata['name'].replace('-', '_')}-{metadata['version']}-py3-none-any.whl"
    assert page("README.md").section("Install").count(wheel) == 1


EXTRA_OF_AN_INDEX = re.compile(r"pip install '?keen-client")


@pytest.mark.parametrize("path", sorted((ROOT / "docs").rglob("*.md")), ids=lambda path: path.name)
def test_what_no_index_has_is_not_installed_from_one(path: Path) -> None:
    """A page that adds an extra by the package's name says how the package itself comes, which no index has."""
    text = path.read_text(encoding="utf-8")
    if EXTRA_OF_AN_INDEX.search(text):
        assert "README.md#install" in text


def test_program_on_the_page_runs(page: Callable[[str], Any], tmp_path: Path) -> None:
    """As it stands, with a local server for the project."""
    program = re.findall(r"```python\n(.*?)```", page("README.md").section("Use it"), flags=re.DOTALL)[0]
    with LocalServer() as server:
        program = program.replace(
            '"project-id", "write-key", "read-key"',
            f"{server.project_id!r}, {server.write_key!r}, {server.read_key!r}, base_url={server.url!r}, log='log'",
        )
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert "4 acknowledged, 0 left in the log\n2049\n" in done.stdout
