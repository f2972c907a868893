"""The description, ``log.json``: whose log it is; and how it is made anew from what ``state.db`` remembers of it.

A log must never come to belong to another project than the one whose events
it holds, so nobody's word but its own is taken for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import orjson

from keen_client._foundation.clock import Clock
from keen_client.errors import EventLogDamagedError, EventLogError
from keen_client.eventlog.damage import set_file_aside
from keen_client.eventlog.directory import Binding, LogDirectory
from keen_client.eventlog.finding import Finding
from keen_client.eventlog.sqlite_faults import translate_os_error
from keen_client.eventlog.state import State

#: The fact that remembers what ``log.json`` says.
_BINDING_FACT: Final = "binding"


def note_binding(state: State, binding: Binding) -> None:
    """Have ``state.db`` remember whose log it is, once. Where it cannot be written nothing happens."""
    with suppress(EventLogError):
        if state.fact(_BINDING_FACT) is None:
            state.note(_BINDING_FACT, orjson.dumps([binding.base_url, binding.project_id]).decode())


def noted_binding(directory: LogDirectory) -> Binding | None:
    """Whose log it is by ``state.db``; None where that does not say, or cannot be read."""
    if not directory.lies(directory.state):
        return None
    try:
        state = State(directory.path, read_only=True)
    except EventLogError:
        return None
    try:
        noted = state.fact(_BINDING_FACT)
    except EventLogError:
        return None
    finally:
        state.close()
    return None if noted is None else Binding(*orjson.loads(noted))


def restored(directory: LogDirectory, binding: Binding | None, clock: Clock) -> Iterator[Finding]:
    """Make a ``log.json`` that is damaged or gone anew; *binding* is what the caller takes the log for.

    The damaged one is set aside. Where ``state.db`` does not say whose log it
    is, or says another project's than *binding*, nothing is changed.
    """
    try:
        directory.binding()
    except EventLogDamagedError:
        noted = noted_binding(directory)
    except EventLogError:  # it is of a later version, or may not be read
        return
    else:
        return
    if noted is None:
        return  # the examination tells
    if binding not in {None, noted}:
        yield Finding(
            "warning",
            "directory",
            f"by its state.db the log belongs to project {noted.project_id} at {noted.base_url}: log.json was left as it is",
            "name that project and that base URL, or none",
        )
        return
    aside = ""
    try:
        if directory.exists():
            moved = set_file_aside(directory, directory.description, clock.wall_ms())
            aside = f"; the damaged one lies in damaged/{moved.name}"
        directory.make(noted, clock.wall_ms())
    except OSError as error:
        told = translate_os_error(error, directory.description, "it was not made anew")
        yield Finding("damage", "directory", told.message, told.hint or "")
        return
    yield Finding(
        "repaired",
        "directory",
        f"log.json was made anew: by its state.db the log belongs to project {noted.project_id} at {noted.base_url}{aside}",
    )
