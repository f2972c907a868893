"""Running a query: one SQL statement over the tables, and its rows shaped into Keen's reply."""

# ruff: noqa: S608 - statements are built from numbers and constants; all that users name is bound

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import duckdb
import orjson

from keen_client.server.columns import Column
from keen_client.server.engine import Engine, Source
from keen_client.server.extraction import EMAIL_REPLY, check_scan, extract, extract_to_file
from keen_client.server.query import Analysis, Query
from keen_client.server.reading import HONEST, Reading
from keen_client.server.refusal import INVALID_PARAMETER, bad_request, not_found
from keen_client.server.response import number, shape
from keen_client.server.selection import selection
from keen_client.server.timeframe import Division, divide

MAX_CELLS: Final = 1_000_000
_MILLION: Final = 1_000_000
_NS_PER_SECOND: Final = 1_000_000_000


def answer(
    engine: Engine,
    query: Query,
    *,
    now_ms: int,
    reading: Reading = HONEST,
    monotonic_ns: Callable[[], int] = lambda: 0,
    extractions: Path | None = None,
) -> bytes:
    """The JSON body that answers *query* as *reading* has it. Raises a refusal (404 for an unknown collection).

    ``monotonic_ns`` tells how long it took, for the metadata of those who ask for them. Into the folder
    ``extractions`` goes the file of an extraction that asks for one; None drops it.
    """
    if not engine.has(query.collection):
        raise not_found()
    began_ns = monotonic_ns()
    if reading.scan_cap is not None:
        check_scan(engine, query, reading.scan_cap, reading.struck)
    source = engine.source(query.collection, query.paths(), now_ms, reading.stale_ms)
    where = _where(query, source, reading)
    try:
        if query.kind == "extraction":
            result = _extraction(engine, query, source, where, extractions, now_ms)
        else:
            told = reading.told(query, _aggregation(engine, query, source, where, reading))
            result = orjson.dumps(told)
    except (duckdb.InvalidInputException, duckdb.OutOfRangeException) as error:
        # A regular expression that does not compile is the one user text that DuckDB itself judges.
        raise bad_request(INVALID_PARAMETER, f"The query cannot be run: {str(error)[:200]}") from None
    if not query.with_metadata:
        return reading.printed(b'{"result":' + result + b"}")
    scanned = engine.count_between(query.collection, query.timeframe.start_ms, query.timeframe.end_ms)
    metadata = orjson.dumps(
        execution_metadata(scanned, len({*query.paths(), "keen.timestamp"}), monotonic_ns() - began_ns)
    )
    return reading.printed(b'{"result":' + result + b',"execution_metadata":' + metadata + b"}")


def execution_metadata(scanned: int, properties: int, took_ns: int) -> dict[str, Any]:
    """What ``include_metadata`` adds to a reply: events read, properties of each, seconds."""
    return {
        "events_scanned": scanned,
        "properties_per_event": properties,
        "total_properties_scanned": scanned * properties,
        "total_processing_time": round(took_ns / _NS_PER_SECOND, 6),
    }


def _extraction(
    engine: Engine, query: Query, source: Source, where: str, directory: Path | None, now_ms: int
) -> bytes:
    if not query.emailed:
        return b"[" + b",".join(extract(engine, query, source, where)) + b"]"
    if directory is not None:
        extract_to_file(engine, query, source, where, directory, now_ms)
    return orjson.dumps(EMAIL_REPLY)


def _where(query: Query, source: Source, reading: Reading) -> str:
    found = selection(query.timeframe, query.filters, source)
    if reading.partial is not None:
        share, salt = reading.partial
        bind = source.parameters.bind
        found.append(
            f"hash(seq, {bind(salt, 'BIGINT')}) % {_MILLION} >= {bind(round(share * _MILLION), 'BIGINT')}::UBIGINT"
        )
    return " AND ".join(found)


def _aggregation(engine: Engine, query: Query, source: Source, where: str, reading: Reading) -> Any:
    division = None if query.interval is None else divide(query.timeframe, query.interval)
    keys: list[str] = []
    from_sql = f"{source.sql} WHERE {where}"
    if division is not None:
        bucket, from_sql = _bucket(division, source, where)
        keys.append(bucket)
    for group in query.group_by:
        keys.extend(group.keys(source.columns[group.property_name], source.parameters))
    order = _adding_order(source, reading)
    values = [_aggregate(analysis, source, order) for analysis in query.analyses.values()]
    positions = ", ".join(str(index + 1) for index in range(len(keys)))
    tail = f" GROUP BY {positions} ORDER BY {positions}" if keys else ""
    rows = engine.fetch(f"SELECT {', '.join(keys + values)} FROM {from_sql}{tail}", source.parameters.values)
    return _shaped(query, division, rows, reading)


def _adding_order(source: Source, reading: Reading) -> str:
    """Doubles add up to another sum in another order, once they are large enough."""
    if "shuffled-sums" not in reading.lies:
        return ""
    return f" ORDER BY hash(seq, {source.parameters.bind(reading.salt, 'BIGINT')})"


def _shaped(
    query: Query, division: Division | None, rows: Sequence[tuple[Any, ...]], reading: Reading
) -> Any:
    offset = 0 if division is None else 1
    width = offset + 2 * len(query.group_by)
    buckets: dict[int, dict[tuple[Any, ...], list[Any]]] = {}
    groups: dict[tuple[Any, ...], None] = {}
    kinds = [analysis.kind for analysis in query.analyses.values()]
    for row in rows:
        group = tuple(zip(row[offset:width:2], row[offset + 1 : width : 2], strict=True))
        groups[group] = None
        values = [_value(kind, value) for kind, value in zip(kinds, row[width:], strict=True)]
        buckets.setdefault(row[0] if offset else 0, {})[group] = values
    if reading.group_cap is not None and len(groups) > reading.group_cap and query.group_by:
        reading.struck("group-cap")
        text = f"The reply would have {len(groups)} groups; at most {reading.group_cap} are allowed."
        raise bad_request(INVALID_PARAMETER, text)
    cells = max(1, len(groups)) * (1 if division is None else len(division.bounds))
    if cells > MAX_CELLS:
        text = f"The reply would have {cells} rows; at most {MAX_CELLS} are allowed."
        raise bad_request(INVALID_PARAMETER, text)
    return shape(query, division, buckets, groups)


def _value(kind: str, value: Any) -> Any:
    if kind == "select_unique":
        return [number(item) if isinstance(item, float) else item for item in map(orjson.loads, value or ())]
    if isinstance(value, float):
        return number(value)
    return 0 if value is None and kind == "sum" else value


def _bucket(division: Division, source: Source, where: str) -> tuple[str, str]:
    """The SQL of an event's sub-timeframe number, and the FROM that it needs."""
    bind = source.parameters.bind
    if division.step_ms is not None:
        number_sql = f"(ts - {bind(division.origin_ms, 'BIGINT')}) // {bind(division.step_ms, 'BIGINT')}"
        return number_sql, f"{source.sql} WHERE {where}"
    bounds = bind(list(division.bounds[:-1]), "BIGINT[]")
    numbered = f"(SELECT unnest({bounds}) AS bound, unnest(range({len(division.bounds) - 1})) AS bucket)"
    return (
        "bucket",
        f"(SELECT * FROM {source.sql} WHERE {where}) AS e ASOF JOIN {numbered} AS b ON e.ts >= b.bound",
    )


def _aggregate(analysis: Analysis, source: Source, order: str) -> str:
    if analysis.kind == "count":
        return "count(*)"
    column = source.columns[analysis.target]
    value = column.number
    if analysis.kind == "count_unique":
        return f"count(DISTINCT {distinct_text(column)})"
    if analysis.kind == "select_unique":
        return f"list(DISTINCT {distinct_text(column)}) FILTER ({distinct_text(column)} IS NOT NULL)"
    if analysis.kind in ("median", "percentile"):
        bound = source.parameters.values
        name = f"q{len(bound)}"
        bound[name] = analysis.percentile / 100
        return f"quantile_disc({value}, ${name}::DOUBLE)"
    functions = {
        "sum": "sum",
        "minimum": "min",
        "maximum": "max",
        "average": "avg",
        "standard_deviation": "stddev_pop",
    }
    return f"{functions[analysis.kind]}({value}{order if analysis.kind == 'sum' else ''})"


def distinct_text(column: Column) -> str:
    """One text per distinct value; NULL for null and missing. Texts of numbers and others never meet."""
    return f"coalesce(nullif({column.text}, 'null'), {column.number}::VARCHAR)"
