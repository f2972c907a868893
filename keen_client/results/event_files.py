"""Events into a file as they come: NDJSON, CSV or Parquet, whole under its name or not there at all.

Memory stays constant however many events there are. NDJSON, and CSV whose
properties are named, are written straight away. The header of any other CSV
file and the schema of a Parquet file stand first and depend on every event: so
the events go into a spool beside the file, and from there into it.
"""

from __future__ import annotations

import csv
import io
import json
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, Literal

from keen_client._foundation.files import whole_file
from keen_client.errors import UsageError
from keen_client.results.arrow import needed, schema_of, table_of
from keen_client.results.columns import Columns, ColumnType
from keen_client.results.flat import flat_event, picked_event
from keen_client.results.text import cell_text, json_line

EventFileFormat = Literal["ndjson", "csv", "parquet"]

FORMATS: Final[dict[str, EventFileFormat]] = {
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".csv": "csv",
    ".parquet": "parquet",
}
#: Rows of a row group: so many are in memory at a time.
ROW_GROUP: Final = 20_000

Row = dict[str, Any]
#: Writes a file from its columns and its rows.
WriteRows = Callable[[BinaryIO, Mapping[str, ColumnType], Iterator[Row]], None]


def format_of(path: Path) -> EventFileFormat:
    """What the name of a file says that it holds.

    Raises:
        UsageError: It says nothing. Nothing was written.
    """
    found = FORMATS.get(path.suffix.lower())
    if found is None:
        raise UsageError(
            f"{path.name!r} does not say what to write; nothing was written",
            "let the name end in " + ", ".join(FORMATS),
        )
    return found


@contextmanager
def event_file(path: Path | str, property_names: Sequence[str] = ()) -> Iterator[EventFile]:
    """A file of events to write, in the format that its name ends in.

    ::

        with event_file("purchases.parquet") as file:
            for event in keen.extract("purchases", "previous_month"):
                file.write(event)

    When the block ends the file is whole, synced, and readable by its owner
    only. When it ends by an error there is no new file, and one that was there
    before is as it was.

    NDJSON holds the events as they are. In CSV and Parquet objects are opened
    (``user.id``); with *property_names* a row has exactly these, in this order.
    CSV is that of RFC 4180, in UTF-8; null and the empty text look alike in it.

    Raises:
        UsageError: The name does not say which format. Nothing was written.
        MissingExtraError: Parquet needs pyarrow (extra ``tables``). Nothing was written.
    """
    path, names = Path(path), tuple(property_names)
    form = format_of(path)
    if form == "parquet":
        needed("pyarrow.parquet", "a Parquet file")
    with whole_file(path) as target, tempfile.TemporaryFile(dir=path.parent) as spool:
        file: EventFile
        if form == "ndjson":
            file = NdjsonFile(target)
        elif form == "csv" and names:
            file = NamedCsvFile(target, names)
        else:
            finish = _write_csv if form == "csv" else _write_parquet
            file = SpooledFile(target, spool, names, finish)
        yield file
        file.finish()


class EventFile(ABC):
    """A file that events are written into, one by one. For one thread."""

    def __init__(self) -> None:
        #: How many events were written.
        self.events = 0

    def write(self, event: Mapping[str, Any]) -> None:
        """Add one event."""
        self._put(event)
        self.events += 1

    @abstractmethod
    def _put(self, event: Mapping[str, Any]) -> None: ...

    @abstractmethod
    def finish(self) -> None:
        """Write what is not written yet; no event comes after."""


class NdjsonFile(EventFile):
    """The events as they are, one a line."""

    def __init__(self, target: BinaryIO) -> None:
        super().__init__()
        self._target = target

    def _put(self, event: Mapping[str, Any]) -> None:
        self._target.write(json_line(event))

    def finish(self) -> None:
        """Nothing is left."""


class NamedCsvFile(EventFile):
    """CSV with its columns known beforehand."""

    def __init__(self, target: BinaryIO, names: tuple[str, ...]) -> None:
        super().__init__()
        self._text = _csv_text(target)
        self._writer = csv.writer(self._text)
        self._names = names
        self._writer.writerow(names)

    def _put(self, event: Mapping[str, Any]) -> None:
        self._writer.writerow(cell_text(value) for value in picked_event(event, self._names).values())

    def finish(self) -> None:
        """Hand the last rows on to the file."""
        self._text.detach()


class SpooledFile(EventFile):
    """A format whose beginning depends on its last event."""

    def __init__(
        self, target: BinaryIO, spool: IO[bytes], names: tuple[str, ...], write_rows: WriteRows
    ) -> None:
        super().__init__()
        self._target = target
        self._spool = spool
        self._names = names
        self._columns = Columns(names)
        self._write_rows = write_rows

    def _put(self, event: Mapping[str, Any]) -> None:
        self._spool.write(json_line(event))
        self._columns.observe(self._row(event))

    def finish(self) -> None:
        """Read the spool back, and write the file from it."""
        self._spool.seek(0)
        # Not orjson: it would round integers of over 64 bits.
        rows = (self._row(json.loads(line)) for line in self._spool)
        self._write_rows(self._target, self._columns.types, rows)

    def _row(self, event: Mapping[str, Any]) -> Row:
        return picked_event(event, self._names) if self._names else flat_event(event)


def _write_csv(target: BinaryIO, types: Mapping[str, ColumnType], rows: Iterator[Row]) -> None:
    text = _csv_text(target)
    writer = csv.writer(text)
    writer.writerow(types)
    writer.writerows([cell_text(row.get(name)) for name in types] for row in rows)
    text.detach()


def _write_parquet(target: BinaryIO, types: Mapping[str, ColumnType], rows: Iterator[Row]) -> None:
    parquet = needed("pyarrow.parquet", "a Parquet file")
    with parquet.ParquetWriter(target, schema_of(types), compression="zstd") as writer:
        while group := list(islice(rows, ROW_GROUP)):
            writer.write_table(table_of(group, types))


def _csv_text(target: BinaryIO) -> io.TextIOWrapper:
    return io.TextIOWrapper(target, encoding="utf-8", newline="")
