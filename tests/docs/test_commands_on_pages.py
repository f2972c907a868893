"""A keen-client command shown on any page is one that the command line understands."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from keen_client.cli.app import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
#: Where a shell command ends: what follows is for the shell.
SHELL = {"<", ">", ">>", "2>", "2>>", "2>&1", "&", "&&", "||", "|", ";"}


def _commands(text: str) -> Iterator[list[str]]:
    """The arguments of each keen-client call in the fenced blocks of *text*."""
    for block in re.findall(r"^ *```\w+\n(.*?)^ *```", text, flags=re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            listed = re.search(r"\[\"keen-client\".*\]", line)
            if listed:
                yield json.loads(listed[0])[1:]
                continue
            called = re.search(r"(?:^|[\s/=;])keen-client\s+(\w.*)", line)
            if called and not line.lstrip().startswith("#"):
                yield from _shell(called[1])


def _shell(text: str) -> Iterator[list[str]]:
    arguments: list[str] = []
    for word in shlex.split(text):
        if word in SHELL:
            break
        arguments.append(word.removesuffix(";"))
    yield arguments


def _parse(arguments: list[str]) -> None:
    """Let click read *arguments* down to the command that would run, and run nothing."""
    group: click.Group = app
    while True:
        command = group.get_command(click.Context(group), arguments[0])
        assert command is not None, f"there is no {arguments[0]!r}"
        if not isinstance(command, click.Group):
            command.make_context(arguments[0], arguments[1:])
            return
        group, arguments = command, arguments[1:]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_commands_are_understood(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No unknown command, option or value."""
    monkeypatch.chdir(tmp_path)
    for name in ("purchases.ndjson", "events.ndjson"):  # files that a page has made before
        (tmp_path / name).touch()
    for arguments in _commands(path.read_text(encoding="utf-8")):
        try:
            _parse(arguments)
        except click.UsageError as error:
            pytest.fail(f"{path.name}: keen-client {shlex.join(arguments)}: {error.format_message()}")


def test_commands_are_found_in_every_kind_of_block() -> None:
    """A check that finds nothing would pass."""
    text = '```console\n$ keen-client send > x\n```\n```yaml\nc: ["keen-client", "nightly"]\n```\n```ini\nE=keen-client status\n```\n'
    assert list(_commands(text)) == [["send"], ["nightly"], ["status"]]


def _told() -> Iterator[tuple[str, list[str]]]:
    """Each command in backquotes in the source of the package: in a message, a hint or a docstring."""
    for path in sorted((ROOT / "keen_client").rglob("*.py")):
        for words in re.findall(r"`keen-client ([^`{]+)`", path.read_text(encoding="utf-8")):
            yield path.name, words.split()


def test_commands_in_messages_exist() -> None:
    """A hint that names a command or an option that there is not is worse than none."""
    told = list(_told())
    assert len(told) > 20
    for name, words in told:
        group: click.Command = app
        while isinstance(group, click.Group) and words and not words[0].startswith("-"):
            command = group.get_command(click.Context(group), words.pop(0))
            assert command is not None, name
            group = command
        options = {option for parameter in group.params for option in (*parameter.opts, "--help")}
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= options, (name, words)
