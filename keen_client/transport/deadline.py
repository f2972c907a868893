"""When an exchange has to be over, whatever its connection does.

httpcore's timeouts begin anew with each piece: a server that takes or gives a
few bytes at a time, or says `102 Processing` for ever, would hold a caller for
as long as it likes. So each connection asks before every wait how much is left
of the exchange that it works for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, Final

from keen_client._foundation.clock import Clock

#: A write that is longer is sent in pieces of one TLS record, and each asks anew.
_PIECE_BYTES: Final = 16 * 1024
_NS_PER_SECOND: Final = 1_000_000_000


class Deadline:
    """The end of one exchange, *seconds* after it was made."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._started_ns = clock.monotonic_ns()

    def elapsed_seconds(self) -> float:
        """How long the exchange has taken by now."""
        return (self._clock.monotonic_ns() - self._started_ns) / _NS_PER_SECOND

    def left_seconds(self) -> float:
        """How much is left of it; nothing or less once it is over."""
        return self._seconds - self.elapsed_seconds()

    def wait_seconds(self, usual: float | None) -> float:
        """How long the next wait may be, which usually is *usual*; None: without end.

        Raises:
            TimeoutError: it is over.
        """
        left = self.left_seconds()
        if left <= 0:
            raise TimeoutError(f"it took over {self._seconds:.3g} s and was given up")
        return left if usual is None else min(usual, left)

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Within it, the bounded connections that this thread or task waits for keep this deadline."""
        token = _kept.set(self)
        try:
            yield
        finally:
            _kept.reset(token)


_kept: ContextVar[Deadline | None] = ContextVar("keen_client_deadline", default=None)


def bound(stream: Any) -> None:
    """Have a new network stream of httpcore, sync, keep the deadline of whichever exchange waits for it."""
    read, write = stream.read, stream.write

    def bounded_write(buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _PIECE_BYTES):
            write(buffer[start : start + _PIECE_BYTES], _wait_seconds(timeout))

    stream.read = lambda max_bytes, timeout=None: read(max_bytes, _wait_seconds(timeout))
    stream.write = bounded_write


def abound(stream: Any) -> None:
    """The same for an async one, whose writes are bounded as a whole already."""
    read, write = stream.read, stream.write
    stream.read = lambda max_bytes, timeout=None: read(max_bytes, _wait_seconds(timeout))
    stream.write = lambda buffer, timeout=None: write(buffer, _wait_seconds(timeout))


def _wait_seconds(usual: float | None) -> float | None:
    deadline = _kept.get()
    return usual if deadline is None else deadline.wait_seconds(usual)
