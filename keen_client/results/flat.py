"""Nested events as flat rows: one column for each leaf, under its dotted name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

#: Keen's own times; other texts stay texts, whatever they look like.
MOMENTS: Final = frozenset({"keen.timestamp", "keen.created_at"})
#: In these a time with a zone may lie outside of UTC's calendar.
_EDGE_YEARS: Final = (1, 9999)


def flat_event(event: Mapping[str, Any]) -> dict[str, Any]:
    """*event* with its objects opened: ``{"user": {"id": 7}}`` becomes ``{"user.id": 7}``.

    Lists, and objects without members, are leaves. ``keen.timestamp`` and
    ``keen.created_at`` become aware datetimes where they are times. Where two
    leaves would have one name (Keen refuses names with dots; other servers may
    not) the event's objects stay as they are: nothing is ever lost.
    """
    row: dict[str, Any] = {}
    if not _open(event, "", row):
        row = dict(event)
    for name in MOMENTS:
        if name in row:
            row[name] = as_moment(row[name])
    return row


def picked_event(event: Mapping[str, Any], property_names: Sequence[str]) -> dict[str, Any]:
    """A row of exactly *property_names*, dotted; None where the event has no such property."""
    row = {}
    for name in property_names:
        value = _at(event, name)
        row[name] = as_moment(value) if name in MOMENTS else value
    return row


def as_moment(value: Any) -> Any:
    """The aware datetime of a time as Keen writes it (without zone: UTC); anything else, or out of UTC's calendar, as it is."""
    if not isinstance(value, str):
        return value
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return value
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    return value if moment.year in _EDGE_YEARS and not _is_in_utc(moment) else moment


def _is_in_utc(moment: datetime) -> bool:
    """Whether UTC's calendar holds it too; there it may be in year 0 or 10000."""
    try:
        moment.astimezone(UTC)
    except OverflowError:
        return False
    return True


def _open(members: Mapping[str, Any], path: str, row: dict[str, Any]) -> bool:
    """Put the leaves into *row*; False when two of them have one name."""
    for name, value in members.items():
        if isinstance(value, dict) and value:
            if not _open(value, f"{path}{name}.", row):
                return False
        elif path + name in row:
            return False
        else:
            row[path + name] = value
    return True


def _at(event: Mapping[str, Any], path: str) -> Any:
    if path in event:
        return event[path]
    value: Any = event
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return value
