"""Rows as Arrow tables, and from there as data frames of pandas and polars.

The packages are imported when they are needed, here and nowhere else: the
extra ``tables`` brings pyarrow, and whoever wants pandas or polars has it.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from keen_client._foundation.clock import datetime_to_ms
from keen_client.errors import MissingExtraError
from keen_client.results.columns import JSON, ColumnType, Kind
from keen_client.results.text import json_text

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

_INSTALL: Final = {
    "pyarrow": "pip install 'keen-client[tables]'",
    "pandas": "pip install pandas",
    "polars": "pip install polars",
}
#: On the field of a column of JSON text.
JSON_METADATA: Final = {"encoding": "json"}


def needed(package: str, purpose: str) -> Any:
    """A module of one of the packages, imported.

    Raises:
        MissingExtraError: It is not installed; the hint is the command that installs it.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        top = package.partition(".")[0]
        if (error.name or "").partition(".")[0] != top:
            raise
        raise MissingExtraError(
            f"{purpose} needs the package {top}, which is not installed", _INSTALL[top]
        ) from error


def schema_of(types: Mapping[str, ColumnType]) -> pa.Schema:
    """The Arrow schema of columns.

    Timestamps are ``timestamp[ms, UTC]``; integers ``int64``, larger ones
    ``decimal128(38, 0)``; a column of JSON text has ``encoding: json`` in its
    field's metadata.
    """
    arrow = needed("pyarrow", "a table")
    scalars = {
        Kind.NULL: arrow.null(),
        Kind.BOOLEAN: arrow.bool_(),
        Kind.SMALL_INTEGER: arrow.int64(),
        Kind.INTEGER: arrow.int64(),
        Kind.LARGE_INTEGER: arrow.decimal128(38, 0),
        Kind.NUMBER: arrow.float64(),
        Kind.TEXT: arrow.string(),
        Kind.TIMESTAMP: arrow.timestamp("ms", tz="UTC"),
        Kind.JSON: arrow.string(),
    }
    return arrow.schema(
        [
            arrow.field(
                name,
                arrow.list_(scalars[of.kind]) if of.is_list else scalars[of.kind],
                metadata=JSON_METADATA if of == JSON else None,
            )
            for name, of in types.items()
        ]
    )


def table_of(rows: Sequence[Mapping[str, Any]], types: Mapping[str, ColumnType]) -> pa.Table:
    """*rows* with the columns *types*, which hold all their values; a column that a row lacks is null in it."""
    arrow = needed("pyarrow", "a table")
    schema = schema_of(types)
    arrays = [
        arrow.array([_stored(row.get(name), of) for row in rows], type=schema.field(name).type)
        for name, of in types.items()
    ]
    if not arrays:
        # Without columns a table could not tell how many rows it has.
        return arrow.table({"": arrow.nulls(len(rows))}).select([])
    return arrow.table(arrays, schema=schema)


def pandas_of(table: pa.Table) -> pd.DataFrame:
    """A data frame. Integers and booleans are nullable (``Int64``, ``boolean``), so that null makes no float of them."""
    pandas = needed("pandas", "a pandas data frame")
    arrow = needed("pyarrow", "a table")
    nullable = {arrow.int64(): pandas.Int64Dtype(), arrow.bool_(): pandas.BooleanDtype()}
    return table.to_pandas(types_mapper=nullable.get)


def polars_of(table: pa.Table) -> pl.DataFrame:
    """A data frame; the columns have the types of the table."""
    frame: pl.DataFrame = needed("polars", "a polars data frame").from_arrow(table)
    return frame


def _stored(value: Any, of: ColumnType) -> Any:
    """A value as Arrow takes it for a column of that type."""
    if value is None:
        return None
    if of.is_list:
        scalar = ColumnType(of.kind)
        return [_stored(member, scalar) for member in value]
    if of.kind is Kind.TIMESTAMP:
        return datetime_to_ms(value)
    if of.kind is Kind.JSON:
        return json_text(value)
    return Decimal(value) if of.kind is Kind.LARGE_INTEGER else value
