"""Keen's limits as named constants, and the checks of names.

Facts from the Keen API: names and values of events, size limits of writes.
"""

from __future__ import annotations

from typing import Final

from keen_client.errors import BatchTooLargeError, InvalidCollectionNameError, InvalidEventError

COLLECTION_NAME_CHARS_MAX: Final = 64
PROPERTY_NAME_CHARS_MAX: Final = 256
#: A string value must be shorter than this many characters.
STRING_VALUE_CHARS_LIMIT: Final = 10_000
INTEGER_MIN: Final = -(2**63)
INTEGER_MAX: Final = 2**63 - 1
#: Of one event as it travels, our stamps included.
EVENT_SIZE_MAX_BYTES: Final = 900_000
#: Of one bulk request.
BATCH_SIZE_MAX_BYTES: Final = 10_000_000
BATCH_EVENTS_MAX: Final = 5_000
#: Containers within containers; deeper than any real event, below the encoder's own bound.
NESTING_DEPTH_MAX: Final = 200
#: What our members (`kc`, `keen.timestamp`, `keen.uniqueness_token`) add to an event at most.
STAMP_SIZE_MAX_BYTES: Final = 400
#: Of one ``add_events`` call: it is one transaction.
CALL_EVENTS_MAX: Final = 100_000
CALL_SIZE_MAX_BYTES: Final = 256_000_000

#: Names already found good; bounded, so that made-up names cannot grow it for ever.
_GOOD_COLLECTIONS: Final[set[str]] = set()
_GOOD_COLLECTIONS_MAX: Final = 1_000

_ASCII_END: Final = 127
_CONTROL_END: Final = 32


def check_collection_name(name: object) -> str:
    """Return *name* if Keen accepts it as an event collection.

    Raises:
        InvalidCollectionNameError: it does not; nothing was recorded.
    """
    if isinstance(name, str) and name in _GOOD_COLLECTIONS:
        return name
    if not isinstance(name, str):
        raise InvalidCollectionNameError(
            f"a collection name must be a string, not {type(name).__name__}; nothing was recorded",
            "pass the name of the event collection as text",
        )
    reason = _collection_name_fault(name)
    if reason is not None:
        raise InvalidCollectionNameError(
            f"collection name {name[:80]!r} {reason}; nothing was recorded",
            "use 1 to 64 printable ASCII characters, no '$', no '_' first, no '.' first or last",
        )
    if len(_GOOD_COLLECTIONS) < _GOOD_COLLECTIONS_MAX:
        _GOOD_COLLECTIONS.add(name)
    return name


def _collection_name_fault(name: str) -> str | None:
    if not name:
        return "is empty"
    if len(name) > COLLECTION_NAME_CHARS_MAX:
        return f"has more than {COLLECTION_NAME_CHARS_MAX} characters"
    if any(ord(c) >= _ASCII_END or ord(c) < _CONTROL_END for c in name):
        return "holds a control or non-ASCII character"
    if "$" in name:
        return "holds a '$'"
    if name.startswith("_"):
        return "starts with '_'"
    if name.startswith(".") or name.endswith("."):
        return "starts or ends with '.'"
    return None


def check_call_size(events: int, size_bytes: int) -> None:
    """Refuse a call of so many *events*, of *size_bytes* together; a single event has its own limit.

    Raises:
        BatchTooLargeError: nothing was recorded.
    """
    if events > CALL_EVENTS_MAX or (events > 1 and size_bytes > CALL_SIZE_MAX_BYTES):
        raise BatchTooLargeError(
            f"{events:,} events of {size_bytes:,} bytes are more than one call takes "
            f"({CALL_EVENTS_MAX:,} and {CALL_SIZE_MAX_BYTES:,}); nothing was recorded",
            "split the call",
        )


def check_property_name(name: object, path: str) -> None:
    """Refuse a property name that Keen refuses; *path* is where it stands in the event.

    Raises:
        InvalidEventError: with the path of the offending name; nothing was recorded.
    """
    if not isinstance(name, str):
        reason = f"is a {type(name).__name__}, not a string"
    elif not name:
        reason = "is empty"
    elif len(name) > PROPERTY_NAME_CHARS_MAX:
        reason = f"has more than {PROPERTY_NAME_CHARS_MAX} characters"
    elif "." in name:
        reason = "holds a '.', which Keen uses to separate the parts of a path"
    elif name.startswith("$"):
        reason = "starts with '$'"
    elif any("\ud800" <= c <= "\udfff" for c in name):
        reason = "holds a lone surrogate, which is not Unicode text"
    else:
        return
    shown = repr(name)[:80]
    where = f" inside {path!r}" if path else ""
    raise InvalidEventError(
        f"property name {shown}{where} {reason}; nothing was recorded",
        "rename the property",
        path=path,
    )
