"""``keen-client extract``: all events of a timeframe, into a file or to stdout, however many."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from keen_client.api.extraction import PAGE_EVENTS
from keen_client.cli import exit_codes
from keen_client.cli.options import Connection, connection_options, json_option
from keen_client.cli.output import emit, json_line, note, say
from keen_client.cli.progress import progress_bars
from keen_client.cli.query_words import FilterWords, TimeframeWords, Zone

if TYPE_CHECKING:
    from keen_client.api.extraction import EventIterator

#: After so many events the bar moves.
_STRIDE: Final = 500


@click.command()
@click.argument("collection")
@click.option(
    "--timeframe",
    type=TimeframeWords(),
    required=True,
    help="Which events: a word of Keen's such as this_7_days or previous_month, or START/END.",
)
@click.option("--timezone", type=Zone(), help="Where days begin: a name such as US/Pacific, or seconds.")
@click.option(
    "--filter",
    "filters",
    type=FilterWords(),
    multiple=True,
    help="Only events for which it holds: 'price gt 5', or Keen's JSON; given more than once, all must hold.",
)
@click.option(
    "--property",
    "properties",
    metavar="NAME",
    multiple=True,
    help="Only this property of each event; may be given more than once. The columns of a CSV file.",
)
@click.option(
    "--to",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write FILE, whose name ends in .ndjson, .csv or .parquet; without, NDJSON goes to stdout.",
)
@click.option(
    "--page-events",
    metavar="N",
    type=int,
    default=PAGE_EVENTS,
    show_default=True,
    help="About how many events to fetch, and hold in memory, at a time.",
)
@connection_options
@json_option
def extract(
    collection: str,
    to: Path | None,
    properties: tuple[str, ...],
    page_events: int,
    connection: Connection,
    as_json: bool,
    **given: Any,
) -> int:
    """Fetch all events of COLLECTION in a timeframe, the oldest first, beyond what one extraction returns.

    The timeframe is cut into parts by counts; its bounds are fixed at the
    start. FILE stands under its name only when it is whole. Parquet needs the
    extra tables.
    """
    from keen_client._foundation.clock import SystemClock
    from keen_client.api.extraction import EventIterator, Pages, extraction
    from keen_client.cli.session import open_api
    from keen_client.results.event_files import event_file

    if as_json and to is None:
        raise click.UsageError("--json prints one document about a file: it needs --to FILE")
    wanted = extraction(
        collection, now_ms=SystemClock().wall_ms(), property_names=properties or None, **given
    )
    pages = Pages(wanted, page_events=page_events)
    with open_api(connection) as api:
        events = EventIterator(api.run_steps, pages)
        if to is None:
            out = sys.stdout.buffer
            with _accounting("what was printed is not all") as tally:
                tally.pass_on(events, lambda event: out.write(json_line(event)), shown=not out.isatty())
            return exit_codes.OK
        with _accounting(f"{to} was not written") as tally, event_file(to, properties) as file:
            tally.pass_on(events, file.write)
        cost = api.cost
    if as_json:
        emit({"events": file.events, "to": str(to), "requests": cost.requests, "bytes": cost.bytes})
    else:
        say(f"extracted {file.events:,} events of {collection} into {to}")
    return exit_codes.OK


class _Tally:
    """How many events have come of a collection."""

    def __init__(self) -> None:
        self.done = 0

    def pass_on(
        self, events: EventIterator, write: Callable[[Mapping[str, Any]], object], *, shown: bool = True
    ) -> None:
        """Every event to *write*, with a bar."""
        with progress_bars(wanted=shown) as show:
            for event in events:
                write(event)
                self.done += 1
                if self.done % _STRIDE == 0:
                    show("extract", self.done, events.expected or 0)


@contextmanager
def _accounting(otherwise: str) -> Iterator[_Tally]:
    """When the block does not come to its end, say how many events had come, and what is true then."""
    from keen_client.errors import ApiError

    tally = _Tally()
    try:
        yield tally
    except ApiError as error:
        error.message = f"{error.message}; {tally.done:,} events had come, and {otherwise}"
        error.args = (error.message, error.hint)
        raise
    except BrokenPipeError:
        raise
    except (KeyboardInterrupt, OSError) as error:
        ended = "interrupted" if isinstance(error, KeyboardInterrupt) else "stopped"
        note(f"{ended}: {tally.done:,} events had come, and {otherwise}")
        raise
