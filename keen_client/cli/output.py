"""What the command line prints: data to stdout, everything else to stderr.

Text that came from events, from the server or from the caller may hold control
characters that a terminal would obey; nothing leaves here with one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, Literal

import click
import orjson

from keen_client.cli import exit_codes
from keen_client.cli.streams import OutputLostError
from keen_client.errors import KeenError, NightlyLockedError, UsageError
from keen_client.report.printable import printable

SCHEMA: Final = 1

#: Errors as lines on stderr, as the one document of ``--json``, or as a row of ``--ndjson``.
ErrorForm = Literal["lines", "document", "row"]

#: What JSON may hold as it is, though a terminal obeys it or shows a line in another order.
_UNSAFE_IN_JSON: Final = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def json_line(value: Any) -> bytes:
    """*value* as one line of JSON, in UTF-8, without characters that a terminal obeys."""
    try:
        text = orjson.dumps(value).decode()
    except (TypeError, UnicodeError):  # a lone surrogate, of a file name that is no UTF-8
        text = json.dumps(value, separators=(",", ":"))
    return _UNSAFE_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode() + b"\n"


def emit(fields: Mapping[str, Any]) -> None:
    """Print the one document of a command that was asked for JSON."""
    click.echo(json_line({"schema": SCHEMA, **fields}), nl=False)


def say(text: object = "") -> None:
    """Print one line of data to stdout."""
    click.echo(printable(text))


def note(text: object) -> None:
    """Print one line to stderr."""
    click.echo(printable(text), err=True)


class AccountedError(Exception):
    """An error that ended a command which knows what it has done until then, and what is left to do.

    ``account`` follows the words of *error*, and *hint* stands in the place of its own.
    """

    def __init__(self, error: Exception, account: str, hint: str | None) -> None:
        super().__init__(account)
        self.error: Final = error
        self.account: Final = account
        self.hint: Final = hint


def code_of(error: BaseException) -> int:
    """The exit status for an error that ended a command."""
    if isinstance(error, AccountedError):
        return code_of(error.error)
    if isinstance(error, UsageError):
        return exit_codes.USAGE
    if isinstance(error, NightlyLockedError):
        return exit_codes.LOCKED
    if isinstance(error, click.ClickException):
        return error.exit_code
    return exit_codes.ERROR


def error_form(arguments: Sequence[str]) -> ErrorForm:
    """In which form *arguments* ask for errors, even where they cannot be parsed: that of the data they ask for."""
    options = arguments[: arguments.index("--") if "--" in arguments else None]
    if {"--json", "--format=json"} & set(options) or ("--format", "json") in pairwise(options):
        return "document"
    return "row" if "--ndjson" in options else "lines"


def show_error(error: BaseException, form: ErrorForm) -> None:
    """Say what went wrong and what to do: in a line each on stderr, or as data on stdout."""
    code, message, hint = describe(error)
    if form != "lines":
        _emit_error(code, message, hint, code_of(error), form)
        return
    note(f"error: {message}")
    if hint:
        note(f"hint: {hint}")


def show_end(code: str, status: int, form: ErrorForm) -> None:
    """Say as data that somebody ended the command; a terminal shows that by itself."""
    if form != "lines":
        _emit_error(code, code, None, status, form)


def _emit_error(code: str, message: str, hint: str | None, status: int, form: ErrorForm) -> None:
    fields = {"error": {"code": code, "message": message, "hint": hint}, "exit": status}
    emit({"type": "error", **fields} if form == "row" else fields)


def describe(error: BaseException) -> tuple[str, str, str | None]:
    """(code, message, hint) of an error. The words of an error nobody foresaw are left out: they may quote an event."""
    if isinstance(error, AccountedError):
        code, message, _ = describe(error.error)
        return code, f"{message}; {error.account}", error.hint
    if isinstance(error, KeenError):
        return error.code, error.message, error.hint
    if isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx is not None else "keen-client"
        words = " ".join(error.format_message().split())  # click lists choices a line each
        return "usage", words.rstrip("."), f"see `{path} --help`"
    if isinstance(error, click.ClickException):
        return "error", error.format_message().rstrip("."), None
    if isinstance(error, OutputLostError):
        return (
            "os",
            f"stdout did not take what was printed: {error.strerror}; what the command did before stands",
            "let its output go where it can be written",
        )
    if isinstance(error, OSError):
        named = f" ({error.filename})" if error.filename is not None else ""
        reason = error.strerror or type(error).__name__
        return (
            "os",
            f"the operating system refused: {reason}{named}; what was recorded before is in the log",
            "correct that and run the command again",
        )
    return (
        "unexpected",
        f"unexpected {type(error).__name__}; what was recorded before is in the log",
        "run it again with KEEN_DEBUG=1 to see the traceback, and report it",
    )
