"""A finding: one thing that the doctor looked at or mended, in words."""

from __future__ import annotations

from typing import Final, Literal

import attrs

Level = Literal["ok", "warning", "damage", "repaired"]

#: The hint of whatever a repair mends.
REPAIR: Final = "run `keen-client doctor --repair`"


@attrs.frozen
class Finding:
    """One thing that was looked at. ``name`` is stable; ``hint`` says what to do, if anything is to be done."""

    level: Level
    name: str
    message: str
    hint: str = ""
