"""Floor 2: answers as rows, tables and files.

Pure but for the files: from a query and the body of its answer to rows with
named columns, whatever the shape of the answer; from rows to a type for each
column that holds all its values exactly; and from there to Arrow, pandas and
polars, which are imported only when asked for (extra ``tables``).
"""

from __future__ import annotations

from keen_client.results.columns import Columns, ColumnType, Kind
from keen_client.results.event_files import EventFile, event_file
from keen_client.results.flat import flat_event
from keen_client.results.query_result import QueryResult
from keen_client.results.rows import check_columns, rows_of

__all__ = [
    "ColumnType",
    "Columns",
    "EventFile",
    "Kind",
    "QueryResult",
    "check_columns",
    "event_file",
    "flat_event",
    "rows_of",
]
