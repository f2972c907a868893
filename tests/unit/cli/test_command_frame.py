"""The frame around every command: help, errors as line or document, exit statuses, no key on the command line."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import orjson
import pytest
from click.testing import CliRunner, Result

from keen_client.cli import app as frame
from keen_client.cli import exit_codes
from keen_client.errors import KeenError, NightlyLockedError


def invoke(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(frame.app, list(arguments), env=environment)


def _commands(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from _commands(found, (*path, name))


ALL = [(path, command) for path, command in _commands(frame.app) if path]


@pytest.mark.parametrize(("path", "command"), ALL, ids=[" ".join(path) for path, _ in ALL])
def test_every_command_and_option_has_help(path: tuple[str, ...], command: click.Command) -> None:
    """Whoever asks for help gets it, for the command and for each of its options."""
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{' '.join(path)} {parameter.opts[0]}"
    result = invoke(*path, "--help")
    assert result.exit_code == exit_codes.OK
    assert "Usage:" in result.stdout


@pytest.mark.parametrize(("path", "command"), ALL, ids=[" ".join(path) for path, _ in ALL])
def test_no_option_takes_a_key(path: tuple[str, ...], command: click.Command) -> None:
    """Secrets on a command line are seen by every user of the machine; the name of a file that holds one is none."""
    secrets = [parameter for parameter in command.params if not isinstance(parameter.type, click.Path)]
    names = {name for parameter in secrets for name in parameter.opts}
    assert not {name for name in names if "key" in name or "secret" in name or "token" in name}


@pytest.mark.parametrize(("path", "command"), ALL, ids=[" ".join(path) for path, _ in ALL])
def test_an_unknown_option_is_a_usage_error_in_every_command(
    path: tuple[str, ...], command: click.Command
) -> None:
    """Exit 2, one line and a hint on stderr, nothing on stdout; with --json the same as a document."""
    result = invoke(*path, "--frobnicate")
    assert result.exit_code == exit_codes.USAGE
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 2
    document = orjson.loads(invoke(*path, "--json", "--frobnicate").stdout)
    assert document["schema"] == 1
    assert document["error"]["code"] == "usage"
    assert set(document["error"]) == {"code", "message", "hint"}


def test_commands_are_those_whose_modules_exist() -> None:
    """The list of commands and the folder say the same."""
    for name in frame.COMMANDS:
        assert isinstance(getattr(importlib.import_module(f"keen_client.cli.{name}"), name), click.Command)


def test_without_a_command_there_is_help_and_an_error() -> None:
    """Nothing was asked for: that is a usage error, and the help says what could be."""
    result = invoke()
    assert result.exit_code == exit_codes.USAGE
    assert "demo" in result.stderr
    assert result.stdout == ""


def test_an_unknown_command_is_a_usage_error() -> None:
    """Exit 2, and no list of Python modules."""
    result = invoke("frobnicate")
    assert result.exit_code == exit_codes.USAGE
    assert "frobnicate" in result.stderr


def _replace(monkeypatch: pytest.MonkeyPatch, body: Callable[[], object]) -> None:
    @click.command()
    @click.option("--json", "as_json", is_flag=True)
    @click.option("--ndjson", is_flag=True)
    def stand_in(as_json: bool, ndjson: bool) -> object:
        return body()

    monkeypatch.setattr(frame.KeenGroup, "get_command", lambda self, ctx, name: stand_in)


def _raise(error: BaseException) -> Callable[[], object]:
    def body() -> object:
        raise error

    return body


def test_the_result_of_a_command_is_the_exit_status(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bits that a command returns reach the shell."""
    _replace(monkeypatch, lambda: 124)
    assert invoke("status").exit_code == 124


@pytest.mark.parametrize("form", [None, "--json", "--ndjson"])
@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeenError("it failed", "try this"), exit_codes.ERROR),
        (NightlyLockedError("busy"), exit_codes.LOCKED),
        (OSError(28, "No space left on device"), exit_codes.ERROR),
        (ZeroDivisionError("a bug"), exit_codes.ERROR),
        (KeyboardInterrupt(), exit_codes.INTERRUPTED),
    ],
)
def test_no_end_of_a_command_shows_a_traceback(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int, form: str | None
) -> None:
    """Whatever is raised, there is a status; with --json and --ndjson exactly one line on stdout, which has it too."""
    _replace(monkeypatch, _raise(error))
    result = invoke("status", *([form] if form else []))
    assert result.exit_code == status
    assert "Traceback" not in result.output
    if form:
        document = orjson.loads(result.stdout)
        assert (document["schema"], document["exit"]) == (1, status)
        assert set(document["error"]) == {"code", "message", "hint"}
    else:
        assert result.stdout == ""


def test_the_traceback_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """KEEN_DEBUG shows where an error came from, on stderr."""
    _replace(monkeypatch, _raise(ZeroDivisionError("a bug")))
    result = invoke("status", KEEN_DEBUG="1")
    assert "ZeroDivisionError" in result.stderr
    assert "Traceback" in result.stderr
    assert result.stdout == ""


def test_a_hint_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the traceback is asked for, which would end with it too."""
    for debug in ("", "1"):
        _replace(monkeypatch, _raise(KeenError("what happened", "what to do")))
        assert invoke("status", KEEN_DEBUG=debug).stderr.count("what to do") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify",),
        ("verify", "--start", "2026-10-01"),
        ("verify", "--start", "2026-10-01T00:00:00", "--end", "2026-10-02"),
        ("verify", "--start", "2026-10-01", "--end", "2026-10-02", "--window", "2h"),
        ("verify", "--start", "2026-10-01", "--end", "2026-10-02", "--settle", "soon"),
        ("replay", "--start", "2026-10-01", "--end", "2026-10-02", "--max-replay", "-1"),
        ("nightly", "--start", "2026-10-01"),
        ("nightly", "--preset", "hasty"),
        ("record",),
        ("record", "things", "no-such-file"),
        ("record", "", "-"),
        ("record", "$things", "-"),
        ("send", "--timeout", "never"),
        ("serve", "--port", "70000"),
        ("serve", "--fault", "lose=2"),
        ("serve", "--fault", "nonsense"),
        ("serve", "--tls-cert", "no-such-file", "--tls-key", "no-such-file"),
        ("serve", "--tls-cert", "cert-without-a-key"),
        ("demo", "--events", "0"),
        ("demo", "--fault", "lose"),
        ("demo", "--fault", "delay=0.1:2h"),
        ("dead", "show", "not-an-id", "--log", "somewhere"),
        ("dead", "drop", "--log", "somewhere"),
        ("status",),
        ("send",),
        ("dead", "list"),
    ],
    ids=" ".join,
)
def test_bad_input_is_one_line_and_exit_2(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """Misuse and missing settings end before anything is recorded, read or sent."""
    result = CliRunner().invoke(frame.app, list(arguments), input='{"a":1}\n')
    assert result.exit_code == exit_codes.USAGE, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 2


def test_windows_off_their_boundaries_are_a_usage_error(tmp_path: Path) -> None:
    """--start and --end lie on boundaries of the windows; where they do not, the nearest are named."""
    environment = {"KEEN_PROJECT_ID": "p", "KEEN_READ_KEY": "r", "KEEN_LOG": str(tmp_path / "log")}
    assert (
        CliRunner().invoke(frame.app, ["record", "things"], input='{"a":1}\n', env=environment).exit_code == 0
    )
    result = invoke(
        "verify", "--start", "2026-10-01T00:30:00Z", "--end", "2026-10-02", "--json", **environment
    )
    assert result.exit_code == exit_codes.USAGE
    assert "boundary" in orjson.loads(result.stdout)["error"]["message"]


def test_a_log_of_another_project_is_refused(tmp_path: Path) -> None:
    """What belongs to one project is never shown or sent as another's; the error names both."""
    log = str(tmp_path / "log")
    made = CliRunner().invoke(
        frame.app, ["record", "things", "--project-id", "one", "--log", log], input='{"a":1}\n'
    )
    assert made.exit_code == 0
    result = invoke("status", "--project-id", "two", "--log", log, "--json")
    error = orjson.loads(result.stdout)["error"]
    assert error["code"] == "log_bound_elsewhere"
    assert "one" in error["message"]
    assert "two" in error["message"]


def test_switched_off_recording_checks_and_keeps_nothing(tmp_path: Path) -> None:
    """With KEEN_DISABLED every line is validated and none is recorded."""
    result = CliRunner().invoke(
        frame.app,
        ["record", "things", "--json", "--log", str(tmp_path / "log")],
        input='{"a":1}\nnonsense\n',
        env={"KEEN_DISABLED": "1"},
    )
    document = orjson.loads(result.stdout)
    assert (document["schema"], document["recorded"], document["refused"]) == (1, 0, 1)
    assert [refusal["line"] for refusal in document["refusals"]] == [2]
    assert result.exit_code == exit_codes.ERROR
    assert not (tmp_path / "log").exists()


def test_a_missing_argument_is_told_in_one_line_without_escapes() -> None:
    """Its choices stand in a row, as a person reads them."""
    first = invoke("query").stderr.splitlines()[0]
    assert first.startswith("error: Missing argument 'ANALYSIS'. Choose from: average, count, count_unique, ")
    assert "\\" not in first


def test_a_log_in_the_home_of_nobody_is_a_configuration_error() -> None:
    """Also where only the log is named, and no project."""
    result = invoke("status", "--log", "~there-is-no-such-user/log", KEEN_PROJECT_ID="")
    assert result.exit_code == exit_codes.USAGE
    assert "names no directory" in result.stderr
