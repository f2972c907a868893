"""Access keys: credentials with chosen permissions, made and changed with the master key.

Keen replaces a key's whole definition at an update, so a change of one part is
two requests, a read and a write; whoever changes the same key in between is
overwritten. The key itself is in the address of each request and in each
answer; no message and no log line of this package shows it.
"""

# mypy: disable-error-code="no-any-return"
# What run_steps makes of steps is its class's own affair: see StepMethods.

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Generic, TypeVar, cast

from keen_client.api.access_key import (
    DEFINITION,
    AccessKey,
    checked_activity,
    checked_name,
    checked_options,
    checked_permissions,
)
from keen_client.api.answers import read_object
from keen_client.api.call import Call, asking, changing, read_done, read_list, retell
from keen_client.api.json_text import encode
from keen_client.api.steps import StepMethods, Steps
from keen_client.errors import ApiError, UsageError
from keen_client.transport.message import Response
from keen_client.transport.secret import Secret

_KEY: Final = re.compile(r"[0-9A-Za-z_-]{1,256}")
_NO_CONTENT: Final = 204

KeyR = TypeVar("KeyR")
KeysR = TypeVar("KeysR")
DoneR = TypeVar("DoneR")


def create_access_key(
    name: str, is_active: object, permitted: Iterable[str], options: Mapping[str, Any] | None
) -> Steps[AccessKey]:
    """Make a key."""
    definition = {
        "name": checked_name(name),
        "is_active": checked_activity(is_active),
        "permitted": checked_permissions(permitted),
        "options": checked_options({} if options is None else options),
    }
    return changing(
        Call(method="POST", path="/keys", key_class="master", read=_read_key, body=encode(definition)),
        "the access key",
        "created",
        "list_access_keys() with its name shows whether it is there",
    )


def list_access_keys(name: str | None = None) -> Steps[list[AccessKey]]:
    """Ask for all keys, or those of one name."""
    params = () if name is None else (("name", checked_name(name)),)
    return asking(Call(method="GET", path="/keys", key_class="master", read=_read_keys, params=params))


def get_access_key(key: str) -> Steps[AccessKey]:
    """Ask for one key's definition."""
    path, hidden = _place(key)
    return asking(Call(method="GET", path=path, key_class="master", read=_read_key, hidden=hidden))


def update_access_key_full(
    key: str, name: str, is_active: object, permitted: Iterable[str], options: Mapping[str, Any]
) -> Steps[AccessKey]:
    """Replace a key's whole definition."""
    definition = {
        "name": checked_name(name),
        "is_active": checked_activity(is_active),
        "permitted": checked_permissions(permitted),
        "options": checked_options(options),
    }
    return _put(key, definition)


def update_access_key_name(key: str, name: str) -> Steps[AccessKey]:
    """Replace a key's name."""
    changes = {"name": checked_name(name)}
    return _amend(key, lambda _: changes)


def update_access_key_permissions(key: str, permissions: Iterable[str]) -> Steps[AccessKey]:
    """Replace a key's permissions."""
    changes = {"permitted": checked_permissions(permissions)}
    return _amend(key, lambda _: changes)


def update_access_key_options(key: str, options: Mapping[str, Any]) -> Steps[AccessKey]:
    """Replace a key's options."""
    changes = {"options": checked_options(options)}
    return _amend(key, lambda _: changes)


def add_access_key_permissions(key: str, permissions: Iterable[str]) -> Steps[AccessKey]:
    """Add to a key's permissions."""
    more = checked_permissions(permissions)
    return _amend(key, lambda before: {"permitted": list(dict.fromkeys([*before["permitted"], *more]))})


def remove_access_key_permissions(key: str, permissions: Iterable[str]) -> Steps[AccessKey]:
    """Take some of a key's permissions away."""
    less = checked_permissions(permissions)
    return _amend(
        key, lambda before: {"permitted": [each for each in before["permitted"] if each not in less]}
    )


def revoke_access_key(key: str) -> Steps[AccessKey]:
    """Make a key of no use."""
    return _switch(key, "revoke", "revoked")


def unrevoke_access_key(key: str) -> Steps[AccessKey]:
    """Make a revoked key usable again."""
    return _switch(key, "unrevoke", "unrevoked")


def delete_access_key(key: str) -> Steps[bool]:
    """Delete a key."""
    path, hidden = _place(key)
    return changing(
        Call(method="DELETE", path=path, key_class="master", read=read_done, hidden=hidden),
        "the access key",
        "deleted",
        "get_access_key() raises NotFoundError when it is gone",
    )


class AccessKeyMethods(StepMethods, Generic[KeyR, KeysR, DoneR]):
    """Access keys (master key). Arguments are checked at the call: ``UsageError``, and nothing was sent."""

    def create_access_key(
        self,
        name: str,
        is_active: bool = True,  # noqa: FBT001, FBT002 - the official client's parameter
        permitted: Iterable[str] = (),
        options: Mapping[str, Any] | None = None,
    ) -> KeyR:
        """Make a key; the answer's ``key`` is the credential.

        *permitted* are of ``writes``, ``queries``, ``saved_queries``,
        ``cached_queries``, ``datasets``, ``schema``; without any the key may do
        nothing. *options* restrict them further, such as ``{"queries":
        {"filters": [...]}}`` or ``{"writes": {"autofill": {...}}}``. An unknown
        group of options is refused: a misspelt one would restrict nothing.
        """
        return self.run_steps(create_access_key(name, is_active, permitted, options))

    def list_access_keys(self, *, name: str | None = None) -> KeysR:
        """All keys of the project; with *name* only those that have just this name."""
        return self.run_steps(list_access_keys(name))

    def get_access_key(self, key: str) -> KeyR:
        """One key's definition."""
        return self.run_steps(get_access_key(key))

    def update_access_key_name(self, key: str, name: str) -> KeyR:
        """Replace the name and leave the rest; reads the key first."""
        return self.run_steps(update_access_key_name(key, name))

    def add_access_key_permissions(self, key: str, permissions: Iterable[str]) -> KeyR:
        """Add to what the key permits; reads the key first."""
        return self.run_steps(add_access_key_permissions(key, permissions))

    def remove_access_key_permissions(self, key: str, permissions: Iterable[str]) -> KeyR:
        """Take from what the key permits; reads the key first."""
        return self.run_steps(remove_access_key_permissions(key, permissions))

    def update_access_key_permissions(self, key: str, permissions: Iterable[str]) -> KeyR:
        """Replace what the key permits and leave the rest; reads the key first."""
        return self.run_steps(update_access_key_permissions(key, permissions))

    def update_access_key_options(self, key: str, options: Mapping[str, Any]) -> KeyR:
        """Replace the options and leave the rest; reads the key first."""
        return self.run_steps(update_access_key_options(key, options))

    def update_access_key_full(
        self,
        key: str,
        name: str,
        is_active: bool,  # noqa: FBT001 - the official client's parameter
        permitted: Iterable[str],
        options: Mapping[str, Any],
    ) -> KeyR:
        """Replace the whole definition."""
        return self.run_steps(update_access_key_full(key, name, is_active, permitted, options))

    def revoke_access_key(self, key: str) -> KeyR:
        """Make the key of no use, until it is unrevoked; returns its definition."""
        return self.run_steps(revoke_access_key(key))

    def unrevoke_access_key(self, key: str) -> KeyR:
        """Make a revoked key usable again; returns its definition."""
        return self.run_steps(unrevoke_access_key(key))

    def delete_access_key(self, key: str) -> DoneR:
        """Delete the key for good; True when it is done."""
        return self.run_steps(delete_access_key(key))


def _amend(key: str, change: Callable[[AccessKey], Mapping[str, Any]]) -> Steps[AccessKey]:
    """Read the key, and write back its definition with what *change* makes of it. Checks the key at the call."""
    _place(key)

    def steps() -> Steps[AccessKey]:
        before = yield from get_access_key(key)
        kept = {name: member for name, member in before.items() if name in DEFINITION}
        return (yield from _put(key, {**kept, **change(before)}))

    return steps()


def _put(key: str, definition: Mapping[str, Any]) -> Steps[AccessKey]:
    path, hidden = _place(key)
    body = encode(definition)
    return changing(
        Call(method="POST", path=path, key_class="master", read=_read_key, body=body, hidden=hidden),
        "the access key",
        "changed",
        "get_access_key() shows whether it was",
    )


def _switch(key: str, action: str, participle: str) -> Steps[AccessKey]:
    """Revoke or unrevoke; the definition is read back where the answer has none."""
    path, hidden = _place(key)
    call = Call(
        method="POST", path=f"{path}/{action}", key_class="master", read=_read_key_or_done, hidden=hidden
    )

    def steps() -> Steps[AccessKey]:
        shown = yield from changing(
            call, "the access key", participle, "get_access_key() shows whether it is_active"
        )
        if shown is not None:
            return shown
        try:
            return (yield from get_access_key(key))
        except ApiError as error:
            retell(error, f"the access key was {participle}; reading it back failed: {error.message}")
            raise

    return steps()


def _place(key: object) -> tuple[str, tuple[Secret, ...]]:
    """The key's path, and the key as a secret within it."""
    if not isinstance(key, str) or _KEY.fullmatch(key) is None:
        raise UsageError(
            "that is no access key; nothing was sent", "give its `key`, usually 64 hexadecimal characters"
        )
    return f"/keys/{key}", (Secret(key),)


def _read_key(response: Response) -> AccessKey:
    return cast("AccessKey", read_object(response, "key", *DEFINITION))


def _read_key_or_done(response: Response) -> AccessKey | None:
    if response.status == _NO_CONTENT and read_done(response):
        return None
    return _read_key(response)


def _read_keys(response: Response) -> list[AccessKey]:
    return read_list(response, "key", *DEFINITION)
