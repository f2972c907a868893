"""The answer to a query, with what was asked: as value, as rows, as a table."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import attrs

from keen_client.queries.definition import Query, query_of
from keen_client.queries.funnel import Funnel
from keen_client.results.arrow import pandas_of, polars_of, table_of
from keen_client.results.columns import Columns
from keen_client.results.rows import Row, columns_of, rows_of
from keen_client.results.text import html_table

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa


@attrs.frozen
class QueryResult:
    """What was asked, and the body of Keen's answer to it.

    Its ``repr`` shows no data. What is handed out is not copied: do not change it.
    """

    query: Query
    body: Mapping[str, Any] = attrs.field(repr=False)

    @classmethod
    def of_stored(cls, definition: Mapping[str, Any], body: Mapping[str, Any]) -> Self:
        """The answer *body* of a saved query or a cached dataset, whose ``query`` is *definition*.

        ::

            saved = keen.saved_queries.results("daily-revenue")
            QueryResult.of_stored(saved["query"], saved).to_pandas()

        Raises:
            InvalidQueryError: The definition is no query that could be asked.
        """
        query = query_of(definition)
        result = body.get("result")
        # The result of a saved funnel is its whole body, or that stands beside it.
        return cls(query, result if isinstance(query, Funnel) and isinstance(result, Mapping) else body)

    @property
    def value(self) -> Any:
        """Keen's ``result`` as it came: a number, a list, an object, or null."""
        return self.body["result"]

    @property
    def metadata(self) -> Mapping[str, Any] | None:
        """``execution_metadata``: what the query cost. None unless the query asked for it."""
        return self.body.get("execution_metadata")

    @cached_property
    def rows(self) -> list[Row]:
        """One dict a row, with the same columns in every shape; see :func:`~keen_client.results.rows.rows_of`.

        Raises:
            UnreadableResponseError: The answer has another shape than the query.
        """
        return rows_of(self.query, self.body)

    @cached_property
    def columns(self) -> Columns:
        """The columns of all rows, in order, with their types."""
        return columns_of(self.query, self.rows)

    def to_arrow(self) -> pa.Table:
        """An Arrow table of the rows.

        Timestamps are ``timestamp[ms, UTC]``, integers stay integers, and a
        column that no other type holds exactly is JSON text.

        Raises:
            MissingExtraError: pyarrow is not installed (extra ``tables``).
            UnreadableResponseError: See :attr:`rows`.
        """
        return table_of(self.rows, self.columns.types)

    def to_pandas(self) -> pd.DataFrame:
        """A pandas data frame of the rows; integers and booleans are nullable.

        Raises:
            MissingExtraError: pyarrow or pandas is not installed.
        """
        return pandas_of(self.to_arrow())

    def to_polars(self) -> pl.DataFrame:
        """A polars data frame of the rows.

        Raises:
            MissingExtraError: pyarrow or polars is not installed.
        """
        return polars_of(self.to_arrow())

    def _repr_html_(self) -> str:
        """The first rows, as a notebook shows them."""
        return html_table(list(self.columns), self.rows)
