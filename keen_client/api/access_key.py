"""What an access key is: its definition, and what may stand in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypedDict

from keen_client.errors import InvalidQueryError, UsageError
from keen_client.queries.filters import parse_filters
from keen_client.queries.values import freeze, thaw

#: What a key may permit.
PERMISSIONS: Final = ("writes", "queries", "saved_queries", "cached_queries", "datasets", "schema")
#: The groups of a key's options.
OPTION_GROUPS: Final = ("writes", "queries", "saved_queries", "cached_queries", "datasets")
NAME_CHARS_MAX: Final = 256
#: The members of a key that can be chosen.
DEFINITION: Final = ("name", "is_active", "permitted", "options")


class AccessKey(TypedDict):
    """An access key as Keen shows it. ``key`` is the credential itself: mind where it is printed.

    ``permitted`` are of :data:`PERMISSIONS`; ``options`` has an object or None
    for each of :data:`OPTION_GROUPS`.
    """

    key: str
    name: str
    is_active: bool
    permitted: list[str]
    options: dict[str, Any]
    project_id: str


def checked_name(name: object) -> str:
    """*name*, if a key may have it.

    Raises:
        UsageError: It may not. Nothing was sent.
    """
    if not isinstance(name, str) or not 0 < len(name) <= NAME_CHARS_MAX or not _is_text(name):
        raise UsageError(
            f"an access key's name is a text of 1 to {NAME_CHARS_MAX} characters; nothing was sent",
            "give another name",
        )
    return name


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def checked_activity(value: object) -> bool:
    """*value*, if it is a boolean.

    Raises:
        UsageError: It is not. Nothing was sent.
    """
    if not isinstance(value, bool):
        raise UsageError("is_active is not True or False; nothing was sent", "correct it")
    return value


def checked_permissions(value: Iterable[str]) -> list[str]:
    """*value* as a list, each once.

    Raises:
        UsageError: Something else than :data:`PERMISSIONS` is among them. Nothing was sent.
    """
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise UsageError("permissions are a list of texts; nothing was sent", f"of {', '.join(PERMISSIONS)}")
    members = list(value)
    for member in members:
        if member not in PERMISSIONS:
            raise UsageError(
                f"{str(member)[:40]!r} is nothing that an access key permits; nothing was sent",
                f"one of {', '.join(PERMISSIONS)}",
            )
    return list(dict.fromkeys(members))


def checked_options(value: object) -> dict[str, Any]:
    """A plain copy of *value*, if a key may have such options.

    Raises:
        UsageError: An unknown group, a filter that Keen would refuse, or what JSON cannot hold. Nothing was sent.
    """
    if not isinstance(value, Mapping):
        raise UsageError("options are not a dict; nothing was sent", f"of {', '.join(OPTION_GROUPS)}")
    for group, member in value.items():
        if group not in OPTION_GROUPS:
            raise UsageError(
                f"{str(group)[:40]!r} is no group of options, and would restrict nothing; nothing was sent",
                f"one of {', '.join(OPTION_GROUPS)}",
            )
        if member is not None and not isinstance(member, Mapping):
            raise UsageError(f"the options of {group} are not a dict; nothing was sent", "correct them")
    try:
        parse_filters((value.get("queries") or {}).get("filters"))
        copy: dict[str, Any] = thaw(freeze(value, "options"))
    except InvalidQueryError as error:
        raise UsageError(f"options: {error.message}", error.hint) from None
    return copy
