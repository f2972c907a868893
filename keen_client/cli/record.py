"""``keen-client record``: events from JSON lines into the log. Sends nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import attrs
import click

from keen_client.cli import exit_codes
from keen_client.cli.options import Connection, connection_options, json_option
from keen_client.cli.output import AccountedError, describe, emit, note, say
from keen_client.cli.progress import progress_bars
from keen_client.cli.signals import Interruptions, TerminatedError
from keen_client.errors import KeenError, RecordOutcomeUnknownError
from keen_client.eventlog.config import Durability

if TYPE_CHECKING:
    from keen_client.cli.ndjson import Import
    from keen_client.events.encoding import EncodedEvent

#: So many refused lines are named in the document of ``--json``; stderr names them all.
_REFUSALS_MAX: Final = 100


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
    the others are recorded, and the exit status is 1. Ended before the end of
    its input, by an error, Ctrl-C or SIGTERM, it says which lines are dealt
    with. Nothing is sent; see `keen-client send`.
    """
    from keen_client.cli.ndjson import Import
    from keen_client.cli.session import open_log, settings_of
    from keen_client.events.limits import check_collection_name

    check_collection_name(collection)
    settings = settings_of(connection)
    interruptions = Interruptions()

    refusals: list[dict[str, object]] = []

    def refuse(line: int, why: str) -> None:
        note(f"line {line}: {why}; not recorded")
        if len(refusals) < _REFUSALS_MAX:
            refusals.append({"line": line, "message": why})

    work = Import(collection, refuse, interruptions.held)
    done = work.progress

    def run(record_all: Callable[[Sequence[EncodedEvent]], object]) -> None:
        with progress_bars() as show, _open(file) as stream:
            work.run(stream, record_all, lambda p: show(f"record {collection}", p.recorded, 0))

    with interruptions.raised(), _accounting(work):
        if settings.is_disabled:
            note("warning: KEEN_DISABLED is set: events are checked, and none is recorded")
            run(lambda _events: None)
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
                run(log.record_all)
    summary = f"recorded {done.recorded:,} events in {collection}, refused {done.refused:,}"
    try:
        if as_json:
            emit({"recorded": done.recorded, "refused": done.refused, "refusals": refusals})
        else:
            say(summary)
    except (
        OSError
    ) as error:  # not to be told looks like a failure, and invites to record it all a second time
        note(summary)
        if isinstance(error, BrokenPipeError):
            raise
        raise AccountedError(
            error, f"all {done.line:,} lines are dealt with", "do not run it again: the events are in the log"
        ) from error
    return exit_codes.ERROR if done.refused else exit_codes.OK


def _open(file: Path) -> BinaryIO:
    if str(file) == "-":
        return sys.stdin.buffer
    return file.open("rb")


@contextmanager
def _accounting(work: Import) -> Iterator[None]:
    """When *work* does not come to its end, say which lines are dealt with, and how to go on without doubling them."""
    done = work.progress
    try:
        yield
    except Exception as error:
        if not work.seen:
            raise
        raise AccountedError(error, _dealt_with(done.line), _way_on(error, work)) from error
    except (KeyboardInterrupt, TerminatedError) as end:
        how = "interrupted" if isinstance(end, KeyboardInterrupt) else "terminated"
        note(f"{how}: {_dealt_with(done.line)}, {done.recorded:,} events recorded")
        note(f"hint: {_rest(done.line)}")
        raise


def _dealt_with(line: int) -> str:
    return f"lines up to {line:,} are dealt with" if line else "none of the lines is dealt with"


def _rest(line: int) -> str:
    return f"record only what is left: `tail -n +{line + 1}` prints it" if line else "record it again"


def _way_on(error: Exception, work: Import) -> str:
    """What to do after *error*; never to record once more what is in the log."""
    line = work.progress.line
    first = describe(error)[2] if isinstance(error, KeenError) else None
    if isinstance(error, RecordOutcomeUnknownError):
        return f"{first}; lines {line + 1:,} to {work.seen:,} are those in doubt, and none after them is recorded"
    if first is None:
        first = (
            "correct that" if isinstance(error, OSError) else "report it: KEEN_DEBUG=1 shows the traceback"
        )
    return f"{first}; then {_rest(line)}"
