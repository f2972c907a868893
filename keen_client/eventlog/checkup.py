"""The check-up: what one look at a file of the log tells, each on its own. Changes nothing."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path
from typing import Final

import attrs

from keen_client._foundation.files import file_identity
from keen_client.errors import EventLogError, EventLogPermissionError
from keen_client.eventlog.directory import LogDirectory
from keen_client.eventlog.salvage import entry_of
from keen_client.eventlog.segment import Header, SegmentName, SegmentReader, list_segments
from keen_client.eventlog.sqlite_faults import is_denied
from keen_client.eventlog.state import State

#: Name of the mark that a process leaves when ``state.db`` cannot be told of an abandoned segment.
ABANDONED_MARK: Final = "abandoned-"
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


@attrs.frozen
class SegmentCheck:
    """What a look at one segment showed. ``fault``: why it counts as damaged; empty when it is sound.

    ``denied``: why it could not be looked at, for want of a right; then nothing is known of its content.
    """

    name: SegmentName
    fault: str
    header: Header | None = None
    last_seq: int = 0
    newest_ms: int = 0
    denied: str = ""


def check_segment(directory: LogDirectory, name: SegmentName, *, thorough: bool = False) -> SegmentCheck:
    """Read a whole segment and let SQLite check it. Changes nothing."""
    try:
        reader = SegmentReader(directory.segments, name)
    except (sqlite3.Error, EventLogError) as error:
        return _failed(name, error)
    try:
        header = reader.header()
        fault = _integrity(reader.connection, thorough=thorough)
        last = reader.last_seq()
        count = reader.connection.execute("SELECT count(*) FROM entries").fetchone()[0]
        newest = list(reader.entries(last, last))
        if not fault and count != last:
            fault = f"{last - count} of its {last} entries are missing"
        if not fault:
            fault = _altered(reader.connection)
        return SegmentCheck(name, fault, header, last, newest[0].recorded_ms if newest else 0)
    except (sqlite3.Error, EventLogError) as error:
        return _failed(name, error)
    finally:
        reader.close()


def _failed(name: SegmentName, error: sqlite3.Error | EventLogError) -> SegmentCheck:
    if isinstance(error, sqlite3.Error) and is_denied(error):
        return SegmentCheck(name, "", denied=str(error))
    return SegmentCheck(name, str(error))


def check_state(directory: LogDirectory, *, thorough: bool = False) -> str:
    """Why ``state.db`` counts as damaged; empty when it is sound. Changes nothing.

    Raises:
        EventLogPermissionError: it could not be looked at, and nothing is known of its content.
    """
    if not directory.state.stat().st_size and list_segments(directory.segments):
        return "it is empty, and there are segments"
    try:
        state = State(directory.path, read_only=True)
    except EventLogPermissionError:
        raise
    except EventLogError as error:
        return "" if error.code == "log_too_new" else error.message
    try:
        with state.reading() as db:
            return _integrity(db, thorough=thorough)
    except EventLogPermissionError:
        raise
    except EventLogError as error:
        return error.message
    finally:
        state.close()


def is_copy(directory: LogDirectory, name: SegmentName, header: Header, boot_id: str) -> bool:
    """Whether an open segment of this boot is not the file that was made under its name: nobody writes to it."""
    made = (header.device, header.inode)
    return (
        not header.is_sealed
        and header.boot_id == boot_id
        and made != file_identity(name.path_in(directory.segments))
    )


def abandoned_origins(directory: LogDirectory, state: State | None) -> list[str]:
    """Segments that were abandoned, by ``state.db`` or by a mark, and are still there."""
    present = {name.origin for name in list_segments(directory.segments)}
    marked = {path.name.removeprefix(ABANDONED_MARK) for path in directory.path.glob(f"{ABANDONED_MARK}*")}
    if state is not None:
        with state.reading() as db:
            marked |= {
                origin for (origin,) in db.execute("SELECT origin FROM origins WHERE status = 'abandoned'")
            }
    return sorted(present & marked)


def unsafe_files(directory: LogDirectory) -> tuple[list[Path], list[Path]]:
    """(files of another user than the directory's, files that others than the owner may use)."""
    owner = directory.path.stat().st_uid
    foreign, wide = [], []
    for path in [directory.path, *log_files(directory, directories=True)]:
        try:
            status = path.lstat()
        except FileNotFoundError:
            continue
        if status.st_uid != owner:
            foreign.append(path)
        if stat.S_IMODE(status.st_mode) & _OTHERS and not path.is_symlink():
            wide.append(path)
    return foreign, wide


def _integrity(connection: sqlite3.Connection, *, thorough: bool) -> str:
    pragma = "PRAGMA integrity_check(1)" if thorough else "PRAGMA quick_check(1)"
    answer = str(connection.execute(pragma).fetchone()[0])
    return "" if answer == "ok" else answer


def _altered(connection: sqlite3.Connection) -> str:
    """Which entry is not what was written, though SQLite finds nothing wrong: a page keeps no checksum."""
    rows = connection.execute("SELECT seq, collection, ts, recorded, body, keen FROM entries ORDER BY seq")
    altered = next((row[0] for row in rows if entry_of("", row) is None), None)
    return "" if altered is None else f"entry {altered} is not what was written"


def log_files(directory: LogDirectory, *, directories: bool = False) -> list[Path]:
    """Everything that lies in the log's directory, at any depth; with *directories* these too."""
    return sorted(path for path in directory.path.rglob("*") if directories or path.is_file())


def recorded_ms(directory: LogDirectory, name: SegmentName, seq: int) -> list[int]:
    """When the entry was recorded; nothing when it cannot be read."""
    try:
        reader = SegmentReader(directory.segments, name)
    except (sqlite3.Error, EventLogError):
        return []
    try:
        return [entry.recorded_ms for entry in reader.entries(seq, seq)]
    except (sqlite3.Error, EventLogError):
        return []
    finally:
        reader.close()
