"""Named JSON documents in one file: definitions, which are few, and must survive what answered 2xx survives.

The file is replaced as a whole, synced before and after, so that a crash
leaves the documents of before or of after, never a mixture.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from keen_client._foundation.files import write_whole


class Documents:
    """Documents by name. Thread-safe. ``path`` None keeps them in memory.

    What is given out is the caller's own: changing it changes nothing here.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        # Replaced as a whole, never changed: who reads does not wait for the disk.
        self._texts: Mapping[str, bytes] = {}
        if path is not None and path.exists():
            kept: dict[str, Any] = orjson.loads(path.read_bytes())
            self._texts = {name: orjson.dumps(document) for name, document in kept.items()}

    def names(self) -> list[str]:
        """All names, in alphabetical order."""
        return sorted(self._texts)

    def get(self, name: str) -> dict[str, Any] | None:
        """The document under *name*; None where there is none."""
        text = self._texts.get(name)
        return None if text is None else orjson.loads(text)

    def change(self, changes: Mapping[str, Mapping[str, Any] | None]) -> None:
        """Set the documents of *changes*, remove those that are None: all or nothing.

        On return they survive a crash. Raises :class:`OSError` where they could not be written; then
        nothing has changed.
        """
        with self._lock:
            texts = dict(self._texts)
            for name, document in changes.items():
                if document is None:
                    texts.pop(name, None)
                else:
                    texts[name] = orjson.dumps(document)
            self._write(texts)
            self._texts = texts

    def _write(self, texts: Mapping[str, bytes]) -> None:
        if self._path is None:
            return
        members = (orjson.dumps(name) + b":" + text for name, text in texts.items())
        write_whole(self._path, b"{" + b",\n".join(members) + b"}\n")
