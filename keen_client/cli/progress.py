"""Progress bars, on stderr, and only where somebody watches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: (what is being done, how much is done, how much there is; 0: not known).
OnProgress = Callable[[str, int, int], None]


def _ignore(what: str, done: int, total: int) -> None:
    """Nobody watches."""


@contextmanager
def progress_bars(*, wanted: bool = True) -> Iterator[OnProgress]:
    """A callback that keeps one bar for each kind of work; the bars vanish at the end."""
    if not wanted or not sys.stderr.isatty():
        yield _ignore
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    from keen_client.report.printable import printable

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(printable(what), total=total or None)
            bars.update(tasks[what], completed=done, total=total or None)

        yield show
