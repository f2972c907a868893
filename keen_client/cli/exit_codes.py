"""Exit statuses. Other programs rely on them; the bits of a verification come from its report."""

from __future__ import annotations

from typing import Final

OK: Final = 0
ERROR: Final = 1
USAGE: Final = 2
#: Another nightly or replay job holds the lock (EX_TEMPFAIL: try again later).
LOCKED: Final = 75

#: ``send``: events became dead letters in this call.
NEW_DEAD_LETTERS: Final = 16
#: ``send``: events are left in the log. ``status``: something is past a horizon.
LEFT: Final = 32
#: ``doctor``: something is damaged. ``status``: a segment cannot be read, or is gone.
DAMAGE: Final = 16
#: ``doctor``: something is not as it should be.
WARNINGS: Final = 32

#: 128 and the number of the signal, as shells count.
INTERRUPTED: Final = 130
PIPE_CLOSED: Final = 141
TERMINATED: Final = 143
