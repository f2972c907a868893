"""``keen-client send``: deliver what lies in the log, once or for as long as the process lives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from keen_client.cli import exit_codes
from keen_client.cli.options import Connection, connection_options, json_option
from keen_client.cli.output import emit, say
from keen_client.cli.progress import progress_bars
from keen_client.cli.times import Seconds

if TYPE_CHECKING:
    from keen_client.client.wiring import Machinery
    from keen_client.delivery.courier import FlushReport


@click.command()
@click.option(
    "--follow", is_flag=True, help="Go on sending until SIGTERM or Ctrl-C, then end within --timeout."
)
@click.option(
    "--timeout",
    type=Seconds(),
    help="Stop after so many seconds and say what is left; with --follow: for the last events (2 by default).",
)
@connection_options
@json_option
def send(follow: bool, timeout: float | None, connection: Connection, as_json: bool) -> int:
    """Send what lies in the log.

    Exit status: 0 nothing is left, 32 events are left in the log, 16 the
    server refused events for good in this call (see `keen-client dead`).
    """
    from keen_client.cli.draining import drain
    from keen_client.cli.session import CLOSE_SECONDS, open_machinery
    from keen_client.replay.night import send_document

    with open_machinery(connection, background=True, needs_write_key=True) as machinery:
        if follow:
            report = _follow(machinery, CLOSE_SECONDS if timeout is None else timeout)
        else:
            with progress_bars() as show:
                report = drain(machinery, timeout, show)
    if as_json:
        emit(send_document(report))
    else:
        say(
            f"acknowledged {report.acknowledged:,}, rejected {report.rejected:,};"
            f" left in the log: {report.pending:,} pending, {report.unknown:,} unknown"
        )
        if report.reason:
            say(f"because: {report.reason}")
    bits = exit_codes.OK if report.is_drained else exit_codes.LEFT
    return bits | (exit_codes.NEW_DEAD_LETTERS if report.rejected else 0)


def _follow(machinery: Machinery, close_seconds: float) -> FlushReport:
    """Send until a signal comes; then have what is due sent within *close_seconds*."""
    import signal
    import threading

    import attrs

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    state = machinery.log.state
    acknowledged, rejected = state.counter("acknowledged"), state.counter("rejected")
    machinery.courier.notify()
    stop.wait()
    last = machinery.courier.flush(close_seconds)
    return attrs.evolve(
        last,
        acknowledged=state.counter("acknowledged") - acknowledged,
        rejected=state.counter("rejected") - rejected,
    )
