"""What Keen accepts as an event, and what it makes of it.

Pure functions: an event comes in as parsed JSON, and goes out normalised (its
``keen`` object filled in, its timestamp in UTC with milliseconds), or as a
:class:`~keen_client.server.refusal.Refusal` that names the broken rule.
"""

from __future__ import annotations

from typing import Any, Final

import attrs

from keen_client._foundation.clock import ms_to_iso
from keen_client.server.moment import is_canonical, parse_moment
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
MAX_DEPTH: Final = 1_000
MIN_INTEGER: Final = -(2**63)
MAX_INTEGER: Final = 2**63 - 1

_KEEN_MEMBERS: Final = frozenset({"timestamp", "uniqueness_token", "location", "addons", "id", "created_at"})
# Names repeat from event to event; remembering the good ones halves the cost of
# the check. Bounded, because senders choose the names.
_GOOD_NAMES: set[str] = set()
_MAX_GOOD_NAMES: Final = 4_096


@attrs.frozen
class Admitted:
    """A normalised event. ``timestamp_ms`` is its time, ``token`` its uniqueness token, if it has one."""

    timestamp_ms: int
    token: str | None
    event: dict[str, Any]


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


def admit(event: object, *, created_ms: int, created_iso: str, keen_id: str) -> Admitted:
    """Check and normalise one event, in place. Raises a 400 :class:`Refusal`."""
    if not isinstance(event, dict):
        raise bad_request(INVALID_EVENT, "An event must be a JSON object.")
    given = event.get("keen")
    if given is None and "keen" not in event:
        given = {}
    if not isinstance(given, dict):
        raise bad_request(KEEN_NOT_AN_OBJECT, "The property 'keen' must be an object.")
    _check_object(event)
    unknown = given.keys() - _KEEN_MEMBERS
    if unknown:
        name = min(unknown)[:80]
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
    keen: dict[str, Any] = {"timestamp": timestamp, "created_at": created_iso, "id": keen_id}
    if token is not None:
        keen["uniqueness_token"] = token
    if "location" in given:
        keen["location"] = given["location"]
    event["keen"] = keen
    return Admitted(timestamp_ms, token, event)


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


def _timestamp(given: object, created_ms: int, created_iso: str) -> tuple[int, str]:
    if given is None:
        return created_ms, created_iso
    if not isinstance(given, str):
        raise bad_request(INVALID_PROPERTY_VALUE, "keen.timestamp must be an ISO 8601 string.")
    try:
        moment = parse_moment(given)
        return moment, (given if is_canonical(given) else ms_to_iso(moment))
    except (ValueError, OverflowError):
        text = f"keen.timestamp must be an ISO 8601 time. You specified: '{given[:64]}'."
        raise bad_request(INVALID_PROPERTY_VALUE, text) from None


def _check_object(event: dict[str, Any]) -> None:
    """Walk *event* without recursion, so that depth is a rule and not a stack overflow."""
    pending: list[tuple[Any, int]] = [(event, 1)]
    while pending:
        node, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise bad_request(INVALID_PROPERTY_VALUE, f"An event may be nested at most {MAX_DEPTH} deep.")
        if isinstance(node, dict):
            if not _GOOD_NAMES.issuperset(node):
                for name in node:
                    _check_property_name(name)
            members = node.values()
        else:
            members = node
        for value in members:
            kind = type(value)
            if kind is str:
                if len(value) >= MAX_STRING:
                    raise bad_request(
                        INVALID_PROPERTY_VALUE, f"A string must be shorter than {MAX_STRING} characters."
                    )
            elif kind is int:
                if not MIN_INTEGER <= value <= MAX_INTEGER:
                    raise bad_request(INVALID_PROPERTY_VALUE, "An integer must fit into 64 bits.")
            elif kind is dict or kind is list:
                pending.append((value, depth + 1))


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
