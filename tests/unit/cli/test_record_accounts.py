"""However ``record`` ends, it says which lines are dealt with, and never to record again what is in the log."""

from __future__ import annotations

import importlib
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result

from keen_client.cli import app as frame
from keen_client.cli import exit_codes, ndjson
from keen_client.cli.signals import Interruptions, TerminatedError
from keen_client.cli.streams import OutputLostError
from keen_client.errors import EventLogFullError, RecordOutcomeUnknownError
from keen_client.eventlog.log import EventLog
from keen_client.events.encoding import EncodedEvent

RECORD = importlib.import_module("keen_client.cli.record")
LINES = '{"n":1}\n{"n":2}\n{"n":3}\n{"n":4}\n{"n":5}\n'
Commit = Callable[[EventLog, Sequence[EncodedEvent]], object]


def record(tmp_path: Path, *options: str, lines: str = LINES) -> Result:
    arguments = ["record", "things", "--project-id", "p", "--log", str(tmp_path / "log"), *options]
    return CliRunner().invoke(frame.app, arguments, input=lines)


def recorded(tmp_path: Path) -> int:
    shown = CliRunner().invoke(frame.app, ["status", "--json", "--log", str(tmp_path / "log")])
    return int(orjson.loads(shown.stdout)["pending"])


@pytest.fixture
def second_commit(monkeypatch: pytest.MonkeyPatch) -> Callable[[Commit], None]:
    """Puts something in the place of the second transaction; each is of two events."""
    monkeypatch.setattr(ndjson, "EVENTS_PER_TRANSACTION", 2)
    real, calls = EventLog.record_all, iter(range(100))

    def put(instead: Commit) -> None:
        def commit(log: EventLog, events: Sequence[EncodedEvent]) -> object:
            return instead(log, events) if next(calls) == 1 else real(log, events)

        monkeypatch.setattr(EventLog, "record_all", commit)

    return put


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["lines", "document"])
def test_a_summary_that_stdout_refuses_goes_to_stderr_and_nothing_is_to_be_run_again(
    form: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All is in the log: told to run it again, a user would bill every event twice."""

    def refuse(_text: object) -> None:
        raise OutputLostError(28, "No space left on device")

    monkeypatch.setattr(RECORD, "say", refuse)
    monkeypatch.setattr(RECORD, "emit", refuse)
    result = record(tmp_path, *form)
    assert result.exit_code == exit_codes.ERROR
    assert "recorded 5 events in things, refused 0" in result.stderr
    told = result.stdout + result.stderr
    assert "all 5 lines are dealt with" in told
    assert "do not run it again" in told
    assert "run the command again" not in told
    assert recorded(tmp_path) == 5


def test_a_summary_for_a_reader_who_has_gone_goes_to_stderr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit status is that of a closed pipe, as ever; how much was recorded is told all the same."""

    def gone(_text: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(RECORD, "say", gone)
    result = record(tmp_path)
    assert result.exit_code == exit_codes.PIPE_CLOSED
    assert result.stderr == "recorded 5 events in things, refused 0\n"


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (EventLogFullError("the disk is full", "free space"), "free space; then"),
        (OSError(5, "Input/output error"), "correct that; then"),
        (ZeroDivisionError("a bug"), "report it: KEEN_DEBUG=1 shows the traceback; then"),
    ],
    ids=["log", "os", "bug"],
)
def test_an_error_half_way_says_what_is_left_to_record(
    error: Exception, hint: str, tmp_path: Path, second_commit: Callable[[Commit], None]
) -> None:
    """The lines before it are in the log; the hint records the others, and only them."""

    def fail(_log: EventLog, _events: Sequence[EncodedEvent]) -> object:
        raise error

    second_commit(fail)
    document = orjson.loads(record(tmp_path, "--json").stdout)
    assert document["error"]["message"].endswith("; lines up to 2 are dealt with")
    assert document["error"]["hint"] == f"{hint} record only what is left: `tail -n +3` prints it"
    assert recorded(tmp_path) == 2


def test_lines_in_doubt_are_named_and_not_to_be_recorded_again_unseen(
    tmp_path: Path, second_commit: Callable[[Commit], None]
) -> None:
    """Where nobody knows whether a transaction is in the log, its lines are told, and no hint to repeat them."""

    def fail(_log: EventLog, _events: Sequence[EncodedEvent]) -> object:
        raise RecordOutcomeUnknownError("it may or may not be in the log", "run `keen-client doctor`")

    second_commit(fail)
    hint = orjson.loads(record(tmp_path, "--json").stdout)["error"]["hint"]
    assert "lines 3 to 4 are those in doubt" in hint
    assert "tail" not in hint


@pytest.mark.parametrize(
    ("number", "word", "status"),
    [
        (signal.SIGTERM, "terminated", exit_codes.TERMINATED),
        (signal.SIGINT, "interrupted", exit_codes.INTERRUPTED),
    ],
)
def test_a_signal_in_mid_commit_waits_for_it_and_says_how_far_it_came(
    number: int, word: str, status: int, tmp_path: Path, second_commit: Callable[[Commit], None]
) -> None:
    """The commit is made and counted: what is said to be dealt with is what is in the log, no more and no less."""
    real = EventLog.record_all

    def disturbed(log: EventLog, events: Sequence[EncodedEvent]) -> object:
        os.kill(os.getpid(), number)
        return real(log, events)

    second_commit(disturbed)
    result = record(tmp_path, "--json")
    assert result.exit_code == status
    assert f"{word}: lines up to 4 are dealt with, 4 events recorded\n" in result.stderr
    assert "`tail -n +5` prints it" in result.stderr
    assert orjson.loads(result.stdout)["error"]["code"] == word
    assert recorded(tmp_path) == 4


def test_a_signal_elsewhere_raises_where_the_command_is() -> None:
    """A read that waits for its producer does not hold SIGTERM up; afterwards the handlers are those of before."""
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(TerminatedError), Interruptions().raised():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_is_ignored_stays_ignored() -> None:
    """A job in the background of a script ignores Ctrl-C, and still does."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interruptions().raised():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_document_names_the_lines_that_were_refused(tmp_path: Path) -> None:
    """By number and reason, so that a program can mend and record them; never more than its bound, all counted."""
    bad = "nonsense\n[1]\n" + '{"n":1}\n' + "null\n" * 200
    document = orjson.loads(record(tmp_path, "--json", lines=bad).stdout)
    assert (document["recorded"], document["refused"]) == (1, 202)
    assert [refusal["line"] for refusal in document["refusals"]] == [1, 2, *range(4, 102)]
    assert document["refusals"][1] == {"line": 2, "message": "not a JSON object but a list"}
    assert document["refusals"][0]["message"].startswith("not JSON: ")
