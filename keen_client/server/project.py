"""The one project that a local server holds: its id and its three keys."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

import attrs


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
