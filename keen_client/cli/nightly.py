"""``keen-client nightly``: send, verify, replay what is proven missing, verify again."""

from __future__ import annotations

import click

from keen_client.cli.options import Connection, Windows, connection_options, json_option, window_options
from keen_client.cli.output import emit, note, say
from keen_client.cli.times import Seconds


@click.command()
@window_options(required=False)
@click.option(
    "--max-replay",
    metavar="N",
    type=click.IntRange(0),
    help="Resend up to N events, however large a share of the windows they are.",
)
@click.option(
    "--send-timeout", type=Seconds(), help="Give the sending at the beginning at most so many seconds."
)
@connection_options
@json_option
def nightly(
    windows: Windows,
    max_replay: int | None,
    send_timeout: float | None,
    connection: Connection,
    as_json: bool,
) -> int:
    """Send, verify, replay what is proven missing, verify again.

    For cron, a systemd timer or a Kubernetes CronJob: it may be killed at any
    moment and run again. Without --start and --end it reads the windows that
    are due.

    Without a write key it only verifies, and says so. Before the first event
    there is nothing to do, which is no error.

    Exit status: as of verify, for the last verification; 75 when another
    nightly or replay job is at work.
    """
    from keen_client.cli.proof import look_of, open_night, show_lines, title, title_of, unread
    from keen_client.cli.session import NoLogYetError, settings_of
    from keen_client.replay.night import nothing_done
    from keen_client.report.run import plan_lines
    from keen_client.report.terminal import verification_lines

    try:
        with open_night(connection, windows) as (night, machinery):
            report = night.run(
                windows.start,
                windows.end,
                collections=windows.collections,
                window=windows.window,
                max_replay=max_replay,
                send_timeout=send_timeout,
            )
            shown_as = title_of("nightly", machinery)
    except NoLogYetError as error:
        report, shown_as = nothing_done(unread(error, windows)), title("nightly", settings_of(connection))
    status = report.exit_status()
    if as_json:
        for warning in report.warnings:
            note(f"warning: {warning}")
        emit(report.document())
        return status
    for warning in report.warnings:
        say(f"NOT DONE  {warning}")
    look = look_of(windows)
    sent = report.sent
    say(
        f"SENT  {sent.acknowledged:,} acknowledged, {sent.rejected:,} rejected;"
        f" left: {sent.pending:,} pending, {sent.unknown:,} unknown"
        + (f" ({sent.reason})" if sent.reason else "")
    )
    if report.after is not report.before:
        show_lines(verification_lines(report.before, f"{shown_as}   before", look))
    show_lines(plan_lines(report.replay.document()))
    show_lines(verification_lines(report.after, shown_as, look, status))
    return status
