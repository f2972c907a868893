"""The one project that a local server holds: its id and its three keys."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Collection, Mapping

import attrs

from keen_client.server.permission import Permission
from keen_client.server.refusal import ADMIN_ONLY, INVALID_KEY, Refusal


@attrs.frozen
class Project:
    """A project's id and keys. Keys never appear in the repr."""

    id: str
    write_key: str = attrs.field(repr=False)
    read_key: str = attrs.field(repr=False)
    master_key: str = attrs.field(repr=False)
    name: str = "Local"

    @classmethod
    def made_up(cls) -> Project:
        """A project of the shape that Keen's have: an id of 24 hex characters, keys of 64."""
        return cls(
            id=secrets.token_hex(12),
            write_key=secrets.token_hex(32).upper(),
            read_key=secrets.token_hex(32).upper(),
            master_key=secrets.token_hex(32).upper(),
        )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], fallback: Project | None = None) -> Project:
        """``KEEN_PROJECT_ID`` and ``KEEN_{WRITE,READ,MASTER}_KEY`` where set, else *fallback*, else made up."""
        base = fallback or cls.made_up()
        return cls(
            id=environment.get("KEEN_PROJECT_ID") or base.id,
            write_key=environment.get("KEEN_WRITE_KEY") or base.write_key,
            read_key=environment.get("KEEN_READ_KEY") or base.read_key,
            master_key=environment.get("KEEN_MASTER_KEY") or base.master_key,
            name=base.name,
        )

    def require(self, presented: str | None, needs: Collection[Permission]) -> None:
        """Let a call through whose route *needs* any of these permissions, or raise a 401 :class:`Refusal`.

        All three comparisons are made, each in constant time, whatever the
        first ones said.
        """
        given = (presented or "").strip().encode()
        is_write = hmac.compare_digest(given, self.write_key.encode())
        is_read = hmac.compare_digest(given, self.read_key.encode())
        is_master = hmac.compare_digest(given, self.master_key.encode())
        if is_master or (is_write and Permission.WRITES in needs):
            return
        if not (is_write or is_read):
            raise Refusal(401, INVALID_KEY, "API key invalid.")
        if not needs:
            raise Refusal(401, ADMIN_ONLY, "This call needs the master key.")
        if is_write or Permission.WRITES in needs:
            verb = "writing" if Permission.WRITES in needs else "reading"
            raise Refusal(401, INVALID_KEY, f"API key not valid for {verb}.")
