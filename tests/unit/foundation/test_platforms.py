"""A system without POSIX record locks: told at the first need, after an import that works."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from keen_client import KeenClient, UnsupportedPlatformError
from keen_client._foundation.files import boot_id
from keen_client._foundation.locks import LockFile, check_platform


def test_this_platform_is_supported() -> None:
    """Where the tests run, nothing is refused."""
    check_platform()


def test_a_log_is_refused_before_any_file_is_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under Windows opening a log raises a typed error with a hint, and leaves no file or directory behind."""
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(UnsupportedPlatformError, match="nothing was recorded") as caught:
        KeenClient("p", log=tmp_path / "deep" / "log", background=False)
    assert "WSL" in str(caught.value.hint)
    with pytest.raises(UnsupportedPlatformError):
        LockFile.at(tmp_path / "x.lock")
    assert list(tmp_path.iterdir()) == []


IMPORTING = """
    import asyncio, concurrent.futures, ctypes, importlib, logging, multiprocessing, pkgutil, platform, sqlite3
    import subprocess, sys, tempfile, uuid
    import attrs, backoff, click, duckdb, httpx, orjson, rich.console, rich.live, rich.progress, rich.table
    import sqlite_utils, starlette.applications, starlette.routing, uvicorn, uvicorn.protocols.http.h11_impl

    sys.platform = "win32"
    for name in ("fcntl", "pwd", "grp", "resource", "termios"):
        sys.modules[name] = None  # an import of it now fails, as it would there
    import os
    for name in ("register_at_fork", "fork", "geteuid", "O_DIRECTORY", "fdatasync", "posix_fallocate"):
        delattr(os, name)

    import keen_client
    for name in keen_client.__all__:
        getattr(keen_client, name)
    names = [m.name for m in pkgutil.walk_packages(keen_client.__path__, "keen_client.")]
    for name in names:
        if not name.endswith("__main__"):
            importlib.import_module(name)
    try:
        keen_client.KeenClient("p", log=sys.argv[1])
    except keen_client.UnsupportedPlatformError as error:
        print(error.code, len(names) > 50)
    print(keen_client.KeenClient(enabled=False).add_event("c", {}).id)
    """


def test_every_module_can_be_imported_where_posix_is_missing(tmp_path: Path) -> None:
    """With Windows' name and without POSIX's modules and functions the package imports whole, and refuses a log."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(IMPORTING), str(tmp_path / "log")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.split() == ["unsupported_platform", "True", "None"]
    assert list(tmp_path.iterdir()) == []


def test_where_the_system_tells_no_boot_each_process_is_one_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A sandbox hides the file: recording works, and no process goes on in a segment whose boot it cannot know."""
    told = boot_id()

    def hidden(*_: object, **__: object) -> str:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(Path, "read_text", hidden)
    monkeypatch.setattr(sys, "platform", "linux")
    own = boot_id()
    assert own == boot_id() != told
    assert len(own) == 32
