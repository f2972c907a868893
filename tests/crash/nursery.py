"""A process that has everything imported and forks one child after another: a life costs no start of Python.

Run as a module it is the nursery; :class:`Nursery` is who asks it. Each child is a process of its own, without
threads, connections or locks of anybody else, and ends as it likes, also by SIGKILL.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any, Final

ROOT: Final = str(Path(__file__).parents[2])
#: More than any child needs.
HANGS_SECONDS: Final = 120


class Nursery:
    """Lives in a process of their own, one at a time; with *shim* under each of them."""

    def __init__(self, shim: Path | None = None) -> None:
        environment = {**os.environ, "PYTHONPATH": ROOT}
        if shim is not None:
            environment["LD_PRELOAD"] = str(shim)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.nursery"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def live(self, function: str, lines: Path, **arguments: Any) -> int:
        """Call *function* (``module:name``) in a child, what it prints added to *lines*; its exit status.

        It is the negative number of a signal that ended it.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"function": function, "lines": str(lines), "arguments": arguments}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the nursery is gone"
        return int(answer)

    def end(self) -> None:
        """End the nursery."""
        self._process.communicate(timeout=HANGS_SECONDS)


def _child(order: dict[str, Any]) -> int:
    """What a forked child does; its exit status."""
    descriptor = os.open(order["lines"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    signal.alarm(HANGS_SECONDS)
    try:
        module, name = order["function"].split(":")
        getattr(importlib.import_module(module), name)(**order["arguments"])
    except BaseException:  # noqa: BLE001 — a child never returns to the nursery's loop
        traceback.print_exc()
        return 1
    return 0


def main() -> None:
    """Fork a child for each line of standard input, and say how it ended."""
    for module in ("keen_client", "keen_client.client.sync_client", "keen_client.eventlog.migrations"):
        importlib.import_module(module)
    importlib.import_module("tests.crash.points")
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            # No handler, no buffer: what is not in the log by now is lost, as with any other end.
            os._exit(_child(json.loads(line)))
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
