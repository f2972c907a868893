"""The shim under a process, from Python: built by gcc, loaded by LD_PRELOAD, told by ctypes what to do."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).with_name("shim.c")
#: What a write, a new file, a new name or an allocation may meet on a full disk.
OF_A_FULL_DISK: Final = "wcla"
#: What a failing disk may refuse.
OF_A_FAILING_DISK: Final = "wtsclu"
#: What a file system that went read-only refuses.
OF_A_READ_ONLY_DISK: Final = "wtsclauom"
FOR_EVER: Final = 2**62
_REFUSE, _KILL_BEFORE, _KILL_AFTER = range(3)


def build(directory: Path) -> Path:
    """The shim's library in *directory*. An AssertionError says what is missing on this machine."""
    assert sys.platform == "linux", "the shim works by LD_PRELOAD, on Linux"
    compiler = shutil.which("gcc") or shutil.which("cc")
    assert compiler, "gcc is missing: install it (apt install gcc libc6-dev)"
    library = directory / "shim.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"]
    done = subprocess.run(
        [*command, "-o", str(library), str(SOURCE), "-ldl", "-lpthread"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return library


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(None)
    assert hasattr(library, "shim_root"), "this process was started without the shim"
    number = ctypes.c_int64
    library.shim_rule.argtypes = [
        ctypes.c_char_p,
        ctypes.c_char_p,
        number,
        number,
        ctypes.c_int,
        ctypes.c_int,
    ]
    library.shim_step.argtypes = [number]
    library.shim_seen.restype = library.shim_met.restype = number
    return library


def watch(root: Path) -> None:
    """Look at what lies below *root*, from now on."""
    _library().shim_root(os.fsencode(root))


def refuse(kinds: str, error: int, *, part: str = "", first: int = 1, count: int = FOR_EVER) -> None:
    """Refuse *count* operations of *kinds* on paths that contain *part*, from the *first* on, with *error*."""
    _library().shim_rule(kinds.encode(), part.encode(), first, count, _REFUSE, error)


def kill(kinds: str, *, part: str = "", nth: int = 1, after: bool = False) -> None:
    """Kill this process at the *nth* such operation from now on."""
    _library().shim_rule(kinds.encode(), part.encode(), nth, 1, _KILL_AFTER if after else _KILL_BEFORE, 0)


def count(kinds: str, *, part: str = "") -> None:
    """Only count such operations, from now on."""
    _library().shim_rule(kinds.encode(), part.encode(), FOR_EVER, 1, _REFUSE, 0)


def relent() -> tuple[int, int]:
    """End the rule; how many operations it was about, and how many it struck."""
    seen, met = int(_library().shim_seen()), int(_library().shim_met())
    _library().shim_rule(b"", b"", 1, 0, _REFUSE, 0)
    return seen, met


def keep_journal(path: Path) -> None:
    """Note every operation that changes what is watched, in *path*. One thread only, from now on."""
    assert _library().shim_journal(os.fsencode(path)) == 0


def note(text: str) -> None:
    """Put *text* into the journal, between the operations."""
    _library().shim_note(text.encode())


def step_clock(seconds: float) -> None:
    """Step this process's calendar; the monotonic clock goes on as it does."""
    _library().shim_step(int(seconds * 1e9))
