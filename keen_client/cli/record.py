"""``keen-client record``: events from JSON lines into the log. Sends nothing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import BinaryIO

import attrs
import click

from keen_client.cli import exit_codes
from keen_client.cli.options import Connection, connection_options, json_option
from keen_client.cli.output import emit, note, say
from keen_client.cli.progress import progress_bars
from keen_client.eventlog.config import Durability


@click.command()
@click.argument("collection")
@click.argument(
    "file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path), default="-"
)
@click.option(
    "--durability",
    type=click.Choice(["full", "normal"]),
    help="full (the default): synced to disk; normal: written, and power loss may take the last moments.",
)
@connection_options
@json_option
def record(
    collection: str, file: Path, durability: Durability | None, connection: Connection, as_json: bool
) -> int:
    """Record the events of FILE (or of stdin) into COLLECTION.

    One JSON object a line. A line that cannot be recorded is named on stderr,
    the others are recorded, and the exit status is 1. Nothing is sent; see
    `keen-client send`.
    """
    from keen_client.cli.ndjson import Import, Progress
    from keen_client.cli.session import open_log, settings_of
    from keen_client.errors import KeenError
    from keen_client.events.limits import check_collection_name

    check_collection_name(collection)
    settings = settings_of(connection)

    def refuse(line: int, why: str) -> None:
        note(f"line {line}: {why}; not recorded")

    def run(work: Import) -> Progress:
        with progress_bars() as show, _open(file) as stream:
            try:
                work.run(stream, lambda p: show(f"record {collection}", p.recorded, 0))
            except KeenError as error:
                error.message = f"{error.message}; lines up to {work.progress.line:,} are dealt with"
                error.args = (error.message, error.hint)
                raise
            except KeyboardInterrupt:
                note(
                    f"interrupted: lines up to {work.progress.line:,} are dealt with, {work.progress.recorded:,} events recorded"
                )
                raise
        return work.progress

    if settings.is_disabled:
        note("warning: KEEN_DISABLED is set: events are checked, and none is recorded")
        done = run(Import(collection, lambda _events: None, refuse))
        done.recorded = 0
    else:
        with open_log(
            settings.log,
            settings.binding,
            settings.log_config
            if durability is None
            else attrs.evolve(settings.log_config, durability=durability),
            make=True,
        ) as log:
            done = run(Import(collection, log.record_all, refuse))
    if as_json:
        emit({"recorded": done.recorded, "refused": done.refused})
    else:
        say(f"recorded {done.recorded:,} events in {collection}, refused {done.refused:,}")
    return exit_codes.ERROR if done.refused else exit_codes.OK


def _open(file: Path) -> BinaryIO:
    if str(file) == "-":
        return sys.stdin.buffer
    return file.open("rb")
