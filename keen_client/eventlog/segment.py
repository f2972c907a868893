"""A segment: one SQLite file, one origin, append-only.

Constraints: opened through SQLite only (a plain open and close of the file
would cancel SQLite's locks), except ``-wal``, opened only to sync it; every
commit and checkpoint is made by a holder of the recorders' lock; ``seq`` is
dense from 1 to 2,097,152; WAL is switched on only at creation, and an opener
looks for the seal first; a sealed file is opened read-only for ever.

A file appears under its name complete: it is made under a temporary name,
closed, and linked, so that of two makers one wins.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import attrs

from keen_client._foundation.files import (
    PRIVATE_FILE_MODE,
    SEALED_FILE_MODE,
    file_identity,
    sync_directory,
    sync_file,
)
from keen_client.errors import EventLogBusyError, EventLogDamagedError, EventLogTooNewError
from keen_client.eventlog.config import ROWS_PER_STATEMENT, WAL_PAGES_MAX, Durability
from keen_client.eventlog.entry import Entry
from keen_client.eventlog.inheritance import is_inherited, note_closed, note_open
from keen_client.eventlog.sqlite_faults import SEALED_MESSAGE, translate_os_error
from keen_client.events.encoding import EncodedEvent
from keen_client.events.identity import SEQ_MAX, is_origin

SEGMENT_FORMAT: Final = 1

_SCHEMA: Final = resources.files("keen_client.eventlog").joinpath("sql/segment.sql").read_text("utf-8")
_DAY_CHARS: Final = 10
_INSERT_ONE: Final = "INSERT INTO entries (collection, ts, recorded, body, keen) VALUES (?, ?, ?, ?, ?)"


@attrs.frozen(order=True, slots=True)
class SegmentName:
    """Day of recording (UTC) and origin; sorts by day."""

    day: str
    origin: str

    @property
    def file(self) -> str:
        """How the file is called."""
        return f"{self.day}-{self.origin}.db"

    def path_in(self, directory: Path) -> Path:
        """Where the segment lies in *directory*."""
        return directory / self.file

    @classmethod
    def of(cls, path: Path) -> SegmentName | None:
        """The name that *path* carries; None when it is no segment."""
        day, origin = path.name[:_DAY_CHARS], path.name[_DAY_CHARS + 1 : -3]
        if path.suffix != ".db" or path.name[_DAY_CHARS : _DAY_CHARS + 1] != "-" or not is_origin(origin):
            return None
        try:
            date.fromisoformat(day)
        except ValueError:
            return None
        return cls(day, origin)


@attrs.frozen(slots=True)
class Header:
    """What a segment says of itself."""

    format: int
    origin: str
    day: str
    made_ms: int
    boot_id: str
    device: int
    inode: int
    sealed_ms: int | None
    successor_origin: str | None
    successor_day: str | None

    @property
    def is_sealed(self) -> bool:
        """Whether no entry can be added any more."""
        return self.sealed_ms is not None

    @property
    def successor(self) -> SegmentName | None:
        """The segment that took over, as the seal names it."""
        if self.successor_origin is None or self.successor_day is None:
            return None
        return SegmentName(self.successor_day, self.successor_origin)


_HEADER_KINDS: Final = (int, str, str, int, str, int, int, int | None, str | None, str | None)


def list_segments(
    directory: Path, consequence: str = "which segments there are is not known"
) -> list[SegmentName]:
    """The segments present in *directory*, oldest day first; none where there is no such directory.

    *consequence*: what an error says of the data.

    Raises:
        EventLogPermissionError, EventLogError: what lies in it cannot be told.
    """
    try:
        names = [SegmentName.of(path) for path in directory.iterdir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise translate_os_error(error, directory, consequence) from error
    return sorted(name for name in names if name is not None)


def make_segment(directory: Path, name: SegmentName, *, made_ms: int, boot_id: str, scratch: str) -> bool:
    """Make the empty segment *name*; False when another maker was first.

    *scratch* is a random text for the temporary name. The file is synced and
    its name too before this returns.
    """
    path = name.path_in(directory)
    temporary = directory / f".{name.origin}-{scratch}.tmp"
    os.close(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, PRIVATE_FILE_MODE))
    try:
        identity = file_identity(temporary)
        if identity is None:
            raise FileNotFoundError(temporary)
        connection = sqlite3.connect(_uri(temporary, "rw"), uri=True, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous=EXTRA")
            connection.execute("PRAGMA fullfsync=1")
            connection.executescript(f"BEGIN IMMEDIATE;\n{_SCHEMA}\nCOMMIT;")
            connection.execute(
                "INSERT INTO header VALUES (?, ?, ?, ?, ?, ?, ?, NULL, NULL, NULL)",
                (SEGMENT_FORMAT, name.origin, name.day, made_ms, boot_id, *identity),
            )
            connection.execute("PRAGMA journal_mode=WAL")
        finally:
            connection.close()
        sync_file(temporary)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
    finally:
        for leftover in (
            temporary,
            Path(f"{temporary}-wal"),
            Path(f"{temporary}-shm"),
            Path(f"{temporary}-journal"),
        ):
            leftover.unlink(missing_ok=True)
    sync_directory(directory)
    return True


class _OpenSegment:
    """A connection to one segment and what both kinds share."""

    def __init__(self, directory: Path, name: SegmentName, mode: str, busy_timeout_seconds: float) -> None:
        """Open the file.

        Raises:
            sqlite3.Error: it is not there, or cannot be opened.
            EventLogBusyError: this process must not open it: its parent had it open at the fork.
        """
        self.name: Final = name
        self.path: Final = name.path_in(directory)
        if is_inherited(self.path):
            raise EventLogBusyError(
                f"{self.path.name} was open in the process that this one was forked from; nothing was read or changed",
                "any other process can open it; fork through Python, which closes it first",
                path=self.path,
            )
        self._noted = note_open(self.path)
        try:
            self.connection: Final = sqlite3.connect(
                _uri(self.path, mode),
                uri=True,
                isolation_level=None,
                check_same_thread=False,
                timeout=busy_timeout_seconds,
            )
        except BaseException:
            self.close()
            raise

    def header(self) -> Header:
        """Read the header.

        Raises:
            EventLogTooNewError: a later version wrote the file.
            EventLogDamagedError: there is no header, none that was written so, or it names another origin.
        """
        try:
            row = self.connection.execute("SELECT * FROM header").fetchone()
        except UnicodeDecodeError as error:
            raise self._has_damaged("schema") from error
        if row is None:
            raise EventLogDamagedError(
                f"{self.path.name} has no header; nothing was read from it",
                "run `keen-client doctor --repair`",
                path=self.path,
            )
        if isinstance(row[0], int) and row[0] > SEGMENT_FORMAT:
            raise EventLogTooNewError(
                f"{self.path.name} has format {row[0]}; this version reads up to {SEGMENT_FORMAT}; nothing was changed",
                "upgrade keen_client",
                path=self.path,
            )
        own = row[: len(_HEADER_KINDS)]
        if len(own) < len(_HEADER_KINDS) or not all(map(isinstance, own, _HEADER_KINDS)):
            raise self._has_damaged("header")
        header = Header(*own)
        if header.origin != self.name.origin:
            raise EventLogDamagedError(
                f"{self.path.name} holds the segment of another origin; nothing was read from it",
                "give the file its own name back",
                path=self.path,
            )
        return header

    def _has_damaged(self, part: str) -> EventLogDamagedError:
        """The *schema* for a text that cannot be decoded, too: what SQLite has to say of a damaged one quotes it."""
        return EventLogDamagedError(
            f"{self.path.name} has a damaged {part}; nothing was read from it",
            "run `keen-client doctor --repair`",
            path=self.path,
        )

    def last_seq(self) -> int:
        """The seq of the last entry; 0 when there is none."""
        row = self.connection.execute("SELECT max(seq) FROM entries").fetchone()
        return int(row[0] or 0)

    def close(self) -> None:
        """Close the connection. Idempotent."""
        connection = getattr(self, "connection", None)
        if connection is not None:
            connection.close()
        noted, self._noted = self._noted, None
        note_closed(noted)


class SegmentReader(_OpenSegment):
    """Read access to a segment; never changes a byte of it, but for what SQLite undoes: see :func:`_roll_back`."""

    def __init__(self, directory: Path, name: SegmentName, busy_timeout_seconds: float = 5.0) -> None:
        _roll_back(name.path_in(directory))
        super().__init__(directory, name, "ro", busy_timeout_seconds)

    @classmethod
    def checked(cls, directory: Path, name: SegmentName) -> tuple[SegmentReader, Header]:
        """Open a segment whose header can be read; nothing stays open otherwise.

        Raises:
            sqlite3.Error, EventLogError: as for opening and for :meth:`header`.
        """
        reader = cls(directory, name)
        try:
            return reader, reader.header()
        except BaseException:
            reader.close()
            raise

    def last_seq(self) -> int:
        """As for every segment; a damaged page may say any number, and nobody is to count up to that."""
        last = super().last_seq()
        if not 0 <= last <= SEQ_MAX:
            raise self._damaged_at(last)
        return last

    def entries(self, first: int, last: int, limit: int | None = None) -> Iterator[Entry]:
        """The entries with *first* <= seq <= *last*, in order, at most *limit* of them."""
        origin = self.name.origin
        rows = self.connection.execute(
            "SELECT seq, collection, ts, recorded, body, keen FROM entries"
            " WHERE seq BETWEEN ? AND ? ORDER BY seq LIMIT ?",
            (first, last, -1 if limit is None else limit),
        )
        return (self._entry(origin, row) for row in rows)

    def some(self, seqs: Sequence[int]) -> list[Entry]:
        """The entries with these *seqs*, as few as one statement may name."""
        origin, places = self.name.origin, ",".join("?" * len(seqs))
        rows = self.connection.execute(
            f"SELECT seq, collection, ts, recorded, body, keen FROM entries WHERE seq IN ({places}) ORDER BY seq",  # noqa: S608 — places only
            seqs,
        )
        return [self._entry(origin, row) for row in rows]

    def _entry(self, origin: str, row: tuple[Any, ...]) -> Entry:
        """SQLite checks what it writes, and reads what a damaged page says: a null in the place of a text, say."""
        seq, collection, ts, recorded, body, keen = row
        if (
            type(ts) is type(recorded) is type(seq) is int
            and type(body) is type(collection) is type(keen) is str
        ):
            return Entry(origin, seq, collection, ts, recorded, body, keen)
        raise self._damaged_at(seq)

    def _damaged_at(self, seq: object) -> EventLogDamagedError:
        return EventLogDamagedError(
            f"{self.path.name} is damaged at entry {seq}; nothing of it was read",
            "run `keen-client doctor --repair`",
            path=self.path,
        )

    def contents(
        self, first: int, last: int, collection: str, start_ms: int, end_ms: int, *, is_full: bool
    ) -> list[tuple[int, int, str, str]]:
        """(seq, timestamp, body, keen) of the entries of *collection* in [start, end), first <= seq <= last.

        In order; for who reads a million of them and needs no :class:`Entry`.
        The texts are empty unless *is_full*: they cost more than all else.
        """
        texts = "body, keen" if is_full else "'', ''"
        rows = self.connection.execute(
            f"SELECT seq, ts, {texts} FROM entries"  # noqa: S608 — one of the two above
            " WHERE seq BETWEEN ? AND ? AND collection = ? AND ts >= ? AND ts < ? ORDER BY seq",
            (first, last, collection, start_ms, end_ms),
        ).fetchall()
        for seq, ts, body, keen in rows:
            if not (type(ts) is int and type(body) is type(keen) is str):
                raise self._damaged_at(seq)
        return rows

    def sync_wal(self) -> bool:
        """Return only when what this connection can see would survive a power loss; False when no WAL is left."""
        return sync_file(Path(f"{self.path}-wal"))


class SegmentWriter(_OpenSegment):
    """Write access for one process. Not thread-safe; every call under the recorders' lock."""

    def __init__(
        self, directory: Path, name: SegmentName, durability: Durability, busy_timeout_seconds: float
    ) -> None:
        super().__init__(directory, name, "rw", busy_timeout_seconds)
        #: The last seq of the open transaction, and the last one that a commit gave out.
        self._inserted = self._given = 0
        synchronous = "FULL" if durability == "full" else "NORMAL"
        try:
            self.connection.execute(f"PRAGMA synchronous={synchronous}")
            self.connection.execute("PRAGMA fullfsync=1")
            self.connection.execute("PRAGMA checkpoint_fullfsync=1")
            self.connection.execute(f"PRAGMA wal_autocheckpoint={WAL_PAGES_MAX}")
        except UnicodeDecodeError as error:
            self.close()
            raise self._has_damaged("schema") from error
        except BaseException:
            self.close()
            raise

    def is_itself(self, boot_id: str) -> bool:
        """Whether the file at the path is the one that was made here, in this boot."""
        header = self.header()
        return header.boot_id == boot_id and file_identity(self.path) == (header.device, header.inode)

    def append_one(self, event: EncodedEvent, timestamp_ms: int, recorded_ms: int) -> int:
        """Insert one event in one autocommit statement; its seq."""
        cursor = self.connection.execute(
            _INSERT_ONE, (event.collection, timestamp_ms, recorded_ms, event.body, event.keen)
        )
        self._given = seq = cursor.lastrowid or 0
        return seq

    def append_many(self, rows: Sequence[tuple[str, int, int, str, str]]) -> tuple[int, int]:
        """Insert *rows* (collection, ts, recorded, body, keen) in the open transaction; (first, last) seq."""
        last = 0
        for start in range(0, len(rows), ROWS_PER_STATEMENT):
            chunk = rows[start : start + ROWS_PER_STATEMENT]
            places = ",".join(["(?,?,?,?,?)"] * len(chunk))
            cursor = self.connection.execute(
                f"INSERT INTO entries (collection, ts, recorded, body, keen) VALUES {places}",  # noqa: S608 — places only
                [value for row in chunk for value in row],
            )
            last = self._inserted = int(cursor.lastrowid or 0)
        return last - len(rows) + 1, last

    def begin(self) -> None:
        """Start a write transaction."""
        self.connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Commit, synced as the durability says."""
        self.connection.execute("COMMIT")
        self._given = self._inserted

    def in_doubt(self) -> int:
        """After a commit that failed: the last seq that it had inserted; 0 when it inserted nothing.

        Taken from SQLite's memory of this connection, before it is closed: the
        number is noted when the row is put into its page, commit or not.
        """
        last = int(self.connection.execute("SELECT last_insert_rowid()").fetchone()[0])
        return last if last > self._given else 0

    def rollback(self) -> None:
        """Undo the open transaction, if there is one."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def seal(self, sealed_ms: int, successor: SegmentName) -> None:
        """Refuse further entries for ever and name who takes over, in one synced transaction."""
        self.connection.execute("PRAGMA synchronous=FULL")
        self.begin()
        try:
            if self.header().is_sealed:
                self.rollback()
                return
            self.connection.execute(
                "CREATE TRIGGER entries_sealed BEFORE INSERT ON entries"
                f" BEGIN SELECT RAISE(ABORT, '{SEALED_MESSAGE}'); END"
            )
            self.connection.execute(
                "UPDATE header SET sealed_ms = ?, successor_origin = ?, successor_day = ?",
                (sealed_ms, successor.origin, successor.day),
            )
            self.commit()
        except BaseException:
            self.rollback()
            raise

    def checkpoint(self) -> None:
        """Move the WAL into the file as far as readers allow."""
        self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def finish_sealed(directory: Path, name: SegmentName) -> bool:
    """Make a sealed segment one read-only file; False while another connection has it open, or no seal is on it.

    Under the recorders' lock.
    """
    path = name.path_in(directory)
    if path.stat().st_mode & 0o777 == SEALED_FILE_MODE:
        return True
    if is_inherited(path):
        return False
    noted = note_open(path)
    try:
        connection = sqlite3.connect(_uri(path, "rw"), uri=True, isolation_level=None, timeout=0.0)
        try:
            if not _become_one_file(connection):
                return False
        finally:
            connection.close()
    except sqlite3.OperationalError:
        return False
    finally:
        note_closed(noted)
    path.chmod(SEALED_FILE_MODE)
    return True


def _become_one_file(connection: sqlite3.Connection) -> bool:
    connection.execute("PRAGMA synchronous=FULL")
    if connection.execute("SELECT sealed_ms FROM header").fetchone() in {None, (None,)}:
        return False
    busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not busy and bool(connection.execute("PRAGMA journal_mode=DELETE").fetchone()[0] == "delete")


def _roll_back(path: Path) -> None:
    """Have SQLite undo a transaction that was cut off when a sealed segment was to become one file.

    Its journal lies there then, and a connection that only reads may not use it. Where
    this one may not either, the reader says why.
    """
    if not Path(f"{path}-journal").exists() or is_inherited(path):
        return
    noted = note_open(path)
    try:
        connection = sqlite3.connect(_uri(path, "rw"), uri=True, isolation_level=None, timeout=0.0)
        try:
            connection.execute("SELECT sealed_ms FROM header").fetchone()
        finally:
            connection.close()
    except (sqlite3.Error, UnicodeDecodeError):
        return
    finally:
        note_closed(noted)


def _uri(path: Path, mode: str) -> str:
    return f"file:{quote(str(path))}?mode={mode}"
