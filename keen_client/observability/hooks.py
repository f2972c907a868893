"""Hooks: where signals go. A failing hook is counted, and never stops recording or delivery."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

import attrs

from keen_client.observability.signals import Signal

LOGGER: Final = logging.getLogger("keen_client")
LOGGER.addHandler(logging.NullHandler())

Hook = Callable[[Signal], None]


class HookSet:
    """Sends each signal to the ``keen_client`` logger and to the caller's hooks. Thread-safe if they are."""

    def __init__(self, hooks: Iterable[Hook] = ()) -> None:
        self._hooks: Final = tuple(hooks)
        #: How often a hook, or the logging, raised.
        self.failures = 0

    def emit(self, signal: Signal) -> None:
        """Hand *signal* on; whatever a hook, or the application's logging, raises is counted and swallowed.

        In the main thread alone what is no :class:`Exception` goes through: it
        may be a signal handler's, Ctrl-C say, and not the hook's.
        """
        for hook in (_log, *self._hooks):
            try:
                hook(signal)
            except BaseException as error:  # the hook is the user's; delivery goes on
                if not isinstance(error, Exception) and _is_main_thread():
                    raise
                self.failures += 1
                if self.failures == 1:
                    self._log_failure(error)

    @staticmethod
    def _log_failure(error: BaseException) -> None:
        with suppress(Exception):  # it may have been the logging itself
            LOGGER.warning("a hook failed (%s); delivery goes on", type(error).__name__)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _log(signal: Signal) -> None:
    level = logging.getLevelNamesMapping()[signal.level]
    if LOGGER.isEnabledFor(level):
        values = " ".join(f"{name}={value}" for name, value in attrs.asdict(signal).items())
        LOGGER.log(level, "%s %s", type(signal).__name__, values)
