"""Why delivery waits, kept in the log, so that other processes can tell it and a person need not search log lines."""

from __future__ import annotations

from typing import Any, Final

import attrs
import orjson

from keen_client._foundation.clock import ms_to_iso
from keen_client.eventlog.state import State

_FACT: Final = "delivery_waits"


@attrs.frozen
class Waiting:
    """The sender waits for ``reason`` since ``since_ms`` (UTC milliseconds); ``hint`` is what to do, or empty.

    Neither has a key or anything of an event.
    """

    since_ms: int
    reason: str
    hint: str

    def document(self) -> dict[str, Any]:
        """As ``status --json`` shows it."""
        return {"since": ms_to_iso(self.since_ms), "reason": self.reason, "hint": self.hint or None}


def read_waiting(state: State) -> Waiting | None:
    """Why the last sender of this log waited when it was last heard of; None when its last request went through."""
    noted = orjson.loads(state.fact(_FACT) or "null")
    return None if noted is None else Waiting(**noted)


def note_waiting(state: State, waiting: Waiting | None) -> None:
    """Keep why delivery waits from now on, or that it does not.

    Raises:
        EventLogError: the log's own disk failed.
    """
    noted = None if waiting is None else attrs.asdict(waiting)
    state.note(_FACT, orjson.dumps(noted).decode())
