"""``keen-client verify``: compare the server with the log, and send nothing."""

from __future__ import annotations

import click

from keen_client.cli.options import Connection, Windows, connection_options, json_option, window_options
from keen_client.cli.output import emit


@click.command()
@window_options(required=True)
@connection_options
@json_option
def verify(windows: Windows, connection: Connection, as_json: bool) -> int:
    """Compare the server with the log, window by window. Sends nothing to the server.

    Exit status: 0 every window matches; otherwise the OR of 4 short, 8 excess,
    16 corrupt or disputed, 32 settling, incomplete or unverifiable, 64 replayed
    and not confirmed yet.
    """
    from keen_client.cli.proof import look_of, open_night, show_lines, title_of
    from keen_client.report.terminal import verification_lines

    with open_night(connection, windows) as (night, machinery):
        report = night.verify(*windows.edges, collections=windows.collections, window=windows.window)
        title = title_of("verify", machinery)
    if as_json:
        emit(report.document())
    else:
        show_lines(verification_lines(report, title, look_of(windows)))
    return report.exit_status()
