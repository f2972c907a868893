"""Standard streams that are closed, full or gone: one line where there is still a place for it, and no traceback."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from keen_client.cli import exit_codes
from keen_client.cli import streams as streams_module
from keen_client.cli.streams import OutputLostError, guard_streams


def shell(script: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """*script* under sh, in which ``$K`` is the command line; ``$LOG`` is a log that is not there yet."""
    return subprocess.run(
        ["/bin/sh", "-c", f"K='{sys.executable} -m keen_client'\n{script}"],
        env={**os.environ, "KEEN_PROJECT_ID": "p", "KEEN_LOG": str(tmp_path / "log")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("call", ["$K status --json >&-", "$K --help >&-"])
def test_closed_stdout_is_one_error_and_no_traceback(call: str, tmp_path: Path) -> None:
    """What cannot be printed is told on stderr in two lines, with exit 1, also where a document was asked for."""
    done = shell(call, tmp_path)
    assert done.returncode == exit_codes.ERROR
    told = [
        line for line in done.stderr.splitlines() if not line.startswith(("warning: ", "hint: the first"))
    ]
    assert told == [
        "error: stdout did not take what was printed: it is closed; what the command did before stands",
        "hint: let its output go where it can be written",
    ]


def test_full_stdout_is_one_error_and_no_traceback(tmp_path: Path) -> None:
    """An error that cannot be printed as a document is printed as lines; its exit status stays."""
    done = shell("ulimit -f 0; $K status --json --preset hasty > out", tmp_path)
    assert done.returncode == exit_codes.USAGE
    assert done.stderr.startswith("error: Invalid value for '--preset'")
    assert len(done.stderr.splitlines()) == 2
    done = shell("ulimit -f 0; $K status --json > out", tmp_path)
    assert done.returncode == exit_codes.ERROR
    assert "error: stdout did not take what was printed: File too large" in done.stderr
    assert "Traceback" not in done.stderr


def test_closed_stderr_costs_nothing_but_what_would_stand_there(tmp_path: Path) -> None:
    """The document comes, with its exit status; the warning that there is no log goes nowhere."""
    done = shell("$K status --json 2>&-", tmp_path)
    assert done.returncode == exit_codes.OK
    assert orjson.loads(done.stdout)["exists"] is False


def test_what_stdout_refuses_is_told_from_what_other_files_refuse() -> None:
    """A full stdout is an OutputLostError, a closed pipe is a BrokenPipeError, and both are OSErrors."""
    closed = os.open(os.devnull, os.O_RDONLY)
    reading, writing = os.pipe()
    os.close(reading)
    with streams_module._Stdout(closed, "w") as stdout, pytest.raises(OutputLostError, match="it is closed"):
        stdout.write(b"x")
    with streams_module._Stdout(writing, "w") as stdout, pytest.raises(BrokenPipeError):
        stdout.write(b"x")


def test_what_stderr_refuses_is_dropped() -> None:
    """No diagnostic stops the work that it is about."""
    with streams_module._Stderr(os.open(os.devnull, os.O_RDONLY), "w") as lost:
        assert lost.write(b"four") == 4


def test_streams_of_others_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test or an embedding program put in the place of stdout and stderr stays there, and takes every character."""
    stand_in = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stand_in)
    monkeypatch.setattr(sys, "stderr", stand_in)
    guard_streams()
    assert sys.stdout is sys.stderr is stand_in
    stand_in.write("é\n")
    stand_in.flush()
    assert stand_in.buffer.getvalue() == b"\\xe9\n"
