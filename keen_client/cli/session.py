"""What a command works with: the settings, the log, the client's machinery; opened and closed around it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from keen_client._foundation.clock import SystemClock
from keen_client._foundation.randomness import SystemRandomness
from keen_client.cli.options import Connection
from keen_client.cli.output import note
from keen_client.client.settings import Settings, place_of_log, read_settings
from keen_client.errors import ConfigurationError, EventLogError, InvalidEnvironmentError
from keen_client.eventlog.config import LogConfig
from keen_client.eventlog.directory import Binding, LogDirectory
from keen_client.eventlog.log import EventLog
from keen_client.observability.signals import (
    DeliveryPaused,
    DeliveryResumed,
    EventsRejected,
    OutcomeUnknown,
    SenderFailed,
    Signal,
)

if TYPE_CHECKING:
    from keen_client.api.keen_api import KeenApi
    from keen_client.client.wiring import Machinery

#: What a command gives the sender at its end to finish requests in flight.
CLOSE_SECONDS: Final = 2.0


def settings_of(connection: Connection) -> Settings:
    """The settings that hold for this command.

    Raises:
        ConfigurationError: one is missing or cannot be used. Nothing was recorded and nothing was sent.
    """
    return read_settings(
        {"project_id": connection.project_id, "base_url": connection.base_url, "log": connection.log},
        config_file=connection.config,
        reads_file=True,
    )


def enabled_settings_of(connection: Connection) -> Settings:
    """The settings, where they do not switch everything off.

    Raises:
        ConfigurationError: KEEN_DISABLED is set, or see :func:`settings_of`. Nothing was sent.
    """
    settings = settings_of(connection)
    if settings.is_disabled:
        raise ConfigurationError(
            "everything is switched off by KEEN_DISABLED; nothing was read and nothing was sent",
            "unset KEEN_DISABLED",
        )
    return settings


class NoLogYetError(EventLogError):
    """There is no log where one is expected: before the first event, or because another place was meant.

    Commands for which that is no failure catch it; for others it is one.
    """

    def __init__(self, place: Path, binding: Binding | None) -> None:
        """*place* is where the log was looked for, *binding* whose it would be, where that is known."""
        super().__init__(
            f"nothing was recorded yet: there is no log at {place}; nothing was read",
            "the first event makes it; if events were recorded, name their log with --log, as the user who owns it",
            path=place,
        )
        self.place: Final = place
        self.binding: Final = binding


def is_unmade(place: Path) -> bool:
    """Whether there is no log at *place*, nor what is left of a damaged one.

    Raises:
        EventLogPermissionError, EventLogError: that cannot be told; nothing was read or changed.
    """
    return LogDirectory(place).is_unmade()


@contextmanager
def open_log(
    place: Path, binding: Binding | None, config: LogConfig, *, make: bool = False
) -> Iterator[EventLog]:
    """The log at *place*; *binding* None looks at whatever project's it is."""
    log = EventLog(place, binding, config, SystemClock(), SystemRandomness(), make=make)
    try:
        yield log
    finally:
        log.close()


def place_of(connection: Connection) -> tuple[Path, Binding | None, LogConfig]:
    """Where the log lies, whose it should be (None where only the place was named), and how it is kept.

    Raises:
        ConfigurationError: neither the log nor the project is named, or see :func:`enabled_settings_of`.
    """
    named = connection.log or os.environ.get("KEEN_LOG")
    try:
        settings = enabled_settings_of(connection)
    except InvalidEnvironmentError:
        if not named:
            raise
        return place_of_log(str(named)), None, LogConfig()
    return settings.log, settings.binding, settings.log_config


@contextmanager
def look_at_log(connection: Connection) -> Iterator[EventLog]:
    """The log, to look at it: where it is named, no project has to be.

    Raises:
        NoLogYetError: nothing was recorded yet. Nothing was read.
    """
    place, binding, config = place_of(connection)
    if is_unmade(place):
        raise NoLogYetError(place, binding)
    with open_log(place, binding, config) as log:
        yield log


@contextmanager
def open_api(connection: Connection) -> Iterator[KeenApi]:
    """Keen's API for questions, without a log.

    Raises:
        InvalidEnvironmentError: there is no read key. Nothing was sent.
    """
    from keen_client.api.keen_api import KeenApi

    project = enabled_settings_of(connection).project
    project.key_for("read")
    with KeenApi.open(project) as api:
        yield api


@contextmanager
def open_machinery(
    connection: Connection,
    *,
    background: bool = False,
    needs_write_key: bool = False,
    needs_read_key: bool = False,
    notes: SignalNotes | None = None,
) -> Iterator[Machinery]:
    """Everything a client has, over an existing log; warnings of delivery go to stderr, by *notes* where given.

    Raises:
        InvalidEnvironmentError: a key is needed and not there. Nothing was sent.
        NoLogYetError: nothing was recorded yet. Nothing was sent.
        EventLogError: the log cannot be used. Nothing was sent.
    """
    from keen_client.client.wiring import Machinery

    settings = enabled_settings_of(connection)
    if needs_write_key:
        settings.project.key_for("write")
    if needs_read_key:
        settings.project.key_for("read")
    if is_unmade(settings.log):
        raise NoLogYetError(settings.log, settings.binding)
    machinery = Machinery(
        settings,
        log_config=settings.log_config,
        delivery_config=settings.delivery_config,
        background=background,
        hooks=[SignalNotes() if notes is None else notes],
        make_log=False,
    )
    try:
        yield machinery
    finally:
        machinery.close(CLOSE_SECONDS)


class SignalNotes:
    """A hook that tells on stderr what may want a person; the same words are not repeated in a row.

    ``pause_reason``: why delivery waits, as it was told; empty while nothing hinders it.
    """

    def __init__(self) -> None:
        self.pause_reason = ""
        self._last = ""

    def __call__(self, signal: Signal) -> None:
        """Note one signal."""
        if isinstance(signal, DeliveryPaused):
            self.pause_reason = signal.reason
        elif isinstance(signal, DeliveryResumed):
            self.pause_reason = ""
        text = _words(signal)
        if text and text != self._last:
            self._last = text
            note(text)


def _words(signal: Signal) -> str:
    if isinstance(signal, DeliveryPaused):
        hint = f" ({signal.hint})" if signal.hint else ""
        return f"warning: delivery waits: {signal.reason}{hint}; every event stays in the log"
    if isinstance(signal, DeliveryResumed):
        return "the server accepts events again"
    if isinstance(signal, EventsRejected):
        return (
            f"warning: the server refused {signal.count:,} events of {signal.collection} ({signal.name});"
            " see `keen-client dead list`"
        )
    if isinstance(signal, OutcomeUnknown):
        return f"warning: {signal.count:,} events were sent and no usable answer came ({signal.reason}); they stay in the log"
    if isinstance(signal, SenderFailed):
        return f"warning: the sender failed ({signal.error}) and goes on; every event stays in the log"
    return ""
