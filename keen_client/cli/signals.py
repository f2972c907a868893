"""SIGTERM and Ctrl-C for a command that has to say how far it came: both raise, and neither in mid-commit."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final


class TerminatedError(BaseException):
    """SIGTERM came. As a KeyboardInterrupt it is no Exception: nothing on its way mistakes it for a failure."""


class Interruptions:
    """SIGTERM raises :class:`TerminatedError` where the command is, as Ctrl-C raises KeyboardInterrupt.

    What is ignored (nohup, a job in the background) stays ignored. In the main thread only.
    """

    def __init__(self) -> None:
        self._is_held = False
        self._came: int | None = None

    @contextmanager
    def raised(self) -> Iterator[None]:
        """Raise inside of the block what comes; afterwards all is as it was."""
        numbers = [n for n in _NUMBERS if signal.getsignal(n) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self._come) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """What comes inside of the block is raised at its end: what the block does is done, and known to be."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
            if self._came is not None:
                self._raise(self._came)

    def _come(self, number: int, _frame: FrameType | None) -> None:
        if self._is_held:
            self._came = number
        else:
            self._raise(number)

    @staticmethod
    def _raise(number: int) -> None:
        raise KeyboardInterrupt if number == signal.SIGINT else TerminatedError


_NUMBERS: Final = (signal.SIGTERM, signal.SIGINT)
