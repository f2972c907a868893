"""What a key may permit."""

from __future__ import annotations

from enum import Enum
from typing import Final


class Permission(Enum):
    """What a key may permit; the names are those of an access key's ``permitted``."""

    WRITES = "writes"
    QUERIES = "queries"
    SAVED_QUERIES = "saved_queries"
    CACHED_QUERIES = "cached_queries"
    DATASETS = "datasets"
    SCHEMA = "schema"


#: The permissions of a route that only the master key opens: no other key has any of them.
MASTER_ONLY: Final[frozenset[Permission]] = frozenset()
#: What a route needs that anybody may call, without a key.
PUBLIC: Final = None
