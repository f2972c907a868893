"""What ``verify``, ``replay`` and ``nightly`` share: a night over the machinery, and the printing of its reports."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from keen_client.cli.options import Connection, Windows
from keen_client.cli.progress import progress_bars
from keen_client.cli.times import parse_duration

if TYPE_CHECKING:
    from rich.text import Text

    from keen_client.cli.session import NoLogYetError
    from keen_client.client.settings import Settings
    from keen_client.client.wiring import Machinery
    from keen_client.replay.night import Night
    from keen_client.report.look import Look
    from keen_client.verify.report import VerifyReport


@contextmanager
def open_night(connection: Connection, windows: Windows) -> Iterator[tuple[Night, Machinery]]:
    """A night as the options want it. Its steps are shown on stderr where somebody watches."""
    from keen_client.cli.session import open_machinery
    from keen_client.replay.night import Night
    from keen_client.verify.reader import Budget

    with open_machinery(connection, needs_read_key=True) as machinery, progress_bars() as show:
        yield (
            Night(
                log=machinery.log,
                api=machinery.api,
                sender=machinery.sender,
                clock=machinery.clock,
                preset=windows.preset,
                settle=windows.settle,
                allow_immediate=windows.allow_immediate,
                budget=Budget(requests=windows.budget_requests, bytes=windows.budget_bytes),
                hooks=machinery.hooks,
                on_progress=show,
            ),
            machinery,
        )


def unread(error: NoLogYetError, windows: Windows) -> VerifyReport:
    """The report where there is no log to compare with: no window, a warning, and the status of what was not read.

    Raises:
        UsageError: these windows could not be verified with a log either.
    """
    from keen_client._foundation.clock import SystemClock
    from keen_client.verify.moments import moment_ms, width_ms
    from keen_client.verify.report import VerifyReport
    from keen_client.verify.windows import Scope

    if windows.start is not None and windows.end is not None:
        Scope(moment_ms(windows.start), moment_ms(windows.end), width_ms(windows.window))
    return VerifyReport(
        as_of_ms=SystemClock().wall_ms(),
        preset=windows.preset,
        windows=(),
        warnings=(f"{error.message} ({error.hint})",),
        is_unread=True,
    )


def title_of(command: str, machinery: Machinery) -> str:
    """The first words of a report: of which project, and of whose log."""
    return title(command, machinery.settings)


def title(command: str, settings: Settings) -> str:
    """The same, where there is no machinery yet."""
    project = f"project {settings.project_id} at {settings.base_url}"
    return f"keen-client {command}   {project}   log {settings.log} on {platform.node() or 'this machine'}"


def look_of(windows: Windows, by: Literal["day", "origin"] = "day") -> Look:
    """How reports look on this terminal."""
    from keen_client.report.look import Look

    return Look(
        by=by,
        ascii_only=not can_draw(),
        settle_ms=None if windows.settle is None else parse_duration(windows.settle),
    )


def can_draw() -> bool:
    """Whether stdout can show the glyphs of the heat map."""
    from keen_client.report.heat_map import GLYPHS

    try:
        "".join(glyph.sign for glyph in GLYPHS.values()).encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def show_lines(lines: Iterable[Text]) -> None:
    """Print report lines to stdout, in colour where that is a terminal and NO_COLOR is not set.

    Long lines are folded to the terminal's width; where something else reads
    them, each stays one line unless COLUMNS says how wide it may be.
    """
    from rich.console import Console

    from keen_client.report.folding import fold

    console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False, soft_wrap=True)
    if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal():
        lines = fold(lines, console.width)
    for line in lines:
        console.print(line)
