"""The recipes of the nightly job, run as cron and systemd would: silent, but for the nights that its table names."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest

PAGE = "docs/how_to/run_nightly.md"
#: What a job gets from cron, and no more.
CRON = {"PATH": "/usr/bin:/bin", "LANG": "C"}
Night = Callable[..., "subprocess.CompletedProcess[str]"]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def night(page: Callable[[str], Any], tmp_path: Path) -> Night:
    """Runs the page's line of cron, with the page's script, for a night in which the job ends with that status."""
    script, _, cron = blocks(page(PAGE).text, "sh")
    line = cron.splitlines()[-1].split(maxsplit=5)[5]
    job, settings, state = (
        tmp_path / "venv" / "bin" / "keen-client",
        tmp_path / "environment",
        tmp_path / "state",
    )
    job.parent.mkdir(parents=True)
    state.mkdir()
    settings.write_text("KEEN_PROJECT_ID=of-the-file\n", encoding="utf-8")
    nightly = tmp_path / "keen-nightly"
    places = {
        "/srv/app/.venv/bin/keen-client": job,
        "/srv/app/keen-nightly": nightly,
        "/etc/keen/environment": settings,
        "/var/lib/keen": state,
    }

    def placed(text: str) -> str:
        for before, after in places.items():
            assert before in script + line
            text = text.replace(before, str(after))
        return text

    nightly.write_text(placed(script), encoding="utf-8")
    nightly.chmod(0o755)

    def run(status: int, differing: int = 0) -> subprocess.CompletedProcess[str]:
        document = orjson.dumps({"after": {"summary": {"not_due_differing": differing}}}).decode()
        job.write_text(
            f'#!/bin/sh\n[ "$KEEN_PROJECT_ID $*" = "of-the-file nightly --json" ] || exit 99\n'
            f"echo '{document}'; echo said by the job >&2; exit {status}\n",
            encoding="utf-8",
        )
        job.chmod(0o755)
        return subprocess.run(
            ["/bin/sh", "-c", placed(line)],
            env=CRON,
            cwd="/",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def silent(night: Night, statuses: Iterable[int]) -> list[bool]:
    return [not (done := night(status)).stdout + done.stderr for status in statuses]


def test_a_good_night_and_a_second_job_wake_nobody(night: Night) -> None:
    """Neither 0 nor 75 ever prints anything, however often."""
    assert silent(night, [0, 75, 75, 75, 75, 75, 0]) == [True] * 7


def test_what_lasts_for_four_nights_wakes_somebody_in_the_fourth(night: Night) -> None:
    """Bits 4, 8, 32 and 64 are normal in the first nights; a good night begins the count anew."""
    assert silent(night, [32, 4, 64, 0, 4, 36, 8, 96, 4]) == [True] * 7 + [False] * 2


def test_a_second_job_that_knows_of_a_loss_clears_no_alarm(night: Night) -> None:
    """It ends with 0, as nothing is due, and wakes nobody; the nights that were not good are counted on after it."""
    assert silent(night, [4, 4, 4]) == [True] * 3
    assert night(0, differing=1).stdout == ""
    assert "nights in a row that were not good: 4" in night(4).stdout
    assert silent(night, [0, 4]) == [True] * 2


@pytest.mark.parametrize("status", [1, 2, 16, 20, 48, 124, 127, 137])
def test_what_is_to_be_seen_to_wakes_somebody_at_once(night: Night, status: int) -> None:
    """Errors, bit 16 in any company, a job that is not there or was killed: told with the status and the job's words."""
    done = night(status)
    assert f"exit {status};" in done.stdout
    assert "said by the job" in done.stdout


def test_cron_itself_tells_that_the_script_is_gone(night: Night, tmp_path: Path) -> None:
    """Nothing swallows the shell's own words."""
    night(0)
    (tmp_path / "keen-nightly").unlink()
    script_gone = night(0)
    assert "keen nightly: exit 127" in script_gone.stdout
    assert "not found" in script_gone.stderr


def test_units_name_programs_by_absolute_paths(page: Callable[[str], Any]) -> None:
    """On every page: neither systemd nor cron has the PATH of a shell in which the virtual environment is active."""
    found = []
    for name in (PAGE, "docs/how_to/send_from_another_process.md"):
        found += re.findall(r"^ExecStart=(\S+)", page(name).text, flags=re.MULTILINE)
    assert len(found) >= 3
    assert all(program.startswith("/") for program in found)


def test_the_settings_of_a_unit_are_lines_without_export(page: Callable[[str], Any]) -> None:
    """What systemd reads is NAME=value; a line that begins with export it skips."""
    settings = blocks(page(PAGE).text, "sh")[1]
    assert all(re.fullmatch(r"KEEN_[A-Z_]+=\S+", line) for line in settings.splitlines())


def test_the_statuses_that_systemd_is_told_to_excuse_are_those_without_bit_16(
    page: Callable[[str], Any],
) -> None:
    """Every sum of the bits 4, 8, 32 and 64, and 75: no more, no less."""
    listed = re.search(r"SuccessExitStatus=([\d ]+)", page(PAGE).text)
    assert listed is not None
    sums = {a + b + c + d for a in (0, 4) for b in (0, 8) for c in (0, 32) for d in (0, 64)} - {0}
    assert {int(status) for status in listed[1].split()} == sums | {75}
