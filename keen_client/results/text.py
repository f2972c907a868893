"""Values as text: in JSON columns, in the cells of CSV files and of printed tables."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import orjson

from keen_client._foundation.clock import datetime_to_ms, ms_to_iso


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
    return ms_to_iso(datetime_to_ms(value)) if isinstance(value, datetime) else json_text(value)


def _iso(value: Any) -> str:
    if isinstance(value, datetime):
        return ms_to_iso(datetime_to_ms(value))
    raise AssertionError(f"an answer holds {type(value).__name__}, which JSON does not")
