"""docs/reference/cli.md names every command, option, exit bit and JSON field, and none that does not exist."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs
import click
from click.testing import CliRunner

from keen_client.cli import exit_codes, options
from keen_client.cli.app import COMMANDS, app
from keen_client.delivery.courier import FlushReport
from keen_client.eventlog.finding import Finding
from keen_client.eventlog.reclaim import Reclaimed
from keen_client.eventlog.segment import SegmentName
from keen_client.eventlog.unreadable import Unreadable
from keen_client.events.identity import EntryId
from keen_client.replay.night import NightReport, send_document
from keen_client.replay.plan import Intent, ReplayReport
from keen_client.verify.report import Audit, Segment, VerifyReport, WindowReport
from keen_client.verify.verdict import EXIT_BITS, Verdict

PAGE = "docs/reference/cli.md"
SHARED = ("Connection options", "Window options")


def _commands() -> Iterator[tuple[str, click.Command]]:
    for name in COMMANDS:
        command = app.get_command(click.Context(app), name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from ((f"{name} {sub}", command.commands[sub]) for sub in command.commands)
        else:
            yield name, command


def _options(command: click.Command) -> set[str]:
    return {
        option
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for option in parameter.opts
    }


def _described(rows: Mapping[str, Any]) -> set[str]:
    return {name for name in rows if name.startswith("--")}


def test_every_command_has_a_section(page: Callable[[str], Any]) -> None:
    """In the order of `keen-client --help`."""
    headings = re.findall(r"^### (.+)$", page(PAGE).section("Commands"), flags=re.MULTILINE)
    assert headings == [name for name, _ in _commands()]


def test_every_option_is_described_under_its_command(page: Callable[[str], Any]) -> None:
    """There, or in a shared table that its section links to."""
    opened = page(PAGE)
    for name, command in _commands():
        section = opened.section(name)
        own = section.split("| fault |")[0]
        described = _described(opened.rows(own))
        for shared in SHARED:
            if f"#{shared.lower().replace(' ', '-')}" in section:
                described |= _described(opened.rows(opened.section(shared)))
        assert described == _options(command), name


def test_shared_options_are_those_of_the_code(page: Callable[[str], Any]) -> None:
    """The two tables are the two decorators."""

    def nothing() -> None:
        """A command to hang options on."""

    connection = click.command()(options.connection_options(nothing))
    windows = click.command()(options.window_options(required=False)(nothing))
    opened = page(PAGE)
    for heading, command in zip(SHARED, (connection, windows), strict=True):
        assert _described(opened.rows(opened.section(heading))) == _options(command)


def test_every_fault_is_described(page: Callable[[str], Any]) -> None:
    """The names that `serve --fault` takes."""
    from keen_client.server.faults import NAMES

    opened = page(PAGE)
    table = opened.section("serve").split("| fault |")[1]
    assert set(opened.rows(table)) == set(NAMES)
    assert len(re.findall(r"^\| `[a-z0-9-]+` \|", table, flags=re.MULTILINE)) == len(NAMES)


def test_the_help_of_serve_has_a_line_for_every_fault() -> None:
    """Each that the server knows, once, with its value and what it does; and none besides, at 80 columns."""
    from keen_client.server.faults import NAMES

    shown = CliRunner().invoke(app, ["serve", "--help"], terminal_width=80).stdout
    lines = re.findall(r"^ +([a-z0-9-]+)=[A-Z:/]+ +\w.+$", shown, flags=re.MULTILINE)
    assert sorted(lines) == sorted(NAMES)
    assert max(map(len, shown.splitlines())) <= 80


def test_every_exit_status_and_bit_is_described(page: Callable[[str], Any]) -> None:
    """Each bit with exactly the states that set it."""
    text = page(PAGE).section("Exit status")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if "|" in line]
    numbers = {int(row[0]): row[1] for row in rows if row[0].isdecimal()}
    for bit in (4, 8, 16, 32, 64):
        states = {str(verdict) for verdict in Verdict if EXIT_BITS[verdict] & bit}
        assert set(re.findall(r"`(\w+)`", numbers[bit])) == states
    bits = {4, 8, 16, 32, 64}
    named = {value for name, value in vars(exit_codes).items() if name.isupper()}
    assert set(numbers) == named | bits


def _names(
    value: Any, open_keys: tuple[str, ...] = ("states", "changed", "named", "left_out")
) -> Iterator[str]:
    """All member names of a document; those under *open_keys* are data."""
    if isinstance(value, Mapping):
        for name, member in value.items():
            yield name
            if name not in open_keys:
                yield from _names(member)
    elif isinstance(value, list):
        for member in value:
            yield from _names(member)


def test_every_json_field_is_described(page: Callable[[str], Any]) -> None:
    """Of the documents of verify, replay, nightly, send and doctor."""
    entry = EntryId("4kq7x2m9pz", 1)
    verification = VerifyReport(
        as_of_ms=0,
        preset="standard",
        windows=[
            WindowReport(
                collection="c",
                start_ms=0,
                end_ms=1,
                state=Verdict.SHORT,
                missing=(entry,),
                seen_earlier={entry: 0},
            )
        ],
        audited=(Audit(collection="c", left_out=(("p", "why"),)),),
        segments=(
            Segment(origin="o", day="d", local_count=1, server_count=None, windows={}, named={"missing": 1}),
        ),
        unreadable=(Unreadable(SegmentName("2026-10-01", "4kq7x2m9pz"), "why"),),
    )
    replay = ReplayReport(is_dry_run=True, verification=verification, planned=(Intent(entry, 0),))
    sent = FlushReport(0, 0, 0, 0)
    night = NightReport(
        sent=sent, before=verification, replay=replay, after=verification, reclaimed=Reclaimed()
    )
    described = set(re.findall(r"`(\w+)`", page(PAGE).section("JSON documents")))
    for document in (
        verification.document(),
        replay.document(),
        night.document(),
        send_document(sent),
        attrs.asdict(Finding("ok", "clock", "all is well")),
    ):
        assert set(_names(document)) <= described
