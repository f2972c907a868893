"""Access keys: what a project's owner lets the holder of one key do, as a checked value.

An option that is not understood is refused: it was meant to restrict, and a key
that restricts less than its owner believes is worse than none.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final

import attrs

from keen_client.server.credential import Credential, Holder, Limit
from keen_client.server.filters import Filter, parse_filters
from keen_client.server.ingest import admit
from keen_client.server.json_input import is_deeper
from keen_client.server.permission import Permission
from keen_client.server.refusal import INVALID_PARAMETER, MISSING_PARAMETER, Refusal, bad_request

MAX_NAME: Final = 256
#: The option groups, and the members that each may have.
OPTIONS: Final[Mapping[str, frozenset[str]]] = {
    "saved_queries": frozenset({"allowed", "blocked", "filters"}),
    "writes": frozenset({"autofill"}),
    "datasets": frozenset({"operations", "allowed", "blocked"}),
    "cached_queries": frozenset({"allowed", "blocked"}),
    "queries": frozenset({"filters"}),
}
DATASET_OPERATIONS: Final = frozenset({"read", "list", "retrieve"})
MAX_AUTOFILL_DEPTH: Final = 50

_PERMITTED: Final = {permission.value: permission for permission in Permission}


@attrs.frozen
class AccessKey:
    """One access key. ``options`` has every group, None where unset. The key stays out of the repr."""

    key: str = attrs.field(repr=False)
    name: str
    is_active: bool
    permitted: tuple[str, ...]
    options: Mapping[str, Mapping[str, Any] | None] = attrs.field(repr=False)

    @classmethod
    def parse(cls, key: str, given: object) -> AccessKey:
        """The key that *given*, the body of a create or update, describes. Raises a 400 refusal.

        What is absent has its default: active, nothing permitted, no options.
        """
        if not isinstance(given, Mapping):
            raise bad_request(INVALID_PARAMETER, "An access key must be a JSON object; nothing was changed.")
        name = given.get("name")
        if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
            text = f"name must be a string of 1 to {MAX_NAME} characters; nothing was changed."
            raise bad_request(MISSING_PARAMETER if name is None else INVALID_PARAMETER, text)
        is_active = given.get("is_active", True)
        if not isinstance(is_active, bool):
            raise _invalid("is_active must be true or false")
        permitted = _names(given.get("permitted", []), "permitted", frozenset(_PERMITTED))
        made = cls(key, name, is_active, tuple(dict.fromkeys(permitted)), _options(given.get("options")))
        made.credential()
        return made

    def document(self, project_id: str) -> dict[str, Any]:
        """The key object of replies."""
        return {
            "key": self.key,
            "name": self.name,
            "is_active": self.is_active,
            "permitted": list(self.permitted),
            "project_id": project_id,
            "options": dict(self.options),
        }

    def credential(self) -> Credential:
        """What the key permits. Raises a 400 refusal where a filter or an autofill is not valid."""
        groups = {name: group or {} for name, group in self.options.items()}
        filters_by: dict[Permission, tuple[Filter, ...]] = {
            permission: parse_filters(groups[permission.value].get("filters"))
            for permission in (Permission.QUERIES, Permission.SAVED_QUERIES)
        }
        limits = {
            permission: _limit(groups[permission.value], by_name=permission is Permission.DATASETS)
            for permission in (Permission.SAVED_QUERIES, Permission.CACHED_QUERIES, Permission.DATASETS)
        }
        return Credential(
            Holder.ACCESS,
            frozenset(_PERMITTED[name] for name in self.permitted),
            filters_by,
            _autofill(groups["writes"].get("autofill")),
            limits,
            _index_values(groups["datasets"].get("allowed")),
        )


def autofilled(event: object, autofill: Mapping[str, Any] | None) -> object:
    """*event* with *autofill* merged into it, in place: objects merge, everything else is replaced."""
    if autofill is not None and isinstance(event, dict):
        for name, value in autofill.items():
            held = event.get(name)
            if isinstance(value, dict) and isinstance(held, dict):
                autofilled(held, value)
            else:
                # Normalising changes events in place, and this value is in each of them.
                event[name] = copy.deepcopy(value)
    return event


def _options(given: object) -> dict[str, Mapping[str, Any] | None]:
    if given is None:
        given = {}
    if not isinstance(given, Mapping):
        raise _invalid("options must be an object")
    unknown = sorted(given.keys() - OPTIONS.keys())
    if unknown:
        raise _invalid(f"options has no group '{unknown[0][:64]}'")
    options: dict[str, Mapping[str, Any] | None] = {}
    for name, members in OPTIONS.items():
        group = given.get(name)
        if group is not None:
            if not isinstance(group, Mapping):
                raise _invalid(f"options.{name} must be an object or null")
            unknown = sorted(group.keys() - members)
            if unknown:
                raise _invalid(f"options.{name} has no member '{unknown[0][:64]}'")
        options[name] = group
    return options


def _limit(group: Mapping[str, Any], *, by_name: bool) -> Limit:
    allowed, blocked, operations = (group.get(name) for name in ("allowed", "blocked", "operations"))
    # A dataset's allowed is an object, by name; its names are what it has in common with a list.
    if by_name and isinstance(allowed, Mapping):
        allowed = list(allowed)
    return Limit(
        None if allowed is None else frozenset(_names(allowed, "allowed")),
        frozenset(_names(blocked, "blocked")) if blocked is not None else frozenset(),
        None if operations is None else frozenset(_names(operations, "operations", DATASET_OPERATIONS)),
    )


def _index_values(allowed: object) -> dict[str, dict[str, tuple[Any, ...]]]:
    """By dataset and property the values that ``{"<dataset>": {"index_by": {"<property>": [...]}}}`` allows."""
    found: dict[str, dict[str, tuple[Any, ...]]] = {}
    for name, limit in allowed.items() if isinstance(allowed, Mapping) else ():
        if limit is None or limit == {}:
            continue
        index = limit.get("index_by") if isinstance(limit, Mapping) and len(limit) == 1 else None
        if not isinstance(index, Mapping) or not all(isinstance(values, list) for values in index.values()):
            raise _invalid(
                "each of options.datasets.allowed must be {} or {'index_by': {property: [values]}}"
            )
        found[name] = {path: tuple(values) for path, values in index.items()}
    return found


def _autofill(given: object) -> Mapping[str, Any] | None:
    if given is None:
        return None
    if not isinstance(given, dict) or is_deeper(given, MAX_AUTOFILL_DEPTH):
        raise _invalid(f"autofill must be an object, nested at most {MAX_AUTOFILL_DEPTH} deep")
    try:
        admit(copy.deepcopy(given), 0, "", "")
    except Refusal as refusal:
        raise _invalid(f"autofill is no valid part of an event: {refusal.message}") from None
    return given


def _names(value: object, what: str, known: frozenset[str] | None = None) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise _invalid(f"{what} must be a list of names")
    unknown = sorted(set(value) - known) if known is not None else []
    if unknown:
        raise _invalid(f"{what} cannot hold '{unknown[0][:64]}'")
    return value


def _invalid(problem: str) -> Refusal:
    return bad_request(INVALID_PARAMETER, f"{problem}; nothing was changed.")
