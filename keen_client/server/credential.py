"""What the presented key may do: one value, made once a request, that every decision asks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum
from typing import Any, Final

import attrs

from keen_client.server.filters import Filter
from keen_client.server.permission import Permission
from keen_client.server.refusal import ADMIN_ONLY, INVALID_KEY, REQUEST_FORBIDDEN, Refusal


class Holder(Enum):
    """The classes of keys."""

    MASTER = "master key"
    WRITE = "write key"
    READ = "read key"
    ACCESS = "access key"
    SCOPED = "scoped key"


@attrs.frozen
class Limit:
    """What one permission of an access key is limited to.

    ``allowed`` and ``operations``: None for all. A name that is both allowed and
    blocked is blocked.
    """

    allowed: frozenset[str] | None = None
    blocked: frozenset[str] = frozenset()
    operations: frozenset[str] | None = None

    def admits(self, name: str | None, operation: str | None) -> bool:
        """Whether *operation* on *name* is within the limit; None asks about no name or operation in particular."""
        if name is not None and (
            name in self.blocked or (self.allowed is not None and name not in self.allowed)
        ):
            return False
        return operation is None or self.operations is None or operation in self.operations


_NO_LIMIT: Final = Limit()


@attrs.frozen
class Credential:
    """What a key permits. Immutable; holds no key.

    ``filters_by``: filters that are ANDed onto what is read under a permission.
    ``autofill``: merged into each event written. ``index_values``: by dataset
    and property, the only index values that may be read.
    """

    holder: Holder
    permissions: frozenset[Permission]
    filters_by: Mapping[Permission, tuple[Filter, ...]] = attrs.field(factory=dict)
    autofill: Mapping[str, Any] | None = attrs.field(default=None, repr=False)
    limits: Mapping[Permission, Limit] = attrs.field(factory=dict)
    index_values: Mapping[str, Mapping[str, tuple[Any, ...]]] = attrs.field(factory=dict, repr=False)

    @property
    def filters(self) -> tuple[Filter, ...]:
        """What is ANDed onto every ad-hoc query (onto each step of a funnel)."""
        return self.filters_for(Permission.QUERIES)

    def filters_for(self, permission: Permission) -> tuple[Filter, ...]:
        """What is ANDed onto whatever is read under *permission*."""
        return self.filters_by.get(permission, ())

    def may(self, permission: Permission, name: str | None = None, operation: str | None = None) -> bool:
        """Whether the key permits *operation* (``read``, ``list`` or ``retrieve`` a dataset) on *name*."""
        if permission not in self.permissions:
            return False
        return self.limits.get(permission, _NO_LIMIT).admits(name, operation)

    def blocks(self, permissions: Collection[Permission], name: str) -> bool:
        """Whether *name* is blocked under any of *permissions*, given or not: another of them does not open it."""
        return any(name in self.limits.get(permission, _NO_LIMIT).blocked for permission in permissions)

    def may_read_index(self, dataset: str, index: Mapping[str, Any]) -> bool:
        """Whether the results of *dataset* for these index values (by property) may be read."""
        allowed = self.index_values.get(dataset, {})
        return all(
            name in index and any(_is_same(index[name], value) for value in values)
            for name, values in allowed.items()
        )

    def require(self, needs: Collection[Permission]) -> None:
        """Pass, where the key has any permission of *needs*; none there means: only the master key.

        Raises a :class:`Refusal`: 401 for a project's own key of the wrong class,
        403 for an access key or scoped key that was not given the permission.
        """
        if self.holder is Holder.MASTER or any(self.may(permission) for permission in needs):
            return
        if not needs:
            raise Refusal(401, ADMIN_ONLY, "This call needs the master key.")
        if self.holder in (Holder.READ, Holder.WRITE):
            verb = "writing" if Permission.WRITES in needs else "reading"
            raise Refusal(401, INVALID_KEY, f"API key not valid for {verb}.")
        raise forbidden()

    def demand(self, permission: Permission, name: str, operation: str | None = None) -> None:
        """Pass, where :meth:`may` is true; raise a 403 :class:`Refusal` where it is not."""
        if not self.may(permission, name, operation):
            raise forbidden()


def _is_same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal; unlike Python's, JSON's ``true`` is not 1."""
    return isinstance(one, bool) is isinstance(other, bool) and bool(one == other)


#: What a request may do before its key was looked at.
NOBODY: Final = Credential(Holder.SCOPED, frozenset())


def forbidden() -> Refusal:
    """A 403: the key is good, but not for this."""
    text = "You are not allowed to run this request; check what the API key permits."
    return Refusal(403, REQUEST_FORBIDDEN, text)
