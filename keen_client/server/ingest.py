"""What Keen accepts as an event, and what it makes of it.

Pure functions: an event comes in as parsed JSON, and goes out normalised (its
``keen`` object filled in, its timestamp in UTC with milliseconds), or as a
:class:`~keen_client.server.refusal.Refusal` that names the broken rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import orjson

from keen_client._foundation.clock import ms_to_iso
from keen_client.server.moment import is_canonical, parse_canonical, parse_moment
from keen_client.server.refusal import (
    INVALID_COLLECTION,
    INVALID_EVENT,
    INVALID_KEEN,
    INVALID_PROPERTY_NAME,
    INVALID_PROPERTY_VALUE,
    KEEN_NOT_AN_OBJECT,
    bad_request,
)
from keen_client.server.tokens import MAX_TOKEN_LENGTH

MAX_EVENT_BYTES: Final = 900_000
MAX_BODY_BYTES: Final = 10_000_000
MAX_COLLECTION_NAME: Final = 64
MAX_PROPERTY_NAME: Final = 256
MAX_STRING: Final = 10_000
#: What the encoder of the stored text can bear.
MAX_DEPTH: Final = 250
MIN_INTEGER: Final = -(2**63)
MAX_INTEGER: Final = 2**63 - 1

_KEEN_MEMBERS: Final = frozenset({"timestamp", "uniqueness_token", "location", "addons", "id", "created_at"})
# Names repeat from event to event; remembering the good ones halves the cost of
# the check. Bounded, because senders choose the names.
_GOOD_NAMES: set[str] = set()
_MAX_GOOD_NAMES: Final = 4_096
_MAX_RECURSION: Final = 50


class Admitted(NamedTuple):
    """A normalised event. ``timestamp_ms`` is its time, ``token`` its uniqueness token, if it has one.

    ``addons`` is what it asks to be enriched with, as it was sent; None for nothing.
    """

    timestamp_ms: int
    token: str | None
    event: dict[str, Any]
    addons: object = None


def check_collection_name(name: str) -> None:
    """Raise the 400 of Keen when *name* cannot name a collection."""
    rule = ""
    if not name:
        rule = "must not be empty"
    elif len(name) > MAX_COLLECTION_NAME:
        rule = f"must have at most {MAX_COLLECTION_NAME} characters"
    elif not name.isascii() or not name.isprintable():
        rule = "must consist of printable ASCII characters"
    elif "$" in name:
        rule = "must not contain '$'"
    elif name.startswith("_"):
        rule = "must not start with '_'"
    elif name.startswith(".") or name.endswith("."):
        rule = "must not start or end with '.'"
    if rule:
        raise bad_request(INVALID_COLLECTION, f"Collection name {rule}. You specified: '{name[:80]}'.")


def admit(event: object, created_ms: int, created_iso: str, keen_id: str) -> Admitted:
    """Check and normalise one event, in place. Raises a 400 :class:`Refusal`."""
    if not isinstance(event, dict):
        raise bad_request(INVALID_EVENT, "An event must be a JSON object.")
    given = event.get("keen")
    if given is None and "keen" not in event:
        given = {}
    if not isinstance(given, dict):
        raise bad_request(KEEN_NOT_AN_OBJECT, "The property 'keen' must be an object.")
    check_names(event)
    if not _KEEN_MEMBERS.issuperset(given):
        name = min(given.keys() - _KEEN_MEMBERS)[:80]
        raise bad_request(
            INVALID_KEEN, f"The keen namespace has no such property. You specified: 'keen.{name}'."
        )
    token = given.get("uniqueness_token")
    if token is not None and not (isinstance(token, str) and 0 < len(token) <= MAX_TOKEN_LENGTH):
        raise bad_request(
            INVALID_PROPERTY_VALUE,
            f"keen.uniqueness_token must be a string of 1 to {MAX_TOKEN_LENGTH} characters.",
        )
    timestamp_ms, timestamp = _timestamp(given.get("timestamp"), created_ms, created_iso)
    given["timestamp"] = timestamp
    given["created_at"] = created_iso
    given["id"] = keen_id
    addons = given.pop("addons", None)
    event["keen"] = given
    return Admitted(timestamp_ms, token, event, addons)


def nulled(event: dict[str, Any]) -> dict[str, Any]:
    """*event* with every property null but ``keen``: what the platform's worst weeks read back."""
    return {name: (value if name == "keen" else None) for name, value in event.items()}


def retimed(event: dict[str, Any], timestamp_ms: int | None) -> dict[str, Any]:
    """*event* with another ``keen.timestamp``, or a null one."""
    text = None if timestamp_ms is None else ms_to_iso(timestamp_ms)
    return {**event, "keen": {**event["keen"], "timestamp": text}}


def reidentified(event: dict[str, Any], keen_id: str) -> dict[str, Any]:
    """A second copy of *event* as the platform makes one: everything alike but ``keen.id``."""
    return {**event, "keen": {**event["keen"], "id": keen_id}}


def encode(event: dict[str, Any]) -> str:
    """The compact JSON of an admitted *event*, with the limits checked that only few events come near.

    The encoder itself tells an event with a large integer, and a short text
    holds no long string; so most events are spared the walk over their values.
    """
    try:
        text = orjson.dumps(event, option=orjson.OPT_STRICT_INTEGER).decode()
        if len(text) < MAX_STRING:
            return text
    except orjson.JSONEncodeError:
        text = ""
    _check_values(event)
    return text or orjson.dumps(event).decode()


def _check_values(event: Mapping[str, Any]) -> None:
    waiting: list[Any] = [event]
    while waiting:
        node = waiting.pop()
        for value in node.values() if isinstance(node, dict) else node:
            if isinstance(value, str):
                if len(value) >= MAX_STRING:
                    text = f"A string must be shorter than {MAX_STRING} characters."
                    raise bad_request(INVALID_PROPERTY_VALUE, text)
            elif isinstance(value, int):
                if not MIN_INTEGER <= value <= MAX_INTEGER:
                    raise bad_request(INVALID_PROPERTY_VALUE, "An integer must fit into 64 bits.")
            elif isinstance(value, (dict, list)):
                waiting.append(value)


def _timestamp(given: object, created_ms: int, created_iso: str) -> tuple[int, str]:
    if given is None:
        return created_ms, created_iso
    if not isinstance(given, str):
        raise bad_request(INVALID_PROPERTY_VALUE, "keen.timestamp must be an ISO 8601 string.")
    try:
        if is_canonical(given):
            return parse_canonical(given), given
        moment = parse_moment(given)
        return moment, ms_to_iso(moment)
    except (ValueError, OverflowError):
        text = f"keen.timestamp must be an ISO 8601 time. You specified: '{given[:64]}'."
        raise bad_request(INVALID_PROPERTY_VALUE, text) from None


def check_names(node: dict[str, Any], depth: int = 1) -> None:
    """Raise the 400 of Keen where a name in *node* or below cannot name a property, or it is nested too deep.

    ``depth`` is that of *node*. The common, shallow shapes by recursion: it is twice as fast.
    """
    if not _GOOD_NAMES.issuperset(node):
        for name in node:
            _check_property_name(name)
    for value in node.values():
        kind = type(value)
        if kind is dict:
            if depth < _MAX_RECURSION:
                check_names(value, depth + 1)
            else:
                _check_deep([value], depth + 1)
        elif kind is list:
            below = [item for item in value if type(item) is dict or type(item) is list]
            if below:
                _check_deep(below, depth + 2)


def _check_deep(level: list[Any], depth: int) -> None:
    """The same, level by level, so that depth is a rule and not a stack overflow."""
    for _ in range(depth, MAX_DEPTH + 1):
        below: list[Any] = []
        for node in level:
            if type(node) is dict:
                for name in node:
                    _check_property_name(name)
                below += [value for value in node.values() if type(value) is dict or type(value) is list]
            else:
                below += [value for value in node if type(value) is dict or type(value) is list]
        if not below:
            return
        level = below
    raise bad_request(INVALID_PROPERTY_VALUE, f"An event may be nested at most {MAX_DEPTH} deep.")


def _check_property_name(name: str) -> None:
    rule = ""
    if name in _GOOD_NAMES:
        return
    if not name:
        rule = "must not be empty"
    elif len(name) > MAX_PROPERTY_NAME:
        rule = f"must have at most {MAX_PROPERTY_NAME} characters"
    elif "." in name:
        rule = "must not contain '.'"
    elif name.startswith("$"):
        rule = "must not start with '$'"
    if rule:
        raise bad_request(INVALID_PROPERTY_NAME, f"A property name {rule}. You specified: '{name[:80]}'.")
    if len(_GOOD_NAMES) >= _MAX_GOOD_NAMES:
        _GOOD_NAMES.clear()
    _GOOD_NAMES.add(name)
