"""Running one program of one peer through one scenario: a fresh sink, a fresh directory, a fresh process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any, Final

from keen_client import KeenClient
from keen_client.verify.probe import TokenProbe
from tests.bench.peers.counting_sink import CountingSink
from tests.bench.peers.programs import KEY, PROJECT
from tests.bench.peers.scenarios import Outcome, Scenario

#: The peer that is this project's own, run by the interpreter that runs the runner.
OWN: Final = "keen_client"
#: A program that has not ended by itself so long after its last call, or after it was told to, is ended.
PROGRAM_SECONDS: Final = 60.0
#: How long requests that a dead program has left behind may still take to be counted.
_REST_SECONDS: Final = 1.0
_PROGRAMS: Final = Path(__file__).with_name("programs.py")
#: The silence that a program keeps at most before its first word; a loaded machine is slow to import.
_START_SECONDS: Final = 120.0


class Program:
    """A process in a session of its own, with whatever it forks."""

    def __init__(self, python: str, plan: dict[str, Any], errors: IO[bytes]) -> None:
        # No KEEN_… or OTEL_… of the developer's shell: all are measured as they come.
        environment = {n: os.environ[n] for n in ("HOME", "LANG", "PATH", "PYTHONPATH") if n in os.environ}
        self._process = subprocess.Popen(
            [python, str(_PROGRAMS), json.dumps(plan)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
            env=environment,
        )

    def hear(self) -> dict[str, Any]:
        """What it tells after its calls.

        Raises:
            RuntimeError: it ended without.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a program ended with {self._process.wait()} before its calls were made")
        told: dict[str, Any] = json.loads(line)
        return told

    def tell_to_end(self) -> None:
        """Let one that stays up flush, close and end."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def ends_within(self, seconds: float) -> bool:
        """Whether it ends by itself; else it is ended, with what it forked."""
        try:
            self._process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            return False
        return True

    def forget(self) -> None:
        """Close the pipes."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


def measure(scenario: Scenario, peer: str, python: str, directory: Path | None = None) -> Outcome:
    """Run *peer* through *scenario*, by the interpreter *python*.

    Raises:
        RuntimeError: the program did not run as it should; its stderr was copied to ours.
    """
    with tempfile.TemporaryDirectory(prefix="peers-", dir=directory) as scratch:
        folder = Path(scratch)
        with CountingSink(scenario.trouble) as sink, (folder / "stderr").open("w+b") as errors:
            try:
                return _measure(scenario, peer, python, sink, folder, errors)
            except RuntimeError:
                errors.seek(0)
                sys.stderr.write(errors.read().decode(errors="replace"))
                raise


def _measure(
    scenario: Scenario, peer: str, python: str, sink: CountingSink, folder: Path, errors: IO[bytes]
) -> Outcome:
    plan = {
        "peer": peer,
        "url": sink.url,
        "folder": str(folder),
        "events": scenario.events,
        "poison": scenario.poison,
        "odd": scenario.odd,
        "forks": scenario.forks,
        "call_seconds": scenario.call_seconds,
        "then": scenario.then,
    }
    if peer == OWN:
        _lay_out(sink.url, folder / "log")
    if scenario.is_refused:
        sink.stop()
    program = Program(python, plan, errors)
    told = program.hear()
    at = told.pop("at")
    if scenario.then == "stay":
        sink.wait_for(scenario.all_of, scenario.patience_seconds)
        program.tell_to_end()
        at = time.perf_counter()
    has_ended = program.ends_within(at + PROGRAM_SECONDS - time.perf_counter())
    exit_seconds = time.perf_counter() - at if has_ended else None
    program.forget()
    if scenario.is_refused:
        sink.start()
    at_exit = at_last = sink.wait_for(scenario.all_of, _REST_SECONDS)
    if scenario.starts_again:
        again = Program(python, {**plan, "events": 0, "forks": False, "then": "close"}, errors)
        again.hear()
        again.ends_within(PROGRAM_SECONDS)
        again.forget()
        at_last = sink.wait_for(scenario.all_of, _REST_SECONDS)
    if at_exit.not_understood or at_last.not_understood:
        raise RuntimeError(f"{peer} says what the sink does not understand")
    return Outcome(
        peer=peer,
        scenario=scenario.key,
        exit_seconds=exit_seconds,
        at_exit=at_exit,
        at_last=at_last,
        dead_letters=_dead_letters(sink.url, folder / "log") if peer == OWN else (),
        **told,
    )


def _lay_out(url: str, log: Path) -> None:
    """Make the log and have the server probed for tokens, which the first nightly job of a log does by itself."""
    with KeenClient(PROJECT, KEY, KEY, base_url=url, log=log, background=False) as client:
        machinery = client._core.need_machinery()
        probe = TokenProbe(machinery.log.state, machinery.api, machinery.clock, machinery.randomness)
        probe.send(ready_after_ms=0)
        if not probe.read():
            raise RuntimeError("the sink does not honour tokens")


def _dead_letters(url: str, log: Path) -> tuple[str, ...]:
    """What `keen-client dead list` shows: the server's name for each refusal."""
    done = subprocess.run(
        [sys.executable, "-m", "keen_client", "dead", "list", "--json"],
        env={
            "PATH": os.environ["PATH"],
            "KEEN_PROJECT_ID": PROJECT,
            "KEEN_BASE_URL": url,
            "KEEN_LOG": str(log),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return tuple(letter["name"] for letter in json.loads(done.stdout)["dead_letters"])
