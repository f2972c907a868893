"""``state.db``: the one file of the log that changes.

Fully synchronous, with a rollback journal: each transaction is on disk when it
returns. Schema and migrations by sqlite-utils, when there is something to
make or migrate; all else by sqlite3. One connection a process, shared by its
threads behind a lock; a forked child opens its own and never touches its
parent's.
"""

from __future__ import annotations

import ctypes
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote

from keen_client._foundation.files import PRIVATE_FILE_MODE, birth_ns, file_identity
from keen_client.errors import (
    ClientClosedError,
    EventLogBusyError,
    EventLogDamagedError,
    EventLogFullError,
    EventLogTooNewError,
)
from keen_client.eventlog.inheritance import FORK_WAIT_SECONDS, forked_guard, take_part
from keen_client.eventlog.sqlite_faults import is_disk_full, is_read_only, translate, translate_os_error

STATE_FILE: Final = "state.db"
RESERVE_FILE: Final = "reserve"
BUSY_TIMEOUT_SECONDS: Final = 30.0
#: What is true of the data when the state cannot be opened or read: also for who wanted to record.
UNCHANGED: Final = "nothing was recorded or changed"

#: Which file this is, as the file itself remembers it.
_IDENTITY_FACT: Final = "identity"

_ResultT = TypeVar("_ResultT")

#: Every migration of ``state.db``, in order; :mod:`keen_client.eventlog.migrations` holds what they do.
MIGRATIONS: Final = ("0001_initial",)


class State:
    """The connection to ``state.db`` and its transactions. Thread-safe; fork-safe."""

    def __init__(self, directory: Path, *, read_only: bool = False) -> None:
        """Open (and unless *read_only* make or migrate) the state of the log in *directory*.

        Raises:
            EventLogTooNewError: a later version wrote it; nothing was changed.
            EventLogError: it cannot be opened or is damaged.
        """
        self.path: Final = directory / STATE_FILE
        self._reserve: Final = directory / RESERVE_FILE
        self._read_only: Final = read_only
        self._closed = False
        self._open()
        take_part(self)

    def _open(self) -> None:
        self._lock = threading.RLock()
        self._parked = False
        self._connect()
        self._pid = os.getpid()  # last: another thread may look at it meanwhile

    def _connect(self) -> None:
        try:
            if not self._read_only and not self.path.exists():
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, PRIVATE_FILE_MODE))
            self._connection = sqlite3.connect(
                f"file:{quote(str(self.path))}?mode={'ro' if self._read_only else 'rw'}",
                uri=True,
                isolation_level=None,
                check_same_thread=False,
                timeout=BUSY_TIMEOUT_SECONDS,
            )
        except sqlite3.Error as error:
            raise translate(error, self.path, UNCHANGED) from error
        except OSError as error:
            raise translate_os_error(error, self.path, UNCHANGED) from error
        try:
            if not self._read_only:
                self._connection.execute("PRAGMA synchronous=EXTRA")
                self._connection.execute("PRAGMA fullfsync=1")
            self._migrate()
        except BaseException as error:
            self._connection.close()
            if isinstance(error, sqlite3.Error):
                raise translate(error, self.path, UNCHANGED) from error
            if isinstance(error, UnicodeDecodeError):
                # What SQLite has to say of a damaged schema quotes it.
                raise EventLogDamagedError(
                    f"{self.path.name} is damaged; {UNCHANGED}",
                    "run `keen-client doctor --repair`; it sets the file aside and salvages what can be read",
                    path=self.path,
                ) from error
            raise
        self._identity = self._file_identity()

    def _migrate(self) -> None:
        applied = self._applied()
        foreign = [name for name in applied if name not in MIGRATIONS]
        if foreign:
            raise EventLogTooNewError(
                f"state.db was written by a later version ({', '.join(foreign)}); nothing was changed",
                "upgrade keen_client",
                path=self.path,
            )
        if self._read_only or len(applied) == len(MIGRATIONS):
            return
        from keen_client.eventlog.migrations import migrate

        self._connection.execute("BEGIN IMMEDIATE")  # of two processes that make it one does
        try:
            migrate(self._connection)
            if not applied:
                self._put_identity()
            self._connection.execute("COMMIT")
        except BaseException:
            self._undo()
            raise

    def _applied(self) -> list[str]:
        """The names of the migrations that the file has seen, in order."""
        run = self._connection.execute
        if not run("SELECT 1 FROM sqlite_master WHERE name = '_sqlite_migrations'").fetchone():
            return []
        names = run("SELECT name FROM _sqlite_migrations WHERE migration_set = 'keen_client' ORDER BY id")
        return [name for (name,) in names]

    @contextmanager
    def reading_soon(self, within_seconds: float) -> Iterator[sqlite3.Connection]:
        """:meth:`reading` for who cannot wait as long as the sender can: for another thread, and for another process.

        Raises:
            EventLogBusyError: the file was held all that time.
        """
        self._mind_fork()
        try:
            if not self._lock.acquire(timeout=within_seconds):
                raise EventLogBusyError(
                    f"another thread holds {self.path.name}; {UNCHANGED}",
                    "look for a stopped process with `keen-client doctor`",
                    path=self.path,
                )
            with self.reading() as db:
                db.execute(f"PRAGMA busy_timeout={round(within_seconds * 1000)}")
                try:
                    yield db
                finally:
                    db.execute(f"PRAGMA busy_timeout={round(BUSY_TIMEOUT_SECONDS * 1000)}")
        finally:
            # A handler's exception may come before it is known that the lock was got; the lock itself knows its owner.
            with suppress(RuntimeError):
                self._lock.release()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection to read from; hold it briefly: its readers hold up the writers.

        Raises:
            ClientClosedError: after :meth:`close`.
        """
        self._mind_fork()
        with self._lock:
            self._mind_closed()
            self._mind_replacement()
            try:
                yield self._connection
            except sqlite3.Error as error:
                raise translate(error, self.path, UNCHANGED) from error

    @contextmanager
    def transaction(
        self, consequence: str = "the change was undone; the events are still in the log"
    ) -> Iterator[sqlite3.Connection]:
        """One synced write transaction; nested uses join the outer one.

        *consequence*: what an error says of the data. On a full disk the reserve is given up once, so that sending and
        reclaiming can go on; recording then refuses until it is back.

        Raises:
            ClientClosedError: after :meth:`close`; nothing was changed.
        """
        self._mind_fork()
        with self._lock:
            self._mind_closed()
            if self._connection.in_transaction:
                yield self._connection
                return
            self._mind_replacement()
            try:
                self._begin()
                yield self._connection
                self._commit()
            except sqlite3.Error as error:
                self._undo()
                if is_disk_full(error):
                    self._reserve.unlink(missing_ok=True)  # room for the next try
                raise translate(error, self.path, consequence) from error
            except BaseException:
                self._undo()
                raise

    def _begin(self) -> None:
        """Begin to write. What was opened while the file system could not be written stays read-only for ever: open anew."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            # Of a read-only file SQLite only begins to read, and says nothing.
            self._connection.execute("DELETE FROM facts WHERE 0")
        except sqlite3.OperationalError as error:
            if not is_read_only(error):
                raise
            self._undo()
            self._reconnect()
            self._connection.execute("BEGIN IMMEDIATE")

    def _commit(self) -> None:
        try:
            self._connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if not is_disk_full(error) or not self._connection.in_transaction or not self._reserve.exists():
                raise
            self._reserve.unlink(missing_ok=True)
            self._connection.execute("COMMIT")

    def _undo(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def with_reserve(self, action: Callable[[], _ResultT]) -> _ResultT:
        """Run *action*, once more if the disk was full: the first try gave the reserve up for it.

        So *action* is one that may be done again after a part of it.
        """
        try:
            return action()
        except EventLogFullError:
            return action()

    def fact(self, name: str) -> str | None:
        """A named fact; None when it was never noted."""
        with self.reading() as db:
            row = db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def note(self, name: str, value: str) -> None:
        """Note a named fact; on a full disk the reserve is given up for it."""
        self.with_reserve(lambda: self._note(name, value))

    def _note(self, name: str, value: str) -> None:
        with self.transaction() as db:
            db.execute(
                "INSERT INTO facts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (name, value),
            )

    def is_itself(self) -> bool:
        """Whether the file at the path is the one that was made here: not so where it is a copy, or was put back."""
        noted, own = self.fact(_IDENTITY_FACT), self._own_identity()
        if noted is None or noted == own:
            return True
        # Where a birth cannot be told, now or then, the number has to do.
        return "" in (noted.partition("/")[2], own.partition("/")[2]) and (
            noted.partition("/")[0] == own.partition("/")[0]
        )

    def note_identity(self) -> None:
        """Have the file at the path be itself from now on."""
        with self.transaction():
            self._put_identity()

    def _put_identity(self) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO facts VALUES (?, ?)", (_IDENTITY_FACT, self._own_identity())
        )

    def _own_identity(self) -> str:
        """``inode/birth``. Not the device: its number may be another one after a restart."""
        born_ns = birth_ns(self.path)
        return f"{self.path.stat().st_ino}/{'' if born_ns is None else born_ns}"

    def count(self, name: str, more: int) -> None:
        """Add *more* to the named counter."""
        if more:
            with self.transaction() as db:
                db.execute(
                    "INSERT INTO counters VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
                    (name, more),
                )

    def counter(self, name: str) -> int:
        """The value of the named counter; 0 when it never counted."""
        with self.reading() as db:
            row = db.execute("SELECT value FROM counters WHERE name = ?", (name,)).fetchone()
        return 0 if row is None else int(row[0])

    def close(self) -> None:
        """Close the connection. Idempotent; in a forked child that did not use it, nothing happens."""
        if self._pid != os.getpid():
            self._closed = True
            return
        with self._lock:  # a transaction of another thread ends first, and sees it open until then
            self._closed = True
            self._connection.close()

    def _mind_closed(self) -> None:
        if self._closed:
            raise ClientClosedError(
                "the log was closed; nothing was changed, and what was recorded before is in it",
                "make a new client",
            )

    def _mind_fork(self) -> None:
        if self._pid != os.getpid() and not self._closed:
            with forked_guard():
                if self._pid != os.getpid():
                    leak(self._connection)
                    self._open()

    def _mind_replacement(self) -> None:
        """Go over to the file at the path when recovery has put another one there: the old one counts no more.

        Raises:
            EventLogDamagedError: there is none.
        """
        identity = self._file_identity()
        if identity == self._identity or self._connection.in_transaction:
            return
        if identity is None:
            raise EventLogDamagedError(
                f"{self.path.name} is gone; {UNCHANGED}",
                "start again: it is rebuilt from the segments when the log is opened",
                path=self.path,
            )
        self._reconnect()

    def _file_identity(self) -> tuple[int, int] | None:
        try:
            return file_identity(self.path)
        except OSError as error:
            raise translate_os_error(error, self.path, UNCHANGED) from error

    def _reconnect(self) -> None:
        former = self._connection
        try:
            self._connect()
        except BaseException:
            self._connection = former  # the next look finds again what is wrong with the file
            raise
        former.close()

    def before_fork(self) -> None:
        """Let a transaction end: a child would inherit its locks without their protection."""
        self._mind_fork()
        self._parked = self._lock.acquire(timeout=FORK_WAIT_SECONDS)

    def after_fork_in_parent(self) -> None:
        """Let other threads go on."""
        if self._parked:
            self._parked = False
            self._lock.release()

    def after_fork_in_child(self) -> None:
        """Nothing yet: the child opens its own connection when it needs one."""


def leak(connection: sqlite3.Connection) -> None:
    """Keep *connection* from ever being closed in this process.

    A forked child must not close what its parent has open: SQLite would run
    its last-connection work on a file that is in use.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
