"""``keen-client status``: what waits in the log, how old it is, who is at work."""

from __future__ import annotations

import click

from keen_client.cli import exit_codes
from keen_client.cli.options import Connection, connection_options, json_option
from keen_client.cli.output import emit, say


@click.command()
@connection_options
@json_option
def status(connection: Connection, as_json: bool) -> int:
    """Show what waits in the log, and whether something is about to go unverified.

    Exit status: 0, or 32 when events are past a horizon: about to be reclaimed
    and not verified yet.
    """
    from keen_client.cli.session import look_at_log
    from keen_client.report.log_status import read_status
    from keen_client.report.printable import size

    with look_at_log(connection) as log:
        found = read_status(log, log.clock.wall_ms())
    document = found.document()
    if as_json:
        emit(document)
        return exit_codes.OK
    say(f"log           {found.path} ({found.segments} segments, {size(found.size_bytes)})")
    say(f"project       {found.project_id} at {found.base_url}")
    backlog = found.backlog
    say(
        f"unsent        {backlog.pending:,} pending, {backlog.inflight:,} in flight, {backlog.unknown:,} unknown,"
        f" {backlog.replay:,} to be replayed"
    )
    if found.oldest_unsent_ms is not None:
        say(
            f"oldest        recorded {document['oldest_unsent']}, {document['oldest_unsent_seconds']:,} s ago"
        )
    say(f"dead letters  {backlog.rejected:,}" + (f", {found.unsure:,} unsure" if found.unsure else ""))
    say(f"sender        {'running' if found.is_sender_running else 'none'}")
    say(f"last accepted {document['last_accepted'] or 'never'}")
    running = " (one is running)" if found.is_nightly_running else ""
    say(f"last nightly  {document['last_nightly'] or 'never'}{running}")
    return exit_codes.OK
