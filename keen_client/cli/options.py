"""Options that several commands share, gathered into one value each. No option takes a key."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs
import click

from keen_client.cli.sizes import Size
from keen_client.cli.times import PRESETS, WINDOWS, Duration, Time

Command = Callable[..., Any]


@attrs.frozen(kw_only=True)
class Connection:
    """Which project, server and log; None is looked for in the environment, then in ``keen-client.toml``."""

    project_id: str | None = None
    base_url: str | None = None
    log: Path | None = None
    config: Path | None = None


@attrs.frozen(kw_only=True)
class Windows:
    """Which windows to verify, and how patiently. Times are aware, UTC."""

    start: datetime | None
    end: datetime | None
    collections: list[str] | None
    window: str
    preset: str
    settle: str | None
    allow_immediate: bool = False
    budget_requests: int | None = None
    budget_bytes: int | None = None

    @property
    def edges(self) -> tuple[datetime, datetime]:
        """Start and end, for a command that requires them."""
        if self.start is None or self.end is None:
            raise AssertionError("click let a command run without --start and --end")
        return self.start, self.end


def connection_options(command: Command) -> Command:
    """``--project-id --base-url --log --config``, handed over as ``connection``."""

    @click.option("--project-id", metavar="ID", help="The project; else KEEN_PROJECT_ID.")
    @click.option(
        "--base-url",
        metavar="URL",
        help="The server's address before /3.0; else KEEN_BASE_URL, else Keen's own.",
    )
    @click.option(
        "--log",
        metavar="DIR",
        type=click.Path(file_okay=False, path_type=Path),
        help="The log's directory; else KEEN_LOG, else the state directory's keen-client/<project id>.",
    )
    @click.option(
        "--config",
        metavar="FILE",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Settings for what neither option nor environment gives; else ./keen-client.toml.",
    )
    @functools.wraps(command)
    def gathered(
        *args: Any,
        project_id: str | None,
        base_url: str | None,
        log: Path | None,
        config: Path | None,
        **kwargs: Any,
    ) -> Any:
        connection = Connection(project_id=project_id, base_url=base_url, log=log, config=config)
        return command(*args, connection=connection, **kwargs)

    return gathered


def json_option(command: Command) -> Command:
    """``--json``, handed over as ``as_json``."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON document to stdout, also on error."
    )(command)


def window_options(*, required: bool) -> Callable[[Command], Command]:
    """``--start --end --collection --window --preset --settle``, handed over as ``windows``."""

    def decorate(command: Command) -> Command:
        @click.option(
            "--start",
            type=Time(),
            required=required,
            help="Start of the first window: RFC 3339 with a zone, or a date.",
        )
        @click.option(
            "--end",
            type=Time(),
            required=required,
            help="End of the last window (not included), in the same form.",
        )
        @click.option(
            "--collection",
            "collections",
            metavar="NAME",
            multiple=True,
            help="Only this event collection; may be given more than once. Without: all in the log.",
        )
        @click.option(
            "--window", type=click.Choice(WINDOWS), default="1h", show_default=True, help="Width of a window."
        )
        @click.option(
            "--preset",
            type=click.Choice(PRESETS),
            default="standard",
            show_default=True,
            help="How patient: settle time, reads before a replay, reads before a window is final.",
        )
        @click.option(
            "--settle",
            type=Duration(),
            help="How long a window rests after its last send, instead of the preset's.",
        )
        @click.option(
            "--allow-immediate",
            is_flag=True,
            help="Let the preset immediate be used with a server that is not on this machine.",
        )
        @click.option(
            "--budget-requests",
            metavar="N",
            type=click.IntRange(0),
            help="Ask at most N queries; windows that are not read then are incomplete, and read first next time.",
        )
        @click.option(
            "--budget-bytes",
            type=Size(),
            help="Ask nothing more once the answers had so many bytes, such as 20MB.",
        )
        @functools.wraps(command)
        def gathered(
            *args: Any,
            start: datetime | None,
            end: datetime | None,
            collections: tuple[str, ...],
            window: str,
            preset: str,
            settle: str | None,
            allow_immediate: bool,
            budget_requests: int | None,
            budget_bytes: int | None,
            **kwargs: Any,
        ) -> Any:
            if (start is None) != (end is None):
                raise click.UsageError("--start and --end go together: give both or neither")
            windows = Windows(
                start=start,
                end=end,
                collections=list(dict.fromkeys(collections)) or None,
                window=window,
                preset=preset,
                settle=settle,
                allow_immediate=allow_immediate,
                budget_requests=budget_requests,
                budget_bytes=budget_bytes,
            )
            return command(*args, windows=windows, **kwargs)

        return gathered

    return decorate
