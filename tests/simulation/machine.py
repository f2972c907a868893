"""The client's own machine: a disk that forgets what was not synced, a boot, and processes that die anywhere.

A process dies at a *point*: before or after a commit, a request, an unlink. At
that instant its files are copied; what its handlers and destructors do on the
way out is undone by putting the copy back, under the same names and inodes.
Where power is lost, each write-ahead log is first cut to what was synced of it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import attrs

from keen_client import KeenClient
from keen_client._foundation import locks
from keen_client._foundation.files import sync_file
from keen_client.eventlog import segment
from keen_client.eventlog.reclaim import Reclaimer
from keen_client.eventlog.segment import SegmentWriter
from keen_client.eventlog.state import State

#: What survives nothing (an index that SQLite makes anew), and what must keep its open descriptors.
_NOT_COPIED: Final = ("-shm", ".lock")
#: ``PRAGMA synchronous``: from here on, a commit has synced the write-ahead log.
_FULL: Final = 2


class Crash(BaseException):
    """The process ends here. Not an Exception, as a kill is none."""


@attrs.define(eq=False)
class Machine:
    """One log directory, the clients that have it open, and when they die.

    ``fuse``: the points left until then; 0: they live on. ``with_power``: what
    was not synced dies with them. ``died_at``: the last point at which they did.
    """

    log: Path
    clients: list[KeenClient] = attrs.Factory(list)
    fuse: int = 0
    with_power: bool = False
    died_at: str = ""
    boot: int = 0
    _image: dict[Path, tuple[bytes, int]] = attrs.Factory(dict)
    #: Of each write-ahead log, its inode and how much of it is synced.
    _synced: dict[Path, tuple[int, int]] = attrs.Factory(dict)

    def point(self, name: str) -> None:
        """The process gets here, and perhaps no further."""
        if self.fuse:
            self.fuse -= 1
            if not self.fuse:
                self.died_at = name
                self._image = self._copy()
                raise Crash(name)

    def note_synced(self, wal: Path) -> None:
        """All of *wal* is on the disk now."""
        try:
            status = wal.stat()
        except FileNotFoundError:
            return
        self._synced[wal] = (status.st_ino, status.st_size)

    def bury(self) -> None:
        """Have everything as the death left it: no client, no lock, the files as they were; a new boot without power."""
        self.stop()
        self._put_back()
        self.boot += self.with_power

    def stop(self) -> None:
        """Let go of all clients, as a kill does: nothing is said, nothing is sent."""
        for client in self.clients:
            abandon(client)
        self.clients.clear()
        for lock in _locks_in(self.log):
            for offset in list(lock._held):
                lock.release(offset)

    def restore(self, backup: Path) -> None:
        """Have the *backup* in the place of the log, all of it on the disk; nobody has it open."""
        self.stop()
        forget_locks(self.log)
        shutil.rmtree(self.log)
        copy_log(backup, self.log)
        for path in _files_in(self.log):
            self.note_synced(path)

    def _copy(self) -> dict[Path, tuple[bytes, int]]:
        image: dict[Path, tuple[bytes, int]] = {}
        for path in _files_in(self.log):
            content = path.read_bytes()
            if self.with_power and path.name.endswith("-wal"):
                inode, size = self._synced.get(path, (0, 0))
                content = content[: size if path.stat().st_ino == inode else 0]
            image[path] = content, path.stat().st_mode
        return image

    def _put_back(self) -> None:
        for path in [*_files_in(self.log), *self.log.rglob("*-shm")]:
            if path not in self._image:
                path.unlink()
        for path, (content, mode) in self._image.items():
            if path.exists():
                path.chmod(0o600)
            with path.open(
                "r+b" if path.exists() else "wb"
            ) as file:  # the inode is a part of what a segment is
                file.write(content)
                file.truncate()
            path.chmod(mode)
            self.note_synced(path)
        self._image = {}


def abandon(client: KeenClient) -> None:
    """Close what *client* has open without a word to anybody; it is as good as killed."""
    client._core.is_closed = True  # no last attempt at the interpreter's exit either
    if client._core.event_log is not None:
        client._core.event_log.close()


def copy_log(source: Path, target: Path) -> None:
    """What a backup or a cloned disk has of *source*: every file but the locks, in files of its own."""
    for path in _files_in(source):
        copied = target / path.relative_to(source)
        copied.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.copy2(path, copied)
    target.chmod(0o700)


def forget_locks(directory: Path) -> None:
    """Close the lock files below *directory*: a process keeps them for its life, and here thousands of logs come and go."""
    for lock in _locks_in(directory):
        os.close(lock._descriptor)
        del locks._registry[lock._identity]


def _files_in(log: Path) -> list[Path]:
    return sorted(path for path in log.rglob("*") if path.is_file() and not path.name.endswith(_NOT_COPIED))


def _locks_in(directory: Path) -> list[locks.LockFile]:
    return [lock for lock in locks._registry.values() if directory in lock._path.parents]


@contextmanager
def at_risk(*machines: Machine) -> Iterator[None]:
    """Until the end of the block, whoever works on the logs of *machines* gets to their points."""

    def of(log: Path) -> Machine | None:
        return next((machine for machine in machines if machine.log == log), None)

    commit_state, unlink = State._commit, Reclaimer._unlink
    commit, append_one = SegmentWriter.commit, SegmentWriter.append_one

    def commit_state_here(self: State) -> None:
        machine = of(self.path.parent)
        if machine is None:
            return commit_state(self)
        machine.point("state commit")
        commit_state(self)
        machine.point("state committed")
        return None

    def commit_here(self: SegmentWriter) -> None:
        machine = of(self.path.parent.parent)
        if machine is None:
            return commit(self)
        machine.point("segment commit")
        commit(self)
        _note_commit(machine, self)
        machine.point("segment committed")
        return None

    def append_one_here(self: SegmentWriter, *args: Any) -> int:
        machine = of(self.path.parent.parent)
        seq = append_one(self, *args)
        if machine is not None:
            _note_commit(machine, self)
            machine.point("segment committed")
        return seq

    def unlink_here(self: Reclaimer, origin: str) -> None:
        machine = of(self._directory.path)
        if machine is None:
            return unlink(self, origin)
        machine.point("unlink")
        unlink(self, origin)
        machine.point("unlinked")
        return None

    def sync_file_here(path: Path) -> bool:
        done = sync_file(path)
        machine = of(path.parent.parent)
        if machine is not None and path.name.endswith("-wal"):
            machine.note_synced(path)
        return done

    def boot_id() -> str:
        return f"boot {machines[0].boot}"

    with ExitStack() as stack:
        for target, name, value in (
            (State, "_commit", commit_state_here),
            (SegmentWriter, "commit", commit_here),
            (SegmentWriter, "append_one", append_one_here),
            (Reclaimer, "_unlink", unlink_here),
            (segment, "sync_file", sync_file_here),
        ):
            stack.enter_context(patch.object(target, name, value))
        stack.enter_context(patch("keen_client.eventlog.log.machine_boot_id", boot_id))
        yield


def _note_commit(machine: Machine, writer: SegmentWriter) -> None:
    """A commit of *writer* has ended: synced, if that is what its connection does."""
    if writer.connection.execute("PRAGMA synchronous").fetchone()[0] >= _FULL:
        machine.note_synced(Path(f"{writer.path}-wal"))
