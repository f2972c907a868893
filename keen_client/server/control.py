"""The control endpoint: change the faults of a running server, read their counters, bring back what is not seen."""

from __future__ import annotations

from typing import Any

from keen_client.server.misbehaviour import FaultEngine
from keen_client.server.refusal import INVALID_PARAMETER, bad_request
from keen_client.server.store import Store


class Control:
    """What ``/_control`` does. Thread-safe. Also for use in process, without HTTP."""

    def __init__(self, store: Store, faults: FaultEngine) -> None:
        self._store = store
        self._faults = faults
        self.forget_stored()

    def document(self) -> dict[str, Any]:
        """The faults that are on, and how often each has struck."""
        return {"faults": self._faults.faults.document(), "counters": dict(self._faults.counters)}

    def change(self, changes: object) -> dict[str, Any]:
        """Change faults; see :meth:`keen_client.server.faults.Faults.changed`. A wrong one changes nothing: 400."""
        if not isinstance(changes, dict):
            raise bad_request(INVALID_PARAMETER, "The body must be an object of faults.")
        try:
            self._faults.change(changes)
        except ValueError as error:
            raise bad_request(INVALID_PARAMETER, f"{error}; nothing was changed") from None
        if "forget" in changes:
            self.forget_stored()
        return self.document()

    def release(self) -> dict[str, int]:
        """Make every delayed event visible at once."""
        return {"released": self._store.release()}

    def resurrect(self) -> dict[str, int]:
        """Make every event that has vanished visible again, for good."""
        return {"resurrected": self._store.resurrect()}

    def forget_stored(self) -> None:
        """Carry out ``forget`` on what is stored already."""
        window = self._faults.faults.forget
        if window is not None:
            gone = self._store.forget(window)
            self._faults.count("forget", len(gone))
            self._faults.remember_struck(gone)
