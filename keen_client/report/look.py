"""How much a report shows, and in which characters."""

from __future__ import annotations

from typing import Literal

import attrs


@attrs.frozen(kw_only=True)
class Look:
    """How a verification is shown.

    ``by``: maps of days, or one row for each origin, which is a segment.
    ``windows_max``: windows told singly; ``list_max``: events named in the
    whole report, and beyond it they are counted. ``settle_ms`` None: the
    preset's own. ``has_hints``: whether there is still a log to look into.
    """

    by: Literal["day", "origin"] = "day"
    ascii_only: bool = False
    days_max: int = 62
    windows_max: int = 20
    segments_max: int = 10
    list_max: int = 100
    settle_ms: int | None = None
    has_hints: bool = True
