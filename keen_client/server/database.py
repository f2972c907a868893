"""The DuckDB database of a server, and its files: for their owner alone, whatever the umask.

DuckDB makes files as the umask lets, and an umask is the whole process's: a
server within a program must not change it. What DuckDB finds it uses, so each
file is made here before events go into it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

import duckdb

from keen_client._foundation.files import PRIVATE_DIRECTORY_MODE, PRIVATE_FILE_MODE

#: At DuckDB's own 16 MB every second fold of 20,000 events ends in a checkpoint, and folding takes half as long again.
#: What came after the last checkpoint is in the write-ahead log, which the next start reads again.
CHECKPOINT_THRESHOLD: Final = "64MB"


class Database:
    """An open database. ``path`` None: in memory, and no query ever writes a file.

    Not thread-safe, as its one ``connection`` is not.
    """

    def __init__(self, path: Path | None) -> None:
        config: dict[str, str | bool | int | float | list[str]] = {
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "temp_directory": "" if path is None else f"{path}.tmp",
            "checkpoint_threshold": CHECKPOINT_THRESHOLD,
        }
        self._log = None if path is None else path.with_name(f"{path.name}.wal")
        self._spill = None if path is None else path.with_name(f"{path.name}.tmp")
        if self._spill is not None:
            self._spill.mkdir(mode=PRIVATE_DIRECTORY_MODE, exist_ok=True)
            self._spill.chmod(PRIVATE_DIRECTORY_MODE)
        self.connection = duckdb.connect(":memory:" if path is None else str(path), config=config)
        if path is not None:
            path.chmod(PRIVATE_FILE_MODE)
        # Nothing that a query can say reaches the file system or the network.
        self.connection.execute("SET enable_external_access = false")

    def expect_write(self) -> None:
        """Make the write-ahead log, which the next write goes into, where the last checkpoint took it away."""
        if self._log is not None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(self._log, flags, PRIVATE_FILE_MODE)
            try:
                os.fchmod(descriptor, PRIVATE_FILE_MODE)
            finally:
                os.close(descriptor)

    def close(self) -> None:
        """Close it; what was committed is in its file."""
        self.connection.close()
        if self._spill is not None:
            with suppress(OSError):  # another's, or not empty: nobody but its owner looks into it
                self._spill.rmdir()
