"""What is printed: one line, one document, and nothing that a terminal obeys."""

from __future__ import annotations

import errno
import json

import click
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keen_client.cli import exit_codes
from keen_client.cli.output import code_of, describe, emit, error_form, json_line, note, say, show_error
from keen_client.errors import (
    AuthenticationError,
    ConfigurationError,
    EventLogError,
    InvalidEnvironmentError,
    InvalidEventError,
    KeenError,
    MissingExtraError,
    NightlyLockedError,
    RateLimitedError,
    ServerError,
)

ESCAPES = "\x1b[31mred\x07 \x9b2J \u202egnp.exe\u2028line"


def test_lines_hold_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    """Escapes, bells, C1 controls, bidirectional overrides and line breaks are shown, not obeyed."""
    say(ESCAPES + "\nsecond")
    note(ESCAPES)
    printed = capsys.readouterr()
    assert printed.out.endswith("\n")
    assert printed.out[:-1].isprintable()
    assert printed.err[:-1].isprintable()
    assert "\\x1b[31mred" in printed.out


@given(st.text())
def test_json_says_the_same_and_harms_no_terminal(text: str) -> None:
    """A document read back is the value that was given, and no character of it moves the cursor or turns the line."""
    line = json_line({"text": text})
    assert json.loads(line) == {"text": text}
    assert not set(line.decode()[:-1]) & set(map(chr, (*range(0x20), *range(0x7F, 0xA0), 0x202E, 0x2028)))


def test_json_survives_a_file_name_that_is_no_utf8() -> None:
    """A lone surrogate, which strict JSON writers refuse, becomes an escape."""
    assert json.loads(json_line({"file": "a\udcff"})) == {"file": "a\udcff"}


def test_a_document_begins_with_its_schema(capsys: pytest.CaptureFixture[str]) -> None:
    """Every document carries "schema": 1."""
    emit({"recorded": 3})
    assert capsys.readouterr().out == '{"schema":1,"recorded":3}\n'


def test_an_error_is_one_line_and_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    """Without JSON stdout stays empty; stderr has what went wrong and what to do."""
    show_error(KeenError("it \x1bfailed\nbadly", "do that"), "lines")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "error: it \\x1bfailed\\nbadly\nhint: do that\n"


def test_an_error_is_a_document_when_json_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """With JSON the error is data: code, message and hint on stdout, nothing on stderr."""
    show_error(KeenError("it failed"), "document")
    printed = capsys.readouterr()
    assert orjson.loads(printed.out) == {
        "schema": 1,
        "error": {"code": "keen_error", "message": "it failed", "hint": None},
        "exit": exit_codes.ERROR,
    }
    assert printed.err == ""


@pytest.mark.parametrize(
    "error",
    [
        KeenError("it failed", "do that"),
        click.UsageError("no such option"),
        NightlyLockedError("busy", "wait"),
        AuthenticationError("the server answered 401", status=401),
        ServerError("the server answered 503", status=503),
        OSError(errno.ENOSPC, "No space left on device"),
        ZeroDivisionError("a bug"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_is_one_row_when_rows_were_asked_for(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --ndjson a reader of lines gets one line with its type, and in it what --json says, the exit status too."""
    show_error(error, "row")
    (line,) = capsys.readouterr().out.splitlines()
    show_error(error, "document")
    row, document = orjson.loads(line), orjson.loads(capsys.readouterr().out)
    assert row.pop("type") == "error"
    assert row == document
    assert row["exit"] == code_of(error)
    assert row["error"]["code"] == describe(error)[0]


@pytest.mark.parametrize(
    ("arguments", "form"),
    [
        (["verify"], "lines"),
        (["verify", "--json"], "document"),
        (["verify", "--ndjson", "--frobnicate"], "row"),
        (["verify", "--json", "--ndjson"], "document"),
        (["query", "count", "--format", "json", "--frobnicate"], "document"),
        (["query", "count", "--format=json"], "document"),
        (["query", "count", "--format", "ndjson"], "lines"),
        (["record", "things", "--", "--ndjson"], "lines"),
    ],
)
def test_errors_have_the_form_of_the_data_that_was_asked_for(arguments: list[str], form: str) -> None:
    """Also where the arguments cannot be parsed; what stands behind -- is no option."""
    assert error_form(arguments) == form


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeenError("x"), exit_codes.ERROR),
        (EventLogError("x"), exit_codes.ERROR),
        (RateLimitedError("x"), exit_codes.ERROR),
        (MissingExtraError("x"), exit_codes.ERROR),
        (OSError(errno.ENOSPC, "No space left on device"), exit_codes.ERROR),
        (ValueError("x"), exit_codes.ERROR),
        (ConfigurationError("x"), exit_codes.USAGE),
        (InvalidEnvironmentError("x"), exit_codes.USAGE),
        (InvalidEventError("x"), exit_codes.USAGE),
        (click.UsageError("x"), exit_codes.USAGE),
        (NightlyLockedError("x"), exit_codes.LOCKED),
    ],
)
def test_the_exit_status_tells_the_kind_of_error(error: Exception, status: int) -> None:
    """1 for a failure, 2 for misuse, 75 for a lock that another job holds."""
    assert code_of(error) == status


def test_an_error_nobody_foresaw_quotes_nothing() -> None:
    """Its words may hold a piece of an event or a key, so only its type is named."""
    code, message, hint = describe(ValueError("secret-content"))
    assert code == "unexpected"
    assert "ValueError" in message
    assert "secret-content" not in f"{message} {hint}"


def test_an_operating_system_error_names_its_file() -> None:
    """The reason and the file stand in the message."""
    _, message, _ = describe(PermissionError(errno.EACCES, "Permission denied", "some/file"))
    assert "Permission denied" in message
    assert "some/file" in message
