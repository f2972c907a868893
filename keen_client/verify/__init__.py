"""Floor 4: does the server hold what the log says? Reads, compares, remembers; sends nothing.

:class:`~keen_client.verify.verifier.Verifier` asks one query per collection
and, where windows differ, finds the very events. What was seen is stored in
``state.db``; :func:`~keen_client.verify.state.window_state` derives from it
what a window's state is and when to look again.
"""

from __future__ import annotations
