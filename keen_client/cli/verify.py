"""``keen-client verify``: compare the server with the log, and send nothing."""

from __future__ import annotations

from typing import Literal

import click

from keen_client.cli.options import Connection, Windows, connection_options, json_option, window_options
from keen_client.cli.output import emit, json_line
from keen_client.cli.times import parse_time


@click.command()
@window_options(required=False)
@click.option(
    "--ndjson",
    is_flag=True,
    help="Print one window a line as JSON, in order, and a last line with the summary.",
)
@click.option(
    "--show",
    metavar="COLLECTION@START",
    help="Print one window by minutes, and its events with evidence, from what is stored; asks nothing.",
)
@click.option(
    "--by",
    type=click.Choice(["day", "origin"]),
    default="day",
    show_default=True,
    help="Draw a map of days, or a row for each origin: a segment, which is one day of recording.",
)
@connection_options
@json_option
def verify(
    windows: Windows,
    ndjson: bool,
    show: str | None,
    by: Literal["day", "origin"],
    connection: Connection,
    as_json: bool,
) -> int:
    """Compare the server with the log, window by window. Sends nothing to the server.

    Exit status: 0 every window matches; otherwise the OR of 4 short, 8 excess,
    16 corrupt or disputed, 32 settling, incomplete or unverifiable, 64 replayed
    and not confirmed yet.
    """
    from keen_client.cli.proof import look_of, open_night, show_lines, title, title_of, unread
    from keen_client.cli.session import NoLogYetError, settings_of
    from keen_client.report.terminal import verification_lines

    if as_json and ndjson:
        raise click.UsageError("--json prints one document, --ndjson lines: give one of them")
    if show is not None:
        return _show(show, windows, connection, as_json=as_json or ndjson)
    if windows.start is None:
        raise click.UsageError("--start and --end say which windows, or --show COLLECTION@START which one")
    try:
        with open_night(connection, windows) as (night, machinery):
            report = night.verify(*windows.edges, collections=windows.collections, window=windows.window)
            shown_as = title_of("verify", machinery)
    except NoLogYetError as error:
        report, shown_as = unread(error, windows), title("verify", settings_of(connection))
    if as_json:
        emit(report.document())
    elif ndjson:
        for row in report.rows():
            click.echo(json_line(row), nl=False)
    else:
        show_lines(verification_lines(report, shown_as, look_of(windows, by)))
    return report.exit_status()


def _show(named: str, windows: Windows, connection: Connection, *, as_json: bool) -> int:
    """One window in depth. The last ``@`` parts collection and time."""
    from keen_client.cli.proof import can_draw, show_lines
    from keen_client.cli.session import look_at_log
    from keen_client.report.drill_down import drill_down_lines
    from keen_client.verify.drill_down import drill_down
    from keen_client.verify.moments import duration_ms, moment_ms, width_ms
    from keen_client.verify.presets import preset
    from keen_client.verify.verdict import EXIT_BITS

    collection, at, start = named.rpartition("@")
    if not (collection and at):
        raise click.UsageError("--show takes COLLECTION@START, such as purchases@2026-10-01T04:00:00Z")
    try:
        moment = parse_time(start)
    except (ValueError, OverflowError) as error:
        raise click.UsageError(f"--show: {error}") from error
    chosen = preset(windows.preset, None if windows.settle is None else duration_ms(windows.settle))
    with look_at_log(connection) as log:
        found = drill_down(log, log.clock, chosen, collection, moment_ms(moment), width_ms(windows.window))
    document = found.document()
    if as_json:
        emit(document)
    else:
        show_lines(drill_down_lines(document, ascii_only=not can_draw()))
    return 0 if found.state is None else EXIT_BITS[found.state.state]
