"""From the caller's mapping to the stored JSON text, validated at the call.

What cannot be stored faithfully is refused here, with the path of the
offending field, while the caller can still do something about it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, ClassVar, Final, Literal, Protocol, cast
from uuid import UUID

import attrs
import orjson

from keen_client._foundation.clock import datetime_to_ms
from keen_client.errors import EventTooLargeError, InvalidEventError
from keen_client.events.limits import (
    EVENT_SIZE_MAX_BYTES,
    INTEGER_MAX,
    INTEGER_MIN,
    NESTING_DEPTH_MAX,
    STAMP_SIZE_MAX_BYTES,
    STRING_VALUE_CHARS_LIMIT,
    check_collection_name,
    check_property_name,
)

NaiveDatetimes = Literal["refuse", "utc"]


class AttrsInstance(Protocol):
    """An instance of an attrs class. Attrs' own protocol is met by everything, to checkers other than mypy."""

    __attrs_attrs__: ClassVar[Any]


class DataclassInstance(Protocol):
    """An instance of a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]


#: What an event may be, to type checkers.
EventBody = Mapping[str, Any] | AttrsInstance | DataclassInstance

#: Property names already found good; bounded, so that dynamic names cannot grow it for ever.
_GOOD_NAMES: Final[set[str]] = set()
_GOOD_NAMES_MAX: Final = 10_000

_PLAIN: Final = frozenset({bool, type(None)})
_KEEN_RESERVED: Final = {
    "uniqueness_token": "it is set by the log, from the event's own identity",
    "id": "the server makes it",
    "created_at": "the server makes it",
}


@attrs.frozen(slots=True)
class EncodedEvent:
    """One validated event, ready for the log.

    ``timestamp_ms`` is ``keen.timestamp`` in UTC milliseconds since 1970, or
    None when the caller gave none (the log then takes the time of recording);
    ``body`` the event's JSON text without ``keen``; ``keen`` the JSON object of
    the caller's other ``keen`` members, or the empty string.
    """

    collection: str
    timestamp_ms: int | None
    body: str = attrs.field(repr=False)
    keen: str = attrs.field(repr=False)

    @property
    def size_bytes(self) -> int:
        """An upper bound of the event's size on the wire."""
        return len(self.body.encode()) + len(self.keen.encode()) + STAMP_SIZE_MAX_BYTES


def encode_event(
    collection: object,
    event: object,
    timestamp: datetime | str | None = None,
    *,
    naive_datetimes: NaiveDatetimes = "refuse",
) -> EncodedEvent:
    """Validate one event and encode it. Pure; thread-safe.

    *timestamp* wins over the event's own ``keen.timestamp``; both are truncated
    to milliseconds. With ``naive_datetimes="utc"`` a time without zone is read
    as UTC instead of refused.

    Raises:
        InvalidCollectionNameError, InvalidEventError, EventTooLargeError:
            nothing was recorded.
    """
    name = check_collection_name(collection)
    walker = _Walker(naive_datetimes)
    if not isinstance(event, Mapping):
        event = walker.as_mapping(event)
    own_timestamp: datetime | str | None = None
    keen_text = ""
    if "keen" in event:
        own_timestamp, keen_text = _encode_keen(event["keen"], walker)
        event = {key: value for key, value in event.items() if key != "keen"}
    if "kc" in event:
        raise InvalidEventError(
            "property 'kc' is reserved for the stamp of this client; nothing was recorded",
            "rename the property",
            path="kc",
        )
    body = _dump(walker.mapping(event, "", 1))
    if timestamp is None:
        timestamp = own_timestamp
    timestamp_ms = None if timestamp is None else walker.timestamp_ms(timestamp, "keen.timestamp")
    size_bytes = len(body) + len(keen_text)
    if size_bytes * 4 > EVENT_SIZE_MAX_BYTES:  # the exact size only where it can matter
        size_bytes = len(body.encode()) + len(keen_text.encode()) + STAMP_SIZE_MAX_BYTES
        if size_bytes > EVENT_SIZE_MAX_BYTES:
            raise EventTooLargeError(
                f"the event has {size_bytes:,} bytes with its stamp; Keen takes {EVENT_SIZE_MAX_BYTES:,}; "
                "nothing was recorded",
                "split the event or leave out large values",
            )
    return EncodedEvent(name, timestamp_ms, body, keen_text)


def _encode_keen(keen: object, walker: _Walker) -> tuple[datetime | str | None, str]:
    if not isinstance(keen, Mapping):
        raise InvalidEventError(
            f"property 'keen' must be an object, not {type(keen).__name__}; nothing was recorded",
            "put your own data under another name",
            path="keen",
        )
    members = dict(keen)
    for name, why in _KEEN_RESERVED.items():
        if name in members:
            raise InvalidEventError(
                f"'keen.{name}' cannot be given: {why}; nothing was recorded",
                f"leave out keen.{name}",
                path=f"keen.{name}",
            )
    timestamp = members.pop("timestamp", None)
    if timestamp is not None and not isinstance(timestamp, datetime | str):
        raise InvalidEventError(
            f"'keen.timestamp' must be a datetime or ISO 8601 text, not {type(timestamp).__name__}; "
            "nothing was recorded",
            "pass an aware datetime",
            path="keen.timestamp",
        )
    return timestamp, (_dump(walker.mapping(members, "keen", 2)) if members else "")


def parse_timestamp(text: str, naive_datetimes: NaiveDatetimes = "refuse", path: str = "") -> int:
    """UTC milliseconds since 1970 of ISO 8601 *text*, rounded down.

    Raises:
        InvalidEventError: it is not a time, or has no zone and naive times are refused.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidEventError(
            f"{path or 'the text'} is not an ISO 8601 time; nothing was recorded",
            "write it like 2026-10-01T00:00:00.123Z",
            path=path,
        ) from None
    return _Walker(naive_datetimes).timestamp_ms(moment, path)


def _dump(value: object) -> str:
    try:
        return orjson.dumps(value).decode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidEventError(
            f"the event cannot be written as JSON ({type(error).__name__}); nothing was recorded",
            "keep to text, numbers, booleans, lists and objects",
        ) from error


class _Walker:
    """Checks a value and everything in it, converting what JSON does not know.

    Returns the very object where nothing had to change: the common event is
    walked, not copied.
    """

    def __init__(self, naive_datetimes: NaiveDatetimes) -> None:
        self._naive = naive_datetimes

    def mapping(self, value: Mapping[Any, Any], path: str, depth: int) -> Mapping[str, Any]:
        if depth > NESTING_DEPTH_MAX:
            raise self._fault(path, f"is nested more than {NESTING_DEPTH_MAX} levels deep", "flatten it")
        changed: dict[str, Any] | None = None if type(value) is dict else dict(value)
        for name, member in value.items():
            if name not in _GOOD_NAMES:
                check_property_name(name, path)
                if len(_GOOD_NAMES) < _GOOD_NAMES_MAX:
                    _GOOD_NAMES.add(name)
            kind = type(member)
            if kind is str:
                if len(member) < STRING_VALUE_CHARS_LIMIT and member.isascii():
                    continue
            elif kind is float:
                if member - member == 0.0:  # finite: for infinities and NaN the difference is NaN
                    continue
            elif kind in _PLAIN or (kind is int and INTEGER_MIN <= member <= INTEGER_MAX):
                continue
            where = f"{path}.{name}" if path else name
            if kind is dict:
                clean: Any = self.mapping(member, where, depth + 1)
            else:
                clean = self.value(member, where, depth)
            if clean is not member:
                if changed is None:
                    changed = dict(value)
                changed[name] = clean
        return value if changed is None else changed

    def value(self, value: Any, path: str, depth: int) -> Any:
        """Check one value; dispatch on its exact type first, on its family second."""
        check = _CHECKS.get(type(value))
        if check is not None:
            return check(self, value, path, depth)
        return self._other(value, path, depth)

    def as_mapping(self, value: object) -> Mapping[str, Any]:
        if attrs.has(type(value)) and not isinstance(value, type):
            names = list(attrs.fields_dict(cast("type[attrs.AttrsInstance]", type(value))))
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            names = [field.name for field in dataclasses.fields(value)]
        else:
            raise InvalidEventError(
                f"an event must be a mapping, not {type(value).__name__}; nothing was recorded",
                'pass an object like {"item": "book", "price": 10}',
            )
        return {name: getattr(value, name) for name in names}

    def timestamp_ms(self, value: datetime | str, path: str) -> int:
        if isinstance(value, str):
            return parse_timestamp(value, self._naive, path)
        if not isinstance(value, datetime):
            raise self._fault(
                path, f"is a {type(value).__name__}, not a time", "pass an aware datetime or ISO 8601 text"
            )
        try:
            return datetime_to_ms(self._aware(value, path))
        except OverflowError:
            raise self._fault(path, "is outside the years 1 to 9999", "correct the time") from None

    def _aware(self, value: datetime, path: str) -> datetime:
        if value.utcoffset() is None:
            if self._naive == "refuse":
                raise self._fault(
                    path,
                    "is a time without a zone",
                    'give it a zone, e.g. datetime.now(UTC), or set naive_datetimes="utc"',
                )
            value = value.replace(tzinfo=UTC)
        return value

    def _text(self, value: str, path: str, _depth: int) -> str:
        if len(value) >= STRING_VALUE_CHARS_LIMIT:
            raise self._fault(
                path,
                f"has {len(value):,} characters; Keen takes fewer than {STRING_VALUE_CHARS_LIMIT:,}",
                "shorten the text",
            )
        if any("\ud800" <= c <= "\udfff" for c in value):
            raise self._fault(path, "holds a lone surrogate, which is not Unicode text", "decode it properly")
        return value

    def _integer(self, value: int, path: str, _depth: int) -> int:
        if not INTEGER_MIN <= value <= INTEGER_MAX:
            raise self._fault(path, "is an integer outside -2^63 to 2^63-1", "send it as text")
        return value

    def _float(self, value: float, path: str, _depth: int) -> float:
        if not math.isfinite(value):
            raise self._fault(path, "is NaN or infinite, which JSON cannot hold", "leave it out or send null")
        return value

    def _plain(self, value: object, _path: str, _depth: int) -> object:
        return value

    def _list(self, value: list[Any] | tuple[Any, ...], path: str, depth: int) -> list[Any]:
        if depth >= NESTING_DEPTH_MAX:
            raise self._fault(path, f"is nested more than {NESTING_DEPTH_MAX} levels deep", "flatten it")
        if type(value) is list and all(
            type(item) is str and len(item) < STRING_VALUE_CHARS_LIMIT and item.isascii() for item in value
        ):
            return value
        return [self.value(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]

    def _mapping(self, value: Mapping[Any, Any], path: str, depth: int) -> Mapping[str, Any]:
        return self.mapping(value, path, depth + 1)

    def _datetime(self, value: datetime, path: str, _depth: int) -> str:
        return self._aware(value, path).isoformat()

    def _date(self, value: date, _path: str, _depth: int) -> str:
        return value.isoformat()

    def _decimal(self, value: Decimal, path: str, depth: int) -> orjson.Fragment:
        if not value.is_finite() or not math.isfinite(float(value)):
            raise self._fault(path, "is not a finite number", "leave it out or send null")
        text = str(value)
        if "." not in text and "E" not in text:  # an integer in JSON too, and bounded as one
            self._integer(int(value), path, depth)
        return orjson.Fragment(text)

    def _uuid(self, value: UUID, _path: str, _depth: int) -> str:
        return str(value)

    def _other(self, value: Any, path: str, depth: int) -> Any:
        if isinstance(value, Enum):
            return self.value(value.value, path, depth)
        if isinstance(value, Mapping):
            return self.mapping(value, path, depth + 1)
        if attrs.has(type(value)) or dataclasses.is_dataclass(value):
            return self.mapping(self.as_mapping(value), path, depth + 1)
        for family, check in _CHECKS.items():  # subclasses of the known types, str first
            if isinstance(value, family):
                return check(self, _PLAIN_OF.get(family, _same)(value), path, depth)
        raise self._fault(
            path,
            f"is of type {type(value).__name__}, which has no JSON form",
            "convert it to text, a number, a boolean, a list or an object",
        )

    @staticmethod
    def _fault(path: str, reason: str, hint: str) -> InvalidEventError:
        where = f"property {path!r}" if path else "the event"
        return InvalidEventError(f"{where} {reason}; nothing was recorded", hint, path=path)


def _same(value: Any) -> Any:
    return value


#: A subclass of these is stored as the plain value: the encoder would refuse it or call its methods.
_PLAIN_OF: Final[dict[type, Callable[[Any], Any]]] = {str: str, int: int, float: float}

_Check = Callable[[_Walker, Any, str, int], Any]
_CHECKS: Final[dict[type, _Check]] = cast(
    "dict[type, _Check]",
    {
        str: _Walker._text,  # noqa: SLF001 — the table belongs to the class above
        bool: _Walker._plain,  # noqa: SLF001
        type(None): _Walker._plain,  # noqa: SLF001
        int: _Walker._integer,  # noqa: SLF001
        float: _Walker._float,  # noqa: SLF001
        dict: _Walker._mapping,  # noqa: SLF001
        list: _Walker._list,  # noqa: SLF001
        tuple: _Walker._list,  # noqa: SLF001
        datetime: _Walker._datetime,  # noqa: SLF001
        date: _Walker._date,  # noqa: SLF001
        Decimal: _Walker._decimal,  # noqa: SLF001
        UUID: _Walker._uuid,  # noqa: SLF001
    },
)
