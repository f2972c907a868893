"""``keen-client send``: deliver what lies in the log, once or for as long as the process lives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from keen_client.cli import exit_codes
from keen_client.cli.options import Connection, connection_options, json_option
from keen_client.cli.output import emit, note, say
from keen_client.cli.progress import progress_bars
from keen_client.cli.times import Seconds

if TYPE_CHECKING:
    import threading

    from keen_client.client.wiring import Machinery
    from keen_client.delivery.courier import FlushReport

#: How often it is looked whether the log was made meanwhile.
_LOOK_SECONDS: Final = 1.0


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

    Before the first event nothing is left; with --follow it is waited for.

    Exit status: 0 nothing is left, 32 events are left in the log, 16 the
    server refused events for good in this call (see `keen-client dead`).
    """
    from keen_client.cli.draining import drain
    from keen_client.cli.session import CLOSE_SECONDS, NoLogYetError, SignalNotes, open_machinery
    from keen_client.delivery.courier import FlushReport
    from keen_client.replay.night import send_document

    stop = _stop_at_signals() if follow else None
    notes = SignalNotes()
    try:
        if stop is not None:
            _await_log(connection, stop)
        with open_machinery(connection, background=True, needs_write_key=True, notes=notes) as machinery:
            if stop is not None:
                report = _follow(machinery, stop, CLOSE_SECONDS if timeout is None else timeout)
            else:
                with progress_bars() as show:
                    report = drain(machinery, timeout, show)
    except NoLogYetError as error:
        report = FlushReport(0, 0, 0, 0, reason=error.message)
        note(f"hint: {error.hint}")
    if as_json:
        emit(send_document(report))
    else:
        say(
            f"acknowledged {report.acknowledged:,}, rejected {report.rejected:,};"
            f" left in the log: {report.pending:,} pending, {report.unknown:,} unknown"
        )
        if report.reason:
            is_told = report.reason == notes.pause_reason
            say(f"because: {'delivery waits, as the warning says' if is_told else report.reason}")
    bits = exit_codes.OK if report.is_drained else exit_codes.LEFT
    return bits | (exit_codes.NEW_DEAD_LETTERS if report.rejected else 0)


def _stop_at_signals() -> threading.Event:
    """Set at SIGTERM or Ctrl-C."""
    import signal
    import threading

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _await_log(connection: Connection, stop: threading.Event) -> None:
    """Wait until there is a log, or *stop*: a sender may be started before what records.

    Raises:
        InvalidEnvironmentError: there is no write key, so nothing would ever be sent.
    """
    from keen_client.cli.session import enabled_settings_of, is_unmade

    settings = enabled_settings_of(connection)
    settings.project.key_for("write")
    if is_unmade(settings.log):
        note(f"nothing was recorded yet: there is no log at {settings.log}; waiting for it")
    while is_unmade(settings.log) and not stop.wait(_LOOK_SECONDS):
        pass


def _follow(machinery: Machinery, stop: threading.Event, close_seconds: float) -> FlushReport:
    """Send until *stop*; then have what is due sent within *close_seconds*."""
    import attrs

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
