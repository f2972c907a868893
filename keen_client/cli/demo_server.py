"""A local server in a process of its own: started, told to misbehave, asked for its counters, stopped."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import orjson

from keen_client.errors import KeenError, MissingExtraError, UsageError

_STOP_SECONDS: Final = 10.0
_CONTROL_SECONDS: Final = 30.0
_ERRORS: Final[Mapping[str, type[KeenError]]] = {"missing_extra": MissingExtraError, "usage": UsageError}


class ServerProcess:
    """``keen-client serve`` as a child; it ends with the ``with`` block. Its keys are made up for it."""

    def __init__(self, faults: Sequence[str] = (), seed: int | None = None, data: Path | None = None) -> None:
        options = [option for fault in faults for option in ("--fault", fault)]
        if seed is not None:
            options += ["--seed", str(seed)]
        if data is not None:
            options += ["--data", str(data)]
        self._command = [sys.executable, "-m", "keen_client", "serve", "--json", *options]
        self._process: subprocess.Popen[bytes] | None = None
        self._ready: dict[str, str] = {}

    def __enter__(self) -> Self:
        """Start it and wait until it answers.

        Raises:
            MissingExtraError, UsageError, KeenError: it did not start, for the reason it gave.
        """
        # Not the caller's project, whose keys may lie in the environment.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("KEEN_")}
        self._process = subprocess.Popen(  # noqa: S603 — this very interpreter
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches us alone, and we stop it
        )
        if self._process.stdout is None:
            raise AssertionError("a pipe was asked for")
        line = self._process.stdout.readline()
        self._ready = orjson.loads(line) if line.strip() else {}
        if "url" not in self._ready:
            self._stop()
            given: dict[str, Any] = dict(self._ready).get("error", {})
            kind = _ERRORS.get(given.get("code", ""), KeenError)
            raise kind(given.get("message", "the local server did not start"), given.get("hint"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self._stop()

    def __getitem__(self, name: str) -> str:
        """``url``, ``project_id``, ``write_key``, ``read_key`` or ``master_key``."""
        return self._ready[name]

    def change_faults(self, changes: Mapping[str, Any]) -> None:
        """Turn faults on, off (None) or to another value.

        Raises:
            UsageError: the server refused them; nothing was changed.
        """
        if changes:
            self._control("POST", orjson.dumps(changes))

    def counters(self) -> dict[str, int]:
        """How often each fault has struck."""
        return dict(self._control("GET", None)["counters"])

    def _control(self, method: str, body: bytes | None) -> dict[str, Any]:
        address = urlsplit(self["url"])
        connection = http.client.HTTPConnection(
            address.hostname or "127.0.0.1", address.port, timeout=_CONTROL_SECONDS
        )
        try:
            headers = {"authorization": self["master_key"], "content-type": "application/json"}
            connection.request(method, "/_control/faults", body, headers)
            answer = connection.getresponse()
            document: dict[str, Any] = orjson.loads(answer.read())
        finally:
            connection.close()
        if answer.status != http.client.OK:
            raise UsageError(str(document.get("message")), "see `keen-client serve --help`")
        return document

    def _stop(self) -> None:
        process = self._process
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
