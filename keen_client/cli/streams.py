"""The three standard streams: closed, full or gone, they neither stop a command nor show a traceback.

What cannot be printed to stdout raises :class:`OutputLostError`; what cannot be
said on stderr is lost, since there is nowhere left to say so.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class OutputLostError(OSError):
    """Stdout did not take what was printed; what the command did before stands."""


class _Stdout(io.FileIO):
    """Tells a failure of stdout from all others. A closed pipe stays a BrokenPipeError."""

    def write(self, data: ReadableBuffer, /) -> int:
        """Write *data*."""
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            why = "it is closed" if error.errno == errno.EBADF else error.strerror
            raise OutputLostError(error.errno, why) from error


class _Stderr(io.FileIO):
    """Drops what it cannot write: no diagnostic is worth the work that it is about."""

    def write(self, data: ReadableBuffer, /) -> int:
        """Write *data*, or lose it."""
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


#: stdin, stdout, stderr where they are closed. As gnulib does it: /dev/null, opened so that reading stdin and printing
#: to stdout fail as what is closed should, and no file that is opened later gets their numbers.
_INSTEAD: Final = (os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)


def guard_streams() -> None:
    """Let the streams of this process fail as the module says. Streams that a test put in their place stay."""
    if sys.stdin is None:
        sys.stdin = os.fdopen(os.open(os.devnull, _INSTEAD[0]), encoding="utf-8")
    stdout, stderr = _descriptor(sys.stdout, 1), _descriptor(sys.stderr, 2)
    if stdout is not None:
        sys.stdout = _text(_Stdout(stdout, "w", closefd=False), sys.stdout)
    if stderr is not None:
        sys.stderr = _text(_Stderr(stderr, "w", closefd=False), sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # No character stops a report: what the terminal's encoding lacks stands as its escape.
            stream.reconfigure(errors="backslashreplace")


def _descriptor(stream: TextIO | None, number: int) -> int | None:
    """Where to write what goes to *stream*; None when it is not this process's own."""
    if stream is None:
        return os.open(os.devnull, _INSTEAD[number])
    try:
        return number if stream.fileno() == number else None
    except (OSError, ValueError):
        return None


def _text(raw: io.FileIO, before: TextIO | None) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding="utf-8" if before is None else before.encoding,
        line_buffering=isinstance(raw, _Stderr) or raw.isatty(),
    )


def give_up_stdout() -> None:
    """Drop what stdout still holds: the interpreter, which flushes it at the end, must not complain again."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
