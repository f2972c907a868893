"""``keen-client status``: what waits in the log, how old it is, who is at work."""

from __future__ import annotations

import click

from keen_client.cli import exit_codes
from keen_client.cli.options import Connection, connection_options, json_option
from keen_client.cli.output import emit, note, say
from keen_client.cli.times import PRESETS as NAMES


@click.command()
@click.option(
    "--preset",
    type=click.Choice(NAMES),
    default="standard",
    show_default=True,
    help="The preset that the nightly job uses: it says when a window is final.",
)
@connection_options
@json_option
def status(preset: str, connection: Connection, as_json: bool) -> int:
    """Show what waits in the log, and whether something is about to go unverified.

    Exit status: 0, or the OR of 16, a segment cannot be read or is gone, and 32,
    past a horizon: events reach the end of their retention unsent or unverified
    within days, or the log nears its size limit.
    """
    from keen_client._foundation.clock import SystemClock
    from keen_client.cli.session import NoLogYetError, look_at_log
    from keen_client.report.log_status import empty_status, read_status
    from keen_client.report.printable import size
    from keen_client.verify.presets import PRESETS

    try:
        with look_at_log(connection) as log:
            found = read_status(log, PRESETS[preset], log.clock.wall_ms())
    except NoLogYetError as error:
        found = empty_status(error.place, error.binding, SystemClock().wall_ms())
        note(f"warning: {error.message}")
        note(f"hint: {error.hint}")
    document = found.document()
    bits = exit_codes.LEFT if found.is_past_horizon else exit_codes.OK
    if found.backlog.unreadable:
        bits |= exit_codes.DAMAGE
    if as_json:
        emit(document)
        return bits
    say(f"log           {found.path} ({found.segments} segments, {size(found.size_bytes)})")
    if found.project_id is not None:
        say(f"project       {found.project_id} at {found.base_url}")
    backlog = found.backlog
    say(
        f"unsent        {backlog.pending:,} pending, {backlog.inflight:,} in flight, {backlog.unknown:,} unknown,"
        f" {backlog.replay:,} to be replayed"
    )
    for segment in backlog.unreadable:
        say(f"UNREADABLE    {segment}: what waits there is not counted")
    if found.oldest_unsent_ms is not None:
        say(
            f"oldest        recorded {document['oldest_unsent']}, {document['oldest_unsent_seconds']:,} s ago"
        )
    if found.waiting is not None:
        hint = f" ({found.waiting.hint})" if found.waiting.hint else ""
        say(f"waits         since {document['delivery_waits']['since']}: {found.waiting.reason}{hint}")
    unsure = f", {found.unsure:,} unsure" if found.unsure else ""
    given_up = f", {found.given_up:,} given up" if found.given_up else ""
    say(f"dead letters  {backlog.rejected:,}{unsure}{given_up}")
    say(f"sender        {'running' if found.is_sender_running else 'none'}")
    say(f"last accepted {document['last_accepted'] or 'never'}")
    running = " (one is running)" if found.is_nightly_running else ""
    say(f"last nightly  {document['last_nightly'] or 'never'}{running}")
    for horizon in found.horizons:
        say(
            f"HORIZON       {horizon.unsent:,} unsent and {horizon.unverified:,} unverified events of {horizon.name.day}"
            f" reach the end of their retention in {horizon.days:.1f} days; {horizon.will_go:,} would go unverified"
        )
    if found.is_size_near:
        say("HORIZON       the log nears its size limit; beyond it recording refuses events")
    if bits & exit_codes.DAMAGE:
        note("hint: run `keen-client doctor`, and see what it says of the segments")
    if bits & exit_codes.LEFT:
        note("hint: run `keen-client send` and `keen-client nightly`, and see what they report")
    return bits
