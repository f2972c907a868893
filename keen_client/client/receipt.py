"""The receipt: what ``add_event`` gives back."""

from __future__ import annotations

from datetime import datetime

import attrs


@attrs.frozen
class Receipt:
    """Proof that an event is in the log, at the durability chosen.

    ``id`` names the event for ever, here and at the server (``kc.id``); None
    where recording is switched off. ``timestamp`` is ``keen.timestamp``, aware,
    UTC, whole milliseconds.
    """

    id: str | None
    collection: str
    timestamp: datetime
