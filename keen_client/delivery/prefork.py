"""Whether this process is about to fork in C, which no hook of Python sees.

uWSGI loads the application, forks its workers in C, and never runs Python in
its master again. A thread that was started before would stand still there for
good, wherever it was: with the sender's lock, or in a transaction of
``state.db`` that all other processes then wait for (tried: they gave up after
thirty seconds, each). So no thread is started before that fork; what was
recorded until then lies in the log, and a worker sends it.
"""

from __future__ import annotations

import sys


def is_before_fork_in_c() -> bool:
    """Whether this is uWSGI before it has made its workers (or its spooler, which needs no thread either)."""
    uwsgi = sys.modules.get("uwsgi")  # there is such a module in its processes only, and it is always loaded
    if uwsgi is None:
        return False
    worker_id, mule_id = getattr(uwsgi, "worker_id", None), getattr(uwsgi, "mule_id", None)
    return worker_id is not None and mule_id is not None and not worker_id() and not mule_id()
