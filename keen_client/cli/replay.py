"""``keen-client replay``: resend exactly what verification has proven missing; a dry run unless told otherwise."""

from __future__ import annotations

import click

from keen_client.cli.options import Connection, Windows, connection_options, json_option, window_options
from keen_client.cli.output import emit


@click.command()
@window_options(required=False)
@click.option("--yes", is_flag=True, help="Resend. Without, only the plan is printed.")
@click.option(
    "--max-replay",
    metavar="N",
    type=click.IntRange(0),
    help="Resend up to N events, however large a share of the windows they are.",
)
@click.option(
    "--show-run",
    metavar="N",
    type=click.IntRange(1),
    help="Print replay run N as it is stored, and how it could be undone; asks and sends nothing.",
)
@connection_options
@json_option
def replay(
    windows: Windows,
    yes: bool,
    max_replay: int | None,
    show_run: int | None,
    connection: Connection,
    as_json: bool,
) -> int:
    """Verify, then resend what is proven missing, with identity and timestamp unchanged.

    Without --yes it only prints what would be resent. It stops and asks where
    a window lacks more than 5 % and more than 100 events: that is more likely a
    wrong key than a loss.

    Exit status: as of verify; 75 when another nightly or replay job is at work.
    """
    from keen_client.cli.proof import look_of, open_night, show_lines, title_of
    from keen_client.report.run import plan_lines
    from keen_client.report.terminal import verification_lines

    if show_run is not None:
        return _show_run(show_run, connection, as_json=as_json)
    if windows.start is None:
        raise click.UsageError("--start and --end say which windows, or --show-run N which run")
    with open_night(connection, windows) as (night, machinery):
        report = night.replay(
            *windows.edges,
            collections=windows.collections,
            window=windows.window,
            yes=yes,
            max_replay=max_replay,
        )
        title = title_of("replay", machinery)
    if as_json:
        emit(report.document())
    else:
        show_lines(verification_lines(report.verification, title, look_of(windows)))
        show_lines(plan_lines(report.document()))
    return report.exit_status()


def _show_run(run: int, connection: Connection, *, as_json: bool) -> int:
    from keen_client.cli.proof import show_lines
    from keen_client.cli.session import look_at_log
    from keen_client.replay.stored_run import read_run
    from keen_client.report.run import run_lines

    with look_at_log(connection) as log:
        document = read_run(log.state, run).document()
    if as_json:
        emit(document)
    else:
        show_lines(run_lines(document))
    return 0
