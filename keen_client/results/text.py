"""Values as text: in JSON columns, in the cells of CSV files and of printed tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any, Final

import orjson

from keen_client._foundation.clock import datetime_to_ms, ms_to_iso

#: A notebook shows so many rows.
HTML_ROWS_MAX: Final = 20


def json_text(value: Any) -> str:
    """The compact JSON of a value of an answer; integers of any size, datetimes as Keen writes them."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_iso)


def json_line(event: Any) -> bytes:
    """One line of NDJSON, with its end."""
    try:
        return orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # an integer of over 64 bits
        return json_text(event).encode() + b"\n"


def cell_text(value: Any) -> str:
    """A value as a cell of CSV or of a table: text as it is, null as nothing, all else as JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if type(value) in (int, float):
        return repr(value)
    return ms_to_iso(datetime_to_ms(value)) if isinstance(value, datetime) else json_text(value)


def html_table(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """The first :data:`HTML_ROWS_MAX` of *rows* as an HTML table, everything escaped, and how many there are."""
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(
        "<tr>" + "".join(f"<td>{_html_cell(row.get(name))}</td>" for name in names) + "</tr>"
        for row in rows[:HTML_ROWS_MAX]
    )
    count = "1 row" if len(rows) == 1 else f"{len(rows):,} rows"
    shown = f"{count}, of which {HTML_ROWS_MAX} are shown" if len(rows) > HTML_ROWS_MAX else count
    return f"<table><caption>{shown}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _html_cell(value: Any) -> str:
    return "<i>null</i>" if value is None else escape(cell_text(value))


def _iso(value: Any) -> str:
    if isinstance(value, datetime):
        return ms_to_iso(datetime_to_ms(value))
    raise AssertionError(f"an answer holds {type(value).__name__}, which JSON does not")
