"""``keen-client query``: any analysis of Keen, as a table, CSV or JSON."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from keen_client.cli import exit_codes
from keen_client.cli.answer import FORMATS, show_answer
from keen_client.cli.options import Connection, connection_options, json_option
from keen_client.cli.query_words import FilterWords, JsonText, OrderWords, TimeframeWords, Zone, read_steps
from keen_client.queries.analysis import ANALYSIS_TYPES

if TYPE_CHECKING:
    from keen_client.queries.definition import Query

FUNNEL: Final = "funnel"


@click.command()
@click.argument("analysis", type=click.Choice(sorted({*ANALYSIS_TYPES, FUNNEL})), metavar="ANALYSIS")
@click.argument("collection", required=False)
@click.option(
    "--timeframe",
    type=TimeframeWords(),
    help="Which events: a word of Keen's such as this_7_days or previous_month, or START/END.",
)
@click.option("--timezone", type=Zone(), help="Where days begin: a name such as US/Pacific, or seconds.")
@click.option(
    "--property",
    "properties",
    metavar="NAME",
    multiple=True,
    help="The property to look at; of an extraction, one of those to show (may be given more than once).",
)
@click.option("--percentile", metavar="P", help="Which percentile, from 0 to 100.")
@click.option("--interval", metavar="WORD", help="One value a sub-timeframe: daily, every_15_minutes.")
@click.option(
    "--filter",
    "filters",
    type=FilterWords(),
    multiple=True,
    help="Only events for which it holds: 'price gt 5', or Keen's JSON; given more than once, all must hold.",
)
@click.option(
    "--group-by", metavar="NAME", multiple=True, help="One value a group; may be given more than once."
)
@click.option(
    "--order-by",
    type=OrderWords(),
    multiple=True,
    help="Order of the groups: 'result desc', or a property of --group-by; may be given more than once.",
)
@click.option("--limit", metavar="N", type=int, help="Only the first N groups of that order.")
@click.option("--analyses", type=JsonText(), help="Of multi_analysis: an object of labels and analyses.")
@click.option(
    "--steps",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="Of a funnel: a file with the list of its steps as JSON (- for stdin).",
)
@click.option("--latest", metavar="N", type=int, help="Of an extraction: only the newest N events.")
@click.option("--max-age", metavar="SECONDS", type=int, help="Take an answer that Keen computed so long ago.")
@click.option("--metadata", is_flag=True, help="Ask also what the query cost; it goes to stderr.")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="How to print the rows; table on a terminal, else ndjson. json is the same as --json.",
)
@connection_options
@json_option
def query(
    analysis: str,
    collection: str | None,
    properties: tuple[str, ...],
    steps: Path | None,
    metadata: bool,
    form: str | None,
    connection: Connection,
    as_json: bool,
    **given: Any,
) -> int:
    """Ask Keen for ANALYSIS of the events of COLLECTION.

    count, sum, average, minimum, maximum, median, percentile,
    standard_deviation, count_unique, select_unique, multi_analysis, extraction,
    or funnel (which has its collections in --steps). Needs the read key, and no
    log. For more events than an extraction returns see `keen-client extract`.

    \b
    keen-client query count purchases --timeframe this_7_days --interval daily
    keen-client query sum purchases --property price --group-by item \\
        --timeframe 2026-10-01/2026-11-01 --order-by 'result desc' --limit 10
    """  # noqa: D301 — click keeps the lines of a paragraph that begins with this very character
    from keen_client.cli.session import open_api
    from keen_client.results.query_result import QueryResult
    from keen_client.results.rows import check_columns

    if as_json and form not in (None, "json"):
        raise click.UsageError(
            f"--json prints one document, --format {form} something else: give one of them"
        )
    form = "json" if as_json else form or ("table" if sys.stdout.isatty() else "ndjson")
    if analysis == FUNNEL:
        wanted = _funnel(collection, properties, steps, metadata=metadata, **given)
    else:
        wanted = _analysis(analysis, collection, properties, steps, metadata=metadata, **given)
    check_columns(wanted)
    with open_api(connection) as api:
        result = QueryResult(wanted, api.query(wanted, all_keys=True))
    show_answer(result, form)
    return exit_codes.OK


def _funnel(
    collection: str | None,
    properties: tuple[str, ...],
    steps: Path | None,
    *,
    timeframe: Any,
    timezone: str | int | None,
    max_age: int | None,
    **others: Any,
) -> Query:
    from keen_client.queries.funnel import Funnel

    if collection is not None or properties or any(others.values()):
        raise click.UsageError(
            "a funnel takes --steps, --timeframe, --timezone and --max-age; all else stands in its steps"
        )
    if steps is None:
        raise click.UsageError("a funnel needs --steps FILE, the list of its steps as JSON")
    return Funnel(steps=read_steps(steps), timeframe=timeframe, timezone=timezone, max_age=max_age)


def _analysis(
    analysis: str,
    collection: str | None,
    properties: tuple[str, ...],
    steps: Path | None,
    *,
    metadata: bool,
    group_by: tuple[str, ...],
    **given: Any,
) -> Query:
    from keen_client.queries.analysis import Analysis

    if collection is None:
        raise click.UsageError(f"{analysis} needs a COLLECTION")
    if steps is not None:
        raise click.UsageError("--steps is for funnel")
    is_extraction = analysis == "extraction"
    if len(properties) > 1 and not is_extraction:
        raise click.UsageError(f"{analysis} looks at one --property; several are for extraction")
    return Analysis(
        analysis_type=analysis,
        event_collection=collection,
        target_property=None if is_extraction or not properties else properties[0],
        property_names=properties if is_extraction else None,
        group_by=group_by[0] if len(group_by) == 1 else group_by or None,
        include_metadata=metadata,
        **given,
    )
