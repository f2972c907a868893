"""The directions of ``order_by``."""

from __future__ import annotations

from typing import Final

__all__ = ["ASCENDING", "DESCENDING", "is_valid_direction"]

ASCENDING: Final = "ASC"
DESCENDING: Final = "DESC"


def is_valid_direction(direction_string: object) -> bool:
    """Whether Keen knows it."""
    return direction_string in (ASCENDING, DESCENDING)
