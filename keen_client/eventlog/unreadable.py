"""Unreadable segments: what cannot be read, or is gone, though nothing in ``state.db`` says that it may be.

Of such a segment nobody knows what was recorded into it past its cursor. That
is no nought: what counts entries says so beside its count, and what compares
them calls it unverifiable, as it does after a repair.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any, Final

import attrs

from keen_client.eventlog.directory import LogDirectory
from keen_client.eventlog.segment import SegmentName, list_segments
from keen_client.eventlog.sqlite_faults import translate_os_error
from keen_client.eventlog.state import State

#: The name under which a segment lies in ``damaged/``: its own and the time.
SET_ASIDE: Final = re.compile(r"(?P<segment>.{10}-.{10}\.db)\.\d{8}T\d{9}Z(?:\.\d+)?")


@attrs.frozen
class Unreadable:
    """A segment that cannot be read now. ``reason`` is for people; ``is_gone``: it has no file any more."""

    name: SegmentName
    reason: str
    is_gone: bool = False

    def __str__(self) -> str:
        """For people: ``2026-11-23-4kq7x2m9pz.db cannot be read (file is not a database)``."""
        if self.is_gone:
            return f"{self.name.file} is gone"
        return f"{self.name.file} cannot be read ({self.reason})"

    def document(self) -> dict[str, Any]:
        """The member of ``unreadable`` in JSON documents."""
        return {"segment": self.name.file.removesuffix(".db"), "gone": self.is_gone, "reason": self.reason}


def reason_of(unreadable: Sequence[Unreadable]) -> str:
    """Why something is left where nothing else tells, and what to do; empty when all segments can be read."""
    if not unreadable:
        return ""
    others = f", and {len(unreadable) - 1} more," if len(unreadable) > 1 else ""
    return f"{unreadable[0]}{others}: what waits there is not known, and cannot be sent; run `keen-client doctor`"


@attrs.frozen
class Listed:
    """What ``state.db`` has of a segment. ``is_settled``: it was reclaimed, or journalled as damaged, and may be gone."""

    name: SegmentName
    status: str = "open"
    cursor: int = 0
    is_settled: bool = False


def listed_segments(state: State) -> dict[str, Listed]:
    """All segments there ever were, by origin."""
    with state.reading() as db:
        rows = db.execute(
            "SELECT origin, day, status, cursor, status = 'reclaimed'"
            " OR (status = 'damaged' AND origin IN (SELECT origin FROM damages)) FROM origins"
        ).fetchall()
    return {
        origin: Listed(SegmentName(day, origin), status, cursor, bool(is_settled))
        for origin, day, status, cursor, is_settled in rows
    }


def misjudged_origins(state: State) -> set[str]:
    """Whose segments count as damaged though no repair says so: they could not be read when it mattered.

    Where one can be read now, a repair takes it up again.
    """
    return {
        origin
        for origin, listed in listed_segments(state).items()
        if listed.status == "damaged" and not listed.is_settled
    }


def gone_segments(directory: LogDirectory, state: State) -> list[Unreadable]:
    """The segments that should be there and have no file, oldest day first.

    Also told is one that a repair has set aside and not saved yet: it is not
    ``is_gone``. Changes nothing.

    Raises:
        EventLogPermissionError, EventLogError: which files there are cannot be told.
    """
    listed = listed_segments(state)  # before the files: a segment is entered when its file is there
    present = {name.origin for name in list_segments(directory.segments)}
    return absent_segments(directory, state, listed.keys() - present)


def absent_segments(directory: LogDirectory, state: State, absent: Collection[str]) -> list[Unreadable]:
    """As :func:`gone_segments`, for the origins *absent*, which were listed and then had no file."""
    if not absent:
        return []
    aside = _set_aside(directory)
    listed = listed_segments(state)  # after the files: what may be gone was reclaimed or saved before
    names = sorted(listed[origin].name for origin in absent if not listed[origin].is_settled)
    return [
        Unreadable(name, "it was set aside, and what can be read of it is not saved yet")
        if name.file in aside
        else Unreadable(name, "there is no such file", is_gone=True)
        for name in names
    ]


def _set_aside(directory: LogDirectory) -> set[str]:
    """The names of the segments of which something lies in ``damaged/``."""
    try:
        files = [path.name for path in directory.damaged.iterdir()]
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise translate_os_error(error, directory.damaged, "what was set aside cannot be told") from error
    return {match["segment"] for match in map(SET_ASIDE.fullmatch, files) if match is not None}
