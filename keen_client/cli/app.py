"""``keen-client``: the group of commands, and what happens when one of them ends.

A command is imported when it is called, so that ``record`` does not pay for
``serve``. However a command ends, no traceback is shown: an error is one line
(with ``--json`` one document, with ``--ndjson`` one row; on stderr where stdout
takes nothing), and the exit status says which kind it was.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, NoReturn, cast

import click

from keen_client.cli import exit_codes
from keen_client.cli.output import ErrorForm, code_of, error_form, show_end, show_error
from keen_client.cli.signals import TerminatedError
from keen_client.cli.streams import OutputLostError, give_up_stdout, guard_streams

#: Command -> what its module is called; in the order in which one meets them.
COMMANDS: Final = (
    "demo",
    "serve",
    "record",
    "send",
    "status",
    "verify",
    "replay",
    "nightly",
    "query",
    "extract",
    "dead",
    "doctor",
)

#: Set to anything, it shows the traceback of an error that nobody foresaw.
DEBUG_VARIABLE: Final = "KEEN_DEBUG"


class ReaderGoneError(Exception):
    """Whoever read our output has closed the pipe. Not an OSError: click would make it exit status 1."""


@contextmanager
def _noticing_the_reader() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise ReaderGoneError from error


class KeenGroup(click.Group):
    """Loads commands when they are called, and ends the process in the one agreed way."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order in which one meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name; None when there is none."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"keen_client.cli.{cmd_name}")
        return cast("click.Command", getattr(module, cmd_name))

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Parse; help is printed here."""
        with _noticing_the_reader():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with _noticing_the_reader():
            return super().invoke(ctx)

    def main(self, args: Sequence[str] | None = None, *positional: Any, **extra: Any) -> NoReturn:
        """Run a command and exit with its status; never returns, and never shows a traceback unasked."""
        arguments = list(sys.argv[1:] if args is None else args)
        extra["standalone_mode"] = False
        guard_streams()
        sys.exit(self._status(arguments, positional, extra))

    def _status(self, arguments: list[str], positional: tuple[Any, ...], extra: dict[str, Any]) -> int:
        form = error_form(arguments)
        try:
            try:
                status = super().main(arguments, *positional, **extra)
                sys.stdout.flush()
                return int(status or exit_codes.OK)
            except (click.Abort, KeyboardInterrupt):
                with suppress(OutputLostError):
                    show_end("interrupted", exit_codes.INTERRUPTED, form)
                return exit_codes.INTERRUPTED
            except TerminatedError:
                with suppress(OutputLostError):
                    show_end("terminated", exit_codes.TERMINATED, form)
                return exit_codes.TERMINATED
            except BrokenPipeError as error:
                raise ReaderGoneError from error
            except ReaderGoneError:
                raise
            except Exception as error:  # noqa: BLE001 — whatever it is, the user gets one line
                _show(error, form)
                return code_of(error)
        except (BrokenPipeError, ReaderGoneError):  # whoever read our output has gone
            give_up_stdout()
            return exit_codes.PIPE_CLOSED


def _show(error: Exception, form: ErrorForm) -> None:
    """Say on stdout or stderr what ended the command; on stderr where stdout takes nothing."""
    if os.environ.get(DEBUG_VARIABLE):
        shown = traceback.TracebackException.from_exception(error)
        shown.__notes__ = None  # the hint, which follows
        shown.print()
    try:
        show_error(error, form)
        sys.stdout.flush()
    except OutputLostError:
        give_up_stdout()
        if form != "lines":
            show_error(error, "lines")


@click.group(
    cls=KeenGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="keen-client")
@click.pass_context
def app(ctx: click.Context) -> None:
    """Record events on disk first, send them to Keen, and prove that they arrived.

    Settings come from options, else from the environment (KEEN_PROJECT_ID,
    KEEN_WRITE_KEY, KEEN_READ_KEY, KEEN_MASTER_KEY, KEEN_BASE_URL, KEEN_LOG,
    KEEN_DISABLED; each key also as ..._FILE), else from keen-client.toml. Keys
    are never given on the command line.

    Try it without an account: keen-client demo
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(exit_codes.USAGE)


def main() -> NoReturn:
    """The entry point. Raises SystemExit with the exit status."""
    app.main(prog_name="keen-client")
